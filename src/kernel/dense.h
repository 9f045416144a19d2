/*
 * Normal equations of one row: Gram matrix of gathered factor rows, Cholesky factorisation, solution. One thread, no
 * MPI, no I/O. Versions for each instruction set (dense_isa.c); the functions without suffix choose at run time.
 *
 * A symmetric matrix of order k is stored by its upper triangle in `ld` rows of `ld` elements, ld = gmf_pad(k), rows
 * and columns from k on zero. All pointers are 64-byte aligned.
 */
#ifndef GMF_KERNEL_DENSE_H
#define GMF_KERNEL_DENSE_H

#include <stdint.h>

#include "kernel/loss.h"

enum {
  GMF_MAX_ORDER = 1024,    /* the largest k */
  GMF_GRAM_DEPTH = 64,     /* gathered rows in a panel, at most */
  GMF_PANEL_BYTES = 16384, /* a panel stays in the first-level cache */
  GMF_CHOLESKY_BLOCK = 16
};

/* k rounded up to whole vectors of every instruction set. */
static inline int gmf_pad(int k) { return (k + 15) / 16 * 16; }

/*
 * a += sum_j w(values[j]) y_j y_j',  b += sum_j t(values[j]) y_j  over n rows y_j = y[cols[j]] (y[j] where cols is
 * NULL). values NULL: weights 1 and b is left alone.
 *
 *   y     rows of `stride` floats, of which ld are read
 *   work  [2 * GMF_GRAM_DEPTH][ld]
 *   a     [ld][ld]    b [ld]
 */
void gmf_gram_f4(const float *y, int64_t stride, const int32_t *cols, const float *values, gmf_loss loss, int64_t n,
                 int ld, float *work, float *a, float *b);
void gmf_gram_f8(const float *y, int64_t stride, const int32_t *cols, const float *values, gmf_loss loss, int64_t n,
                 int ld, double *work, double *a, double *b);

/*
 * a = U'U in place. Returns -1, or the first row whose pivot is not above `threshold` times its diagonal element.
 *   work  [GMF_CHOLESKY_BLOCK][ld]
 */
int gmf_cholesky_f4(float *a, int k, int ld, float threshold, float *work);
int gmf_cholesky_f8(double *a, int k, int ld, double threshold, double *work);

/* x [ld] = (U'U)^-1 x in place; x[k..ld) must be zero. */
void gmf_cholesky_solve_f4(const float *u, int k, int ld, float *x);
void gmf_cholesky_solve_f8(const double *u, int k, int ld, double *x);

/*
 * r [ld] += sum_j (t(values[j]) - w(values[j]) x . y_j) y_j: what x [ld] leaves of a row's normal equations, from the
 * ratings themselves and in f8; arguments as in gmf_gram_f4.
 */
void gmf_row_residual(const float *y, int64_t stride, const int32_t *cols, const float *values, gmf_loss loss,
                      int64_t n, int ld, const double *x, double *r);

/* r [ld] -= a x for a stored by its upper triangle. */
void gmf_subtract_product(const double *a, const double *x, int k, int ld, double *r);

/* x'ax for a stored by its upper triangle. */
double gmf_quadratic_form(const double *a, const double *x, int k, int ld);

/* sum_j yhat_j (w(values[j]) yhat_j - 2 t(values[j])), yhat_j = x . y_j in f8; arguments as in gmf_gram_f4. */
double gmf_row_loss(const float *y, int64_t stride, const int32_t *cols, const float *values, gmf_loss loss, int64_t n,
                    int ld, const double *x);

#endif
