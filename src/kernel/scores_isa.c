/*
 * Scores of users against items: a matrix product C = X Y' with rows of k factors on both sides.
 *
 * The lanes of a vector are items, so no sum runs across lanes: tiles of Y are transposed into a packed buffer
 *
 *     packed [depth][TILE]      packed[f][j] = items[j][f],  zero for j beyond the last item
 *
 * and USERS x TILE sums stay in registers while f runs (Goto, van de Geijn, "Anatomy of high-performance matrix
 * multiplication", ACM TOMS 34(3), 2008). Every sum runs over f in ascending order, one fused step each, in every tile
 * shape; that is what makes a score independent of the panel it is computed in.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>
#if GMF_VECTOR_FLOATS > 4
#include <immintrin.h>
#endif

#include "kernel/isa.h"
#include "kernel/scores.h"

typedef float vector __attribute__((vector_size(4 * GMF_VECTOR_FLOATS)));
typedef int32_t mask __attribute__((vector_size(4 * GMF_VECTOR_FLOATS)));

enum {
  LANES = GMF_VECTOR_FLOATS,
  VECTORS = 3,                             /* of items in a tile */
  USERS = GMF_VECTOR_FLOATS == 16 ? 8 : 4, /* 24 of 32 registers hold sums, or 12 of 16 */
  TILE = LANES * VECTORS,
  DEPTH = 128 /* factors at a time: packed stays in the first-level cache */
};

static inline vector load(const float *p)
{
  vector v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline void store(float *p, vector v) { memcpy(p, &v, sizeof v); }

/* items: [n][depth] of a tile, n <= TILE. */
static void pack(const float *items, int64_t n, int64_t stride, int depth, float *packed)
{
  if (n < TILE) memset(packed, 0, sizeof(float) * (size_t)depth * TILE);
  for (int64_t j = 0; j < n; j++) {
    const float *row = items + j * stride;
    for (int64_t f = 0; f < depth; f++) packed[f * TILE + j] = row[f];
  }
}

typedef vector sums[USERS][VECTORS];

/* sum [n_users][TILE] += users [n_users][depth] packed. n_users is a constant at each call, so that the sums get
 * registers. */
static inline __attribute__((always_inline)) void multiply(const float *users, int64_t stride, const int n_users,
                                                           const float *packed, int depth, sums sum)
{
  for (int64_t f = 0; f < depth; f++) {
    vector y[VECTORS];
#pragma GCC unroll 3
    for (int v = 0; v < VECTORS; v++) y[v] = load(packed + f * TILE + v * LANES);
#pragma GCC unroll 8
    for (int u = 0; u < n_users; u++) {
      float x = users[u * stride + f];
#pragma GCC unroll 3
      for (int v = 0; v < VECTORS; v++) sum[u][v] += y[v] * x;
    }
  }
}

/* out [n_users][TILE] (+)= users [n_users][depth] packed. */
static inline __attribute__((always_inline)) void tile(const float *users, int64_t stride, const int n_users,
                                                       const float *packed, int depth, bool add, float *out,
                                                       int64_t out_stride)
{
  sums sum;
#pragma GCC unroll 8
  for (int u = 0; u < n_users; u++)
#pragma GCC unroll 3
    for (int v = 0; v < VECTORS; v++) sum[u][v] = add ? load(out + u * out_stride + v * LANES) : (vector){0};
  multiply(users, stride, n_users, packed, depth, sum);
#pragma GCC unroll 8
  for (int u = 0; u < n_users; u++)
#pragma GCC unroll 3
    for (int v = 0; v < VECTORS; v++) store(out + u * out_stride + v * LANES, sum[u][v]);
}

/* All users against one packed tile of TILE items. */
static void all_users(const float *users, int64_t n_users, int64_t stride, const float *packed, int depth, bool add,
                      float *out, int64_t out_stride)
{
  int64_t u = 0;
  for (; u + USERS <= n_users; u += USERS)
    tile(users + u * stride, stride, USERS, packed, depth, add, out + u * out_stride, out_stride);
  for (; u + 4 <= n_users; u += 4)
    tile(users + u * stride, stride, 4, packed, depth, add, out + u * out_stride, out_stride);
  for (; u < n_users; u++) tile(users + u * stride, stride, 1, packed, depth, add, out + u * out_stride, out_stride);
}

/* The same for the last n < TILE items: whole tiles go through a buffer, some users at a time. */
static void last_items(const float *users, int64_t n_users, int64_t stride, const float *packed, int depth, bool add,
                       int64_t n, float *out, int64_t out_stride)
{
  float buffer[USERS * TILE];
  for (int64_t u = 0; u < n_users; u += USERS) {
    int64_t n_here = n_users - u < USERS ? n_users - u : USERS;
    memset(buffer, 0, sizeof buffer);
    for (int64_t r = 0; r < n_here && add; r++)
      memcpy(buffer + r * TILE, out + (u + r) * out_stride, (size_t)n * sizeof(float));
    all_users(users + u * stride, n_here, stride, packed, depth, add, buffer, TILE);
    for (int64_t r = 0; r < n_here; r++)
      memcpy(out + (u + r) * out_stride, buffer + r * TILE, (size_t)n * sizeof(float));
  }
}

void GMF_ISA_NAME(gmf_scores)(const float *users, int64_t n_users, int64_t user_stride, const float *items,
                              int64_t n_items, int64_t item_stride, int k, float *out, int64_t out_stride)
{
  float packed[DEPTH * TILE] __attribute__((aligned(64)));
  for (int64_t i = 0; i < n_items; i += TILE) {
    int64_t n = n_items - i < TILE ? n_items - i : TILE;
    for (int f = 0; f < k; f += DEPTH) {
      int depth = k - f < DEPTH ? k - f : DEPTH;
      pack(items + i * item_stride + f, n, item_stride, depth, packed);
      if (n == TILE)
        all_users(users + f, n_users, user_stride, packed, depth, f > 0, out + i, out_stride);
      else
        last_items(users + f, n_users, user_stride, packed, depth, f > 0, n, out + i, out_stride);
    }
  }
}

/* ---- scores that go into lists ----------------------------------------------------------------------------------- */

/* A bit for each lane in which a is at least b. */
static inline uint64_t lanes_at_least(vector a, vector b)
{
#if GMF_VECTOR_FLOATS == 16
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ);
#elif GMF_VECTOR_FLOATS == 8
  return (unsigned)_mm256_movemask_ps((__m256)(a >= b));
#else
  uint64_t bits = 0;
  for (int lane = 0; lane < LANES; lane++) bits |= (uint64_t)(a[lane] >= b[lane]) << lane;
  return bits;
#endif
}

int GMF_ISA_NAME(gmf_tile_items)(void) { return TILE; }

void GMF_ISA_NAME(gmf_pack_tile)(const gmf_item_panel *p, int64_t t, const float *items, int64_t item_stride,
                                 const float *offsets)
{
  int64_t begin = t * TILE, n = p->n - begin < TILE ? p->n - begin : TILE;
  pack(items + begin * item_stride, n, item_stride, p->k, p->packed + begin * p->k);
  for (int64_t j = 0; j < TILE; j++) p->offsets[begin + j] = j < n ? offsets[begin + j] : NAN;
}

/* Users [first, first + n_users) against a tile. All scores are complete before the first list is touched, so that no
 * call stands between the sums and their registers. */
static inline __attribute__((always_inline)) void push_tile(const gmf_scored_users *users, int64_t first,
                                                            const int n_users, const gmf_item_panel *p, int64_t t)
{
  sums sum = {{{0}}};
  uint64_t hits[USERS] = {0}, any_hits = 0;
  vector offset[VECTORS];
  multiply(users->rows + first * users->stride, users->stride, n_users, p->packed + t * TILE * p->k, p->k, sum);
#pragma GCC unroll 3
  for (int v = 0; v < VECTORS; v++) offset[v] = load(p->offsets + t * TILE + v * LANES);
#pragma GCC unroll 8
  for (int u = 0; u < n_users; u++) {
    vector enter = users->lists[first + u].enter - (vector){0}, of_user = users->offsets[first + u] - (vector){0};
#pragma GCC unroll 3
    for (int v = 0; v < VECTORS; v++) {
      sum[u][v] = (sum[u][v] + offset[v]) + of_user;
      hits[u] |= lanes_at_least(sum[u][v], enter) << (v * LANES);
    }
    any_hits |= hits[u];
  }
  if (__builtin_expect(any_hits == 0, 1)) return;
  float scores[USERS * TILE] __attribute__((aligned(64)));
#pragma GCC unroll 8
  for (int u = 0; u < n_users; u++)
#pragma GCC unroll 3
    for (int v = 0; v < VECTORS; v++) store(scores + u * TILE + v * LANES, sum[u][v]);
  for (int u = 0; u < n_users; u++)
    if (hits[u] != 0) gmf_topn_take(&users->lists[first + u], scores + u * TILE, hits[u], p->first + t * TILE);
}

void GMF_ISA_NAME(gmf_topn_push_tiles)(const gmf_scored_users *users, const gmf_item_panel *p, int64_t tile_begin,
                                       int64_t tile_end)
{
  for (int64_t t = tile_begin; t < tile_end; t++) {
    int64_t u = 0;
    for (; u + USERS <= users->n; u += USERS) push_tile(users, u, USERS, p, t);
    for (; u + 2 <= users->n; u += 2) push_tile(users, u, 2, p, t);
    for (; u < users->n; u++) push_tile(users, u, 1, p, t);
  }
}

/* ---- scanning ---------------------------------------------------------------------------------------------------- */

static inline bool any(mask m)
{
  uint64_t words[sizeof m / sizeof(uint64_t)], all = 0;
  memcpy(words, &m, sizeof m);
  for (size_t w = 0; w < sizeof words / sizeof *words; w++) all |= words[w];
  return all != 0;
}

int64_t GMF_ISA_NAME(gmf_first_at_least)(const float *scores, int64_t n, float threshold)
{
  int64_t j = 0;
  vector least = (vector){0} + threshold;
  for (; j + 4 * LANES <= n; j += 4 * LANES) {
    const float *s = scores + j;
    mask found = (load(s) >= least) | (load(s + LANES) >= least) | (load(s + 2 * LANES) >= least) |
                 (load(s + 3 * LANES) >= least);
    if (any(found)) break;
  }
  while (j < n && !(scores[j] >= threshold)) j++;
  return j;
}

int64_t GMF_ISA_NAME(gmf_count_at_least)(const float *scores, int64_t n, float threshold)
{
  int64_t j = 0, total = 0;
  vector least = (vector){0} + threshold;
  mask count[2] = {{0}, {0}};
  for (; j + 2 * LANES <= n; j += 2 * LANES) {
    count[0] -= load(scores + j) >= least;
    count[1] -= load(scores + j + LANES) >= least;
  }
  for (int lane = 0; lane < LANES; lane++) total += count[0][lane] + count[1][lane];
  for (; j < n; j++) total += scores[j] >= threshold;
  return total;
}

int64_t GMF_ISA_NAME(gmf_count_worse)(const float *scores, int64_t n, float threshold)
{
  int64_t j = 0, total = 0;
  vector t = (vector){0} + threshold;
  mask count[2] = {{0}, {0}}; /* a comparison that holds is -1 */
  for (; j + 2 * LANES <= n; j += 2 * LANES) {
    vector a = load(scores + j), b = load(scores + j + LANES);
    count[0] -= (a < t) + (a <= t);
    count[1] -= (b < t) + (b <= t);
  }
  for (int lane = 0; lane < LANES; lane++) total += count[0][lane] + count[1][lane];
  for (; j < n; j++) total += (scores[j] < threshold) + (scores[j] <= threshold);
  return total;
}
