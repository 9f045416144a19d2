/*
 * Dense kernels of small order for one element type, included twice by dense_isa.c with REAL = float and double.
 *
 * Symmetric matrices are stored by their upper triangle in a square of `ld` rows of `ld` elements, ld = k rounded up
 * to a multiple of 16; rows and columns from k on are zero. VECTOR holds LANES elements, ld is a multiple of LANES.
 */

/*
 * C[i][j .. j + width vectors) += sum_d q[d][i] p[d][j], for TILE_ROWS rows from i: accumulators stay in registers.
 * They start from zero, so that a long row's sum is one of short sums and not a single chain of f4 additions.
 */
#define TILE(width)                                                                                               \
  static inline void NAME(tile##width)(const REAL *p, const REAL *q, int depth, int ld, int i, int j, REAL *c)    \
  {                                                                                                               \
    VECTOR sum[TILE_ROWS][width] = {{{0}}};                                                                       \
    for (int d = 0; d < depth; d++) {                                                                             \
      const REAL *pd = p + (size_t)d * (size_t)ld + j, *qd = q + (size_t)d * (size_t)ld + i;                      \
      VECTOR column[width];                                                                                       \
      for (int v = 0; v < width; v++) column[v] = *(const VECTOR *)(pd + v * LANES);                              \
      for (int r = 0; r < TILE_ROWS; r++)                                                                         \
        for (int v = 0; v < width; v++) sum[r][v] += qd[r] * column[v];                                           \
    }                                                                                                             \
    for (int r = 0; r < TILE_ROWS; r++)                                                                           \
      for (int v = 0; v < width; v++) *(VECTOR *)(c + (size_t)(i + r) * (size_t)ld + j + v * LANES) += sum[r][v]; \
  }
TILE(2)
TILE(1)
#undef TILE

/* C += Q'P on the upper triangle, rows [first, end), multiples of 16.  p, q [depth][ld], c [ld][ld]. */
static void NAME(update)(const REAL *p, const REAL *q, int depth, int ld, int first, int end, REAL *c)
{
  for (int i = first; i < end; i += TILE_ROWS) {
    int j = i / LANES * LANES;
    for (; j + 2 * LANES <= ld; j += 2 * LANES) NAME(tile2)(p, q, depth, ld, i, j, c);
    if (j < ld) NAME(tile1)(p, q, depth, ld, i, j, c);
  }
}

/* See dense.h, gmf_gram_f4. `work` holds 2 * GMF_GRAM_DEPTH rows of ld. */
void NAME(gmf_gram)(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld, REAL *work,
                    REAL *a, REAL *b)
{
  const int32_t *cols = ratings->cols;
  const float *values = ratings->values, *weights = ratings->weights;
  REAL *panel = work, *scaled = work + (size_t)GMF_GRAM_DEPTH * (size_t)ld;
  REAL right[GMF_MAX_ORDER + 16]; /* of a panel: b too is a sum of short sums */
  bool unit = weights == NULL && (values == NULL || loss.kind == GMF_LOSS_SQUARED);
  for (int64_t begin = 0; begin < ratings->n; begin += GMF_GRAM_DEPTH) {
    int m = ratings->n - begin < GMF_GRAM_DEPTH ? (int)(ratings->n - begin) : GMF_GRAM_DEPTH;
    for (int c = 0; c < ld; c++) right[c] = 0;
    for (int d = 0; d < m; d++) {
      int64_t j = begin + d;
      const float *row = y + (cols != NULL ? (int64_t)cols[j] : j) * stride;
      if (cols != NULL && d + 8 < m) __builtin_prefetch(y + (int64_t)cols[j + 8] * stride);
      REAL *to = panel + (size_t)d * (size_t)ld, *to_scaled = scaled + (size_t)d * (size_t)ld;
      for (int c = 0; c < ld; c++) to[c] = (REAL)row[c];
      float v = weights != NULL ? weights[j] : 1.0f;
      REAL w = (REAL)(values != NULL ? gmf_loss_weight(loss, values[j], v) : v);
      if (!unit)
        for (int c = 0; c < ld; c++) to_scaled[c] = w * to[c];
      if (values == NULL) continue;
      REAL t = (REAL)gmf_loss_target(loss, values[j], v);
      for (int c = 0; c < ld; c++) right[c] += t * to[c];
    }
    for (int c = 0; values != NULL && c < ld; c++) b[c] += right[c];
    NAME(update)(panel, unit ? panel : scaled, m, ld, 0, ld, a);
  }
}

/* LANES floats. */
typedef float NAME(floats) __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

/*
 * to[r][j .. j + width vectors) = sum_c from[r][c] m[c][j ..] for ROTATE_ROWS rows, of which n are stored. A long sum
 * is one of sums of GMF_ROTATE_CHAIN products.
 */
static inline __attribute__((always_inline)) void NAME(rotate_tile)(const REAL *from, int ld, const REAL *m, int j,
                                                                    int width, float *to, int n)
{
  VECTOR sum[ROTATE_ROWS][ROTATE_VECTORS] = {{{0}}};
  for (int begin = 0; begin < ld; begin += GMF_ROTATE_CHAIN) {
    VECTOR part[ROTATE_ROWS][ROTATE_VECTORS] = {{{0}}};
    int end = begin + GMF_ROTATE_CHAIN < ld ? begin + GMF_ROTATE_CHAIN : ld;
    for (int c = begin; c < end; c++) {
      const REAL *mc = m + (size_t)c * (size_t)ld + j;
      for (int v = 0; v < width; v++)
        for (int r = 0; r < ROTATE_ROWS; r++)
          part[r][v] += from[(size_t)r * (size_t)ld + (size_t)c] * *(const VECTOR *)(mc + v * LANES);
    }
    for (int r = 0; r < ROTATE_ROWS; r++)
      for (int v = 0; v < width; v++) sum[r][v] += part[r][v];
  }
  for (int r = 0; r < n; r++)
    for (int v = 0; v < width; v++)
      *(NAME(floats) *)(to + (size_t)r * (size_t)ld + (size_t)(j + v * LANES)) =
          __builtin_convertvector(sum[r][v], NAME(floats));
}

/* See dense.h, gmf_rotate_rows. A strip of m's columns stays in the first cache for all rows of a batch. */
static void NAME(rotate)(const float *in, int64_t n, int ld, const REAL *m, REAL *work, float *out)
{
  enum { STRIP = ROTATE_VECTORS * LANES };
  for (int64_t begin = 0; begin < n; begin += GMF_ROTATE_BATCH) {
    int rows = n - begin < GMF_ROTATE_BATCH ? (int)(n - begin) : GMF_ROTATE_BATCH;
    for (int j = 0; j < GMF_ROTATE_BATCH * ld; j++) work[j] = j < rows * ld ? (REAL)in[begin * ld + j] : 0;
    for (int j = 0; j < ld; j += j + STRIP <= ld ? STRIP : LANES)
      for (int r = 0; r < rows; r += ROTATE_ROWS) {
        const REAL *from = work + (size_t)r * (size_t)ld;
        float *to = out + (begin + r) * ld;
        int stored = rows - r < ROTATE_ROWS ? rows - r : ROTATE_ROWS;
        if (j + STRIP <= ld)
          NAME(rotate_tile)(from, ld, m, j, ROTATE_VECTORS, to, stored);
        else
          NAME(rotate_tile)(from, ld, m, j, 1, to, stored);
      }
  }
}

#include "kernel/lanes_template.h"

/* The sum of a vector's lanes, by halves. */
static inline REAL NAME(sum_lanes)(VECTOR v)
{
  REAL lanes[LANES];
  for (int l = 0; l < LANES; l++) lanes[l] = v[l];
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int l = 0; l < width; l++) lanes[l] += lanes[l + width];
  return lanes[0];
}

/* Vectors in a row of a block; loops over its rows are unrolled where they then stay in registers. */
enum { NAME(BLOCK_VECTORS) = GMF_CHOLESKY_BLOCK / LANES };

/* A vector without its lane l, and without those behind it. */
static inline VECTOR NAME(clear_lane)(VECTOR v, INDICES lanes, int l) { return (VECTOR)((INDICES)v & (lanes != l)); }
static inline VECTOR NAME(clear_behind)(VECTOR v, INDICES lanes, int l) { return (VECTOR)((INDICES)v & (lanes <= l)); }

/*
 * A block of the diagonal, A = U'U, becomes W = U^-T: elimination of [A, I] leaves [D L', L^-1] with A = L D L', so W
 * is D^-1/2 L^-1, and roots are off the chain from pivot to pivot. pivots [GMF_CHOLESKY_BLOCK] = D. Behind step p a row
 * below has only columns up to p in its half of I, and only those behind p are needed of A: one vector holds both.
 */
static void NAME(invert_block)(REAL *a, int ld, REAL *pivots)
{
  enum { N = GMF_CHOLESKY_BLOCK, V = NAME(BLOCK_VECTORS) };
  VECTOR f[N][V];
  REAL roots[N];
  INDICES lanes;
  for (int l = 0; l < LANES; l++) lanes[l] = l;
  for (int q = 0; q < N; q++)
    for (int v = 0; v < V; v++) f[q][v] = *(const VECTOR *)(a + (size_t)q * (size_t)ld + v * LANES);
#if LANES >= 8
#pragma GCC unroll 16
#endif
  for (int p = 0; p < N; p++) {
    REAL inverse = 1 / (pivots[p] = f[p][p / LANES][p % LANES]);
    VECTOR share[V];
    for (int v = p / LANES; v < V; v++) share[v] = f[p][v] * inverse;
    f[p][p / LANES][p % LANES] = 1;
#if LANES >= 8
#pragma GCC unroll 16
#endif
    for (int q = p + 1; q < N; q++) {
      REAL s = share[q / LANES][q % LANES];
      f[q][p / LANES] = NAME(clear_lane)(f[q][p / LANES], lanes, p % LANES);
      for (int v = 0; v < V; v++) f[q][v] -= s * f[p][v];
    }
  }
  for (int q = 0; q < N; q++) roots[q] = 1 / SQRT(pivots[q]);
  for (int q = 0; q < N; q++)
    for (int v = 0; v < V; v++)
      *(VECTOR *)(a + (size_t)q * (size_t)ld + v * LANES) =
          roots[q] * NAME(clear_behind)(f[q][v], lanes, q - v * LANES);
}

/* Rows of a product that are summed at once. */
enum { NAME(HALF_BLOCK) = GMF_CHOLESKY_BLOCK / 2 };

/* Rows [first, first + half a block) of W B over `width` vectors, W's rows being zero from `depth` on. */
static inline __attribute__((always_inline)) void NAME(multiply_half)(const REAL *w, const REAL *b, int ld, int first,
                                                                      int depth, int width, REAL *to)
{
  VECTOR sum[NAME(HALF_BLOCK)][2] = {{{0}}};
  for (int c = 0; c < depth; c++)
    for (int v = 0; v < width; v++) {
      VECTOR bc = *(const VECTOR *)(b + (size_t)c * (size_t)ld + v * LANES);
      for (int r = 0; r < NAME(HALF_BLOCK); r++) sum[r][v] += w[(size_t)(first + r) * (size_t)ld + (size_t)c] * bc;
    }
  for (int r = 0; r < NAME(HALF_BLOCK); r++)
    for (int v = 0; v < width; v++) *(VECTOR *)(to + (size_t)(first + r) * (size_t)ld + v * LANES) = sum[r][v];
}

/* The block's rows right of it: B = W B in place, columns [begin, ld). The lower half needs all of B, so it is first.
 */
static void NAME(multiply_right)(const REAL *w, REAL *rows, int begin, int ld)
{
  int j = begin;
  for (; j + 2 * LANES <= ld; j += 2 * LANES) {
    NAME(multiply_half)(w, rows + j, ld, NAME(HALF_BLOCK), GMF_CHOLESKY_BLOCK, 2, rows + j);
    NAME(multiply_half)(w, rows + j, ld, 0, NAME(HALF_BLOCK), 2, rows + j);
  }
  for (; j < ld; j += LANES) {
    NAME(multiply_half)(w, rows + j, ld, NAME(HALF_BLOCK), GMF_CHOLESKY_BLOCK, 1, rows + j);
    NAME(multiply_half)(w, rows + j, ld, 0, NAME(HALF_BLOCK), 1, rows + j);
  }
}

/*
 * See dense.h, gmf_cholesky_f4: in panels of GMF_CHOLESKY_PANEL rows, each taken off all rows below it as soon as it is
 * known, so that a large matrix passes through the caches once a panel; inside a panel in blocks of GMF_CHOLESKY_BLOCK
 * rows, which what is above them is taken off when they are come to: they are loaded and stored once. `work` holds the
 * panel's rows with their signs turned.
 */
int NAME(gmf_cholesky)(REAL *a, int k, int ld, REAL threshold, REAL *work)
{
  REAL limit[GMF_MAX_ORDER + GMF_CHOLESKY_BLOCK], pivots[GMF_CHOLESKY_BLOCK];
  for (int p = 0; p < k; p++) limit[p] = threshold * a[(size_t)p * (size_t)ld + (size_t)p];
  for (int p = k; p < ld; p++) { /* as if there were equations 1 x = 0 */
    limit[p] = 0;
    a[(size_t)p * (size_t)ld + (size_t)p] = 1;
  }
  for (int panel = 0; panel < ld; panel += GMF_CHOLESKY_PANEL) {
    int panel_end = panel + GMF_CHOLESKY_PANEL < ld ? panel + GMF_CHOLESKY_PANEL : ld;
    const REAL *top = a + (size_t)panel * (size_t)ld;
    for (int begin = panel; begin < panel_end; begin += GMF_CHOLESKY_BLOCK) {
      REAL *rows = a + (size_t)begin * (size_t)ld;
      int end = begin + GMF_CHOLESKY_BLOCK;
      REAL *turned = work + (size_t)(begin - panel) * (size_t)ld;
      if (begin > panel) NAME(update)(top, work, begin - panel, ld, begin, end, a);
      NAME(invert_block)(rows + begin, ld, pivots);
      for (int p = 0; p < GMF_CHOLESKY_BLOCK; p++)
        if (!(pivots[p] > limit[begin + p])) return begin + p; /* also NaN */
      NAME(multiply_right)(rows + begin, rows, end, ld);
      for (int r = 0; r < GMF_CHOLESKY_BLOCK; r++)
        for (int j = end; j < ld; j++)
          turned[(size_t)r * (size_t)ld + (size_t)j] = -rows[(size_t)r * (size_t)ld + (size_t)j];
    }
    NAME(update)(top, work, panel_end - panel, ld, panel_end, ld, a);
  }
  return -1;
}

/* Lane r of sums = the sum of the lanes of v[r], for a block's rows. */
static inline void NAME(sums_of_rows)(VECTOR v[GMF_CHOLESKY_BLOCK], VECTOR sums[NAME(BLOCK_VECTORS)])
{
  for (int b = 0; b < NAME(BLOCK_VECTORS); b++) sums[b] = NAME(sums_of_lanes)(v + b * LANES);
}

/* to -= sum_r z_r u_r over `width` vectors, for the rows u_r of a block. */
static inline __attribute__((always_inline)) void NAME(subtract_rows)(const REAL *u, int ld, const REAL *z, int width,
                                                                      REAL *to)
{
  VECTOR even[4], odd[4];
  for (int v = 0; v < width; v++) {
    even[v] = *(const VECTOR *)(to + v * LANES);
    odd[v] = (VECTOR){0};
  }
  for (int r = 0; r < GMF_CHOLESKY_BLOCK; r += 2)
    for (int v = 0; v < width; v++) {
      even[v] -= z[r] * *(const VECTOR *)(u + (size_t)r * (size_t)ld + v * LANES);
      odd[v] -= z[r + 1] * *(const VECTOR *)(u + (size_t)(r + 1) * (size_t)ld + v * LANES);
    }
  for (int v = 0; v < width; v++) *(VECTOR *)(to + v * LANES) = even[v] + odd[v];
}

/* See dense.h, gmf_cholesky_solve_f4: U'z = x, then U x = z, a block at a time. */
void NAME(gmf_cholesky_solve)(const REAL *u, int k, int ld, REAL *x)
{
  enum { N = GMF_CHOLESKY_BLOCK, V = NAME(BLOCK_VECTORS) };
  VECTOR v[N], sums[V];
  int last = (k - 1) / N * N;
  for (int i = 0; i <= last; i += N) {
    const REAL *rows = u + (size_t)i * (size_t)ld;
    for (int r = 0; r < N; r++) {
      v[r] = (VECTOR){0};
      for (int l = 0; l < N; l += LANES)
        v[r] += *(const VECTOR *)(rows + (size_t)r * (size_t)ld + i + l) * *(const VECTOR *)(x + i + l);
    }
    NAME(sums_of_rows)(v, sums);
    for (int b = 0; b < V; b++) *(VECTOR *)(x + i + b * LANES) = sums[b];
    int j = i + N;
    for (; j + 4 * LANES <= ld; j += 4 * LANES) NAME(subtract_rows)(rows + j, ld, x + i, 4, x + j);
    for (; j < ld; j += LANES) NAME(subtract_rows)(rows + j, ld, x + i, 1, x + j);
  }
  for (int i = last; i >= 0; i -= N) {
    const REAL *rows = u + (size_t)i * (size_t)ld;
    REAL z[N] __attribute__((aligned(64)));
    for (int r = 0; r < N; r++) v[r] = (VECTOR){0};
    for (int j = i + N; j < ld; j += LANES) {
      VECTOR xj = *(const VECTOR *)(x + j);
      for (int r = 0; r < N; r++) v[r] += *(const VECTOR *)(rows + (size_t)r * (size_t)ld + j) * xj;
    }
    NAME(sums_of_rows)(v, sums);
    for (int b = 0; b < V; b++) {
      *(VECTOR *)(z + b * LANES) = sums[b] - *(const VECTOR *)(x + i + b * LANES);
      *(VECTOR *)(x + i + b * LANES) = (VECTOR){0};
    }
    for (int b = 0; b < V; b++) NAME(subtract_rows)(rows + i + b * LANES, ld, z, 1, x + i + b * LANES);
  }
}

/* See dense.h, gmf_fix_coordinate_f4. */
void NAME(gmf_fix_coordinate)(REAL *a, REAL *b, int k, int ld, int f)
{
  for (int i = 0; i < k; i++) {
    REAL *element = a + (i < f ? (size_t)i * (size_t)ld + (size_t)f : (size_t)f * (size_t)ld + (size_t)i);
    b[i] -= *element;
    *element = 0;
  }
  a[(size_t)f * (size_t)ld + (size_t)f] = b[f] = 1;
}
