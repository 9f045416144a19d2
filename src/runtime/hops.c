#define GMF_IN_RUNTIME
#include "runtime/hops.h"

#include "base/memory.h"

int gmf_hops_cols(int n_ranks)
{
  int n_cols = 1;
  for (int c = 1; (int64_t)c * c <= n_ranks; c++)
    if (n_ranks % c == 0) n_cols = c;
  return n_cols;
}

gmf_status gmf_hops_create(const gmf_grid *grid, gmf_hops **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_hops *hops = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(hops, 1, err), err));
  hops->n_cols = gmf_hops_cols(grid->size);
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
