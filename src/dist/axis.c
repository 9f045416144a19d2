#include "dist/axis.h"

#include <string.h>

#include "base/key_sort.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "runtime/exchange.h"
#include "runtime/limits.h"

static gmf_status new_axis(int64_t n, int n_ranks, gmf_axis **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_axis *axis = NULL;
  GMF_TRY(GMF_NEW_ZERO(axis, 1, err));
  axis->n = n;
  axis->n_ranks = n_ranks;
  GMF_TRY(GMF_NEW_ZERO(axis->prefix, n_ranks + 1, err));
  *out = axis;
  axis = NULL;
cleanup:
  gmf_axis_destroy(&axis);
  return status;
}

void gmf_axis_destroy(gmf_axis **axis)
{
  if (*axis == NULL) return;
  gmf_free((*axis)->prefix);
  gmf_free((*axis)->position_of);
  gmf_free((*axis)->row_of);
  gmf_free(*axis);
  *axis = NULL;
}

/* Local numbers of rows are 32 bits wide. */
static gmf_status check_shares(const gmf_axis *axis, gmf_error *err)
{
  for (int r = 0; r < axis->n_ranks; r++)
    if (axis->prefix[r + 1] - axis->prefix[r] > gmf_limit_rows)
      return gmf_fail(
          err, GMF_ERR_PLAN, "a rank would own %lld of %lld users or items, but may own %lld; use more ranks",
          (long long)(axis->prefix[r + 1] - axis->prefix[r]), (long long)axis->n, (long long)gmf_limit_rows);
  return GMF_OK;
}

gmf_status gmf_axis_create_hashed(int64_t n, int n_ranks, uint64_t seed, gmf_axis **out, gmf_error *err)
{
  gmf_status status = new_axis(n, n_ranks, out, err);
  if (status != GMF_OK) return status;
  for (int r = 0; r <= n_ranks; r++) (*out)->prefix[r] = gmf_slice_begin(n, n_ranks, r);
  (*out)->hash = gmf_permutation_make((uint64_t)n, seed, GMF_STREAM_PLACEMENT);
  status = check_shares(*out, err);
  if (status != GMF_OK) gmf_axis_destroy(out);
  return status;
}

/* ---- longest work first ------------------------------------------------------------------------------------------ */

/* order [n]: rows, those first that the ranks of a row of the heavy rows' grid share, and of each kind those of more
 * work; of equal ones in dataset order. */
static gmf_status order_rows(int64_t n, const int64_t *work, const gmf_shared_rows *shared, uint32_t *order,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_keyed *rows = NULL, *scratch = NULL;
  GMF_TRY(GMF_NEW(rows, n, err));
  GMF_TRY(GMF_NEW(scratch, n, err));
  for (int64_t r = 0; r < n; r++) {
    uint64_t is_whole = shared == NULL || !gmf_is_member(shared->rows, shared->n, r);
    rows[r] = (gmf_keyed){is_whole << 63 | (uint64_t)(INT64_MAX - work[r]), r};
  }
  gmf_sort_keyed(rows, scratch, n);
  for (int64_t j = 0; j < n; j++) order[j] = (uint32_t)rows[j].value;
cleanup:
  gmf_free(scratch);
  gmf_free(rows);
  return status;
}

/* A rank, or all ranks of a row of a grid, with the work that each of them has. */
typedef struct bin {
  int64_t load;
  int index;
} bin;

static int lighter(bin a, bin b) { return a.load != b.load ? a.load < b.load : a.index < b.index; }

/* Restores the heap below `parent`, which has grown. */
static void sift_down(bin *heap, int n, int parent)
{
  for (;;) {
    int child = 2 * parent + 1;
    if (child >= n) return;
    if (child + 1 < n && lighter(heap[child + 1], heap[child])) child++;
    if (!lighter(heap[child], heap[parent])) return;
    bin moved = heap[parent];
    heap[parent] = heap[child];
    heap[child] = moved;
    parent = child;
  }
}

/*
 * owner[row] for every row, by Graham's rule: first the shared rows, which all n_cols ranks of the least loaded group
 * work at alike, and which its ranks own in turn; then the others. order: of order_rows. heap [n_ranks] and n_owned
 * [n_ranks] are scratch.
 */
static void assign(const int64_t *work, const uint32_t *order, int64_t n, const gmf_shared_rows *shared, int n_ranks,
                   bin *heap, int64_t *n_owned, int32_t *owner)
{
  int n_cols = shared != NULL ? shared->n_cols : 1, n_groups = n_ranks / n_cols;
  int64_t j = 0, n_shared = shared != NULL ? shared->n : 0;
  for (int g = 0; g < n_groups; g++) heap[g] = (bin){0, g};
  memset(n_owned, 0, (size_t)n_ranks * sizeof *n_owned);
  for (; j < n_shared; j++) {
    int g = heap[0].index;
    owner[order[j]] = g * n_cols + gmf_int(n_owned[g]++ % n_cols);
    heap[0].load += (work[order[j]] + n_cols - 1) / n_cols;
    sift_down(heap, n_groups, 0);
  }
  for (int g = 0; g < n_groups; g++) n_owned[heap[g].index] = heap[g].load;
  for (int r = 0; r < n_ranks; r++) heap[r] = (bin){n_owned[r / n_cols], r};
  for (int r = n_ranks / 2; r >= 0; r--) sift_down(heap, n_ranks, r);
  for (; j < n; j++) {
    owner[order[j]] = heap[0].index;
    heap[0].load += work[order[j]];
    sift_down(heap, n_ranks, 0);
  }
}

/* Positions: by rank, and by dataset order within a rank. next [n_ranks] is scratch. */
static void number_positions(gmf_axis *axis, const int32_t *owner, int64_t *next)
{
  for (int64_t row = 0; row < axis->n; row++) axis->prefix[owner[row] + 1]++;
  for (int r = 0; r < axis->n_ranks; r++) axis->prefix[r + 1] += axis->prefix[r];
  memcpy(next, axis->prefix, (size_t)axis->n_ranks * sizeof *next);
  for (int64_t row = 0; row < axis->n; row++) {
    int64_t position = next[owner[row]]++;
    axis->position_of[row] = (uint32_t)position;
    axis->row_of[position] = (uint32_t)row;
  }
}

/* Tables number rows in 32 bits. */
static gmf_status check_table(int64_t n, gmf_error *err)
{
  if (n <= UINT32_MAX) return GMF_OK;
  return gmf_fail(err, GMF_ERR_PLAN, "%lld users or items are too many for a table of who has which, up to %lld",
                  (long long)n, (long long)UINT32_MAX);
}

gmf_status gmf_axis_create_owned(int64_t n, int n_ranks, const int32_t *owner, gmf_axis **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_axis *axis = NULL;
  int64_t *next = NULL;

  *out = NULL;
  GMF_TRY(check_table(n, err));
  GMF_TRY(new_axis(n, n_ranks, &axis, err));
  GMF_TRY(GMF_NEW(axis->position_of, n, err));
  GMF_TRY(GMF_NEW(axis->row_of, n, err));
  GMF_TRY(GMF_NEW(next, n_ranks, err));
  number_positions(axis, owner, next);
  GMF_TRY(check_shares(axis, err));
  *out = axis;
  axis = NULL;

cleanup:
  gmf_free(next);
  gmf_axis_destroy(&axis);
  return status;
}

gmf_status gmf_axis_create_balanced(int64_t n, int n_ranks, const int64_t *work, const gmf_shared_rows *shared,
                                    gmf_axis **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  uint32_t *order = NULL;
  bin *heap = NULL;
  int32_t *owner = NULL;
  int64_t *n_owned = NULL;

  *out = NULL;
  GMF_TRY(check_table(n, err));
  GMF_TRY(GMF_NEW(order, n, err));
  GMF_TRY(order_rows(n, work, shared, order, err));
  GMF_TRY(GMF_NEW(heap, n_ranks, err));
  GMF_TRY(GMF_NEW(owner, n, err));
  GMF_TRY(GMF_NEW(n_owned, n_ranks, err));
  assign(work, order, n, shared, n_ranks, heap, n_owned, owner);
  GMF_TRY(gmf_axis_create_owned(n, n_ranks, owner, out, err));

cleanup:
  gmf_free(n_owned);
  gmf_free(owner);
  gmf_free(heap);
  gmf_free(order);
  return status;
}

/* ---- lookups ----------------------------------------------------------------------------------------------------- */

int64_t gmf_axis_position(const gmf_axis *axis, int64_t row)
{
  if (axis->position_of != NULL) return axis->position_of[row];
  return (int64_t)gmf_permute(&axis->hash, (uint64_t)row);
}

int64_t gmf_axis_row(const gmf_axis *axis, int64_t position)
{
  if (axis->row_of != NULL) return axis->row_of[position];
  return (int64_t)gmf_unpermute(&axis->hash, (uint64_t)position);
}

int gmf_axis_owner(const gmf_axis *axis, int64_t position)
{
  int low = 0, high = axis->n_ranks - 1; /* the last rank whose slice begins at or before position and is not empty */
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (axis->prefix[middle] <= position)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/* ---- between owners and dataset order ---------------------------------------------------------------------------- */

/* Which slice of gmf_slice_begin(n, n_ranks, .) holds row. */
static int slice_of(int64_t n, int n_ranks, int64_t row)
{
  int64_t quotient = n / n_ranks, rest = n % n_ranks, long_end = rest * (quotient + 1);
  return gmf_int(row < long_end ? row / (quotient + 1) : rest + (row - long_end) / gmf_max64(quotient, 1));
}

/* Where a row goes: a rank, and its place there. */
typedef struct destination {
  int rank;
  int64_t place;
} destination;

static destination place_in_slice(const gmf_axis *axis, int64_t position)
{
  int64_t row = gmf_axis_row(axis, position);
  int rank = slice_of(axis->n, axis->n_ranks, row);
  return (destination){rank, row - gmf_slice_begin(axis->n, axis->n_ranks, rank)};
}

static destination place_at_owner(const gmf_axis *axis, int64_t row)
{
  int64_t position = gmf_axis_position(axis, row);
  int rank = gmf_axis_owner(axis, position);
  return (destination){rank, position - axis->prefix[rank]};
}

/*
 * Collective. Sends my n rows, which count from `begin`, to where find says; those that arrive come to lie at their
 * places of `to`, which has room for n_to.
 */
static gmf_status move_rows(const gmf_grid *grid, const gmf_axis *axis, int64_t begin, int64_t n, const char *from,
                            int64_t from_stride, destination (*find)(const gmf_axis *, int64_t), char *to,
                            int64_t to_stride, int64_t n_to, int64_t row_bytes, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_recv = 0, message = row_bytes + (int64_t)sizeof(int64_t);
  int64_t *counts = NULL, *next = NULL;
  char *send = NULL, *recv = NULL;

  status = GMF_NEW_ZERO(counts, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(next, grid->size + 1, err);
  if (status == GMF_OK) status = GMF_NEW(send, n * message, err);
  GMF_TRY(gmf_agree(grid, status, err));

  /* Each row travels behind its place. */
  for (int64_t j = 0; j < n; j++) counts[find(axis, begin + j).rank]++;
  for (int r = 0; r < grid->size; r++) next[r + 1] = next[r] + counts[r];
  for (int64_t j = 0; j < n; j++) {
    destination d = find(axis, begin + j);
    char *message_begin = send + next[d.rank]++ * message;
    memcpy(message_begin, &d.place, sizeof d.place);
    memcpy(message_begin + sizeof d.place, from + j * from_stride, (size_t)row_bytes);
  }
  GMF_TRY(gmf_exchange_new(grid, message, send, counts, (void **)&recv, NULL, &n_recv, err));
  GMF_CHECK(n_recv == n_to);
  GMF_FREE(send);
  for (int64_t j = 0; j < n_recv; j++) {
    int64_t place = 0;
    memcpy(&place, recv + j * message, sizeof place);
    memcpy(to + place * to_stride, recv + j * message + sizeof place, (size_t)row_bytes);
  }

cleanup:
  gmf_free(recv);
  gmf_free(send);
  gmf_free(next);
  gmf_free(counts);
  return status;
}

gmf_status gmf_axis_to_slices(const gmf_grid *grid, const gmf_axis *axis, const void *own, int64_t own_stride,
                              int64_t row_bytes, void **slice, int64_t *slice_begin, int64_t *slice_n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *slice_begin = gmf_slice_begin(axis->n, grid->size, grid->rank);
  *slice_n = gmf_slice_begin(axis->n, grid->size, grid->rank + 1) - *slice_begin;
  if ((*slice = gmf_malloc(*slice_n, (size_t)row_bytes)) == NULL)
    status = gmf_out_of_memory(err, *slice_n, (size_t)row_bytes, "rows in dataset order");
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_TRY(move_rows(grid, axis, axis->prefix[grid->rank], gmf_axis_n_own(axis, grid->rank), own, own_stride,
                    place_in_slice, *slice, row_bytes, *slice_n, row_bytes, err));
cleanup:
  if (status != GMF_OK) GMF_FREE(*slice);
  return status;
}

gmf_status gmf_axis_from_slices(const gmf_grid *grid, const gmf_axis *axis, const void *slice, int64_t row_bytes,
                                void *own, int64_t own_stride, gmf_error *err)
{
  int64_t begin = gmf_slice_begin(axis->n, grid->size, grid->rank);
  int64_t n = gmf_slice_begin(axis->n, grid->size, grid->rank + 1) - begin;
  return move_rows(grid, axis, begin, n, slice, row_bytes, place_at_owner, own, own_stride,
                   gmf_axis_n_own(axis, grid->rank), row_bytes, err);
}
