/*
 * Scores of single pairs:  s_ui = global_mean + b_u + b_i + x_u . y_i   (query.h; Koren, Bell, Volinsky, "Matrix
 * factorization techniques for recommender systems", IEEE Computer 42(8), 2009, eq. 4).
 */
#include <inttypes.h>
#include <math.h>

#include "base/memory.h"
#include "kernel/topn.h"
#include "query/item_model.h"

/* One row of a side: factors [k] and what is added to the product. */
typedef struct scored_row {
  float *factors; /* [k] owned */
  float offset;
  int64_t row; /* which one is here; -1: none */
} scored_row;

/* Reads a row unless it is there already: pairs often share their user. */
static gmf_status fetch(gmf_model *model, gmf_side side, int64_t row, scored_row *out, gmf_error *err)
{
  int64_t count = 0;
  if (row == out->row) return GMF_OK;
  gmf_status status = gmf_side_rows(model, side, row, 1, out->factors, &out->offset, &count, err);
  out->row = status == GMF_OK ? row : -1;
  return status;
}

static gmf_status score_pair(gmf_model *model, int64_t user, int64_t item, scored_row *x, scored_row *y, float *score,
                             gmf_row_state *state, gmf_error *err)
{
  gmf_status status = GMF_OK;
  float dot = 0;
  int k = model->info.n_factors;

  *score = NAN;
  *state = GMF_ROW_UNKNOWN;
  if (user < -1 || user >= model->info.n_users || item < -1 || item >= model->info.n_items)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: there is no pair of user row %" PRId64 " and item row %" PRId64,
                     model->info.path, user, item));
  if (user < 0 || item < 0) goto cleanup;
  GMF_TRY(fetch(model, GMF_USERS, user, x, err));
  GMF_TRY(fetch(model, GMF_ITEMS, item, y, err));
  gmf_scores(x->factors, 1, k, y->factors, 1, k, k, &dot, 1);
  *score = gmf_score_of(dot, x->offset, y->offset);
  *state = isnan(*score) ? GMF_ROW_COLD : GMF_ROW_KNOWN;
cleanup:
  return status;
}

gmf_status gmf_score_pairs(gmf_model *model, int64_t n, const int64_t *users, const int64_t *items, float *scores,
                           gmf_row_state *states, gmf_error *err)
{
  gmf_status status = GMF_OK;
  scored_row x = {.row = -1}, y = {.row = -1};
  if (gmf_is_item_based(model)) return gmf_item_score_pairs(model, n, users, items, scores, states, err);

  GMF_TRY(GMF_NEW(x.factors, model->info.n_factors, err));
  GMF_TRY(GMF_NEW(y.factors, model->info.n_factors, err));
  for (int64_t p = 0; p < n; p++) {
    gmf_row_state state = GMF_ROW_UNKNOWN;
    GMF_TRY(score_pair(model, users[p], items[p], &x, &y, &scores[p], &state, err));
    if (states != NULL) states[p] = state;
  }
cleanup:
  gmf_free(x.factors);
  gmf_free(y.factors);
  return status;
}
