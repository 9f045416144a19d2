/*
 * The weights of an item-based model, n x n: a user whose ratings are the row a gets the scores a W. Row j is what a
 * rating of item j adds to the scores of the other items.
 */
#ifndef GMF_ALGO_ITEM_WEIGHTS_H
#define GMF_ALGO_ITEM_WEIGHTS_H

#include "runtime/grid.h"

/* Element (row, item) of W: rows of the dataset. */
typedef struct gmf_weight {
  double value;
  int32_t row, item;
} gmf_weight;

/* My slice of the rows of a sparse W, in dataset order: slice r of gmf_slice_begin(n, ranks, r). Fit for {0}. */
typedef struct gmf_weight_slice {
  int64_t begin, n_rows;
  int64_t *indptr; /* owned [n_rows + 1], from 0 */
  int64_t *items;  /* owned [indptr[n_rows]]: ascending within a row */
  double *values;  /* owned, likewise */
} gmf_weight_slice;

/* Collective. Brings elements, each of which is on one rank, to the slices of their rows. *weights [n] is given back
 * (gmf_free) as soon as it has been sent, and becomes NULL. */
gmf_status gmf_weights_to_slices(const gmf_grid *grid, int64_t n_items, gmf_weight **weights, int64_t n,
                                 gmf_weight_slice *out, gmf_error *err);
void gmf_weight_slice_free(gmf_weight_slice *slice);

#endif
