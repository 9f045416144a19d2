/*
 * Products of a sparse row with a block of vectors, in f8. One thread, no MPI, no I/O. Versions for each instruction
 * set (spmm_isa.c).
 */
#ifndef GMF_KERNEL_SPMM_H
#define GMF_KERNEL_SPMM_H

#include <stdint.h>

/*
 * y [width] = sum_j values[j] x[cols[j]], j < n: one row of a sparse matrix in f4 times `width` vectors in f8.
 *   x  rows of `width` doubles without gaps
 */
typedef void gmf_spmm_row_fn(const int32_t *cols, const float *values, int64_t n, const double *x, int width,
                             double *y);

gmf_spmm_row_fn gmf_spmm_row_generic, gmf_spmm_row_avx2, gmf_spmm_row_avx512;

/* The version for this CPU: a loop over rows asks once. */
gmf_spmm_row_fn *gmf_spmm_row(void);

#endif
