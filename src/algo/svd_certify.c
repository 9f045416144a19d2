/*
 * What can be said of computed triplets without knowing how they came about, by products with A itself.  With the two
 * residuals r_i = |A v_i - s_i u_i|, |A'u_i - s_i v_i|, some singular value of A lies within max(r_i) of s_i (Golub,
 * Van Loan, "Matrix computations", 8.6).  What the triplets leave of A is bounded by b random vectors w of independent
 * normal entries,
 *
 *     |A - UU'A|_2 <= 10 sqrt(2 / pi) max_i |(A - UU'A) w_i|      but for a probability of 10^-b
 *
 * Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 53 (2011), eq. 4.3.
 */
#include <math.h>
#include <string.h>

#include "algo/svd_internal.h"
#include "base/memory.h"
#include "base/narrow.h"

/* Collective. squares [x.n] of the columns' lengths. */
static void column_squares(const gmf_grid *grid, gmf_columns x, double *squares)
{
  memset(squares, 0, (size_t)x.n * sizeof *squares);
  for (int64_t r = 0; r < x.tall->n; r++)
    for (int c = 0; c < x.n; c++) {
      double value = x.tall->rows[r * x.tall->ld + x.begin + c];
      squares[c] += value * value;
    }
  gmf_sum_f64(grid, squares, x.n);
}

/* Collective. |A v - s u| for updated users, |A'u - s v| for items, in `product`, which has a block's columns. */
static void residuals_of(gmf_svd *svd, gmf_side updated, gmf_tall *product)
{
  const gmf_tall *mine = svd->vectors[updated], *other = svd->vectors[gmf_other_side(updated)];
  double *out = svd->certificates.residuals[updated];
  for (int done = 0, n = 0; done < svd->k; done += n) {
    n = gmf_int(gmf_min64(product->ld, svd->k - done));
    gmf_operator_apply(svd->op, updated, (gmf_columns){other, done, n}, (gmf_columns){product, 0, n});
    for (int64_t r = 0; r < product->n; r++)
      for (int c = 0; c < n; c++)
        product->rows[r * product->ld + c] -= svd->values[done + c] * mine->rows[r * mine->ld + done + c];
    column_squares(svd->op->grid, (gmf_columns){product, 0, n}, out + done);
    for (int c = 0; c < n; c++) out[done + c] = sqrt(out[done + c]);
  }
}

/* Collective. |X'X - I|, gram [k][k] is scratch. */
static double orthogonality_of(const gmf_svd *svd, gmf_side side, double *gram)
{
  double square = 0;
  gmf_columns x = {svd->vectors[side], 0, svd->k};
  gmf_tall_product(svd->op->grid, x, x, gram);
  for (int i = 0; i < svd->k; i++)
    for (int j = 0; j < svd->k; j++) {
      double x_ij = gram[i * svd->k + j] - (i == j);
      square += x_ij * x_ij;
    }
  return sqrt(square);
}

/* Collective. The bound from one block of random vectors. */
static void bound_rest(gmf_svd *svd, const gmf_svd_options *options, gmf_tall *products[], double *scratch)
{
  gmf_tall *random = products[GMF_ITEMS], *image = products[GMF_USERS];
  gmf_columns u = {svd->vectors[GMF_USERS], 0, svd->k}, w = {image, 0, image->ld};
  const uint32_t last_columns = UINT32_MAX / 2; /* none that a basis was drawn from */
  double largest = 0;
  gmf_tall_randomize((gmf_columns){random, 0, random->ld}, options->seed, last_columns);
  gmf_operator_apply(svd->op, GMF_USERS, (gmf_columns){random, 0, random->ld}, w);
  gmf_tall_product(svd->op->grid, u, w, scratch);
  gmf_tall_add(u, scratch, -1, w);
  column_squares(svd->op->grid, w, scratch);
  for (int c = 0; c < w.n; c++) largest = fmax(largest, scratch[c]);
  /* The random columns have variance 1 / n, not 1. */
  svd->certificates.bound = 10 * sqrt(2 / M_PI) * sqrt(largest * (double)random->axis->n);
  svd->certificates.miss_probability = pow(10, -w.n);
}

gmf_status gmf_svd_certify(gmf_svd *svd, const gmf_svd_options *options, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_svd_certificates *c = &svd->certificates;
  gmf_tall *products[GMF_N_SIDES] = {NULL, NULL};
  double *scratch = NULL;
  int width = svd->op->width;

  for (int s = 0; s < GMF_N_SIDES && local == GMF_OK; s++) {
    local = gmf_tall_create(svd->op->grid, svd->op->axes[s], width, &products[s], err);
    if (local == GMF_OK) local = GMF_NEW_ZERO(c->residuals[s], svd->k, err);
  }
  if (local == GMF_OK) local = GMF_NEW(scratch, (int64_t)svd->k * gmf_max64(svd->k, width), err);
  GMF_TRY(gmf_agree(svd->op->grid, local, err));
  c->square = svd->op->square;
  for (int i = 0; i < svd->k; i++) c->captured += svd->values[i] * svd->values[i];
  c->captured = c->square > 0 ? c->captured / c->square : 1;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    residuals_of(svd, (gmf_side)s, products[s]);
    c->orthogonality[s] = orthogonality_of(svd, (gmf_side)s, scratch);
  }
  bound_rest(svd, options, products, scratch);
cleanup:
  gmf_free(scratch);
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_tall_destroy(&products[s]);
  return status;
}
