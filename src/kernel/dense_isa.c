/* Compiled once for each instruction set; see isa.h and dense.h. */
#include <math.h>
#include <stddef.h>

#include "kernel/dense_versions.h"

/* With 32 vector registers a tile keeps 16 accumulators, with 16 registers 8. */
#if GMF_VECTOR_FLOATS == 16
#define TILE_ROWS 8
#else
#define TILE_ROWS 4
#endif

typedef float vector_f4 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));
typedef double vector_f8 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));

#define NAME(f) GMF_ISA_NAME(f##_f4)
#define REAL float
#define VECTOR vector_f4
#define LANES GMF_VECTOR_FLOATS
#define SQRT sqrtf
#include "kernel/dense_template.h"
#undef NAME
#undef REAL
#undef VECTOR
#undef LANES
#undef SQRT

#define NAME(f) GMF_ISA_NAME(f##_f8)
#define REAL double
#define VECTOR vector_f8
#define LANES (GMF_VECTOR_FLOATS / 2)
#define SQRT sqrt
#include "kernel/dense_template.h"

void GMF_ISA_NAME(gmf_residual)(const float *a, const float *b, const double *x, int k, int ld, double *r)
{
  for (int j = 0; j < ld; j++) r[j] = (double)b[j];
  for (int i = 0; i < k; i++) {
    const float *row = a + (size_t)i * (size_t)ld;
    VECTOR sum = {0};
    double xi = x[i], head = (double)row[i] * xi;
    int j = i + 1;
    for (; j % LANES != 0; j++) {
      head += (double)row[j] * x[j];
      r[j] -= (double)row[j] * xi;
    }
    for (; j < ld; j += LANES) {
      VECTOR aj;
      for (int l = 0; l < LANES; l++) aj[l] = (double)row[j + l];
      sum += aj * *(const VECTOR *)(x + j);
      *(VECTOR *)(r + j) -= aj * xi;
    }
    for (int l = 0; l < LANES; l++) head += sum[l];
    r[i] -= head;
  }
}

double GMF_ISA_NAME(gmf_quadratic_form)(const double *a, const double *x, int k, int ld)
{
  double sum = 0;
  for (int i = 0; i < k; i++) {
    const double *row = a + (size_t)i * (size_t)ld;
    sum += x[i] * (row[i] * x[i] + 2 * NAME(dot_from)(row, x, i + 1, ld));
  }
  return sum;
}

double GMF_ISA_NAME(gmf_row_loss)(const float *y, int64_t stride, const int32_t *cols, const float *values,
                                  gmf_loss loss, int64_t n, int ld, const double *x)
{
  double total = 0;
  for (int64_t d = 0; d < n; d++) {
    const float *row = y + (int64_t)cols[d] * stride;
    VECTOR sum = {0};
    for (int j = 0; j < ld; j += LANES) {
      VECTOR yj;
      for (int l = 0; l < LANES; l++) yj[l] = (double)row[j + l];
      sum += yj * *(const VECTOR *)(x + j);
    }
    double yhat = 0;
    for (int l = 0; l < LANES; l++) yhat += sum[l];
    double w = (double)gmf_loss_weight(loss, values[d]), t = (double)gmf_loss_target(loss, values[d]);
    total += yhat * (w * yhat - 2 * t);
  }
  return total;
}
