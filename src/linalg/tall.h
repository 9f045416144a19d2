/*
 * Tall matrices in f8: each rank has the rows that its axis gives it. Products of two of them are small matrices that
 * all ranks get by one reduction; products with small matrices need no communication. Orthonormal bases grow by
 * blocks of columns. Small matrices lie by rows without gaps.
 */
#ifndef GMF_LINALG_TALL_H
#define GMF_LINALG_TALL_H

#include "dist/axis.h"

typedef struct gmf_tall {
  const gmf_axis *axis; /* borrowed, must outlive this */
  int64_t begin, n;     /* my rows: positions [begin, begin + n) of the axis */
  int ld;               /* columns */
  double *rows;         /* owned [n][ld] */
} gmf_tall;

/* Local. All zero. */
gmf_status gmf_tall_create(const gmf_grid *grid, const gmf_axis *axis, int n_columns, gmf_tall **out, gmf_error *err);
void gmf_tall_destroy(gmf_tall **tall);

/* Consecutive columns of a tall matrix. */
typedef struct gmf_columns {
  const gmf_tall *tall;
  int begin, n;
} gmf_columns;

/* Collective. c [x.n][y.n] = X'Y over all ranks' rows. */
void gmf_tall_product(const gmf_grid *grid, gmf_columns x, gmf_columns y, double *c);

/* Local. Y += scale X c, c [x.n][y.n]. Columns of Y and X must not meet. */
void gmf_tall_add(gmf_columns x, const double *c, double scale, gmf_columns y);

/* Local. The first q_columns columns become X q, q [x.n][q_columns], x from column 0; other columns stay. Returns
 * false where memory for a panel is missing, and leaves the matrix alone. */
bool gmf_tall_rotate(gmf_columns x, const double *q, int q_columns);

/* Local. Independent normal numbers of variance 1 / n, a function of (seed, number of the column, row) only; the
 * column's number is `first` for the first of them. */
void gmf_tall_randomize(gmf_columns x, uint64_t seed, uint32_t first);

/* How a basis grows. */
typedef struct gmf_basis_options {
  uint64_t seed;
  uint32_t *n_random; /* random columns drawn so far: counts on, so that none comes twice */
  double negligible;  /* what is no longer than this counts as zero */
} gmf_basis_options;

/* Rows of h that the caller knows in about all digits: they save a pass. n = 0: none. */
typedef struct gmf_expected {
  int begin, n;
} gmf_expected;

/* Scratch and results of gmf_tall_extend. All owned. */
typedef struct gmf_extension {
  double *h;        /* [n_old][n_new]: out; rows that are expected: in, too */
  double *r;        /* [n_new][n_new] */
  double *product;  /* [n_old + n_new][n_new] */
  double *decision; /* [n_new * n_new + n_new + 1] */
  double *work;     /* [n_old + 2 n_new][n_new] */
} gmf_extension;

gmf_status gmf_extension_create(int max_old, int max_new, gmf_extension *out, gmf_error *err);
void gmf_extension_free(gmf_extension *e);

/*
 * Collective. Columns [0, n_old) of X are orthonormal, columns W = [n_old, n_old + n_new) are not: afterwards all are,
 * with W = X_old h + X_new r, on rank 0. Directions in which W has nothing new get random vectors, which W has nothing
 * of. n_old + n_new must not exceed the rows of X. GMF_ERR_NUMERIC where W is not finite.
 */
gmf_status gmf_tall_extend(const gmf_grid *grid, gmf_tall *x, int n_old, int n_new, gmf_expected expected,
                           const gmf_basis_options *options, gmf_extension *e, gmf_error *err);

#endif
