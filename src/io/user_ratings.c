#include "io/user_ratings.h"

#include <inttypes.h>

#include "base/memory.h"
#include "io/layout.h"

#define INDPTR GMF_GROUP_RATINGS "/" GMF_CSR_INDPTR

gmf_status gmf_user_ratings_reserve(gmf_user_ratings *r, int64_t n, int64_t n_ratings, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_RESERVE(r->begin, r->begin_capacity, n + 1, err));
  GMF_TRY(GMF_RESERVE(r->items, r->items_capacity, n_ratings + 1, err)); /* never NULL, also for none */
  GMF_TRY(GMF_RESERVE(r->values, r->values_capacity, n_ratings + 1, err));
cleanup:
  return status;
}

void gmf_user_ratings_free(gmf_user_ratings *r)
{
  GMF_FREE(r->begin);
  GMF_FREE(r->items);
  GMF_FREE(r->values);
}

/* Positions [n + 1] of the ratings of users [begin, begin + n). */
static gmf_status read_positions(const gmf_dataset *d, const gmf_h5_array *indptr, int64_t begin, int64_t n,
                                 int64_t *positions, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_h5_array_read(indptr, begin, n + 1, GMF_I8, positions, err));
  bool good = positions[0] >= 0 && positions[n] <= d->nnz;
  for (int64_t r = 0; r < n && good; r++) good = positions[r] <= positions[r + 1];
  if (!good)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                     "%s: /" INDPTR " is damaged: it does not ascend from 0 to %" PRId64 "; run 'gridmf verify'",
                     d->path, d->nnz));
cleanup:
  return status;
}

gmf_status gmf_read_user_ratings(const gmf_dataset *d, const int64_t *rows, int64_t n, gmf_user_ratings *out,
                                 gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array indptr = {.id = H5I_INVALID_HID};
  int64_t *positions = NULL;

  GMF_TRY(gmf_user_ratings_reserve(out, n, 0, err));
  GMF_TRY(GMF_NEW(positions, n + 1, err));
  GMF_TRY(gmf_h5_array_open(d->file, d->path, INDPTR, 1, &indptr, err));
  out->begin[0] = 0;
  for (int64_t j = 0; j < n;) {
    int64_t length = gmf_run_length(rows + j, n - j), at = out->begin[j];
    GMF_TRY(read_positions(d, &indptr, rows[j], length, positions, err));
    int64_t n_ratings = positions[length] - positions[0];
    GMF_TRY(gmf_user_ratings_reserve(out, n, at + n_ratings, err));
    GMF_TRY(gmf_dataset_read(d, positions[0], n_ratings, out->items + at, out->values + at, NULL, err));
    for (int64_t r = 1; r <= length; r++) out->begin[j + r] = at + positions[r] - positions[0];
    j += length;
  }
cleanup:
  gmf_h5_array_close(&indptr);
  gmf_free(positions);
  return status;
}

gmf_status gmf_read_user_counts(const gmf_dataset *d, int64_t begin, int64_t n, int64_t *counts, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array indptr = {.id = H5I_INVALID_HID};
  int64_t *positions = NULL;

  GMF_TRY(GMF_NEW(positions, n + 1, err));
  GMF_TRY(gmf_h5_array_open(d->file, d->path, INDPTR, 1, &indptr, err));
  GMF_TRY(read_positions(d, &indptr, begin, n, positions, err));
  for (int64_t r = 0; r < n; r++) counts[r] = positions[r + 1] - positions[r];
cleanup:
  gmf_h5_array_close(&indptr);
  gmf_free(positions);
  return status;
}
