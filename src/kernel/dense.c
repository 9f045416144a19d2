#include "kernel/dense.h"

#include "kernel/dense_versions.h"
#include "kernel/gram_amx.h"

void gmf_gram_f4(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld, float *work,
                 float *a, float *b)
{
#ifdef GMF_HAVE_X86_KERNELS
  if (gmf_kernel_level() == GMF_LEVEL_AMX && gmf_gram_f4_amx(y, stride, ratings, loss, ld, work, a, b)) return;
#endif
  GMF_ISA_PICK(gmf_kernel_level(), gmf_gram_f4)(y, stride, ratings, loss, ld, work, a, b);
}

void gmf_gram_f8(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld, double *work,
                 double *a, double *b)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_gram_f8)(y, stride, ratings, loss, ld, work, a, b);
}

void gmf_gram_exact(const float *y, int64_t n, int ld, const float *weights, const double *units, int n_pieces,
                    double *work, double *sums)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_gram_exact)(y, n, ld, weights, units, n_pieces, work, sums);
}

int gmf_cholesky_f4(float *a, int k, int ld, float threshold, float *work)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_cholesky_f4)(a, k, ld, threshold, work);
}

int gmf_cholesky_f8(double *a, int k, int ld, double threshold, double *work)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_cholesky_f8)(a, k, ld, threshold, work);
}

void gmf_cholesky_solve_f4(const float *u, int k, int ld, float *x)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_cholesky_solve_f4)(u, k, ld, x);
}

void gmf_cholesky_solve_f8(const double *u, int k, int ld, double *x)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_cholesky_solve_f8)(u, k, ld, x);
}

void gmf_fix_coordinate_f4(float *a, float *b, int k, int ld, int f)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_fix_coordinate_f4)(a, b, k, ld, f);
}

void gmf_fix_coordinate_f8(double *a, double *b, int k, int ld, int f)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_fix_coordinate_f8)(a, b, k, ld, f);
}

double gmf_row_residual(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld,
                        const double *x, double *r, double *diagonal)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_row_residual)(y, stride, ratings, loss, ld, x, r, diagonal);
}

double gmf_row_residual_f4(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld,
                           const float *x, float *work, double *r)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_row_residual_f4)(y, stride, ratings, loss, ld, x, work, r);
}

void gmf_row_product(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld, const float *p,
                     float *q)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_row_product)(y, stride, ratings, loss, ld, p, q);
}

void gmf_subtract_product(const double *a, const double *x, int k, int ld, double *r)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_subtract_product)(a, x, k, ld, r);
}

double gmf_sum_of_squares(const float *x, int k) { return GMF_ISA_PICK(gmf_kernel_level(), gmf_sum_of_squares)(x, k); }

void gmf_rotate_rows(const float *in, int64_t n, int ld, const double *m, double *work, float *out)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_rotate_rows)(in, n, ld, m, work, out);
}

void gmf_rotate_rows_f4(const float *in, int64_t n, int ld, const double *m, float *work, float *out)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_rotate_rows_f4)(in, n, ld, m, work, out);
}
