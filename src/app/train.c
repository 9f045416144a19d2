#include "app/train.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "algo/popularity.h"
#include "app/balance.h"
#include "app/layout_choice.h"
#include "app/memory_check.h"
#include "app/placement.h"
#include "app/train_items.h"
#include "app/train_svd.h"
#include "app/training.h"
#include "app/ways.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/layout.h"
#include "kernel/dense.h"
#include "kernel/isa.h"

static void free_training(gmf_training *t)
{
  gmf_writer_destroy(&t->writer);
  gmf_validation_close(&t->validation);
  gmf_als_destroy(&t->als);
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_factor_destroy(&t->popularity[s]);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_block_destroy(&t->blocks[s]);
    gmf_heavy_destroy(&t->heavy[s]);
    gmf_axis_destroy(&t->axes[s]);
  }
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_side_features_free(&t->features[s]);
  gmf_node_destroy(&t->node);
  gmf_hops_destroy(&t->hops);
  gmf_free(t->objective);
  gmf_free(t->loss);
  gmf_free(t->seconds);
}

/* ---- distribution ------------------------------------------------------------------------------------------------ */

/* Collective. The heavy rows of both sides, who owns which rows, and where the heavy ones' ratings lie. */
static gmf_status place_rows(gmf_training *t, const gmf_rating_source *source, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *counts[GMF_N_SIDES] = {NULL};
  gmf_shared_rows shared[GMF_N_SIDES] = {{0}};
  gmf_layout_choice choices[GMF_N_SIDES];
  gmf_row_options row = gmf_config_row(t->config);
  GMF_TRY(gmf_place_count(t->grid, source, counts, err));
  GMF_TRY(gmf_choose_layouts(t->grid, t->config, source, t->grid->size, t->grid->n_cols, counts, choices, err));
  gmf_layout_log(t->log, choices);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    GMF_TRY(gmf_heavy_find(t->grid, source, (gmf_side)s, &choices[s].layout, counts[s], &t->heavy[s], err));
    const gmf_heavy *heavy = t->heavy[s];
    if (heavy == NULL) continue;
    t->heavy[s]->copied = gmf_als_way_copies(gmf_als_fold_way(&row, true));
    shared[s] = (gmf_shared_rows){heavy->n, heavy->rows, heavy->layout.n_cols};
  }
  status = gmf_place_rows(t->grid->size, source->n, t->config, counts, shared, t->axes, err);
  GMF_TRY(gmf_agree(t->grid, status, err));
  for (int s = 0; s < GMF_N_SIDES; s++)
    if (t->heavy[s] != NULL) GMF_TRY(gmf_heavy_place(t->grid, t->axes[s], t->heavy[s], err));
cleanup:
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_free(counts[s]);
  return status;
}

/* Collective. Says how evenly the ratings lie: the most that a rank has, relative to the mean. */
static void log_balance(const gmf_training *t)
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    const gmf_block *b = t->blocks[s];
    const gmf_heavy *heavy = t->heavy[s];
    int64_t mine[2] = {gmf_block_ratings(b), b->expand->n_slots}, most[2];
    memcpy(most, mine, sizeof most);
    gmf_max_i64(t->grid, most, 2);
    double mean = (double)t->dataset->nnz / t->grid->size;
    gmf_log_line(t->log, "%-5s half-sweep: at most %s ratings a rank (%.2f of the mean), %s of %s %s fetched",
                 gmf_side_noun((gmf_side)s), gmf_thousands(most[0]), mean > 0 ? (double)most[0] / mean : 1,
                 gmf_thousands(most[1]), gmf_thousands(t->dataset->n[gmf_other_side((gmf_side)s)]),
                 gmf_side_name(gmf_other_side((gmf_side)s)));
    if (heavy != NULL)
      gmf_log_line(t->log, "%-5s half-sweep: %s rows of at least %s ratings on %dx%d, %.0f %% of the ratings",
                   gmf_side_noun((gmf_side)s), gmf_thousands(heavy->n), gmf_thousands(heavy->layout.heavy_from),
                   heavy->layout.n_rows, heavy->layout.n_cols,
                   100 * (double)heavy->n_ratings / (double)t->dataset->nnz);
  }
}

/* Called by the solver: a line that is written over. */
static void show_progress(void *context, gmf_side side, double share)
{
  const gmf_training *t = context;
  char left[32];
  int64_t n = t->dataset->n[side];
  double now = MPI_Wtime(), halves = (side == GMF_USERS ? 0 : 1) + share; /* of this sweep */
  double sweeps = (double)(t->n_sweeps - t->first_sweep) + halves / 2;
  double rate = halves * (double)t->dataset->nnz / fmax(now - t->sweep_started, 1e-9);
  gmf_duration_text(
      (now - t->started) / fmax(sweeps, 1e-9) * ((double)(t->config->iterations - t->first_sweep) - sweeps), left,
      sizeof left);
  gmf_log_live(t->log, "sweep %3" PRId64 "/%" PRId64 "  %s of %s %s  %.2f M ratings/s  %s left", t->n_sweeps + 1,
               t->config->iterations, gmf_thousands((int64_t)(share * (double)n)), gmf_thousands(n),
               gmf_side_name(side), rate / 1e6, left);
}

static gmf_als_options als_options(gmf_training *t)
{
  const gmf_config *c = t->config;
  const gmf_feature_rows *users = &t->features[GMF_USERS].rows, *items = &t->features[GMF_ITEMS].rows;
  return (gmf_als_options){.row = gmf_config_row(c),
                           .features = {c->features[GMF_USERS] ? users : NULL, c->features[GMF_ITEMS] ? items : NULL},
                           .lambda_features = c->lambda_features,
                           .relaxation = c->relaxation,
                           .regularisation = gmf_config_regularisation(c),
                           .center = c->center == GMF_CENTER_GLOBAL,
                           .seed = (uint64_t)c->seed,
                           .deterministic = c->deterministic,
                           .wire = (gmf_wire)c->wire,
                           .expand_bytes = t->expand_bytes,
                           .progress = t->log->live ? show_progress : NULL,
                           .context = t};
}

static gmf_status distribute(gmf_training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_dataset *d = t->dataset;
  gmf_rating_source source = gmf_dataset_source(d);
  gmf_hops_choice choices[GMF_N_SIDES] = {{.considered = false}};
  gmf_row_options row = gmf_config_row(t->config);
  gmf_ways ways = {.node = t->node,
                   .hops = t->hops,
                   .choices = t->config->hops == GMF_HOPS_AUTO ? choices : NULL,
                   .row_bytes = (int64_t)gmf_wire_bytes((gmf_wire)t->config->wire, gmf_als_ld(&row))};
  gmf_phase before = gmf_trace_phase(t->grid->trace, GMF_PHASE_DISTRIBUTE);
  GMF_TRY(place_rows(t, &source, err));
  GMF_TRY(gmf_blocks_create(t->grid, &ways, &source, t->axes, t->heavy, t->blocks, err));
  gmf_hops_log(t->log, t->grid->size, choices);
  if (t->config->algorithm != GMF_ALGORITHM_POPULARITY) log_balance(t);
cleanup:
  gmf_trace_phase(t->grid->trace, before);
  return status;
}

/* Collective. The features that are asked for. */
static gmf_status read_features(gmf_training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_dataset *d = t->dataset;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    int64_t begin = gmf_slice_begin(d->n[s], t->grid->size, t->grid->rank);
    int64_t n = gmf_slice_begin(d->n[s], t->grid->size, t->grid->rank + 1) - begin;
    const char *noun = gmf_side_noun((gmf_side)s), *side = gmf_side_name((gmf_side)s);
    if (d->has_features[s] && !t->config->features[s])
      gmf_log_line(t->log, "note: the %s have features that are not used; --%s-features uses them", side, noun);
    if (!t->config->features[s]) continue;
    if (!d->has_features[s])
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                       "%s: has no features of %s for --%s-features; gridmf attach --%s puts them there", d->path, side,
                       noun, side));
    GMF_TRY(gmf_dataset_read_features(t->grid, d, (gmf_side)s, begin, n, &t->features[s], err));
    gmf_log_line(t->log, "%s features of %s, %.1f a row", gmf_thousands(d->n_features[s]), side,
                 (double)d->nnz_features[s] / (double)gmf_max64(1, d->n[s]));
  }
cleanup:
  return status;
}

/* ---- sweeps ------------------------------------------------------------------------------------------------------ */

/* Local. Replaces the solver's message by one with the external id of the row and what to change. */
static gmf_status name_singular_row(const gmf_training *t, const gmf_als_singular *singular, gmf_error *err)
{
  gmf_ids ids = {0};
  char id[1100];
  gmf_error_clear(err);
  if (gmf_dataset_read_ids(t->dataset, singular->side, singular->row, 1, &ids, err) != GMF_OK) return err->status;
  gmf_id_text(&ids, 0, id, sizeof id);
  gmf_ids_free(&ids);
  return gmf_fail(err, GMF_ERR_NUMERIC,
                  "the normal equations of %s %.200s have no finite solution at lambda %g with %" PRId64
                  " factors: they are singular, or ratings too large; use a larger --lambda, or fewer --factors than "
                  "the %s has ratings",
                  gmf_side_noun(singular->side), id, t->config->lambda, t->config->factors,
                  gmf_side_noun(singular->side));
}

/* Metrics after sweep i: in words, the first two, and as members of a JSON object. */
static void describe_metrics(const gmf_training *t, int64_t i, char *out, size_t size, json_t *event)
{
  size_t used = 0;
  out[0] = '\0';
  for (int m = 0; m < gmf_validation_n(t->validation); m++) {
    const char *name = gmf_validation_name(t->validation, m);
    double value = gmf_validation_values(t->validation, m)[i];
    if (isnan(value)) continue;
    json_object_set_new(event, name, json_real(value));
    if (m < 2) used += (size_t)snprintf(out + used, size - used, "  %s %.5f", name, value);
  }
}

/* Collective. */
static void log_sweep(const gmf_training *t, int64_t i, const gmf_als_sweep *sweep)
{
  char left[32], metrics[160];
  int64_t n = t->config->iterations;
  double rate = 2 * (double)t->dataset->nnz / fmax(t->seconds[i], 1e-9);
  bool last = i + 1 == n;
  json_t *event =
      json_pack("{s:I, s:f, s:f, s:f, s:f, s:I, s:I}", "n", (json_int_t)(i + 1), "objective", sweep->objective, "loss",
                sweep->loss, "seconds", t->seconds[i], "ratings_per_second", rate, "rows_in_f8",
                (json_int_t)sweep->n_retried, "rows_with_jitter", (json_int_t)sweep->n_jittered);
  json_t *phases = gmf_log_phases(t->log, t->grid);
  if (phases != NULL) json_object_set_new(event, "phases", phases);
  describe_metrics(t, i, metrics, sizeof metrics, event);
  gmf_duration_text((MPI_Wtime() - t->started) / (double)(i + 1 - t->first_sweep) * (double)(n - 1 - i), left,
                    sizeof left);
  gmf_log_line(t->log, "sweep %3" PRId64 "/%" PRId64 "  objective %.8e%s  %8.3f s  %7.2f M ratings/s%s%s%s", i + 1, n,
               sweep->objective, metrics, t->seconds[i], rate / 1e6, last ? "" : "  ", last ? "" : left,
               last ? "" : " left");
  gmf_log_event(t->log, "sweep", event);
}

/* ---- from start to end ------------------------------------------------------------------------------------------- */

/* Collective. The solver, from its start or from a checkpoint, and the validation. */
static gmf_status start_als(gmf_training *t, gmf_model_file *resumed, int64_t sweep, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_als_options options = als_options(t);
  gmf_phase before = gmf_trace_phase(t->grid->trace, GMF_PHASE_START);
  GMF_TRY(gmf_als_create(t->grid, &options, t->axes, t->blocks, &t->als, err));
  if (t->node != NULL)
    gmf_log_line(t->log, "expanded rows are shared by the ranks of a node, %d on that of rank 0", t->node->grid->size);
  for (int s = 0; s < GMF_N_SIDES; s++)
    if (gmf_als_n_panels(t->als, (gmf_side)s) > 1)
      gmf_log_line(t->log, "%-5s half-sweep: %s come in %d panels", gmf_side_noun((gmf_side)s),
                   gmf_side_name(gmf_other_side((gmf_side)s)), gmf_als_n_panels(t->als, (gmf_side)s));
  if (gmf_als_n_negative(t->als) > 0)
    gmf_log_line(t->log,
                 "warning: %s ratings have alpha x |rating| below 1, and so weigh less than a pair without a rating; a "
                 "larger --alpha, or --loss hkv, avoids it",
                 gmf_thousands(gmf_als_n_negative(t->als)));
  GMF_TRY(gmf_validation_open(t->grid, t->config, t->dataset, t->als, t->blocks, &t->validation, err));
  if (t->validation != NULL) {
    const gmf_held_out_counts *c = gmf_validation_counts(t->validation);
    gmf_log_line(t->log, "validating with %s of %s ratings of %s", gmf_thousands(c->n_test - c->n_cold_ratings),
                 gmf_thousands(c->n_test), t->config->test);
  }
  if (resumed != NULL) GMF_TRY(gmf_training_load(t, resumed, sweep, err));
cleanup:
  gmf_trace_phase(t->grid->trace, before);
  return status;
}

/* Collective. Validation after a sweep where it is due. */
static gmf_status validate(gmf_training *t, bool *stop, gmf_error *err)
{
  *stop = false;
  if (!gmf_validation_due(t->validation, t->n_sweeps)) return GMF_OK;
  return gmf_validation_run(t->validation, t->n_sweeps, stop, err);
}

/* Collective. With early stopping: goes back to the best sweep. */
static void take_best(gmf_training *t)
{
  const gmf_best_sweep *best = t->validation != NULL ? gmf_validation_best(t->validation) : NULL;
  if (best == NULL || best->sweep == 0) return;
  gmf_validation_restore_best(t->validation);
  gmf_als_refit(t->als);
  gmf_writer_attr_i64(t->writer, "/", "best_iteration", best->sweep);
  gmf_log_line(t->log, "the best sweep was %" PRId64 ", with %s %.5f; the model is of that sweep", best->sweep,
               gmf_validation_name(t->validation, 0), best->value);
  gmf_log_event(t->log, "best", json_pack("{s:I, s:f}", "sweep", (json_int_t)best->sweep, "value", best->value));
}

/* Collective. How evenly the rows went to the threads of the rank where they did so least. */
static void log_threads(const gmf_training *t)
{
  double mine[GMF_N_SIDES];
  gmf_spread spread[GMF_N_SIDES];
  for (int s = 0; s < GMF_N_SIDES; s++) mine[s] = gmf_als_thread_balance(t->als, (gmf_side)s);
  gmf_trace_spread(t->grid->all, mine, GMF_N_SIDES, spread);
  gmf_log_line(t->log, "the busiest thread of a rank worked %.3f times the mean of its threads at users, %.3f at items",
               spread[GMF_USERS].max, spread[GMF_ITEMS].max);
  gmf_log_event(t->log, "threads",
                json_pack("{s:f, s:f}", "users", spread[GMF_USERS].max, "items", spread[GMF_ITEMS].max));
}

/* Collective. How near the sweeps of this run came to what the machine allows. */
static void log_roofline(const gmf_training *t)
{
  gmf_row_options row = gmf_config_row(t->config);
  gmf_half_load halves[GMF_N_SIDES];
  double seconds = 0;
  if (!t->config->roofline || t->als == NULL) return;
  for (int s = 0; s < GMF_N_SIDES; s++)
    gmf_half_load_count(t->grid, t->blocks[s], t->axes[gmf_other_side((gmf_side)s)], &row, (gmf_wire)t->config->wire,
                        &halves[s]);
  for (int64_t i = t->first_sweep; i < t->n_sweeps; i++) seconds += t->seconds[i];
  gmf_roofline_end(t->grid, &t->roofline, halves, t->n_sweeps - t->first_sweep, seconds, t->log);
  log_threads(t);
}

static gmf_status run_sweeps(gmf_training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_roofline_begin(t->grid, &t->roofline);
  t->started = MPI_Wtime();
  for (int64_t i = t->first_sweep; i < t->config->iterations; i++) {
    gmf_als_sweep sweep = {0};
    gmf_als_singular singular = {GMF_USERS, -1};
    bool stop = false;
    t->sweep_started = MPI_Wtime();
    status = gmf_als_sweep_run(t->als, &sweep, &singular, err);
    if (status == GMF_ERR_NUMERIC) status = gmf_agree(t->grid, name_singular_row(t, &singular, err), err);
    GMF_TRY(status);
    if (!isfinite(sweep.objective))
      GMF_TRY(gmf_fail(err, GMF_ERR_NUMERIC,
                       "sweep %" PRId64 ": the objective is not finite; ratings, --alpha or "
                       "--lambda are too large for single precision",
                       i + 1));
    t->seconds[i] = MPI_Wtime() - t->sweep_started;
    t->objective[i] = sweep.objective;
    t->loss[i] = sweep.loss;
    t->n_sweeps++;
    GMF_TRY(validate(t, &stop, err));
    log_sweep(t, i, &sweep);
    if (sweep.n_jittered > 0)
      gmf_log_line(
          t->log,
          "warning: %s rows were singular to f8 although lambda is above zero, and got %g of their mean diagonal "
          "more; a larger --lambda avoids it",
          gmf_thousands(sweep.n_jittered), GMF_JITTER);
    if (stop) {
      gmf_log_line(t->log, "stopped early: %s has not been better for %" PRId64 " validations",
                   gmf_validation_name(t->validation, 0), t->config->early_stop);
      break;
    }
    if (t->n_sweeps < t->config->iterations && gmf_saving_due(&t->saving, t->seconds[i]))
      GMF_TRY(gmf_saving_write(&t->saving, t->n_sweeps, gmf_training_save, t, err));
  }
  take_best(t);
  log_roofline(t);
cleanup:
  return status;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

/* Collective. Everything that can be known to fail before there is work. */
static gmf_status open_files(gmf_training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = t->config->iterations;
  if (t->dataset->nnz == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: holds no ratings", t->dataset->path));
  GMF_TRY(gmf_writer_open(t->grid, t->config->output, GMF_FORMAT_MODEL, &t->writer, err));
  gmf_saving_describe(&t->saving, t->writer);
  gmf_log_lines(t->log, gmf_writer_notes(t->writer));
  status = GMF_NEW_ZERO(t->objective, n, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(t->loss, n, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(t->seconds, n, err);
  GMF_TRY(gmf_agree(t->grid, status, err));
cleanup:
  return status;
}

static void log_start(const gmf_training *t)
{
  const gmf_dataset *d = t->dataset;
  gmf_log_line(t->log, "%s: %s users, %s items, %s ratings", d->path, gmf_thousands(d->n[GMF_USERS]),
               gmf_thousands(d->n[GMF_ITEMS]), gmf_thousands(d->nnz));
  gmf_log_config(t->log, GMF_VERB_TRAIN, t->config);
  gmf_log_line(t->log, "%d ranks x %d threads, grid %dx%d, %s kernels", t->grid->size, omp_get_max_threads(),
               t->grid->n_rows, t->grid->n_cols, gmf_kernel_level_name(gmf_kernel_level()));
}

/* Local. */
static void note_outcome(const gmf_training *t, gmf_train_outcome *out)
{
  const gmf_best_sweep *best = t->validation != NULL ? gmf_validation_best(t->validation) : NULL;
  *out = (gmf_train_outcome){.n_sweeps = t->n_sweeps, .model_sweep = t->n_sweeps, .objective = NAN};
  if (best != NULL && best->sweep > 0) out->model_sweep = best->sweep;
  for (int64_t i = 0; i < t->n_sweeps; i++) out->seconds += t->seconds[i];
  if (out->model_sweep == 0) return;
  out->objective = t->objective[out->model_sweep - 1];
  out->has_metrics = gmf_validation_due(t->validation, out->model_sweep);
  for (int m = 0; m < gmf_validation_n(t->validation); m++)
    out->metrics[m] = gmf_validation_values(t->validation, m)[out->model_sweep - 1];
}

/* Collective. */
static gmf_status write_last(gmf_training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_training_write(t, t->writer, t->config->seen, true, err));
  gmf_log_model(t->log, t->config->output, gmf_writer_bytes(t->writer));
cleanup:
  return status;
}

gmf_status gmf_train_run(const gmf_grid *grid, const gmf_train_job *job, gmf_train_outcome *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_config *config = job->config;
  gmf_training t = {.grid = grid,
                    .job = job,
                    .config = config,
                    .log = job->log,
                    .dataset = job->dataset,
                    .saving = {.grid = grid, .job = job}};
  gmf_model_file *resumed = NULL;
  gmf_train_memory memory = {.fits_expanded = false};
  int64_t sweep = 0;

  *out = (gmf_train_outcome){.objective = NAN};
  GMF_TRY(open_files(&t, err));
  log_start(&t);
  if (config->algorithm == GMF_ALGORITHM_ITEM_KNN || config->algorithm == GMF_ALGORITHM_EASE) {
    gmf_items_run run = {grid, config, t.log, t.dataset, t.writer};
    status = gmf_train_items(&run, err);
    goto cleanup;
  }
  GMF_TRY(gmf_train_memory_start(grid, config, t.dataset, t.log, &memory, err));
  GMF_TRY(gmf_saving_start(grid, job, &t.saving, err));
  GMF_TRY(gmf_checkpoints_find(&t.saving.checkpoints, &resumed, &sweep, err));
  if (config->roofline) GMF_TRY(gmf_roofline_start(grid, config->memory_limit, t.log, &t.roofline, err));
  GMF_TRY(read_features(&t, err));
  if (memory.shape.node_ranks > 1) GMF_TRY(gmf_node_create(grid, &t.node, err));
  if (memory.hops) GMF_TRY(gmf_hops_create(grid, &t.hops, err));
  GMF_TRY(distribute(&t, err));
  GMF_TRY(gmf_train_memory_exact(grid, t.blocks, t.log, &memory, err));
  t.expand_bytes = memory.shape.expand_bytes;
  if (config->algorithm == GMF_ALGORITHM_ALS || config->algorithm == GMF_ALGORITHM_IALS)
    gmf_balance_log(grid, config, t.blocks, &memory, t.log);
  if (config->algorithm == GMF_ALGORITHM_SVD) {
    gmf_svd_run run = {grid, config, t.log, t.dataset, t.axes, t.blocks, t.writer, &t.saving, resumed};
    status = gmf_train_svd(&run, err);
    goto cleanup;
  }
  if (config->algorithm == GMF_ALGORITHM_POPULARITY && config->test[0] != '\0')
    gmf_log_line(t.log, "note: popularity has no sweeps to validate; use gridmf evaluate with %s", config->test);
  if (config->algorithm == GMF_ALGORITHM_POPULARITY)
    GMF_TRY(gmf_popularity_create(grid, t.axes, t.blocks, t.popularity, err));
  else
    GMF_TRY(start_als(&t, resumed, sweep, err));
  gmf_model_file_close(&resumed);
  GMF_TRY(run_sweeps(&t, err));
  note_outcome(&t, out);
  if (job->wants_model == NULL || job->wants_model(job->context, out)) GMF_TRY(write_last(&t, err));

cleanup:
  gmf_model_file_close(&resumed);
  free_training(&t);
  return status;
}

gmf_status gmf_train(const gmf_grid *grid, const char *dataset, const gmf_config *config, int argc, char *const *argv,
                     gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_train_job job = {.config = config, .log = log, .argc = argc, .argv = argv};
  gmf_train_outcome outcome;
  if (config->output[0] == '\0') GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "-o MODEL.h5 is needed"));
  GMF_TRY(gmf_dataset_open(grid, dataset, &job.dataset, err));
  GMF_TRY(gmf_train_run(grid, &job, &outcome, err));
cleanup:
  gmf_dataset_close(&job.dataset);
  return status;
}
