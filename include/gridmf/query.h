/*
 * Asking gridmf models: scores and recommendations. model.h opens a model and says what holds for threads.
 *
 * The score of user u and item i is
 *
 *     s_ui = global_mean + b_u + b_i + sum_f x_uf y_if          (terms that the model does not have are 0)
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
