/*
 * Features of a side's rows: a sparse matrix F of n_features columns, by rows. What they mean is the business of
 * algo/features.c; here they are read, kept and brought to the owners of the rows.
 */
#ifndef GMF_DIST_FEATURE_ROWS_H
#define GMF_DIST_FEATURE_ROWS_H

#include "dist/axis.h"

/* Some consecutive rows: in dataset order, or by position on an axis. Fit for {0}. */
typedef struct gmf_feature_rows {
  int64_t n_features; /* columns */
  int64_t begin, n;   /* rows [begin, begin + n) */
  int64_t *indptr;    /* owned [n + 1], from 0 */
  int32_t *columns;   /* owned [indptr[n]]: ascending in a row */
  float *values;      /* owned, likewise */
} gmf_feature_rows;

/* Local. Room for n rows of nnz features in all, indptr[0] = 0. */
gmf_status gmf_feature_rows_new(int64_t n_features, int64_t begin, int64_t n, int64_t nnz, gmf_feature_rows *out,
                                gmf_error *err);
void gmf_feature_rows_free(gmf_feature_rows *rows);

/* Collective. From slices in dataset order (slice r of gmf_slice_begin) to the owners: *owned [my rows] by position. */
gmf_status gmf_feature_rows_to_owners(const gmf_grid *grid, const gmf_axis *axis, const gmf_feature_rows *slice,
                                      gmf_feature_rows *owned, gmf_error *err);

/* Local. out [k] = B'f of row r, counted from `begin`; b [n_features][k]. */
void gmf_feature_rows_product(const gmf_feature_rows *rows, int64_t r, const double *b, int k, double *out);

#endif
