#include "kernel/topn.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "kernel/isa.h"
#include "kernel/scores.h"

enum {
  MOST_HITS = 64,       /* entries that gmf_topn_take adds at once */
  FIRST_STEP = 1 << 20, /* of keys: an eighth of a factor of two in the scores */
  INSERTION_SORT = 24   /* lists up to this length are sorted by insertion */
};

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

int64_t gmf_count_at_least(const float *scores, int64_t n, float threshold)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_count_at_least)(scores, n, threshold);
}

int gmf_tile_items(void) { return GMF_ISA_PICK(gmf_kernel_level(), gmf_tile_items)(); }

void gmf_pack_tile(const gmf_item_panel *panel, int64_t tile, const float *items, int64_t item_stride,
                   const float *offsets)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_pack_tile)(panel, tile, items, item_stride, offsets);
}

void gmf_topn_push_tiles(const gmf_scored_users *users, const gmf_item_panel *panel, int64_t tile_begin,
                         int64_t tile_end)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_topn_push_tiles)(users, panel, tile_begin, tile_end);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

/* The upper half of a full list serves gmf_topn_sort as scratch. */
static int64_t room_for(int64_t capacity) { return 2 * (capacity + MOST_HITS); }

int64_t gmf_topn_bytes(int64_t capacity)
{
  return room_for(capacity) * (int64_t)(sizeof(float) + sizeof(int64_t)) + (int64_t)sizeof(gmf_topn);
}

gmf_status gmf_topn_create(gmf_topn *t, int64_t capacity, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *t = (gmf_topn){.capacity = capacity, .room = room_for(capacity)};
  gmf_topn_reset(t);
  GMF_TRY(GMF_NEW(t->score, t->room, err));
  GMF_TRY(GMF_NEW(t->row, t->room, err));
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

void gmf_topn_reset(gmf_topn *t)
{
  t->n = 0;
  t->bar = t->enter = -INFINITY;
  t->last = INT64_MIN;
  t->is_ascending = true;
  t->excluded = NULL;
  t->n_excluded = t->next_excluded = 0;
}

static const int64_t MOST_KEYS = (int64_t)1 << 32;

/* ---- dropping what is not among the best ------------------------------------------------------------------------- */

/* Numbers in the order of the floats: of -0 and 0, which are equal, the same. */
static int32_t key_of(float score)
{
  int32_t bits = 0;
  score += 0.0F; /* -0 + 0 = 0 */
  memcpy(&bits, &score, sizeof bits);
  return bits >= 0 ? bits : bits ^ INT32_MAX;
}

static float score_of(int32_t key)
{
  float score = 0;
  int32_t bits = key >= 0 ? key : key ^ INT32_MAX;
  memcpy(&score, &bits, sizeof score);
  return score;
}

/* The row below which `wanted` entries of score `tie` lie, of those that are more: by bisection, rows are distinct. */
static int64_t row_limit(const gmf_topn *t, float tie, int64_t wanted)
{
  int64_t low = INT64_MAX, high = INT64_MIN; /* rows below low are too few, rows up to high enough */
  for (int64_t j = 0; j < t->n; j++)
    if (t->score[j] == tie) {
      low = gmf_min64(low, t->row[j]);
      high = gmf_max64(high, t->row[j]);
    }
  while (low < high) {
    int64_t middle = low + (high - low) / 2, n = 0;
    for (int64_t j = 0; j < t->n; j++) n += t->score[j] == tie && t->row[j] <= middle;
    if (n < wanted)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Keeps entries above `bar`, and those at it up to row `last_tie`, in their order. */
static void keep(gmf_topn *t, float bar, int64_t last_tie)
{
  int64_t n = 0;
  for (int64_t j = 0; j < t->n; j++) {
    float score = t->score[j];
    int64_t row = t->row[j];
    t->score[n] = score;
    t->row[n] = row;
    n += (score > bar) | ((score == bar) & (row <= last_tie));
  }
  t->n = n;
}

/*
 * Drops entries that are not among the best `capacity`, where n > capacity; up to `slop` of them may stay. By bisection
 * of the scores:  count(scores >= low) >= capacity > count(scores >= high). As many reach the old bar, near which the
 * new one mostly is: the first steps go up from there, ever longer.
 */
static void shrink(gmf_topn *t, int64_t slop)
{
  float least = t->bar;
  if (isinf(least)) {
    least = t->score[0];
    for (int64_t j = 1; j < t->n; j++) least = t->score[j] < least ? t->score[j] : least;
  }
  int64_t low = key_of(least), high = (int64_t)key_of(INFINITY) + 1, step = FIRST_STEP;
  int64_t n_low = gmf_count_at_least(t->score, t->n, least);
  while (high - low > 1 && n_low > t->capacity + slop) {
    int64_t middle = low + gmf_min64(step, (high - low) / 2);
    int64_t n = gmf_count_at_least(t->score, t->n, score_of((int32_t)middle));
    if (n >= t->capacity) {
      low = middle;
      n_low = n;
      step = gmf_min64(4 * step, MOST_KEYS);
    } else {
      high = middle;
      step = MOST_KEYS;
    }
  }
  float bar = score_of((int32_t)low);
  int64_t last_tie = INT64_MAX;
  if (n_low > t->capacity + slop) {
    int64_t n_above = gmf_count_at_least(t->score, t->n, score_of((int32_t)high));
    last_tie = row_limit(t, bar, t->capacity - n_above);
  }
  keep(t, bar, last_tie);
  t->bar = bar;
  t->enter = t->is_ascending ? nextafterf(bar, INFINITY) : bar;
}

/* ---- pushing ----------------------------------------------------------------------------------------------------- */

/* Appends an entry for which there is room once the list has shrunk. */
static inline void append(gmf_topn *t, float score, int64_t row)
{
  t->score[t->n] = score;
  t->row[t->n++] = row;
}

static inline void make_room(gmf_topn *t, int64_t n)
{
  if (t->n + n > t->room) shrink(t, t->capacity / 8);
}

/* The row that comes next, for the order of ties. */
static inline void note_row(gmf_topn *t, int64_t row)
{
  if (row <= t->last) {
    t->is_ascending = false;
    t->enter = t->bar;
  }
  t->last = row;
}

void gmf_topn_insert(gmf_topn *t, float score, int64_t row)
{
  if (t->capacity == 0) return;
  note_row(t, row);
  if (!(score >= t->enter)) return;
  make_room(t, 1);
  append(t, score, row);
}

void gmf_topn_push_panel(gmf_topn *t, float *scores, int64_t first_row, int64_t n, const int64_t *excluded,
                         int64_t n_excluded)
{
  for (int64_t e = gmf_lower_bound(excluded, n_excluded, first_row); e < n_excluded && excluded[e] < first_row + n; e++)
    scores[excluded[e] - first_row] = NAN;
  if (t->capacity == 0 || n == 0) return;
  note_row(t, first_row);
  t->last = first_row + n - 1;
  for (int64_t j = 0; j < n; j++) {
    j += gmf_first_at_least(scores + j, n - j, t->enter);
    if (j == n) break;
    make_room(t, 1);
    if (scores[j] >= t->enter) append(t, scores[j], first_row + j);
  }
}

void gmf_topn_take(gmf_topn *t, const float *scores, uint64_t hits, int64_t first)
{
  if (t->capacity == 0) return;
  make_room(t, MOST_HITS);
  for (; hits != 0; hits &= hits - 1) {
    int j = __builtin_ctzll(hits);
    int64_t row = first + j;
    while (t->next_excluded < t->n_excluded && t->excluded[t->next_excluded] < row) t->next_excluded++;
    bool is_excluded = t->next_excluded < t->n_excluded && t->excluded[t->next_excluded] == row;
    if (!is_excluded) append(t, scores[j], row);
    t->last = row;
  }
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

static void insertion_sort(gmf_topn *t)
{
  for (int64_t j = 1; j < t->n; j++) {
    float score = t->score[j];
    int64_t row = t->row[j], at = j;
    for (; at > 0 && (t->score[at - 1] < score || (t->score[at - 1] == score && t->row[at - 1] > row)); at--) {
      t->score[at] = t->score[at - 1];
      t->row[at] = t->row[at - 1];
    }
    t->score[at] = score;
    t->row[at] = row;
  }
}

/* Byte `byte` of what an entry is sorted by: of its row, or of its score, the highest first. */
static inline unsigned digit(float score, int64_t row, bool by_row, int byte)
{
  uint64_t word = by_row ? (uint64_t)row : (uint32_t)key_of(score) ^ (uint32_t)INT32_MAX;
  return (unsigned)(word >> (8 * byte)) & 0xff;
}

/* One stable pass of a radix sort between the halves [from, from + n) and [to, to + n); false where the digit is the
 * same in all, and nothing had to move. */
static bool radix_pass(gmf_topn *t, int64_t from, int64_t to, bool by_row, int byte)
{
  int64_t count[256] = {0}, sum = 0;
  for (int64_t j = from; j < from + t->n; j++) count[digit(t->score[j], t->row[j], by_row, byte)]++;
  if (count[digit(t->score[from], t->row[from], by_row, byte)] == t->n) return false;
  for (int d = 0; d < 256; d++) {
    int64_t here = count[d];
    count[d] = to + sum;
    sum += here;
  }
  for (int64_t j = from; j < from + t->n; j++) {
    int64_t at = count[digit(t->score[j], t->row[j], by_row, byte)]++;
    t->score[at] = t->score[j];
    t->row[at] = t->row[j];
  }
  return true;
}

/* By score, stably; before that by row, where they do not ascend already. */
static void radix_sort(gmf_topn *t)
{
  int64_t from = 0, half = t->capacity;
  for (int pass = t->is_ascending ? 8 : 0; pass < 12; pass++)
    if (radix_pass(t, from, half - from, pass < 8, pass % 8)) from = half - from;
  if (from == 0) return;
  memcpy(t->score, t->score + from, (size_t)t->n * sizeof *t->score);
  memcpy(t->row, t->row + from, (size_t)t->n * sizeof *t->row);
}

void gmf_topn_sort(gmf_topn *t)
{
  if (t->n > t->capacity) shrink(t, 0);
  if (t->n <= INSERTION_SORT)
    insertion_sort(t);
  else
    radix_sort(t);
}
