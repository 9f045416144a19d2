#include "algo/row_source.h"

#include <string.h>

#include "base/memory.h"
#include "dist/expand.h"

/* Collective. Rows arrive grouped by owner and are put into the order that was asked for. */
static gmf_status fetch_factors(void *context, gmf_side side, const int64_t *rows, int64_t n, float *out,
                                gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_factor_rows *from = context;
  const gmf_factor *f = from->factors[side];
  gmf_expand *plan = NULL;
  int32_t *slot_of = NULL;
  gmf_expand_space *space = NULL;
  size_t row_bytes = (size_t)f->ld * sizeof *out;

  GMF_TRY(gmf_agree(from->grid, GMF_NEW(slot_of, n, err), err));
  GMF_TRY(gmf_expand_create(from->grid, f->axis, rows, n, slot_of, &plan, err));
  GMF_TRY(gmf_agree(from->grid, gmf_expand_space_create(from->grid, &plan, 1, row_bytes, false, &space, err), err));
  gmf_expand_run(from->grid, plan, f->rows, row_bytes, space);
  for (int64_t j = 0; j < n; j++) memcpy(out + j * f->ld, space->panel + (size_t)slot_of[j] * row_bytes, row_bytes);
cleanup:
  gmf_expand_destroy(&plan);
  gmf_expand_space_destroy(&space);
  gmf_free(slot_of);
  return status;
}

gmf_row_source gmf_row_source_of_factors(gmf_factor_rows *from)
{
  const gmf_factor *users = from->factors[GMF_USERS], *items = from->factors[GMF_ITEMS];
  return (gmf_row_source){
      .n = {users->axis->n, items->axis->n}, .ld = users->ld, .fetch = fetch_factors, .context = from};
}
