#include "app/held_out.h"

#include <string.h>

#include "algo/ranking.h"
#include "app/user_batch.h"
#include "base/memory.h"
#include "base/narrow.h"

enum { COUNT_USERS = 256 /* whose ratings are read at once to be counted */ };

/* ---- matching ---------------------------------------------------------------------------------------------------- */

/* rows [n]: where the source has ids [begin, begin + n) of its side of a file. */
static gmf_status match_side(const gmf_id_source *source, const gmf_dataset *file, int64_t begin, int64_t n,
                             int64_t **rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_ids ids = {0};
  GMF_TRY(GMF_NEW(*rows, n, err));
  GMF_TRY(gmf_dataset_read_ids(file, source->side, begin, n, &ids, err));
  GMF_TRY(gmf_match_ids(source, &ids, *rows, err));
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

/* Sets n_fold of the users who have a fold_row. */
static gmf_status count_fold_ins(const gmf_held_out *h, gmf_test_user *users, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *rows = NULL, *known = NULL, n_rows = 0;
  GMF_TRY(GMF_NEW(rows, n, err));
  GMF_TRY(GMF_NEW(known, n, err));
  for (int64_t j = 0; j < n; j++)
    if (users[j].fold_row >= 0) rows[n_rows++] = users[j].fold_row;
  GMF_TRY(count_known(h->fold_in, h->fold_item_rows, rows, n_rows, known, err));
  for (int64_t j = 0, at = 0; j < n; j++)
    if (users[j].fold_row >= 0) users[j].n_fold = known[at++];
cleanup:
  gmf_free(rows);
  gmf_free(known);
  return status;
}

/* My test users with ratings into h->users, wherever the model and the fold-in file have them. */
static void list_users(gmf_held_out *h, const int64_t *user_rows, const int64_t *fold_rows)
{
  int64_t begin = h->test->row_begin, n = h->test->row_end - begin;
  for (int64_t u = 0; u < n; u++) {
    int64_t degree = h->test->indptr[u + 1] - h->test->indptr[u];
    if (degree == 0) continue;
    h->counts.n_cold_ratings += degree; /* until it turns out that they are not */
    h->users[h->n_users++] =
        (gmf_test_user){.test_row = begin + u, .row = user_rows[u], .fold_row = fold_rows != NULL ? fold_rows[u] : -1};
  }
}

/* Keeps those of my test users who can be scored, and counts the others. */
static gmf_status choose_users(gmf_held_out *h, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = h->n_users, *rows = NULL, *known = NULL;
  GMF_TRY(GMF_NEW(rows, n, err));
  GMF_TRY(GMF_NEW(known, n, err));
  for (int64_t j = 0; j < n; j++) rows[j] = h->users[j].test_row;
  GMF_TRY(count_known(h->test, h->item_rows, rows, n, known, err));
  if (h->fold_in != NULL) GMF_TRY(count_fold_ins(h, h->users, n, err));
  h->n_users = 0;
  for (int64_t j = 0; j < n; j++) {
    const gmf_test_user u = h->users[j];
    if (u.fold_row >= 0 && u.n_fold == 0) {
      h->counts.n_empty_fold_ins++;
    } else if (u.fold_row < 0 && u.row < 0) {
      h->counts.n_cold_users++;
    } else if (known[j] > 0) {
      h->counts.n_cold_ratings -= known[j];
      h->counts.n_folded_in += u.fold_row >= 0;
      h->users[h->n_users++] = u;
    }
  }
cleanup:
  gmf_free(rows);
  gmf_free(known);
  return status;
}

/* rows [n]: where the fold-in file has ratings of my test users. */
static gmf_status match_fold_in(gmf_held_out *h, int64_t n, int64_t **rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_id_source users;
  GMF_TRY(gmf_dataset_id_source(h->fold_in, GMF_USERS, &users, err));
  GMF_TRY(match_side(&users, h->test, h->test->row_begin, n, rows, err));
  GMF_TRY(match_side(&h->subject->ids[GMF_ITEMS], h->fold_in, 0, h->fold_in->n[GMF_ITEMS], &h->fold_item_rows, err));
cleanup:
  return status;
}

static gmf_status match_local(gmf_held_out *h, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *user_rows = NULL, *fold_rows = NULL, n = h->test->row_end - h->test->row_begin;
  const gmf_id_source *ids = h->subject->ids;
  GMF_TRY(match_side(&ids[GMF_USERS], h->test, h->test->row_begin, n, &user_rows, err));
  GMF_TRY(match_side(&ids[GMF_ITEMS], h->test, 0, h->test->n[GMF_ITEMS], &h->item_rows, err));
  if (h->fold_in != NULL) GMF_TRY(match_fold_in(h, n, &fold_rows, err));
  GMF_TRY(GMF_NEW(h->users, n, err));
  list_users(h, user_rows, fold_rows);
  GMF_TRY(choose_users(h, err));
cleanup:
  gmf_free(user_rows);
  gmf_free(fold_rows);
  return status;
}

/* Collective. Sums what each rank has counted. */
static void sum_counts(gmf_held_out *h)
{
  gmf_held_out_counts *c = &h->counts;
  int64_t sums[] = {c->n_cold_users, c->n_folded_in, c->n_empty_fold_ins, c->n_cold_ratings};
  gmf_sum_i64(h->grid, sums, 4);
  *c = (gmf_held_out_counts){h->test->nnz, sums[0], sums[1], sums[2], sums[3]};
}

gmf_status gmf_held_out_open(const gmf_grid *grid, const gmf_subject *subject, const char *test, const char *fold_in,
                             gmf_held_out **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_held_out *h = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(h, 1, err), err));
  h->grid = grid;
  h->subject = subject;
  GMF_TRY(gmf_dataset_open(grid, test, &h->test, err));
  if (fold_in[0] != '\0') GMF_TRY(gmf_dataset_open(grid, fold_in, &h->fold_in, err));
  GMF_TRY(gmf_agree(grid, match_local(h, err), err));
  sum_counts(h);
  if (h->counts.n_test > 0 && h->counts.n_cold_ratings == h->counts.n_test)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                     "%s: none of its ratings has a user and an item that %s has training ratings of%s; are both made "
                     "from the same dataset?",
                     test, subject->name, fold_in[0] != '\0' ? ", or a user to fold in" : ""));
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
  gmf_dataset_close(&h->fold_in);
  gmf_free(h->item_rows);
  gmf_free(h->fold_item_rows);
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
