/* Ids with too few ratings leave the dataset. */
#include "base/memory.h"
#include "base/narrow.h"
#include "io/import_sort.h"
#include "io/key_sort.h"

/* Ratings of my rows whose new item is -1 go; the others get it. index [ratings]: into new_items. */
static void drop_ratings(gmf_import_rows *rows, const uint32_t *index, const int64_t *new_items)
{
  int64_t to = 0, begin = 0;
  for (int64_t row = 0; row < rows->n_rows; row++) {
    int64_t end = rows->indptr[row + 1];
    for (int64_t j = begin; j < end; j++) {
      int64_t item = new_items[index[j]];
      if (item < 0) continue;
      rows->items[to] = item;
      rows->values[to] = rows->values[j];
      if (rows->times != NULL) rows->times[to] = rows->times[j];
      to++;
    }
    begin = end;
    rows->indptr[row + 1] = to;
  }
}

/* The items that my ratings meet: ascending in rows [*n], with their counts; rank_of[i]: where item i of set stands. */
static gmf_status sorted_items(const gmf_id_set *set, int64_t **rows, int64_t **counts, int64_t **rank_of,
                               gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_keyed *pairs = NULL, *scratch = NULL;
  GMF_TRY(GMF_NEW(pairs, set->n, err));
  GMF_TRY(GMF_NEW(scratch, set->n, err));
  GMF_TRY(GMF_NEW(*rows, set->n, err));
  GMF_TRY(GMF_NEW(*counts, set->n, err));
  GMF_TRY(GMF_NEW(*rank_of, set->n, err));
  for (int64_t i = 0; i < set->n; i++) pairs[i] = (gmf_keyed){(uint64_t)set->keys[i].value, i};
  gmf_sort_keyed(pairs, scratch, set->n);
  for (int64_t k = 0; k < set->n; k++) {
    (*rows)[k] = (int64_t)pairs[k].key;
    (*counts)[k] = set->counts[pairs[k].value];
    (*rank_of)[pairs[k].value] = k;
  }
cleanup:
  gmf_free(pairs);
  gmf_free(scratch);
  return status;
}

/* Collective. Keeps items with at least `minimum` ratings. */
static gmf_status keep_items(const gmf_grid *grid, int64_t minimum, gmf_id_space *space, gmf_import_rows *rows,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_id_set set = {0};
  uint32_t *index = NULL;
  int64_t *met = NULL, *counts = NULL, *rank_of = NULL, *new_rows = NULL, *by_index = NULL;
  int64_t n = rows->indptr[rows->n_rows];

  status = GMF_NEW(index, n, err);
  if (status == GMF_OK) status = gmf_id_set_intern_integers(&set, rows->items, n, index, err);
  if (status == GMF_OK) status = sorted_items(&set, &met, &counts, &rank_of, err);
  if (status == GMF_OK) status = GMF_NEW(new_rows, set.n, err);
  if (status == GMF_OK) status = GMF_NEW(by_index, set.n, err);
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_TRY(gmf_id_space_keep(grid, space, met, counts, set.n, minimum, new_rows, err));
  for (int64_t i = 0; i < set.n; i++) by_index[i] = new_rows[rank_of[i]];
  drop_ratings(rows, index, by_index);
cleanup:
  gmf_id_set_free(&set);
  gmf_free(index);
  gmf_free(met);
  gmf_free(counts);
  gmf_free(rank_of);
  gmf_free(new_rows);
  gmf_free(by_index);
  return status;
}

/* Moves the ratings and ends of the rows that stay, new_rows[row] >= 0, together. */
static void drop_rows(gmf_import_rows *rows, const int64_t *new_rows)
{
  int64_t n = 0, to = 0, begin = 0;
  for (int64_t row = 0; row < rows->n_rows; row++) {
    int64_t end = rows->indptr[row + 1];
    for (int64_t j = begin; new_rows[row] >= 0 && j < end; j++, to++) {
      rows->items[to] = rows->items[j];
      rows->values[to] = rows->values[j];
      if (rows->times != NULL) rows->times[to] = rows->times[j];
    }
    begin = end;
    if (new_rows[row] >= 0) rows->indptr[++n] = to;
  }
  rows->n_rows = n;
}

/* Collective. Keeps users with at least `minimum` ratings. */
static gmf_status keep_users(const gmf_grid *grid, int64_t minimum, gmf_id_space *space, gmf_import_rows *rows,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *row = NULL, *counts = NULL, *new_rows = NULL;
  status = GMF_NEW(row, rows->n_rows, err);
  if (status == GMF_OK) status = GMF_NEW(counts, rows->n_rows, err);
  if (status == GMF_OK) status = GMF_NEW(new_rows, rows->n_rows, err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int64_t i = 0; i < rows->n_rows; i++) {
    row[i] = rows->row_begin + i;
    counts[i] = rows->indptr[i + 1] - rows->indptr[i];
  }
  GMF_TRY(gmf_id_space_keep(grid, space, row, counts, rows->n_rows, minimum, new_rows, err));
  drop_rows(rows, new_rows);
  rows->row_begin = gmf_prefix_i64(grid, rows->n_rows);
cleanup:
  gmf_free(row);
  gmf_free(counts);
  gmf_free(new_rows);
  return status;
}

gmf_status gmf_import_filter(const gmf_grid *grid, const gmf_import_options *options, gmf_id_space space[GMF_N_SIDES],
                             gmf_import_rows *rows, gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t min_items = gmf_max64(1, options->min_item_count), min_users = gmf_max64(1, options->min_user_count);
  int64_t n[2] = {rows->indptr[rows->n_rows], 0};
  if (report->n_dropped_by_rating == 0 && min_items == 1 && min_users == 1) return GMF_OK;
  GMF_TRY(keep_items(grid, min_items, &space[GMF_ITEMS], rows, err));
  GMF_TRY(keep_users(grid, min_users, &space[GMF_USERS], rows, err));
  if (min_users > 1) GMF_TRY(keep_items(grid, 1, &space[GMF_ITEMS], rows, err));
  n[1] = rows->indptr[rows->n_rows];
  gmf_sum_i64(grid, n, 2);
  report->n_dropped_by_count = n[0] - n[1];
cleanup:
  return status;
}
