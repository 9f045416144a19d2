/*
 * The matrix whose singular vectors are sought, as products with blocks of vectors: the ratings, zero where there are
 * none, less what centring takes off, which is never filled in.
 *
 *     A = R - mean 11' - b_u 1' - 1 b_i'         A x = R x - mean 1 (1'x) - b_u (1'x) - 1 (b_i'x)
 *
 * Means are over all m x n entries. Centring by users makes b_u the mean of the user's row less the mean of all, so
 * that rows sum to zero; likewise items; both at once leave rows and columns that sum to zero.
 */
#ifndef GMF_ALGO_SVD_OPERATOR_H
#define GMF_ALGO_SVD_OPERATOR_H

#include "dist/fold.h"
#include "linalg/tall.h"

/* What is taken off; by_side: the means of rows (users), of columns (items). */
typedef struct gmf_centering {
  bool global, by_side[GMF_N_SIDES];
} gmf_centering;

typedef struct gmf_operator {
  const gmf_grid *grid;         /* borrowed, like the next two */
  gmf_axis *const *axes;        /* [GMF_N_SIDES] */
  gmf_block *const *blocks;     /* [GMF_N_SIDES] */
  gmf_fold *folds[GMF_N_SIDES]; /* owned; NULL on a grid of one column */
  int width;                    /* vectors in a block, at most */
  double *own;                  /* owned: my rows of a block of vectors without gaps */
  gmf_expand_space *space;      /* owned: where those that I fetch arrive */
  double *sums;                 /* owned [2][width] */
  bool centered;
  double mean;                  /* taken off everywhere; 0 where nothing is */
  double *offsets[GMF_N_SIDES]; /* owned [my rows]: b_u, b_i; NULL: zero */
  double square;                /* of the Frobenius norm of A */
  int64_t n_products;           /* vectors that A or A' was applied to */
} gmf_operator;

/* Collective. axes and blocks must outlive it; the blocks' expansion carries rows of `width` doubles. */
gmf_status gmf_operator_create(const gmf_grid *grid, gmf_axis *const axes[GMF_N_SIDES],
                               gmf_block *const blocks[GMF_N_SIDES], int width, gmf_centering centering,
                               gmf_operator **out, gmf_error *err);
void gmf_operator_destroy(gmf_operator **op);

/*
 * Collective. Y = A X where the updated side is users, Y = A'X where it is items; X and Y are as many columns, at most
 * `width`. Allocates nothing.
 */
void gmf_operator_apply(gmf_operator *op, gmf_side updated, gmf_columns x, gmf_columns y);

/* Collective. The same without centring: the ratings alone. */
void gmf_operator_apply_ratings(gmf_operator *op, gmf_side updated, gmf_columns x, gmf_columns y);

#endif
