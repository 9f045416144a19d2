#include "app/placement.h"

#include <math.h>

#include "app/cost_model.h"
#include "base/memory.h"
#include "base/search.h"

static gmf_status read_source(const void *context, int64_t begin, int64_t n, int64_t *items, float *values,
                              float *weights, gmf_error *err)
{
  return gmf_dataset_read(context, begin, n, items, values, NULL, weights, err);
}

gmf_rating_source gmf_dataset_source(const gmf_dataset *d)
{
  return (gmf_rating_source){
      {d->n[GMF_USERS], d->n[GMF_ITEMS]}, d->row_begin, d->row_end, d->indptr, d->has_weight, read_source, d};
}

/* The work of a row of als and ials are the operations of its solution; elsewhere it is its number of ratings. */
gmf_status gmf_place_rows(int n_ranks, const int64_t n[GMF_N_SIDES], const gmf_config *config,
                          const int64_t *item_counts, const gmf_shared_rows *heavy_items, gmf_axis *axes[GMF_N_SIDES],
                          gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *work = NULL, n_items = n[GMF_ITEMS];
  uint64_t seed = (uint64_t)config->seed;

  GMF_TRY(gmf_axis_create_hashed(n[GMF_USERS], n_ranks, seed, &axes[GMF_USERS], err));
  if (!gmf_place_wants_counts(n)) return gmf_axis_create_hashed(n_items, n_ranks, seed, &axes[GMF_ITEMS], err);
  GMF_TRY(GMF_NEW(work, n_items, err));
  gmf_row_options row = gmf_config_row(config);
  gmf_row_work light = gmf_cost_row_work(&row, GMF_FOLDS_NOTHING), heavy = gmf_cost_row_work(&row, GMF_FOLDS_HEAVY);
  bool solves = config->algorithm == GMF_ALGORITHM_ALS || config->algorithm == GMF_ALGORITHM_IALS;
  for (int64_t i = 0; i < n_items; i++) {
    bool is_heavy = heavy_items != NULL && gmf_is_member(heavy_items->rows, heavy_items->n, i);
    const gmf_row_work *of = is_heavy ? &heavy : &light;
    work[i] = 1 + item_counts[i];
    if (solves) work[i] = 1 + llround(of->shared(&row, item_counts[i]) + of->alone(&row, item_counts[i]));
  }
  GMF_TRY(gmf_axis_create_balanced(n_items, n_ranks, work, heavy_items, &axes[GMF_ITEMS], err));
cleanup:
  gmf_free(work);
  return status;
}
