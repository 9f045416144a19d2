/* Top-N lists for users of the model: query/search.c with the users' rows as queries, without what they have seen. */
#include "query/item_model.h"
#include "query/search.h"

static gmf_status exclude_seen(gmf_search *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_seen seen = {0};

  for (int64_t q = 0, run = 0; q < s->n; q += run) {
    run = gmf_search_run_length(s, q);
    gmf_file_lock();
    status = gmf_model_file_seen(s->model->file, s->row[q], run, &seen, err);
    gmf_file_unlock();
    GMF_TRY(status);
    for (int64_t u = 0; u < run; u++)
      GMF_TRY(gmf_search_exclude(s, q + u, seen.items + seen.indptr[u], seen.indptr[u + 1] - seen.indptr[u], err));
  }
cleanup:
  gmf_seen_free(&seen);
  return status;
}

gmf_status gmf_recommend(gmf_model *model, const gmf_recommend_options *options, int64_t n_users, const int64_t *users,
                         const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_search_options what = gmf_search_of(options);
  gmf_search s = {0};

  GMF_TRY(gmf_search_open(&s, model, &what, n_users, err));
  GMF_TRY(gmf_search_add_rows(&s, GMF_USERS, n_users, users, out, err));
  if (!options->include_seen && model->info.has_seen) GMF_TRY(exclude_seen(&s, err));
  GMF_TRY(gmf_is_item_based(model) ? gmf_item_search_users(&s, NULL, out, err) : gmf_search_run(&s, out, err));
  if (options->fallback == GMF_FALLBACK_POPULAR) GMF_TRY(gmf_search_fall_back(&s, n_users, out, err));
cleanup:
  gmf_search_close(&s);
  return status;
}
