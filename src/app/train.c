#include "app/train.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "algo/popularity.h"
#include "app/checkpoint.h"
#include "app/memory_check.h"
#include "app/provenance.h"
#include "app/stopping.h"
#include "app/train_svd.h"
#include "app/validate.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/dataset.h"
#include "io/layout.h"
#include "io/model_write.h"
#include "kernel/dense.h"
#include "kernel/isa.h"

/* All that a training run holds. */
typedef struct training {
  const gmf_grid *grid;     /* borrowed */
  const gmf_config *config; /* borrowed */
  gmf_log *log;             /* borrowed */
  gmf_dataset *dataset;     /* owned, like the rest */
  gmf_axis *axes[GMF_N_SIDES];
  gmf_block *blocks[GMF_N_SIDES];
  gmf_als *als;                        /* NULL for popularity, which has */
  gmf_factor *popularity[GMF_N_SIDES]; /* these */
  gmf_writer *writer;
  double *objective, *loss, *seconds; /* [iterations] */
  int64_t n_sweeps;                   /* done, by this run or before it */
  int64_t first_sweep;                /* of this run */
  double started;                     /* when it began */
  gmf_checkpoints checkpoints;
  gmf_stopping stopping;
  gmf_validation *validation; /* owned; NULL without --test */
  int argc;
  char *const *argv; /* borrowed */
} training;

static void free_training(training *t)
{
  gmf_writer_destroy(&t->writer);
  gmf_validation_close(&t->validation);
  gmf_als_destroy(&t->als);
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_factor_destroy(&t->popularity[s]);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_block_destroy(&t->blocks[s]);
    gmf_axis_destroy(&t->axes[s]);
  }
  gmf_dataset_close(&t->dataset);
  gmf_free(t->objective);
  gmf_free(t->loss);
  gmf_free(t->seconds);
}

/* ---- distribution ------------------------------------------------------------------------------------------------ */

static gmf_status read_source(const void *context, int64_t begin, int64_t n, int64_t *items, float *values,
                              float *weights, gmf_error *err)
{
  return gmf_dataset_read(context, begin, n, items, values, NULL, weights, err);
}

/* Collective. Items: longest work first where their table fits, a hash otherwise. Users: a hash. The work of a row is
 * its d k^2 of forming plus k^3 / 3 of solving, in units of k^2 / 3. */
static gmf_status place_rows(training *t, const gmf_rating_source *source, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *work = NULL, n_items = source->n[GMF_ITEMS];
  uint64_t seed = (uint64_t)t->config->seed;

  status = gmf_axis_create_hashed(source->n[GMF_USERS], t->grid->size, seed, &t->axes[GMF_USERS], err);
  if (status == GMF_OK && n_items > GMF_AXIS_TABLE_ROWS)
    status = gmf_axis_create_hashed(n_items, t->grid->size, seed, &t->axes[GMF_ITEMS], err);
  GMF_TRY(gmf_agree(t->grid, status, err));
  if (n_items <= GMF_AXIS_TABLE_ROWS) {
    GMF_TRY(gmf_agree(t->grid, GMF_NEW(work, n_items, err), err));
    GMF_TRY(gmf_count_items(t->grid, source, work, err));
    for (int64_t i = 0; i < n_items; i++) work[i] = 3 * work[i] + t->config->factors;
    status = gmf_axis_create_balanced(n_items, t->grid->size, work, &t->axes[GMF_ITEMS], err);
    GMF_TRY(gmf_agree(t->grid, status, err));
  }
cleanup:
  gmf_free(work);
  return status;
}

/* Collective. Says how evenly the ratings lie: the most that a rank has, relative to the mean. */
static void log_balance(const training *t)
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    const gmf_block *b = t->blocks[s];
    int64_t mine[2] = {b->row_ptr[b->n_rows], b->expand->n_slots}, most[2];
    memcpy(most, mine, sizeof most);
    gmf_max_i64(t->grid, most, 2);
    double mean = (double)t->dataset->nnz / t->grid->size;
    gmf_log_line(t->log, "%-5s half-sweep: at most %s ratings a rank (%.2f of the mean), %s of %s %s fetched",
                 gmf_side_noun((gmf_side)s), gmf_thousands(most[0]), mean > 0 ? (double)most[0] / mean : 1,
                 gmf_thousands(most[1]), gmf_thousands(t->dataset->n[gmf_other_side((gmf_side)s)]),
                 gmf_side_name(gmf_other_side((gmf_side)s)));
  }
}

/* Called by the solver: a line that is written over. */
static void show_progress(void *context, gmf_side side, double share)
{
  const training *t = context;
  gmf_log_live(t->log, "sweep %3" PRId64 "/%" PRId64 "  %s %3.0f%%", t->n_sweeps + 1, t->config->iterations,
               gmf_side_name(side), 100 * share);
}

static gmf_als_options als_options(training *t)
{
  const gmf_config *c = t->config;
  return (gmf_als_options){.row = gmf_config_row(c),
                           .regularisation = gmf_config_regularisation(c),
                           .center = c->center == GMF_CENTER_GLOBAL,
                           .seed = (uint64_t)c->seed,
                           .deterministic = c->deterministic,
                           .progress = t->log->live ? show_progress : NULL,
                           .context = t};
}

static gmf_status distribute(training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_dataset *d = t->dataset;
  gmf_rating_source source = {{d->n[0], d->n[1]}, d->row_begin, d->row_end, d->indptr, d->has_weight, read_source, d};
  gmf_phase before = gmf_trace_phase(t->grid->trace, GMF_PHASE_DISTRIBUTE);
  GMF_TRY(place_rows(t, &source, err));
  gmf_als_options options = als_options(t);
  size_t row_bytes = (size_t)gmf_als_ld(&options.row) * sizeof(float);
  if (t->config->algorithm == GMF_ALGORITHM_SVD) row_bytes = gmf_train_svd_row_bytes(t->config, d);
  GMF_TRY(gmf_blocks_create(t->grid, &source, t->axes, row_bytes, t->blocks, err));
  if (t->config->algorithm != GMF_ALGORITHM_POPULARITY) log_balance(t);
cleanup:
  gmf_trace_phase(t->grid->trace, before);
  return status;
}

/* ---- sweeps ------------------------------------------------------------------------------------------------------ */

/* Local. Replaces the solver's message by one with the external id of the row and what to change. */
static gmf_status name_singular_row(const training *t, const gmf_als_singular *singular, gmf_error *err)
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

static void format_duration(double seconds, char *out, size_t size)
{
  int64_t s = (int64_t)(seconds + 0.5);
  if (seconds < 10)
    snprintf(out, size, "%.1f s", seconds);
  else if (s < 60)
    snprintf(out, size, "%" PRId64 " s", s);
  else if (s < 3600)
    snprintf(out, size, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
  else
    snprintf(out, size, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
}

/* Metrics after sweep i: in words, the first two, and as members of a JSON object. */
static void describe_metrics(const training *t, int64_t i, char *out, size_t size, json_t *event)
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

static void log_sweep(const training *t, int64_t i, const gmf_als_sweep *sweep)
{
  char left[32], metrics[160];
  int64_t n = t->config->iterations;
  double rate = 2 * (double)t->dataset->nnz / fmax(t->seconds[i], 1e-9);
  bool last = i + 1 == n;
  json_t *event =
      json_pack("{s:I, s:f, s:f, s:f, s:f, s:I, s:I}", "n", (json_int_t)(i + 1), "objective", sweep->objective, "loss",
                sweep->loss, "seconds", t->seconds[i], "ratings_per_second", rate, "rows_in_f8",
                (json_int_t)sweep->n_retried, "rows_with_jitter", (json_int_t)sweep->n_jittered);
  describe_metrics(t, i, metrics, sizeof metrics, event);
  format_duration((MPI_Wtime() - t->started) / (double)(i + 1 - t->first_sweep) * (double)(n - 1 - i), left,
                  sizeof left);
  gmf_log_line(t->log, "sweep %3" PRId64 "/%" PRId64 "  objective %.8e%s  %8.3f s  %7.2f M ratings/s%s%s%s", i + 1, n,
               sweep->objective, metrics, t->seconds[i], rate / 1e6, last ? "" : "  ", last ? "" : left,
               last ? "" : " left");
  gmf_log_event(t->log, "sweep", event);
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

static const gmf_factor *model_factor(const training *t, gmf_side side)
{
  return t->als != NULL ? gmf_als_factor(t->als, side) : t->popularity[side];
}

/* One side of the model in dataset order, my slice; arrays owned. */
typedef struct side_slices {
  float *factors, *bias;
  int64_t *counts;
} side_slices;

/* Collective. */
static gmf_status side_parts(const training *t, gmf_side side, side_slices *slices, gmf_model_side *part,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_factor *f = model_factor(t, side);
  const gmf_block *b = t->blocks[side];
  const int64_t *own = b->counts + (f->axis->prefix[t->grid->rank] - b->row_begin);
  GMF_TRY(gmf_factor_to_slices(t->grid, f, 0, f->k, &slices->factors, &part->begin, &part->n, err));
  if (t->config->bias)
    GMF_TRY(
        gmf_factor_to_slices(t->grid, f, gmf_bias_column(f->k, side), 1, &slices->bias, &part->begin, &part->n, err));
  GMF_TRY(gmf_axis_to_slices(t->grid, f->axis, own, sizeof *own, sizeof *own, (void **)&slices->counts, &part->begin,
                             &part->n, err));
  part->factors = slices->factors;
  part->bias = slices->bias;
  part->counts = slices->counts;
cleanup:
  return status;
}

static const char *const BEST_NAMES[GMF_N_SIDES] = {GMF_GROUP_STATE "/best_users", GMF_GROUP_STATE "/best_items"};

/* Columns of a row that mean something: factors and biases. */
static int n_columns(const training *t) { return gmf_row_order((int)t->config->factors, t->config->bias); }

/* Collective. What early stopping remembers, for a checkpoint: my slices of the best rows. */
static gmf_status best_parts(const training *t, gmf_writer *w, gmf_model_extra extras[GMF_N_SIDES], int *n_extras,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_best_sweep *best = t->validation != NULL ? gmf_validation_best(t->validation) : NULL;
  if (best == NULL || best->sweep == 0) return GMF_OK;
  gmf_writer_attr_i64(w, GMF_GROUP_STATE, "best_sweep", best->sweep);
  gmf_writer_attr_f64(w, GMF_GROUP_STATE, "best_value", best->value);
  gmf_writer_attr_i64(w, GMF_GROUP_STATE, "n_worse", best->n_worse);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_factor rows = *gmf_als_factor(t->als, (gmf_side)s); /* as the solver's rows lie, but others */
    rows.rows = gmf_validation_best_rows(t->validation, (gmf_side)s);
    gmf_model_extra *e = &extras[s];
    *e = (gmf_model_extra){.name = BEST_NAMES[s], .n_rows = t->dataset->n[s], .n_cols = n_columns(t)};
    GMF_TRY(gmf_factor_to_slices(t->grid, &rows, 0, n_columns(t), &e->owned, &e->begin, &e->n, err));
  }
  *n_extras = GMF_N_SIDES;
cleanup:
  return status;
}

/* Collective. The model after the sweeps so far, with a writer that knows its options. last: rows are freed on the way.
 */
static gmf_status write_model(training *t, gmf_writer *w, bool with_seen, bool last, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t k = t->config->factors, n = t->n_sweeps;
  side_slices slices[GMF_N_SIDES] = {{0}};
  double *gram = NULL, *seconds = NULL;
  gmf_model_history history[3 + GMF_METRICS_MAX] = {
      {"objective", t->objective}, {"loss", t->loss}, {"seconds", t->seconds}};
  gmf_model_extra extras[GMF_N_SIDES] = {{0}};
  int n_metrics = gmf_validation_n(t->validation);
  gmf_model_parts parts = {.k = (int)k,
                           .with_bias = t->config->bias,
                           .global_mean = t->als != NULL ? gmf_als_mean(t->als) : 0,
                           .with_seen = with_seen,
                           .n_sweeps = n,
                           .history = history,
                           .n_history = 3 + n_metrics,
                           .extras = extras};
  gmf_phase before = gmf_trace_phase(t->grid->trace, GMF_PHASE_WRITE);

  for (int m = 0; m < n_metrics; m++)
    history[3 + m] =
        (gmf_model_history){gmf_validation_name(t->validation, m), gmf_validation_values(t->validation, m)};
  for (int s = 0; s < GMF_N_SIDES; s++) GMF_TRY(side_parts(t, (gmf_side)s, &slices[s], &parts.sides[s], err));
  if (!last) GMF_TRY(best_parts(t, w, extras, &parts.n_extras, err));
  if (t->config->algorithm == GMF_ALGORITHM_IALS) {
    GMF_TRY(gmf_agree(t->grid, GMF_NEW(gram, k * k, err), err));
    gmf_als_gram(t->als, GMF_ITEMS, gram);
    parts.items_gram = gram;
  }
  if (last) {                 /* ratings and solver are not needed to write, and their memory is */
    gmf_als_destroy(&t->als); /* a validation keeps its values, and is not run again */
    for (int s = 0; s < GMF_N_SIDES; s++) gmf_block_destroy(&t->blocks[s]);
  }
  if (gmf_provenance_reproducible()) {
    GMF_TRY(gmf_agree(t->grid, GMF_NEW_ZERO(seconds, n, err), err));
    history[2].values = seconds;
  }
  GMF_TRY(gmf_model_write(t->grid, w, t->dataset, &parts, err));

cleanup:
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_free(slices[s].factors);
    gmf_free(slices[s].bias);
    gmf_free(slices[s].counts);
    gmf_free(extras[s].owned);
  }
  gmf_free(seconds);
  gmf_free(gram);
  gmf_trace_phase(t->grid->trace, before);
  return status;
}

/* Local. What every file of the run says of it. */
static void describe_run(training *t, gmf_writer *w)
{
  gmf_provenance_add_options(w, GMF_VERB_TRAIN, t->config);
  gmf_provenance_add(w, t->grid, t->argc, t->argv, omp_get_max_threads());
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "dataset", t->dataset->path);
}

static gmf_status write_checkpoint(training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_writer *w = NULL;
  char path[GMF_PATH_BYTES + 32];
  double begin = gmf_monotonic_seconds();
  gmf_checkpoint_path(&t->checkpoints, t->n_sweeps, path, sizeof path);
  GMF_TRY(gmf_writer_open(t->grid, path, GMF_FORMAT_MODEL, &w, err));
  describe_run(t, w);
  gmf_checkpoint_add_state(&t->checkpoints, w, t->n_sweeps, omp_get_max_threads());
  GMF_TRY(write_model(t, w, false, false, err));
  gmf_checkpoints_written(&t->checkpoints, t->n_sweeps);
  double seconds = gmf_monotonic_seconds() - begin;
  t->stopping.longest_writing = fmax(t->stopping.longest_writing, seconds);
  gmf_log_line(t->log, "checkpoint %s: %.1f MB in %.2f s", path, (double)gmf_writer_bytes(w) / 1e6, seconds);
  gmf_log_event(t->log, "checkpoint",
                json_pack("{s:s, s:I, s:I, s:f}", "path", path, "sweep", (json_int_t)t->n_sweeps, "bytes",
                          (json_int_t)gmf_writer_bytes(w), "seconds", seconds));
cleanup:
  gmf_writer_destroy(&w);
  return status;
}

/* Collective. After a sweep that is not the last: a checkpoint when one is due, and the end of the run when something
 * asks for it. */
static gmf_status after_sweep(training *t, double seconds, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (!t->checkpoints.enabled) return GMF_OK;
  t->stopping.longest_sweep = fmax(t->stopping.longest_sweep, seconds);
  gmf_stop_reason reason = gmf_stopping_decide(t->grid, &t->stopping);
  if (reason != GMF_STOP_NONE || gmf_checkpoints_due(&t->checkpoints)) GMF_TRY(write_checkpoint(t, err));
  if (reason == GMF_STOP_NONE) return GMF_OK;
  if (reason == GMF_STOP_FILE && t->grid->rank == 0) remove(t->checkpoints.stop_file);
  gmf_log_event(t->log, "stop",
                json_pack("{s:s, s:I}", "reason", gmf_stop_reason_text(reason), "sweep", (json_int_t)t->n_sweeps));
  GMF_TRY(gmf_fail(err, GMF_STOPPED,
                   "stopped by %s after sweep %" PRId64 " of %" PRId64 "; the checkpoint in %s is whole: give the same "
                   "command again to go on",
                   gmf_stop_reason_text(reason), t->n_sweeps, t->config->iterations, t->config->checkpoint));
cleanup:
  return status;
}

/* Collective. What early stopping remembered, and the history of the metrics. */
static gmf_status load_best(training *t, gmf_model_file *file, int64_t sweep, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const char *text = gmf_model_file_attribute_text(file, GMF_GROUP_STATE "/best_sweep");
  gmf_best_sweep *best = t->validation != NULL ? gmf_validation_best(t->validation) : NULL;
  for (int m = 0; m < gmf_validation_n(t->validation) && local == GMF_OK; m++)
    local = gmf_model_file_history(file, gmf_validation_name(t->validation, m), sweep,
                                   gmf_validation_values(t->validation, m), err);
  GMF_TRY(gmf_agree(t->grid, local, err));
  if (best == NULL || text == NULL) return GMF_OK;
  const char *value = gmf_model_file_attribute_text(file, GMF_GROUP_STATE "/best_value");
  const char *n_worse = gmf_model_file_attribute_text(file, GMF_GROUP_STATE "/n_worse");
  *best = (gmf_best_sweep){strtoll(text, NULL, 10), value != NULL ? strtod(value, NULL) : NAN,
                           n_worse != NULL ? strtoll(n_worse, NULL, 10) : 0};
  for (int s = 0; s < GMF_N_SIDES; s++) {
    const gmf_factor *f = gmf_als_factor(t->als, (gmf_side)s);
    int64_t rows = t->dataset->n[s], begin = gmf_slice_begin(rows, t->grid->size, t->grid->rank);
    int64_t n = gmf_slice_begin(rows, t->grid->size, t->grid->rank + 1) - begin, row_bytes = n_columns(t) * 4;
    float *slice = NULL;
    local = GMF_NEW(slice, n * n_columns(t), err);
    if (local == GMF_OK) local = gmf_model_file_extra(file, BEST_NAMES[s], rows, n_columns(t), begin, n, slice, err);
    status = gmf_agree(t->grid, local, err);
    if (status == GMF_OK)
      status = gmf_axis_from_slices(t->grid, f->axis, slice, row_bytes,
                                    gmf_validation_best_rows(t->validation, (gmf_side)s), f->ld * 4, err);
    gmf_free(slice);
    GMF_TRY(status);
  }
cleanup:
  return status;
}

/* Collective. Takes factors and history from a checkpoint, which fits. */
static gmf_status load_checkpoint(training *t, gmf_model_file *file, int64_t sweep, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t k = t->config->factors;
  const struct {
    const char *name;
    double *values;
  } histories[] = {{"objective", t->objective}, {"loss", t->loss}, {"seconds", t->seconds}};
  for (size_t h = 0; h < sizeof histories / sizeof *histories && local == GMF_OK; h++)
    local = gmf_model_file_history(file, histories[h].name, sweep, histories[h].values, err);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    int64_t rows = t->dataset->n[s], begin = gmf_slice_begin(rows, t->grid->size, t->grid->rank);
    int64_t n = gmf_slice_begin(rows, t->grid->size, t->grid->rank + 1) - begin;
    float *factors = NULL, *bias = NULL;
    if (local == GMF_OK) local = GMF_NEW(factors, n * k, err);
    if (local == GMF_OK) local = GMF_NEW(bias, n, err);
    if (local == GMF_OK) local = gmf_model_file_factors(file, (gmf_side)s, begin, n, factors, err);
    if (local == GMF_OK) local = gmf_model_file_bias(file, (gmf_side)s, begin, n, bias, err);
    status = gmf_agree(t->grid, local, err);
    if (status == GMF_OK) status = gmf_als_load(t->als, (gmf_side)s, factors, bias, err);
    gmf_free(factors);
    gmf_free(bias);
    GMF_TRY(status);
  }
  t->n_sweeps = t->first_sweep = sweep;
  GMF_TRY(load_best(t, file, sweep, err));
cleanup:
  return status;
}

/* Collective. The solver, from its start or from a checkpoint, and the validation. */
static gmf_status start_als(training *t, gmf_model_file *resumed, int64_t sweep, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_als_options options = als_options(t);
  GMF_TRY(gmf_als_create(t->grid, &options, t->axes, t->blocks, &t->als, err));
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
  if (resumed != NULL) GMF_TRY(load_checkpoint(t, resumed, sweep, err));
cleanup:
  return status;
}

/* Collective. Validation after a sweep where it is due. */
static gmf_status validate(training *t, bool *stop, gmf_error *err)
{
  *stop = false;
  if (!gmf_validation_due(t->validation, t->n_sweeps)) return GMF_OK;
  return gmf_validation_run(t->validation, t->n_sweeps, stop, err);
}

/* Collective. With early stopping: goes back to the best sweep. */
static void take_best(training *t)
{
  const gmf_best_sweep *best = t->validation != NULL ? gmf_validation_best(t->validation) : NULL;
  if (best == NULL || best->sweep == 0) return;
  gmf_validation_restore_best(t->validation);
  gmf_writer_attr_i64(t->writer, "/", "best_iteration", best->sweep);
  gmf_log_line(t->log, "the best sweep was %" PRId64 ", with %s %.5f; the model is of that sweep", best->sweep,
               gmf_validation_name(t->validation, 0), best->value);
  gmf_log_event(t->log, "best", json_pack("{s:I, s:f}", "sweep", (json_int_t)best->sweep, "value", best->value));
}

static gmf_status run_sweeps(training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  t->started = MPI_Wtime();
  for (int64_t i = t->first_sweep; i < t->config->iterations; i++) {
    gmf_als_sweep sweep = {0};
    gmf_als_singular singular = {GMF_USERS, -1};
    bool stop = false;
    double before = MPI_Wtime();
    status = gmf_als_sweep_run(t->als, &sweep, &singular, err);
    if (status == GMF_ERR_NUMERIC) status = gmf_agree(t->grid, name_singular_row(t, &singular, err), err);
    GMF_TRY(status);
    if (!isfinite(sweep.objective))
      GMF_TRY(gmf_fail(err, GMF_ERR_NUMERIC,
                       "sweep %" PRId64 ": the objective is not finite; ratings, --alpha or "
                       "--lambda are too large for single precision",
                       i + 1));
    t->seconds[i] = MPI_Wtime() - before;
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
    if (t->n_sweeps < t->config->iterations) GMF_TRY(after_sweep(t, t->seconds[i], err));
  }
  take_best(t);
cleanup:
  return status;
}

static gmf_status open_files(training *t, const char *path, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = t->config->iterations;
  if (t->config->output[0] == '\0') GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "-o MODEL.h5 is needed"));
  GMF_TRY(gmf_dataset_open(t->grid, path, &t->dataset, err));
  if (t->dataset->nnz == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: holds no ratings", path));
  GMF_TRY(gmf_writer_open(t->grid, t->config->output, GMF_FORMAT_MODEL, &t->writer, err));
  describe_run(t, t->writer);
  gmf_log_lines(t->log, gmf_writer_notes(t->writer));
  status = GMF_NEW_ZERO(t->objective, n, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(t->loss, n, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(t->seconds, n, err);
  GMF_TRY(gmf_agree(t->grid, status, err));
cleanup:
  return status;
}

gmf_status gmf_train(const gmf_grid *grid, const char *dataset, const gmf_config *config, int argc, char *const *argv,
                     gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK;
  training t = {.grid = grid, .config = config, .log = log, .argc = argc, .argv = argv};
  gmf_model_file *resumed = NULL;
  gmf_train_memory memory;
  int64_t sweep = 0;

  GMF_TRY(open_files(&t, dataset, err));
  gmf_log_line(log, "%s: %s users, %s items, %s ratings", dataset, gmf_thousands(t.dataset->n[GMF_USERS]),
               gmf_thousands(t.dataset->n[GMF_ITEMS]), gmf_thousands(t.dataset->nnz));
  gmf_log_config(log, GMF_VERB_TRAIN, config);
  gmf_log_line(log, "%d ranks x %d threads, grid %dx%d, %s kernels", grid->size, omp_get_max_threads(), grid->n_rows,
               grid->n_cols, gmf_kernel_level_name(gmf_kernel_level()));
  GMF_TRY(gmf_train_memory_start(grid, config, t.dataset, log, &memory, err));
  GMF_TRY(gmf_checkpoints_open(grid, config, log, t.dataset, &t.checkpoints, err));
  if (t.checkpoints.enabled) gmf_stopping_start(&t.stopping, config->max_time, t.checkpoints.stop_file);
  GMF_TRY(gmf_checkpoints_find(&t.checkpoints, &resumed, &sweep, err));
  GMF_TRY(distribute(&t, err));
  if (config->algorithm == GMF_ALGORITHM_SVD) {
    gmf_svd_run run = {grid, config, log, t.dataset, t.axes, t.blocks, t.writer};
    status = gmf_train_svd(&run, err);
    goto cleanup;
  }
  GMF_TRY(gmf_train_memory_exact(grid, t.blocks, log, &memory, err));
  if (config->algorithm == GMF_ALGORITHM_POPULARITY && config->test[0] != '\0')
    gmf_log_line(log, "note: popularity has no sweeps to validate; use gridmf evaluate with %s", config->test);
  if (config->algorithm == GMF_ALGORITHM_POPULARITY)
    GMF_TRY(gmf_popularity_create(grid, t.axes, t.blocks, t.popularity, err));
  else
    GMF_TRY(start_als(&t, resumed, sweep, err));
  gmf_model_file_close(&resumed);
  GMF_TRY(run_sweeps(&t, err));
  GMF_TRY(write_model(&t, t.writer, config->seen, true, err));
  gmf_log_line(log, "wrote %s: %.1f MB, verified by reading back", config->output,
               (double)gmf_writer_bytes(t.writer) / 1e6);
  gmf_log_event(log, "model",
                json_pack("{s:s, s:I}", "path", config->output, "bytes", (json_int_t)gmf_writer_bytes(t.writer)));

cleanup:
  gmf_model_file_close(&resumed);
  free_training(&t);
  return status;
}
