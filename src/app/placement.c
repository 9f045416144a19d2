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

gmf_status gmf_place_count(const gmf_grid *grid, const gmf_rating_source *source, int64_t *counts[GMF_N_SIDES],
                           gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int s = 0; s < GMF_N_SIDES; s++) counts[s] = NULL;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    if (!gmf_axis_has_table(source->n[s])) continue;
    GMF_TRY(gmf_agree(grid, GMF_NEW(counts[s], source->n[s], err), err));
    GMF_TRY(gmf_census_degrees(grid, source, (gmf_side)s, 0, source->n[s], counts[s], err));
  }
cleanup:
  return status;
}

/*
 * The work of rows. als and ials: the operations of a row's solution, what turns it back from the basis, and its
 * length, so that rows without ratings are spread too. svd: ratings, and a row's part of each vector, which is
 * orthogonalised.
 */
typedef struct row_cost {
  bool solves;
  gmf_row_options row;
  gmf_row_work light, heavy; /* of `row` */
  int64_t own;               /* for each row, whatever its ratings */
} row_cost;

static void measure_rows(const gmf_config *config, const int64_t n[GMF_N_SIDES], const gmf_shared_rows *heavy,
                         gmf_side side, row_cost *out)
{
  gmf_folding foldings[GMF_N_SIDES] = {GMF_FOLDS_NOTHING, GMF_FOLDS_NOTHING};
  for (int s = 0; s < GMF_N_SIDES && heavy != NULL; s++)
    if (heavy[s].n > 0) foldings[s] = GMF_FOLDS_HEAVY;
  *out = (row_cost){.row = gmf_config_row(config), .own = 1};
  out->solves = config->algorithm == GMF_ALGORITHM_ALS || config->algorithm == GMF_ALGORITHM_IALS;
  out->light = gmf_cost_row_work(&out->row, GMF_FOLDS_NOTHING);
  out->heavy = gmf_cost_row_work(&out->row, GMF_FOLDS_HEAVY);
  if (out->solves) {
    int order = gmf_row_order(out->row.k, out->row.bias);
    out->own = order + (gmf_cost_has_basis(&out->row, foldings) ? gmf_cost_turn_work(order) : 0);
  } else if (config->algorithm == GMF_ALGORITHM_SVD) {
    gmf_svd_options options = gmf_config_svd(config);
    out->own = gmf_svd_measure(&options, n[GMF_USERS], n[GMF_ITEMS]).columns[side];
  }
}

static gmf_status place_by_work(int n_ranks, int64_t n, const row_cost *cost, const int64_t *counts,
                                const gmf_shared_rows *shared, gmf_axis **axis, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *work = NULL;
  GMF_TRY(GMF_NEW(work, n, err));
  for (int64_t r = 0; r < n; r++) {
    bool is_heavy = shared != NULL && gmf_is_member(shared->rows, shared->n, r);
    const gmf_row_work *of = is_heavy ? &cost->heavy : &cost->light;
    double solution = of->shared(of->context, counts[r]) + of->alone(of->context, counts[r]);
    work[r] = cost->own + (cost->solves ? llround(solution) : counts[r]);
  }
  GMF_TRY(gmf_axis_create_balanced(n, n_ranks, work, shared, axis, err));
cleanup:
  gmf_free(work);
  return status;
}

gmf_status gmf_place_rows(int n_ranks, const int64_t n[GMF_N_SIDES], const gmf_config *config,
                          int64_t *const counts[GMF_N_SIDES], const gmf_shared_rows heavy[GMF_N_SIDES],
                          gmf_axis *axes[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    const gmf_shared_rows *shared = heavy != NULL && heavy[s].n > 0 ? &heavy[s] : NULL;
    row_cost cost;
    measure_rows(config, n, heavy, (gmf_side)s, &cost);
    if (gmf_axis_has_table(n[s]))
      GMF_TRY(place_by_work(n_ranks, n[s], &cost, counts[s], shared, &axes[s], err));
    else
      GMF_TRY(gmf_axis_create_hashed(n[s], n_ranks, (uint64_t)config->seed, &axes[s], err));
  }
cleanup:
  return status;
}
