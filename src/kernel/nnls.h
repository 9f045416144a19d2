/* Non-negative least squares of one row. Local, one thread. */
#ifndef GMF_KERNEL_NNLS_H
#define GMF_KERNEL_NNLS_H

#include <stdbool.h>

/*
 * Minimizes  x'Ax / 2 - b'x  subject to  x_j >= 0 for j < n_bounded,  for a positive definite A: the x with
 * x_j >= 0, (Ax - b)_j >= 0 and x_j (Ax - b)_j = 0 for the bounded coordinates, and (Ax - b)_j = 0 for the others.
 * False when A is not positive definite.
 *
 *   a        [ld][ld]  the full square of A, of order n; is not changed
 *   b        [ld]
 *   x        [ld]      in: where x_j > 0 is guessed to hold; out: the solution, zero from n on
 *   scratch  [ld][ld] and [GMF_CHOLESKY_PANEL + 3][ld]
 */
bool gmf_nnls(const double *a, const double *b, int n, int n_bounded, int ld, double *x, double *scratch,
              double *scratch_rows);

#endif
