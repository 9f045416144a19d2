/*
 * The files of a training of an SVD: the model, checkpoints on the way to it, and the way back from one. A checkpoint's
 * factors are the triplets as they are so far; what the run goes on from are the bases in its /state.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/training_svd.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/layout.h"
#include "io/model_write.h"

static const char *const BASIS_NAMES[GMF_N_SIDES] = {GMF_GROUP_STATE "/basis_users", GMF_GROUP_STATE "/basis_items"};
static const char KEPT_NAME[] = GMF_GROUP_STATE "/kept";

enum { WORD = sizeof(double) };

/* ---- factors ----------------------------------------------------------------------------------------------------- */

/* Collective. The same numbers as f8 attributes of the root. */
static void add_certificates(gmf_writer *w, const gmf_svd *svd)
{
  const gmf_svd_certificates *c = &svd->certificates;
  gmf_writer_attr_f64(w, "/", "orthogonality_users", c->orthogonality[GMF_USERS]);
  gmf_writer_attr_f64(w, "/", "orthogonality_items", c->orthogonality[GMF_ITEMS]);
  gmf_writer_attr_f64(w, "/", "frobenius_norm", sqrt(c->square));
  gmf_writer_attr_f64(w, "/", "captured", c->captured);
  gmf_writer_attr_f64(w, "/", "spectral_bound", c->bound);
  gmf_writer_attr_f64(w, "/", "spectral_bound_miss", c->miss_probability);
  gmf_writer_attr_i64(w, "/", "restarts", svd->n_restarts);
  gmf_writer_attr_i64(w, "/", "products", svd->n_products);
}

/* One side in dataset order, my slice; all owned. */
typedef struct side_slices {
  double *factors, *bias;
  int64_t *counts;
} side_slices;

/* Local. Columns times powers of the singular values: U S and V, or both with half of it. */
static void scale_columns(const gmf_svd *svd, gmf_side side, bool halves, int64_t n, double *rows)
{
  for (int64_t r = 0; r < n; r++)
    for (int c = 0; c < svd->k; c++)
      rows[r * svd->k + c] *= halves ? sqrt(svd->values[c]) : side == GMF_USERS ? svd->values[c] : 1;
}

/* Collective. */
static gmf_status slice_side(const gmf_svd_run *run, const gmf_svd *svd, gmf_side side, bool with_bias,
                             side_slices *slices, gmf_model_side *part, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_tall *x = svd->vectors[side];
  const gmf_block *b = run->blocks[side];
  const int64_t *counts = b->counts + (x->begin - b->row_begin);
  const double *offsets = svd->op->offsets[side];
  double *zeros = NULL;
  GMF_TRY(gmf_axis_to_slices(run->grid, x->axis, x->rows, (int64_t)x->ld * WORD, (int64_t)svd->k * WORD,
                             (void **)&slices->factors, &part->begin, &part->n, err));
  scale_columns(svd, side, run->config->scaling == GMF_SCALING_SQRT, part->n, slices->factors);
  if (with_bias) {
    GMF_TRY(gmf_agree(run->grid, GMF_NEW_ZERO(zeros, x->n, err), err));
    GMF_TRY(gmf_axis_to_slices(run->grid, x->axis, offsets != NULL ? offsets : zeros, WORD, WORD,
                               (void **)&slices->bias, &part->begin, &part->n, err));
  }
  GMF_TRY(gmf_axis_to_slices(run->grid, x->axis, counts, sizeof *counts, sizeof *counts, (void **)&slices->counts,
                             &part->begin, &part->n, err));
  part->factors = slices->factors;
  part->bias = slices->bias;
  part->counts = slices->counts;
cleanup:
  gmf_free(zeros);
  return status;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Collective. Fills what model and checkpoint have in common into `parts`, and writes. */
static gmf_status write_file(const gmf_svd_training *t, gmf_writer *w, const gmf_svd *svd, gmf_model_parts *parts,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_svd_run *run = t->run;
  const gmf_svd_history *h = &t->history;
  side_slices slices[GMF_N_SIDES] = {{0}};
  gmf_model_history columns[] = {{"residual", h->residual}, {"products", h->products}, {"seconds", h->seconds}};
  gmf_phase before = gmf_trace_phase(run->grid->trace, GMF_PHASE_WRITE);
  parts->k = svd->k;
  parts->type = GMF_F8;
  parts->with_bias = run->config->center >= GMF_CENTER_USER;
  parts->global_mean = svd->op->mean;
  parts->n_sweeps = h->n;
  parts->history = columns;
  parts->n_history = 3;
  for (int s = 0; s < GMF_N_SIDES; s++)
    GMF_TRY(slice_side(run, svd, (gmf_side)s, parts->with_bias, &slices[s], &parts->sides[s], err));
  GMF_TRY(gmf_model_write(run->grid, w, run->dataset, parts, err));
cleanup:
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_free(slices[s].factors);
    gmf_free(slices[s].bias);
    gmf_free(slices[s].counts);
  }
  gmf_trace_phase(run->grid->trace, before);
  return status;
}

gmf_status gmf_svd_training_write(const gmf_svd_training *t, const gmf_svd *svd, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_svd_run *run = t->run;
  const gmf_svd_certificates *c = &svd->certificates;
  double *residuals = NULL;

  GMF_TRY(gmf_agree(run->grid, GMF_NEW(residuals, svd->k, err), err));
  for (int i = 0; i < svd->k; i++) residuals[i] = hypot(c->residuals[GMF_USERS][i], c->residuals[GMF_ITEMS][i]);
  gmf_model_array arrays[] = {{GMF_NAME_SINGULAR_VALUES, svd->values, svd->k},
                              {GMF_NAME_RESIDUALS, residuals, svd->k},
                              {GMF_NAME_USER_RESIDUALS, c->residuals[GMF_USERS], svd->k},
                              {GMF_NAME_ITEM_RESIDUALS, c->residuals[GMF_ITEMS], svd->k},
                              {GMF_NAME_SPECTRUM, svd->spectrum, svd->n_spectrum}};
  gmf_model_parts parts = {.with_seen = run->config->seen, .arrays = arrays, .n_arrays = svd->spectrum != NULL ? 5 : 4};
  add_certificates(run->writer, svd);
  GMF_TRY(write_file(t, run->writer, svd, &parts, err));
  gmf_log_model(run->log, run->config->output, gmf_writer_bytes(run->writer));
cleanup:
  gmf_free(residuals);
  return status;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

/* What a gmf_save_fn gets. */
typedef struct checkpoint {
  const gmf_svd_training *training;
  const gmf_svd *svd;
  const gmf_svd_state *state;
} checkpoint;

/* Collective. The bases and what was kept, as arrays of the file; at most GMF_N_SIDES + 1. */
static gmf_status state_arrays(const checkpoint *c, gmf_model_extra *extras, int *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_grid *grid = c->training->run->grid;
  const gmf_svd_state *state = c->state;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_columns x = state->basis[s];
    if (x.n == 0) continue;
    gmf_model_extra *e = &extras[(*n)++];
    *e = (gmf_model_extra){.name = BASIS_NAMES[s], .n_rows = x.tall->axis->n, .n_cols = x.n, .type = GMF_F8};
    GMF_TRY(gmf_axis_to_slices(grid, x.tall->axis, x.tall->rows, (int64_t)x.tall->ld * WORD, (int64_t)x.n * WORD,
                               &e->owned, &e->begin, &e->n, err));
  }
  if (state->n_kept == 0) return GMF_OK;
  int64_t n_rows = state->n_kept, n_cols = 1 + state->n_next;
  double *rows = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW(rows, n_rows * n_cols, err), err));
  memcpy(rows, state->kept, (size_t)(n_rows * n_cols) * sizeof *rows);
  extras[(*n)++] = (gmf_model_extra){.name = KEPT_NAME,
                                     .n_rows = n_rows,
                                     .n_cols = n_cols,
                                     .begin = grid->rank == 0 ? 0 : n_rows,
                                     .n = grid->rank == 0 ? n_rows : 0,
                                     .type = GMF_F8,
                                     .owned = rows};
cleanup:
  return status;
}

/* Collective. A gmf_save_fn. */
static gmf_status write_checkpoint(void *context, gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const checkpoint *c = context;
  gmf_model_extra extras[GMF_N_SIDES + 1] = {{0}};
  gmf_model_array values = {GMF_NAME_SINGULAR_VALUES, c->svd->values, c->svd->k};
  gmf_model_parts parts = {.arrays = &values, .n_arrays = 1, .extras = extras};
  gmf_writer_attr_i64(w, GMF_GROUP_STATE, "restarts", c->state->n_restarts);
  gmf_writer_attr_i64(w, GMF_GROUP_STATE, "products", c->state->n_products);
  gmf_writer_attr_i64(w, GMF_GROUP_STATE, "n_random", c->state->n_random);
  gmf_writer_attr_i64(w, GMF_GROUP_STATE, "normal", c->state->normal);
  gmf_writer_attr_i64(w, GMF_GROUP_STATE, "n_history", c->training->history.n);
  GMF_TRY(state_arrays(c, extras, &parts.n_extras, err));
  GMF_TRY(write_file(c->training, w, c->svd, &parts, err));
cleanup:
  for (int e = 0; e < GMF_N_SIDES + 1; e++) gmf_free(extras[e].owned);
  return status;
}

gmf_status gmf_svd_training_save(void *training, const gmf_svd *svd, const gmf_svd_state *state, gmf_error *err)
{
  gmf_svd_training *t = training;
  checkpoint c = {t, svd, state};
  gmf_status status = gmf_saving_write(t->run->saving, state->n_steps, write_checkpoint, &c, err);
  t->step_began = t->history.before = MPI_Wtime();
  return status;
}

/* ---- the way back ------------------------------------------------------------------------------------------------ */

/* A number of /state; *complete becomes false where there is none. */
static int64_t number_of(const gmf_model_file *file, const char *name, bool *complete)
{
  char path[64];
  snprintf(path, sizeof path, "%s/%s", GMF_GROUP_STATE, name);
  const char *text = gmf_model_file_attribute_text(file, path);
  *complete = *complete && text != NULL;
  return text != NULL ? strtoll(text, NULL, 10) : 0;
}

static gmf_status read_numbers(gmf_svd_training *t, gmf_svd_state *state, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_model_file *file = t->run->resumed;
  gmf_svd_history *h = &t->history;
  bool complete = true;
  *state = (gmf_svd_state){.n_steps = number_of(file, "sweep", &complete),
                           .n_restarts = number_of(file, "restarts", &complete),
                           .n_products = number_of(file, "products", &complete),
                           .n_random = number_of(file, "n_random", &complete),
                           .normal = number_of(file, "normal", &complete) != 0};
  int64_t n = number_of(file, "n_history", &complete);
  if (!complete || n < 0 || state->n_random < 0 || state->n_random > UINT32_MAX)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: its /state lacks what a singular value decomposition goes on from",
                     gmf_model_file_info(file)->path));
  h->n = gmf_min64(n, h->capacity);
  GMF_TRY(gmf_model_file_history(file, "residual", h->n, h->residual, err));
  GMF_TRY(gmf_model_file_history(file, "products", h->n, h->products, err));
  GMF_TRY(gmf_model_file_history(file, "seconds", h->n, h->seconds, err));
cleanup:
  return status;
}

gmf_status gmf_svd_training_resume(gmf_svd_training *t, gmf_svd_state *state, gmf_error *err)
{
  return gmf_agree(t->run->grid, read_numbers(t, state, err), err);
}

/* Collective. Columns of one side's basis. */
static gmf_status load_basis(const gmf_svd_run *run, gmf_side side, gmf_columns x, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t rows = x.tall->axis->n, begin = gmf_slice_begin(rows, run->grid->size, run->grid->rank);
  int64_t n = gmf_slice_begin(rows, run->grid->size, run->grid->rank + 1) - begin;
  double *slice = NULL;
  local = GMF_NEW(slice, n * x.n, err);
  if (local == GMF_OK)
    local = gmf_model_file_extra(run->resumed, BASIS_NAMES[side], rows, x.n, GMF_F8, begin, n, slice, err);
  GMF_TRY(gmf_agree(run->grid, local, err));
  GMF_TRY(gmf_axis_from_slices(run->grid, x.tall->axis, slice, (int64_t)x.n * WORD, x.tall->rows,
                               (int64_t)x.tall->ld * WORD, err));
cleanup:
  gmf_free(slice);
  return status;
}

gmf_status gmf_svd_training_load(void *training, const gmf_svd_state *state, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_svd_run *run = ((gmf_svd_training *)training)->run;
  if (state->n_kept > 0)
    local = gmf_model_file_extra(run->resumed, KEPT_NAME, state->n_kept, 1 + state->n_next, GMF_F8, 0, state->n_kept,
                                 state->kept, err);
  GMF_TRY(gmf_agree(run->grid, local, err));
  for (int s = 0; s < GMF_N_SIDES; s++)
    if (state->basis[s].n > 0) GMF_TRY(load_basis(run, (gmf_side)s, state->basis[s], err));
cleanup:
  return status;
}
