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

/* A tile of a product of rows with a square: its rows, and vectors in each of them. */
enum { ROTATE_ROWS = 4 };
#if GMF_VECTOR_FLOATS == 16
#define ROTATE_VECTORS 4
#else
#define ROTATE_VECTORS 2
#endif

typedef float vector_f4 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));
typedef double vector_f8 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));
typedef int32_t indices_f4 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));
typedef int64_t indices_f8 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));

#define NAME(f) GMF_ISA_NAME(f##_f4)
#define REAL float
#define VECTOR vector_f4
#define INDICES indices_f4
#define LANES GMF_VECTOR_FLOATS
#define SQRT sqrtf
#include "kernel/dense_template.h"
#undef NAME
#undef REAL
#undef VECTOR
#undef INDICES
#undef LANES
#undef SQRT

#define NAME(f) GMF_ISA_NAME(f##_f8)
#define REAL double
#define VECTOR vector_f8
#define INDICES indices_f8
#define LANES (GMF_VECTOR_FLOATS / 2)
#define SQRT sqrt
#include "kernel/dense_template.h"

/* As many floats as VECTOR has doubles. */
typedef float half_f4 __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

static inline VECTOR widen(const float *x) { return __builtin_convertvector(*(const half_f4 *)x, VECTOR); }

/* Ratings that are taken together: their sums do not wait for each other, and their lanes are summed together. */
enum { GROUP = 8 };

/* A group: its rows, the last one repeated where there are fewer, with w and t, which are zero for repetitions. */
typedef struct group {
  const float *rows[GROUP];
  double w[GROUP], t[GROUP];
} __attribute__((aligned(64))) group;

static inline group load_group(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int64_t begin)
{
  group g;
  for (int d = 0; d < GROUP; d++) {
    bool real = begin + d < ratings->n;
    int64_t j = real ? begin + d : ratings->n - 1;
    float v = ratings->weights != NULL ? ratings->weights[j] : 1.0f;
    g.rows[d] = y + (ratings->cols != NULL ? (int64_t)ratings->cols[j] : j) * stride;
    g.w[d] = real ? (double)gmf_loss_weight(loss, ratings->values[j], v) : 0;
    g.t[d] = real ? (double)gmf_loss_target(loss, ratings->values[j], v) : 0;
  }
  return g;
}

/* The residual of a group, and its part of the loss, one sum a lane. with_diagonal is a constant where this is
 * expanded. */
static inline VECTOR residual_of_group(const group *g, int ld, const double *x, double *r, double *diagonal,
                                       bool with_diagonal)
{
  VECTOR sum[GROUP] = {{0}}, loss = {0};
  double c[GROUP] __attribute__((aligned(64)));
  for (int j = 0; j < ld; j += LANES) {
    VECTOR xj = *(const VECTOR *)(x + j);
    for (int d = 0; d < GROUP; d++) sum[d] += widen(g->rows[d] + j) * xj;
  }
  for (int d = 0; d < GROUP; d += LANES) {
    VECTOR yhat = NAME(sums_of_lanes)(sum + d), w = *(const VECTOR *)(g->w + d), t = *(const VECTOR *)(g->t + d);
    *(VECTOR *)(c + d) = t - w * yhat;
    loss += yhat * (w * yhat - 2 * t);
  }
  for (int j = 0; j < ld; j += LANES) {
    VECTOR rj = *(const VECTOR *)(r + j), odd = {0}, square = {0};
    for (int d = 0; d < GROUP; d += 2) {
      VECTOR yj = widen(g->rows[d] + j), next = widen(g->rows[d + 1] + j);
      rj += c[d] * yj;
      odd += c[d + 1] * next;
      if (with_diagonal) square += g->w[d] * yj * yj + g->w[d + 1] * next * next;
    }
    *(VECTOR *)(r + j) = rj + odd;
    if (with_diagonal) *(VECTOR *)(diagonal + j) += square;
  }
  return loss;
}

double GMF_ISA_NAME(gmf_row_residual)(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld,
                                      const double *x, double *r, double *diagonal)
{
  VECTOR total = {0};
  for (int64_t begin = 0; begin < ratings->n; begin += GROUP) {
    group g = load_group(y, stride, ratings, loss, begin);
    total += diagonal != NULL ? residual_of_group(&g, ld, x, r, diagonal, true)
                              : residual_of_group(&g, ld, x, r, NULL, false);
  }
  return NAME(sum_lanes)(total);
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

double GMF_ISA_NAME(gmf_sum_of_squares)(const float *x, int k)
{
  VECTOR sum = {0};
  double rest = 0;
  int j = 0;
  for (; j + LANES <= k; j += LANES) {
    VECTOR v = widen(x + j);
    sum += v * v;
  }
  for (; j < k; j++) rest += (double)x[j] * (double)x[j];
  return NAME(sum_lanes)(sum) + rest;
}

void GMF_ISA_NAME(gmf_rotate_rows)(const float *in, int64_t n, int ld, const double *m, double *work, float *out)
{
  GMF_ISA_NAME(rotate_f8)(in, n, ld, m, work, out);
}

void GMF_ISA_NAME(gmf_rotate_rows_f4)(const float *in, int64_t n, int ld, const double *m, float *work, float *out)
{
  float *m4 = work + (size_t)GMF_ROTATE_BATCH * (size_t)ld;
  for (int j = 0; j < ld * ld; j++) m4[j] = (float)m[j];
  GMF_ISA_NAME(rotate_f4)(in, n, ld, m4, work, out);
}

void GMF_ISA_NAME(gmf_gram_exact)(const float *y, int64_t n, int ld, const float *weights, const double *units,
                                  int n_pieces, double *work, double *sums)
{
  size_t panel = (size_t)GMF_EXACT_DEPTH * (size_t)ld, square = (size_t)ld * (size_t)ld;
  for (int64_t begin = 0; begin < n; begin += GMF_EXACT_DEPTH) {
    int m = n - begin < GMF_EXACT_DEPTH ? (int)(n - begin) : GMF_EXACT_DEPTH;
    for (int d = 0; d < m; d++) {
      double scale = weights != NULL ? sqrt((double)weights[begin + d]) : 1;
      for (int c = 0; c < ld; c++) {
        double rest = scale * (double)y[(begin + d) * ld + c];
        for (int p = 0; p < n_pieces; p++) { /* adding and taking off a large multiple rounds to units */
          double large = 0x1.8p52 * units[p], piece = (rest + large) - large;
          work[(size_t)p * panel + (size_t)d * (size_t)ld + (size_t)c] = piece;
          rest -= piece;
        }
      }
    }
    for (int q = 0, pair = 0; q < n_pieces; q++)
      for (int p = 0; p <= q; p++, pair++) {
        const double *zp = work + (size_t)p * panel, *zq = work + (size_t)q * panel;
        NAME(update)(zp, zq, m, ld, 0, ld, sums + (size_t)pair * square);
        if (p < q) NAME(update)(zq, zp, m, ld, 0, ld, sums + (size_t)pair * square);
      }
  }
}
