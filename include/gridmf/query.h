/*
 * Asking gridmf models: scores and recommendations. model.h opens a model and says what holds for threads.
 *
 * The score of user u and item i is
 *
 *     s_ui = global_mean + b_u + b_i + sum_f x_uf y_if          (terms that the model does not have are 0)
 *
and for item-based models (item-knn, ease), with the ratings a_uj of the user in training and weights W of the items,
 *
 *     s_ui = sum_j a_uj W_ji
 *
 * in single precision. A pair has the same score, to the last bit, in every call on the same machine.
 */
#ifndef GRIDMF_QUERY_H
#define GRIDMF_QUERY_H

#include "gridmf/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a row can be scored. */
typedef enum gmf_row_state {
  GMF_ROW_KNOWN = 0,
  GMF_ROW_COLD = 1,   /* in the model, but without a training rating: its factors say nothing */
  GMF_ROW_UNKNOWN = 2 /* the id is not in the model: row -1 */
} gmf_row_state;

/*
 * Scores pairs (users[p], items[p]), p < n.
 *
 *   users, items  [n]  rows; -1 where the id is unknown
 *   scores        [n]  out; NaN where one of the two is cold or unknown
 *   states        [n]  out, may be NULL; the worse state of the two
 *
 * Errors: GMF_ERR_USAGE a row that the model does not have; GMF_ERR_DATA a factor is not a finite number; GMF_ERR_IO;
 * GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_score_pairs(gmf_model *model, int64_t n, const int64_t *users, const int64_t *items,
                                   float *scores, gmf_row_state *states, gmf_error *err);

/* What users get who are cold or unknown. */
typedef enum gmf_fallback {
  GMF_FALLBACK_NONE = 0,   /* an empty list */
  GMF_FALLBACK_POPULAR = 1 /* the items with most training ratings; scores are these numbers */
} gmf_fallback;

/* What to recommend. {0} with top_n set is a good start. */
typedef struct gmf_recommend_options {
  int64_t top_n;        /* at least 1 */
  bool include_seen;    /* also items that the user rated in training; else they are left out where the file has them */
  const int64_t *allow; /* [n_allow] item rows, borrowed: only these; NULL: all. In any order, -1 is skipped */
  int64_t n_allow;
  const int64_t *deny; /* [n_deny] item rows, borrowed: not these, even when allowed */
  int64_t n_deny;
  int n_threads; /* OpenMP threads; 0: OpenMP's default */
  gmf_fallback fallback;
} gmf_recommend_options;

/* Where the answers go: arrays of the caller. */
typedef struct gmf_recommendations {
  int64_t *items;        /* [n_users][top_n] item rows, best first; ties to the lower row */
  float *scores;         /* [n_users][top_n] */
  int64_t *counts;       /* [n_users] entries of each list: top_n, or as many candidates as there are */
  gmf_row_state *states; /* [n_users]; a list is empty unless GMF_ROW_KNOWN or there is a fallback */
} gmf_recommendations;

/*
 * The top_n best items for each of n_users users. Cold items (no training rating) are never recommended.
 * One pass over the item factors serves all users of a call; its memory is in proportion to n_users x (n_factors +
 * top_n + seen items) and does not depend on the number of items. Good batches are of 100 to 1000 users.
 *
 *   users  [n_users]  rows; -1 where the id is unknown
 *
 * Errors: GMF_ERR_USAGE top_n < 1 or a row that the model does not have; GMF_ERR_DATA a factor is not a finite number,
 * a list of seen items is damaged, a fallback is asked for and the file has no counts; GMF_ERR_IO; GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_recommend(gmf_model *model, const gmf_recommend_options *options, int64_t n_users,
                                 const int64_t *users, const gmf_recommendations *out, gmf_error *err);

/* A user who has no row in the model, by ratings. All arrays are borrowed. */
typedef struct gmf_new_user {
  int64_t n;
  const int64_t *items; /* [n] item rows in any order; -1 is skipped, of an item given twice the last counts */
  const float *values;  /* [n] ratings; NULL: all 1 */
  const float *weights; /* [n] how much each counts, as --columns weight= of `gridmf import` has it; NULL: all 1 */
} gmf_new_user;

/*
 * The row that a user would get: solved exactly from the ratings and the items' rows, with the loss, the regularisation
 * and the biases that the model was trained with; svd models project, popularity models have one row for all.
 *
 *   factors  [n_factors]  out
 *   bias                  out; 0 where the model has none
 *   state                 out; GMF_ROW_COLD where no item is in the model and has training ratings: factors are 0
 *
 * The first call reads what all users need: k x k numbers for ials, all item factors for svd.
 *
 * Errors: GMF_ERR_USAGE a row that the model does not have, a rating that is not finite, a weight below 0;
 * GMF_ERR_NUMERIC the user's system is singular; GMF_ERR_DATA the file does not tell how it was trained, or is damaged;
 * GMF_ERR_IO; GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_fold_in_user(gmf_model *model, const gmf_new_user *user, float *factors, float *bias,
                                    gmf_row_state *state, gmf_error *err);

/* As gmf_recommend for users who are folded in; the items they rated are left out unless include_seen. States are known
 * or cold. Errors: of gmf_fold_in_user and gmf_recommend. */
GMF_API gmf_status gmf_recommend_new(gmf_model *model, const gmf_recommend_options *options, int64_t n_users,
                                     const gmf_new_user *users, const gmf_recommendations *out, gmf_error *err);

/*
 * Why a user of the model has a score: Hu, Koren, Volinsky, ICDM 2008, section 5, extended to biases and to svd.
 *
 *     score = global_mean + item_bias + centring + rest + sum_j contributions[j]
 *
 * Of item-based models the contributions are the terms a_uj W_ji of the score; ratings are 1 where it takes them so.
 *
 * The contributions are those to the row that folding in the user's training ratings gives; a user's own bias is part
 * of them. `rest` is what the row in the model has beyond it: nothing but rounding for svd, and for als and ials how
 * far the item factors have moved since the user was last solved for, which is little once training has converged.
 */
typedef struct gmf_explanation {
  gmf_row_state state; /* the worse of both; unless known, the rest is empty */
  float score;
  double global_mean, item_bias;
  double centring; /* svd: what centring makes of a user without ratings; else 0 */
  double rest;
  int64_t n;             /* training ratings of the user */
  int64_t *items;        /* [n] item rows, ascending; the arrays belong to the explanation */
  float *ratings;        /* [n] */
  double *contributions; /* [n] */
} gmf_explanation;

/*
 * out is overwritten; gmf_explanation_free. Errors: GMF_ERR_USAGE a row that the model does not have, or a popularity
 * model; GMF_ERR_DATA the file does not hold the training ratings (it was trained with --no-seen); those of
 * gmf_fold_in_user.
 */
GMF_API gmf_status gmf_explain(gmf_model *model, int64_t user, int64_t item, gmf_explanation *out, gmf_error *err);
/* Fit for {0}. */
GMF_API void gmf_explanation_free(gmf_explanation *explanation);

/* How alike two rows of one side are, by their factors alone. */
typedef enum gmf_measure {
  GMF_MEASURE_COSINE = 0, /* -1 to 1 */
  GMF_MEASURE_DOT = 1
} gmf_measure;

/* {0} with top_n set is a good start. Lists hold rows of the side that is asked about. */
typedef struct gmf_similar_options {
  int64_t top_n;
  gmf_measure measure;
  const int64_t *allow; /* [n_allow], as in gmf_recommend_options */
  int64_t n_allow;
  const int64_t *deny; /* [n_deny] */
  int64_t n_deny;
  int n_threads;
} gmf_similar_options;

/*
 * The top_n items most like each of n_items items, or users like users, without the row itself and without cold rows.
 * out: as for gmf_recommend, with rows of that side in `items`. One pass over the side's factors serves the whole call.
 *
 * Errors: as gmf_recommend; GMF_ERR_USAGE for a popularity model, which has no factors to compare.
 */
GMF_API gmf_status gmf_similar_items(gmf_model *model, const gmf_similar_options *options, int64_t n_items,
                                     const int64_t *items, const gmf_recommendations *out, gmf_error *err);
GMF_API gmf_status gmf_similar_users(gmf_model *model, const gmf_similar_options *options, int64_t n_users,
                                     const int64_t *users, const gmf_recommendations *out, gmf_error *err);

#ifdef __cplusplus
}
#endif

#endif
