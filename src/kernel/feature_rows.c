#include "kernel/feature_rows.h"

#include <string.h>

#include "base/memory.h"

gmf_status gmf_feature_rows_new(int64_t n_features, int64_t begin, int64_t n, int64_t nnz, gmf_feature_rows *out,
                                gmf_error *err)
{
  gmf_status status = GMF_OK;
  *out = (gmf_feature_rows){.n_features = n_features, .begin = begin, .n = n};
  GMF_TRY(GMF_NEW_ZERO(out->indptr, n + 1, err));
  GMF_TRY(GMF_NEW(out->columns, nnz, err));
  GMF_TRY(GMF_NEW(out->values, nnz, err));
cleanup:
  if (status != GMF_OK) gmf_feature_rows_free(out);
  return status;
}

void gmf_feature_rows_free(gmf_feature_rows *rows)
{
  gmf_free(rows->indptr);
  gmf_free(rows->columns);
  gmf_free(rows->values);
  *rows = (gmf_feature_rows){0};
}

void gmf_feature_rows_product(const gmf_feature_rows *rows, int64_t r, const double *b, int k, double *out)
{
  memset(out, 0, (size_t)k * sizeof *out);
  for (int64_t j = rows->indptr[r]; j < rows->indptr[r + 1]; j++) {
    const double *from = b + (int64_t)rows->columns[j] * k;
    double f = (double)rows->values[j];
    for (int c = 0; c < k; c++) out[c] += f * from[c];
  }
}
