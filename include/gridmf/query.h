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

/* What to recommend. {0} with top_n set is a good start. */
typedef struct gmf_recommend_options {
  int64_t top_n;        /* at least 1 */
  bool include_seen;    /* also items that the user rated in training; else they are left out where the file has them */
  const int64_t *allow; /* [n_allow] item rows, borrowed: only these; NULL: all. In any order, -1 is skipped */
  int64_t n_allow;
  const int64_t *deny; /* [n_deny] item rows, borrowed: not these, even when allowed */
  int64_t n_deny;
  int n_threads; /* OpenMP threads; 0: OpenMP's default */
} gmf_recommend_options;

/* Where the answers go: arrays of the caller. */
typedef struct gmf_recommendations {
  int64_t *items;        /* [n_users][top_n] item rows, best first; ties to the lower row */
  float *scores;         /* [n_users][top_n] */
  int64_t *counts;       /* [n_users] entries of each list: top_n, or as many candidates as there are */
  gmf_row_state *states; /* [n_users]; a list is empty unless GMF_ROW_KNOWN */
} gmf_recommendations;

/*
 * The top_n best items for each of n_users users. Cold items (no training rating) are never recommended.
 * One pass over the item factors serves all users of a call; its memory is in proportion to n_users x (n_factors +
 * top_n + seen items) and does not depend on the number of items. Good batches are of 100 to 1000 users.
 *
 *   users  [n_users]  rows; -1 where the id is unknown
 *
 * Errors: GMF_ERR_USAGE top_n < 1 or a row that the model does not have; GMF_ERR_DATA a factor is not a finite number,
 * a list of seen items is damaged; GMF_ERR_IO; GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_recommend(gmf_model *model, const gmf_recommend_options *options, int64_t n_users,
                                 const int64_t *users, const gmf_recommendations *out, gmf_error *err);

#ifdef __cplusplus
}
#endif

#endif
