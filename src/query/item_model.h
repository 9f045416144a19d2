/* Inside libgridmf: item-based models, whose scores are a user's ratings times the weights of the items. */
#ifndef GMF_QUERY_ITEM_MODEL_H
#define GMF_QUERY_ITEM_MODEL_H

#include "query/search.h"

/* Whether the model has weights of items instead of factors. */
bool gmf_is_item_based(const gmf_model *model);

/* Ratings of some users, one user after the other. Fit for {0}. */
typedef struct gmf_rated {
  int64_t n;              /* users */
  int64_t *begin, *items; /* owned [n + 1], [begin[n]]: ascending within a user */
  float *values;          /* owned [begin[n]] */
  int64_t begin_capacity, items_capacity, values_capacity;
} gmf_rated;

void gmf_rated_free(gmf_rated *rated);
/* One more user. */
gmf_status gmf_rated_add(gmf_rated *rated, const int64_t *items, const float *values, int64_t n, gmf_error *err);

/* As gmf_search_run, for queries that are users: those with these ratings, query by query; NULL: rows of the model. */
gmf_status gmf_item_search_users(gmf_search *s, const gmf_rated *users, const gmf_recommendations *out, gmf_error *err);

/* As gmf_explain, for a score that is known. */
gmf_status gmf_item_explain(gmf_model *model, int64_t user, int64_t item, gmf_explanation *out, gmf_error *err);

/* As gmf_search_run, for queries that are items of the model: the other items of the largest weights in their rows. */
gmf_status gmf_item_search_items(gmf_search *s, const gmf_recommendations *out, gmf_error *err);

/* As gmf_score_pairs. */
gmf_status gmf_item_score_pairs(gmf_model *model, int64_t n, const int64_t *users, const int64_t *items, float *scores,
                                gmf_row_state *states, gmf_error *err);

#endif
