/*
 * Top-N lists for a batch of users.
 *
 * The item factors pass by once, in panels of a few megabytes. Each panel is scored against blocks of users, and the
 * scores go into one bounded heap per user while they are in the cache. With many users the threads share out the
 * blocks; with few, each panel is cut into one strip per thread ("lane"), every lane has heaps of its own, and they
 * are merged at the end. The order on (score, row) is total, so the lists do not depend on any of this.
 *
 * Allow and deny lists become the ascending rows of the candidates; panels then hold candidates only, and heaps hold
 * positions among the candidates, which are in the order of the rows.
 */
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/topn.h"
#include "query/internal.h"

enum {
  BLOCK_USERS = 64,  /* users against a strip in one go */
  STRIP_ITEMS = 512, /* BLOCK_USERS x STRIP_ITEMS scores stay in the second-level cache */
  PANEL_FLOATS = 1 << 21,
  PANEL_MIN_ITEMS = 1024,
  MAX_GAP = 64 /* candidates this near are read together with the rows between them */
};

typedef struct job {
  gmf_model *model;                     /* borrowed */
  const gmf_recommend_options *options; /* borrowed */
  int64_t k;

  /* The users that can be served, in the order of the call. */
  int64_t n;
  int64_t *index;      /* [n] position in the call */
  int64_t *row;        /* [n] */
  float *x;            /* [n][k] */
  float *offset;       /* [n] global_mean + b_u */
  int64_t *seen_begin; /* [n + 1] */
  int64_t *seen;       /* [seen_begin[n]] positions among the candidates, ascending for each user */
  int64_t seen_capacity;

  int64_t *candidate; /* [n_candidates] item rows, ascending; NULL: every row is its own position */
  int64_t n_candidates;

  /* The panel: candidates panel_begin .. panel_begin + panel_n - 1. */
  float *y;           /* [panel_capacity][k] */
  float *item_offset; /* [panel_capacity] */
  int64_t *counts;    /* [panel_capacity] scratch */
  int64_t panel_capacity, panel_begin, panel_n;

  int n_threads, n_lanes;
  gmf_topn *heaps; /* [n_lanes][n] */
  float *scores;   /* [n_threads][BLOCK_USERS][STRIP_ITEMS] scratch */
} job;

static void job_free(job *j)
{
  for (int64_t h = 0; j->heaps != NULL && h < j->n_lanes * j->n; h++) gmf_topn_destroy(&j->heaps[h]);
  void *const arrays[] = {j->index,     j->row, j->x,           j->offset, j->seen_begin, j->seen,
                          j->candidate, j->y,   j->item_offset, j->counts, j->heaps,      j->scores};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

/* ---- candidates -------------------------------------------------------------------------------------------------- */

/* Sets (or clears) the bits of rows. -1 is an unknown id. */
static gmf_status mark_rows(const gmf_model *model, const int64_t *rows, int64_t n, bool set, uint64_t *bits,
                            gmf_error *err)
{
  for (int64_t j = 0; j < n; j++) {
    int64_t row = rows[j];
    if (row < -1 || row >= model->info.n_items)
      return gmf_fail(err, GMF_ERR_USAGE, "%s: there is no item row %" PRId64, model->info.path, row);
    uint64_t bit = (uint64_t)1 << (row & 63);
    if (row >= 0 && set) bits[row / 64] |= bit;
    if (row >= 0 && !set) bits[row / 64] &= ~bit;
  }
  return GMF_OK;
}

/* The rows whose bits are set. */
static gmf_status list_rows(job *j, const uint64_t *bits, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_items = j->model->info.n_items, n = 0;
  for (int64_t row = 0; row < n_items; row++) n += (int64_t)(bits[row / 64] >> (row & 63) & 1);
  GMF_TRY(GMF_NEW(j->candidate, n, err));
  j->n_candidates = 0;
  for (int64_t row = 0; row < n_items; row++)
    if (bits[row / 64] >> (row & 63) & 1) j->candidate[j->n_candidates++] = row;
cleanup:
  return status;
}

static gmf_status make_candidates(job *j, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_recommend_options *o = j->options;
  uint64_t *bits = NULL;
  int64_t n_items = j->model->info.n_items, n_words = n_items / 64 + 1;

  j->n_candidates = n_items;
  if (o->allow == NULL && (o->deny == NULL || o->n_deny == 0)) return GMF_OK;
  GMF_TRY(GMF_NEW(bits, n_words, err));
  memset(bits, o->allow == NULL ? 0xff : 0, sizeof *bits * (size_t)n_words);
  if (o->allow != NULL) GMF_TRY(mark_rows(j->model, o->allow, o->n_allow, true, bits, err));
  if (o->deny != NULL) GMF_TRY(mark_rows(j->model, o->deny, o->n_deny, false, bits, err));
  GMF_TRY(list_rows(j, bits, err));
cleanup:
  gmf_free(bits);
  return status;
}

static int64_t item_row(const job *j, int64_t position)
{
  return j->candidate != NULL ? j->candidate[position] : position;
}

/* The position of an item row among the candidates, or -1. */
static int64_t candidate_position(const job *j, int64_t row)
{
  if (j->candidate == NULL) return row;
  int64_t low = 0, high = j->n_candidates;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (j->candidate[middle] < row)
      low = middle + 1;
    else
      high = middle;
  }
  return low < j->n_candidates && j->candidate[low] == row ? low : -1;
}

/* ---- users ------------------------------------------------------------------------------------------------------- */

/* Users r .. r + n - 1 of the job follow each other in the file: n. */
static int64_t run_length(const job *j, int64_t r)
{
  int64_t n = 1;
  while (r + n < j->n && j->row[r + n] == j->row[r] + n) n++;
  return n;
}

/* Known rows of the call; the others get their state and an empty list at once. */
static gmf_status choose_users(job *j, int64_t n_users, const int64_t *users, const gmf_recommendations *out,
                               gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW(j->index, n_users, err));
  GMF_TRY(GMF_NEW(j->row, n_users, err));
  for (int64_t u = 0; u < n_users; u++) {
    out->counts[u] = 0;
    out->states[u] = users[u] < 0 ? GMF_ROW_UNKNOWN : GMF_ROW_KNOWN;
    if (users[u] < -1 || users[u] >= j->model->info.n_users)
      GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: there is no user row %" PRId64, j->model->info.path, users[u]));
    if (users[u] < 0) continue;
    j->index[j->n] = u;
    j->row[j->n++] = users[u];
  }
cleanup:
  return status;
}

/* Reads the users' factors; cold users leave the job. */
static gmf_status read_users(job *j, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *counts = NULL, n_warm = 0;

  GMF_TRY(GMF_NEW(j->x, j->n * j->k, err));
  GMF_TRY(GMF_NEW(j->offset, j->n, err));
  GMF_TRY(GMF_NEW(counts, j->n, err));
  for (int64_t r = 0, run = 0; r < j->n; r += run) {
    run = run_length(j, r);
    GMF_TRY(gmf_user_rows(j->model, j->row[r], run, j->x + r * j->k, j->offset + r, counts, err));
  }
  for (int64_t r = 0; r < j->n; r++) {
    if (isnan(j->offset[r])) {
      out->states[j->index[r]] = GMF_ROW_COLD;
      continue;
    }
    memmove(j->x + n_warm * j->k, j->x + r * j->k, sizeof *j->x * (size_t)j->k);
    j->offset[n_warm] = j->offset[r];
    j->index[n_warm] = j->index[r];
    j->row[n_warm++] = j->row[r];
  }
  j->n = n_warm;
cleanup:
  gmf_free(counts);
  return status;
}

/* Appends the seen items of users r .. r + n - 1 as positions among the candidates. */
static gmf_status append_seen(job *j, int64_t r, int64_t n, const gmf_seen *seen, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t used = j->seen_begin[r];
  GMF_TRY(GMF_RESERVE(j->seen, j->seen_capacity, used + seen->indptr[n], err));
  for (int64_t u = 0; u < n; u++) {
    for (int64_t s = seen->indptr[u]; s < seen->indptr[u + 1]; s++) {
      int64_t position = candidate_position(j, seen->items[s]);
      if (position >= 0) j->seen[used++] = position;
    }
    j->seen_begin[r + u + 1] = used;
  }
cleanup:
  return status;
}

static gmf_status read_seen(job *j, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_seen seen = {0};

  GMF_TRY(GMF_NEW_ZERO(j->seen_begin, j->n + 1, err));
  if (j->options->include_seen || !j->model->info.has_seen) goto cleanup;
  for (int64_t r = 0, run = 0; r < j->n; r += run) {
    run = run_length(j, r);
    gmf_file_lock();
    status = gmf_model_file_seen(j->model->file, j->row[r], run, &seen, err);
    gmf_file_unlock();
    GMF_TRY(status);
    GMF_TRY(append_seen(j, r, run, &seen, err));
  }
cleanup:
  gmf_seen_free(&seen);
  return status;
}

/* ---- panels of items --------------------------------------------------------------------------------------------- */

/* Candidates from position `begin` whose rows lie close enough to be read in one go, at most `room` rows. */
static int64_t span_length(const job *j, int64_t begin, int64_t room)
{
  int64_t n = 1, first = item_row(j, begin);
  if (j->candidate == NULL) return gmf_min64(room, j->n_candidates - begin);
  while (begin + n < j->n_candidates && item_row(j, begin + n) - item_row(j, begin + n - 1) <= MAX_GAP &&
         item_row(j, begin + n) - first < room)
    n++;
  return n;
}

/* Drops the rows of a span that are no candidates; they stand at `at` in the panel. */
static void compact_span(job *j, int64_t at, int64_t begin, int64_t n)
{
  for (int64_t c = 0; c < n; c++) {
    int64_t from = at + item_row(j, begin + c) - item_row(j, begin), to = at + c;
    if (from == to) continue;
    memmove(j->y + to * j->k, j->y + from * j->k, sizeof *j->y * (size_t)j->k);
    j->item_offset[to] = j->item_offset[from];
  }
}

/* Fills the panel from candidate `begin` on. */
static gmf_status read_panel(job *j, int64_t begin, gmf_error *err)
{
  gmf_status status = GMF_OK;
  j->panel_begin = begin;
  j->panel_n = 0;
  while (j->panel_n < j->panel_capacity && begin < j->n_candidates) {
    int64_t at = j->panel_n, n = span_length(j, begin, j->panel_capacity - at);
    int64_t rows = item_row(j, begin + n - 1) - item_row(j, begin) + 1;
    GMF_TRY(gmf_item_rows(j->model, item_row(j, begin), rows, j->y + at * j->k, j->item_offset + at, j->counts, err));
    compact_span(j, at, begin, n);
    j->panel_n += n;
    begin += n;
  }
cleanup:
  return status;
}

/* Items [begin, end) of the panel against users [first, first + n), n <= BLOCK_USERS; scores is scratch. */
static void score_block(job *j, int lane, int64_t first, int64_t n, int64_t begin, int64_t end, float *scores)
{
  for (int64_t i = begin; i < end; i += STRIP_ITEMS) {
    int64_t n_items = gmf_min64(STRIP_ITEMS, end - i);
    gmf_scores(j->x + first * j->k, n, j->k, j->y + i * j->k, n_items, j->k, (int)j->k, scores, STRIP_ITEMS);
    for (int64_t u = 0; u < n; u++) {
      float *row = scores + u * STRIP_ITEMS, offset = j->offset[first + u];
      const float *item_offset = j->item_offset + i;
#pragma omp simd
      for (int64_t c = 0; c < n_items; c++) row[c] = gmf_score_of(row[c], offset, item_offset[c]);
      const int64_t *seen = j->seen_begin + first + u;
      gmf_topn_push_panel(&j->heaps[lane * j->n + first + u], row, j->panel_begin + i, n_items,
                          j->seen != NULL ? j->seen + seen[0] : NULL, seen[1] - seen[0]);
    }
  }
}

/* Tasks are (block of users, lane); no two touch the same heap. */
static void score_panel(job *j)
{
  int64_t n_blocks = (j->n + BLOCK_USERS - 1) / BLOCK_USERS;
#pragma omp parallel for schedule(dynamic, 1) num_threads(j->n_threads)
  for (int64_t task = 0; task < n_blocks * j->n_lanes; task++) {
    int lane = (int)(task % j->n_lanes);
    int64_t first = task / j->n_lanes * BLOCK_USERS;
    float *scores = j->scores + (int64_t)omp_get_thread_num() * BLOCK_USERS * STRIP_ITEMS;
    score_block(j, lane, first, gmf_min64(BLOCK_USERS, j->n - first), gmf_slice_begin(j->panel_n, j->n_lanes, lane),
                gmf_slice_begin(j->panel_n, j->n_lanes, lane + 1), scores);
  }
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

static gmf_status make_workspace(job *j, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t capacity = gmf_min64(j->options->top_n, j->n_candidates);
  int64_t n_blocks = (j->n + BLOCK_USERS - 1) / BLOCK_USERS;

  j->n_threads = j->options->n_threads > 0 ? j->options->n_threads : omp_get_max_threads();
  j->n_lanes = n_blocks < j->n_threads ? j->n_threads : 1;
  j->panel_capacity = gmf_min64(gmf_max64(PANEL_FLOATS / j->k, PANEL_MIN_ITEMS), gmf_max64(j->n_candidates, 1));
  /* Sparse candidates are read with the rows between them. */
  if (j->candidate != NULL) j->panel_capacity = gmf_max64(j->panel_capacity, PANEL_MIN_ITEMS);
  GMF_TRY(GMF_NEW(j->y, j->panel_capacity * j->k, err));
  GMF_TRY(GMF_NEW(j->item_offset, j->panel_capacity, err));
  GMF_TRY(GMF_NEW(j->counts, j->panel_capacity, err));
  GMF_TRY(GMF_NEW(j->scores, (int64_t)j->n_threads * BLOCK_USERS * STRIP_ITEMS, err));
  GMF_TRY(GMF_NEW_ZERO(j->heaps, j->n_lanes * j->n, err));
  for (int64_t h = 0; h < j->n_lanes * j->n; h++) GMF_TRY(gmf_topn_create(&j->heaps[h], capacity, err));
cleanup:
  return status;
}

/* Merges the lanes of each user and writes the lists out. */
static void finish(job *j, const gmf_recommendations *out)
{
  int64_t top_n = j->options->top_n;
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
  for (int64_t r = 0; r < j->n; r++) {
    gmf_topn *best = &j->heaps[r];
    for (int lane = 1; lane < j->n_lanes; lane++) {
      const gmf_topn *other = &j->heaps[lane * j->n + r];
      for (int64_t e = 0; e < other->n; e++) gmf_topn_push(best, other->score[e], other->row[e]);
    }
    gmf_topn_sort(best);
    int64_t u = j->index[r];
    out->counts[u] = best->n;
    for (int64_t e = 0; e < best->n; e++) {
      out->items[u * top_n + e] = item_row(j, best->row[e]);
      out->scores[u * top_n + e] = best->score[e];
    }
  }
}

gmf_status gmf_recommend(gmf_model *model, const gmf_recommend_options *options, int64_t n_users, const int64_t *users,
                         const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  job j = {.model = model, .options = options, .k = model->info.n_factors};

  if (options->top_n < 1) GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "top_n is %" PRId64 ", not 1 or more", options->top_n));
  GMF_TRY(choose_users(&j, n_users, users, out, err));
  GMF_TRY(make_candidates(&j, err));
  GMF_TRY(read_users(&j, out, err));
  GMF_TRY(read_seen(&j, err));
  if (j.n == 0) goto cleanup;
  GMF_TRY(make_workspace(&j, err));
  for (int64_t begin = 0; begin < j.n_candidates; begin += j.panel_n) {
    GMF_TRY(read_panel(&j, begin, err));
    score_panel(&j);
  }
  finish(&j, out);
cleanup:
  job_free(&j);
  return status;
}
