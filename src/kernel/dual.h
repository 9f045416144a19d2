/*
 * The dual of one row of few ratings: a system of as many equations as it has ratings, in f8. One thread, no MPI, no
 * I/O, allocates nothing. Versions for each instruction set (dual_isa.c); the function without suffix chooses at run
 * time.
 */
#ifndef GMF_KERNEL_DUAL_H
#define GMF_KERNEL_DUAL_H

#include "kernel/dense.h"

/* Vectors of ld f8 in gmf_dual_system's work. */
enum { GMF_DUAL_VECTORS = 5 + GMF_CHOLESKY_PANEL };

/* (D + sum_j w_j y_j y_j') x = q + sum_j t_j y_j, w and t of loss.h, of fewer ratings than coordinates. */
typedef struct gmf_dual_system {
  const float *y; /* rows of `stride` floats, of which ld are read */
  int64_t stride;
  const gmf_ratings *ratings;
  gmf_loss loss;
  const double *diagonal; /* [n]: D; not read where x is fixed */
  const double *prior;    /* [ld]: q, NULL: zero; zero where x is fixed and from n on */
  int n, ld;              /* coordinates; gmf_pad(n) */
  int fixed;              /* the coordinate of x that is 1; -1: none */
  double *rows;           /* [ld][ld], scratch: the scaled ratings */
  double *a;              /* [ld][ld], scratch: the matrix */
  double *work;           /* [GMF_DUAL_VECTORS][ld], scratch */
} gmf_dual_system;

/*
 * x [ld] = the solution, zero where it is fixed and from n on. *objective: that of x without its constant,
 * sum_j yhat_j (w_j yhat_j - 2 t_j) + x'Dx - 2 q'x. False when D or a weight is not of the right sign.
 */
bool gmf_dual_run(const gmf_dual_system *system, double *x, double *objective);

#endif
