/* Compiled once for each instruction set; see isa.h and dual.h. */
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/narrow.h"
#include "kernel/dual_versions.h"
#include "kernel/lanes.h"

/*
 * The dual of dual_isa.c for several rows of at most d ratings. A single one is a chain of small steps: each pivot
 * waits for the last one's division. Here lane l of a vector is row l, so that its steps are those of all rows at once
 * (interleaved or "compact" batches: Dongarra, Hammarling, Higham, Relton, Valero-Lara, Zounon, "The design and
 * performance of batched BLAS on modern high-performance computing systems", Procedia Computer Science 108, 2017).
 *
 * Only the d x d systems are interleaved. Their elements are sums over the coordinates, which lie side by side in a
 * factor row: they are added up there and then turned into lanes, d^2 / 2 numbers a row, where interleaving the factor
 * rows would turn d k of them.
 *
 * With G = Y D^-1 Y' and a right-hand side cut in two as there, tau over long ratings and s = t over short ones,
 *
 *   g = tau - W^1/2 G s,   h = (I + W^1/2 G W^1/2)^-1 g,   x = D^-1 (Y'(s + W^1/2 h) + q)
 *   objective = known - (tau'tau + s'G s - g'h)
 *
 * The prior's q is one more row of Y, whose products with the ratings' are what it predicts of them. A row of fewer
 * ratings has zeros behind them: of weight, target and Y; they add nothing but zeros to its sums. So its bits do not
 * depend on which rows are solved with it.
 */
enum {
  TILE = 4, /* rows of a factor that are multiplied with as many */
  VECTORS = 2,
  GROUP = VECTORS * LANES_F8, /* rows that are solved at a time: two chains of steps, as one leaves units idle */
  LINE_FLOATS = 16
};

/* A number of each row of a group. */
typedef struct lanes {
  vector_f8 v[VECTORS];
} lanes;

static inline double *lane_of(lanes *l, int lane) { return (double *)l + lane; }

#define EACH_VECTOR(p) for (int p = 0; p < VECTORS; p++)

/* Arrays of lanes are [d]. */
typedef struct state {
  double *scale;         /* [ld]: D^-1/2 of one row, zero where x is fixed and from n on */
  double *inverses;      /* [GROUP][ld]: D^-1, likewise */
  double *rows;          /* [order][ld]: Y D^-1/2 of one row */
  double *matrices;      /* [GROUP][order][order_pad]: G by its lower triangle */
  lanes *a;              /* [order (order + 1) / 2]: the same, interleaved, row by row; then L below the diagonal */
  lanes *w, *t, *fixed;  /* of the ratings; fixed: the coordinate of y that meets the fixed 1 */
  lanes *root, *tau, *s; /* w^1/2, and the two parts of t */
  lanes *h;              /* g, then h, then what Y is multiplied by */
  lanes *pivots, *over, *column;   /* of L: P, P^-1, and a row of L P */
  int d, order, order_pad;         /* ratings; with the prior; whole vectors of all instruction sets */
  const double *diagonal;          /* that scale has been made of; NULL: none */
  const double *inverse_of[GROUP]; /* of inverses; NULL: D is not above zero */
} state;

static state state_of(const gmf_dual_batch *b, int n_ratings)
{
  size_t ld = (size_t)b->ld, d = (size_t)n_ratings, order = d + (b->priors[0] != NULL), pad = (order + 7) / 8 * 8;
  state v = {.scale = b->work, .d = n_ratings, .order = (int)order, .order_pad = (int)pad};
  v.inverses = v.scale + ld;
  v.rows = v.inverses + GROUP * ld;
  v.matrices = v.rows + order * ld;
  v.a = (lanes *)(void *)(v.matrices + GROUP * order * pad);
  lanes *at = v.a + order * (order + 1) / 2;
  lanes **const arrays[] = {&v.w, &v.t, &v.fixed, &v.root, &v.tau, &v.s, &v.h, &v.pivots, &v.over, &v.column};
  for (size_t j = 0; j < GMF_DUAL_BATCH_LANES; j++) *arrays[j] = at + j * d;
  return v;
}

/* v->scale and the lane's inverses, if these are not the last lane's. NULL when an element of D is not above zero. */
static const double *invert_diagonal(const gmf_dual_batch *b, state *v, int row, int lane)
{
  double *inverse = v->inverses + (size_t)lane * (size_t)b->ld;
  int n_bad = 0;
  if (lane > 0 && b->diagonals[row] == v->diagonal) return v->inverse_of[lane - 1];
  v->diagonal = b->diagonals[row];
  memcpy(inverse, v->diagonal, (size_t)b->n * sizeof *inverse);
  for (int c = b->n; c < b->ld; c++) inverse[c] = INFINITY;
  if (b->fixed >= 0) inverse[b->fixed] = INFINITY;
  for (int c = 0; c < b->ld; c++) {
    n_bad += !(inverse[c] > 0);
    inverse[c] = 1 / inverse[c];
    v->scale[c] = sqrt(inverse[c]);
  }
  return n_bad == 0 ? inverse : NULL;
}

/* ---- row by row: the products ------------------------------------------------------------------------------------ */

static inline const float *factor_row(const gmf_dual_batch *b, const gmf_ratings *r, int j)
{
  return b->y + (r->cols != NULL ? (int64_t)r->cols[j] : j) * b->stride;
}

/* Asks for what a row that comes next will read. */
static inline void fetch_row(const gmf_dual_batch *b, int row)
{
  for (int j = 0; row < b->n_rows && j < b->ratings[row].n; j++) {
    const float *y = factor_row(b, &b->ratings[row], j);
    for (int c = 0; c < b->ld; c += LINE_FLOATS) __builtin_prefetch(y + c);
  }
}

/* v->rows of a row, and its weights and targets into its lane. */
static void load_row(const gmf_dual_batch *b, const state *v, int row, int lane)
{
  const gmf_ratings *r = &b->ratings[row];
  int n = (int)r->n, ld = b->ld;
  for (int j = 0; j < n; j++) {
    const float *y = factor_row(b, r, j);
    float weight = r->weights != NULL ? r->weights[j] : 1.0f;
    *lane_of(&v->w[j], lane) = (double)gmf_loss_weight(b->loss, r->values[j], weight);
    *lane_of(&v->t[j], lane) = (double)gmf_loss_target(b->loss, r->values[j], weight);
    *lane_of(&v->fixed[j], lane) = b->fixed >= 0 ? (double)y[b->fixed] : 0;
    double *z = v->rows + (size_t)j * (size_t)ld;
    for (int c = 0; c < ld; c += LANES_F8) store(z + c, load_widened(y + c) * load(v->scale + c));
  }
  for (int j = n; j < v->d; j++) *lane_of(&v->w[j], lane) = *lane_of(&v->t[j], lane) = *lane_of(&v->fixed[j], lane) = 0;
  memset(v->rows + (size_t)n * (size_t)ld, 0, (size_t)(v->d - n) * (size_t)ld * sizeof *v->rows);
  double *z = v->rows + (size_t)v->d * (size_t)ld;
  for (int c = 0; v->order > v->d && c < ld; c += LANES_F8) store(z + c, load(b->priors[row] + c) * load(v->scale + c));
}

/* to [height][to_ld] = Zi Zj', of which on the diagonal the lower triangle; height and diagonal are constants where
 * this is expanded. */
ALWAYS_INLINE void multiply_tile(const double *zi, const double *zj, int height, bool diagonal, int ld, double *to,
                                 int to_ld)
{
  vector_f8 sum[TILE * TILE] = {{0}};
  double sums[TILE * TILE] __attribute__((aligned(64)));
  int width = diagonal ? height : TILE;
  for (int c = 0; c < ld; c += LANES_F8) {
    vector_f8 right[TILE];
    for (int q = 0; q < width; q++) right[q] = load(zj + q * ld + c);
#pragma GCC unroll 4
    for (int p = 0; p < height; p++) {
      vector_f8 left = diagonal ? right[p] : load(zi + p * ld + c);
      for (int q = 0; q < (diagonal ? p + 1 : TILE); q++) sum[p * TILE + q] += left * right[q];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < height * TILE; p += LANES_F8) store(sums + p, sums_of_lanes_f8(sum + p));
  for (int p = 0; p < height; p++) memcpy(to + p * to_ld, sums + p * TILE, TILE * sizeof *sums);
}

/* The lower triangle of G of the row in v->rows. */
static void multiply_rows(const state *v, int ld, double *to)
{
  int pad = v->order_pad;
  for (int i = 0; i < v->order; i += TILE)
    for (int j = 0; j <= i; j += TILE) {
      const double *zi = v->rows + (size_t)i * (size_t)ld, *zj = v->rows + (size_t)j * (size_t)ld;
      double *tile = to + i * pad + j;
      int height = v->order - i < TILE ? v->order - i : TILE;
      switch (i == j ? -height : height) {
        case -1: multiply_tile(zi, zj, 1, true, ld, tile, pad); break;
        case -2: multiply_tile(zi, zj, 2, true, ld, tile, pad); break;
        case -3: multiply_tile(zi, zj, 3, true, ld, tile, pad); break;
        case -4: multiply_tile(zi, zj, 4, true, ld, tile, pad); break;
        case 1: multiply_tile(zi, zj, 1, false, ld, tile, pad); break;
        case 2: multiply_tile(zi, zj, 2, false, ld, tile, pad); break;
        case 3: multiply_tile(zi, zj, 3, false, ld, tile, pad); break;
        default: multiply_tile(zi, zj, 4, false, ld, tile, pad);
      }
    }
}

/* v->a = the lower triangles of v->matrices. */
static void interleave(const state *v)
{
  size_t pad = (size_t)v->order_pad, size = (size_t)v->order * pad;
  double *a = (double *)v->a;
  for (size_t i = 0; i < (size_t)v->order; i++)
    for (size_t begin = 0; begin <= i; begin += LANES_F8)
      for (size_t first = 0; first < GROUP; first += LANES_F8) {
        vector_f8 block[LANES_F8];
        for (size_t l = 0; l < LANES_F8; l++) block[l] = load(v->matrices + (first + l) * size + i * pad + begin);
        transpose_f8(block);
        for (size_t q = 0; q < LANES_F8 && begin + q <= i; q++)
          store(a + (i * (i + 1) / 2 + begin + q) * GROUP + first, block[q]);
      }
}

/* ---- all rows of a group at once: the systems -------------------------------------------------------------------- */

static inline lanes *element(const state *v, int i, int j) { return &v->a[i * (i + 1) / 2 + j]; }

/* x where the mask is set, zero elsewhere. */
static inline vector_f8 masked(vector_f8 x, indices_f8 mask) { return (vector_f8)((indices_f8)x & mask); }

typedef struct results {
  vector_f8 objective[VECTORS];
  indices_f8 bad[VECTORS];
} results;

/*
 * tau and s, once what the fixed coordinate and the prior predict is taken off the targets. The objective: what is
 * known of it then, minus tau'tau.
 */
static void cut_targets(const state *v, results *to)
{
  bool with_prior = v->order > v->d;
  const double *weights = (const double *)v->w;
  double *root = (double *)v->root;
  for (int j = 0; j < v->d * GROUP; j++) root[j] = sqrt(weights[j]);
  EACH_VECTOR(p)
  {
    vector_f8 known = {0};
    indices_f8 bad = {0};
    if (with_prior) known = -element(v, v->d, v->d)->v[p];
    for (int j = 0; j < v->d; j++) {
      vector_f8 w = v->w[j].v[p], target = v->t[j].v[p], f = v->fixed[j].v[p], t = target - w * f;
      known += f * (w * f - 2 * target);
      if (with_prior) {
        vector_f8 yhat = element(v, v->d, j)->v[p];
        known -= yhat * (2 * t - w * yhat);
        t -= w * yhat;
      }
      indices_f8 is_long = w * element(v, j, j)->v[p] >= 1;
      vector_f8 tau = masked(t / v->root[j].v[p], is_long);
      v->tau[j].v[p] = tau;
      v->s[j].v[p] = masked(t, ~is_long);
      known -= tau * tau;
      bad |= ~(w >= 0);
    }
    to->objective[p] = known;
    to->bad[p] = bad;
  }
}

/* v->h = g = tau - W^1/2 G s; the objective is less by s'G s. */
static void make_right(const state *v, results *to)
{
  for (int i = 0; i < v->d; i++) {
    lanes sum = {{{0}}};
    for (int j = 0; j < v->d; j++) {
      const lanes *g = i > j ? element(v, i, j) : element(v, j, i);
      EACH_VECTOR(p) sum.v[p] += g->v[p] * v->s[j].v[p];
    }
    EACH_VECTOR(p)
    {
      to->objective[p] -= v->s[i].v[p] * sum.v[p];
      v->h[i].v[p] = v->tau[i].v[p] - v->root[i].v[p] * sum.v[p];
    }
  }
}

/* Row i of I + W^1/2 G W^1/2 in column j, less what the first j columns of L have of it. */
static inline lanes rest_of(const state *v, int i, int j)
{
  lanes rest = *element(v, i, j);
  EACH_VECTOR(p) rest.v[p] *= v->root[i].v[p] * v->root[j].v[p];
  if (i == j) EACH_VECTOR(p) rest.v[p] += 1;
  const lanes *row = element(v, i, 0);
  for (int k = 0; k < j; k++) EACH_VECTOR(p) rest.v[p] -= row[k].v[p] * v->column[k].v[p];
  return rest;
}

/*
 * v->a = L, I + W^1/2 G W^1/2 = L P L', column by column: the pivots take no roots. One that is not above the threshold
 * times its diagonal element is bad, as in gmf_cholesky_f8.
 */
static void factorise(const state *v, results *to)
{
  double threshold = 16 * GMF_DUAL_BATCH_RATINGS * DBL_EPSILON;
  for (int j = 0; j < v->d; j++) {
    const lanes *row = element(v, j, 0);
    for (int k = 0; k < j; k++) EACH_VECTOR(p) v->column[k].v[p] = row[k].v[p] * v->pivots[k].v[p];
    lanes pivot = rest_of(v, j, j);
    EACH_VECTOR(p)
    {
      vector_f8 diagonal = 1 + v->w[j].v[p] * row[j].v[p];
      to->bad[p] |= ~(pivot.v[p] > threshold * diagonal);
      v->over[j].v[p] = 1 / pivot.v[p];
    }
    v->pivots[j] = pivot;
    for (int i = j + 1; i < v->d; i++) {
      lanes rest = rest_of(v, i, j);
      EACH_VECTOR(p) element(v, i, j)->v[p] = rest.v[p] * v->over[j].v[p];
    }
  }
}

/* v->h = s + W^1/2 h, h = (L P L')^-1 g. The objective is more by g'h. */
static void substitute(const state *v, results *to)
{
  lanes *h = v->h;
  for (int i = 0; i < v->d; i++) {
    const lanes *row = element(v, i, 0);
    lanes sum = h[i];
    for (int j = 0; j < i; j++) EACH_VECTOR(p) sum.v[p] -= row[j].v[p] * h[j].v[p];
    h[i] = sum;
  }
  for (int i = 0; i < v->d; i++) EACH_VECTOR(p)
    {
      vector_f8 scaled = h[i].v[p] * v->over[i].v[p];
      to->objective[p] += h[i].v[p] * scaled;
      h[i].v[p] = scaled;
    }
  for (int i = v->d - 1; i > 0; i--) {
    const lanes *row = element(v, i, 0);
    for (int j = 0; j < i; j++) EACH_VECTOR(p) h[j].v[p] -= row[j].v[p] * h[i].v[p];
  }
  for (int i = 0; i < v->d; i++) EACH_VECTOR(p) h[i].v[p] = v->s[i].v[p] + v->root[i].v[p] * h[i].v[p];
}

/* ---- row by row: the solutions ----------------------------------------------------------------------------------- */

/* x = D^-1 (Y'h + q) in f4. False when a value is not finite, or too large for a model. */
static bool combine(const gmf_dual_batch *b, const state *v, int row, int lane, float *x)
{
  const gmf_ratings *r = &b->ratings[row];
  const double *inverse = v->inverse_of[lane];
  indices_f8 bad = {0};
  for (int c = 0; c < b->ld; c += 2 * LANES_F8) {
    vector_f8 sum[2] = {{0}};
    EACH_VECTOR(p) if (v->order > v->d) sum[p] = load(b->priors[row] + c + p * LANES_F8);
    for (int j = 0; j < (int)r->n; j++) {
      const float *y = factor_row(b, r, j) + c;
      double h = *lane_of(&v->h[j], lane);
      EACH_VECTOR(p) sum[p] += h * load_widened(y + p * LANES_F8);
    }
    EACH_VECTOR(p)
    {
      half_f4 half = __builtin_convertvector(sum[p] * load(inverse + c + p * LANES_F8), half_f4);
      vector_f8 wide = __builtin_convertvector(half, vector_f8);
      bad |= ~((wide < (double)GMF_VALUE_LIMIT) & (wide > -(double)GMF_VALUE_LIMIT));
      *(half_f4 *)(x + c + p * LANES_F8) = half;
    }
  }
  if (b->fixed >= 0) x[b->fixed] = 1;
  int64_t any = 0;
  for (int l = 0; l < LANES_F8; l++) any |= bad[l];
  return any == 0;
}

/* The rows from `begin` on, at most GROUP of them. Lanes without a row have zeros. */
static void solve_group(const gmf_dual_batch *b, state *v, int begin, float *const *x, double *objective, bool *solved)
{
  results found;
  int n_lanes = b->n_rows - begin < GROUP ? b->n_rows - begin : GROUP;
  size_t size = (size_t)v->order * (size_t)v->order_pad;
  if (n_lanes < GROUP) {
    memset(v->matrices + (size_t)n_lanes * size, 0, (size_t)(GROUP - n_lanes) * size * sizeof *v->matrices);
    memset(v->w, 0, 3 * (size_t)v->d * sizeof *v->w); /* and t, fixed */
  }
  for (int lane = 0; lane < n_lanes; lane++) {
    v->inverse_of[lane] = invert_diagonal(b, v, begin + lane, lane);
    fetch_row(b, begin + lane + 1);
    load_row(b, v, begin + lane, lane);
    multiply_rows(v, b->ld, v->matrices + (size_t)lane * size);
  }
  interleave(v);
  cut_targets(v, &found);
  make_right(v, &found);
  factorise(v, &found);
  substitute(v, &found);
  for (int lane = 0; lane < n_lanes; lane++) {
    bool good = v->inverse_of[lane] != NULL && ((const int64_t *)found.bad)[lane] == 0;
    objective[begin + lane] = ((const double *)found.objective)[lane];
    solved[begin + lane] = good && combine(b, v, begin + lane, lane, x[begin + lane]);
  }
}

void GMF_ISA_NAME(gmf_dual_batch_run)(const gmf_dual_batch *b, float *const *x, double *objective, bool *solved)
{
  for (int begin = 0; begin < b->n_rows; begin += GROUP) {
    int64_t most = 0;
    for (int row = begin; row < b->n_rows && row < begin + GROUP; row++)
      most = b->ratings[row].n > most ? b->ratings[row].n : most;
    state v = state_of(b, (int)most);
    solve_group(b, &v, begin, x, objective, solved);
  }
}
