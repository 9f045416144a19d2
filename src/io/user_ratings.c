#include "io/user_ratings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/layout.h"

#define INDPTR GMF_GROUP_RATINGS "/" GMF_CSR_INDPTR

gmf_status gmf_user_ratings_reserve(gmf_user_ratings *r, int64_t n, int64_t n_ratings, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_RESERVE(r->begin, r->begin_capacity, n + 1, err));
  GMF_TRY(GMF_RESERVE(r->items, r->items_capacity, n_ratings + 1, err)); /* never NULL, also for none */
  GMF_TRY(GMF_RESERVE(r->values, r->values_capacity, n_ratings + 1, err));
  GMF_TRY(GMF_RESERVE(r->weights, r->weights_capacity, n_ratings + 1, err));
cleanup:
  return status;
}

void gmf_user_ratings_free(gmf_user_ratings *r)
{
  GMF_FREE(r->begin);
  GMF_FREE(r->items);
  GMF_FREE(r->values);
  GMF_FREE(r->weights);
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
    GMF_TRY(
        gmf_dataset_read(d, positions[0], n_ratings, out->items + at, out->values + at, NULL, out->weights + at, err));
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

/* ---- another numbering ------------------------------------------------------------------------------------------- */

typedef struct mapped {
  int64_t row;
  float value, weight;
} mapped;

static int by_row(const void *a, const void *b)
{
  int64_t x = ((const mapped *)a)->row, y = ((const mapped *)b)->row;
  return (x > y) - (x < y);
}

gmf_status gmf_map_user_ratings(const gmf_user_ratings *from, int64_t n, const int64_t *item_rows,
                                gmf_user_ratings *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  mapped *found = NULL;
  int64_t longest = 0, at = 0;

  for (int64_t j = 0; j < n; j++) longest = gmf_max64(longest, from->begin[j + 1] - from->begin[j]);
  GMF_TRY(GMF_NEW(found, longest, err));
  GMF_TRY(gmf_user_ratings_reserve(out, n, n > 0 ? from->begin[n] : 0, err));
  out->begin[0] = 0;
  for (int64_t j = 0; j < n; j++) {
    int64_t n_found = 0;
    for (int64_t r = from->begin[j]; r < from->begin[j + 1]; r++)
      if (item_rows[from->items[r]] >= 0)
        found[n_found++] = (mapped){item_rows[from->items[r]], from->values[r], from->weights[r]};
    qsort(found, (size_t)n_found, sizeof *found, by_row);
    for (int64_t r = 0; r < n_found; r++, at++) {
      out->items[at] = found[r].row;
      out->values[at] = found[r].value;
      out->weights[at] = found[r].weight;
    }
    out->begin[j + 1] = at;
  }
cleanup:
  gmf_free(found);
  return status;
}

static int ascending(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

void gmf_order_user_items(gmf_user_ratings *r, int64_t n)
{
  for (int64_t j = 0; j < n; j++) {
    int64_t *items = r->items + r->begin[j], n_items = r->begin[j + 1] - r->begin[j], in_order = 1;
    while (in_order < n_items && items[in_order - 1] < items[in_order]) in_order++;
    if (in_order < n_items) qsort(items, (size_t)n_items, sizeof *items, ascending);
  }
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

static gmf_status read_ids(void *context, gmf_side side, int64_t begin, int64_t n, void *out, gmf_error *err)
{
  gmf_ids ids = {0};
  gmf_status status = gmf_dataset_read_ids(context, side, begin, n, &ids, err);
  if (status == GMF_OK) memcpy(out, ids.values, (size_t)(n * ids.type.size));
  gmf_ids_free(&ids);
  return status;
}

static gmf_status read_counts(void *context, gmf_side side, int64_t begin, int64_t n, int64_t *out, gmf_error *err)
{
  if (side == GMF_USERS) return gmf_read_user_counts(context, begin, n, out, err);
  for (int64_t r = 0; r < n; r++) out[r] = 1;
  return GMF_OK;
}

gmf_status gmf_dataset_id_source(gmf_dataset *d, gmf_side side, gmf_id_source *out, gmf_error *err)
{
  gmf_ids none = {0};
  gmf_status status = gmf_dataset_read_ids(d, side, 0, 0, &none, err);
  *out = (gmf_id_source){
      .side = side, .type = none.type, .n = d->n[side], .ids = read_ids, .counts = read_counts, .context = d};
  gmf_ids_free(&none);
  return status;
}
