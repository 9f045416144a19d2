/* The files of a training: the model, checkpoints on the way to it, and the way back from one. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "app/provenance.h"
#include "app/training.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/layout.h"
#include "io/model_write.h"
#include "kernel/dense.h"

static const gmf_factor *model_factor(const gmf_training *t, gmf_side side)
{
  return t->als != NULL ? gmf_als_factor(t->als, side) : t->popularity[side];
}

/* One side of the model in dataset order, my slice; arrays owned. */
typedef struct side_slices {
  float *factors, *bias;
  int64_t *counts;
} side_slices;

/* Local. Rows without ratings are what their features predict: B'f, and not below zero where no factor is. */
static void fill_cold_rows(const gmf_training *t, gmf_side side, int64_t n, const int64_t *counts, float *factors)
{
  int k = (int)t->config->factors;
  const double *weights = t->als != NULL ? gmf_als_weights(t->als, side) : NULL;
  double mean[GMF_MAX_FACTORS];
  for (int64_t r = 0; r < n && weights != NULL; r++) {
    if (counts[r] > 0) continue;
    gmf_feature_rows_product(&t->features[side].rows, r, weights, k, mean);
    for (int c = 0; c < k; c++) factors[r * k + c] = (float)(t->config->nonnegative && mean[c] < 0 ? 0 : mean[c]);
  }
}

/* Collective. */
static gmf_status side_parts(const gmf_training *t, gmf_side side, side_slices *slices, gmf_model_side *part,
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
  fill_cold_rows(t, side, part->n, slices->counts, slices->factors);
  part->factors = slices->factors;
  part->bias = slices->bias;
  part->counts = slices->counts;
cleanup:
  return status;
}

static const char *const BEST_NAMES[GMF_N_SIDES] = {GMF_GROUP_STATE "/best_users", GMF_GROUP_STATE "/best_items"};

/* Columns of a row that mean something: factors and biases. */
static int n_columns(const gmf_training *t) { return gmf_row_order((int)t->config->factors, t->config->bias); }

/* Collective. What early stopping remembers, for a checkpoint: my slices of the best rows. */
static gmf_status best_parts(const gmf_training *t, gmf_writer *w, gmf_model_extra extras[GMF_N_SIDES], int *n_extras,
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
    float *slice = NULL;
    *e = (gmf_model_extra){.name = BEST_NAMES[s], .n_rows = t->dataset->n[s], .n_cols = n_columns(t), .type = GMF_F4};
    GMF_TRY(gmf_factor_to_slices(t->grid, &rows, 0, n_columns(t), &slice, &e->begin, &e->n, err));
    e->owned = slice;
  }
  *n_extras = GMF_N_SIDES;
cleanup:
  return status;
}

/* Local. A side's weights, which outlive the solver; zero where no row has a feature. */
static gmf_status copy_weights(const gmf_training *t, gmf_side side, double **out, gmf_error *err)
{
  int64_t words = t->features[side].names.n * t->config->factors;
  const double *from = gmf_als_weights(t->als, side);
  gmf_status status = GMF_NEW_ZERO(*out, words, err);
  for (int64_t j = 0; j < words && status == GMF_OK && from != NULL; j++) (*out)[j] = from[j];
  return status;
}

gmf_status gmf_training_write(gmf_training *t, gmf_writer *w, bool with_seen, bool last, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t k = t->config->factors, n = t->n_sweeps;
  side_slices slices[GMF_N_SIDES] = {{0}};
  double *gram = NULL, *seconds = NULL, *weights[GMF_N_SIDES] = {NULL, NULL};
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
  for (int s = 0; s < GMF_N_SIDES; s++) {
    if (!t->config->features[s]) continue;
    GMF_TRY(gmf_agree(t->grid, copy_weights(t, (gmf_side)s, &weights[s], err), err));
    parts.features[s] = &t->features[s];
    parts.feature_weights[s] = weights[s];
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
    gmf_free(weights[s]);
  }
  gmf_free(seconds);
  gmf_free(gram);
  gmf_trace_phase(t->grid->trace, before);
  return status;
}

gmf_status gmf_training_save(void *training, gmf_writer *w, gmf_error *err)
{
  return gmf_training_write(training, w, false, false, err);
}

/* ---- reading a checkpoint ------------------------------------------------------------------------------------------
 */

/* Collective. What early stopping remembered, and the history of the metrics. */
static gmf_status load_best(gmf_training *t, gmf_model_file *file, int64_t sweep, gmf_error *err)
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
    if (local == GMF_OK)
      local = gmf_model_file_extra(file, BEST_NAMES[s], rows, n_columns(t), GMF_F4, begin, n, slice, err);
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

gmf_status gmf_training_load(gmf_training *t, gmf_model_file *file, int64_t sweep, gmf_error *err)
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
  gmf_als_refit(t->als);
  if (sweep > 0) gmf_als_resume(t->als, sweep, t->objective[sweep - 1]);
  t->n_sweeps = t->first_sweep = sweep;
  GMF_TRY(load_best(t, file, sweep, err));
cleanup:
  return status;
}
