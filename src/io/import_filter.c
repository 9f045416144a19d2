/* Ids with too few ratings leave the dataset. */
#include "base/narrow.h"
#include "io/import_sort.h"
#include "io/rating_filter.h"

gmf_status gmf_import_filter(const gmf_grid *grid, const gmf_import_options *options, gmf_id_space space[GMF_N_SIDES],
                             gmf_rating_rows *rows, gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t min_items = gmf_max64(1, options->min_item_count), min_users = gmf_max64(1, options->min_user_count);
  int64_t n[2] = {rows->indptr[rows->n_rows], 0};
  if (report->n_dropped_by_rating == 0 && min_items == 1 && min_users == 1) return GMF_OK;
  GMF_TRY(gmf_keep_items(grid, min_items, NULL, &space[GMF_ITEMS], rows, err));
  GMF_TRY(gmf_keep_users(grid, min_users, NULL, &space[GMF_USERS], rows, err));
  if (min_users > 1) GMF_TRY(gmf_keep_items(grid, 1, NULL, &space[GMF_ITEMS], rows, err));
  n[1] = rows->indptr[rows->n_rows];
  gmf_sum_i64(grid, n, 2);
  report->n_dropped_by_count = n[0] - n[1];
cleanup:
  return status;
}
