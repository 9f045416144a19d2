/* Answers about features: of gridmf-query's verbs and of requests of its stream. */
#ifndef GMF_CLI_QUERY_FEATURES_H
#define GMF_CLI_QUERY_FEATURES_H

#include "cli/query_answer.h"
#include "gridmf/features.h"

/* What is asked: n things given by features, each with lists of what it is near to. */
typedef struct gmf_description {
  gmf_feature_side side;
  const char *subject_key, *subject; /* "feature", "genres:Drama"; "item_features", "genres:Drama,year:1990" */
  const float *vector;               /* [k] */
  bool recommends;                   /* of a user: the best items, not the users alike */
  bool with_features;                /* the features alike, too */
  int64_t column;                    /* but for this one */
  const char *const *users;          /* [n_users]: whose scores of the item are asked for */
  int64_t n_users, top_n;
} gmf_description;

/* The members of its JSON object. */
gmf_status gmf_description_json(const gmf_query *q, const gmf_description *d, FILE *out, gmf_error *err);

/* vector [k] of n features by their names; GMF_ERR_DATA for a name that the model does not have. whole: they are all of
 * something, and so has the intercept, too, where the model has one. */
gmf_status gmf_describe_names(gmf_model *model, gmf_feature_side side, const char *const *names, int64_t n, bool whole,
                              float *vector, gmf_error *err);

#endif
