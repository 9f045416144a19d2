/*
 * The basis of a half-sweep, and the sums over all pairs that it is made of.  Y'Y = Q L Q', and in the basis of Q the
 * part that all rows share is diagonal: a row's matrix is D + sum w y y' with D = s L + lambda_u.  That makes the dual
 * of short rows possible whatever lambda_u is, and the diagonal a good preconditioner; for als it is the
 * popularity-weighted Y' diag(n_i) Y that Q is taken from, where cg asks for it.  So each half-sweep rotates the fixed
 * rows before they travel, and its solutions back: factors always stand in the basis that the start chose, in which
 * they compare with other programs'.
 */
#include <math.h>
#include <string.h>

#include "algo/als_internal.h"
#include "base/narrow.h"

/* Collective. Sums als->gram over ranks: of its upper triangle, which is all there is to it, n (n + 1) / 2 numbers,
 * that are moved together for it. */
static void sum_gram(gmf_als *als)
{
  int64_t at = 0, n = als->n;
  double *gram = als->gram;
  for (int64_t i = 0; i < n; at += n - i++) memmove(gram + at, gram + i * als->ld + i, (size_t)(n - i) * sizeof *gram);
  gmf_sum_f64(als->grid, gram, at);
  for (int64_t i = n - 1; i >= 0; i--) {
    at -= n - i;
    memmove(gram + i * als->ld + i, gram + at, (size_t)(n - i) * sizeof *gram);
  }
  for (int64_t i = 0; i < n; i++) memset(gram + i * als->ld, 0, (size_t)i * sizeof *gram);
}

/* Collective. als->gram = Y' diag(weights) Y (upper triangle) of a side's factor; weights NULL: 1. Its bits depend on
 * ranks only. */
static void factor_gram(gmf_als *als, gmf_side side, const float *weights)
{
  const gmf_factor *y = als->factors[side];
  int64_t square = (int64_t)als->ld * als->ld;
  if (als->exact != NULL) {
    gmf_exact_gram_run(als->grid, als->exact, y->rows, weights, y->n, als->gram);
    return;
  }
  memset(als->gram, 0, (size_t)square * sizeof *als->gram);
  gmf_sum_factor_gram(&als->team, y->rows, y->n, als->ld, weights, als->gram);
  sum_gram(als);
}

void gmf_als_gram(gmf_als *als, gmf_side side, double *gram)
{
  gmf_phase before = gmf_trace_phase(als->grid->trace, GMF_PHASE_GRAM);
  factor_gram(als, side, NULL);
  for (int i = 0; i < als->k; i++)
    for (int j = 0; j < als->k; j++) gram[i * als->k + j] = als->gram[(i < j ? i : j) * als->ld + (i < j ? j : i)];
  gmf_trace_phase(als->grid->trace, before);
}

void gmf_als_shared_gram(gmf_als *als, gmf_side fixed)
{
  double scale = gmf_loss_shared(als->options.row.loss);
  gmf_trace_phase(als->grid->trace, GMF_PHASE_GRAM);
  factor_gram(als, fixed, NULL);
  for (int j = 0; j < als->ld * als->ld; j++) als->gram[j] *= scale;
}

/*
 * Local. to [n][ld] = rows [n][ld] m, in place where to is NULL. Starts of cg, which corrects them, in f4; others in
 * f8: with fewer ratings than factors the next half-sweep makes much of their last digit.
 */
static void rotate(gmf_als *als, float *rows, int64_t n, const double *m, bool is_start, float *to)
{
#pragma omp parallel for schedule(static, 1) num_threads(als->n_threads)
  for (int t = 0; t < als->n_threads; t++) {
    const gmf_row_solver *s = &als->solvers[t];
    int64_t begin = gmf_slice_begin(n, als->n_threads, t), end = gmf_slice_begin(n, als->n_threads, t + 1);
    float *from = rows + begin * als->ld, *mine = to != NULL ? to + begin * als->ld : from;
    if (is_start)
      gmf_rotate_rows_f4(from, end - begin, als->ld, m, s->work, mine);
    else
      gmf_rotate_rows(from, end - begin, als->ld, m, s->work8, mine);
  }
}

void gmf_als_rotate_side(gmf_als *als, gmf_side side, const double *m, bool is_start, float *to)
{
  for (int copies = 0; copies < 2; copies++) {
    int64_t n = 0;
    float *rows = gmf_als_rows(als, side, copies, &n);
    rotate(als, rows, n, m, is_start, to);
    if (to != NULL) to += n * als->ld;
  }
}

gmf_status gmf_als_change_basis(gmf_als *als, gmf_side fixed, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_factor *y = als->factors[fixed];
  gmf_trace_phase(als->grid->trace, GMF_PHASE_GRAM);
  const int64_t *counts = gmf_als_own_counts(als, fixed);
  for (int64_t r = 0; als->row_counts != NULL && r < y->n; r++) als->row_counts[r] = (float)counts[r];
  factor_gram(als, fixed, als->row_counts);
  GMF_TRY(gmf_eigen_decompose(als->grid, als->gram, als->basis, err));
  for (int i = 0; i < als->ld; i++)
    for (int j = 0; j < als->ld; j++) als->rotation[j * als->ld + i] = als->basis->vectors[i * als->ld + j];
  double shared = gmf_loss_shared(als->options.row.loss);
  for (int c = 0; c < als->k; c++) als->shared_diagonal[c] = shared * fmax(0, als->basis->values[c]);
  gmf_als_rotate_side(als, fixed, als->rotation, false, als->rotated);
  if (als->rotates_start) gmf_als_rotate_side(als, gmf_other_side(fixed), als->rotation, true, NULL);
cleanup:
  return status;
}
