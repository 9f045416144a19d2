/*
 * The row of a user outside the training: solved from the user's ratings and the items' rows, as training solves its
 * own; or projected, where the model is of an SVD (projection.h). Local, one solver a thread; allocates only in
 * gmf_user_solver_create.
 */
#ifndef GMF_KERNEL_USER_SOLVER_H
#define GMF_KERNEL_USER_SOLVER_H

#include "kernel/projection.h"
#include "kernel/row_solver.h"

/* How a model was trained, as far as a user's row depends on it. */
typedef struct gmf_fold_in_rule {
  bool is_constant; /* popularity: the row is 1, whatever the ratings */
  gmf_row_options row;
  gmf_regularisation regularisation;
  int64_t n_items; /* rows of items in the model */
} gmf_fold_in_rule;

typedef struct gmf_user_solver {
  gmf_fold_in_rule rule;
  int ld;                           /* floats in a row: gmf_pad(gmf_row_order(k, bias)) */
  const double *shared;             /* borrowed [ld][ld]: s Y'Y by its upper triangle; NULL where s is 0 */
  const gmf_projection *projection; /* borrowed; NULL: rows are solved */
  gmf_row_solver solver;            /* owned; none where the row is constant or projected */
  double *diagonal;                 /* owned [ld] */
} gmf_user_solver;

/* out, owned by the caller: [ld][ld] what gmf_user_solver_create takes as `shared`, from gram [k][k], Y'Y of all item
 * rows; NULL where gram is. */
gmf_status gmf_user_solver_share(const gmf_fold_in_rule *rule, const double *gram, double **out, gmf_error *err);

/* Both borrowed, must outlive the solver. shared: NULL for losses over stored ratings only (loss.h). projection: for
 * models of an SVD, with all items added; else NULL. */
gmf_status gmf_user_solver_create(gmf_user_solver *solver, const gmf_fold_in_rule *rule, const double *shared,
                                  const gmf_projection *projection, gmf_error *err);
/* Accepts {0}. */
void gmf_user_solver_destroy(gmf_user_solver *solver);

/*
 * x [ld]: the user's row, without ratings zero but for the column that is 1. The ratings' cols are rows of y [..][ld];
 * the model's mean is taken off their values, but those that are projected stand as they are. False when the system is
 * singular.
 */
bool gmf_user_solver_run(gmf_user_solver *solver, const float *y, const gmf_ratings *ratings, float *x);

/*
 * What each rating adds to the row's product with an item's row: after gmf_user_solver_run with the same y and ratings,
 * which gave x, contributions [n] add up to x . item, but for *rest, which no rating brought (centring; else 0).
 *
 *   item  [ld]  an item's row, its bias in place and 1 in the user's column; its bias does not count
 *
 * False for constant rows, and where the system is singular.
 */
bool gmf_user_solver_explain(gmf_user_solver *solver, const float *y, const gmf_ratings *ratings, const float *x,
                             const float *item, double *contributions, double *rest);

#endif
