/* Eigenvectors of small symmetric matrices that all ranks share, by LAPACK. */
#ifndef GMF_LINALG_EIGEN_H
#define GMF_LINALG_EIGEN_H

#include "base/error.h"
#include "runtime/grid.h"

typedef struct gmf_eigen {
  int n, ld;
  double *vectors; /* owned [ld][ld]: row j is eigenvector j; the identity from n on */
  double *values;  /* owned [ld]: ascending, zero from n on */
  double *work;    /* owned, of LAPACK, on rank 0 */
  int *int_work;   /* likewise */
  int n_work, n_int_work;
  bool one_thread; /* LAPACK's bits may depend on the number of its threads */
} gmf_eigen;

/* Collective. Room for matrices of order n in rows of ld. */
gmf_status gmf_eigen_create(const gmf_grid *grid, int n, int ld, bool one_thread, gmf_eigen **out, gmf_error *err);
void gmf_eigen_destroy(gmf_eigen **eigen);

/*
 * Collective. a = sum_j values[j] v_j v_j' for the order-n matrix whose upper triangle is in a [ld][ld]. Rank 0
 * computes and the others get its bits: eigenvectors that each rank had computed by itself could differ in more than
 * rounding. Allocates nothing. GMF_ERR_NUMERIC when a is not finite.
 */
gmf_status gmf_eigen_decompose(const gmf_grid *grid, const double *a, gmf_eigen *eigen, gmf_error *err);

#endif
