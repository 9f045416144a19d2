/*
 * Sums over all ranks whose bits depend on the summands alone: not on the number of ranks or threads, nor on who has
 * which. What --deterministic is made of.
 */
#ifndef GMF_LINALG_EXACT_H
#define GMF_LINALG_EXACT_H

#include "base/error.h"
#include "runtime/grid.h"

/*
 * Many sums at once. gmf_exact_begin, Collective: `largest` bounds the size of my terms, of which there are n; no sum
 * has more terms than there are on all ranks. gmf_exact_add, Local: adds a term to a sum of two levels, which begin at
 * zero; those of all threads and ranks may be added up in any order. high + low is the sum: NaN where a term is not
 * finite.
 */
typedef struct gmf_exact_levels {
  double large[2];
} gmf_exact_levels;
gmf_exact_levels gmf_exact_begin(const gmf_grid *grid, double largest, int64_t n);

static inline void gmf_exact_add(const gmf_exact_levels *levels, double x, double *high, double *low)
{
  double piece = (x + levels->large[0]) - levels->large[0];
  *high += piece;
  x -= piece;
  *low += (x + levels->large[1]) - levels->large[1];
}

/* Collective. The sum of all ranks' x [n], to about f8's precision; NaN or infinite where a summand is. */
double gmf_exact_sum(const gmf_grid *grid, const double *x, int64_t n);

typedef struct gmf_exact_gram {
  int ld, n_threads;
  double *sums; /* owned [threads][GMF_EXACT_PAIRS][ld][ld] */
  double *work; /* owned [threads][GMF_EXACT_PIECES * GMF_EXACT_DEPTH][ld] */
} gmf_exact_gram;

/* Local. */
gmf_status gmf_exact_gram_create(int ld, int n_threads, gmf_exact_gram **out, gmf_error *err);
void gmf_exact_gram_destroy(gmf_exact_gram **exact);

/*
 * Collective. gram [ld][ld] = Y' diag(weights) Y by its upper triangle, over all ranks' rows y [n][ld] (weights [n],
 * NULL: 1), with Y rounded to 2^-30 of its largest element. Allocates nothing.
 */
void gmf_exact_gram_run(const gmf_grid *grid, gmf_exact_gram *exact, const float *y, const float *weights, int64_t n,
                        double *gram);

/* Local. Pieces of each value in a Gram matrix of so many rows over all ranks. */
int gmf_exact_gram_pieces(int64_t total);

#endif
