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
  float *panel = NULL;
  size_t row_bytes = (size_t)f->ld * sizeof *panel;

  status = GMF_NEW(slot_of, n, err);
  if (status == GMF_OK) status = GMF_NEW(panel, n * f->ld, err);
  GMF_TRY(gmf_agree(from->grid, status, err));
  GMF_TRY(gmf_expand_create(from->grid, f->axis, rows, n, row_bytes, slot_of, &plan, err));
  gmf_expand_run(from->grid, plan, f->rows, row_bytes, panel);
  for (int64_t j = 0; j < n; j++) memcpy(out + j * f->ld, panel + (int64_t)slot_of[j] * f->ld, row_bytes);
cleanup:
  gmf_expand_destroy(&plan);
  gmf_free(panel);
  gmf_free(slot_of);
  return status;
}

gmf_row_source gmf_row_source_of_factors(gmf_factor_rows *from)
{
  const gmf_factor *users = from->factors[GMF_USERS], *items = from->factors[GMF_ITEMS];
  return (gmf_row_source){
      .n = {users->axis->n, items->axis->n}, .ld = users->ld, .fetch = fetch_factors, .context = from};
}
