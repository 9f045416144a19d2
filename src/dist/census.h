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

/* One of two hops (expand_hops.c), as gmf_share counts rows from rank to rank. */
typedef struct gmf_hop_share {
  int64_t fetched, given, n_sources, n_targets;
} gmf_hop_share;

/* Of one rank. All counts are exact. */
typedef struct gmf_share {
  int64_t ratings;                              /* in all its blocks */
  int64_t rows;                                 /* of the updated side, in the block that is not of heavy rows */
  int64_t own;                                  /* factor rows of the updated side that the rank owns */
  int64_t heavy_rows, heavy_own, heavy_ratings; /* the same of heavy rows: in their block, and owned */
  int64_t slots;                                /* fixed rows that the ratings touch */
  int64_t sent;          /* rows of the fixed side that the rank gives, counted once for each receiver */
  int64_t fetched;       /* of the slots, those that come from other ranks */
  int64_t given;         /* of the sent, those that go to other ranks */
  int64_t n_sources;     /* messages that come from other ranks: one of each that something comes from */
  int64_t n_targets;     /* messages that go to other ranks */
  int64_t work;          /* of a gmf_row_work */
  int64_t shared;        /* with ranks that share a node's rows: of those that my ratings touch, what others brought */
  gmf_hop_share hops[2]; /* where two hops are counted: the fetched, given and messages of each */
  int64_t between;       /* and the fixed rows that lie between them */
  int64_t n_panels;      /* gmf_census_panels: of all ranks alike; 0: rows are not cut */
  int64_t panel_slots, panel_sent; /* with panels: the most of one */
} gmf_share;

/* Local. Makes a share whose hops were counted one of two hops. */
void gmf_share_take_hops(gmf_share *share);

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
  const int64_t *degrees; /* borrowed [n of the side]: of gmf_census_degrees */
  int node_ranks;         /* ranks r / node_ranks share expanded rows; 1: none do */
  int hop_cols;           /* of the rectangle of two hops, which are counted beside the straight way; 0: are not */
  gmf_layout copied; /* the fixed side's, where ranks have copies of its heavy rows (heavy.h), which do not travel to
                        them straight from their owners; else of no heavy rows */
  const int64_t *fixed_degrees; /* borrowed [n of the fixed side]; read where it has heavy rows */
} gmf_census_side;

/* Collective. Ratings over all ranks of the rows [first, first + n) of a side: degrees [n], on every rank. Of users
 * each rank knows its own; for items it reads the source once. */
gmf_status gmf_census_degrees(const gmf_grid *grid, const gmf_rating_source *source, gmf_side side, int64_t first,
                              int64_t n, int64_t *degrees, gmf_error *err);

/*
 * Collective over `grid`, whose ranks have their users of the source. shares [n_rows * n_cols]: out, on every rank.
 * light, heavy: what rows cost, light ones and others. Takes two bits for each pair of ranks that are counted for and,
 * where users are updated, a bit for each of them and item, of which at most 256 MiB are held at a time, in as many
 * passes over the ratings as that needs.
 */
gmf_status gmf_census_run(const gmf_grid *grid, const gmf_rating_source *source, const gmf_census_side *counted,
                          const gmf_row_work *light, const gmf_row_work *heavy, gmf_share *shares, gmf_error *err);

/*
 * Collective over `grid`. What cutting the ranks' rows into panels (panels.h) of at most most_slots[rank] fixed rows
 * changes in shares [n_ranks], which come from gmf_census_run: rows travel once for each panel, and so do messages.
 * counted: a grid of one column whose ranks share nothing. Takes about 30 bytes for each rating of some ranks, at most
 * 2^24 ratings or those of one rank at a time.
 */
gmf_status gmf_census_panels(const gmf_grid *grid, const gmf_rating_source *source, const gmf_census_side *counted,
                             const int64_t *most_slots, gmf_share *shares, gmf_error *err);

/* Takes some ratings of one of my users, who counts from 0: items [n]. A user may come several times in a row. */
typedef void gmf_census_visit(void *context, int64_t user, const int64_t *items, int64_t n);

/* Local. Calls `visit` for all ratings of the source. */
gmf_status gmf_census_walk(const gmf_rating_source *source, gmf_census_visit *visit, void *context, gmf_error *err);

/* Local. Ranks by so many, counted from the first, have copies of each other's fixed row; 1: they have none. */
int gmf_census_copies(const gmf_census_side *of, int64_t fixed_row);

/* Local. The rank that has the ratings of an updated row and a fixed one, by their owners. */
int gmf_census_place(const gmf_census_side *of, bool heavy, int updated_owner, int fixed_owner);

#endif
