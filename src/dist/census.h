/*
 * What the ranks of a side's blocks will hold and exchange, counted from the ratings where they lie, before any of them
 * travels, and for any number of ranks: those that count need not be those that are counted for. For plans, and for the
 * choice of a layout.
 */
#ifndef GMF_DIST_CENSUS_H
#define GMF_DIST_CENSUS_H

#include "dist/axis.h"
#include "dist/layout.h"
#include "dist/source.h"

/* Of one rank. All counts are exact. */
typedef struct gmf_share {
  int64_t ratings;                              /* in all its blocks */
  int64_t rows;                                 /* of the updated side, in the block that is not of heavy rows */
  int64_t own;                                  /* factor rows of the updated side that the rank owns */
  int64_t heavy_rows, heavy_own, heavy_ratings; /* the same of heavy rows: in their block, and owned */
  int64_t slots;                                /* fixed rows that the ratings touch */
  int64_t sent;      /* rows of the fixed side that the rank gives, counted once for each receiver */
  int64_t fetched;   /* of the slots, those that come from other ranks */
  int64_t given;     /* of the sent, those that go to other ranks */
  int64_t n_sources; /* other ranks that something comes from */
  int64_t n_targets; /* other ranks that something goes to */
  int64_t work;      /* of a gmf_row_work */
} gmf_share;

/* What a row of so many ratings costs, in any unit: what its ranks share, and what its owner does alone. */
typedef struct gmf_row_work {
  double (*shared)(const void *context, int64_t n_ratings);
  double (*alone)(const void *context, int64_t n_ratings);
  const void *context; /* borrowed */
} gmf_row_work;

/* A side that is updated, and where its ratings lie. */
typedef struct gmf_census_side {
  gmf_side side;
  int n_rows, n_cols;     /* of the grid of all rows but the heavy */
  gmf_layout layout;      /* of heavy rows, on as many ranks */
  gmf_axis *const *axes;  /* borrowed [GMF_N_SIDES], of these ranks */
  const int64_t *degrees; /* borrowed [n of the side]: gmf_census_degrees */
} gmf_census_side;

/* Collective. Ratings of each row of a side over all ranks: degrees [n], on every rank. */
gmf_status gmf_census_degrees(const gmf_grid *grid, const gmf_rating_source *source, gmf_side side, int64_t *degrees,
                              gmf_error *err);

/*
 * Collective over `grid`, whose ranks have their users of the source. shares [n_rows * n_cols]: out, on every rank.
 * light, heavy: what rows cost, light ones and others. Takes two bits for each pair of ranks that are counted for and,
 * where users are updated, a bit for each of them and item, of which at most 256 MiB are held at a time, in as many
 * passes over the ratings as that needs.
 */
gmf_status gmf_census_run(const gmf_grid *grid, const gmf_rating_source *source, const gmf_census_side *counted,
                          const gmf_row_work *light, const gmf_row_work *heavy, gmf_share *shares, gmf_error *err);

/* Takes some ratings of one of my users, who counts from 0: items [n]. A user may come several times in a row. */
typedef void gmf_census_visit(void *context, int64_t user, const int64_t *items, int64_t n);

/* Local. Calls `visit` for all ratings of the source. */
gmf_status gmf_census_walk(const gmf_rating_source *source, gmf_census_visit *visit, void *context, gmf_error *err);

#endif
