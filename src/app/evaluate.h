/* `gridmf evaluate`: metrics of a model on a test set. */
#ifndef GMF_APP_EVALUATE_H
#define GMF_APP_EVALUATE_H

#include "app/config.h"
#include "app/held_out.h"

/* What was evaluated, and what was passed over; the same on all ranks. */
typedef struct gmf_evaluation {
  gmf_metrics metrics;
  bool has_seen; /* the model holds its training ratings, so that the lists leave them out */
  bool folds_in; /* some users are not the model's, but folded in */
  gmf_held_out_counts counts;
} gmf_evaluation;

/* Local. The metrics that are asked for; "" asks for those that mean something for the algorithm. */
gmf_status gmf_parse_metrics(const char *asked, gmf_algorithm algorithm, gmf_metrics *metrics, gmf_error *err);

/* Collective. config: what the command line asks for. */
gmf_status gmf_evaluate(const gmf_grid *grid, const char *model, const char *test, const gmf_config *config,
                        gmf_evaluation *out, gmf_error *err);

#endif
