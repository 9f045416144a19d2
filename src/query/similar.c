/*
 * Items like an item, users like a user: by the cosine of their factors
 *
 *     s_ij = y_i . y_j / (|y_i| |y_j|)
 *
 * as in implicit and Spark, or by their product (query/search.c). Biases play no part. The row itself is left out.
 * Item-based models have their weights instead.
 */
#include "query/item_model.h"
#include "query/search.h"

static gmf_status similar(gmf_model *model, gmf_side side, const gmf_similar_options *options, int64_t n,
                          const int64_t *rows, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_search_options what = gmf_search_for_similar(side, options);
  gmf_search s = {0};

  if (gmf_is_popularity(model))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: a popularity model has no factors to compare", model->info.path));
  if (gmf_is_item_based(model) && side == GMF_USERS)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: an item-based model has no rows of users to compare", model->info.path));
  GMF_TRY(gmf_search_open(&s, model, &what, n, err));
  GMF_TRY(gmf_search_add_rows(&s, side, n, rows, out, err));
  for (int64_t q = 0; q < s.n; q++) {
    s.offset[q] = 0;
    if (what.kind == GMF_SEARCH_COSINES)
      gmf_normalise(s.x + q * s.k, s.k); /* a row of zeros has cosine 0 with all others */
    GMF_TRY(gmf_search_exclude(&s, q, &s.row[q], 1, err));
  }
  GMF_TRY(gmf_is_item_based(model) ? gmf_item_search_items(&s, out, err) : gmf_search_run(&s, out, err));
cleanup:
  gmf_search_close(&s);
  return status;
}

gmf_status gmf_similar_items(gmf_model *model, const gmf_similar_options *options, int64_t n_items,
                             const int64_t *items, const gmf_recommendations *out, gmf_error *err)
{
  return similar(model, GMF_ITEMS, options, n_items, items, out, err);
}

gmf_status gmf_similar_users(gmf_model *model, const gmf_similar_options *options, int64_t n_users,
                             const int64_t *users, const gmf_recommendations *out, gmf_error *err)
{
  return similar(model, GMF_USERS, options, n_users, users, out, err);
}
