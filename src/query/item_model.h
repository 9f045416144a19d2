/* Inside libgridmf: item-based models, whose scores are a user's ratings times the weights of the items. */
#ifndef GMF_QUERY_ITEM_MODEL_H
#define GMF_QUERY_ITEM_MODEL_H

#include "query/search.h"

/* Whether the model has weights of items instead of factors. */
bool gmf_is_item_based(const gmf_model *model);

/* As gmf_search_run, for queries that are users of the model. */
gmf_status gmf_item_search_users(gmf_search *s, const gmf_recommendations *out, gmf_error *err);

/* As gmf_search_run, for queries that are items of the model: the other items of the largest weights in their rows. */
gmf_status gmf_item_search_items(gmf_search *s, const gmf_recommendations *out, gmf_error *err);

/* As gmf_score_pairs. */
gmf_status gmf_item_score_pairs(gmf_model *model, int64_t n, const int64_t *users, const int64_t *items, float *scores,
                                gmf_row_state *states, gmf_error *err);

#endif
