#include "dist/feature_rows.h"

#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"

/* A feature on its way to the owner of its row. */
typedef struct entry {
  int64_t position;
  int32_t column;
  float value;
} entry;

/* Local. My features by owner, in the order of the rows, and how many go to each; entries owned by the caller. */
static gmf_status pack(const gmf_grid *grid, const gmf_axis *axis, const gmf_feature_rows *slice, entry **entries,
                       int64_t *counts, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *next = NULL;
  GMF_TRY(GMF_NEW(*entries, slice->indptr[slice->n], err));
  GMF_TRY(GMF_NEW_ZERO(next, grid->size + 1, err));
  memset(counts, 0, (size_t)grid->size * sizeof *counts);
  for (int64_t r = 0; r < slice->n; r++)
    counts[gmf_axis_owner(axis, gmf_axis_position(axis, slice->begin + r))] += slice->indptr[r + 1] - slice->indptr[r];
  for (int rank = 0; rank < grid->size; rank++) next[rank + 1] = next[rank] + counts[rank];
  for (int64_t r = 0; r < slice->n; r++) {
    int64_t position = gmf_axis_position(axis, slice->begin + r);
    int owner = gmf_axis_owner(axis, position);
    for (int64_t j = slice->indptr[r]; j < slice->indptr[r + 1]; j++)
      (*entries)[next[owner]++] = (entry){position, slice->columns[j], slice->values[j]};
  }
cleanup:
  gmf_free(next);
  return status;
}

/* Local. n entries, those of a row together and in order, into rows by position. */
static gmf_status unpack(const entry *entries, int64_t n, gmf_feature_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *next = NULL;
  GMF_TRY(GMF_NEW(next, rows->n, err));
  for (int64_t j = 0; j < n; j++) rows->indptr[entries[j].position - rows->begin + 1]++;
  for (int64_t r = 0; r < rows->n; r++) {
    next[r] = rows->indptr[r];
    rows->indptr[r + 1] += rows->indptr[r];
  }
  for (int64_t j = 0; j < n; j++) {
    int64_t at = next[entries[j].position - rows->begin]++;
    rows->columns[at] = entries[j].column;
    rows->values[at] = entries[j].value;
  }
cleanup:
  gmf_free(next);
  return status;
}

gmf_status gmf_feature_rows_to_owners(const gmf_grid *grid, const gmf_axis *axis, const gmf_feature_rows *slice,
                                      gmf_feature_rows *owned, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  entry *send = NULL, *received = NULL;
  int64_t *counts = NULL, n = 0;

  *owned = (gmf_feature_rows){0};
  local = GMF_NEW(counts, grid->size, err);
  if (local == GMF_OK) local = pack(grid, axis, slice, &send, counts, err);
  GMF_TRY(gmf_agree(grid, local, err));
  GMF_TRY(gmf_exchange_new(grid, sizeof *send, send, counts, (void **)&received, NULL, &n, err));
  local = gmf_feature_rows_new(slice->n_features, axis->prefix[grid->rank], gmf_axis_n_own(axis, grid->rank), n, owned,
                               err);
  if (local == GMF_OK) local = unpack(received, n, owned, err);
  GMF_TRY(gmf_agree(grid, local, err));
cleanup:
  if (status != GMF_OK) gmf_feature_rows_free(owned);
  gmf_free(send);
  gmf_free(received);
  gmf_free(counts);
  return status;
}
