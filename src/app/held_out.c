#include "app/held_out.h"

#include <string.h>

#include "algo/ranking.h"
#include "app/user_batch.h"
#include "base/memory.h"
#include "base/narrow.h"

enum { COUNT_USERS = 256 /* whose ratings are read at once to be counted */ };

/* ---- matching ---------------------------------------------------------------------------------------------------- */

/* rows [n]: where the subject has ids [begin, begin + n) of one side of a file. */
static gmf_status match_side(const gmf_subject *subject, const gmf_dataset *file, gmf_side side, int64_t begin,
                             int64_t n, int64_t **rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_ids ids = {0};
  GMF_TRY(GMF_NEW(*rows, n, err));
  GMF_TRY(gmf_dataset_read_ids(file, side, begin, n, &ids, err));
  GMF_TRY(gmf_match_ids(&subject->ids[side], &ids, *rows, err));
cleanup:
  gmf_ids_free(&ids);
  return status;
}

/* Sets the ratings of each user of a file that have a known item. */
static gmf_status count_known(const gmf_dataset *file, const int64_t *item_rows, const int64_t *users, int64_t n,
                              int64_t *known, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_user_ratings ratings = {0};
  for (int64_t first = 0; first < n; first += COUNT_USERS) {
    int64_t n_here = gmf_min64(COUNT_USERS, n - first);
    GMF_TRY(gmf_read_user_ratings(file, users + first, n_here, &ratings, err));
    for (int64_t j = 0; j < n_here; j++) {
      known[first + j] = 0;
      for (int64_t r = ratings.begin[j]; r < ratings.begin[j + 1]; r++)
        known[first + j] += item_rows[ratings.items[r]] >= 0;
    }
  }
cleanup:
  gmf_user_ratings_free(&ratings);
  return status;
}

/* Keeps those of my test users who can be scored, and counts the others. user_rows: where the model has each. */
static gmf_status choose_users(gmf_held_out *h, const int64_t *user_rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t begin = h->test->row_begin, n = h->test->row_end - begin, n_warm = 0;
  int64_t *warm = NULL, *known = NULL;
  GMF_TRY(GMF_NEW(warm, n, err));
  GMF_TRY(GMF_NEW(known, n, err));
  GMF_TRY(GMF_NEW(h->users, n, err));
  for (int64_t u = 0; u < n; u++) {
    int64_t degree = h->test->indptr[u + 1] - h->test->indptr[u];
    h->counts.n_cold_ratings += degree;
    if (degree == 0) continue;
    if (user_rows[u] >= 0)
      warm[n_warm++] = begin + u;
    else
      h->counts.n_cold_users++;
  }
  GMF_TRY(count_known(h->test, h->item_rows, warm, n_warm, known, err));
  for (int64_t j = 0; j < n_warm; j++) {
    h->counts.n_cold_ratings -= known[j];
    if (known[j] > 0) h->users[h->n_users++] = (gmf_test_user){warm[j], user_rows[warm[j] - begin]};
  }
cleanup:
  gmf_free(warm);
  gmf_free(known);
  return status;
}

static gmf_status match_local(gmf_held_out *h, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *user_rows = NULL, n = h->test->row_end - h->test->row_begin;
  GMF_TRY(match_side(h->subject, h->test, GMF_USERS, h->test->row_begin, n, &user_rows, err));
  GMF_TRY(match_side(h->subject, h->test, GMF_ITEMS, 0, h->test->n[GMF_ITEMS], &h->item_rows, err));
  GMF_TRY(choose_users(h, user_rows, err));
cleanup:
  gmf_free(user_rows);
  return status;
}

gmf_status gmf_held_out_open(const gmf_grid *grid, const gmf_subject *subject, const char *test, gmf_held_out **out,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_held_out *h = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(h, 1, err), err));
  h->grid = grid;
  h->subject = subject;
  GMF_TRY(gmf_dataset_open(grid, test, &h->test, err));
  GMF_TRY(gmf_agree(grid, match_local(h, err), err));
  gmf_sum_i64(grid, &h->counts.n_cold_users, 1);
  gmf_sum_i64(grid, &h->counts.n_cold_ratings, 1);
  h->counts.n_test = h->test->nnz;
  if (h->counts.n_test > 0 && h->counts.n_cold_ratings == h->counts.n_test)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                     "%s: none of its ratings has a user and an item that %s has training ratings of; are both made "
                     "from the same dataset?",
                     test, subject->name));
  *out = h;
  h = NULL;
cleanup:
  gmf_held_out_close(&h);
  return status;
}

void gmf_held_out_close(gmf_held_out **held_out)
{
  gmf_held_out *h = *held_out;
  if (h == NULL) return;
  gmf_dataset_close(&h->test);
  gmf_free(h->item_rows);
  gmf_free(h->users);
  gmf_free(h);
  *held_out = NULL;
}

/* ---- scoring ----------------------------------------------------------------------------------------------------- */

gmf_status gmf_held_out_score(const gmf_held_out *h, gmf_metrics *metrics, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_subject *s = h->subject;
  gmf_ranker *ranker = NULL;
  gmf_batch_loader *loader = NULL;
  gmf_phase before = gmf_trace_phase(h->grid->trace, GMF_PHASE_SCORE);

  GMF_TRY(gmf_ranker_create(h->grid, &s->rows, s->trained, s->mean, metrics, &ranker, err));
  GMF_TRY(gmf_batch_loader_create(h, gmf_ranker_batch_users(ranker), &loader, err));
  for (;;) {
    gmf_user_batch batch;
    bool more = false;
    GMF_TRY(gmf_batch_load(loader, &batch, &more, err));
    if (!more) break;
    GMF_TRY(gmf_ranker_add(ranker, &batch, err));
  }
  gmf_ranker_finish(ranker);
cleanup:
  gmf_batch_loader_destroy(&loader);
  gmf_ranker_destroy(&ranker);
  gmf_trace_phase(h->grid->trace, before);
  return status;
}
