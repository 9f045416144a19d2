/*
 * f8 sums are exact, and so the same in any order, as long as all summands are multiples of one unit and no partial sum
 * exceeds 2^53 units.  So summands are rounded to such a unit first, and what that cuts off is summed in the same way
 * with a unit that much smaller: Demmel, Nguyen, "Fast reproducible floating-point summation", ARITH 2013, with the
 * unit from the largest summand of all ranks.
 *
 * A Gram matrix is a sum of products.  With n rows, values are cut into pieces of b bits, 2 b + log2(n) <= 52: products
 * of pieces are multiples of a unit, and their sums are exact even inside fused multiply-adds.  Two pieces keep 30 bits
 * up to four million rows, three up to a billion; that is the largest element's 2^-30, below f4's rounding of it.
 */
#include "linalg/exact.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/dense.h"

enum { KEPT_BITS = 30, SUM_BITS = 52 };

/* The least power of two that is not below x > 0. */
static double power_above(double x)
{
  int exponent = 0;
  double fraction = frexp(x, &exponent);
  return ldexp(1, fraction == 0.5 ? exponent - 1 : exponent);
}

gmf_exact_levels gmf_exact_begin(const gmf_grid *grid, double largest, int64_t n)
{
  gmf_exact_levels levels;
  gmf_max_f64(grid, &largest, 1);
  gmf_sum_i64(grid, &n, 1);
  if (!(largest > 0)) return (gmf_exact_levels){{0, 0}}; /* all terms are zero */
  if (isinf(largest)) return (gmf_exact_levels){{NAN, NAN}};
  double count = power_above((double)n);
  levels.large[0] = 3 * count * power_above(largest); /* its unit in the last place is the unit of the sum */
  levels.large[1] = levels.large[0] * 0x1p-51 * count;
  return levels;
}

double gmf_exact_sum(const gmf_grid *grid, const double *x, int64_t n)
{
  double largest = 0, sums[2] = {0, 0};
  for (int64_t j = 0; j < n; j++) largest = isfinite(x[j]) ? fmax(largest, fabs(x[j])) : INFINITY;
  gmf_exact_levels levels = gmf_exact_begin(grid, largest, n);
  for (int64_t j = 0; j < n; j++) gmf_exact_add(&levels, x[j], &sums[0], &sums[1]);
  gmf_sum_f64(grid, sums, 2);
  return sums[0] + sums[1];
}

gmf_status gmf_exact_gram_create(int ld, int n_threads, gmf_exact_gram **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_exact_gram *e = NULL;
  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(e, 1, err));
  e->ld = ld;
  e->n_threads = n_threads;
  GMF_TRY(GMF_NEW(e->sums, (int64_t)n_threads * GMF_EXACT_PAIRS * ld * ld, err));
  GMF_TRY(GMF_NEW(e->work, (int64_t)n_threads * GMF_EXACT_PIECES * GMF_EXACT_DEPTH * ld, err));
  *out = e;
  e = NULL;
cleanup:
  gmf_exact_gram_destroy(&e);
  return status;
}

void gmf_exact_gram_destroy(gmf_exact_gram **exact)
{
  if (*exact == NULL) return;
  gmf_free((*exact)->sums);
  gmf_free((*exact)->work);
  gmf_free(*exact);
  *exact = NULL;
}

/* Bits of a piece, so that the sums of products of total rows are exact; a cross pair sums twice as many products. */
static int piece_bits(int64_t total) { return (SUM_BITS - 1 - ilogb(power_above((double)total))) / 2; }

int gmf_exact_gram_pieces(int64_t total)
{
  int bits = piece_bits(total);
  return gmf_int(gmf_min64(GMF_EXACT_PIECES, (KEPT_BITS + bits - 1) / bits));
}

/* Collective. The units of the pieces; their number, 0 where all is zero. */
static int choose_units(const gmf_grid *grid, const gmf_exact_gram *e, const float *y, const float *weights, int64_t n,
                        double units[GMF_EXACT_PIECES])
{
  double largest = 0;
  int64_t total = n;
#pragma omp parallel for schedule(static) reduction(max : largest) num_threads(e->n_threads)
  for (int64_t j = 0; j < n; j++) {
    float most = 0;
    for (int c = 0; c < e->ld; c++) most = fmaxf(most, fabsf(y[j * e->ld + c]));
    largest = fmax(largest, (weights != NULL ? sqrt((double)weights[j]) : 1) * (double)most);
  }
  gmf_max_f64(grid, &largest, 1);
  gmf_sum_i64(grid, &total, 1);
  if (!(largest > 0) || !isfinite(largest)) return 0;
  int bits = piece_bits(total), n_pieces = gmf_exact_gram_pieces(total);
  units[0] = ldexp(power_above(largest), -bits);
  for (int p = 1; p < n_pieces; p++) units[p] = ldexp(units[p - 1], -bits);
  return n_pieces;
}

void gmf_exact_gram_run(const gmf_grid *grid, gmf_exact_gram *e, const float *y, const float *weights, int64_t n,
                        double *gram)
{
  double units[GMF_EXACT_PIECES] = {0};
  int n_pieces = choose_units(grid, e, y, weights, n, units);
  int64_t square = (int64_t)e->ld * e->ld, words = n_pieces * (n_pieces + 1) / 2 * square;
  int64_t stride = GMF_EXACT_PAIRS * square;

  memset(gram, 0, (size_t)square * sizeof *gram);
  if (n_pieces == 0) return;
#pragma omp parallel for schedule(static, 1) num_threads(e->n_threads)
  for (int t = 0; t < e->n_threads; t++) {
    int64_t begin = gmf_slice_begin(n, e->n_threads, t), end = gmf_slice_begin(n, e->n_threads, t + 1);
    double *work = e->work + (int64_t)t * GMF_EXACT_PIECES * GMF_EXACT_DEPTH * e->ld, *sums = e->sums + t * stride;
    memset(sums, 0, (size_t)words * sizeof *sums);
    gmf_gram_exact(y + begin * e->ld, end - begin, e->ld, weights != NULL ? weights + begin : NULL, units, n_pieces,
                   work, sums);
  }
  for (int t = 1; t < e->n_threads; t++)
    for (int64_t j = 0; j < words; j++) e->sums[j] += e->sums[t * stride + j];
  gmf_sum_f64(grid, e->sums, words);
  for (int64_t pair = n_pieces * (n_pieces + 1) / 2 - 1; pair >= 0; pair--) /* the smallest first */
    for (int64_t j = 0; j < square; j++) gram[j] += e->sums[pair * square + j];
}
