/* Singular value decompositions of small square matrices that all ranks share, by LAPACK. */
#ifndef GMF_LINALG_SMALL_SVD_H
#define GMF_LINALG_SMALL_SVD_H

#include "base/error.h"
#include "runtime/grid.h"

typedef struct gmf_small_svd {
  int max_order;
  double *values;       /* owned [max_order]: descending */
  double *left, *right; /* owned [order][order]: singular vectors are columns */
  double *matrix;       /* owned [order][order]: scratch */
  double *work;         /* owned, of LAPACK, on rank 0 */
  int *int_work;        /* likewise */
  int n_work;
} gmf_small_svd;

/* Collective. Room for matrices up to an order. */
gmf_status gmf_small_svd_create(const gmf_grid *grid, int max_order, gmf_small_svd **out, gmf_error *err);
void gmf_small_svd_destroy(gmf_small_svd **svd);

/*
 * Collective. a = left diag(values) right' for rank 0's a [order][stride]. Rank 0 computes and the others get its bits.
 * Allocates nothing.
 */
gmf_status gmf_small_svd_run(const gmf_grid *grid, const double *a, int order, int stride, gmf_small_svd *svd,
                             gmf_error *err);

#endif
