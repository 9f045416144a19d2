#include "dist/factor.h"

#include <string.h>

#include "base/memory.h"
#include "kernel/dense.h"

enum { TOUCH_BYTES = 64 << 10 };

gmf_status gmf_factor_create(const gmf_grid *grid, gmf_side side, const gmf_axis *axis, int k, int ld, gmf_factor **out,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_factor *f = NULL;
  GMF_TRY(GMF_NEW_ZERO(f, 1, err));
  *f = (gmf_factor){.side = side, .axis = axis, .k = k, .ld = ld, .n = gmf_axis_n_own(axis, grid->rank)};
  GMF_TRY(GMF_NEW(f->rows, f->n * f->ld, err));
  gmf_zero_by_threads(f->rows, (size_t)(f->n * f->ld) * sizeof *f->rows);
  *out = f;
  f = NULL;
cleanup:
  gmf_factor_destroy(&f);
  return status;
}

void gmf_zero_by_threads(void *p, size_t bytes)
{
  char *begin = p;
#pragma omp parallel for schedule(static)
  for (int64_t page = 0; page < (int64_t)((bytes + TOUCH_BYTES - 1) / TOUCH_BYTES); page++) {
    size_t at = (size_t)page * TOUCH_BYTES;
    memset(begin + at, 0, bytes - at < TOUCH_BYTES ? bytes - at : TOUCH_BYTES);
  }
}

void gmf_factor_destroy(gmf_factor **factor)
{
  if (*factor == NULL) return;
  gmf_free((*factor)->rows);
  gmf_free(*factor);
  *factor = NULL;
}

void gmf_factor_randomize(const gmf_grid *grid, gmf_factor *f, uint64_t seed, double scale)
{
  gmf_stream stream = f->side == GMF_USERS ? GMF_STREAM_USERS_INIT : GMF_STREAM_ITEMS_INIT;
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < f->n; j++) {
    uint64_t row = (uint64_t)gmf_axis_row(f->axis, f->axis->prefix[grid->rank] + j);
    for (int c = 0; c < f->k; c++)
      f->rows[j * f->ld + c] = (float)(scale * gmf_random_normal(seed, stream, row, (uint32_t)c));
  }
}

gmf_status gmf_factor_to_slices(const gmf_grid *grid, const gmf_factor *f, int column, int n, float **slice,
                                int64_t *slice_begin, int64_t *slice_n, gmf_error *err)
{
  return gmf_axis_to_slices(grid, f->axis, f->rows + column, f->ld * (int64_t)sizeof *f->rows,
                            n * (int64_t)sizeof *f->rows, (void **)slice, slice_begin, slice_n, err);
}
