/*
 * G = A'A for sparse A, without summing dense matrices over ranks: process (x, y) of the BLACS grid gets all ratings of
 * the items of its rows and of the items of its columns, and makes its own elements of G,
 *
 *     G_ij = sum_u a_ui a_uj        column j by column j: for each rating (u, j), the ratings (u, i) of the same user
 *
 * so nnz (P_r + P_c) / P ratings come to a rank, and no word of G travels.
 */
#include "linalg/gram.h"

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"

/* A rating of a row of my part, or of a column. */
typedef struct gmf_gram_rating {
  int32_t place; /* of a row: local; of a column: the user */
  float value;
} gmf_gram_rating;

/* Collective. Sends each rating to all processes of its item's process row (by_rows) or process column. */
static gmf_status send_entries(const gmf_grid *grid, const gmf_gram_problem *p, const gmf_block_cyclic *l, bool by_rows,
                               gmf_entry **received, int64_t *n_received, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_cycle c = by_rows ? l->rows : l->columns;
  int n_copies = by_rows ? l->columns.n_processes : l->rows.n_processes, columns = l->columns.n_processes;
  int64_t *counts = NULL, *next = NULL;
  gmf_entry *send = NULL;
  local = GMF_NEW_ZERO(counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(next, grid->size + 1, err);
  if (local == GMF_OK) local = GMF_NEW(send, p->n_entries * n_copies, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int pass = 0; pass < 2; pass++) {
    for (int64_t j = 0; j < p->n_entries; j++)
      for (int copy = 0; copy < n_copies; copy++) {
        int process = gmf_cycle_owner(c, p->entries[j].item);
        int rank = by_rows ? process * columns + copy : copy * columns + process;
        if (pass == 0)
          counts[rank]++;
        else
          send[next[rank]++] = p->entries[j];
      }
    for (int r = 0; pass == 0 && r < grid->size; r++) next[r + 1] = next[r] + counts[r];
  }
  GMF_TRY(gmf_exchange_new(grid, sizeof *send, send, counts, (void **)received, NULL, n_received, err));
cleanup:
  gmf_free(send);
  gmf_free(next);
  gmf_free(counts);
  return status;
}

/* Local. Where each key's ratings begin: begin [n_keys + 1], one further than in the end, as filling moves it there;
 * keys are users, or local columns. */
static gmf_status count_keys(const gmf_entry *entries, int64_t n, const gmf_cycle *by_column, int64_t n_keys,
                             int64_t **begin, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(*begin, n_keys + 2, err));
  int64_t *next = *begin + 1;
  for (int64_t j = 0; j < n; j++)
    next[(by_column != NULL ? gmf_cycle_local(*by_column, entries[j].item) : entries[j].user) + 1]++;
  for (int64_t key = 0; key < n_keys; key++) next[key + 1] += next[key];
cleanup:
  return status;
}

/* Local. The ratings of my rows by user; what came of one user stays in its order. */
static gmf_status sort_rows(const gmf_block_cyclic *l, const gmf_entry *entries, int64_t n, int64_t n_users,
                            gmf_gram_ratings *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(count_keys(entries, n, NULL, n_users, &out->user_begin, err));
  GMF_TRY(GMF_NEW(out->of_rows, n, err));
  for (int64_t j = 0; j < n; j++)
    out->of_rows[out->user_begin[entries[j].user + 1]++] =
        (gmf_gram_rating){gmf_cycle_local(l->rows, entries[j].item), entries[j].value};
cleanup:
  return status;
}

/* Local. The ratings of my columns by column. */
static gmf_status sort_columns(const gmf_block_cyclic *l, const gmf_entry *entries, int64_t n, gmf_gram_ratings *out,
                               gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(count_keys(entries, n, &l->columns, l->columns.n_mine, &out->column_begin, err));
  GMF_TRY(GMF_NEW(out->of_columns, n, err));
  for (int64_t j = 0; j < n; j++)
    out->of_columns[out->column_begin[gmf_cycle_local(l->columns, entries[j].item) + 1]++] =
        (gmf_gram_rating){gmf_i32(entries[j].user), entries[j].value};
cleanup:
  return status;
}

gmf_status gmf_gram_gather(const gmf_grid *grid, const gmf_block_cyclic *l, const gmf_gram_problem *p,
                           gmf_gram_ratings *out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_entry *received = NULL;
  int64_t n = 0;
  if (p->n_users > INT32_MAX)
    GMF_TRY(gmf_fail(err, GMF_ERR_PLAN, "a dense Gram matrix of the items is made of up to %d users", INT32_MAX));
  GMF_TRY(send_entries(grid, p, l, true, &received, &n, err));
  local = sort_rows(l, received, n, p->n_users, out, err);
  GMF_FREE(received);
  GMF_TRY(gmf_agree(grid, local, err));
  GMF_TRY(send_entries(grid, p, l, false, &received, &n, err));
  GMF_TRY(gmf_agree(grid, sort_columns(l, received, n, out, err), err));
cleanup:
  gmf_free(received);
  return status;
}

void gmf_gram_ratings_free(gmf_gram_ratings *r)
{
  gmf_free(r->of_rows);
  gmf_free(r->of_columns);
  gmf_free(r->user_begin);
  gmf_free(r->column_begin);
  *r = (gmf_gram_ratings){0};
}

/* What centring adds to rows from `first` on of local column j. */
static void center_column(const gmf_block_cyclic *l, const gmf_gram_centers *c, int j, int first, double *column)
{
  int gj = gmf_cycle_global(l->columns, j);
  for (int i = first; i < l->rows.n_mine; i++) {
    int gi = gmf_cycle_global(l->rows, i);
    column[i] += c->aa - c->p[gi] - c->p[gj] - c->q[gi] * c->c[gj] - c->c[gi] * c->q[gj] +
                 c->a1 * (c->c[gi] + c->c[gj]) + c->m * c->c[gi] * c->c[gj];
  }
}

void gmf_gram_column(const gmf_block_cyclic *l, const gmf_gram_ratings *r, const gmf_gram_centers *centers, int j,
                     int first, double *out)
{
  for (int i = first; i < l->rows.n_mine; i++) out[i] = 0;
  for (int64_t a = r->column_begin[j]; a < r->column_begin[j + 1]; a++) {
    double value = r->of_columns[a].value;
    int32_t user = r->of_columns[a].place;
    for (int64_t b = r->user_begin[user]; b < r->user_begin[user + 1]; b++)
      if (r->of_rows[b].place >= first) out[r->of_rows[b].place] += value * (double)r->of_rows[b].value;
  }
  if (centers != NULL) center_column(l, centers, j, first, out);
}
