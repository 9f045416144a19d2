/* Eigenpairs of the dense item Gram matrix, by ScaLAPACK. */
#ifndef GMF_LINALG_SCALAPACK_H
#define GMF_LINALG_SCALAPACK_H

#include "linalg/gram.h"
#include "linalg/tall.h"

/* The matrix, its eigenvectors and the workspace of divide and conquer: so many times n^2 doubles over the ranks. */
enum { GMF_GRAM_MAX_ORDER = 60000, GMF_GRAM_MATRICES = 4 };

/*
 * Collective. All eigenvalues, values [n] descending on every rank, and the eigenvectors of the largest ones, as many
 * as `vectors` has columns (rows by item). n is at most GMF_GRAM_MAX_ORDER. GMF_ERR_PLAN where a rank's part is longer
 * than ScaLAPACK can count; GMF_ERR_NUMERIC where it fails.
 */
gmf_status gmf_gram_eigen(const gmf_grid *grid, const gmf_gram_problem *problem, gmf_tall *vectors, double *values,
                          gmf_error *err);

#endif
