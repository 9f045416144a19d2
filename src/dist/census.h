/*
 * What a block will hold and exchange, counted from the ratings where they lie, before any of them travels, and for any
 * number of ranks: those that count need not be those that are counted for. For plans, and for the choice of a grid.
 */
#ifndef GMF_DIST_CENSUS_H
#define GMF_DIST_CENSUS_H

#include "dist/block.h"

/* Of one rank. All counts are exact. */
typedef struct gmf_share {
  int64_t ratings;
  int64_t rows;      /* of the updated side, in the block */
  int64_t own;       /* of the rows, those that the rank owns */
  int64_t slots;     /* fixed rows that the ratings touch */
  int64_t sent;      /* rows of the fixed side that the rank gives, counted once for each receiver */
  int64_t fetched;   /* of the slots, those that come from other ranks */
  int64_t given;     /* of the sent, those that go to other ranks */
  int64_t n_sources; /* other ranks that something comes from */
  int64_t n_targets; /* other ranks that something goes to */
  int64_t work;      /* of a gmf_row_work */
} gmf_share;

/* What rows cost, in any unit: on grids of several columns the ranks of a grid row share a row's ratings, and its
 * owner alone solves it. */
typedef struct gmf_row_work {
  double (*forming)(const void *context, int64_t n_ratings); /* a row of so many ratings, of all its ranks together */
  double (*solving)(const void *context, int64_t n_ratings);
  const void *context; /* borrowed */
} gmf_row_work;

/* A block to count for: of the rows of a side that have at least `least` and less than `limit` ratings. */
typedef struct gmf_census_block {
  gmf_side side;
  int n_rows, n_cols;
  int64_t least, limit;
  gmf_axis *const *axes;  /* borrowed [GMF_N_SIDES], of n_rows x n_cols ranks */
  const int64_t *degrees; /* borrowed [n of the side]: gmf_census_degrees */
} gmf_census_block;

/* Collective. Ratings of each row of a side over all ranks: degrees [n], on every rank. */
gmf_status gmf_census_degrees(const gmf_grid *grid, const gmf_rating_source *source, gmf_side side, int64_t *degrees,
                              gmf_error *err);

/*
 * Collective over `grid`, whose ranks have their users of the source. shares [n_rows * n_cols]: out, on every rank.
 * Takes two bits for each pair of ranks that are counted for and, where users are updated, a bit for each of them and
 * item, of which at most 256 MiB are held at a time, in as many passes over the ratings as that needs.
 */
gmf_status gmf_census_run(const gmf_grid *grid, const gmf_rating_source *source, const gmf_census_block *block,
                          const gmf_row_work *work, gmf_share *shares, gmf_error *err);

#endif
