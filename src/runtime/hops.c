#define GMF_IN_RUNTIME
#include "runtime/hops.h"

#include "base/memory.h"

gmf_status gmf_hops_create(const gmf_grid *grid, gmf_hops **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_hops *hops = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(hops, 1, err), err));
  for (int c = 1; c * c <= grid->size; c++)
    if (grid->size % c == 0) hops->n_cols = c;
  hops->n_rows = grid->size / hops->n_cols;
  GMF_TRY(gmf_agree(grid, gmf_grid_split(grid, grid->rank % hops->n_cols, &hops->column, err), err));
  GMF_TRY(gmf_agree(grid, gmf_grid_split(grid, grid->rank / hops->n_cols, &hops->row, err), err));
  *out = hops;
  hops = NULL;

cleanup:
  gmf_hops_destroy(&hops);
  return status;
}

void gmf_hops_destroy(gmf_hops **hops)
{
  if (*hops == NULL) return;
  gmf_grid_destroy(&(*hops)->row);
  gmf_grid_destroy(&(*hops)->column);
  gmf_free(*hops);
  *hops = NULL;
}
