#include "dist/heavy.h"

#include "base/bits.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "dist/census.h"

void gmf_heavy_destroy(gmf_heavy **heavy)
{
  gmf_heavy *h = *heavy;
  if (h == NULL) return;
  gmf_free(h->rows);
  gmf_free(h->bits);
  gmf_free(h->own_rows);
  gmf_axis_destroy(&h->axis);
  gmf_grid_destroy(&h->grid);
  gmf_free(h);
  *heavy = NULL;
}

/* ---- which rows are heavy ---------------------------------------------------------------------------------------- */

/* The heavy rows that were found so far. */
typedef struct found {
  int64_t *rows; /* owned [n] */
  int64_t n, capacity, n_ratings;
} found;

/* Local. Of n rows from `first` on, whose ratings are counts [n]. */
static gmf_status find_in(const int64_t *counts, int64_t first, int64_t n, int64_t heavy_from, found *f, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t j = 0; j < n; j++) {
    if (counts[j] < heavy_from) continue;
    GMF_TRY(GMF_RESERVE(f->rows, f->capacity, f->n + 1, err));
    f->rows[f->n++] = first + j;
    f->n_ratings += counts[j];
  }
cleanup:
  return status;
}

/* Collective. Items, counted in pieces of a length that has a table. */
static gmf_status find_items(const gmf_grid *grid, const gmf_rating_source *source, int64_t heavy_from, found *f,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_items = source->n[GMF_ITEMS], piece = gmf_min64(n_items, gmf_limit_table_rows);
  int64_t *counts = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW(counts, piece, err), err));
  for (int64_t first = 0; first < n_items; first += piece) {
    int64_t n = gmf_min64(piece, n_items - first);
    GMF_TRY(gmf_census_degrees(grid, source, GMF_ITEMS, first, n, counts, err));
    GMF_TRY(gmf_agree(grid, find_in(counts, first, n, heavy_from, f, err), err));
  }
cleanup:
  gmf_free(counts);
  return status;
}

/* Collective. Users, of whom each rank knows its own: their lists follow each other in the order of the ranks. */
static gmf_status find_users(const gmf_grid *grid, const gmf_rating_source *source, int64_t heavy_from, found *f,
                             gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  found mine = {0};
  for (int64_t u = 0; u < source->row_end - source->row_begin && local == GMF_OK; u++) {
    int64_t count = source->indptr[u + 1] - source->indptr[u];
    local = find_in(&count, source->row_begin + u, 1, heavy_from, &mine, err);
  }
  int64_t sums[2] = {mine.n, mine.n_ratings}, before = gmf_prefix_i64(grid, mine.n);
  gmf_sum_i64(grid, sums, 2);
  f->n = sums[0];
  f->n_ratings = sums[1];
  if (local == GMF_OK) local = GMF_NEW_ZERO(f->rows, f->n, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int64_t j = 0; j < mine.n; j++) f->rows[before + j] = mine.rows[j];
  gmf_sum_i64(grid, f->rows, f->n);
cleanup:
  gmf_free(mine.rows);
  return status;
}

gmf_status gmf_heavy_find(const gmf_grid *grid, const gmf_rating_source *source, gmf_side side,
                          const gmf_layout *layout, const int64_t *counts, gmf_heavy **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  found f = {0};
  gmf_heavy *h = NULL;

  *out = NULL;
  if (!gmf_layout_has_heavy(layout)) return GMF_OK;
  if (counts != NULL)
    GMF_TRY(gmf_agree(grid, find_in(counts, 0, source->n[side], layout->heavy_from, &f, err), err));
  else if (side == GMF_USERS)
    GMF_TRY(find_users(grid, source, layout->heavy_from, &f, err));
  else
    GMF_TRY(find_items(grid, source, layout->heavy_from, &f, err));
  if (f.n == 0) goto cleanup;
  status = GMF_NEW_ZERO(h, 1, err);
  if (status == GMF_OK && side == GMF_ITEMS) status = GMF_NEW_ZERO(h->bits, gmf_bits_words(source->n[side]), err);
  GMF_TRY(gmf_agree(grid, status, err));
  h->layout = *layout;
  h->n = f.n;
  h->n_ratings = f.n_ratings;
  h->rows = f.rows;
  f.rows = NULL;
  for (int64_t j = 0; j < h->n && h->bits != NULL; j++) gmf_bits_add(h->bits, h->rows[j]);
  *out = h;
  h = NULL;

cleanup:
  gmf_free(f.rows);
  gmf_heavy_destroy(&h);
  return status;
}

int64_t gmf_heavy_index(const gmf_heavy *h, int64_t row)
{
  if (h->bits != NULL && !gmf_bits_has(h->bits, row)) return -1;
  int64_t at = gmf_lower_bound(h->rows, h->n, row);
  return at < h->n && h->rows[at] == row ? at : -1;
}

int64_t gmf_heavy_copy(const gmf_heavy *h, int64_t row)
{
  int64_t index = h->copied ? gmf_heavy_index(h, row) : -1;
  if (index < 0) return -1;
  int64_t position = gmf_axis_position(h->axis, index), first = (int64_t)h->grid->row_index * h->grid->n_cols;
  return position >= h->axis->prefix[first] && position < h->axis->prefix[first + h->grid->n_cols]
             ? position - h->axis->prefix[first]
             : -1;
}

/* ---- where they lie ---------------------------------------------------------------------------------------------- */

/* Local. Axis and own rows. */
static gmf_status place(const gmf_grid *grid, const gmf_axis *axis, gmf_heavy *h, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int32_t *owner = NULL;
  GMF_TRY(GMF_NEW(owner, h->n, err));
  for (int64_t j = 0; j < h->n; j++) owner[j] = gmf_axis_owner(axis, gmf_axis_position(axis, h->rows[j]));
  GMF_TRY(gmf_axis_create_owned(h->n, grid->size, owner, &h->axis, err));
  GMF_TRY(GMF_NEW(h->own_rows, gmf_axis_n_own(h->axis, grid->rank), err));
  for (int64_t j = 0; j < gmf_axis_n_own(h->axis, grid->rank); j++) {
    int64_t row = h->rows[gmf_axis_row(h->axis, h->axis->prefix[grid->rank] + j)];
    h->own_rows[j] = gmf_axis_position(axis, row) - axis->prefix[grid->rank];
  }
cleanup:
  gmf_free(owner);
  return status;
}

gmf_status gmf_heavy_place(const gmf_grid *grid, const gmf_axis *axis, gmf_heavy *h, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_agree(grid, place(grid, axis, h, err), err));
  GMF_TRY(gmf_grid_create(grid->all, h->layout.n_rows, h->layout.n_cols, grid->trace, &h->grid, err));
cleanup:
  return status;
}
