/*
 * How many rows would travel in a half-sweep, for every layout at once: counted from the ratings where they lie, in one
 * pass, for any number of ranks. The choice of a layout hangs on it.
 *
 * Candidates are thresholds, rows with at least least[t] ratings being heavy, times the shapes of grids of the ranks. A
 * fixed row travels to each rank, but its owner, that has a light rating of it, and to each rank of its column of the
 * heavy grid whose grid row has a heavy one; once to a rank that has both.
 */
#ifndef GMF_DIST_FETCH_TABLE_H
#define GMF_DIST_FETCH_TABLE_H

#include "dist/axis.h"
#include "dist/layout.h"
#include "dist/source.h"

enum { GMF_FETCH_THRESHOLDS = 31, GMF_FETCH_SHAPES = 32 };

/* Class c of rows has at least least[c - 1] and less than least[c] ratings; candidate t makes classes from t + 1 on
 * heavy, and candidate n_least none. */
typedef struct gmf_fetch_table {
  int n_ranks, n_least, n_shapes;
  int64_t least[GMF_FETCH_THRESHOLDS];                      /* ascending */
  int n_cols[GMF_FETCH_SHAPES];                             /* of the heavy grid: divisors of n_ranks above 1 */
  double light[GMF_FETCH_THRESHOLDS + 1];                   /* rows that travel for light ratings, by candidate */
  double heavy[GMF_FETCH_SHAPES][GMF_FETCH_THRESHOLDS + 1]; /* those more that travel for heavy ones */
  double rows[GMF_FETCH_THRESHOLDS + 1], ratings[GMF_FETCH_THRESHOLDS + 1]; /* by class */
  int64_t longest[GMF_FETCH_THRESHOLDS + 1];                                /* the most ratings of a row, by class */
  int64_t sampled;                                                          /* one in so many fixed rows was counted */
} gmf_fetch_table;

/* Local. Thresholds from `most`, the longest row's ratings, down by halves of powers of two, and shapes; all else 0. */
void gmf_fetch_table_make(int n_ranks, int64_t most, gmf_fetch_table *table);

/* Local. Bytes that gmf_fetch_table_count takes where users are updated, with what MPI takes to unite its table. */
int64_t gmf_fetch_table_bytes(int64_t n_items, int n_ranks);

/* Local. The class of a row. */
int gmf_fetch_class(const gmf_fetch_table *table, int64_t n_ratings);

/*
 * Collective over `grid`, whose ranks have their users of the source. For the half-sweep that updates `side`; axes: of
 * n_ranks ranks. item_counts [n items]: where items are updated. Where users are, an item takes 4 bytes a rank: beyond
 * 64 MiB one in several items is counted, and the sums multiplied. copied: the fixed side's layout where ranks have
 * copies of its heavy rows (heavy.h), which do not travel to them; NULL: none.
 */
gmf_status gmf_fetch_table_count(const gmf_grid *grid, const gmf_rating_source *source, gmf_side side,
                                 gmf_axis *const axes[GMF_N_SIDES], int n_ranks, const int64_t *item_counts,
                                 const gmf_layout *copied, gmf_fetch_table *out, gmf_error *err);

#endif
