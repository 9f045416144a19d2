/*
 * My ratings of one side on one R x C grid: the updated rows of grid row x meet the fixed rows of grid column y.
 *
 * Updated rows: group x of R is owned by the ranks x C ... x C + C - 1, one grid row. Fixed rows: group y of C is owned
 * by the ranks y R ... y R + R - 1. C = 1 needs no fold: every rank has all ratings of its own rows.
 */
#ifndef GMF_DIST_BLOCK_H
#define GMF_DIST_BLOCK_H

#include "dist/expand.h"

/* Where ratings come from: consecutive users of a rank, read by position. Keeps this layer free of files. */
typedef struct gmf_rating_source {
  int64_t n[GMF_N_SIDES];
  int64_t row_begin, row_end; /* my users */
  const int64_t *indptr;      /* [row_end - row_begin + 1], positions for read */
  bool has_weights;
  /* Local. items [n], values [n] and weights [n] (NULL: not wanted) of positions [begin, begin + n). */
  gmf_status (*read)(const void *context, int64_t begin, int64_t n, int64_t *items, float *values, float *weights,
                     gmf_error *err);
  const void *context; /* borrowed */
} gmf_rating_source;

typedef struct gmf_block {
  gmf_side side;        /* the side that is updated */
  const gmf_axis *axis; /* borrowed: of the updated side */
  int64_t row_begin;    /* first position of my group of updated rows */
  int64_t n_rows;       /* of the group */
  int64_t *row_ptr;     /* owned [n_rows + 1] */
  int32_t *cols;        /* owned [nnz]: places in the expanded panel; a row's ratings ascend in dataset order */
  float *values;        /* owned [nnz] */
  float *weights;       /* owned [nnz]; NULL where the source has none */
  int64_t *counts;      /* owned [n_rows]: ratings of each row over the whole grid row */
  int32_t *by_work;     /* owned [n_rows]: local rows, those with most ratings here first */
  gmf_expand *expand;   /* owned: of the fixed side */
} gmf_block;

/*
 * Collective. Ratings counted by item over all ranks, counts [n items], on every rank. For sides that fit a table
 * (GMF_AXIS_TABLE_ROWS).
 */
gmf_status gmf_count_items(const gmf_grid *grid, const gmf_rating_source *source, int64_t *counts, gmf_error *err);

/*
 * Collective. Reads the source once and routes every rating to its two blocks, blocks[GMF_USERS] and
 * blocks[GMF_ITEMS], in batches of bounded size. axes: borrowed, must outlive the blocks. row_bytes: of the longest
 * row that their expansion is to carry.
 */
gmf_status gmf_blocks_create(const gmf_grid *grid, const gmf_rating_source *source, gmf_axis *const axes[GMF_N_SIDES],
                             size_t row_bytes, gmf_block *blocks[GMF_N_SIDES], gmf_error *err);
void gmf_block_destroy(gmf_block **block);

#endif
