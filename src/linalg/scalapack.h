/* The dense item Gram matrix of sparse ratings, in ScaLAPACK's block-cyclic layout, and its eigenpairs. */
#ifndef GMF_LINALG_SCALAPACK_H
#define GMF_LINALG_SCALAPACK_H

#include "linalg/tall.h"

enum { GMF_GRAM_MAX_ORDER = 60000 };

/* A rating: rows and columns are positions on the axes. */
typedef struct gmf_entry {
  int64_t user;
  int32_t item;
  float value;
} gmf_entry;

/* G_ij - p_i - p_j - q_i c_j - c_i q_j + aa + a1 (c_i + c_j) + m c_i c_j: what centring makes of the Gram matrix G. */
typedef struct gmf_gram_centers {
  const double *p, *q, *c; /* borrowed [n] */
  double aa, a1, m;
} gmf_gram_centers;

typedef struct gmf_gram_problem {
  int64_t n_users;
  int n;                    /* items: the order of the matrix */
  const gmf_entry *entries; /* borrowed: my ratings; each is on one rank */
  int64_t n_entries;
  const gmf_gram_centers *centers; /* borrowed; NULL: none */
} gmf_gram_problem;

/* Collective. GMF_ERR_PLAN where n is over GMF_GRAM_MAX_ORDER, or the matrices do not fit into the memory of the
 * machine. */
gmf_status gmf_gram_plan(const gmf_grid *grid, int n, gmf_error *err);

/*
 * Collective. All eigenvalues, values [n] descending on every rank, and the eigenvectors of the largest ones, as many
 * as `vectors` has columns (rows by item). n is to have been planned. GMF_ERR_PLAN where a rank's part is longer than
 * ScaLAPACK can count; GMF_ERR_NUMERIC where it fails.
 */
gmf_status gmf_gram_eigen(const gmf_grid *grid, const gmf_gram_problem *problem, gmf_tall *vectors, double *values,
                          gmf_error *err);

#endif
