/*
 * Scores of user rows against a panel of item rows, and bounded selection of the best. All Local.
 */
#ifndef GMF_KERNEL_TOPN_H
#define GMF_KERNEL_TOPN_H

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

/*
 * The best `capacity` rows of those pushed: higher score first, ties to the lower row, whatever the order of pushes.
 * A heap with the worst entry in front. NaN never enters.
 */
typedef struct gmf_topn {
  int64_t capacity, n;
  float *score; /* [capacity] owned */
  int64_t *row; /* [capacity] owned */
} gmf_topn;

/* capacity >= 0. GMF_ERR_MEMORY. */
gmf_status gmf_topn_create(gmf_topn *t, int64_t capacity, gmf_error *err);
/* NULL-safe fields: fit for {0}. */
void gmf_topn_destroy(gmf_topn *t);
static inline void gmf_topn_reset(gmf_topn *t) { t->n = 0; }

/* The slow part of gmf_topn_push: there is room, or score is at least the worst one here. */
void gmf_topn_insert(gmf_topn *t, float score, int64_t row);

static inline void gmf_topn_push(gmf_topn *t, float score, int64_t row)
{
  if (t->n == t->capacity && (t->n == 0 || !(score >= t->score[0]))) return;
  gmf_topn_insert(t, score, row);
}

/*
 * Pushes rows first_row .. first_row + n - 1 without the excluded ones.
 *
 *   scores    [n]           scratch: entries of excluded rows become NaN
 *   excluded  [n_excluded]  ascending rows, also outside the panel; NULL when n_excluded is 0
 */
void gmf_topn_push_panel(gmf_topn *t, float *scores, int64_t first_row, int64_t n, const int64_t *excluded,
                         int64_t n_excluded);

/* Puts the n entries in order: descending score, ties to the lower row. Only gmf_topn_reset may follow. */
void gmf_topn_sort(gmf_topn *t);

#endif
