#include "io/rating_filter.h"

#include "base/key_sort.h"
#include "base/memory.h"

/* The items that my ratings meet: index[j] is that of rating j, in the order of first meeting. */
typedef struct items_met {
  gmf_id_set set;
  uint32_t *index;  /* owned [my ratings] */
  int64_t *rows;    /* owned [set.n]: ascending rows of the item space */
  int64_t *counts;  /* owned [set.n]: ratings that count, by ascending row */
  int64_t *rank_of; /* owned [set.n]: where item i of the set stands in rows */
} items_met;

static void items_met_free(items_met *m)
{
  gmf_id_set_free(&m->set);
  gmf_free(m->index);
  gmf_free(m->rows);
  gmf_free(m->counts);
  gmf_free(m->rank_of);
}

static gmf_status sort_items(items_met *m, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_keyed *pairs = NULL, *scratch = NULL;
  GMF_TRY(GMF_NEW(pairs, m->set.n, err));
  GMF_TRY(GMF_NEW(scratch, m->set.n, err));
  for (int64_t i = 0; i < m->set.n; i++) pairs[i] = (gmf_keyed){(uint64_t)m->set.keys[i].value, i};
  gmf_sort_keyed(pairs, scratch, m->set.n);
  for (int64_t k = 0; k < m->set.n; k++) {
    m->rows[k] = (int64_t)pairs[k].key;
    m->counts[k] = m->set.counts[pairs[k].value];
    m->rank_of[pairs[k].value] = k;
  }
cleanup:
  gmf_free(pairs);
  gmf_free(scratch);
  return status;
}

/* Local. */
static gmf_status meet_items(const gmf_rating_rows *rows, const bool *counted, items_met *m, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = rows->indptr[rows->n_rows];
  GMF_TRY(GMF_NEW(m->index, n, err));
  GMF_TRY(gmf_id_set_intern_integers(&m->set, rows->items, n, m->index, err));
  if (counted != NULL) {
    for (int64_t i = 0; i < m->set.n; i++) m->set.counts[i] = 0;
    for (int64_t j = 0; j < n; j++) m->set.counts[m->index[j]] += counted[j];
  }
  GMF_TRY(GMF_NEW(m->rows, m->set.n, err));
  GMF_TRY(GMF_NEW(m->counts, m->set.n, err));
  GMF_TRY(GMF_NEW(m->rank_of, m->set.n, err));
  GMF_TRY(sort_items(m, err));
cleanup:
  return status;
}

gmf_status gmf_keep_items(const gmf_grid *grid, int64_t minimum, const bool *counted, gmf_id_space *space,
                          gmf_rating_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  items_met met = {.index = NULL};
  int64_t *new_rows = NULL, n = rows->indptr[rows->n_rows];

  status = meet_items(rows, counted, &met, err);
  if (status == GMF_OK) status = GMF_NEW(new_rows, met.set.n, err);
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_TRY(gmf_id_space_keep(grid, space, met.rows, met.counts, met.set.n, minimum, new_rows, err));
  for (int64_t i = 0; i < met.set.n; i++) met.rank_of[i] = new_rows[met.rank_of[i]];
  for (int64_t j = 0; j < n; j++) rows->items[j] = met.rank_of[met.index[j]];
  gmf_rating_rows_drop_ratings(rows);
cleanup:
  items_met_free(&met);
  gmf_free(new_rows);
  return status;
}

gmf_status gmf_keep_users(const gmf_grid *grid, int64_t minimum, const int64_t *counts, gmf_id_space *space,
                          gmf_rating_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *row = NULL, *degrees = NULL, *new_rows = NULL;
  status = GMF_NEW(row, rows->n_rows, err);
  if (status == GMF_OK) status = GMF_NEW(degrees, rows->n_rows, err);
  if (status == GMF_OK) status = GMF_NEW(new_rows, rows->n_rows, err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int64_t i = 0; i < rows->n_rows; i++) {
    row[i] = rows->row_begin + i;
    degrees[i] = counts != NULL ? counts[i] : rows->indptr[i + 1] - rows->indptr[i];
  }
  GMF_TRY(gmf_id_space_keep(grid, space, row, degrees, rows->n_rows, minimum, new_rows, err));
  gmf_rating_rows_drop_users(rows, new_rows);
  rows->row_begin = gmf_prefix_i64(grid, rows->n_rows);
cleanup:
  gmf_free(row);
  gmf_free(degrees);
  gmf_free(new_rows);
  return status;
}
