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
#include <stdbool.h>
#include <string.h>

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
  if (n < TILE) memset(packed, 0, sizeof(float) * (size_t)(depth * TILE));
  for (int64_t j = 0; j < n; j++) {
    const float *row = items + j * stride;
    for (int f = 0; f < depth; f++) packed[f * TILE + j] = row[f];
  }
}

/*
 * out [n_users][TILE] (+)= users [n_users][depth] packed. n_users is a constant at each call, so that the sums get
 * registers.
 */
static inline __attribute__((always_inline)) void tile(const float *users, int64_t stride, const int n_users,
                                                       const float *packed, int depth, bool add, float *out,
                                                       int64_t out_stride)
{
  vector sum[USERS][VECTORS];
#pragma GCC unroll 8
  for (int u = 0; u < n_users; u++)
#pragma GCC unroll 3
    for (int v = 0; v < VECTORS; v++) sum[u][v] = add ? load(out + u * out_stride + v * LANES) : (vector){0};
  for (int f = 0; f < depth; f++) {
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
