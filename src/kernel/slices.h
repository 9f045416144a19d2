/*
 * Rows of many ratings. What is summed over more of them than a slice has is the sum of the slices' sums, added in
 * their order: its bits follow from the ratings alone, and who takes which slice is free. One thread takes all of them,
 * or the threads of a team each take the next. Allocates nothing.
 */
#ifndef GMF_KERNEL_SLICES_H
#define GMF_KERNEL_SLICES_H

#include "kernel/dense.h"

enum {
  GMF_SLICE = 4096,    /* ratings; a multiple of all panels */
  GMF_GRAM_SLICE = 512 /* rows of a factor, for its Gram matrix */
};

/* Threads that take slices. The arrays are the caller's. */
typedef struct gmf_team {
  int n_threads;
  double *const *rooms; /* [n_threads] of [ld + 1][ld] each: the sums of the slice that a thread is at */
  float *const *work;   /* [n_threads] of gmf_gram_work(ld) each */
  double *seconds;      /* [n_threads], += what each was at work, of its processor's time; NULL: nobody asks */
} gmf_team;

/* Ratings of one row with what they meet. */
typedef struct gmf_rated_row {
  const float *y; /* rows of `stride` floats, of which ld are read */
  int64_t stride;
  const gmf_ratings *ratings;
  gmf_loss loss;
  int ld;
} gmf_rated_row;

/*
 * sums [n] += what a slice of a row's ratings adds, those from `begin` on; returns what it adds to the whole sum's
 * value. work: the thread's, gmf_gram_work(ld) floats.
 */
typedef double gmf_slice_part(const void *context, const gmf_ratings *slice, int64_t begin, float *work, void *sums);

/* sums [n] += those of all slices of GMF_SLICE ratings, n at most (ld + 1) ld; returns the sum of their values. Called
 * by one thread, which is the team's first. */
double gmf_slices_sum_f8(const gmf_team *team, const gmf_ratings *ratings, gmf_slice_part *part, const void *context,
                         double *sums, int64_t n);

/* dense.h's sums over a row. Gram matrices with the right-hand side as their row ld: sums [ld + 1][ld]. Residuals: of x
 * [ld], r [ld], and diagonals, where they are asked for, behind it: r [2][ld]. */
void gmf_sum_gram_f4(const gmf_team *team, const gmf_rated_row *row, float *sums);
void gmf_sum_gram_f8(const gmf_team *team, const gmf_rated_row *row, double *sums);
double gmf_sum_residual(const gmf_team *team, const gmf_rated_row *row, const double *x, bool with_diagonal, double *r);
double gmf_sum_residual_f4(const gmf_team *team, const gmf_rated_row *row, const float *x, double *r);

/* sums [ld + 1][ld], of which the last row is left alone, += Y' diag(weights) Y of n rows of ld, weights NULL: 1. */
void gmf_sum_factor_gram(const gmf_team *team, const float *y, int64_t n, int ld, const float *weights, double *sums);

/* q [ld] += sum_j w_j (p . y_j) y_j, each slice's in f4. */
void gmf_sum_product(const gmf_team *team, const gmf_rated_row *row, const float *p, float *q);

#endif
