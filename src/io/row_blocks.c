#include "io/row_blocks.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/exchange.h"

gmf_row_blocks gmf_row_blocks_of(const gmf_grid *grid, int64_t n_rows, int64_t row_bytes, int64_t block_rows)
{
  int64_t n_blocks = (n_rows + block_rows - 1) / block_rows;
  return (gmf_row_blocks){.n_rows = n_rows,
                          .row_bytes = row_bytes,
                          .block_rows = block_rows,
                          .n_blocks = n_blocks,
                          .begin = gmf_slice_begin(n_blocks, grid->size, grid->rank),
                          .end = gmf_slice_begin(n_blocks, grid->size, grid->rank + 1)};
}

/* The rows [begin, end) of the caller that lie in the blocks of rank r: how many. */
static int64_t overlap_with(const gmf_row_blocks *b, int n_ranks, int r, int64_t begin, int64_t end)
{
  int64_t from = gmf_block_row(b, gmf_slice_begin(b->n_blocks, n_ranks, r));
  int64_t to = gmf_block_row(b, gmf_slice_begin(b->n_blocks, n_ranks, r + 1));
  return gmf_max64(0, gmf_min64(end, to) - gmf_max64(begin, from));
}

/* Collective. The caller has the rows [begin, begin + mine->n_own) of the array from mine->own on: those of other
 * ranks' blocks go there, theirs of my blocks come, and *mine becomes what my blocks hold. */
static gmf_status exchange_edges(const gmf_grid *grid, const gmf_row_blocks *b, int64_t begin, gmf_block_rows *mine,
                                 gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *n_to = NULL, *n_from = NULL, n_low = 0, n_high = 0, n_received = 0;
  void *received = NULL;
  char *edges = NULL;

  status = GMF_NEW(n_to, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW(n_from, grid->size, err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int r = 0; r < grid->size; r++) {
    n_to[r] = overlap_with(b, grid->size, r, begin, begin + mine->n_own);
    n_low += r < grid->rank ? n_to[r] : 0;
    n_high += r > grid->rank ? n_to[r] : 0;
  }
  const char *low = mine->own, *own = low + n_low * b->row_bytes, *high = own + n_to[grid->rank] * b->row_bytes;
  const char *send = n_low > 0 ? low : high;
  if (n_low > 0 && n_high > 0) { /* they stand together on their way */
    status = GMF_NEW(edges, (n_low + n_high) * b->row_bytes, err);
    if (status == GMF_OK) {
      memcpy(edges, low, (size_t)(n_low * b->row_bytes));
      memcpy(edges + n_low * b->row_bytes, high, (size_t)(n_high * b->row_bytes));
    }
    send = edges;
  }
  GMF_TRY(gmf_agree(grid, status, err));
  mine->own = own;
  mine->n_own = n_to[grid->rank];
  n_to[grid->rank] = 0; /* they stay where they are */
  GMF_TRY(gmf_exchange_new(grid, b->row_bytes, send, n_to, &received, n_from, &n_received, err));
  mine->received = received;
  for (int r = 0; r < grid->rank; r++) mine->n_before += n_from[r];
  mine->n_behind = n_received - mine->n_before;
cleanup:
  gmf_free(edges);
  gmf_free(n_to);
  gmf_free(n_from);
  return status;
}

gmf_status gmf_block_rows_gather(const gmf_grid *grid, const gmf_row_blocks *blocks, int64_t begin, int64_t n,
                                 const void *rows, gmf_block_rows *out, gmf_error *err)
{
  int64_t first = gmf_block_row(blocks, blocks->begin), n_mine = gmf_block_row(blocks, blocks->end) - first;
  int64_t moved = begin != first || n != n_mine;
  *out = (gmf_block_rows){.own = rows, .n_own = n};
  if (grid->size > 1) gmf_max_i64(grid, &moved, 1);
  GMF_CHECK(grid->size > 1 || !moved);
  return moved ? exchange_edges(grid, blocks, begin, out, err) : GMF_OK;
}

void gmf_block_rows_free(gmf_block_rows *rows) { GMF_FREE(rows->received); }

const char *gmf_block_rows_at(const gmf_block_rows *rows, int64_t row_bytes, int64_t at, int64_t *n)
{
  int64_t own_end = rows->n_before + rows->n_own;
  if (at < rows->n_before) {
    *n = rows->n_before - at;
    return rows->received + at * row_bytes;
  }
  if (at < own_end) {
    *n = own_end - at;
    return rows->own + (at - rows->n_before) * row_bytes;
  }
  *n = own_end + rows->n_behind - at;
  return rows->received + (at - rows->n_own) * row_bytes;
}

void gmf_block_rows_copy(const gmf_block_rows *rows, int64_t row_bytes, int64_t at, int64_t n, char *out)
{
  for (int64_t done = 0, run = 0; done < n; done += run) {
    const char *from = gmf_block_rows_at(rows, row_bytes, at + done, &run);
    run = gmf_min64(run, n - done);
    memcpy(out + done * row_bytes, from, (size_t)(run * row_bytes));
  }
}
