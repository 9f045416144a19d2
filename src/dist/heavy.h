/*
 * The heavy rows of a side (layout.h): which they are, and how their ratings lie. A heavy row's factor stays with the
 * owner that the side's axis gives it; its ratings lie with the ranks of the owner's row of the heavy grid.
 */
#ifndef GMF_DIST_HEAVY_H
#define GMF_DIST_HEAVY_H

#include "dist/axis.h"
#include "dist/layout.h"
#include "dist/source.h"

typedef struct gmf_heavy {
  gmf_layout layout;
  int64_t n;         /* of all ranks */
  int64_t n_ratings; /* theirs, of all ranks */
  int64_t *rows;     /* owned [n]: in dataset order, ascending */
  uint64_t *bits;    /* owned: the same as a set, of items only (base/bits.h) */
  gmf_grid *grid;    /* owned: the heavy grid; these from gmf_heavy_place on */
  gmf_axis *axis;    /* owned: of the heavy rows alone, numbered as in `rows` */
  int64_t *own_rows; /* owned: my heavy rows, in the order of `axis`, as places among my rows of the side */
  bool copied;       /* each rank has all rows of its grid row, not only its own (algo/als_fold_cg.c); for the caller of
                        gmf_heavy_find to say */
} gmf_heavy;

/*
 * Collective. Finds the heavy rows of a side from the exact counts of the data: *out is NULL where the layout has none,
 * or no row is heavy. counts [n of the side]: of gmf_census_degrees; NULL where they have no table, and they are
 * counted without one.
 */
gmf_status gmf_heavy_find(const gmf_grid *grid, const gmf_rating_source *source, gmf_side side,
                          const gmf_layout *layout, const int64_t *counts, gmf_heavy **out, gmf_error *err);

/* Collective. Makes their grid, and puts them where the side's axis has them. */
gmf_status gmf_heavy_place(const gmf_grid *grid, const gmf_axis *axis, gmf_heavy *heavy, gmf_error *err);

/* Collective (heavy->grid has communicators). */
void gmf_heavy_destroy(gmf_heavy **heavy);

/* Local. A row's number among the heavy ones, or -1. */
int64_t gmf_heavy_index(const gmf_heavy *heavy, int64_t row);

/* Local. A row's place among the heavy ones of my grid row, where each of its ranks has them all; -1 for others. */
int64_t gmf_heavy_copy(const gmf_heavy *heavy, int64_t row);

#endif
