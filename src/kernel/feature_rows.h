/*
 * Features of a side's rows: a sparse matrix F of n_features columns, by rows. What they mean is the business of
 * algo/features.c; here they are kept, and multiplied with weights. Local.
 */
#ifndef GMF_KERNEL_FEATURE_ROWS_H
#define GMF_KERNEL_FEATURE_ROWS_H

#include <stdint.h>

#include "base/error.h"

/* Some consecutive rows: in dataset order, or by position on an axis. Fit for {0}. */
typedef struct gmf_feature_rows {
  int64_t n_features; /* columns */
  int64_t begin, n;   /* rows [begin, begin + n) */
  int64_t *indptr;    /* owned [n + 1], from 0 */
  int32_t *columns;   /* owned [indptr[n]]: ascending in a row */
  float *values;      /* owned, likewise */
} gmf_feature_rows;

/* Room for n rows of nnz features in all, indptr is zero. */
gmf_status gmf_feature_rows_new(int64_t n_features, int64_t begin, int64_t n, int64_t nnz, gmf_feature_rows *out,
                                gmf_error *err);
void gmf_feature_rows_free(gmf_feature_rows *rows);

/* out [k] = B'f of row r, counted from `begin`; b [n_features][k]. */
void gmf_feature_rows_product(const gmf_feature_rows *rows, int64_t r, const double *b, int k, double *out);

#endif
