/*
 * One row of an ALS half-sweep: forms and solves
 *
 *   (D + S + sum_j w_j y_j y_j') x = sum_j t_j y_j + q          D diagonal, S dense; w, t of loss.h
 *
 * with q = lambda m for a row that is shrunk towards m and not towards zero (algo/features.c),
 *
 * where one coordinate of x may be held at 1: that is how biases are solved together with factors (als.c). Four ways:
 *
 * - primal: the k x k matrix is formed and factored in f4 (on AMX from bf16 pieces), and the solution refined with
 *   residuals of the ratings themselves (iterative refinement: Wilkinson, "Rounding errors in algebraic processes",
 *   1963). The matrix then only steers the way: what x converges to is the solution of the exact system, rounded to f4.
 *   The first residual of a row of many ratings is from f4 products, the others are of f8. A row that f4 cannot factor,
 *   or whose first step is not small, is formed again and factored in f8
 * - dual: the n x n matrix of a row of few ratings, in f8; of several rows at once where ratings are very few (dual.h)
 * - cg: conjugate gradients preconditioned by the diagonal, on the correction to the x that the row comes with (cg.h)
 * - nnls: factors not below zero, by block principal pivoting in f8 (nnls.h)
 *
 * A row that f8 cannot factor although its lambda is above zero is tried once more with GMF_JITTER times the mean of
 * the matrix's diagonal added to it. What fails then, or has no lambda, is singular.
 *
 * Sums over many ratings are cut into slices (slices.h), so that threads can solve a row together: its solver is then
 * that of the team's first thread.
 *
 * Local, one solver a thread; allocates only in gmf_row_solver_create.
 */
#ifndef GMF_KERNEL_ROW_SOLVER_H
#define GMF_KERNEL_ROW_SOLVER_H

#include <stddef.h>

#include "base/error.h"
#include "base/side.h"
#include "kernel/cg.h"
#include "kernel/dense.h"
#include "kernel/dual.h"
#include "kernel/slices.h"

/* Relative to the mean of the diagonal; see above. */
#define GMF_JITTER 1e-6

/* How a row is solved. */
typedef enum gmf_row_way { GMF_ROW_DUAL, GMF_ROW_CHOLESKY, GMF_ROW_CG, GMF_N_ROW_WAYS } gmf_row_way;

/* --solver: auto and cholesky are exact. */
typedef enum gmf_solver { GMF_SOLVER_AUTO, GMF_SOLVER_CHOLESKY, GMF_SOLVER_CG } gmf_solver;

/* A row's system. Coordinates from k on are zero but for the biases' two. */
typedef struct gmf_row {
  const float *y; /* rows of `stride` floats, of which ld are read */
  int64_t stride;
  gmf_ratings ratings;
  const double *diagonal; /* [ld]: D; not read where x is fixed, nor from the solver's n on */
  const double *shared;   /* [ld][ld]: S by its upper triangle, NULL: none; read in f8 and by nnls only */
  const double *prior;    /* [ld]: q, NULL: zero; zero where x is fixed and from the solver's n on */
  int fixed;              /* the coordinate that is 1; -1: none */
  bool has_lambda;        /* D > 0 by right, so that a failure is one of rounding */
} gmf_row;

typedef struct gmf_row_options {
  int k;     /* factors */
  bool bias; /* two more coordinates: the row's own bias and the other side's, see gmf_row_order */
  gmf_loss loss;
  gmf_solver solver;
  int cg_steps;
  bool nonnegative; /* the first k coordinates are not below zero */
} gmf_row_options;

typedef struct gmf_row_solver {
  gmf_row_options options;
  int n;                             /* coordinates of the system: gmf_row_order */
  int ld;                            /* gmf_pad(n) */
  float *a, *b, *work;               /* owned [ld][ld] and behind it [ld]; owned [gmf_gram_work] */
  double *a8, *b8, *x8, *r8, *work8; /* owned [ld][ld] and behind it [ld]; [ld] twice, [2 GMF_GRAM_DEPTH][ld] */
  double *copy8;                     /* owned [ld + 1][ld]: a8 before it is factored; before that, sums of a slice */
  double *batch;                     /* owned [gmf_dual_batch_work]; not with nonnegative */
  const gmf_team *team;              /* borrowed: who takes the slices of rows, me first; NULL: I, all of them */
  gmf_cg_panel *panels;              /* owned [GMF_CG_PANELS]; with cg */
  int64_t n_retried;                 /* rows that needed f8 */
  int64_t n_jittered;                /* rows that needed jitter */
} gmf_row_solver;

/*
 * Coordinates of a row: k factors, and with biases the user's and the item's. A user's row is [x_u, b_u, 1], an item's
 * [y_i, 1, b_i], so that their product is the whole prediction but for the mean.
 */
static inline int gmf_row_order(int k, bool bias) { return k + (bias ? 2 : 0); }

/* The column of a side's own bias, behind the k factors. */
static inline int gmf_bias_column(int k, gmf_side side) { return k + (side == GMF_USERS ? 0 : 1); }

gmf_status gmf_row_solver_create(gmf_row_solver *solver, const gmf_row_options *options, gmf_error *err);
void gmf_row_solver_destroy(gmf_row_solver *solver);

/*
 * x [ld]: in, where the last sweep left it (cg starts there); out, the solution. *objective: the row's part of the
 * objective at x without its constant, lambda included: with a prior, lambda |x|^2 - 2 q'x. False when the system is
 * singular; x is then undefined.
 */
bool gmf_row_solve(gmf_row_solver *solver, const gmf_row *row, float *x, double *objective);

/*
 * The choice of gmf_row_solve for a row of n ratings, which depends on the options and n alone. auto: dual or Cholesky;
 * cg: the dual of the shortest rows, else cg. gmf_row_solve_by takes the way it is told to, the dual only where n is
 * less than the order. What fails goes on to the other ways.
 */
gmf_row_way gmf_row_choose(const gmf_row_options *options, int64_t n);
bool gmf_row_solve_by(gmf_row_solver *solver, const gmf_row *row, gmf_row_way way, float *x, double *objective);

/*
 * Rows for which gmf_row_is_batched, GMF_DUAL_BATCH of them at most: what gmf_row_solve makes of each, bit for bit, for
 * less. They differ in ratings, diagonal and prior alone; those of equally many ratings go together best, and those
 * that point to one diagonal. x, objective, solved [n_rows]: as gmf_row_solve's x, objective and value.
 */
bool gmf_row_is_batched(const gmf_row_options *options, int64_t n);
void gmf_row_solve_batch(gmf_row_solver *solver, const gmf_row *rows, int n_rows, float *const *x, double *objective,
                         bool *solved);

/* The same in f8 throughout. For few rows: folding in. */
bool gmf_row_solve_f8(gmf_row_solver *solver, const gmf_row *row, float *x);

/*
 * r8 = what x8 leaves of the normal equations; it returns the row's objective at x8 but for its constant,
 * sum_j yhat_j (w_j yhat_j - 2 t_j) + x'Dx - 2 q'x.
 */
double gmf_row_find_residual(gmf_row_solver *solver, const gmf_row *row);

/* a8, b8 = the sums over the row's ratings, without D, S and q. */
void gmf_row_form(gmf_row_solver *solver, const gmf_row *row);

/* The team that takes a solver's slices. */
static inline gmf_team gmf_row_team(gmf_row_solver *s)
{
  return s->team != NULL ? *s->team : (gmf_team){.n_threads = 1, .rooms = &s->copy8, .work = &s->work};
}

/* x [ld] = x8 rounded to f4. False when a value is not finite, or too large for a model. */
bool gmf_row_round(const gmf_row_solver *solver, const gmf_row *row, float *x);

/* The same from sums over the ratings already formed (folded over ranks) in s->a8 and s->b8; y and ratings of
 * the row are not read. */
bool gmf_row_solve_sums(gmf_row_solver *solver, const gmf_row *row, float *x, double *objective);

#endif
