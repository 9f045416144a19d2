/*
 * How a side's ratings lie, by the degree of its rows: light rows have all their ratings at their owner, on a grid of
 * one column; the ratings of heavy rows are cut by columns of another grid of the same ranks, and sums over them are
 * folded (fold.h). Plain data, no MPI.
 */
#ifndef GMF_DIST_LAYOUT_H
#define GMF_DIST_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

/* Of one side: rows with at least heavy_from ratings (INT64_MAX: none) are heavy and live on an n_rows x n_cols grid,
 * the others on ranks x 1. */
typedef struct gmf_layout {
  int64_t heavy_from;
  int n_rows, n_cols;
} gmf_layout;

/* Nothing is heavy. */
static inline gmf_layout gmf_layout_light(int n_ranks) { return (gmf_layout){INT64_MAX, n_ranks, 1}; }

/* Whether rows may be heavy: on a grid of one column they would lie as light ones do. */
static inline bool gmf_layout_has_heavy(const gmf_layout *layout)
{
  return layout->heavy_from < INT64_MAX && layout->n_cols > 1;
}

#endif
