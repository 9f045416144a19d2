/*
 * The ratings as item-knn compares them (item_knn.c has the formulas): weighted, and dealt out to the ranks by items.
 */
#ifndef GMF_ALGO_ITEM_KNN_RATINGS_H
#define GMF_ALGO_ITEM_KNN_RATINGS_H

#include "algo/item_knn.h"

/* The ratings of one group of items, by user. Items are numbered by their places in the group. Fit for {0}. */
typedef struct gmf_pile {
  int64_t n_users, n, n_items;
  int64_t middle;  /* items [0, middle) have about half of the ratings */
  int64_t *users;  /* owned [n_users]: ascending, each with a rating */
  int64_t *begin;  /* owned [n_users + 1] */
  int32_t *items;  /* owned [n]: ascending within a user */
  double *values;  /* owned [n]: weighted, and where sim is a cosine divided by |w_i| */
  int64_t *counts; /* owned [n_items]: n_i */
} gmf_pile;

/*
 * Collective. Deals the items out as evenly as their work and gives each rank all ratings of its items. *items: owned
 * by the caller, groups of items; *own: those ratings, to be freed after a failure too. GMF_ERR_PLAN, GMF_ERR_DATA,
 * GMF_ERR_MEMORY.
 */
gmf_status gmf_item_knn_gather(const gmf_grid *grid, const gmf_item_knn_options *options,
                               const gmf_rating_source *source, gmf_axis **items, gmf_pile *own, gmf_error *err);

/* Collective. A copy of `from` to the rank before; *to becomes what the rank behind has sent. They may be one. */
gmf_status gmf_pile_pass(const gmf_grid *grid, const gmf_pile *from, gmf_pile *to, gmf_error *err);

void gmf_pile_free(gmf_pile *pile);

#endif
