/*
 * Top-N lists of many users over all items, which come in panels. With many users the threads share out blocks of
 * them; with few, each panel is cut into one strip per thread ("lane"), every lane has lists of its own, and they are
 * merged at the end. The order on (score, row) is total, so the lists do not depend on any of this. All Local.
 */
#ifndef GMF_KERNEL_TOPLISTS_H
#define GMF_KERNEL_TOPLISTS_H

#include "kernel/topn.h"

/* For how many users at a time, and of what model. */
typedef struct gmf_toplists_shape {
  int64_t n_users; /* at most */
  int64_t top_n;
  int64_t panel_items; /* of a panel, at most */
  int k;
  int n_threads;
} gmf_toplists_shape;

typedef struct gmf_toplists {
  gmf_toplists_shape shape;
  gmf_scored_users users; /* borrowed arrays; lists: owned [lanes][shape.n_users] */
  int n_lanes;
  gmf_item_panel panel; /* owned arrays */
} gmf_toplists;

/* GMF_ERR_MEMORY. */
gmf_status gmf_toplists_create(gmf_toplists *t, const gmf_toplists_shape *shape, gmf_error *err);
/* Fit for {0}. */
void gmf_toplists_destroy(gmf_toplists *t);

/* Memory of all, in bytes. */
int64_t gmf_toplists_bytes(const gmf_toplists_shape *shape);

/*
 * Begins the lists of n <= shape.n_users users. The arrays must stay until gmf_toplists_finish.
 *
 *   rows            [n][k], stride floats apart
 *   offsets         [n] added to the user's scores
 *   excluded_begin  [n + 1] where each user's excluded rows begin; NULL: none are
 *   excluded        rows, ascending for each user
 */
void gmf_toplists_start(gmf_toplists *t, int64_t n, const float *rows, int64_t stride, const float *offsets,
                        const int64_t *excluded_begin, const int64_t *excluded);

/* Scores a panel of n items, rows first ... first + n - 1: items [n][k], offsets [n] (NaN: no candidate). Panels come
 * in ascending order. */
void gmf_toplists_push(gmf_toplists *t, const float *items, int64_t stride, const float *offsets, int64_t n,
                       int64_t first);

/* Completes the lists: that of user u is then t->users.lists[u], best first. */
void gmf_toplists_finish(gmf_toplists *t);

#endif
