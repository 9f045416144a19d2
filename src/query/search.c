/*
 * Top-N lists for a batch of queries. The factors pass by once, in panels of a few megabytes (kernel/toplists.h).
 *
 * Allow and deny lists become the ascending rows of the candidates; panels then hold candidates only, and lists hold
 * positions among the candidates, which are in the order of the rows.
 */
#include "query/search.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"

enum {
  PANEL_FLOATS = 1 << 21,
  FEW_QUERIES = 64, /* that are answered faster from panels that stay in the second-level cache */
  SMALL_PANEL_FLOATS = 1 << 18,
  THREAD_PRODUCTS = 1 << 22, /* in a panel, below which threads cost more than they do */
  PANEL_MIN_ROWS = 1024,
  PIECE_ROWS = 1 << 16, /* counts read at once */
  MAX_GAP = 64          /* candidates this near are read together with the rows between them */
};

void gmf_search_close(gmf_search *s)
{
  void *const arrays[] = {s->index,   s->row,       s->x, s->offset,     s->exclude_begin,
                          s->exclude, s->candidate, s->y, s->row_offset, s->counts};
  gmf_toplists_destroy(&s->lists);
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

gmf_search_options gmf_search_of(const gmf_recommend_options *options)
{
  return (gmf_search_options){.side = GMF_ITEMS,
                              .kind = GMF_SEARCH_SCORES,
                              .top_n = options->top_n,
                              .allow = options->allow,
                              .n_allow = options->n_allow,
                              .deny = options->deny,
                              .n_deny = options->n_deny,
                              .n_threads = options->n_threads};
}

gmf_search_options gmf_search_for_similar(gmf_side side, const gmf_similar_options *options)
{
  return (gmf_search_options){.side = side,
                              .kind = options->measure == GMF_MEASURE_COSINE ? GMF_SEARCH_COSINES : GMF_SEARCH_DOTS,
                              .top_n = options->top_n,
                              .allow = options->allow,
                              .n_allow = options->n_allow,
                              .deny = options->deny,
                              .n_deny = options->n_deny,
                              .n_threads = options->n_threads};
}

bool gmf_normalise(float *x, int64_t k)
{
  double square = 0;
  for (int64_t c = 0; c < k; c++) square += (double)x[c] * (double)x[c];
  if (!(square > 0)) return false;
  double scale = 1 / sqrt(square);
  for (int64_t c = 0; c < k; c++) x[c] = (float)((double)x[c] * scale);
  return true;
}

/* ---- candidates -------------------------------------------------------------------------------------------------- */

/* Sets (or clears) the bits of rows. -1 is an unknown id. */
static gmf_status mark_rows(const gmf_search *s, const int64_t *rows, int64_t n, bool set, uint64_t *bits,
                            gmf_error *err)
{
  for (int64_t j = 0; j < n; j++) {
    int64_t row = rows[j];
    if (row < -1 || row >= s->n_rows)
      return gmf_fail(err, GMF_ERR_USAGE, "%s: there is no %s row %" PRId64, s->model->info.path,
                      gmf_side_noun(s->options.side), row);
    uint64_t bit = (uint64_t)1 << (row & 63);
    if (row >= 0 && set) bits[row / 64] |= bit;
    if (row >= 0 && !set) bits[row / 64] &= ~bit;
  }
  return GMF_OK;
}

/* The rows whose bits are set. */
static gmf_status list_rows(gmf_search *s, const uint64_t *bits, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = 0;
  for (int64_t row = 0; row < s->n_rows; row++) n += (int64_t)(bits[row / 64] >> (row & 63) & 1);
  GMF_TRY(GMF_NEW(s->candidate, n, err));
  s->n_candidates = 0;
  for (int64_t row = 0; row < s->n_rows; row++)
    if (bits[row / 64] >> (row & 63) & 1) s->candidate[s->n_candidates++] = row;
cleanup:
  return status;
}

static gmf_status make_candidates(gmf_search *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_search_options *o = &s->options;
  uint64_t *bits = NULL;
  int64_t n_words = s->n_rows / 64 + 1;

  s->n_candidates = s->n_rows;
  if (o->allow == NULL && (o->deny == NULL || o->n_deny == 0)) return GMF_OK;
  GMF_TRY(GMF_NEW(bits, n_words, err));
  memset(bits, o->allow == NULL ? 0xff : 0, sizeof *bits * (size_t)n_words);
  if (o->allow != NULL) GMF_TRY(mark_rows(s, o->allow, o->n_allow, true, bits, err));
  if (o->deny != NULL) GMF_TRY(mark_rows(s, o->deny, o->n_deny, false, bits, err));
  GMF_TRY(list_rows(s, bits, err));
cleanup:
  gmf_free(bits);
  return status;
}

static int64_t row_at(const gmf_search *s, int64_t position)
{
  return s->candidate != NULL ? s->candidate[position] : position;
}

/* The position of a row among the candidates, or -1. */
static int64_t candidate_position(const gmf_search *s, int64_t row)
{
  if (s->candidate == NULL) return row;
  int64_t at = gmf_lower_bound(s->candidate, s->n_candidates, row);
  return at < s->n_candidates && s->candidate[at] == row ? at : -1;
}

/* ---- queries ----------------------------------------------------------------------------------------------------- */

gmf_status gmf_search_open(gmf_search *s, gmf_model *model, const gmf_search_options *options, int64_t capacity,
                           gmf_error *err)
{
  gmf_status status = GMF_OK;
  *s = (gmf_search){.model = model,
                    .options = *options,
                    .k = model->info.n_factors,
                    .n_rows = options->side == GMF_USERS ? model->info.n_users : model->info.n_items,
                    .capacity = capacity};
  if (options->top_n < 1) GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "top_n is %" PRId64 ", not 1 or more", options->top_n));
  GMF_TRY(make_candidates(s, err));
  GMF_TRY(GMF_NEW(s->index, capacity, err));
  GMF_TRY(GMF_NEW(s->row, capacity, err));
  GMF_TRY(GMF_NEW(s->x, capacity * s->k, err));
  GMF_TRY(GMF_NEW(s->offset, capacity, err));
  GMF_TRY(GMF_NEW_ZERO(s->exclude_begin, capacity + 1, err));
cleanup:
  return status;
}

int64_t gmf_search_run_length(const gmf_search *s, int64_t q)
{
  int64_t n = 1;
  while (q + n < s->n && s->row[q + n] == s->row[q] + n) n++;
  return n;
}

/* Known rows of the call; the others get their state and an empty list at once. */
static gmf_status choose_known(gmf_search *s, gmf_side side, int64_t n, const int64_t *rows,
                               const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_rows = side == GMF_USERS ? s->model->info.n_users : s->model->info.n_items;
  for (int64_t q = 0; q < n; q++) {
    out->counts[q] = 0;
    out->states[q] = rows[q] < 0 ? GMF_ROW_UNKNOWN : GMF_ROW_KNOWN;
    if (rows[q] < -1 || rows[q] >= n_rows)
      GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: there is no %s row %" PRId64, s->model->info.path, gmf_side_noun(side),
                       rows[q]));
    if (rows[q] < 0) continue;
    s->index[s->n] = q;
    s->row[s->n++] = rows[q];
  }
cleanup:
  return status;
}

/* Cold queries leave. */
static void drop_cold(gmf_search *s, const gmf_recommendations *out)
{
  int64_t n_warm = 0;
  for (int64_t q = 0; q < s->n; q++) {
    if (isnan(s->offset[q])) {
      out->states[s->index[q]] = GMF_ROW_COLD;
      continue;
    }
    memmove(s->x + n_warm * s->k, s->x + q * s->k, sizeof *s->x * (size_t)s->k);
    s->offset[n_warm] = s->offset[q];
    s->index[n_warm] = s->index[q];
    s->row[n_warm++] = s->row[q];
  }
  s->n = n_warm;
}

gmf_status gmf_search_add_rows(gmf_search *s, gmf_side side, int64_t n, const int64_t *rows,
                               const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *counts = NULL;

  GMF_TRY(choose_known(s, side, n, rows, out, err));
  GMF_TRY(GMF_NEW(counts, s->n, err));
  for (int64_t q = 0, run = 0; q < s->n; q += run) {
    run = gmf_search_run_length(s, q);
    GMF_TRY(gmf_side_rows(s->model, side, s->row[q], run, s->x + q * s->k, s->offset + q, counts, err));
  }
  drop_cold(s, out);
cleanup:
  gmf_free(counts);
  return status;
}

gmf_status gmf_search_exclude(gmf_search *s, int64_t q, const int64_t *rows, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t used = s->exclude_begin[q];
  GMF_TRY(GMF_RESERVE(s->exclude, s->exclude_capacity, used + n, err));
  for (int64_t r = 0; r < n; r++) {
    int64_t position = candidate_position(s, rows[r]);
    if (position >= 0) s->exclude[used++] = position;
  }
  s->exclude_begin[q + 1] = used;
cleanup:
  return status;
}

/* ---- panels ------------------------------------------------------------------------------------------------------ */

/* Candidates from position `begin` whose rows lie close enough to be read in one go, at most `room` rows. */
static int64_t span_length(const gmf_search *s, int64_t begin, int64_t room)
{
  int64_t n = 1, first = row_at(s, begin);
  if (s->candidate == NULL) return gmf_min64(room, s->n_candidates - begin);
  while (begin + n < s->n_candidates && row_at(s, begin + n) - row_at(s, begin + n - 1) <= MAX_GAP &&
         row_at(s, begin + n) - first < room)
    n++;
  return n;
}

/* Drops the rows of a span that are no candidates; they stand at `at` in the panel. */
static void compact_span(gmf_search *s, int64_t at, int64_t begin, int64_t n)
{
  for (int64_t c = 0; c < n; c++) {
    int64_t from = at + row_at(s, begin + c) - row_at(s, begin), to = at + c;
    if (from == to) continue;
    memmove(s->y + to * s->k, s->y + from * s->k, sizeof *s->y * (size_t)s->k);
    s->row_offset[to] = s->row_offset[from];
  }
}

/* Makes the panel's rows ready for dots or cosines. */
static void finish_panel(gmf_search *s)
{
  for (int64_t r = 0; r < s->panel_n; r++) {
    bool found = !isnan(s->row_offset[r]);
    if (s->options.kind == GMF_SEARCH_COSINES) found = gmf_normalise(s->y + r * s->k, s->k) && found;
    s->row_offset[r] = found ? 0 : NAN;
  }
}

/* Fills the panel from candidate `begin` on. */
static gmf_status read_panel(gmf_search *s, int64_t begin, gmf_error *err)
{
  gmf_status status = GMF_OK;
  s->panel_begin = begin;
  s->panel_n = 0;
  while (s->panel_n < s->panel_capacity && begin < s->n_candidates) {
    int64_t at = s->panel_n, n = span_length(s, begin, s->panel_capacity - at);
    int64_t rows = row_at(s, begin + n - 1) - row_at(s, begin) + 1;
    GMF_TRY(gmf_side_rows(s->model, s->options.side, row_at(s, begin), rows, s->y + at * s->k, s->row_offset + at,
                          s->counts, err));
    compact_span(s, at, begin, n);
    s->panel_n += n;
    begin += n;
  }
  if (s->options.kind != GMF_SEARCH_SCORES) finish_panel(s);
cleanup:
  return status;
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

static gmf_status make_workspace(gmf_search *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t capacity = gmf_min64(s->options.top_n, s->n_candidates);
  int64_t floats = s->n <= FEW_QUERIES ? SMALL_PANEL_FLOATS : PANEL_FLOATS;
  s->panel_capacity = gmf_min64(gmf_max64(floats / s->k, PANEL_MIN_ROWS), gmf_max64(s->n_candidates, 1));
  /* Sparse candidates are read with the rows between them. */
  if (s->candidate != NULL) s->panel_capacity = gmf_max64(s->panel_capacity, PANEL_MIN_ROWS);
  GMF_TRY(GMF_NEW(s->y, s->panel_capacity * s->k, err));
  GMF_TRY(GMF_NEW(s->row_offset, s->panel_capacity, err));
  GMF_TRY(GMF_NEW(s->counts, s->panel_capacity, err));
  int n_threads = s->options.n_threads > 0 ? s->options.n_threads : omp_get_max_threads();
  bool is_small = s->n * s->panel_capacity * s->k < THREAD_PRODUCTS;
  gmf_toplists_shape shape = {.n_users = s->n,
                              .top_n = capacity,
                              .panel_items = s->panel_capacity,
                              .k = (int)s->k,
                              .n_threads = is_small ? 1 : n_threads};
  GMF_TRY(gmf_toplists_create(&s->lists, &shape, err));
  gmf_toplists_start(&s->lists, s->n, s->x, s->k, s->offset, s->exclude != NULL ? s->exclude_begin : NULL, s->exclude);
cleanup:
  return status;
}

/* Writes the lists out. */
static void finish(gmf_search *s, const gmf_recommendations *out)
{
  int64_t top_n = s->options.top_n;
  gmf_toplists_finish(&s->lists);
  for (int64_t q = 0; q < s->n; q++) {
    const gmf_topn *best = &s->lists.users.lists[q];
    int64_t at = s->index[q];
    out->counts[at] = best->n;
    for (int64_t e = 0; e < best->n; e++) {
      out->items[at * top_n + e] = row_at(s, best->row[e]);
      out->scores[at * top_n + e] = best->score[e];
    }
  }
}

gmf_status gmf_search_run(gmf_search *s, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (s->n == 0) return GMF_OK;
  GMF_TRY(make_workspace(s, err));
  for (int64_t begin = 0; begin < s->n_candidates; begin += s->panel_n) {
    GMF_TRY(read_panel(s, begin, err));
    gmf_toplists_push(&s->lists, s->y, s->k, s->row_offset, s->panel_n, s->panel_begin);
  }
  finish(s, out);
cleanup:
  return status;
}

/* The most rated candidates, ties to the lower row: items [top_n], scores [top_n] their training ratings, *n how many
 * there are. */
static gmf_status most_rated(gmf_search *s, int64_t *items, float *scores, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_topn best = {0};
  int64_t *counts = NULL;

  GMF_TRY(gmf_topn_create(&best, gmf_min64(s->options.top_n, s->n_candidates), err));
  GMF_TRY(GMF_NEW(counts, PIECE_ROWS, err));
  for (int64_t begin = 0, at = 0; begin < s->n_rows; begin += PIECE_ROWS) {
    int64_t end = gmf_min64(begin + PIECE_ROWS, s->n_rows);
    GMF_TRY(gmf_training_counts(s->model, s->options.side, begin, end - begin, counts, err));
    for (; at < s->n_candidates && row_at(s, at) < end; at++) {
      int64_t count = counts[row_at(s, at) - begin];
      if (count > 0) gmf_topn_push(&best, (float)count, row_at(s, at));
    }
  }
  gmf_topn_sort(&best);
  *n = best.n;
  memcpy(items, best.row, sizeof *items * (size_t)best.n);
  memcpy(scores, best.score, sizeof *scores * (size_t)best.n);
cleanup:
  gmf_topn_destroy(&best);
  gmf_free(counts);
  return status;
}

gmf_status gmf_search_fall_back(gmf_search *s, int64_t n_users, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t top_n = s->options.top_n, first = -1;
  for (int64_t u = 0; u < n_users; u++) {
    if (out->states[u] == GMF_ROW_KNOWN) continue;
    int64_t *items = out->items + u * top_n;
    float *scores = out->scores + u * top_n;
    if (first < 0) {
      GMF_TRY(most_rated(s, items, scores, &out->counts[u], err));
      first = u;
      continue;
    }
    out->counts[u] = out->counts[first];
    memcpy(items, out->items + first * top_n, sizeof *items * (size_t)out->counts[u]);
    memcpy(scores, out->scores + first * top_n, sizeof *scores * (size_t)out->counts[u]);
  }
cleanup:
  return status;
}
