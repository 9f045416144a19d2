/*
 * The rows of an array as checksum blocks, and the blocks as slices of the ranks: whole blocks, counted from the first
 * row. So a checksum is made by one rank, and the bytes of a file do not depend on the number of ranks.
 *
 * Callers have their rows in slices of their own: those that lie in blocks of other ranks travel to them, the others
 * stay where they are.
 */
#ifndef GMF_IO_ROW_BLOCKS_H
#define GMF_IO_ROW_BLOCKS_H

#include "base/narrow.h"
#include "runtime/grid.h"

typedef struct gmf_row_blocks {
  int64_t n_rows, row_bytes, block_rows, n_blocks;
  int64_t begin, end; /* the blocks of this rank */
} gmf_row_blocks;

/* Local. */
gmf_row_blocks gmf_row_blocks_of(const gmf_grid *grid, int64_t n_rows, int64_t row_bytes, int64_t block_rows);

/* Local. The first row of a block; behind the last block: n_rows. */
static inline int64_t gmf_block_row(const gmf_row_blocks *b, int64_t block)
{
  return gmf_min64(block * b->block_rows, b->n_rows);
}

/* The rows of this rank's blocks: some of ranks before it, then its own, then some of ranks behind it. Fit for {0}. */
typedef struct gmf_block_rows {
  const char *own; /* borrowed: where the caller has them */
  char *received;  /* owned: those of the others, in order; NULL for none */
  int64_t n_before, n_own, n_behind;
} gmf_block_rows;

/*
 * Collective. This rank brings rows [begin, begin + n) of the array; the ranks' slices in rank order cover it without
 * gaps. `rows`: [n], row_bytes each; borrowed, must outlive *out. GMF_ERR_MEMORY.
 */
gmf_status gmf_block_rows_gather(const gmf_grid *grid, const gmf_row_blocks *blocks, int64_t begin, int64_t n,
                                 const void *rows, gmf_block_rows *out, gmf_error *err);
void gmf_block_rows_free(gmf_block_rows *rows);

/* Local. The row `at`, counted from the first of them, and behind it all that follow without a gap: *n of them. */
const char *gmf_block_rows_at(const gmf_block_rows *rows, int64_t row_bytes, int64_t at, int64_t *n);
/* Local. n of them, from row `at` on, to `out`. */
void gmf_block_rows_copy(const gmf_block_rows *rows, int64_t row_bytes, int64_t at, int64_t n, char *out);

#endif
