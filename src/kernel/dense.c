#include "kernel/dense.h"

#include "kernel/dense_versions.h"

void gmf_gram_f4(const float *y, int64_t stride, const int32_t *cols, const float *values, gmf_loss loss, int64_t n,
                 int ld, float *work, float *a, float *b)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_gram_f4)(y, stride, cols, values, loss, n, ld, work, a, b);
}

void gmf_gram_f8(const float *y, int64_t stride, const int32_t *cols, const float *values, gmf_loss loss, int64_t n,
                 int ld, double *work, double *a, double *b)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_gram_f8)(y, stride, cols, values, loss, n, ld, work, a, b);
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

void gmf_row_residual(const float *y, int64_t stride, const int32_t *cols, const float *values, gmf_loss loss,
                      int64_t n, int ld, const double *x, double *r)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_row_residual)(y, stride, cols, values, loss, n, ld, x, r);
}

void gmf_subtract_product(const double *a, const double *x, int k, int ld, double *r)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_subtract_product)(a, x, k, ld, r);
}

double gmf_quadratic_form(const double *a, const double *x, int k, int ld)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_quadratic_form)(a, x, k, ld);
}

double gmf_row_loss(const float *y, int64_t stride, const int32_t *cols, const float *values, gmf_loss loss, int64_t n,
                    int ld, const double *x)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_row_loss)(y, stride, cols, values, loss, n, ld, x);
}
