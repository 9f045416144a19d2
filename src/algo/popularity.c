/*
 * Popularity as a factor model of one column, so that everything that reads factors serves it too:
 *
 *   x_u = 1 (0 without training ratings),  y_i = number of training ratings of item i,  score = x_u y_i
 *
 * The popular baseline of Cremonesi, Koren, Turrin, "Performance of recommender algorithms on top-N recommendation
 * tasks", RecSys 2010 (TopPop). Counts beyond 2^24 are rounded to single precision.
 */
#include "algo/popularity.h"

#include "kernel/dense.h"

/* Local. */
static void fill(const gmf_grid *grid, const gmf_block *b, gmf_factor *f)
{
  const int64_t *counts = b->counts + (f->axis->prefix[grid->rank] - b->row_begin);
  for (int64_t r = 0; r < f->n; r++)
    f->rows[r * f->ld] = f->side == GMF_ITEMS ? (float)counts[r] : (float)(counts[r] > 0);
}

gmf_status gmf_popularity_create(const gmf_grid *grid, gmf_axis *const axes[GMF_N_SIDES],
                                 gmf_block *const blocks[GMF_N_SIDES], gmf_factor *factors[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int s = 0; s < GMF_N_SIDES; s++) factors[s] = NULL;
  for (int s = 0; s < GMF_N_SIDES && status == GMF_OK; s++)
    status = gmf_factor_create(grid, (gmf_side)s, axes[s], 1, gmf_pad(1), &factors[s], err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int s = 0; s < GMF_N_SIDES; s++) fill(grid, blocks[s], factors[s]);
cleanup:
  for (int s = 0; s < GMF_N_SIDES && status != GMF_OK; s++) gmf_factor_destroy(&factors[s]);
  return status;
}
