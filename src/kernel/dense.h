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
  GMF_MAX_FACTORS = 8192, /* the largest k */
  GMF_MAX_ORDER = 8194,   /* and its biases */
  GMF_GRAM_DEPTH = 64,    /* gathered rows in a panel */
  GMF_TILE_DEPTH = 256,   /* and in one of bf16 tiles */
  GMF_CHOLESKY_BLOCK = 16,
  GMF_CHOLESKY_PANEL = 64
};

/* k rounded up to whole vectors of every instruction set. */
static inline int gmf_pad(int k) { return (k + 15) / 16 * 16; }

/* Floats of work for gmf_gram_f4: sums of tiles, and a panel of gathered rows, three times in bf16. */
static inline int64_t gmf_gram_work(int ld) { return ((int64_t)ld + 3 * GMF_TILE_DEPTH / 2) * ld; }

/* Ratings of one row: rating j meets row cols[j] of the other side. */
typedef struct gmf_ratings {
  const int32_t *cols;  /* NULL: row j */
  const float *values;  /* NULL: no ratings, only weights */
  const float *weights; /* NULL: 1 */
  int64_t n;
} gmf_ratings;

/*
 * a += sum_j w_j y_j y_j',  b += sum_j t_j y_j  over n rows y_j = y[cols[j]], w and t of loss.h. Without values w is
 * the weight itself, and b is left alone.
 *
 *   y     rows of `stride` floats, of which ld are read
 *   work  f4: gmf_gram_work(ld) floats; f8: [2 * GMF_GRAM_DEPTH][ld]
 *   a     [ld][ld]    b [ld]
 */
void gmf_gram_f4(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld, float *work,
                 float *a, float *b);
void gmf_gram_f8(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld, double *work,
                 double *a, double *b);

/* Pieces that a value is cut into for exact sums, at most, their pairs, and rows in a panel; see gmf_gram_exact. */
enum { GMF_EXACT_PIECES = 3, GMF_EXACT_PAIRS = 6, GMF_EXACT_DEPTH = 32 };

/*
 * Gram matrices whose bits do not depend on the order of the rows. Each value z = sqrt(weights[j]) y_jc (weights NULL:
 * 1) is cut into pieces z = z_0 + z_1 + ..., z_p a multiple of units[p] and the rest dropped, and
 *
 *   sums[pair (p, q), p <= q] += sum_j z_p z_q' (+ z_q z_p' where p < q)        pairs in the order 00 01 11 02 12 22
 *
 * by their upper triangles. The caller picks the units so that no sum needs more than 53 bits: then each is exact.
 *
 *   y     [n][ld]
 *   work  [GMF_EXACT_PIECES * GMF_EXACT_DEPTH][ld]
 *   sums  [n_pieces (n_pieces + 1) / 2][ld][ld]
 */
void gmf_gram_exact(const float *y, int64_t n, int ld, const float *weights, const double *units, int n_pieces,
                    double *work, double *sums);

/*
 * a = U'U in place: blocks of GMF_CHOLESKY_BLOCK rows and columns above the diagonal become U's, those on it the
 * inverses of U's transposed ones, which is what solving needs. Returns -1, or the first row whose pivot is not above
 * `threshold` times its diagonal element. work  [GMF_CHOLESKY_PANEL][ld]
 */
int gmf_cholesky_f4(float *a, int k, int ld, float threshold, float *work);
int gmf_cholesky_f8(double *a, int k, int ld, double threshold, double *work);

/* x [ld] = (U'U)^-1 x in place, u from gmf_cholesky; x[k..ld) must be zero. */
void gmf_cholesky_solve_f4(const float *u, int k, int ld, float *x);
void gmf_cholesky_solve_f8(const double *u, int k, int ld, double *x);

/* Turns a x = b into the system for x_f = 1: its column goes to the right-hand side, equation f becomes x_f = 1. */
void gmf_fix_coordinate_f4(float *a, float *b, int k, int ld, int f);
void gmf_fix_coordinate_f8(double *a, double *b, int k, int ld, int f);

/*
 * r [ld] += sum_j (t_j - w_j x . y_j) y_j: what x [ld] leaves of a row's normal equations, from the ratings themselves
 * and in f8. Returns sum_j yhat_j (w_j yhat_j - 2 t_j) with yhat_j = x . y_j, which is the row's loss but for its
 * constant. diagonal [ld], where not NULL, += sum_j w_j y_j^2, element by element.
 */
double gmf_row_residual(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld,
                        const double *x, double *r, double *diagonal);

/*
 * The same for an x [ld] of f4, by products in f4 whose sums over panels of ratings are added in f8: each yhat_j has
 * the error of a few f4 roundings, as those of x give it anyhow.  work [ld]
 */
double gmf_row_residual_f4(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld,
                           const float *x, float *work, double *r);

/* q [ld] += sum_j w_j (p . y_j) y_j, in f4. */
void gmf_row_product(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld, const float *p,
                     float *q);

/* r [ld] -= a x for a stored by its upper triangle. */
void gmf_subtract_product(const double *a, const double *x, int k, int ld, double *r);

/* Sum of x[j]^2 over j < k, in f8. */
double gmf_sum_of_squares(const float *x, int k);

/* Rows that are rotated together, and products of a sum that are one chain of additions. */
enum { GMF_ROTATE_BATCH = 16, GMF_ROTATE_CHAIN = 128 };

/*
 * out [n][ld] = in [n][ld] m, in f8, rounded to f4; in place where out = in. gmf_rotate_rows_f4: in f4, m rounded to
 * it; twice as fast.
 *
 *   m     [ld][ld]
 *   work  [GMF_ROTATE_BATCH][ld]; f4: [GMF_ROTATE_BATCH + ld][ld], of which gmf_gram_work has enough
 */
void gmf_rotate_rows(const float *in, int64_t n, int ld, const double *m, double *work, float *out);
void gmf_rotate_rows_f4(const float *in, int64_t n, int ld, const double *m, float *work, float *out);

#endif
