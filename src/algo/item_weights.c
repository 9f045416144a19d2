#include "algo/item_weights.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"

void gmf_weight_slice_free(gmf_weight_slice *s)
{
  gmf_free(s->indptr);
  gmf_free(s->items);
  gmf_free(s->values);
  *s = (gmf_weight_slice){0};
}

/* The rank whose slice has the row. */
static int slice_of(int64_t n_items, int n_ranks, int64_t row)
{
  int r = gmf_int(row / gmf_max64(1, n_items / n_ranks));
  if (r >= n_ranks) r = n_ranks - 1;
  while (gmf_slice_begin(n_items, n_ranks, r) > row) r--;
  return r;
}

/* Collective. */
static gmf_status route(const gmf_grid *grid, int64_t n_items, gmf_weight **weights, int64_t n, gmf_weight **received,
                        int64_t *n_received, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t *counts = NULL, *next = NULL;
  gmf_weight *send = NULL;
  local = GMF_NEW_ZERO(counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(next, grid->size + 1, err);
  if (local == GMF_OK) local = GMF_NEW(send, n, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int64_t j = 0; j < n; j++) counts[slice_of(n_items, grid->size, (*weights)[j].row)]++;
  for (int r = 0; r < grid->size; r++) next[r + 1] = next[r] + counts[r];
  for (int64_t j = 0; j < n; j++) send[next[slice_of(n_items, grid->size, (*weights)[j].row)]++] = (*weights)[j];
  GMF_FREE(*weights);
  GMF_TRY(gmf_exchange_new(grid, sizeof *send, send, counts, (void **)received, NULL, n_received, err));
cleanup:
  gmf_free(send);
  gmf_free(next);
  gmf_free(counts);
  return status;
}

static int by_item(const void *a, const void *b)
{
  const gmf_weight *x = a, *y = b;
  return (x->item > y->item) - (x->item < y->item);
}

/* Local. Elements into rows: by counting, then each row by item. */
static gmf_status compress(const gmf_weight *weights, int64_t n, gmf_weight_slice *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_weight *sorted = NULL;
  GMF_TRY(GMF_NEW_ZERO(out->indptr, out->n_rows + 2, err));
  GMF_TRY(GMF_NEW(sorted, n, err));
  GMF_TRY(GMF_NEW(out->items, n, err));
  GMF_TRY(GMF_NEW(out->values, n, err));
  int64_t *next = out->indptr + 1; /* one further than in the end: filling moves it there */
  for (int64_t j = 0; j < n; j++) next[weights[j].row - out->begin + 1]++;
  for (int64_t r = 0; r < out->n_rows; r++) next[r + 1] += next[r];
  for (int64_t j = 0; j < n; j++) sorted[next[weights[j].row - out->begin]++] = weights[j];
  for (int64_t r = 0; r < out->n_rows; r++)
    qsort(sorted + out->indptr[r], (size_t)(out->indptr[r + 1] - out->indptr[r]), sizeof *sorted, by_item);
  for (int64_t j = 0; j < n; j++) {
    out->items[j] = sorted[j].item;
    out->values[j] = sorted[j].value;
  }
cleanup:
  gmf_free(sorted);
  return status;
}

gmf_status gmf_weights_to_slices(const gmf_grid *grid, int64_t n_items, gmf_weight **weights, int64_t n,
                                 gmf_weight_slice *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_weight *received = NULL;
  int64_t n_received = 0;
  out->begin = gmf_slice_begin(n_items, grid->size, grid->rank);
  out->n_rows = gmf_slice_begin(n_items, grid->size, grid->rank + 1) - out->begin;
  GMF_TRY(route(grid, n_items, weights, n, &received, &n_received, err));
  GMF_TRY(gmf_agree(grid, compress(received, n_received, out, err), err));
cleanup:
  gmf_free(received);
  return status;
}
