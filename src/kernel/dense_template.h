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
  bool unit = weights == NULL && (values == NULL || loss.kind == GMF_LOSS_SQUARED);
  for (int64_t begin = 0; begin < ratings->n; begin += GMF_GRAM_DEPTH) {
    int m = ratings->n - begin < GMF_GRAM_DEPTH ? (int)(ratings->n - begin) : GMF_GRAM_DEPTH;
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
      for (int c = 0; c < ld; c++) b[c] += t * to[c];
    }
    NAME(update)(panel, unit ? panel : scaled, m, ld, 0, ld, a);
  }
}

/* The sum of a vector's lanes, by halves. */
static inline REAL NAME(sum_lanes)(VECTOR v)
{
  REAL lanes[LANES];
  for (int l = 0; l < LANES; l++) lanes[l] = v[l];
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int l = 0; l < width; l++) lanes[l] += lanes[l + width];
  return lanes[0];
}

/* Sum of x[j] y[j] over the whole vectors from the one that holds `begin`. */
static inline REAL NAME(dot_from)(const REAL *x, const REAL *y, int begin, int ld)
{
  VECTOR sum = {0};
  for (int j = begin / LANES * LANES; j < ld; j += LANES) sum += *(const VECTOR *)(x + j) * *(const VECTOR *)(y + j);
  return NAME(sum_lanes)(sum);
}

/* to[j] -= s from[j] for whole vectors from the one that holds `begin`. */
static inline void NAME(subtract)(REAL *to, const REAL *from, REAL s, int begin, int ld)
{
  for (int j = begin / LANES * LANES; j < ld; j += LANES) *(VECTOR *)(to + j) -= s * *(const VECTOR *)(from + j);
}

/* Takes what rows [begin, end) of U say off rows [first, last) of the matrix.  work [end - begin][ld]. */
static void NAME(eliminate)(REAL *a, int begin, int end, int ld, int first, int last, REAL *work)
{
  const REAL *u = a + (size_t)begin * (size_t)ld;
  for (int j = 0; j < (end - begin) * ld; j++) work[j] = -u[j];
  NAME(update)(u, work, end - begin, ld, first, last, a);
}

/*
 * See dense.h, gmf_cholesky_f4: right-looking, in blocks of GMF_CHOLESKY_BLOCK rows that are at once taken off the
 * panel of GMF_CHOLESKY_PANEL rows around them, and in such panels that are taken off the rest: a large matrix passes
 * through the caches once a panel. `work` holds a panel.
 */
int NAME(gmf_cholesky)(REAL *a, int k, int ld, REAL threshold, REAL *work)
{
  REAL limit[GMF_MAX_ORDER];
  for (int p = 0; p < k; p++) limit[p] = threshold * a[(size_t)p * (size_t)ld + (size_t)p];
  for (int panel = 0; panel < k; panel += GMF_CHOLESKY_PANEL) {
    int panel_end = panel + GMF_CHOLESKY_PANEL < ld ? panel + GMF_CHOLESKY_PANEL : ld;
    for (int begin = panel; begin < panel_end && begin < k; begin += GMF_CHOLESKY_BLOCK) {
      int end = begin + GMF_CHOLESKY_BLOCK < k ? begin + GMF_CHOLESKY_BLOCK : k;
      for (int p = begin; p < end; p++) {
        REAL *row = a + (size_t)p * (size_t)ld;
        for (int q = begin; q < p; q++) {
          const REAL *above = a + (size_t)q * (size_t)ld;
          NAME(subtract)(row, above, above[p], p, ld);
        }
        if (!(row[p] > limit[p])) return p; /* also NaN */
        REAL inverse = 1 / SQRT(row[p]);
        for (int j = p / LANES * LANES; j < ld; j += LANES) *(VECTOR *)(row + j) *= inverse;
        for (int j = p / LANES * LANES; j < p; j++) row[j] = 0; /* so that the solver may take whole vectors */
      }
      if (end < k) NAME(eliminate)(a, begin, end, ld, end, panel_end, work);
    }
    if (panel_end < k) NAME(eliminate)(a, panel, panel_end, ld, panel_end, ld, work);
  }
  return -1;
}

/* See dense.h, gmf_cholesky_solve_f4: U'z = x, then U x = z. Whole vectors: left of its diagonal a row is zero. */
void NAME(gmf_cholesky_solve)(const REAL *u, int k, int ld, REAL *x)
{
  for (int p = 0; p < k; p++) {
    const REAL *row = u + (size_t)p * (size_t)ld;
    REAL z = x[p] / row[p];
    NAME(subtract)(x, row, z, p, ld);
    x[p] = z;
  }
  for (int p = k - 1; p >= 0; p--) {
    const REAL *row = u + (size_t)p * (size_t)ld;
    REAL z = x[p];
    x[p] = 0;
    x[p] = (z - NAME(dot_from)(row, x, p, ld)) / row[p];
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
