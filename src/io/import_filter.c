/* Users and items with too few ratings leave the dataset. */
#include "base/narrow.h"
#include "io/import_sort.h"
#include "io/rating_filter.h"

/* Collective. Ratings on all ranks. */
static int64_t n_all(const gmf_grid *grid, const gmf_rating_rows *rows)
{
  int64_t n = rows->indptr[rows->n_rows];
  gmf_sum_i64(grid, &n, 1);
  return n;
}

/*
 * Collective. One pass keeps the items, then the users that have enough ratings; a k-core takes as many as it needs:
 * users that go leave items with fewer ratings, and these the users. What is left at the end is the one largest set in
 * which every user and item has enough, whatever the order of the passes.
 */
static gmf_status drop_rare(const gmf_grid *grid, const gmf_import_options *options, gmf_id_space space[GMF_N_SIDES],
                            gmf_rating_rows *rows, gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t min_items = gmf_max64(1, options->min_item_count), min_users = gmf_max64(1, options->min_user_count);
  int64_t before = 0, n = n_all(grid, rows);
  do {
    before = n;
    GMF_TRY(gmf_keep_items(grid, min_items, NULL, &space[GMF_ITEMS], rows, err));
    GMF_TRY(gmf_keep_users(grid, min_users, NULL, &space[GMF_USERS], rows, err));
    n = n_all(grid, rows);
    report->n_rounds += n < before;
  } while (options->k_core && n < before);
  if (min_users > 1 && !options->k_core) GMF_TRY(gmf_keep_items(grid, 1, NULL, &space[GMF_ITEMS], rows, err));
cleanup:
  return status;
}

gmf_status gmf_import_filter(const gmf_grid *grid, const gmf_import_options *options, gmf_id_space space[GMF_N_SIDES],
                             gmf_rating_rows *rows, gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (report->n_dropped_by_rating == 0 && options->min_item_count <= 1 && options->min_user_count <= 1) return GMF_OK;
  int64_t before = n_all(grid, rows);
  GMF_TRY(drop_rare(grid, options, space, rows, report, err));
  report->n_dropped_by_count = before - n_all(grid, rows);
cleanup:
  return status;
}
