/* Ratings by item id, on their way into a model. Local. */
#ifndef GMF_CLI_QUERY_RATINGS_H
#define GMF_CLI_QUERY_RATINGS_H

#include "cli/query_answer.h"

/* Fit for {0}. */
typedef struct gmf_rating_list {
  char *text;       /* owned: what ids point into; NULL where they are borrowed */
  int64_t n;        /* ratings */
  const char **ids; /* [n] owned array */
  float *values;    /* [n] owned */
  int64_t *rows;    /* [n] owned; NULL before gmf_rating_list_find */
  int64_t ids_capacity, values_capacity;
} gmf_rating_list;

gmf_status gmf_rating_list_add(gmf_rating_list *list, const char *id, float value, gmf_error *err);
/* Sets the rows; -1 for ids that the model does not have, which are added to `missing`. */
gmf_status gmf_rating_list_find(gmf_rating_list *list, gmf_model *model, gmf_missing *missing, gmf_error *err);
void gmf_rating_list_free(gmf_rating_list *list);

/* The members of the JSON object of an explanation; the `top` ratings that contribute most, the sum of the others. */
gmf_status gmf_explanation_json(const gmf_query *q, const char *user, const char *item, const gmf_explanation *e,
                                int64_t top, FILE *out, gmf_error *err);

#endif
