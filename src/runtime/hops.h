/*
 * The ranks of a grid as a rectangle in which every message goes along a column and then along a row: n_rows + n_cols -
 * 2 partners instead of all ranks but one.
 */
#ifndef GMF_RUNTIME_HOPS_H
#define GMF_RUNTIME_HOPS_H

#include "runtime/grid.h"

/* Rank r of the whole stands in row r / n_cols, column r % n_cols. */
typedef struct gmf_hops {
  int n_rows, n_cols; /* as near to a square as the number of ranks allows; one column where it is prime */
  gmf_grid *column;   /* owned: the ranks of my column, by row */
  gmf_grid *row;      /* owned: the ranks of my row, by column */
} gmf_hops;

/* Local. The columns of the rectangle of so many ranks. */
int gmf_hops_cols(int n_ranks);

/* Collective. */
gmf_status gmf_hops_create(const gmf_grid *grid, gmf_hops **out, gmf_error *err);
void gmf_hops_destroy(gmf_hops **hops);

#endif
