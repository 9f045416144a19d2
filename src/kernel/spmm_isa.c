/*
 * A sparse row times a block of vectors: y = sum_j a_j x_j over gathered rows x_j. Compiled once for each instruction
 * set; see isa.h and spmm.h.
 *
 * The sums of a strip of columns stay in registers while the ratings of the row run, several ratings at a time into
 * sums of their own, so that no multiply-add waits for the one before.
 */
#include <string.h>

#include "kernel/isa.h"
#include "kernel/spmm.h"

typedef double vector __attribute__((vector_size(4 * GMF_VECTOR_FLOATS)));

enum { LANES = GMF_VECTOR_FLOATS / 2, MAX_VECTORS = 4, AHEAD = 16 /* ratings whose rows are fetched early */ };

static inline vector load(const double *p)
{
  vector v;
  memcpy(&v, p, sizeof v);
  return v;
}

/*
 * n_vectors vectors of columns; n_sums ratings at a time. Both are constants at each call, so that the sums get
 * registers.
 */
static inline __attribute__((always_inline)) void strip(const int32_t *cols, const float *values, int64_t n,
                                                        const double *x, int64_t stride, const int n_vectors,
                                                        const int n_sums, double *y)
{
  vector sums[MAX_VECTORS * 2][MAX_VECTORS] = {{{0}}};
  int64_t j = 0;
  for (; j + n_sums <= n; j += n_sums) {
    for (int s = 0; s < n_sums; s++) {
      const double *row = x + cols[j + s] * stride;
      vector a = (vector){0} + (double)values[j + s];
      if (j + AHEAD + s < n) {
        const double *later = x + cols[j + AHEAD + s] * stride;
        for (int v = 0; v < n_vectors; v += 64 / (int)sizeof(vector)) __builtin_prefetch(later + v * LANES);
      }
      for (int v = 0; v < n_vectors; v++) sums[s][v] += a * load(row + v * LANES);
    }
  }
  for (; j < n; j++) {
    vector a = (vector){0} + (double)values[j];
    for (int v = 0; v < n_vectors; v++) sums[0][v] += a * load(x + cols[j] * stride + v * LANES);
  }
  for (int v = 0; v < n_vectors; v++) {
    vector total = sums[0][v];
    for (int s = 1; s < n_sums; s++) total += sums[s][v];
    memcpy(y + v * LANES, &total, sizeof total);
  }
}

/* What is left beside whole vectors. */
static void last_columns(const int32_t *cols, const float *values, int64_t n, const double *x, int64_t stride,
                         int n_columns, double *y)
{
  double sums[LANES] = {0};
  for (int64_t j = 0; j < n; j++)
    for (int c = 0; c < n_columns; c++) sums[c] += (double)values[j] * x[cols[j] * stride + c];
  memcpy(y, sums, (size_t)n_columns * sizeof *y);
}

void GMF_ISA_NAME(gmf_spmm_row)(const int32_t *cols, const float *values, int64_t n, const double *x, int width,
                                double *y)
{
  int done = 0;
  for (; done + 4 * LANES <= width; done += 4 * LANES) strip(cols, values, n, x + done, width, 4, 2, y + done);
  for (; done + 2 * LANES <= width; done += 2 * LANES) strip(cols, values, n, x + done, width, 2, 4, y + done);
  for (; done + LANES <= width; done += LANES) strip(cols, values, n, x + done, width, 1, 4, y + done);
  if (done < width) last_columns(cols, values, n, x + done, width, width - done, y + done);
}
