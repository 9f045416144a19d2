/*
 * Answers from item-based models:  s_ui = sum_j a_uj W_ji  (query.h; algo/item_knn.c and algo/ease.c have the weights).
 *
 * The ratings a of a batch of users are read, then the rows of W that they touch, which pass by once; a user's scores
 * of all items stand in memory, and his list is taken from them.
 */
#include "query/item_model.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

enum { SCORE_FLOATS = 1 << 24, OFFSET_ROWS = 1 << 14 };

bool gmf_is_item_based(const gmf_model *model) { return model->info.n_factors == 0; }

/* ---- the model's parts ------------------------------------------------------------------------------------------- */

/* context: the model. */
static gmf_status read_weights(void *context, int64_t begin, int64_t n, gmf_weight_rows *out, gmf_error *err)
{
  gmf_model *model = context;
  gmf_file_lock();
  gmf_status status = gmf_model_file_weights(model->file, begin, n, out, err);
  gmf_file_unlock();
  return status;
}

/* Ratings of some users, one user after the other. Fit for {0}. */
typedef struct rated {
  int64_t *begin, *items; /* owned */
  float *values;          /* owned */
  int64_t begin_capacity, items_capacity, values_capacity;
} rated;

static void rated_free(rated *r)
{
  gmf_free(r->begin);
  gmf_free(r->items);
  gmf_free(r->values);
}

/* Training ratings of n users, rows [n] of the model. */
static gmf_status read_rated(gmf_model *model, const int64_t *rows, int64_t n, rated *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_seen seen = {0};
  GMF_TRY(GMF_RESERVE(out->begin, out->begin_capacity, n + 1, err));
  out->begin[0] = 0;
  for (int64_t u = 0, run = 0; u < n; u += run) {
    for (run = 1; u + run < n && rows[u + run] == rows[u] + run;) run++;
    gmf_file_lock();
    status = gmf_model_file_ratings(model->file, rows[u], run, &seen, err);
    gmf_file_unlock();
    GMF_TRY(status);
    int64_t at = out->begin[u], n_rated = seen.indptr[run];
    GMF_TRY(GMF_RESERVE(out->items, out->items_capacity, at + n_rated, err));
    GMF_TRY(GMF_RESERVE(out->values, out->values_capacity, at + n_rated, err));
    if (n_rated > 0) memcpy(out->items + at, seen.items, (size_t)n_rated * sizeof *out->items);
    if (n_rated > 0) memcpy(out->values + at, seen.values, (size_t)n_rated * sizeof *out->values);
    for (int64_t r = 1; r <= run; r++) out->begin[u + r] = at + seen.indptr[r];
  }
cleanup:
  gmf_seen_free(&seen);
  return status;
}

/* scores [n][n_items] of n users, rows [n] of the model. */
static gmf_status score_users(gmf_model *model, const int64_t *rows, int64_t n, int n_threads, rated *scratch,
                              float *scores, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(read_rated(model, rows, n, scratch, err));
  gmf_item_users users = {n, scratch->begin, scratch->items, scratch->values};
  GMF_TRY(gmf_item_scores(&users, model->info.n_items, read_weights, model, n_threads, scores, err));
cleanup:
  return status;
}

/* offsets [n rows] of a side: NaN for those without training ratings, else 0 for items. */
static gmf_status read_offsets(gmf_model *model, gmf_side side, int64_t n, float *offsets, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *counts = NULL;
  GMF_TRY(GMF_NEW(counts, OFFSET_ROWS, err));
  for (int64_t begin = 0; begin < n; begin += OFFSET_ROWS)
    GMF_TRY(gmf_side_rows(model, side, begin, gmf_min64(OFFSET_ROWS, n - begin), NULL, offsets + begin, counts, err));
cleanup:
  gmf_free(counts);
  return status;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

/* What the lists of a search are made with. */
typedef struct listing {
  float *offsets; /* owned [n_items] */
  float *strips;  /* owned [threads][n_candidates] */
  gmf_topn *best; /* owned [threads] */
  int n_threads;
} listing;

static void listing_close(listing *l)
{
  for (int t = 0; l->best != NULL && t < l->n_threads; t++) gmf_topn_destroy(&l->best[t]);
  gmf_free(l->best);
  gmf_free(l->strips);
  gmf_free(l->offsets);
}

static gmf_status listing_open(const gmf_search *s, listing *l, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t top_n = gmf_min64(s->options.top_n, s->n_candidates);
  l->n_threads = s->options.n_threads > 0 ? s->options.n_threads : omp_get_max_threads();
  GMF_TRY(GMF_NEW(l->offsets, s->n_rows, err));
  GMF_TRY(read_offsets(s->model, GMF_ITEMS, s->n_rows, l->offsets, err));
  GMF_TRY(GMF_NEW(l->strips, l->n_threads * gmf_max64(1, s->n_candidates), err));
  GMF_TRY(GMF_NEW_ZERO(l->best, l->n_threads, err));
  for (int t = 0; t < l->n_threads; t++) GMF_TRY(gmf_topn_create(&l->best[t], top_n, err));
cleanup:
  return status;
}

/* The list of query q from its scores [n_items], NaN for what is no answer. */
static void make_list(const gmf_search *s, const listing *l, int64_t q, const float *scores,
                      const gmf_recommendations *out)
{
  int thread = omp_get_thread_num();
  gmf_topn *best = &l->best[thread];
  float *strip = l->strips + thread * s->n_candidates;
  const int64_t *begin = s->exclude_begin + q;
  int64_t at = s->index[q], top_n = s->options.top_n;
  for (int64_t c = 0; c < s->n_candidates; c++) {
    int64_t row = s->candidate != NULL ? s->candidate[c] : c;
    strip[c] = scores[row] + l->offsets[row];
  }
  gmf_topn_reset(best);
  gmf_topn_push_panel(best, strip, 0, s->n_candidates, s->exclude != NULL ? s->exclude + begin[0] : NULL,
                      begin[1] - begin[0]);
  gmf_topn_sort(best);
  out->counts[at] = best->n;
  for (int64_t e = 0; e < best->n; e++) {
    out->items[at * top_n + e] = s->candidate != NULL ? s->candidate[best->row[e]] : best->row[e];
    out->scores[at * top_n + e] = best->score[e];
  }
}

gmf_status gmf_item_search_users(gmf_search *s, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_items = s->n_rows, step = gmf_max64(1, SCORE_FLOATS / gmf_max64(1, n_items));
  float *scores = NULL;
  rated ratings = {0};
  listing l = {0};
  step = gmf_min64(step, gmf_max64(1, s->n));
  GMF_TRY(listing_open(s, &l, err));
  GMF_TRY(GMF_NEW(scores, step * n_items, err));
  for (int64_t first = 0; first < s->n; first += step) {
    int64_t n = gmf_min64(step, s->n - first);
    GMF_TRY(score_users(s->model, s->row + first, n, l.n_threads, &ratings, scores, err));
#pragma omp parallel for schedule(dynamic, 1) num_threads(l.n_threads)
    for (int64_t u = 0; u < n; u++) make_list(s, &l, first + u, scores + u * n_items, out);
  }
cleanup:
  gmf_free(scores);
  rated_free(&ratings);
  listing_close(&l);
  return status;
}

gmf_status gmf_item_search_items(gmf_search *s, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_items = s->n_rows;
  gmf_weight_rows rows = {0};
  float *scores = NULL;
  listing l = {0};
  GMF_TRY(listing_open(s, &l, err));
  GMF_TRY(GMF_NEW(scores, n_items, err));
  for (int64_t q = 0; q < s->n; q++) {
    GMF_TRY(read_weights(s->model, s->row[q], 1, &rows, err));
    for (int64_t i = 0; i < n_items; i++) scores[i] = rows.is_dense ? rows.values[i] : NAN;
    for (int64_t e = 0; !rows.is_dense && e < rows.indptr[1]; e++) scores[rows.items[e]] = rows.values[e];
    make_list(s, &l, q, scores, out);
  }
cleanup:
  gmf_free(scores);
  gmf_weight_rows_free(&rows);
  listing_close(&l);
  return status;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

/* Whether a row was trained on. */
static gmf_status is_warm(gmf_model *model, gmf_side side, int64_t row, bool *warm, gmf_error *err)
{
  float offset = 0;
  int64_t count = 0;
  gmf_status status = gmf_side_rows(model, side, row, 1, NULL, &offset, &count, err);
  *warm = !isnan(offset);
  return status;
}

gmf_status gmf_item_score_pairs(gmf_model *model, int64_t n, const int64_t *users, const int64_t *items, float *scores,
                                gmf_row_state *states, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t scored = -1; /* the user whose scores are there: pairs often share him */
  float *of_user = NULL;
  rated ratings = {0};
  GMF_TRY(GMF_NEW(of_user, model->info.n_items, err));
  for (int64_t p = 0; p < n; p++) {
    bool warm_user = false, warm_item = false, known = users[p] >= 0 && items[p] >= 0;
    scores[p] = NAN;
    if (states != NULL) states[p] = GMF_ROW_UNKNOWN;
    if (users[p] < -1 || users[p] >= model->info.n_users || items[p] < -1 || items[p] >= model->info.n_items)
      GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: there is no pair of user row %" PRId64 " and item row %" PRId64,
                       model->info.path, users[p], items[p]));
    if (!known) continue;
    GMF_TRY(is_warm(model, GMF_USERS, users[p], &warm_user, err));
    GMF_TRY(is_warm(model, GMF_ITEMS, items[p], &warm_item, err));
    if (states != NULL) states[p] = warm_user && warm_item ? GMF_ROW_KNOWN : GMF_ROW_COLD;
    if (!warm_user || !warm_item) continue;
    if (users[p] != scored) GMF_TRY(score_users(model, &users[p], 1, 1, &ratings, of_user, err));
    scored = users[p];
    scores[p] = of_user[items[p]];
  }
cleanup:
  rated_free(&ratings);
  gmf_free(of_user);
  return status;
}
