/*
 * Who owns which rows of a side. Rows in dataset order are mapped to positions by a placement; rank r owns the
 * positions [prefix[r], prefix[r + 1]). Nothing outside this file knows how rows are placed.
 *
 *   hashed    a seeded permutation without a table, slices of equal length: for sides too long for a table
 *   balanced  longest work first onto the least loaded rank (Graham, "Bounds on multiprocessing timing anomalies",
 *             SIAM J. Appl. Math. 1969), with a table of 8 bytes a row
 *
 * By hash the fullest of P ranks has about 1 + sqrt(2 P ln P E[d^2] / E[d]^2 / n) times the mean of the work of n rows
 * of degrees d: what a table evens out falls as rows become more, and what it takes rises.
 */
#ifndef GMF_DIST_AXIS_H
#define GMF_DIST_AXIS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"
#include "base/side.h"
#include "runtime/grid.h"
#include "runtime/limits.h"

/* Local. Whether a side of n rows is to be balanced. */
static inline bool gmf_axis_has_table(int64_t n) { return n <= gmf_limit_table_rows; }

typedef struct gmf_axis {
  int64_t n;
  int n_ranks;
  int64_t *prefix; /* owned [n_ranks + 1] */
  gmf_permutation hash;
  uint32_t *position_of, *row_of; /* owned [n]; NULL for a hashed axis */
} gmf_axis;

/* Local; the arguments must be equal on all ranks. */
gmf_status gmf_axis_create_hashed(int64_t n, int n_ranks, uint64_t seed, gmf_axis **out, gmf_error *err);

/* Rows that all ranks of a row of another grid work at: heavy ones (layout.h). */
typedef struct gmf_shared_rows {
  int64_t n;
  const int64_t *rows; /* [n] ascending */
  int n_cols;          /* of that grid; divides the ranks */
} gmf_shared_rows;

/* Local; the same. work [n]: of each row, in any unit. shared: NULL for none. */
gmf_status gmf_axis_create_balanced(int64_t n, int n_ranks, const int64_t *work, const gmf_shared_rows *shared,
                                    gmf_axis **out, gmf_error *err);
/* Local; the same. owner [n]: the rank of each row; a rank's rows stand in their order. */
gmf_status gmf_axis_create_owned(int64_t n, int n_ranks, const int32_t *owner, gmf_axis **out, gmf_error *err);
void gmf_axis_destroy(gmf_axis **axis);

/* Local. */
int64_t gmf_axis_position(const gmf_axis *axis, int64_t row);
int64_t gmf_axis_row(const gmf_axis *axis, int64_t position);
int gmf_axis_owner(const gmf_axis *axis, int64_t position);
static inline int64_t gmf_axis_n_own(const gmf_axis *axis, int rank)
{
  return axis->prefix[rank + 1] - axis->prefix[rank];
}

/*
 * Collective. Brings what the owners hold into dataset order: *slice [slice_n][row_bytes] gets rows
 * [slice_begin, slice_begin + slice_n) of the side, slice r of gmf_slice_begin(n, ranks, r). Caller frees (gmf_free).
 *   own  my rows in position order, own_stride bytes apart, of which row_bytes travel
 */
gmf_status gmf_axis_to_slices(const gmf_grid *grid, const gmf_axis *axis, const void *own, int64_t own_stride,
                              int64_t row_bytes, void **slice, int64_t *slice_begin, int64_t *slice_n, gmf_error *err);

/* Collective. The way back: my slice of rows in dataset order, slice [slice_n][row_bytes], to their owners; own as in
 * gmf_axis_to_slices. */
gmf_status gmf_axis_from_slices(const gmf_grid *grid, const gmf_axis *axis, const void *slice, int64_t row_bytes,
                                void *own, int64_t own_stride, gmf_error *err);

#endif
