/* My rows of a factor matrix. */
#ifndef GMF_DIST_FACTOR_H
#define GMF_DIST_FACTOR_H

#include "dist/axis.h"

typedef struct gmf_factor {
  gmf_side side;
  const gmf_axis *axis; /* borrowed, must outlive this */
  int k, ld;            /* columns from k on are the caller's: zero, or biases */
  int64_t n;            /* my rows */
  float *rows;          /* owned [n][ld], in position order */
} gmf_factor;

/* Local. All zero. */
gmf_status gmf_factor_create(const gmf_grid *grid, gmf_side side, const gmf_axis *axis, int k, int ld, gmf_factor **out,
                             gmf_error *err);
void gmf_factor_destroy(gmf_factor **factor);

/* Local. Independent normal numbers of standard deviation `scale`, a function of (seed, side, row, column) only. */
void gmf_factor_randomize(const gmf_grid *grid, gmf_factor *factor, uint64_t seed, double scale);

/* Collective. n columns of the factor from `column` on, my slice in dataset order, *slice [slice_n][n]; see
 * gmf_axis_to_slices. */
gmf_status gmf_factor_to_slices(const gmf_grid *grid, const gmf_factor *factor, int column, int n, float **slice,
                                int64_t *slice_begin, int64_t *slice_n, gmf_error *err);

/*
 * Local. Zeros [bytes] in an array that has not been written yet, by all threads: on machines with several memories
 * each page then lies in that of the thread that touched it, in even shares, as loops with a static schedule take rows.
 */
void gmf_zero_by_threads(void *p, size_t bytes);

#endif
