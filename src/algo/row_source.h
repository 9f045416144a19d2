/*
 * Where the rows of a model come from while it is scored: a file, or the ranks of a training that runs. Whoever scores
 * asks for the rows it needs, some at a time, and never holds more.
 *
 * A row has `ld` floats. With biases a user's is [x_u, b_u, 1] and an item's [y_i, 1, b_i], zeros after, so that their
 * product is the whole score but for the model's mean.
 *
 * A user's row may also be his scores themselves, of all items; items have no rows then.
 */
#ifndef GMF_ALGO_ROW_SOURCE_H
#define GMF_ALGO_ROW_SOURCE_H

#include "dist/factor.h"

typedef struct gmf_row_source {
  int64_t n[GMF_N_SIDES]; /* rows of a side */
  int ld;
  bool is_scores; /* rows of users are scores; ld is n[GMF_ITEMS] */
  /* Collective. out [n][ld] gets `rows` of a side, which ascend without repetition; each rank asks for its own. */
  gmf_status (*fetch)(void *context, gmf_side side, const int64_t *rows, int64_t n, float *out, gmf_error *err);
  void *context; /* borrowed */
} gmf_row_source;

/* Rows of factors that are spread over ranks. All borrowed. */
typedef struct gmf_factor_rows {
  const gmf_grid *grid;
  const gmf_factor *factors[GMF_N_SIDES];
} gmf_factor_rows;

/* Local. factors: must outlive the source. */
gmf_row_source gmf_row_source_of_factors(gmf_factor_rows *factors);

#endif
