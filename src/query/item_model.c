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
#include "base/search.h"

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

void gmf_rated_free(gmf_rated *r)
{
  gmf_free(r->begin);
  gmf_free(r->items);
  gmf_free(r->values);
  *r = (gmf_rated){0};
}

gmf_status gmf_rated_add(gmf_rated *r, const int64_t *items, const float *values, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_RESERVE(r->begin, r->begin_capacity, r->n + 2, err));
  if (r->n == 0) r->begin[0] = 0;
  int64_t at = r->begin[r->n];
  GMF_TRY(GMF_RESERVE(r->items, r->items_capacity, at + n, err));
  GMF_TRY(GMF_RESERVE(r->values, r->values_capacity, at + n, err));
  if (n > 0) memcpy(r->items + at, items, (size_t)n * sizeof *items);
  if (n > 0) memcpy(r->values + at, values, (size_t)n * sizeof *values);
  r->begin[++r->n] = at + n;
cleanup:
  return status;
}

/* Training ratings of n users, rows [n] of the model; what was there before goes. */
static gmf_status read_rated(gmf_model *model, const int64_t *rows, int64_t n, gmf_rated *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_seen seen = {0};
  out->n = 0;
  for (int64_t u = 0, run = 0; u < n; u += run) {
    for (run = 1; u + run < n && rows[u + run] == rows[u] + run;) run++;
    gmf_file_lock();
    status = gmf_model_file_ratings(model->file, rows[u], run, &seen, err);
    gmf_file_unlock();
    GMF_TRY(status);
    for (int64_t r = 0; r < run; r++)
      GMF_TRY(gmf_rated_add(out, seen.items + seen.indptr[r], seen.values + seen.indptr[r],
                            seen.indptr[r + 1] - seen.indptr[r], err));
  }
cleanup:
  gmf_seen_free(&seen);
  return status;
}

/* scores [n][n_items] of users [first, first + n) of r. */
static gmf_status score_rated(gmf_model *model, const gmf_rated *r, int64_t first, int64_t n, int n_threads,
                              float *scores, gmf_error *err)
{
  gmf_item_users users = {n, r->begin + first, r->items, r->values};
  return gmf_item_scores(&users, model->info.n_items, read_weights, model, n_threads, scores, err);
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

gmf_status gmf_item_search_users(gmf_search *s, const gmf_rated *users, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_items = s->n_rows, step = gmf_max64(1, SCORE_FLOATS / gmf_max64(1, n_items));
  float *scores = NULL;
  gmf_rated of_model = {0};
  listing l = {0};
  step = gmf_min64(step, gmf_max64(1, s->n));
  GMF_TRY(listing_open(s, &l, err));
  GMF_TRY(GMF_NEW(scores, step * n_items, err));
  for (int64_t first = 0; first < s->n; first += step) {
    int64_t n = gmf_min64(step, s->n - first);
    if (users == NULL) GMF_TRY(read_rated(s->model, s->row + first, n, &of_model, err));
    GMF_TRY(score_rated(s->model, users != NULL ? users : &of_model, users != NULL ? first : 0, n, l.n_threads, scores,
                        err));
#pragma omp parallel for schedule(dynamic, 1) num_threads(l.n_threads)
    for (int64_t u = 0; u < n; u++) make_list(s, &l, first + u, scores + u * n_items, out);
  }
cleanup:
  gmf_free(scores);
  gmf_rated_free(&of_model);
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
  gmf_rated ratings = {0};
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
    if (users[p] != scored) {
      GMF_TRY(read_rated(model, &users[p], 1, &ratings, err));
      GMF_TRY(score_rated(model, &ratings, 0, 1, 1, of_user, err));
    }
    scored = users[p];
    scores[p] = of_user[items[p]];
  }
cleanup:
  gmf_rated_free(&ratings);
  gmf_free(of_user);
  return status;
}

/* ---- explanations ------------------------------------------------------------------------------------------------ */

/* W_ji for the item i and the items j of one user. */
static gmf_status read_column(gmf_model *model, const gmf_rated *r, int64_t item, double *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_weight_rows row = {0};
  for (int64_t j = 0; j < r->begin[1]; j++) {
    GMF_TRY(read_weights(model, r->items[j], 1, &row, err));
    int64_t n = row.is_dense ? 0 : row.indptr[1], at = row.is_dense ? item : gmf_lower_bound(row.items, n, item);
    out[j] = row.is_dense || (at < n && row.items[at] == item) ? (double)row.values[at] : 0;
  }
cleanup:
  gmf_weight_rows_free(&row);
  return status;
}

gmf_status gmf_item_explain(gmf_model *model, int64_t user, int64_t item, gmf_explanation *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_rated r = {0};
  GMF_TRY(read_rated(model, &user, 1, &r, err));
  GMF_TRY(GMF_NEW(out->contributions, r.begin[1], err));
  GMF_TRY(read_column(model, &r, item, out->contributions, err));
  out->n = r.begin[1];
  out->rest = (double)out->score;
  for (int64_t j = 0; j < out->n; j++) {
    out->contributions[j] *= (double)r.values[j];
    out->rest -= out->contributions[j];
  }
  out->items = r.items;
  out->ratings = r.values;
  r.items = NULL;
  r.values = NULL;
cleanup:
  gmf_rated_free(&r);
  return status;
}
