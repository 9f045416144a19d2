/*
 * A batch goes by the items twice at most: once by those that are held out of its users, for their scores (rmse, mae,
 * and the thresholds of auc), and once by all, for lists and pairs. A score has the same bits in both (kernel/topn.h),
 * so that an item ties with itself.
 *
 * Pairs are counted without sorting the candidates: for each score t of a user's items in T, of the candidates c not in
 * T those with c < t count 2 and those with c = t count 1.
 *
 * What a user adds to a metric is computed by itself, and sums are exact: they do not depend on ranks or threads.
 */
#include "algo/ranking.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "kernel/topn.h"
#include "runtime/heartbeat.h"

enum {
  BATCH_USERS = 1024, /* at most; fewer where lists are long */
  BATCH_BYTES = 1 << 26,
  PANEL_ITEMS = 4096,
  TILE_USERS = 32,
  GATHER_ITEMS = 48 /* held-out items of a user that are scored at a time: a tile of the kernel */
};

/* The pairs of a user. */
typedef struct pair_sums {
  int64_t n_relevant; /* candidates in T */
  int64_t n_others;   /* candidates that are not */
  int64_t right;      /* right pairs count 2, ties 1 */
} pair_sums;

struct gmf_ranker {
  const gmf_grid *grid;         /* borrowed, like the next three */
  const gmf_row_source *source; /* */
  const uint64_t *trained;      /* */
  gmf_metrics *metrics;         /* */
  double mean;
  int64_t n_items, capacity;          /* items of the model; users of a batch */
  uint64_t *covered[GMF_METRICS_MAX]; /* owned; NULL for metrics other than coverage */
  gmf_topn *lists;                    /* owned [capacity] */
  pair_sums *pairs;                   /* owned [capacity] */
  int64_t *next;                      /* owned [capacity]: the first held-out rating that has not been scored */
  int64_t *rows;                      /* owned [PANEL_ITEMS]: items of the panel */
  int32_t *slot_of;                   /* owned [PANEL_ITEMS]: place of a held-out item of the range in the panel */
  int32_t *untrained;                 /* owned [PANEL_ITEMS]: places in the panel of items without training ratings */
  int64_t n_untrained;
  float *panel;                   /* owned [PANEL_ITEMS][ld] */
  float *scores;                  /* owned [threads][TILE_USERS][PANEL_ITEMS] */
  float *gathered;                /* owned [threads][GATHER_ITEMS][ld] */
  float *held_out_scores;         /* owned: of each held-out rating of the batch */
  float *thresholds;              /* owned: of each user's candidates in T */
  int64_t n_scores, n_thresholds; /* room in these */
  bool *is_hit;                   /* owned [longest] */
};

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

void gmf_ranker_destroy(gmf_ranker **ranker)
{
  gmf_ranker *r = *ranker;
  if (r == NULL) return;
  for (int64_t u = 0; r->lists != NULL && u < r->capacity; u++) gmf_topn_destroy(&r->lists[u]);
  for (int m = 0; m < GMF_METRICS_MAX; m++) gmf_free(r->covered[m]);
  void *const arrays[] = {r->lists,    r->pairs,           r->next,       r->rows,
                          r->slot_of,  r->untrained,       r->panel,      r->scores,
                          r->gathered, r->held_out_scores, r->thresholds, r->is_hit};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
  gmf_free(r);
  *ranker = NULL;
}

static gmf_status allocate(gmf_ranker *r, int64_t longest, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t ld = r->source->is_scores ? 0 : r->source->ld, threads = omp_get_max_threads(); /* of items' rows */
  GMF_TRY(GMF_NEW_ZERO(r->lists, r->capacity, err));
  for (int64_t u = 0; u < r->capacity; u++) GMF_TRY(gmf_topn_create(&r->lists[u], longest, err));
  for (int m = 0; m < r->metrics->n; m++)
    if (r->metrics->list[m].kind == GMF_METRIC_COVERAGE)
      GMF_TRY(GMF_NEW_ZERO(r->covered[m], gmf_bits_words(r->n_items), err));
  GMF_TRY(GMF_NEW(r->pairs, r->capacity, err));
  GMF_TRY(GMF_NEW(r->next, r->capacity, err));
  GMF_TRY(GMF_NEW(r->rows, PANEL_ITEMS, err));
  GMF_TRY(GMF_NEW(r->slot_of, PANEL_ITEMS, err));
  GMF_TRY(GMF_NEW(r->untrained, PANEL_ITEMS, err));
  GMF_TRY(GMF_NEW(r->panel, PANEL_ITEMS * ld, err));
  GMF_TRY(GMF_NEW(r->scores, threads * TILE_USERS * PANEL_ITEMS, err));
  GMF_TRY(GMF_NEW(r->gathered, threads * GATHER_ITEMS * ld, err));
  GMF_TRY(GMF_NEW(r->is_hit, longest + 1, err));
cleanup:
  return status;
}

gmf_status gmf_ranker_create(const gmf_grid *grid, const gmf_row_source *source, const uint64_t *trained, double mean,
                             gmf_metrics *metrics, gmf_ranker **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_ranker *r = NULL;
  int64_t longest = gmf_min64(metrics->longest, source->n[GMF_ITEMS]);

  *out = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(r, 1, err), err));
  r->grid = grid;
  r->source = source;
  r->trained = trained;
  r->metrics = metrics;
  r->mean = mean;
  r->n_items = source->n[GMF_ITEMS];
  r->capacity = gmf_min64(BATCH_USERS, gmf_max64(1, BATCH_BYTES / (gmf_topn_bytes(longest) + 4 * source->ld)));
  GMF_TRY(gmf_agree(grid, allocate(r, longest, err), err));
  metrics->n_items = gmf_bits_count(trained, gmf_bits_words(r->n_items));
  *out = r;
  r = NULL;
cleanup:
  gmf_ranker_destroy(&r);
  return status;
}

int64_t gmf_ranker_batch_users(const gmf_ranker *r) { return r->capacity; }

static float *of_thread(float *buffer, int64_t size) { return buffer + omp_get_thread_num() * size; }

/* ---- scores of held-out items ------------------------------------------------------------------------------------ */

/* Items of [begin, end) that are held out of any user of the batch, into r->rows, with their places in r->slot_of. */
static int64_t collect_held_out(gmf_ranker *r, const gmf_user_batch *b, int64_t begin, int64_t end)
{
  int64_t n = 0;
  for (int64_t i = 0; i < end - begin; i++) r->slot_of[i] = -1;
  for (int64_t j = 0; j < b->n; j++)
    for (int64_t h = r->next[j]; h < b->begin[j + 1] && b->items[h] < end; h++) r->slot_of[b->items[h] - begin] = 0;
  for (int64_t i = 0; i < end - begin; i++) {
    if (r->slot_of[i] < 0) continue;
    r->slot_of[i] = gmf_i32(n);
    r->rows[n++] = begin + i;
  }
  return n;
}

/* The scores of user j's held-out items in [begin, end), which are in the panel. */
static void score_held_out(gmf_ranker *r, const gmf_user_batch *b, int64_t j, int64_t begin, int64_t end)
{
  int64_t ld = r->source->ld;
  float *gathered = of_thread(r->gathered, GATHER_ITEMS * ld);
  int64_t h = r->next[j], last = b->begin[j + 1];
  while (h < last && b->items[h] < end) {
    int64_t n = 0;
    for (; n < GATHER_ITEMS && h + n < last && b->items[h + n] < end; n++)
      memcpy(gathered + n * ld, r->panel + r->slot_of[b->items[h + n] - begin] * ld, (size_t)ld * sizeof(float));
    gmf_scores(b->rows + j * ld, 1, ld, gathered, n, ld, r->source->ld, r->held_out_scores + h, n);
    h += n;
  }
  r->next[j] = h;
}

/* Collective. All held-out scores of the batch. */
static gmf_status score_all_held_out(gmf_ranker *r, const gmf_user_batch *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (r->source->is_scores) {
    for (int64_t j = 0; j < b->n; j++)
      for (int64_t h = b->begin[j]; h < b->begin[j + 1]; h++)
        r->held_out_scores[h] = b->rows[j * r->source->ld + b->items[h]];
    return GMF_OK;
  }
  for (int64_t j = 0; j < b->n; j++) r->next[j] = b->begin[j];
  for (int64_t begin = 0; begin < r->n_items; begin += PANEL_ITEMS) {
    int64_t end = gmf_min64(begin + PANEL_ITEMS, r->n_items);
    int64_t n = collect_held_out(r, b, begin, end);
    GMF_TRY(r->source->fetch(r->source->context, GMF_ITEMS, r->rows, n, r->panel, err));
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t j = 0; j < b->n; j++) score_held_out(r, b, j, begin, end);
  }
cleanup:
  return status;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

/* Scores of user j's candidates in T. */
static void set_thresholds(gmf_ranker *r, const gmf_user_batch *b, int64_t j)
{
  const int64_t *had = b->had + b->had_begin[j];
  int64_t n_had = b->had_begin[j + 1] - b->had_begin[j], n = 0;
  float *thresholds = r->thresholds + b->begin[j];
  for (int64_t h = b->begin[j]; h < b->begin[j + 1]; h++) {
    if (!gmf_is_member(had, n_had, b->items[h])) thresholds[n++] = r->held_out_scores[h];
  }
  r->pairs[j] = (pair_sums){.n_relevant = n};
}

static void set_all_thresholds(gmf_ranker *r, const gmf_user_batch *b)
{
#pragma omp parallel for schedule(dynamic, 8)
  for (int64_t j = 0; j < b->n; j++) set_thresholds(r, b, j);
}

/* Adds the pairs of other candidates' scores with the thresholds; scores that are NaN are no candidates. */
static void count_pairs(const float *scores, int64_t n, const float *thresholds, pair_sums *sums)
{
  sums->n_others += gmf_count_worse(scores, n, INFINITY) / 2; /* scores are finite */
  for (int64_t t = 0; t < sums->n_relevant; t++) sums->right += gmf_count_worse(scores, n, thresholds[t]);
}

/* ---- all items --------------------------------------------------------------------------------------------------- */

/* One user against items [begin, begin + n): list and pairs. */
static void rank_panel(gmf_ranker *r, const gmf_user_batch *b, int64_t j, int64_t begin, int64_t n, float *scores)
{
  for (int64_t i = 0; i < r->n_untrained; i++) scores[r->untrained[i]] = NAN;
  gmf_topn_push_panel(&r->lists[j], scores, begin, n, b->had + b->had_begin[j], b->had_begin[j + 1] - b->had_begin[j]);
  if (!r->metrics->compares) return;
  const int64_t *held_out = b->items + b->begin[j];
  int64_t n_held_out = b->begin[j + 1] - b->begin[j];
  for (int64_t h = gmf_lower_bound(held_out, n_held_out, begin); h < n_held_out && held_out[h] < begin + n; h++)
    scores[held_out[h] - begin] = NAN;
  count_pairs(scores, n, r->thresholds + b->begin[j], &r->pairs[j]);
}

/* Scores of users [first, first + m) and the items [begin, begin + n) of the panel, rows PANEL_ITEMS apart. */
static void score_tile(const gmf_ranker *r, const gmf_user_batch *b, int64_t first, int64_t m, int64_t begin, int64_t n,
                       float *scores)
{
  int64_t ld = r->source->ld;
  if (!r->source->is_scores) {
    gmf_scores(b->rows + first * ld, m, ld, r->panel, n, ld, r->source->ld, scores, PANEL_ITEMS);
    return;
  }
  for (int64_t j = 0; j < m; j++)
    memcpy(scores + j * PANEL_ITEMS, b->rows + (first + j) * ld + begin, (size_t)n * sizeof *scores);
}

/* Collective. Users of the batch against all items. A rank without users asks for no rows. */
static gmf_status rank_all(gmf_ranker *r, const gmf_user_batch *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  bool fetches = !r->source->is_scores;
  for (int64_t begin = 0; begin < r->n_items; begin += PANEL_ITEMS) {
    int64_t n = gmf_min64(PANEL_ITEMS, r->n_items - begin);
    r->n_untrained = 0;
    for (int64_t i = 0; i < n; i++) {
      r->rows[i] = begin + i;
      if (!gmf_bits_has(r->trained, begin + i)) r->untrained[r->n_untrained++] = gmf_i32(i);
    }
    if (fetches) GMF_TRY(r->source->fetch(r->source->context, GMF_ITEMS, r->rows, b->n > 0 ? n : 0, r->panel, err));
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t first = 0; first < b->n; first += TILE_USERS) {
      int64_t m = gmf_min64(TILE_USERS, b->n - first);
      float *scores = of_thread(r->scores, TILE_USERS * PANEL_ITEMS);
      gmf_beat();
      score_tile(r, b, first, m, begin, n, scores);
      for (int64_t j = 0; j < m; j++) rank_panel(r, b, first + j, begin, n, scores + j * PANEL_ITEMS);
    }
  }
cleanup:
  return status;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

static void cover(gmf_ranker *r, const gmf_topn *list)
{
  for (int m = 0; m < r->metrics->n; m++)
    for (int64_t p = 0; r->covered[m] != NULL && p < list->n && p < r->metrics->list[m].k; p++)
      gmf_bits_add(r->covered[m], list->row[p]);
}

/* What user j adds to the metrics. */
static void add_user(gmf_ranker *r, const gmf_user_batch *b, int64_t j)
{
  const gmf_topn *list = &r->lists[j];
  int64_t n = b->begin[j + 1] - b->begin[j];
  for (int64_t p = 0; p < list->n; p++) r->is_hit[p] = gmf_is_member(b->items + b->begin[j], n, list->row[p]);
  gmf_metrics_add_user(r->metrics, r->is_hit, list->n, n);
  cover(r, list);
  for (int64_t h = b->begin[j]; r->metrics->predicts && h < b->begin[j + 1]; h++)
    gmf_metrics_add_rating(r->metrics, r->mean + (double)r->held_out_scores[h], (double)b->values[h]);
  if (r->metrics->compares)
    gmf_metrics_add_pairs(r->metrics, r->pairs[j].right, r->pairs[j].n_relevant * r->pairs[j].n_others);
}

gmf_status gmf_ranker_add(gmf_ranker *r, const gmf_user_batch *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_metrics *m = r->metrics;
  GMF_CHECK(b->n <= r->capacity);
  status = GMF_RESERVE(r->held_out_scores, r->n_scores, b->begin[b->n] + 1, err);
  if (status == GMF_OK) status = GMF_RESERVE(r->thresholds, r->n_thresholds, b->begin[b->n] + 1, err);
  GMF_TRY(gmf_agree(r->grid, status, err));
  for (int64_t j = 0; j < b->n; j++) gmf_topn_reset(&r->lists[j]);
  if (m->predicts || m->compares) GMF_TRY(score_all_held_out(r, b, err));
  if (m->compares) set_all_thresholds(r, b);
  if (m->longest > 0 || m->compares) GMF_TRY(rank_all(r, b, err));
#pragma omp parallel for schedule(dynamic, 8)
  for (int64_t j = 0; j < b->n; j++) gmf_topn_sort(&r->lists[j]);
  for (int64_t j = 0; j < b->n; j++) add_user(r, b, j);
  for (int i = 0; i < m->n; i++) gmf_accumulator_carry(&r->metrics->sum[i]);
  gmf_trace_work(r->grid->trace, GMF_PHASE_SCORE, m->longest > 0 || m->compares ? b->n * r->n_items : b->begin[b->n]);
cleanup:
  return status;
}

void gmf_ranker_finish(gmf_ranker *r)
{
  int64_t n_words = gmf_bits_words(r->n_items);
  int64_t begin = gmf_slice_begin(n_words, r->grid->size, r->grid->rank);
  int64_t end = gmf_slice_begin(n_words, r->grid->size, r->grid->rank + 1);
  for (int m = 0; m < r->metrics->n; m++) {
    if (r->covered[m] == NULL) continue;
    gmf_unite_bits(r->grid, r->covered[m], n_words);
    gmf_metrics_add_covered(r->metrics, m, gmf_bits_count(r->covered[m] + begin, end - begin));
  }
  gmf_metrics_reduce(r->grid, r->metrics);
}
