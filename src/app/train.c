#include "app/train.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "app/memory_check.h"
#include "app/provenance.h"
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
  gmf_als *als;
  gmf_writer *writer;
  double *objective, *loss, *seconds; /* [iterations] */
  int64_t n_sweeps;                   /* done */
  double started;                     /* when the first sweep began */
} training;

static void free_training(training *t)
{
  gmf_writer_destroy(&t->writer);
  gmf_als_destroy(&t->als);
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
  return (gmf_als_options){
      .row = {(int)c->factors, c->bias, gmf_config_loss(c), (gmf_solver)c->solver, (int)c->cg_steps, c->nonnegative},
      .regularisation = {c->lambda, c->lambda_bias, (gmf_lambda_scale)c->lambda_scale, c->lambda_exponent},
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
  GMF_TRY(gmf_blocks_create(t->grid, &source, t->axes, gmf_als_ld(&options.row), t->blocks, err));
  log_balance(t);
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

static void log_sweep(const training *t, int64_t i, const gmf_als_sweep *sweep)
{
  char left[32];
  int64_t n = t->config->iterations;
  double rate = 2 * (double)t->dataset->nnz / fmax(t->seconds[i], 1e-9);
  bool last = i + 1 == n;
  format_duration((MPI_Wtime() - t->started) / (double)(i + 1) * (double)(n - 1 - i), left, sizeof left);
  gmf_log_line(t->log, "sweep %3" PRId64 "/%" PRId64 "  objective %.8e  %8.3f s  %7.2f M ratings/s%s%s%s", i + 1, n,
               sweep->objective, t->seconds[i], rate / 1e6, last ? "" : "  ", last ? "" : left, last ? "" : " left");
  gmf_log_event(
      t->log, "sweep",
      json_pack("{s:I, s:f, s:f, s:f, s:f, s:I, s:I}", "n", (json_int_t)(i + 1), "objective", sweep->objective, "loss",
                sweep->loss, "seconds", t->seconds[i], "ratings_per_second", rate, "rows_in_f8",
                (json_int_t)sweep->n_retried, "rows_with_jitter", (json_int_t)sweep->n_jittered));
}

static gmf_status run_sweeps(training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  t->started = MPI_Wtime();
  for (int64_t i = 0; i < t->config->iterations; i++) {
    gmf_als_sweep sweep = {0};
    gmf_als_singular singular = {GMF_USERS, -1};
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
    log_sweep(t, i, &sweep);
    if (sweep.n_jittered > 0)
      gmf_log_line(
          t->log,
          "warning: %s rows were singular to f8 although lambda is above zero, and got %g of their mean diagonal "
          "more; a larger --lambda avoids it",
          gmf_thousands(sweep.n_jittered), GMF_JITTER);
  }
cleanup:
  return status;
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

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
  const gmf_factor *f = gmf_als_factor(t->als, side);
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

static gmf_status write_model(training *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t k = t->config->factors;
  side_slices slices[GMF_N_SIDES] = {{0}};
  double *gram = NULL;
  gmf_model_history history[] = {{"objective", t->objective}, {"loss", t->loss}, {"seconds", t->seconds}};
  gmf_model_parts parts = {.k = (int)k,
                           .with_bias = t->config->bias,
                           .global_mean = gmf_als_mean(t->als),
                           .with_seen = t->config->seen,
                           .n_sweeps = t->config->iterations,
                           .history = history,
                           .n_history = 3};
  gmf_phase before = gmf_trace_phase(t->grid->trace, GMF_PHASE_WRITE);

  for (int s = 0; s < GMF_N_SIDES; s++) GMF_TRY(side_parts(t, (gmf_side)s, &slices[s], &parts.sides[s], err));
  if (t->config->algorithm == GMF_ALGORITHM_IALS) {
    GMF_TRY(gmf_agree(t->grid, GMF_NEW(gram, k * k, err), err));
    gmf_als_gram(t->als, GMF_ITEMS, gram);
    parts.items_gram = gram;
  }
  gmf_als_destroy(&t->als); /* ratings and solver are not needed to write, and their memory is */
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_block_destroy(&t->blocks[s]);
  if (gmf_provenance_reproducible()) memset(t->seconds, 0, (size_t)t->config->iterations * sizeof *t->seconds);
  GMF_TRY(gmf_model_write(t->grid, t->writer, t->dataset, &parts, err));
  gmf_log_line(t->log, "wrote %s: %.1f MB, verified by reading back", t->config->output,
               (double)gmf_writer_bytes(t->writer) / 1e6);
  gmf_log_event(t->log, "model",
                json_pack("{s:s, s:I}", "path", t->config->output, "bytes", (json_int_t)gmf_writer_bytes(t->writer)));

cleanup:
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_free(slices[s].factors);
    gmf_free(slices[s].bias);
    gmf_free(slices[s].counts);
  }
  gmf_free(gram);
  gmf_trace_phase(t->grid->trace, before);
  return status;
}

static gmf_status open_files(training *t, const char *path, int argc, char *const *argv, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = t->config->iterations;
  if (t->config->output[0] == '\0') GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "-o MODEL.h5 is needed"));
  GMF_TRY(gmf_dataset_open(t->grid, path, &t->dataset, err));
  if (t->dataset->nnz == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: holds no ratings", path));
  GMF_TRY(gmf_writer_open(t->grid, t->config->output, GMF_FORMAT_MODEL, &t->writer, err));
  gmf_log_lines(t->log, gmf_writer_notes(t->writer));
  gmf_provenance_add_options(t->writer, GMF_VERB_TRAIN, t->config);
  gmf_provenance_add(t->writer, t->grid, argc, argv, omp_get_max_threads());
  gmf_writer_attr_text(t->writer, GMF_GROUP_PROVENANCE, "dataset", path);
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
  training t = {.grid = grid, .config = config, .log = log};
  gmf_als_options options = als_options(&t);
  gmf_train_memory memory;

  GMF_TRY(open_files(&t, dataset, argc, argv, err));
  gmf_log_line(log, "%s: %s users, %s items, %s ratings", dataset, gmf_thousands(t.dataset->n[GMF_USERS]),
               gmf_thousands(t.dataset->n[GMF_ITEMS]), gmf_thousands(t.dataset->nnz));
  gmf_log_config(log, GMF_VERB_TRAIN, config);
  gmf_log_line(log, "%d ranks x %d threads, grid %dx%d, %s kernels", grid->size, omp_get_max_threads(), grid->n_rows,
               grid->n_cols, gmf_kernel_level_name(gmf_kernel_level()));
  GMF_TRY(gmf_train_memory_start(grid, config, t.dataset, log, &memory, err));
  GMF_TRY(distribute(&t, err));
  GMF_TRY(gmf_train_memory_exact(grid, t.blocks, log, &memory, err));
  GMF_TRY(gmf_als_create(grid, &options, t.axes, t.blocks, &t.als, err));
  if (gmf_als_n_negative(t.als) > 0)
    gmf_log_line(log,
                 "warning: %s ratings have alpha x |rating| below 1, and so weigh less than a pair without a rating; a "
                 "larger --alpha, or --loss hkv, avoids it",
                 gmf_thousands(gmf_als_n_negative(t.als)));
  GMF_TRY(run_sweeps(&t, err));
  GMF_TRY(write_model(&t, err));

cleanup:
  free_training(&t);
  return status;
}
