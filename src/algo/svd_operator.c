#include "algo/svd_operator.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/spmm.h"

void gmf_operator_destroy(gmf_operator **operator)
{
  gmf_operator *op = *operator;
  if (op == NULL) return;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_fold_destroy(&op->folds[s]);
    gmf_free(op->offsets[s]);
  }
  gmf_free(op->own);
  gmf_expand_space_destroy(&op->space);
  gmf_free(op->sums);
  gmf_free(op);
  *operator= NULL;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* Local. Products of local rows [begin, end) with the panel's rows of n doubles; row `begin` goes to y. */
static void multiply_rows(const gmf_operator *op, const gmf_block *b, int64_t begin, int64_t end, int n, double *y,
                          int64_t stride)
{
  gmf_spmm_row_fn *multiply = gmf_spmm_row();
  const double *panel = (const double *)(const void *)op->space->panel;
#pragma omp parallel for schedule(dynamic, 64)
  for (int64_t r = begin; r < end; r++) {
    int64_t first = b->row_ptr[r];
    multiply(b->cols + first, b->values + first, b->row_ptr[r + 1] - first, panel, n, y + (r - begin) * stride);
  }
}

/* Collective over the grid row. The same for the rows of all owners in the grid row, summed at their owners. */
static void multiply_and_fold(gmf_operator *op, gmf_side updated, gmf_columns y)
{
  const gmf_grid *grid = op->grid;
  const gmf_block *b = op->blocks[updated];
  gmf_fold *f = op->folds[updated];
  int64_t begin = 0, end = 0;
  for (int64_t batch = 0; batch < f->n_batches; batch++) {
    double *to = f->partial;
    gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
    for (int o = 0; o < f->n_owners; o++) {
      gmf_fold_range(f, batch, o, &begin, &end);
      multiply_rows(op, b, begin, end, y.n, to, f->row_words);
      to += (end - begin) * f->row_words;
    }
    gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
    gmf_fold_run(grid, f, batch);
    gmf_fold_range(f, batch, grid->col_index, &begin, &end);
    for (int64_t r = begin; r < end; r++)
      memcpy(y.tall->rows + (r - f->first[grid->col_index]) * y.tall->ld + y.begin,
             f->sums + (r - begin) * f->row_words, (size_t)y.n * sizeof *f->sums);
  }
}

void gmf_operator_apply_ratings(gmf_operator *op, gmf_side updated, gmf_columns x, gmf_columns y)
{
  const gmf_block *b = op->blocks[updated];
  gmf_phase before = gmf_trace_phase(op->grid->trace, GMF_PHASE_EXPAND);
  GMF_CHECK(x.n == y.n && x.n <= op->width);
  for (int64_t r = 0; r < x.tall->n; r++)
    memcpy(op->own + r * x.n, x.tall->rows + r * x.tall->ld + x.begin, (size_t)x.n * sizeof *op->own);
  gmf_expand_run(op->grid, b->expand, op->own, (size_t)x.n * sizeof *op->own, op->space);
  gmf_trace_phase(op->grid->trace, GMF_PHASE_SOLVE);
  if (op->folds[updated] == NULL)
    multiply_rows(op, b, 0, b->n_rows, y.n, y.tall->rows + y.begin, y.tall->ld);
  else
    multiply_and_fold(op, updated, y);
  gmf_trace_work(op->grid->trace, GMF_PHASE_SOLVE, b->row_ptr[b->n_rows]);
  op->n_products += x.n;
  gmf_trace_phase(op->grid->trace, before);
}

/* Collective. Y -= mean 1 s' + b_y s' + 1 t' with s' = 1'X and t' = b_x'X. */
static void subtract_centers(gmf_operator *op, gmf_side updated, gmf_columns x, gmf_columns y)
{
  const double *x_offsets = op->offsets[gmf_other_side(updated)], *y_offsets = op->offsets[updated];
  double *s = op->sums, *t = op->sums + x.n;
  memset(op->sums, 0, 2 * (size_t)x.n * sizeof *op->sums);
  for (int64_t r = 0; r < x.tall->n; r++)
    for (int c = 0; c < x.n; c++) {
      double value = x.tall->rows[r * x.tall->ld + x.begin + c];
      s[c] += value;
      if (x_offsets != NULL) t[c] += x_offsets[r] * value;
    }
  gmf_sum_f64(op->grid, op->sums, 2 * (int64_t)x.n);
  for (int64_t r = 0; r < y.tall->n; r++) {
    double shift = op->mean + (y_offsets != NULL ? y_offsets[r] : 0);
    for (int c = 0; c < y.n; c++) y.tall->rows[r * y.tall->ld + y.begin + c] -= shift * s[c] + t[c];
  }
}

void gmf_operator_apply(gmf_operator *op, gmf_side updated, gmf_columns x, gmf_columns y)
{
  gmf_operator_apply_ratings(op, updated, x, y);
  if (op->centered) subtract_centers(op, updated, x, y);
}

/* ---- centring ---------------------------------------------------------------------------------------------------- */

/* Collective. sums [my rows of side]: of the ratings of each row. */
static gmf_status row_sums(gmf_operator *op, gmf_side side, double **sums, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_tall *ones = NULL, *product = NULL;
  local = gmf_tall_create(op->grid, op->axes[gmf_other_side(side)], 1, &ones, err);
  if (local == GMF_OK) local = gmf_tall_create(op->grid, op->axes[side], 1, &product, err);
  GMF_TRY(gmf_agree(op->grid, local, err));
  for (int64_t r = 0; r < ones->n; r++) ones->rows[r] = 1;
  gmf_operator_apply_ratings(op, side, (gmf_columns){ones, 0, 1}, (gmf_columns){product, 0, 1});
  *sums = product->rows;
  product->rows = NULL;
cleanup:
  gmf_tall_destroy(&ones);
  gmf_tall_destroy(&product);
  return status;
}

/* Collective. The offsets that centring takes off, and the norm of what is left:
 *     |R - C|^2 = |R|^2 - 2 <R, C> + |C|^2,  C = mean 11' + b_u 1' + 1 b_i'. */
static gmf_status center(gmf_operator *op, gmf_centering centering, gmf_error *err)
{
  gmf_status status = GMF_OK;
  double length[GMF_N_SIDES] = {(double)op->axes[GMF_USERS]->n, (double)op->axes[GMF_ITEMS]->n};
  double entries = length[GMF_USERS] * length[GMF_ITEMS], *sums[GMF_N_SIDES] = {NULL, NULL};
  double parts[5] = {0}; /* sum of the ratings, <R, b_u 1' + 1 b_i'>, |b_u|^2 n + |b_i|^2 m, 1'b_u, 1'b_i */

  for (int s = 0; s < GMF_N_SIDES; s++) GMF_TRY(row_sums(op, (gmf_side)s, &sums[s], err));
  int64_t n_users = gmf_axis_n_own(op->axes[GMF_USERS], op->grid->rank);
  for (int64_t r = 0; r < n_users; r++) parts[0] += sums[GMF_USERS][r];
  gmf_sum_f64(op->grid, parts, 1);
  op->mean = parts[0] / entries;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    if (!centering.by_side[s]) continue;
    double across = length[gmf_other_side((gmf_side)s)];
    int64_t n = gmf_axis_n_own(op->axes[s], op->grid->rank);
    op->offsets[s] = sums[s];
    sums[s] = NULL;
    for (int64_t r = 0; r < n; r++) {
      double sum = op->offsets[s][r], b = sum / across - op->mean;
      op->offsets[s][r] = b;
      parts[1] += sum * b;
      parts[2] += across * b * b;
      parts[3 + s] += b;
    }
  }
  gmf_sum_f64(op->grid, parts + 1, 4);
  op->square += -2 * (op->mean * parts[0] + parts[1]) + parts[2] + entries * op->mean * op->mean +
                2 * op->mean * (length[GMF_ITEMS] * parts[3] + length[GMF_USERS] * parts[4]) + 2 * parts[3] * parts[4];
  op->square = fmax(op->square, 0);
cleanup:
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_free(sums[s]);
  return status;
}

static gmf_status create_local(gmf_operator *op, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t most_own = 0;
  gmf_expand *plans[GMF_N_SIDES];
  for (int s = 0; s < GMF_N_SIDES; s++) {
    if (op->grid->n_cols > 1)
      GMF_TRY(gmf_fold_create(op->grid, op->blocks[s], op->width, GMF_FOLD_BYTES, &op->folds[s], err));
    most_own = gmf_max64(most_own, gmf_axis_n_own(op->axes[s], op->grid->rank));
    plans[s] = op->blocks[s]->expand;
  }
  GMF_TRY(GMF_NEW(op->own, most_own * op->width, err));
  GMF_TRY(gmf_expand_space_create(op->grid, plans, GMF_N_SIDES, (size_t)op->width * sizeof *op->own, false, &op->space,
                                  err));
  GMF_TRY(GMF_NEW(op->sums, 2 * (int64_t)op->width, err));
cleanup:
  return status;
}

gmf_status gmf_operator_create(const gmf_grid *grid, gmf_axis *const axes[GMF_N_SIDES],
                               gmf_block *const blocks[GMF_N_SIDES], int width, gmf_centering centering,
                               gmf_operator **out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_operator *op = NULL;
  *out = NULL;
  local = GMF_NEW_ZERO(op, 1, err);
  if (local == GMF_OK) {
    *op = (gmf_operator){.grid = grid, .axes = axes, .blocks = blocks, .width = width};
    local = create_local(op, err);
  }
  GMF_TRY(gmf_agree(grid, local, err));
  const gmf_block *users = blocks[GMF_USERS];
  for (int64_t j = 0; j < users->row_ptr[users->n_rows]; j++)
    op->square += (double)users->values[j] * (double)users->values[j];
  gmf_sum_f64(grid, &op->square, 1);
  op->centered = centering.global || centering.by_side[GMF_USERS] || centering.by_side[GMF_ITEMS];
  if (op->centered) GMF_TRY(center(op, centering, err));
  *out = op;
  op = NULL;
cleanup:
  gmf_operator_destroy(&op);
  return status;
}
