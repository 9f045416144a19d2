#include "app/evaluate.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "app/memory_check.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/id_match.h"
#include "kernel/topn.h"

/* What is computed where nothing is asked for; ials predicts no ratings, so that rmse would mean nothing. */
#define RANKING_METRICS "recall@20,ndcg@10,precision@10,hit@10"

enum { BATCH_USERS = 1024, PANEL_ITEMS = 4096, TILE_USERS = 32 };

/* A held-out rating of a user in the batch. */
typedef struct held_out {
  int64_t item; /* the model's row */
  float value;
} held_out;

/* Some users of this rank, ascending in the model. */
typedef struct batch {
  int64_t n;
  int64_t *rows;     /* owned [BATCH_USERS]: in the model */
  float *factors;    /* owned [BATCH_USERS][k] */
  float *bias;       /* owned [BATCH_USERS] */
  int64_t *begin;    /* owned [BATCH_USERS + 1]: each user's held-out ratings */
  held_out *ratings; /* owned, ascending by item within a user */
  int64_t capacity;
  int64_t *seen_begin; /* owned [BATCH_USERS + 1] */
  int64_t *seen;       /* owned, ascending within a user */
  int64_t seen_capacity;
  gmf_topn *lists; /* owned [BATCH_USERS] */
} batch;

/* Evaluation on one rank. */
typedef struct evaluator {
  gmf_model_file *model; /* owned, like the rest */
  gmf_dataset *test;
  const gmf_model_info *info;
  int64_t k;
  int64_t *user_rows; /* [my test users]: in the model, -1 when cold */
  int64_t *item_rows; /* [items of the test set] */
  int64_t *order;     /* [my test users]: known ones by their row in the model */
  int64_t n_known;
  batch b;
  float *panel;         /* [PANEL_ITEMS][k] */
  float *item_bias;     /* [PANEL_ITEMS] */
  int64_t *item_counts; /* [PANEL_ITEMS] */
  float *scores;        /* [threads][TILE_USERS][PANEL_ITEMS] */
  int64_t *items;       /* scratch for reading test ratings */
  float *values;
  int64_t read_capacity;
  gmf_seen seen;
  gmf_evaluation *out;
} evaluator;

static void free_evaluator(evaluator *e)
{
  gmf_model_file_close(&e->model);
  gmf_dataset_close(&e->test);
  for (int64_t u = 0; e->b.lists != NULL && u < BATCH_USERS; u++) gmf_topn_destroy(&e->b.lists[u]);
  void *const arrays[] = {e->user_rows, e->item_rows,   e->order,        e->b.rows, e->b.factors, e->b.bias,
                          e->b.begin,   e->b.ratings,   e->b.seen_begin, e->b.seen, e->b.lists,   e->panel,
                          e->item_bias, e->item_counts, e->scores,       e->items,  e->values};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
  gmf_seen_free(&e->seen);
}

/* ---- matching ---------------------------------------------------------------------------------------------------- */

static gmf_status match_side(evaluator *e, gmf_side side, int64_t begin, int64_t n, int64_t **rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_ids ids = {0};
  GMF_TRY(GMF_NEW(*rows, n, err));
  GMF_TRY(gmf_dataset_read_ids(e->test, side, begin, n, &ids, err));
  GMF_TRY(gmf_match_ids(e->model, side, &ids, *rows, err));
cleanup:
  gmf_ids_free(&ids);
  return status;
}

typedef struct place {
  int64_t row, user;
} place;

static int by_row(const void *a, const void *b)
{
  int64_t x = ((const place *)a)->row, y = ((const place *)b)->row;
  return (x > y) - (x < y);
}

/* My known test users with ratings, in the order of the model, so that its rows are read in runs. */
static gmf_status order_users(evaluator *e, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = e->test->row_end - e->test->row_begin;
  place *places = NULL;
  GMF_TRY(GMF_NEW(places, n, err));
  GMF_TRY(GMF_NEW(e->order, n, err));
  for (int64_t u = 0; u < n; u++) {
    int64_t d = e->test->indptr[u + 1] - e->test->indptr[u];
    if (d == 0) continue;
    if (e->user_rows[u] >= 0) {
      places[e->n_known++] = (place){e->user_rows[u], u};
    } else {
      e->out->n_cold_users++;
      e->out->n_cold_ratings += d;
    }
  }
  qsort(places, (size_t)e->n_known, sizeof *places, by_row);
  for (int64_t j = 0; j < e->n_known; j++) e->order[j] = places[j].user;
cleanup:
  gmf_free(places);
  return status;
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static int by_item(const void *a, const void *b)
{
  int64_t x = ((const held_out *)a)->item, y = ((const held_out *)b)->item;
  return (x > y) - (x < y);
}

/* Held-out ratings of test user u into the batch as its user j. */
static gmf_status load_ratings(evaluator *e, int64_t u, int64_t j, gmf_error *err)
{
  gmf_status status = GMF_OK;
  batch *b = &e->b;
  int64_t begin = e->test->indptr[u], n = e->test->indptr[u + 1] - begin, to = b->begin[j];
  if (n > e->read_capacity) {
    GMF_FREE(e->items);
    GMF_FREE(e->values);
    e->read_capacity = 2 * n;
    GMF_TRY(GMF_NEW(e->items, e->read_capacity, err));
    GMF_TRY(GMF_NEW(e->values, e->read_capacity, err));
  }
  GMF_TRY(gmf_dataset_read(e->test, begin, n, e->items, e->values, NULL, NULL, err));
  GMF_TRY(GMF_RESERVE(b->ratings, b->capacity, to + n, err));
  for (int64_t r = 0; r < n; r++) {
    int64_t item = e->item_rows[e->items[r]];
    if (item >= 0)
      b->ratings[to++] = (held_out){item, e->values[r]};
    else
      e->out->n_cold_ratings++;
  }
  qsort(b->ratings + b->begin[j], (size_t)(to - b->begin[j]), sizeof *b->ratings, by_item);
  b->begin[j + 1] = to;
cleanup:
  return status;
}

/* Reads what the model has of the batch's users first ... first + n - 1, whose rows follow each other. */
static gmf_status load_run(evaluator *e, int64_t first, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  batch *b = &e->b;
  int64_t row = b->rows[first];
  GMF_TRY(gmf_model_file_factors(e->model, GMF_USERS, row, n, b->factors + first * e->k, err));
  GMF_TRY(gmf_model_file_bias(e->model, GMF_USERS, row, n, b->bias + first, err));
  GMF_TRY(gmf_model_file_seen(e->model, row, n, &e->seen, err));
  int64_t at = b->seen_begin[first], n_seen = e->seen.indptr[n];
  GMF_TRY(GMF_RESERVE(b->seen, b->seen_capacity, at + n_seen, err));
  if (n_seen > 0) memcpy(b->seen + at, e->seen.items, (size_t)n_seen * sizeof *b->seen);
  for (int64_t j = 1; j <= n; j++) b->seen_begin[first + j] = at + e->seen.indptr[j];
cleanup:
  return status;
}

static gmf_status load_batch(evaluator *e, int64_t first, gmf_error *err)
{
  gmf_status status = GMF_OK;
  batch *b = &e->b;
  b->n = gmf_max64(0, gmf_min64(BATCH_USERS, e->n_known - first));
  b->begin[0] = b->seen_begin[0] = 0;
  for (int64_t j = 0; j < b->n; j++) {
    int64_t u = e->order[first + j];
    b->rows[j] = e->user_rows[u];
    gmf_topn_reset(&b->lists[j]);
    GMF_TRY(load_ratings(e, u, j, err));
  }
  for (int64_t j = 0; j < b->n;) {
    int64_t n = 1;
    while (j + n < b->n && b->rows[j + n] == b->rows[j] + n) n++;
    GMF_TRY(load_run(e, j, n, err));
    j += n;
  }
cleanup:
  return status;
}

/* ---- scoring ----------------------------------------------------------------------------------------------------- */

/* The first of n ascending items that is not below `item`. */
static int64_t lower_bound(const held_out *ratings, int64_t n, int64_t item)
{
  int64_t low = 0;
  while (low < n) {
    int64_t middle = low + (n - low) / 2;
    if (ratings[middle].item < item)
      low = middle + 1;
    else
      n = middle;
  }
  return low;
}

/* One user against the panel: predictions of its held-out ratings, then the list. sums: of this user alone. */
static void score_user(const evaluator *e, int64_t j, int64_t panel_begin, int64_t n, float *scores, gmf_metrics *sums)
{
  const batch *b = &e->b;
  double offset = e->info->global_mean + (double)b->bias[j];
  if (e->info->has_bias)
    for (int64_t i = 0; i < n; i++) scores[i] += e->item_bias[i];
  const held_out *ratings = b->ratings + b->begin[j];
  int64_t n_ratings = b->begin[j + 1] - b->begin[j];
  for (int64_t r = lower_bound(ratings, n_ratings, panel_begin); r < n_ratings && ratings[r].item < panel_begin + n;
       r++)
    gmf_metrics_add_rating(sums, offset + (double)scores[ratings[r].item - panel_begin], (double)ratings[r].value);
  if (sums->longest == 0) return;
  for (int64_t i = 0; i < n; i++)
    if (e->item_counts[i] == 0) scores[i] = NAN; /* never trained on: not recommended */
  gmf_topn_push_panel(&b->lists[j], scores, panel_begin, n, b->seen + b->seen_begin[j],
                      b->seen_begin[j + 1] - b->seen_begin[j]);
}

static gmf_status score_panel(evaluator *e, int64_t begin, gmf_metrics *sums, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const batch *b = &e->b;
  int64_t n = gmf_min64(PANEL_ITEMS, e->info->n_items - begin);
  GMF_TRY(gmf_model_file_factors(e->model, GMF_ITEMS, begin, n, e->panel, err));
  GMF_TRY(gmf_model_file_bias(e->model, GMF_ITEMS, begin, n, e->item_bias, err));
  GMF_TRY(gmf_model_file_counts(e->model, GMF_ITEMS, begin, n, e->item_counts, err));
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t first = 0; first < b->n; first += TILE_USERS) {
    int64_t m = gmf_min64(TILE_USERS, b->n - first);
    float *scores = e->scores + (int64_t)omp_get_thread_num() * TILE_USERS * PANEL_ITEMS;
    gmf_scores(b->factors + first * e->k, m, e->k, e->panel, n, e->k, (int)e->k, scores, PANEL_ITEMS);
    for (int64_t j = 0; j < m; j++) score_user(e, first + j, begin, n, scores + j * PANEL_ITEMS, &sums[first + j]);
  }
cleanup:
  return status;
}

/* A user's finished list against its held-out items. is_hit [longest] is scratch. */
static void rank_user(evaluator *e, int64_t j, bool *is_hit)
{
  batch *b = &e->b;
  const held_out *ratings = b->ratings + b->begin[j];
  int64_t n = b->begin[j + 1] - b->begin[j];
  if (n == 0) return;
  gmf_topn_sort(&b->lists[j]);
  for (int64_t r = 0; r < b->lists[j].n; r++) {
    int64_t at = lower_bound(ratings, n, b->lists[j].row[r]);
    is_hit[r] = at < n && ratings[at].item == b->lists[j].row[r];
  }
  gmf_metrics_add_list(&e->out->metrics, is_hit, b->lists[j].n, n);
}

static gmf_status run_batch(evaluator *e, int64_t first, gmf_metrics *sums, bool *is_hit, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_metrics *total = &e->out->metrics;
  GMF_TRY(load_batch(e, first, err));
  for (int64_t j = 0; j < e->b.n; j++) {
    sums[j] = *total;
    memset(sums[j].sum, 0, sizeof sums[j].sum);
    sums[j].n_ratings = 0;
  }
  for (int64_t begin = 0; begin < e->info->n_items; begin += PANEL_ITEMS) GMF_TRY(score_panel(e, begin, sums, err));
  for (int64_t j = 0; j < e->b.n; j++) { /* in user order: the sums do not depend on threads */
    total->n_ratings += sums[j].n_ratings;
    for (int i = 0; i < total->n; i++) total->sum[i] += sums[j].sum[i];
    if (total->longest > 0) rank_user(e, j, is_hit);
  }
cleanup:
  return status;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static gmf_status allocate(evaluator *e, gmf_error *err)
{
  gmf_status status = GMF_OK;
  batch *b = &e->b;
  GMF_TRY(GMF_NEW(b->rows, BATCH_USERS, err));
  GMF_TRY(GMF_NEW(b->factors, BATCH_USERS * e->k, err));
  GMF_TRY(GMF_NEW(b->bias, BATCH_USERS, err));
  GMF_TRY(GMF_NEW(b->begin, BATCH_USERS + 1, err));
  GMF_TRY(GMF_NEW(b->seen_begin, BATCH_USERS + 1, err));
  GMF_TRY(GMF_NEW_ZERO(b->lists, BATCH_USERS, err));
  int64_t longest = gmf_min64(e->out->metrics.longest, e->info->n_items);
  for (int64_t u = 0; u < BATCH_USERS; u++) GMF_TRY(gmf_topn_create(&b->lists[u], longest, err));
  GMF_TRY(GMF_NEW(e->panel, PANEL_ITEMS * e->k, err));
  GMF_TRY(GMF_NEW(e->item_bias, PANEL_ITEMS, err));
  GMF_TRY(GMF_NEW(e->item_counts, PANEL_ITEMS, err));
  GMF_TRY(GMF_NEW(e->scores, (int64_t)omp_get_max_threads() * TILE_USERS * PANEL_ITEMS, err));
cleanup:
  return status;
}

static gmf_status evaluate_local(evaluator *e, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_metrics *sums = NULL;
  bool *is_hit = NULL;
  e->k = e->info->n_factors;
  e->out->has_seen = e->info->has_seen;
  GMF_TRY(allocate(e, err));
  GMF_TRY(match_side(e, GMF_USERS, e->test->row_begin, e->test->row_end - e->test->row_begin, &e->user_rows, err));
  GMF_TRY(match_side(e, GMF_ITEMS, 0, e->test->n[GMF_ITEMS], &e->item_rows, err));
  GMF_TRY(order_users(e, err));
  GMF_TRY(GMF_NEW(sums, BATCH_USERS, err));
  GMF_TRY(GMF_NEW(is_hit, gmf_max64(1, e->out->metrics.longest), err));
  for (int64_t first = 0; first < e->n_known; first += BATCH_USERS) GMF_TRY(run_batch(e, first, sums, is_hit, err));
cleanup:
  gmf_free(is_hit);
  gmf_free(sums);
  return status;
}

gmf_status gmf_evaluate(const gmf_grid *grid, const char *model, const char *test, const gmf_config *config,
                        gmf_evaluation *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  evaluator e = {.out = out};

  memset(out, 0, sizeof *out);
  GMF_TRY(gmf_agree(grid, gmf_model_file_open(model, &e.model, err), err));
  e.info = gmf_model_file_info(e.model);
  const char *usual = strcmp(e.info->algorithm, "als") == 0 ? "rmse,mae," RANKING_METRICS : RANKING_METRICS;
  GMF_TRY(gmf_metrics_parse(config->metrics[0] != '\0' ? config->metrics : usual, &out->metrics, err));
  GMF_TRY(gmf_dataset_open(grid, test, &e.test, err));
  GMF_TRY(gmf_evaluate_memory(grid, config, (const int64_t[]){e.info->n_users, e.info->n_items}, e.info->n_factors,
                              e.test, err));
  out->n_test = e.test->nnz;
  gmf_trace_phase(grid->trace, GMF_PHASE_SCORE);
  GMF_TRY(gmf_agree(grid, evaluate_local(&e, err), err));
  gmf_metrics_reduce(grid, &out->metrics);
  int64_t cold[2] = {out->n_cold_users, out->n_cold_ratings};
  gmf_sum_i64(grid, cold, 2);
  out->n_cold_users = cold[0];
  out->n_cold_ratings = cold[1];
  if (out->n_test > 0 && out->n_cold_ratings == out->n_test)
    GMF_TRY(
        gmf_fail(err, GMF_ERR_DATA,
                 "%s: none of its ratings has a user and an item that %s was trained on; are both made from the same "
                 "dataset?",
                 test, model));
cleanup:
  gmf_trace_phase(grid->trace, GMF_PHASE_OTHER);
  free_evaluator(&e);
  return status;
}
