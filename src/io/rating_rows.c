#include "io/rating_rows.h"

#include <string.h>

#include "base/memory.h"

gmf_status gmf_rating_rows_new(int64_t n_rows, int64_t n, bool has_time, bool has_weight, gmf_rating_rows *out,
                               gmf_error *err)
{
  gmf_status status = GMF_OK;
  *out = (gmf_rating_rows){.n_rows = n_rows};
  GMF_TRY(GMF_NEW_ZERO(out->indptr, n_rows + 1, err));
  GMF_TRY(GMF_NEW(out->items, n, err));
  GMF_TRY(GMF_NEW(out->values, n, err));
  if (has_time) GMF_TRY(GMF_NEW(out->times, n, err));
  if (has_weight) GMF_TRY(GMF_NEW(out->weights, n, err));
  gmf_memory_prefer_huge_pages(out->items);
  gmf_memory_prefer_huge_pages(out->values);
  if (has_time) gmf_memory_prefer_huge_pages(out->times);
cleanup:
  return status;
}

void gmf_rating_rows_free(gmf_rating_rows *rows)
{
  gmf_free(rows->indptr);
  gmf_free(rows->items);
  gmf_free(rows->values);
  gmf_free(rows->times);
  gmf_free(rows->weights);
  *rows = (gmf_rating_rows){0};
}

void gmf_rating_rows_move(gmf_rating_rows *rows, int64_t at, int64_t begin, int64_t n)
{
  if (at == begin) return;
  memmove(rows->items + at, rows->items + begin, (size_t)n * sizeof *rows->items);
  memmove(rows->values + at, rows->values + begin, (size_t)n * sizeof *rows->values);
  if (rows->times != NULL) memmove(rows->times + at, rows->times + begin, (size_t)n * sizeof *rows->times);
  if (rows->weights != NULL) memmove(rows->weights + at, rows->weights + begin, (size_t)n * sizeof *rows->weights);
}

void gmf_rating_rows_drop_ratings(gmf_rating_rows *rows)
{
  int64_t to = 0, begin = 0;
  for (int64_t row = 0; row < rows->n_rows; row++) {
    int64_t end = rows->indptr[row + 1];
    for (int64_t j = begin; j < end; j++)
      if (rows->items[j] >= 0) gmf_rating_rows_copy_one(rows, to++, rows, j);
    begin = end;
    rows->indptr[row + 1] = to;
  }
}

void gmf_rating_rows_drop_users(gmf_rating_rows *rows, const int64_t *new_rows)
{
  int64_t n = 0, to = 0, begin = 0;
  for (int64_t row = 0; row < rows->n_rows; row++) {
    int64_t end = rows->indptr[row + 1];
    if (new_rows[row] >= 0) {
      gmf_rating_rows_move(rows, to, begin, end - begin);
      to += end - begin;
      rows->indptr[++n] = to;
    }
    begin = end;
  }
  rows->n_rows = n;
}
