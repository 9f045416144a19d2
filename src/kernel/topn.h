/*
 * Scores of user rows against a panel of item rows, and bounded selection of the best. All Local.
 */
#ifndef GMF_KERNEL_TOPN_H
#define GMF_KERNEL_TOPN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * out[u][i] = sum_f users[u][f] items[i][f], summed in the order of f in single precision: for a given pair the same
 * bits whatever the sizes of the panels, so single and batch answers agree.
 *
 *   users  [n_users][k]   rows user_stride floats apart
 *   items  [n_items][k]   rows item_stride floats apart
 *   out    [n_users][n_items], rows out_stride floats apart; must not overlap the inputs
 *
 * Best with 32 to 128 users and some hundred items in a call: the items are transposed once a call.
 */
void gmf_scores(const float *users, int64_t n_users, int64_t user_stride, const float *items, int64_t n_items,
                int64_t item_stride, int k, float *out, int64_t out_stride);

/* The index of the first of n scores that is >= threshold; n when there is none. NaN is never. */
int64_t gmf_first_at_least(const float *scores, int64_t n, float threshold);

/* Of n < 2^30 scores, 2 for each that is below threshold and 1 for each that equals it. NaN counts nothing. */
int64_t gmf_count_worse(const float *scores, int64_t n, float threshold);

/* Of n scores, those that are >= threshold. NaN is never. */
int64_t gmf_count_at_least(const float *scores, int64_t n, float threshold);

/*
 * The best `capacity` rows of those pushed: higher score first, ties to the lower row, whatever the order of pushes.
 * NaN never enters.
 *
 * Entries are collected until there is no more room; then a score is found that at least `capacity` of them reach, the
 * others are dropped, and it is the bar for those to come. So a push costs next to nothing, and the bar is found by
 * counting scores with vectors, not by comparing them one by one.
 */
typedef struct gmf_topn {
  int64_t capacity, n, room;
  float *score; /* [room] owned */
  int64_t *row; /* [room] owned */
  float bar;    /* what is below it cannot be among the best */
  float enter;  /* the same for rows above `last`, which lose ties */
  int64_t last; /* the row pushed last; rows ascend while is_ascending */
  bool is_ascending;
  const int64_t *excluded; /* [n_excluded] borrowed */
  int64_t n_excluded, next_excluded;
} gmf_topn;

/* capacity >= 0. GMF_ERR_MEMORY. */
gmf_status gmf_topn_create(gmf_topn *t, int64_t capacity, gmf_error *err);
/* NULL-safe fields: fit for {0}. */
void gmf_topn_destroy(gmf_topn *t);
/* Empties it, for any rows. */
void gmf_topn_reset(gmf_topn *t);
/* Memory of one, in bytes. */
int64_t gmf_topn_bytes(int64_t capacity);

/* The slow part of gmf_topn_push. */
void gmf_topn_insert(gmf_topn *t, float score, int64_t row);

static inline void gmf_topn_push(gmf_topn *t, float score, int64_t row)
{
  if (score >= t->bar) gmf_topn_insert(t, score, row);
}

/*
 * Pushes rows first_row .. first_row + n - 1 without the excluded ones.
 *
 *   scores    [n]           scratch: entries of excluded rows become NaN
 *   excluded  [n_excluded]  ascending rows, also outside the panel; NULL when n_excluded is 0
 */
void gmf_topn_push_panel(gmf_topn *t, float *scores, int64_t first_row, int64_t n, const int64_t *excluded,
                         int64_t n_excluded);

/* Puts the best in order, and drops the others: descending score, ties to the lower row. Only gmf_topn_reset may
 * follow. */
void gmf_topn_sort(gmf_topn *t);

/* ---- many users against panels of items -------------------------------------------------------------------------- */

/*
 * Items as the scoring kernel wants them: tiles of some items side by side, the factors of a tile one after the other.
 *
 *   packed   [tiles][k][tile]   zero behind the last item
 *   offsets  [tiles][tile]      added to the scores of an item; NaN for items that are no candidates, and behind the
 * last
 */
typedef struct gmf_item_panel {
  float *packed, *offsets;
  int64_t first, n; /* rows first .. first + n - 1 */
  int k;
} gmf_item_panel;

/* Items in a tile; floats of `packed` are k times, of `offsets` once gmf_panel_items(n). */
int gmf_tile_items(void);
static inline int64_t gmf_panel_items(int64_t n)
{
  int64_t tile = gmf_tile_items();
  return (n + tile - 1) / tile * tile;
}

/* Packs tile `tile` of the panel from items [n][k], item_stride floats apart, and offsets [n]. */
void gmf_pack_tile(const gmf_item_panel *panel, int64_t tile, const float *items, int64_t item_stride,
                   const float *offsets);

/* Users and their lists, which leave out gmf_topn.excluded. Panels must come in ascending order of rows. */
typedef struct gmf_scored_users {
  const float *rows; /* [n][k], stride floats apart */
  int64_t n, stride;
  const float *offsets; /* [n] added to the scores of a user */
  gmf_topn *lists;      /* [n] */
} gmf_scored_users;

/*
 * Pushes (x_u . y_i + offset_i) + offset_u for all users and the items of tiles [tile_begin, tile_end) of a panel; the
 * product is that of gmf_scores, bit for bit. Scores are compared with the bars of the lists while they are in
 * registers, and go to memory only where one passes.
 */
void gmf_topn_push_tiles(const gmf_scored_users *users, const gmf_item_panel *panel, int64_t tile_begin,
                         int64_t tile_end);

/* For the kernels: pushes those of rows first, first + 1, ... that `hits` has a bit for. Rows ascend from call to
 * call. */
void gmf_topn_take(gmf_topn *t, const float *scores, uint64_t hits, int64_t first);

#endif
