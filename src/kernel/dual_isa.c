/* Compiled once for each instruction set; see isa.h and dual.h. */
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernel/dense_versions.h"
#include "kernel/dual_versions.h"
#include "kernel/lanes.h"

/*
 * With W = diag(w) and Z = W^1/2 Y D^-1/2, whose rows are the scaled ratings, and the right-hand side cut in two,
 * Y't = D^1/2 (Z'tau + u), by the push-through identity (Woodbury)
 *
 *   x = (D + Y'WY)^-1 Y't = D^-1/2 (u + Z'h),      h = (I + ZZ')^-1 (tau - Zu)
 *   t'Yx = tau'tau + u'u - (tau - Zu)'h
 *
 * A rating goes to tau = t / w^1/2 where its row of Z is at least of length 1, and to u = D^-1/2 t y where it is
 * shorter, which w = 0 is too: then neither cancels, whatever D is. u is one more row of Z, so that Zu is the last
 * column of ZZ'. A fixed coordinate f has been taken off t: t_j - w_j y_jf. With a prior x = m + ..., m = D^-1
 * q, and what m predicts is taken off t as well: t_j - w_j (y_jf + m.y_j).
 */
enum { TILE = 4 }; /* rows of Z that are multiplied with as many */

typedef struct state {
  double *scale;     /* [ld]: D^-1/2, zero where x is fixed and from n on */
  double *mean;      /* [ld]: m; NULL: zero */
  double *rows;      /* [ratings + 1][ld]: Z and u, and zero up to whole tiles */
  double *tau;       /* [ratings] */
  double known;      /* of the objective: what does not depend on x */
  double prior_part; /* of b'x: that of m */
} state;

/* False when an element of D is not above zero. */
static bool make_scale(const gmf_dual_system *s, double *scale)
{
  int n_bad = 0;
  memcpy(scale, s->diagonal, (size_t)s->n * sizeof *scale);
  for (int c = s->n; c < s->ld; c++) scale[c] = INFINITY;
  if (s->fixed >= 0) scale[s->fixed] = INFINITY;
  for (int c = 0; c < s->ld; c++) {
    n_bad += !(scale[c] > 0);
    scale[c] = 1 / sqrt(scale[c]);
  }
  return n_bad == 0;
}

static double make_mean(const gmf_dual_system *s, const double *scale, double *mean)
{
  vector_f8 sum = {0};
  for (int c = 0; c < s->ld; c += LANES_F8) {
    vector_f8 q = load(s->prior + c), m = q * load(scale + c) * load(scale + c);
    store(mean + c, m);
    sum += m * q;
  }
  return sum_f8(sum);
}

static double predict(const float *y, const double *x, int ld)
{
  vector_f8 sum = {0};
  for (int c = 0; c < ld; c += LANES_F8) sum += load_widened(y + c) * load(x + c);
  return sum_f8(sum);
}

/* v->rows from the ratings. False when a weight is below zero. */
static bool scale_ratings(const gmf_dual_system *s, state *v)
{
  const gmf_ratings *r = s->ratings;
  int n = (int)r->n, ld = s->ld;
  double *u = v->rows + (size_t)n * (size_t)ld;
  memset(u, 0, (size_t)((n + TILE) / TILE * TILE - n) * (size_t)ld * sizeof *u);
  for (int j = 0; j < n; j++) {
    const float *y = s->y + (r->cols != NULL ? (int64_t)r->cols[j] : j) * s->stride;
    float weight = r->weights != NULL ? r->weights[j] : 1.0f;
    double w = (double)gmf_loss_weight(s->loss, r->values[j], weight);
    double target = (double)gmf_loss_target(s->loss, r->values[j], weight);
    double fixed = s->fixed >= 0 ? (double)y[s->fixed] : 0, t = target - w * fixed, root = sqrt(w);
    if (!(w >= 0)) return false;
    v->known += fixed * (w * fixed - 2 * target);
    if (v->mean != NULL) {
      double yhat = predict(y, v->mean, ld);
      v->prior_part += yhat * (2 * t - w * yhat);
      t -= w * yhat;
    }
    double *z = v->rows + (size_t)j * (size_t)ld;
    vector_f8 square = {0};
    for (int c = 0; c < ld; c += LANES_F8) {
      vector_f8 zc = root * (load_widened(y + c) * load(v->scale + c));
      square += zc * zc;
      store(z + c, zc);
    }
    bool is_long = sum_f8(square) >= 1;
    v->tau[j] = is_long ? t / root : 0;
    for (int c = 0; c < ld && !is_long; c += LANES_F8)
      store(u + c, load(u + c) + t * (load_widened(y + c) * load(v->scale + c)));
  }
  return true;
}

/* a [order_pad][order_pad] = ZZ' by whole tiles from the diagonal on, Z the first `order` rows. */
static void multiply_rows(const double *z, int order, int ld, double *a, int order_pad)
{
  for (int i = 0; i < order; i += TILE)
    for (int j = i; j < order; j += TILE) {
      const double *zi = z + (size_t)i * (size_t)ld, *zj = z + (size_t)j * (size_t)ld;
      double sums[TILE * TILE] __attribute__((aligned(64)));
      vector_f8 sum[TILE * TILE] = {{0}};
      for (int c = 0; c < ld; c += LANES_F8) {
        vector_f8 right[TILE];
        for (int q = 0; q < TILE; q++) right[q] = load(zj + q * ld + c);
#pragma GCC unroll 4
        for (int p = 0; p < TILE; p++)
          for (int q = 0; q < TILE; q++) sum[p * TILE + q] += load(zi + p * ld + c) * right[q];
      }
#pragma GCC unroll 8
      for (int p = 0; p < TILE * TILE; p += LANES_F8) store(sums + p, sums_of_lanes_f8(sum + p));
      for (int p = 0; p < TILE; p++)
        memcpy(a + (size_t)(i + p) * (size_t)order_pad + j, sums + p * TILE, TILE * sizeof *sums);
    }
}

/* x = D^-1/2 (u + Z'h) + m */
static void combine(const gmf_dual_system *s, const state *v, const double *h, double *x)
{
  int n = (int)s->ratings->n, ld = s->ld;
  const double *u = v->rows + (size_t)n * (size_t)ld;
  for (int c = 0; c < ld; c += 2 * LANES_F8) {
    vector_f8 first = load(u + c), second = load(u + c + LANES_F8);
    for (int j = 0; j < n; j++) {
      const double *z = v->rows + (size_t)j * (size_t)ld + c;
      first += h[j] * load(z);
      second += h[j] * load(z + LANES_F8);
    }
    store(x + c, load(v->scale + c) * first);
    store(x + c + LANES_F8, load(v->scale + c + LANES_F8) * second);
  }
  for (int c = 0; v->mean != NULL && c < ld; c++) x[c] += v->mean[c];
}

bool GMF_ISA_NAME(gmf_dual_run)(const gmf_dual_system *s, double *x, double *objective)
{
  int n = (int)s->ratings->n, ld = s->ld, order_pad = gmf_pad(n + 1);
  double *a = s->a;
  state v = {.scale = s->work, .rows = s->rows, .tau = s->work + 2 * (size_t)ld};

  if (!make_scale(s, v.scale)) return false;
  if (s->prior != NULL) {
    v.mean = s->work + ld;
    v.prior_part = make_mean(s, v.scale, v.mean);
  }
  if (!scale_ratings(s, &v)) return false;
  memset(a, 0, (size_t)order_pad * (size_t)order_pad * sizeof *a);
  multiply_rows(v.rows, n + 1, ld, a, order_pad);
  double *g = s->work + 3 * (size_t)ld, *h = s->work + 4 * (size_t)ld,
         *corner = a + (size_t)n * (size_t)(order_pad + 1);
  double square = *corner;
  *corner = 0;
  for (int j = 0; j < n; j++) {
    double *row = a + (size_t)j * (size_t)order_pad;
    row[j] += 1;
    g[j] = h[j] = v.tau[j] - row[n];
    row[n] = 0;
    square += v.tau[j] * v.tau[j];
  }
  for (int j = n; j < order_pad; j++) h[j] = 0;
  if (GMF_ISA_NAME(gmf_cholesky_f8)(a, n, order_pad, 16 * n * DBL_EPSILON, s->work + 5 * (size_t)ld) >= 0) return false;
  GMF_ISA_NAME(gmf_cholesky_solve_f8)(a, n, order_pad, h);
  for (int j = 0; j < n; j++) square -= g[j] * h[j];
  combine(s, &v, h, x);
  *objective = v.known - v.prior_part - square;
  return true;
}
