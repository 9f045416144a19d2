/*
 * My ratings of one side on one R x C grid: the updated rows of grid row x meet the fixed rows of grid column y.
 *
 * Updated rows: group x of R is owned by the ranks x C ... x C + C - 1, one grid row. Fixed rows: group y of C is owned
 * by the ranks y R ... y R + R - 1. C = 1 needs no fold: every rank has all ratings of its own rows.
 *
 * Where a side has heavy rows (heavy.h), its ratings lie in two blocks on two grids of the same ranks: the light rows'
 * and, as its `next`, the heavy rows'. Both meet their fixed rows in one expanded panel.
 */
#ifndef GMF_DIST_BLOCK_H
#define GMF_DIST_BLOCK_H

#include "dist/expand.h"
#include "dist/heavy.h"
#include "dist/hops_choice.h"
#include "kernel/dense.h"

typedef struct gmf_block gmf_block;
struct gmf_block {
  const gmf_grid *grid;    /* borrowed, like the next two */
  gmf_side side;           /* the side that is updated */
  const gmf_axis *axis;    /* of the updated rows: the side's, or that of its heavy rows */
  const int64_t *own_rows; /* of heavy rows: mine, as places among my rows of the side; NULL: all, in their order */
  int64_t row_begin;       /* first position of my group of updated rows */
  int64_t n_rows;          /* of the group */
  int64_t *row_ptr;        /* owned [n_rows + 1] */
  int32_t *cols;           /* owned [nnz]: places in the expanded panel; a row's ratings ascend in dataset order */
  float *values;           /* owned [nnz] */
  float *weights;          /* owned [nnz]; NULL where the source has none */
  int64_t *counts;         /* owned [n_rows]: ratings of each row over the whole grid row, and those of heavy rows that
                              stand in the next block */
  int32_t *by_work;        /* owned [n_rows]: local rows, those with most ratings here first */
  gmf_expand *expand;      /* owned: of the fixed side, for this block and the next; NULL in the next */
  gmf_block *next;         /* owned: of the side's heavy rows, NULL where there are none */
};

/* Local. Where row j of my rows of a block stands among all mine of the side. */
static inline int64_t gmf_block_own(const gmf_block *b, int64_t j) { return b->own_rows != NULL ? b->own_rows[j] : j; }

/* Local. The ratings that a rank has of row r of its block. */
static inline gmf_ratings gmf_block_row(const gmf_block *b, int64_t r)
{
  int64_t begin = b->row_ptr[r];
  return (gmf_ratings){b->cols + begin, b->values + begin, b->weights != NULL ? b->weights + begin : NULL,
                       b->row_ptr[r + 1] - begin};
}

/* Local. Asks memory for the first ratings of row r of a block, which is to come next: rows stand there in no order. */
static inline void gmf_block_fetch_row(const gmf_block *b, int64_t r)
{
  enum { LINE = 16, LINES = 8 };
  int64_t begin = b->row_ptr[r], end = b->row_ptr[r + 1];
  for (int64_t j = begin; j < end && j < begin + LINES * LINE; j += LINE) {
    __builtin_prefetch(b->cols + j);
    __builtin_prefetch(b->values + j);
  }
}

/* How fixed rows come to their ranks; at most one of them. */
typedef struct gmf_ways {
  const gmf_node *node;     /* borrowed: whose ranks share the expanded panel; NULL: each has its own */
  const gmf_hops *hops;     /* borrowed: two hops; NULL: from rank to rank */
  gmf_hops_choice *choices; /* borrowed [GMF_N_SIDES]: out, whether a side takes the two hops; NULL: both do */
  int64_t row_bytes;        /* of a row that travels, for the choice */
} gmf_ways;

/* Local. Ratings that a rank has of a side, in both blocks. */
int64_t gmf_block_ratings(const gmf_block *block);

/*
 * Collective. Reads the source once and routes every rating to its two places, in blocks[GMF_USERS] and
 * blocks[GMF_ITEMS], in batches of bounded size. axes, heavy (placed; NULL where a side has no heavy rows) and grid:
 * borrowed, must outlive the blocks. With heavy rows the grid has one column. ways: NULL for a
 * panel of each rank, straight from the owners.
 */
gmf_status gmf_blocks_create(const gmf_grid *grid, const gmf_ways *ways, const gmf_rating_source *source,
                             gmf_axis *const axes[GMF_N_SIDES], gmf_heavy *const heavy[GMF_N_SIDES],
                             gmf_block *blocks[GMF_N_SIDES], gmf_error *err);
void gmf_block_destroy(gmf_block **block);

#endif
