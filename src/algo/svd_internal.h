/* What the methods of svd.c share. */
#ifndef GMF_ALGO_SVD_INTERNAL_H
#define GMF_ALGO_SVD_INTERNAL_H

#include <math.h>

#include "algo/svd.h"
#include "linalg/small_svd.h"

/* The normal equations are likely to be accurate enough for residuals of that size: of singular values down to 1e-2 of
 * the largest, that is. */
#define GMF_SVD_NORMAL_TOLERANCE 1e-12

/* Vectors that products take at a time, no more than a side has. */
static inline int gmf_svd_block(const gmf_svd_options *options, int64_t n_users, int64_t n_items)
{
  int64_t shorter = n_users < n_items ? n_users : n_items;
  return shorter < options->block ? (int)shorter : options->block;
}

/* Lengths of bases and blocks may be added to this many times before rounding is sure to be over. */
static inline double gmf_svd_negligible(const gmf_operator *op) { return 0x1p-50 * sqrt(op->square); }

/* How krylov's bases are sized. */
typedef struct gmf_krylov_sizes {
  gmf_side left_side;  /* the longer one */
  int block, capacity; /* vectors in a step, and in a full basis */
  int kept;            /* triplets at a restart */
  int n_left, n_right; /* columns of each side's vectors */
  bool normal;         /* no basis on the left: asked for, and possible */
} gmf_krylov_sizes;

/* Local. */
gmf_krylov_sizes gmf_krylov_measure(const gmf_svd_options *options, int64_t n_users, int64_t n_items, bool normal);

/* Collective. Y = A X or A'X for any number of columns, by blocks. */
void gmf_svd_apply(gmf_operator *op, gmf_side updated, gmf_columns x, gmf_columns y);

/* What a search came to. */
typedef struct gmf_svd_outcome {
  gmf_side basis; /* the side of the basis that products start from */
  bool normal;    /* only that basis was found */
  bool given_up;  /* not even that: the normal equations are not accurate enough for the tolerance */
} gmf_svd_outcome;

/* Collective. Triplets by Golub-Kahan-Lanczos into svd->vectors and svd->values; normal: by the normal equations, if
 * that can be. */
gmf_status gmf_svd_krylov(gmf_svd *svd, const gmf_svd_options *options, bool normal, gmf_svd_outcome *outcome,
                          gmf_error *err);

/* Collective. Residuals and bounds of svd->vectors and svd->values. */
gmf_status gmf_svd_certify(gmf_svd *svd, const gmf_svd_options *options, gmf_error *err);

#endif
