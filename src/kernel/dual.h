/*
 * The dual of rows of few ratings: a system of as many equations as a row has ratings, in f8; one row at a time, or a
 * batch of rows that have few. One thread, no MPI, no I/O, allocates nothing. Versions for each instruction set
 * (dual_isa.c, dual_batch_isa.c); the functions without suffix choose at run time.
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

/* Longer rows take as long in a batch as alone: their systems no longer stay in the first cache (row_costs). */
enum {
  GMF_DUAL_BATCH = 16,         /* rows of a batch, at most */
  GMF_DUAL_BATCH_RATINGS = 32, /* and ratings of each */
  GMF_DUAL_BATCH_LANES = 10    /* see gmf_dual_batch_work */
};

/* Doubles of work for rows of gmf_pad(k) = ld coordinates: dual_batch_isa.c's state at most. */
static inline int64_t gmf_dual_batch_work(int ld)
{
  int64_t d = GMF_DUAL_BATCH_RATINGS, order = d + 1, pad = (order + 7) / 8 * 8;
  return (1 + GMF_DUAL_BATCH + order) * ld +
         GMF_DUAL_BATCH * (order * pad + order * (order + 1) / 2 + GMF_DUAL_BATCH_LANES * d);
}

/* The same system for several rows. */
typedef struct gmf_dual_batch {
  const float *y; /* rows of `stride` floats, of which ld are read */
  int64_t stride;
  gmf_loss loss;
  int n, ld; /* coordinates; gmf_pad(n) */
  int fixed; /* the coordinate of x that is 1; -1: none */
  int n_rows;
  gmf_ratings ratings[GMF_DUAL_BATCH];     /* GMF_DUAL_BATCH_RATINGS at most; best as many in each row */
  const double *diagonals[GMF_DUAL_BATCH]; /* [n]: D, not read where x is fixed; best the same array for all rows */
  const double *priors[GMF_DUAL_BATCH];    /* [ld]: q, zero where x is fixed and from n on; the first NULL: all zero */
  double *work;                            /* [gmf_dual_batch_work] */
} gmf_dual_batch;

/*
 * For each row r that is solved[r], x[r] [ld] = the solution in f4, 1 where it is fixed, and objective[r] that of it
 * before it was rounded. Neither depends on the other rows, nor on how many these are. A row is not solved when D or a
 * weight is not of the right sign, or x is not finite or too large for a model; x[r] is then undefined.
 */
void gmf_dual_batch_run(const gmf_dual_batch *batch, float *const *x, double *objective, bool *solved);

#endif
