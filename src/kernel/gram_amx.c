/*
 * The Gram matrix of gathered rows by products of bf16 tiles, summed in f4 (Intel's AMX: TDPBF16PS multiplies 16 x 32
 * by 32 x 16 in 16 cycles, some 16 times as much as two f4 FMA units).
 *
 * With z_j = sqrt(w_j) y_j cut into h_j, z_j rounded to bf16, and l_j, what is left,
 *
 *   sum_j z_j z_j' = H'H + H'L + L'H + L'L,      L'H = (H'L)'
 *
 * L'L is left out: at most 2^-16 of sum_j |z_ja z_jc|, and of random sign but on the diagonal, where it is some 2^-18.
 * L is rounded to bf16 itself, which costs 2^-16 more at the worst, and sums are f4. So a's error is below 3e-5 of
 * sum_j |z_ja z_jc|, and about 5e-6 as a rule (tests/kernel/test_dense.c): ten times that of f4 sums, and much less
 * than what refinement asks of a matrix (row_solver.h). (Henry, Tang, Heinecke, "Leveraging the bfloat16 artificial
 * intelligence datatype for higher-precision computations", ARITH 2019, has the idea, and more pieces.)
 *
 * H is transposed as one operand only: with P = H'L formed whole, block (i, j) of the upper triangle is
 * (H'H)_ij + P_ij + (P_ji)'. So tiles above the diagonal hold H'H + P, those below it P, those on it H'H + 2 P, half of
 * whose sum with its transpose is what is wanted; they are put together once a row (or every GRAM_CHAIN ratings).
 *
 * A panel of ratings: B-tiles hold pairs of ratings interleaved as the unit wants them, 16 pairs x 16 columns of two
 * bf16; and the transpose of such a tile as a square of 32-bit words is the A-tile of the same columns.
 */
#include "kernel/gram_amx.h"

#include <stdatomic.h>
#include <string.h>

#include "kernel/amx_tiles.h"

enum {
  TILE = 16,                           /* rows of a tile; columns of an f4 one */
  STEP = 2 * TILE,                     /* ratings that one multiplication takes */
  PANEL_STEPS = GMF_TILE_DEPTH / STEP, /* multiplications that follow each other: a panel */
  TILE_WORDS = 256,                    /* 32-bit words in a tile */
  GRAM_CHAIN = 4                       /* panels whose sum is one chain of f4 additions */
};

/* What a panel's tiles hold, [blocks of columns][PANEL_STEPS][TILE_WORDS] each. */
typedef struct panel {
  uint32_t *high, *low; /* B-tiles of H and L */
  uint32_t *across;     /* A-tiles of H */
} panel;

/* Ratings that are packed together. Those behind the last have scale and target zero, and the row of another. */
typedef struct step {
  const float *rows[STEP];
  float scale[STEP], target[STEP];
} step;

/* Rows and columns exchanged of a square of 32-bit words. */
static inline void transpose(__m512i v[TILE])
{
  __m512i w[TILE];
  for (int i = 0; i < TILE; i += 2) { /* words, then pairs of them, within the vectors' quarters */
    w[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    w[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < TILE; i += 4) {
    v[i] = _mm512_unpacklo_epi64(w[i], w[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(w[i], w[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(w[i + 1], w[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(w[i + 1], w[i + 3]);
  }
  for (int i = 0; i < 4; i++) { /* v[4 q + i] has column 4 p + i of rows 4 q ... in quarter p */
    w[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
    w[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
    w[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
    w[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    v[i] = _mm512_shuffle_i32x4(w[i], w[i + 8], 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(w[i], w[i + 8], 0xdd);
    v[i + 4] = _mm512_shuffle_i32x4(w[i + 4], w[i + 12], 0x88);
    v[i + 12] = _mm512_shuffle_i32x4(w[i + 4], w[i + 12], 0xdd);
  }
}

/*
 * Columns [c, c + 16) of a step's ratings into its tiles, and their part of the right-hand side. is_scaled is a
 * constant where this is expanded; next are the rows of the step to come.
 */
static inline void pack_columns(const step *s, const float *const *next, int c, uint32_t *high, uint32_t *low,
                                uint32_t *across, float *b, bool is_scaled)
{
  const __m512i half = _mm512_set1_epi32(0x8000), top = _mm512_set1_epi32((int)0xffff0000);
  __m512i pairs[TILE];
  __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
#pragma GCC unroll 16
  for (int p = 0; p < TILE; p++) {
    __m512 z[2];
    __m512i h[2], l[2];
    for (int e = 0; e < 2; e++) {
      int d = 2 * p + e;
      z[e] = _mm512_loadu_ps(s->rows[d] + c);
      _mm_prefetch((const char *)(next[d] + c), _MM_HINT_T0);
      sum[e] = _mm512_fmadd_ps(_mm512_set1_ps(s->target[d]), z[e], sum[e]);
      if (is_scaled) z[e] = _mm512_mul_ps(_mm512_set1_ps(s->scale[d]), z[e]);
      h[e] = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(z[e]), half), top);
      l[e] = _mm512_add_epi32(_mm512_castps_si512(_mm512_sub_ps(z[e], _mm512_castsi512_ps(h[e]))), half);
    }
    pairs[p] = _mm512_or_si512(_mm512_srli_epi32(h[0], 16), h[1]);
    /* 0xf8: a | (b & c) */
    _mm512_store_si512(low + p * TILE, _mm512_ternarylogic_epi32(_mm512_srli_epi32(l[0], 16), l[1], top, 0xf8));
    _mm512_store_si512(high + p * TILE, pairs[p]);
  }
  _mm512_storeu_ps(b + c, _mm512_add_ps(_mm512_loadu_ps(b + c), _mm512_add_ps(sum[0], sum[1])));
  transpose(pairs);
  for (int p = 0; p < TILE; p++) _mm512_store_si512(across + p * TILE, pairs[p]);
}

/*
 * A square of 2 x 2 tiles of sums (fewer where the matrix ends): += (H'H)_ij + P_ij for blocks of columns i < j,
 * (H'H)_ii + 2 P_ii, P_ij for i > j. is_first: the sums start here.
 */
static inline void multiply_square(const panel *p, int n_steps, int n_blocks, int i, int j, int ld, bool is_first,
                                   float *sums)
{
  size_t bytes = (size_t)ld * sizeof(float);
  bool tall = i + 1 < n_blocks, wide = j + 1 < n_blocks;
  float *at = sums + (size_t)i * TILE * (size_t)ld + (size_t)j * TILE, *below = at + (size_t)TILE * (size_t)ld;
  if (is_first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, at, bytes);
    if (wide) _tile_loadd(1, at + TILE, bytes);
    if (tall) _tile_loadd(2, below, bytes);
    if (tall && wide) _tile_loadd(3, below + TILE, bytes);
  }
  for (int s = 0; s < n_steps; s++) {
    const uint32_t *a = p->across + ((size_t)i * PANEL_STEPS + (size_t)s) * TILE_WORDS;
    const uint32_t *h = p->high + ((size_t)j * PANEL_STEPS + (size_t)s) * TILE_WORDS;
    const uint32_t *l = p->low + ((size_t)j * PANEL_STEPS + (size_t)s) * TILE_WORDS;
    _tile_loadd(4, a, 64);
    if (tall) _tile_loadd(5, a + PANEL_STEPS * TILE_WORDS, 64);
    _tile_loadd(6, l, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (tall) _tile_dpbf16ps(2, 5, 6);
    if (wide) {
      _tile_loadd(7, l + PANEL_STEPS * TILE_WORDS, 64);
      _tile_dpbf16ps(1, 4, 7);
      if (tall) _tile_dpbf16ps(3, 5, 7);
    }
    if (i == j) {
      _tile_dpbf16ps(0, 4, 6);
      if (tall) _tile_dpbf16ps(3, 5, 7);
    }
    if (i > j) continue;
    _tile_loadd(6, h, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (tall && i < j) _tile_dpbf16ps(2, 5, 6);
    if (!wide) continue;
    _tile_loadd(7, h + PANEL_STEPS * TILE_WORDS, 64);
    _tile_dpbf16ps(1, 4, 7);
    if (tall) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, at, bytes);
  if (wide) _tile_stored(1, at + TILE, bytes);
  if (tall) _tile_stored(2, below, bytes);
  if (tall && wide) _tile_stored(3, below + TILE, bytes);
}

/* a's upper triangle += the sums put together.  sums, a [ld][ld]. */
static void add_sums(const float *sums, int ld, float *a)
{
  for (int i = 0; i < ld; i += TILE)
    for (int j = i; j < ld; j += TILE) {
      const float *upper = sums + (size_t)i * (size_t)ld + (size_t)j,
                  *lower = sums + (size_t)j * (size_t)ld + (size_t)i;
      float *to = a + (size_t)i * (size_t)ld + (size_t)j;
      __m512i across[TILE];
      for (int r = 0; r < TILE; r++) across[r] = _mm512_loadu_si512(lower + (size_t)r * (size_t)ld);
      transpose(across);
      __m512 share = _mm512_set1_ps(i == j ? 0.5F : 1.0F);
      for (int r = 0; r < TILE; r++) {
        __m512 sum = _mm512_add_ps(_mm512_loadu_ps(upper + (size_t)r * (size_t)ld), _mm512_castsi512_ps(across[r]));
        float *row = to + (size_t)r * (size_t)ld;
        _mm512_storeu_ps(row, _mm512_fmadd_ps(share, sum, _mm512_loadu_ps(row)));
      }
    }
}

/* The step of ratings from `begin` on. Returns whether a scale in it differs from 1. */
static inline bool load_step(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int64_t begin,
                             step *s)
{
  bool is_scaled = false;
  for (int d = 0; d < STEP; d++) {
    bool is_there = begin + d < ratings->n;
    int64_t j = is_there ? begin + d : ratings->n - 1;
    float v = ratings->weights != NULL ? ratings->weights[j] : 1.0F, w = v;
    s->rows[d] = y + (ratings->cols != NULL ? (int64_t)ratings->cols[j] : j) * stride;
    s->target[d] = 0;
    if (ratings->values != NULL) {
      w = gmf_loss_weight(loss, ratings->values[j], v);
      if (is_there) s->target[d] = gmf_loss_target(loss, ratings->values[j], v);
    }
    s->scale[d] = is_there ? sqrtf(w) : 0;
    is_scaled = is_scaled || s->scale[d] != 1;
  }
  return is_scaled;
}

/* No weight is below zero (or no number). */
static bool have_roots(const gmf_ratings *ratings, gmf_loss loss)
{
  if (ratings->weights == NULL && (ratings->values == NULL || loss.kind != GMF_LOSS_IMPLICIT)) return true;
  bool have = true;
  for (int64_t j = 0; j < ratings->n; j++) {
    float v = ratings->weights != NULL ? ratings->weights[j] : 1.0F;
    have = have && (ratings->values != NULL ? gmf_loss_weight(loss, ratings->values[j], v) : v) >= 0;
  }
  return have;
}

bool gmf_gram_f4_amx(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld, float *work,
                     float *a, float *b)
{
  if (!have_roots(ratings, loss)) return false;
  int n_blocks = ld / TILE;
  size_t words = (size_t)PANEL_STEPS * (size_t)ld * TILE;
  float *sums = work;
  uint32_t *tiles = (uint32_t *)(work + (size_t)ld * (size_t)ld);
  panel p = {tiles, tiles + words, tiles + 2 * words};
  float none[GMF_MAX_ORDER + TILE], *right = ratings->values != NULL ? b : none;
  step steps[2];
  bool is_scaled = false;
  if (ratings->n == 0) return true;
  if (right == none) memset(none, 0, (size_t)ld * sizeof *none);

  gmf_amx_configure(); /* 0-3 sums, 4-5 A, 6-7 B */
  is_scaled = load_step(y, stride, ratings, loss, 0, &steps[0]);
  int64_t n_steps = (ratings->n + STEP - 1) / STEP;
  for (int64_t at = 0; at < n_steps; at += PANEL_STEPS) {
    int n = n_steps - at < PANEL_STEPS ? (int)(n_steps - at) : PANEL_STEPS;
    int64_t panel_index = at / PANEL_STEPS;
    for (int s = 0; s < n; s++) {
      const step *now = &steps[(at + s) % 2];
      step *next = &steps[(at + s + 1) % 2];
      bool scale_now = is_scaled;
      if (at + s + 1 < n_steps)
        is_scaled = load_step(y, stride, ratings, loss, (at + s + 1) * STEP, next);
      else
        next = &steps[(at + s) % 2];
      for (int c = 0; c < n_blocks; c++) {
        size_t tile = ((size_t)c * PANEL_STEPS + (size_t)s) * TILE_WORDS;
        if (scale_now)
          pack_columns(now, next->rows, c * TILE, p.high + tile, p.low + tile, p.across + tile, right, true);
        else
          pack_columns(now, next->rows, c * TILE, p.high + tile, p.low + tile, p.across + tile, right, false);
      }
    }
    atomic_signal_fence(memory_order_seq_cst); /* tiles are loaded behind the compiler's back */
    for (int i = 0; i < n_blocks; i += 2)
      for (int j = 0; j < n_blocks; j += 2)
        multiply_square(&p, n, n_blocks, i, j, ld, panel_index % GRAM_CHAIN == 0, sums);
    atomic_signal_fence(memory_order_seq_cst);
    if (at + PANEL_STEPS >= n_steps || (panel_index + 1) % GRAM_CHAIN == 0) add_sums(sums, ld, a);
  }
  _tile_release();
  return true;
}
