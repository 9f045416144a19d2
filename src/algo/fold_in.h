/*
 * Rows of many users outside the training, by threads; kernel/user_solver.h and kernel/projection.h have the
 * mathematics.
 */
#ifndef GMF_ALGO_FOLD_IN_H
#define GMF_ALGO_FOLD_IN_H

#include "kernel/user_solver.h"

typedef struct gmf_fold_in gmf_fold_in;

/* Local. gram [k][k]: Y'Y of all item rows, for losses over all pairs (loss.h); else NULL. projection: for models of an
 * SVD, with all items added; borrowed, must outlive the result; else NULL. */
gmf_status gmf_fold_in_create(const gmf_fold_in_rule *rule, const double *gram, const gmf_projection *projection,
                              gmf_fold_in **out, gmf_error *err);
void gmf_fold_in_destroy(gmf_fold_in **fold_in);

/*
 * Local. x [n][ld]: the rows of n users. User j's ratings are [begin[j], begin[j + 1]) of `ratings`, whose cols are
 * rows of y [..][ld]; their values have the model's mean taken off, but are projected as they are; ratings->n is not
 * read. Returns the first user whose system is singular, -1 when there is none.
 */
int64_t gmf_fold_in_solve(gmf_fold_in *fold_in, const float *y, const int64_t *begin, const gmf_ratings *ratings,
                          int64_t n, float *x);

#endif
