/*
 * What is evaluated: a model in a file (model_subject.h), or one whose training runs (validate.h). The two differ in
 * where rows, ids and training ratings come from, and in nothing else.
 */
#ifndef GMF_APP_SUBJECT_H
#define GMF_APP_SUBJECT_H

#include "algo/fold_in.h"
#include "algo/row_source.h"
#include "app/config.h"
#include "io/id_match.h"
#include "io/user_ratings.h"

typedef struct gmf_subject {
  const char *name;               /* for messages: the path of the model, or of the dataset it is trained on */
  gmf_row_source rows;            /* collective */
  double mean;                    /* added to every score */
  gmf_id_source ids[GMF_N_SIDES]; /* local, like the rest */
  const uint64_t *trained;        /* items with training ratings (base/bits.h) */
  /* What users, by rows of the model in any order, had in training; values of *out are not set. */
  gmf_status (*seen)(void *context, const int64_t *rows, int64_t n, gmf_user_ratings *out, gmf_error *err);
  /* Local, item-based models (rows.is_scores): out [n][rows.ld], the scores of users with these ratings, in the
   * numbering of the model. NULL for models with factors. */
  gmf_status (*score)(void *context, const gmf_user_ratings *ratings, int64_t first, int64_t n, float *out,
                      gmf_error *err);
  gmf_fold_in_rule fold_in; /* how rows of other users are solved */
  /* Collective. out [k][k] = Y'Y of all item rows, on every rank; for losses over all pairs. */
  gmf_status (*gram)(void *context, double *out, gmf_error *err);
  /* Collective. The projection of a model of an SVD, with all items added, which the caller destroys; NULL for other
   * models. */
  gmf_status (*project)(void *context, gmf_projection **out, gmf_error *err);
  void *context; /* borrowed */
} gmf_subject;

/* Local. How users are folded into a model that was trained with these options, resolved. */
gmf_fold_in_rule gmf_subject_rule(const gmf_config *training, int64_t n_items);

#endif
