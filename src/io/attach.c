/*
 * Merging two ascending lists of ids: the dataset's, of which each rank has a slice, and the table's, which all have. A
 * rank merges its slice with the ids of the table from its own first id up to that of the next rank. An id that only
 * the table has stands before some old row; the ascending list of these rows, on all ranks, says what becomes of every
 * row:  new row of r = r + how many of them are at most r.
 */
#include "io/attach.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

typedef struct merge {
  const gmf_feature_table *table; /* borrowed */
  gmf_ids old, merged;            /* owned: my slices */
  int64_t *from;                  /* owned [merged.n]: the row of the table, -1 for none */
  int64_t table_begin, table_end; /* rows of the table that are mine to merge */
  int64_t *added;                 /* owned [n_added]: see above */
  int64_t n_added, n_old, n_new;  /* of all ranks */
  gmf_side_features features;     /* owned: rows of my slice */
} merge;

static void merge_free(merge *m)
{
  gmf_ids_free(&m->old);
  gmf_ids_free(&m->merged);
  gmf_side_features_free(&m->features);
  gmf_free(m->from);
  gmf_free(m->added);
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

/* Ids of one kind, text of any two lengths. */
static int compare(const gmf_ids *a, int64_t i, const gmf_ids *b, int64_t j)
{
  if (a->type.kind == GMF_I8) {
    int64_t x = ((const int64_t *)a->values)[i], y = ((const int64_t *)b->values)[j];
    return (x > y) - (x < y);
  }
  const char *x = (const char *)a->values + i * a->type.size, *y = (const char *)b->values + j * b->type.size;
  size_t n_x = strnlen(x, (size_t)a->type.size), n_y = strnlen(y, (size_t)b->type.size);
  int order = memcmp(x, y, n_x < n_y ? n_x : n_y);
  return order != 0 ? order : (n_x > n_y) - (n_x < n_y);
}

static void copy_id(gmf_ids *to, int64_t i, const gmf_ids *from, int64_t j)
{
  memcpy((char *)to->values + i * to->type.size, (const char *)from->values + j * from->type.size,
         (size_t)from->type.size); /* `to` is all zero, and not shorter */
}

/* Local. The ids of my slice, in ascending order as they must be. */
static gmf_status read_slice(const gmf_grid *grid, const gmf_dataset *d, gmf_side side, gmf_ids *ids, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t begin = gmf_slice_begin(d->n[side], grid->size, grid->rank);
  int64_t end = gmf_slice_begin(d->n[side], grid->size, grid->rank + 1);
  GMF_TRY(gmf_dataset_read_ids(d, side, begin, end - begin, ids, err));
  for (int64_t j = 1; j < ids->n; j++)
    if (compare(ids, j - 1, ids, j) >= 0)
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                       "%s: the ids of %s do not ascend at row %" PRId64 ", as those that gridmf writes do; import the "
                       "ratings again",
                       d->path, gmf_side_name(side), begin + j));
cleanup:
  return status;
}

/* Collective. The part of the table that each rank merges: from its first id on. Ranks without ids take nothing, and
 * the first rank with some takes what is before them; where no rank has any, the first takes all. */
static gmf_status share_table(const gmf_grid *grid, merge *m, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t low = 0, high = m->table->ids.n, *first = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW(first, grid->size, err), err));
  while (low < high && m->old.n > 0) {
    int64_t middle = low + (high - low) / 2;
    if (compare(&m->table->ids, middle, &m->old, 0) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  gmf_all_gather_i64(grid, m->old.n > 0 ? low : -1, first);
  int64_t next = m->table->ids.n;
  bool found = false;
  for (int r = grid->size - 1; r >= 0; r--) {
    bool is_first = true;
    for (int before = 0; before < r && is_first; before++) is_first = first[before] < 0;
    int64_t begin = first[r] < 0 ? next : is_first ? 0 : first[r];
    if (r == 0 && !found && first[r] < 0) begin = 0;
    found = found || first[r] >= 0;
    if (r == grid->rank) {
      m->table_begin = begin;
      m->table_end = next;
    }
    next = begin;
  }
cleanup:
  gmf_free(first);
  return status;
}

/* Local. Merges what is mine. places [table's ids]: 1 + the old row before which an id is new, else untouched. */
static gmf_status merge_ids(merge *m, double *places, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_ids *table = &m->table->ids;
  int64_t room = m->old.n + m->table_end - m->table_begin, i = 0, j = m->table_begin;
  m->merged.type = m->old.type;
  if (m->old.type.kind == GMF_TEXT) m->merged.type.size = gmf_max64(m->old.type.size, table->type.size);
  m->merged.values = gmf_calloc(room, (size_t)m->merged.type.size);
  if (m->merged.values == NULL) GMF_TRY(gmf_out_of_memory(err, room, (size_t)m->merged.type.size, "ids"));
  GMF_TRY(GMF_NEW(m->from, room, err));
  while (i < m->old.n || j < m->table_end) {
    int order = i == m->old.n ? 1 : j == m->table_end ? -1 : compare(&m->old, i, table, j);
    int64_t at = m->merged.n++;
    m->from[at] = order >= 0 ? j : -1;
    if (order <= 0)
      copy_id(&m->merged, at, &m->old, i);
    else
      copy_id(&m->merged, at, table, j);
    if (order > 0) places[j] = (double)(m->old.begin + i + 1);
    i += order <= 0;
    j += order >= 0;
  }
cleanup:
  return status;
}

/* Local. The rows of the table in the order of the merged ids. */
static gmf_status merge_features(merge *m, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_side_features *from = &m->table->features;
  gmf_side_features *to = &m->features;
  int64_t nnz = 0;
  for (int64_t r = 0; r < m->merged.n; r++)
    if (m->from[r] >= 0) nnz += from->rows.indptr[m->from[r] + 1] - from->rows.indptr[m->from[r]];
  GMF_TRY(gmf_feature_rows_new(from->names.n, m->merged.begin, m->merged.n, nnz, &to->rows, err));
  for (int64_t r = 0, at = 0; r < m->merged.n; r++) {
    int64_t begin = m->from[r] >= 0 ? from->rows.indptr[m->from[r]] : 0;
    int64_t n = m->from[r] >= 0 ? from->rows.indptr[m->from[r] + 1] - begin : 0;
    memcpy(to->rows.columns + at, from->rows.columns + begin, (size_t)n * sizeof *to->rows.columns);
    memcpy(to->rows.values + at, from->rows.values + begin, (size_t)n * sizeof *to->rows.values);
    at += n;
    to->rows.indptr[r + 1] = at;
  }
  GMF_TRY(gmf_feature_names_new(from->names.n, from->names.size, &to->names, err));
  memcpy(to->names.text, from->names.text, (size_t)(from->names.n * from->names.size));
  memcpy(to->names.mean, from->names.mean, (size_t)from->names.n * sizeof *to->names.mean);
  memcpy(to->names.scale, from->names.scale, (size_t)from->names.n * sizeof *to->names.scale);
cleanup:
  return status;
}

/* Collective. */
static gmf_status run_merge(const gmf_grid *grid, const gmf_dataset *d, gmf_side side, merge *m,
                            gmf_attach_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  double *places = NULL;
  int64_t n_without = 0;

  GMF_TRY(gmf_agree(grid, read_slice(grid, d, side, &m->old, err), err));
  GMF_TRY(share_table(grid, m, err));
  local = GMF_NEW_ZERO(places, m->table->ids.n, err);
  if (local == GMF_OK) local = GMF_NEW(m->added, m->table->ids.n, err);
  if (local == GMF_OK) local = merge_ids(m, places, err);
  GMF_TRY(gmf_agree(grid, local, err));
  m->merged.begin = gmf_prefix_i64(grid, m->merged.n);
  gmf_sum_f64(grid, places, m->table->ids.n); /* each is one rank's */
  for (int64_t j = 0; j < m->table->ids.n; j++)
    if (places[j] > 0) m->added[m->n_added++] = (int64_t)places[j] - 1;
  m->n_old = d->n[side];
  m->n_new = m->n_old + m->n_added;
  for (int64_t r = 0; r < m->merged.n; r++) n_without += m->from[r] < 0;
  gmf_sum_i64(grid, &n_without, 1);
  report->n_added = m->n_added;
  report->n_matched = m->table->ids.n - m->n_added;
  report->n_without = n_without;
  GMF_TRY(gmf_agree(grid, merge_features(m, err), err));
cleanup:
  gmf_free(places);
  return status;
}

/* ---- ratings ----------------------------------------------------------------------------------------------------- */

/* How many new ids stand before rows below `row`. */
static int64_t added_before(const merge *m, int64_t row)
{
  int64_t low = 0, high = m->n_added;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (m->added[middle] < row)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int64_t new_row(const merge *m, int64_t row) { return row + added_before(m, row + 1); }

/* Local. My users among those that are new: from where mine began to where the next rank's do. */
static gmf_status insert_users(const gmf_grid *grid, const merge *m, gmf_rating_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t begin = rows->row_begin, end = begin + rows->n_rows, *indptr = NULL;
  int64_t new_begin = begin + added_before(m, begin);
  int64_t new_end = grid->rank == grid->size - 1 ? m->n_new : end + added_before(m, end);
  GMF_TRY(GMF_NEW_ZERO(indptr, new_end - new_begin + 1, err));
  for (int64_t r = 0; r < rows->n_rows; r++)
    indptr[new_row(m, begin + r) - new_begin + 1] = rows->indptr[r + 1] - rows->indptr[r];
  for (int64_t r = 0; r < new_end - new_begin; r++) indptr[r + 1] += indptr[r];
  gmf_free(rows->indptr);
  rows->indptr = indptr;
  rows->row_begin = new_begin;
  rows->n_rows = new_end - new_begin;
cleanup:
  return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

/* Collective. The other side as it is. */
static gmf_status read_other(const gmf_grid *grid, const gmf_dataset *d, gmf_side other, gmf_ids *ids,
                             gmf_side_features *features, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t begin = gmf_slice_begin(d->n[other], grid->size, grid->rank);
  int64_t end = gmf_slice_begin(d->n[other], grid->size, grid->rank + 1);
  GMF_TRY(gmf_agree(grid, gmf_dataset_read_ids(d, other, begin, end - begin, ids, err), err));
  if (d->has_features[other]) GMF_TRY(gmf_dataset_read_features(grid, d, other, begin, end - begin, features, err));
cleanup:
  return status;
}

gmf_status gmf_attach(const gmf_grid *grid, const gmf_dataset *d, gmf_side side, const gmf_feature_table *table,
                      gmf_writer *w, gmf_attach_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_side other = gmf_other_side(side);
  merge m = {.table = table};
  gmf_rating_rows rows = {0};
  gmf_ids other_ids = {0};
  gmf_side_features other_features = {0};
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_READ);

  *report = (gmf_attach_report){0};
  GMF_TRY(run_merge(grid, d, side, &m, report, err));
  GMF_TRY(read_other(grid, d, other, &other_ids, &other_features, err));
  local = gmf_dataset_read_rows(d, &rows, err);
  if (local == GMF_OK && side == GMF_USERS) local = insert_users(grid, &m, &rows, err);
  GMF_TRY(gmf_agree(grid, local, err));
  if (side == GMF_ITEMS && m.n_added > 0)
    for (int64_t j = 0; j < rows.indptr[rows.n_rows]; j++) rows.items[j] = new_row(&m, rows.items[j]);
  gmf_trace_phase(grid->trace, GMF_PHASE_WRITE);
  gmf_dataset_part part = {.rows = rows};
  part.n[side] = m.n_new;
  part.n[other] = d->n[other];
  part.ids[side] = m.merged;
  part.ids[other] = other_ids;
  part.features[side] = &m.features;
  part.features[other] = d->has_features[other] ? &other_features : NULL;
  GMF_TRY(gmf_dataset_write(grid, w, &part, err));
  memcpy(report->n, part.n, sizeof part.n);
  report->nnz = d->nnz;
cleanup:
  gmf_trace_phase(grid->trace, before);
  merge_free(&m);
  gmf_rating_rows_free(&rows);
  gmf_ids_free(&other_ids);
  gmf_side_features_free(&other_features);
  return status;
}
