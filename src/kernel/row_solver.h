/*
 * One row of an ALS half-sweep: forms and solves
 *
 *   (G + sum_j w_j y_j y_j' + lambda I) x = sum_j t_j y_j       (see loss.h for w, t)
 *
 * The fast path forms and factors in f4, and refines the solution by the factors with residuals of the ratings
 * themselves in f8 (iterative refinement: Wilkinson, "Rounding errors in algebraic processes", 1963). Sums of f4
 * products then only steer the way: what x converges to is the solution of the exact system, rounded to f4, which is
 * what the f8 path and the folded sums of other grids give too. A row that f4 cannot factor, or whose first step is not
 * small, is formed again and factored in f8. What f8 finds singular is.
 *
 * Local, one solver a thread; allocates only in gmf_row_solver_create.
 */
#ifndef GMF_KERNEL_ROW_SOLVER_H
#define GMF_KERNEL_ROW_SOLVER_H

#include "base/error.h"
#include "kernel/dense.h"

/* --solver: auto and cholesky are exact. */
typedef enum gmf_solver { GMF_SOLVER_AUTO, GMF_SOLVER_CHOLESKY, GMF_SOLVER_CG } gmf_solver;

typedef struct gmf_row_solver {
  int k, ld;
  gmf_loss loss;
  float *a, *b, *work;               /* owned [ld][ld], [ld], [2 GMF_GRAM_DEPTH][ld] */
  double *a8, *b8, *x8, *r8, *work8; /* owned, likewise */
  int64_t n_retried;                 /* rows that needed f8 */
} gmf_row_solver;

gmf_status gmf_row_solver_create(gmf_row_solver *solver, int k, gmf_loss loss, gmf_error *err);
void gmf_row_solver_destroy(gmf_row_solver *solver);

/* The matrix that all rows share, in both precisions; zero for losses without one. */
typedef struct gmf_shared_gram {
  const double *f8; /* [ld][ld], upper triangle */
  const float *f4;
} gmf_shared_gram;

/*
 * x [ld] = the solution for n ratings: rows y[cols[j]] with `values`. False when the system is singular; x is then
 * undefined. Afterwards solver->x8 [ld] holds x, as rounded, in f8.
 */
bool gmf_row_solve(gmf_row_solver *solver, const float *y, int64_t stride, const int32_t *cols, const float *values,
                   int64_t n, gmf_shared_gram shared, double lambda, float *x);

/*
 * The same from sums already formed (folded over ranks) in s->a8 and s->b8, without shared part and lambda. All in f8;
 * s->a8 is overwritten.
 */
bool gmf_row_solve_sums(gmf_row_solver *solver, gmf_shared_gram shared, double lambda, float *x);

#endif
