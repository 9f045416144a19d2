#include "io/item_weights.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "io/layout.h"

#define SIMILARITY "items/" GMF_NAME_SIMILARITY
#define WEIGHTS "items/" GMF_NAME_WEIGHTS

enum {
  READ_WEIGHTS = 1 << 22, /* at a time, but for one row */
  READ_ROWS = 1 << 12,    /* sparse ones */
  GAP_WEIGHTS = 1 << 13,  /* unwanted weights that are read to save a call */
  STRIP = 2048            /* items whose scores stay in the first-level cache */
};

struct gmf_item_weights {
  const char *path; /* borrowed */
  int64_t n_items;
  gmf_h5_array dense;                 /* [n][n] owned; id < 0 where W is sparse */
  gmf_h5_array indptr, indices, data; /* owned; id < 0 where W is dense */
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

bool gmf_item_weights_exist(hid_t file) { return gmf_h5_exists(file, WEIGHTS) || gmf_h5_exists(file, SIMILARITY); }

static gmf_status open_dense(gmf_item_weights *w, hid_t file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_h5_array_open(file, w->path, WEIGHTS, 2, &w->dense, err));
  if (w->dense.dims[0] != w->n_items || w->dense.dims[1] != w->n_items || !gmf_type_is_real(w->dense.type))
    GMF_TRY(gmf_h5_model_damaged(w->path, "/items/" GMF_NAME_WEIGHTS " is not a matrix of its items", err));
cleanup:
  return status;
}

static gmf_status open_sparse(gmf_item_weights *w, hid_t file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_h5_array_open(file, w->path, SIMILARITY "/" GMF_CSR_INDPTR, 1, &w->indptr, err));
  GMF_TRY(gmf_h5_array_open(file, w->path, SIMILARITY "/" GMF_CSR_INDICES, 1, &w->indices, err));
  GMF_TRY(gmf_h5_array_open(file, w->path, SIMILARITY "/" GMF_CSR_DATA, 1, &w->data, err));
  if (w->indptr.dims[0] - 1 != w->n_items || w->indices.dims[0] != w->data.dims[0] ||
      !gmf_type_is_whole(w->indptr.type) || !gmf_type_is_whole(w->indices.type) || !gmf_type_is_real(w->data.type))
    GMF_TRY(gmf_h5_model_damaged(w->path, "/items/" GMF_NAME_SIMILARITY " is not a sparse matrix of its items", err));
cleanup:
  return status;
}

gmf_status gmf_item_weights_open(hid_t file, const char *path, int64_t n_items, gmf_item_weights **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_item_weights *w = NULL;

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(w, 1, err));
  w->path = path;
  w->n_items = n_items;
  w->dense.id = w->indptr.id = w->indices.id = w->data.id = H5I_INVALID_HID;
  GMF_TRY(gmf_h5_exists(file, WEIGHTS) ? open_dense(w, file, err) : open_sparse(w, file, err));
  *out = w;
  w = NULL;
cleanup:
  gmf_item_weights_close(&w);
  return status;
}

void gmf_item_weights_close(gmf_item_weights **weights)
{
  gmf_item_weights *w = *weights;
  if (w == NULL) return;
  gmf_h5_array *const arrays[] = {&w->dense, &w->indptr, &w->indices, &w->data};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_h5_array_close(arrays[a]);
  gmf_free(w);
  *weights = NULL;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

void gmf_weight_rows_free(gmf_weight_rows *r)
{
  gmf_free(r->indptr);
  gmf_free(r->items);
  gmf_free(r->values);
  *r = (gmf_weight_rows){0};
}

static bool are_finite(const float *values, int64_t n)
{
  const float limit = GMF_VALUE_LIMIT;
  bool good = true;
  for (int64_t j = 0; j < n; j++) good &= fabsf(values[j]) < limit;
  return good;
}

static gmf_status read_dense(const gmf_item_weights *w, int64_t begin, int64_t n, gmf_weight_rows *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  n = gmf_min64(n, gmf_max64(1, READ_WEIGHTS / gmf_max64(1, w->n_items)));
  GMF_TRY(GMF_RESERVE(out->values, out->values_capacity, n * w->n_items, err));
  GMF_TRY(gmf_h5_array_read(&w->dense, begin, n, GMF_F4, out->values, err));
  if (!are_finite(out->values, n * w->n_items))
    GMF_TRY(gmf_h5_model_damaged(w->path, "/items/" GMF_NAME_WEIGHTS " holds no finite number", err));
  out->n = n;
cleanup:
  return status;
}

/* indptr [n + 1]: whether the rows lie in the file, one after the other. */
static bool check_indptr(const gmf_item_weights *w, const int64_t *indptr, int64_t n)
{
  bool good = indptr[0] >= 0 && indptr[n] <= w->data.dims[0];
  for (int64_t r = 0; r < n && good; r++) good = indptr[r] <= indptr[r + 1] && indptr[r + 1] - indptr[r] <= w->n_items;
  return good;
}

static bool check_items(const gmf_item_weights *w, const gmf_weight_rows *rows)
{
  bool good = true;
  for (int64_t r = 0; r < rows->n; r++)
    for (int64_t e = rows->indptr[r]; e < rows->indptr[r + 1] && good; e++)
      good = rows->items[e] >= (e > rows->indptr[r] ? rows->items[e - 1] + 1 : 0) && rows->items[e] < w->n_items;
  return good;
}

static gmf_status read_sparse(const gmf_item_weights *w, int64_t begin, int64_t n, gmf_weight_rows *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  n = gmf_min64(n, READ_ROWS);
  GMF_TRY(GMF_RESERVE(out->indptr, out->indptr_capacity, n + 1, err));
  GMF_TRY(gmf_h5_array_read(&w->indptr, begin, n + 1, GMF_I8, out->indptr, err));
  if (!check_indptr(w, out->indptr, n))
    GMF_TRY(gmf_h5_model_damaged(w->path, "/items/" GMF_NAME_SIMILARITY "/indptr does not ascend", err));
  int64_t first = out->indptr[0];
  for (int64_t r = 0; r <= n; r++) out->indptr[r] -= first;
  while (n > 1 && out->indptr[n] > READ_WEIGHTS) n--;
  out->n = n;
  GMF_TRY(GMF_RESERVE(out->items, out->items_capacity, out->indptr[n], err));
  GMF_TRY(GMF_RESERVE(out->values, out->values_capacity, out->indptr[n], err));
  GMF_TRY(gmf_h5_array_read(&w->indices, first, out->indptr[n], GMF_I8, out->items, err));
  GMF_TRY(gmf_h5_array_read(&w->data, first, out->indptr[n], GMF_F4, out->values, err));
  if (!check_items(w, out))
    GMF_TRY(gmf_h5_model_damaged(
        w->path, "/items/" GMF_NAME_SIMILARITY "/indices has items that are none, or not in order", err));
  if (!are_finite(out->values, out->indptr[n]))
    GMF_TRY(gmf_h5_model_damaged(w->path, "/items/" GMF_NAME_SIMILARITY " holds no finite number", err));
cleanup:
  return status;
}

gmf_status gmf_item_weights_read(const gmf_item_weights *w, int64_t begin, int64_t n, gmf_weight_rows *out,
                                 gmf_error *err)
{
  out->begin = begin;
  out->is_dense = w->dense.id >= 0;
  return out->is_dense ? read_dense(w, begin, n, out, err) : read_sparse(w, begin, n, out, err);
}

/* ---- scores ------------------------------------------------------------------------------------------------------ */

/* Adds one user's ratings [first, last), of items among the rows, to his scores. */
static void add_dense(const gmf_weight_rows *rows, int64_t n_items, const gmf_item_users *users, int64_t first,
                      int64_t last, float *scores)
{
  for (int64_t begin = 0; begin < n_items; begin += STRIP) {
    int64_t n = gmf_min64(STRIP, n_items - begin);
    float *strip = scores + begin;
    for (int64_t j = first; j < last; j++) {
      const float *row = rows->values + (users->items[j] - rows->begin) * n_items + begin, value = users->values[j];
#pragma omp simd
      for (int64_t i = 0; i < n; i++) strip[i] += value * row[i];
    }
  }
}

static void add_sparse(const gmf_weight_rows *rows, const gmf_item_users *users, int64_t first, int64_t last,
                       float *scores)
{
  for (int64_t j = first; j < last; j++) {
    int64_t r = users->items[j] - rows->begin;
    for (int64_t e = rows->indptr[r]; e < rows->indptr[r + 1]; e++)
      scores[rows->items[e]] += users->values[j] * rows->values[e];
  }
}

static void add_rows(const gmf_weight_rows *rows, int64_t n_items, const gmf_item_users *users, int n_threads,
                     float *scores)
{
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_threads)
  for (int64_t u = 0; u < users->n; u++) {
    const int64_t *items = users->items + users->begin[u];
    int64_t n = users->begin[u + 1] - users->begin[u];
    int64_t first = users->begin[u] + gmf_lower_bound(items, n, rows->begin);
    int64_t last = users->begin[u] + gmf_lower_bound(items, n, rows->begin + rows->n);
    if (rows->is_dense)
      add_dense(rows, n_items, users, first, last, scores + u * n_items);
    else
      add_sparse(rows, users, first, last, scores + u * n_items);
  }
}

/* The next rows that are wanted, from `from` on, with few between: *begin, and how many; 0: none. */
static int64_t next_rows(const uint64_t *wanted, int64_t n_items, int64_t gap, int64_t from, int64_t *begin)
{
  int64_t end = 0;
  while (from < n_items && !gmf_bits_has(wanted, from)) from++;
  *begin = from;
  for (end = from; from < n_items && from <= end + gap; from++)
    if (gmf_bits_has(wanted, from)) end = from + 1;
  return end - *begin;
}

gmf_status gmf_item_scores(const gmf_item_users *users, int64_t n_items, gmf_read_weights_fn *read, void *context,
                           int n_threads, float *scores, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_weight_rows rows = {0};
  uint64_t *wanted = NULL;
  int64_t gap = GAP_WEIGHTS / gmf_max64(1, n_items), begin = 0, n = 0;
  if (n_threads < 1) n_threads = omp_get_max_threads();
  if (users->n == 0) return GMF_OK;
  memset(scores, 0, (size_t)(users->n * n_items) * sizeof *scores);
  GMF_TRY(GMF_NEW_ZERO(wanted, gmf_bits_words(n_items), err));
  for (int64_t j = users->begin[0]; j < users->begin[users->n]; j++) gmf_bits_add(wanted, users->items[j]);
  while ((n = next_rows(wanted, n_items, gap, begin, &begin)) > 0) {
    GMF_TRY(read(context, begin, n, &rows, err));
    add_rows(&rows, n_items, users, n_threads, scores);
    begin += rows.n;
  }
cleanup:
  gmf_weight_rows_free(&rows);
  gmf_free(wanted);
  return status;
}
