#include "kernel/topn.h"

#include <math.h>

#include "base/memory.h"
#include "base/search.h"
#include "kernel/isa.h"
#include "kernel/scores.h"

void gmf_scores(const float *users, int64_t n_users, int64_t user_stride, const float *items, int64_t n_items,
                int64_t item_stride, int k, float *out, int64_t out_stride)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_scores)
  (users, n_users, user_stride, items, n_items, item_stride, k, out, out_stride);
}

int64_t gmf_first_at_least(const float *scores, int64_t n, float threshold)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_first_at_least)(scores, n, threshold);
}

int64_t gmf_count_worse(const float *scores, int64_t n, float threshold)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_count_worse)(scores, n, threshold);
}

gmf_status gmf_topn_create(gmf_topn *t, int64_t capacity, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *t = (gmf_topn){.capacity = capacity};
  GMF_TRY(GMF_NEW(t->score, capacity, err));
  GMF_TRY(GMF_NEW(t->row, capacity, err));
cleanup:
  if (status != GMF_OK) gmf_topn_destroy(t);
  return status;
}

void gmf_topn_destroy(gmf_topn *t)
{
  gmf_free(t->score);
  gmf_free(t->row);
  *t = (gmf_topn){0};
}

/* Whether entry (score, row) is worse than entry `other` of the heap. */
static inline bool worse(float score, int64_t row, const gmf_topn *t, int64_t other)
{
  return score < t->score[other] || (score == t->score[other] && row > t->row[other]);
}

static inline void put(gmf_topn *t, int64_t at, float score, int64_t row)
{
  t->score[at] = score;
  t->row[at] = row;
}

/* Moves the hole at the front of a heap of n entries down until (score, row) fits into it. */
static void sift_down(gmf_topn *t, int64_t n, float score, int64_t row)
{
  int64_t hole = 0;
  for (int64_t child = 1; child < n; child = 2 * hole + 1) {
    if (child + 1 < n && worse(t->score[child + 1], t->row[child + 1], t, child)) child++;
    if (worse(score, row, t, child)) break;
    put(t, hole, t->score[child], t->row[child]);
    hole = child;
  }
  put(t, hole, score, row);
}

static void sift_up(gmf_topn *t, int64_t hole, float score, int64_t row)
{
  while (hole > 0) {
    int64_t parent = (hole - 1) / 2;
    if (!worse(score, row, t, parent)) break;
    put(t, hole, t->score[parent], t->row[parent]);
    hole = parent;
  }
  put(t, hole, score, row);
}

void gmf_topn_insert(gmf_topn *t, float score, int64_t row)
{
  if (isnan(score)) return;
  if (t->n < t->capacity)
    sift_up(t, t->n++, score, row);
  else if (!worse(score, row, t, 0))
    sift_down(t, t->n, score, row);
}

void gmf_topn_push_panel(gmf_topn *t, float *scores, int64_t first_row, int64_t n, const int64_t *excluded,
                         int64_t n_excluded)
{
  for (int64_t e = gmf_lower_bound(excluded, n_excluded, first_row); e < n_excluded && excluded[e] < first_row + n; e++)
    scores[excluded[e] - first_row] = NAN;
  int64_t j = 0;
  for (; j < n && t->n < t->capacity; j++) gmf_topn_push(t, scores[j], first_row + j);
  while (j < n && t->n > 0) {
    j += gmf_first_at_least(scores + j, n - j, t->score[0]);
    if (j < n) gmf_topn_insert(t, scores[j], first_row + j);
    j++;
  }
}

void gmf_topn_sort(gmf_topn *t)
{
  for (int64_t n = t->n - 1; n > 0; n--) {
    float score = t->score[n];
    int64_t row = t->row[n];
    put(t, n, t->score[0], t->row[0]);
    sift_down(t, n, score, row);
  }
}
