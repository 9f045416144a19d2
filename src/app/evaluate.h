/* `gridmf evaluate`: metrics of a model on a test set. */
#ifndef GMF_APP_EVALUATE_H
#define GMF_APP_EVALUATE_H

#include "algo/metrics.h"
#include "app/config.h"
#include "app/log.h"

/* What was evaluated, and what was passed over; the same on all ranks. */
typedef struct gmf_evaluation {
  gmf_metrics metrics;
  bool has_seen;          /* the model holds its training ratings, so that the lists leave them out */
  int64_t n_test;         /* ratings in the test set */
  int64_t n_cold_users;   /* test users whom the model has not trained on */
  int64_t n_cold_ratings; /* ratings passed over because their user or item was not trained on */
} gmf_evaluation;

/*
 * Collective. Users and items are matched by id. Users of the test set are divided among the ranks; the item factors
 * pass by in panels that each rank reads from the file, so memory does not grow with the model but for 8 bytes an item
 * of the test set.
 */
gmf_status gmf_evaluate(const gmf_grid *grid, const char *model, const char *test, const gmf_config *config,
                        gmf_evaluation *out, gmf_error *err);

#endif
