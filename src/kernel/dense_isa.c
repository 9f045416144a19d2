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

/* As many floats as VECTOR has doubles. */
typedef float half_f4 __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

static inline VECTOR widen(const float *x) { return __builtin_convertvector(*(const half_f4 *)x, VECTOR); }

/* Ratings that are taken together, so that their sums do not wait for each other. */
enum { GROUP = 4 };

/* yhat[d] = y[cols[d]] . x for the m <= GROUP ratings of a group; rows [GROUP] gets the rows, the last one repeated. */
static inline void predict(const float *y, int64_t stride, const int32_t *cols, int m, int ld, const double *x,
                           const float *rows[GROUP], double yhat[GROUP])
{
  VECTOR sum[GROUP] = {{0}};
  for (int d = 0; d < GROUP; d++) rows[d] = y + (int64_t)cols[d < m ? d : m - 1] * stride;
  for (int j = 0; j < ld; j += LANES) {
    VECTOR xj = *(const VECTOR *)(x + j);
    for (int d = 0; d < GROUP; d++) sum[d] += widen(rows[d] + j) * xj;
  }
  for (int d = 0; d < GROUP; d++) yhat[d] = NAME(sum_lanes)(sum[d]);
}

void GMF_ISA_NAME(gmf_row_residual)(const float *y, int64_t stride, const int32_t *cols, const float *values,
                                    gmf_loss loss, int64_t n, int ld, const double *x, double *r)
{
  for (int64_t begin = 0; begin < n; begin += GROUP) {
    int m = n - begin < GROUP ? (int)(n - begin) : GROUP;
    const float *rows[GROUP];
    double yhat[GROUP], c[GROUP];
    predict(y, stride, cols + begin, m, ld, x, rows, yhat);
    for (int d = 0; d < GROUP; d++) {
      float value = values[begin + (d < m ? d : m - 1)];
      double w = (double)gmf_loss_weight(loss, value, 1.0f), t = (double)gmf_loss_target(loss, value, 1.0f);
      c[d] = d < m ? t - w * yhat[d] : 0;
    }
    for (int j = 0; j < ld; j += LANES) {
      VECTOR rj = *(const VECTOR *)(r + j);
      for (int d = 0; d < GROUP; d++) rj += c[d] * widen(rows[d] + j);
      *(VECTOR *)(r + j) = rj;
    }
  }
}

double GMF_ISA_NAME(gmf_row_loss)(const float *y, int64_t stride, const int32_t *cols, const float *values,
                                  gmf_loss loss, int64_t n, int ld, const double *x)
{
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += GROUP) {
    int m = n - begin < GROUP ? (int)(n - begin) : GROUP;
    const float *rows[GROUP];
    double yhat[GROUP];
    predict(y, stride, cols + begin, m, ld, x, rows, yhat);
    for (int d = 0; d < m; d++) {
      float value = values[begin + d];
      double w = (double)gmf_loss_weight(loss, value, 1.0f), t = (double)gmf_loss_target(loss, value, 1.0f);
      total += yhat[d] * (w * yhat[d] - 2 * t);
    }
  }
  return total;
}

void GMF_ISA_NAME(gmf_subtract_product)(const double *a, const double *x, int k, int ld, double *r)
{
  for (int i = 0; i < k; i++) { /* row i of the upper triangle is also column i of the lower */
    const double *row = a + (size_t)i * (size_t)ld;
    VECTOR sum = {0};
    double xi = x[i], head = row[i] * xi;
    int j = i + 1;
    for (; j % LANES != 0; j++) {
      head += row[j] * x[j];
      r[j] -= row[j] * xi;
    }
    for (; j < ld; j += LANES) {
      VECTOR aj = *(const VECTOR *)(row + j);
      sum += aj * *(const VECTOR *)(x + j);
      *(VECTOR *)(r + j) -= aj * xi;
    }
    r[i] -= head + NAME(sum_lanes)(sum);
  }
}

double GMF_ISA_NAME(gmf_quadratic_form)(const double *a, const double *x, int k, int ld)
{
  double total = 0;
  for (int i = 0; i < k; i++) {
    const double *row = a + (size_t)i * (size_t)ld;
    VECTOR sum = {0};
    double head = 0;
    int j = i + 1;
    for (; j % LANES != 0; j++) head += row[j] * x[j];
    for (; j < ld; j += LANES) sum += *(const VECTOR *)(row + j) * *(const VECTOR *)(x + j);
    total += x[i] * (row[i] * x[i] + 2 * (head + NAME(sum_lanes)(sum)));
  }
  return total;
}
