/* Compiled once for each instruction set; see isa.h and cg.h. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/narrow.h"
#include "kernel/cg_versions.h"
#include "kernel/dense_versions.h"
#include "kernel/lanes.h"

/* A residual from f4 products is good enough for steps down to this; then it is found in f8, from the ratings. */
static const double F4_STEP = 1e-5;

/* Ratings of a panel that the diagonal of a row of several panels is taken from. */
enum { DIAGONAL_RATINGS = 16 };

/* ---- a panel of ratings ------------------------------------------------------------------------------------------ */

/* Vectors of a row that are taken at once by products; ratings are taken LANES at a time. */
enum { WIDTH = 4, STEP = WIDTH * LANES };
/* Vectors of a sum of rows that stay in registers, two of each, while the rows go by. */
enum { ADD_WIDTH = LANES == 16 ? 8 : 4 };
/*
 * Rows of so many ratings, or of so many floats, are taken twice before the next ones come: multiplied with x, which
 * brings them from the second cache to the first (of 32 or 48 KB), then added.
 */
enum { BLOCK_RATINGS = 64, BLOCK_FLOATS = 8192 };

/* w and t of n ratings; kind is a constant where this is expanded, so that the loop has no branches. */
static inline void weigh(gmf_loss loss, gmf_loss_kind kind, const float *values, const float *weights, int n,
                         gmf_cg_panel *p)
{
  loss.kind = kind;
  if (weights == NULL) {
    for (int j = 0; j < n; j++) {
      p->w[j] = gmf_loss_weight(loss, values[j], 1.0f);
      p->t[j] = gmf_loss_target(loss, values[j], 1.0f);
    }
    return;
  }
  for (int j = 0; j < n; j++) {
    p->w[j] = gmf_loss_weight(loss, values[j], weights[j]);
    p->t[j] = gmf_loss_target(loss, values[j], weights[j]);
  }
}

/* The panel of the ratings from `begin`. */
static void load_panel(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int64_t begin,
                       gmf_cg_panel *p)
{
  const int32_t *cols = ratings->cols;
  const float *values = ratings->values + begin, *weights = ratings->weights != NULL ? ratings->weights + begin : NULL;
  int n = ratings->n - begin < GMF_CG_PANEL ? (int)(ratings->n - begin) : GMF_CG_PANEL;
  int padded = (n + LANES - 1) / LANES * LANES;
  p->n = n;
  for (int j = 0; j < n; j++) p->rows[j] = y + (cols != NULL ? (int64_t)cols[begin + j] : begin + j) * stride;
  switch (loss.kind) {
    case GMF_LOSS_HKV: weigh(loss, GMF_LOSS_HKV, values, weights, n, p); break;
    case GMF_LOSS_IMPLICIT: weigh(loss, GMF_LOSS_IMPLICIT, values, weights, n, p); break;
    case GMF_LOSS_IALS: weigh(loss, GMF_LOSS_IALS, values, weights, n, p); break;
    default: weigh(loss, GMF_LOSS_SQUARED, values, weights, n, p); break;
  }
  for (int j = n; j < padded; j++) {
    p->rows[j] = p->rows[n - 1];
    p->w[j] = p->t[j] = 0;
  }
}

/* The same of a system, whose panels are kept from the first pass on unless the row is long. */
static const gmf_cg_panel *panel_at(const gmf_cg_system *s, int64_t begin, bool first)
{
  bool kept = s->ratings->n <= GMF_CG_PANELS * GMF_CG_PANEL;
  gmf_cg_panel *p = s->panels + (kept ? begin / GMF_CG_PANEL : 0);
  if (first || !kept) load_panel(s->y, s->stride, s->ratings, s->loss, begin, p);
  return p;
}

/* The sum of the lanes, in f8. */
static inline double sum_of_f4(vector_f4 v)
{
  const float *lanes = (const float *)&v;
  return sum_f8(load_widened(lanes) + load_widened(lanes + LANES_F8));
}

/* sum[d] += x . y_d over `width` vectors from column j, for a group's rows. */
ALWAYS_INLINE void multiply(const float *const *rows, const float *x, int j, int width, vector_f4 sum[LANES])
{
  vector_f4 xj[WIDTH];
  for (int v = 0; v < width; v++) xj[v] = *(const vector_f4 *)(x + j + v * LANES);
#pragma GCC unroll 16
  for (int d = 0; d < LANES; d++)
    for (int v = 0; v < width; v++) sum[d] += *(const vector_f4 *)(rows[d] + j + v * LANES) * xj[v];
}

/* Lane d = x . y_d of a group's rows. */
ALWAYS_INLINE vector_f4 products(const float *const *rows, const float *x, int ld)
{
  vector_f4 sum[LANES] = {{0}};
  int j = 0;
  for (; j + STEP <= ld; j += STEP) multiply(rows, x, j, WIDTH, sum);
  for (; j < ld; j += LANES) multiply(rows, x, j, 1, sum);
  return sums_of_lanes_f4(sum);
}

/* q += sum_d c_d y_d, or c_d y_d^2, over n rows, an even number, and `width` vectors from column j. */
ALWAYS_INLINE void add_strip(const float *const *rows, const float *c, int n, int j, int width, bool squared, float *q)
{
  vector_f4 even[ADD_WIDTH], odd[ADD_WIDTH];
  for (int v = 0; v < width; v++) {
    even[v] = *(const vector_f4 *)(q + j + v * LANES);
    odd[v] = (vector_f4){0};
  }
  for (int d = 0; d < n; d += 2)
    for (int v = 0; v < width; v++) {
      vector_f4 y = *(const vector_f4 *)(rows[d] + j + v * LANES);
      vector_f4 next = *(const vector_f4 *)(rows[d + 1] + j + v * LANES);
      even[v] += squared ? (c[d] * y) * y : c[d] * y;
      odd[v] += squared ? (c[d + 1] * next) * next : c[d + 1] * next;
    }
  for (int v = 0; v < width; v++) *(vector_f4 *)(q + j + v * LANES) = even[v] + odd[v];
}

/* The same over all columns. Behind an odd number of rows c is zero. */
ALWAYS_INLINE void add(const float *const *rows, const float *c, int n, int ld, bool squared, float *q)
{
  enum { HALF = ADD_WIDTH / 2 };
  int j = 0;
  n += n % 2;
  for (; j + ADD_WIDTH * LANES <= ld; j += ADD_WIDTH * LANES) add_strip(rows, c, n, j, ADD_WIDTH, squared, q);
  for (; j + HALF * LANES <= ld; j += HALF * LANES) add_strip(rows, c, n, j, HALF, squared, q);
  for (; j < ld; j += LANES) add_strip(rows, c, n, j, 1, squared, q);
}

static void add_rows(const float *const *rows, const float *c, int n, int ld, float *q)
{
  add(rows, c, n, ld, false, q);
}

static void add_squares(const float *const *rows, const float *w, int n, int ld, float *square)
{
  add(rows, w, n, ld, true, square);
}

static inline int least(int a, int b) { return a < b ? a : b; }

static inline int block_ratings(int ld)
{
  int n = least(BLOCK_FLOATS / ld / LANES * LANES, BLOCK_RATINGS);
  return n < LANES ? LANES : n;
}

/* q [ld] += sum_d w_d (x . y_d) y_d of a panel. */
static void product_of_panel(const gmf_cg_panel *p, int ld, const float *x, float *q)
{
  int step = block_ratings(ld);
  float c[BLOCK_RATINGS] __attribute__((aligned(64)));
  for (int begin = 0; begin < p->n; begin += step) {
    int n = least(step, p->n - begin);
    const float *const *rows = p->rows + begin;
    for (int d = 0; d < n; d += LANES)
      *(vector_f4 *)(c + d) = *(const vector_f4 *)(p->w + begin + d) * products(rows + d, x, ld);
    add_rows(rows, c, n, ld, q);
  }
}

/* sum_d w_d (x . y_d)^2 of a panel. */
static double square_of_panel(const gmf_cg_panel *p, int ld, const float *x)
{
  vector_f4 sum = {0};
  for (int d = 0; d < p->n; d += LANES) {
    vector_f4 yhat = products(p->rows + d, x, ld);
    sum += *(const vector_f4 *)(p->w + d) * yhat * yhat;
  }
  return sum_of_f4(sum);
}

void GMF_ISA_NAME(gmf_row_product)(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld,
                                   const float *p, float *q)
{
  gmf_cg_panel panel;
  for (int64_t begin = 0; begin < ratings->n; begin += GMF_CG_PANEL) {
    load_panel(y, stride, ratings, loss, begin, &panel);
    product_of_panel(&panel, ld, p, q);
  }
}

/* r [ld] = sum_d (t_d - w_d x . y_d) y_d of a panel. Returns its loss, see gmf_row_residual. */
static double residual_of_panel(const gmf_cg_panel *p, int ld, const float *x, float *r)
{
  int step = block_ratings(ld);
  vector_f4 loss = {0};
  float c[BLOCK_RATINGS] __attribute__((aligned(64)));
  memset(r, 0, (size_t)ld * sizeof *r);
  for (int begin = 0; begin < p->n; begin += step) {
    int n = least(step, p->n - begin);
    const float *const *rows = p->rows + begin;
    for (int d = 0; d < n; d += LANES) {
      vector_f4 w = *(const vector_f4 *)(p->w + begin + d), t = *(const vector_f4 *)(p->t + begin + d);
      vector_f4 yhat = products(rows + d, x, ld);
      loss += yhat * (w * yhat - 2 * t);
      *(vector_f4 *)(c + d) = t - w * yhat;
    }
    add_rows(rows, c, n, ld, r);
  }
  return sum_of_f4(loss);
}

/* ---- the row's own vectors --------------------------------------------------------------------------------------- */

/* to += scale from */
static inline void accumulate(double *to, const float *from, double scale, int ld)
{
  for (int j = 0; j < ld; j += LANES_F8) store(to + j, load(to + j) + scale * load_widened(from + j));
}

/* x4 = x, and x rounded to it. */
static inline void round_to_f4(double *x, int ld, float *x4)
{
  for (int j = 0; j < ld; j += LANES_F8) {
    half_f4 half = __builtin_convertvector(load(x + j), half_f4);
    *(half_f4 *)(x4 + j) = half;
    store(x + j, __builtin_convertvector(half, vector_f8));
  }
}

double GMF_ISA_NAME(gmf_row_residual_f4)(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss,
                                         int ld, const float *x, float *work, double *r)
{
  gmf_cg_panel panel;
  double total = 0;
  for (int64_t begin = 0; begin < ratings->n; begin += GMF_CG_PANEL) {
    load_panel(y, stride, ratings, loss, begin, &panel);
    total += residual_of_panel(&panel, ld, x, work);
    accumulate(r, work, 1, ld);
  }
  return total;
}

/* ---- long rows --------------------------------------------------------------------------------------------------- */

/* A pass over a row that is cut into slices. */
typedef struct pass {
  const gmf_cg_system *system;
  const float *x; /* what it is multiplied by */
} pass;

static inline bool is_long(const gmf_cg_system *s) { return s->ratings->n > GMF_SLICE; }

/*
 * The first pass over a panel: r [ld] += its residual; diagonal [ld] += that of its first ratings, `sampled` at most,
 * in proportion. Returns its loss. work [ld].
 */
static double start_of_panel(const gmf_cg_panel *p, int ld, const float *x, int sampled, float *work, double *r,
                             double *diagonal)
{
  int n = least(p->n, sampled);
  double loss = residual_of_panel(p, ld, x, work);
  accumulate(r, work, 1, ld);
  memset(work, 0, (size_t)ld * sizeof *work);
  add_squares(p->rows, p->w, n, ld, work);
  accumulate(diagonal, work, (double)p->n / n, ld);
  return loss;
}

/* The first pass over a slice; sums [2][ld]: residual and diagonal; work [ld]. */
static double start_of_slice(const void *context, const gmf_ratings *slice, int64_t first, float *work, void *sums)
{
  const pass *of = context;
  const gmf_cg_system *s = of->system;
  double *r = sums, loss = 0;
  gmf_cg_panel panel;
  (void)first;
  for (int64_t begin = 0; begin < slice->n; begin += GMF_CG_PANEL) {
    load_panel(s->y, s->stride, slice, s->loss, begin, &panel);
    loss += start_of_panel(&panel, s->ld, of->x, DIAGONAL_RATINGS, work, r, r + s->ld);
  }
  return loss;
}

/* A later one; sums [ld]: the product; work [ld]. */
static double product_of_slice(const void *context, const gmf_ratings *slice, int64_t first, float *work, void *sums)
{
  const pass *of = context;
  const gmf_cg_system *s = of->system;
  gmf_cg_panel panel;
  (void)first;
  for (int64_t begin = 0; begin < slice->n; begin += GMF_CG_PANEL) {
    load_panel(s->y, s->stride, slice, s->loss, begin, &panel);
    memset(work, 0, (size_t)s->ld * sizeof *work);
    product_of_panel(&panel, s->ld, of->x, work);
    accumulate(sums, work, 1, s->ld);
  }
  return 0;
}

/* The last one: a slice's part of the curvature. */
static double square_of_slice(const void *context, const gmf_ratings *slice, int64_t first, float *work, void *sums)
{
  const pass *of = context;
  const gmf_cg_system *s = of->system;
  gmf_cg_panel panel;
  double square = 0;
  (void)first;
  (void)work;
  (void)sums;
  for (int64_t begin = 0; begin < slice->n; begin += GMF_CG_PANEL) {
    load_panel(s->y, s->stride, slice, s->loss, begin, &panel);
    square += square_of_panel(&panel, s->ld, of->x);
  }
  return square;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

/* The state of a run: [ld] each, in gmf_cg_system's work. */
typedef struct state {
  double *x, *r;    /* and what it leaves of the right-hand side */
  double *diagonal; /* of the whole matrix; zero where x is not solved. Behind r */
  double *inverse;  /* of the same; zero likewise */
  double *p, *q;    /* direction; the matrix times it */
  float *p4, *q4;
} state;

static state state_of(const gmf_cg_system *s)
{
  size_t ld = (size_t)s->ld;
  double *w = s->work;
  float *f4 = (float *)(w + GMF_CG_VECTORS * ld);
  return (state){w, w + ld, w + 2 * ld, w + 3 * ld, w + 4 * ld, w + 5 * ld, f4, f4 + ld};
}

/* v->r = q - D x. Returns x'Dx - 2 q'x. */
static double start_residual(const gmf_cg_system *s, const state *v)
{
  vector_f8 regularisation = {0};
  for (int j = 0; j < s->ld; j += LANES_F8) {
    vector_f8 q = s->prior != NULL ? load(s->prior + j) : (vector_f8){0};
    vector_f8 x = load(v->x + j), dx = load(s->diagonal + j) * x;
    store(v->r + j, q - dx);
    regularisation += (dx - 2 * q) * x;
  }
  return sum_f8(regularisation);
}

/*
 * v->x = x, v->r what it leaves, by f4 products, and v->diagonal that of the whole matrix. Returns the objective: its
 * error is that of a few f4 roundings of each rating's yhat, which are as good as independent.
 *
 * Where a row has several panels the diagonal is that of some of its ratings, in proportion: a preconditioner does not
 * have to be exact, and of so many ratings a part says nearly the same.
 */
static double start(const gmf_cg_system *s, const float *x, const state *v)
{
  int ld = s->ld, sampled = s->ratings->n > GMF_CG_PANEL ? DIAGONAL_RATINGS : GMF_CG_PANEL;
  memset(v->x, 0, (size_t)ld * sizeof *v->x);
  accumulate(v->x, x, 1, ld);
  if (s->fixed >= 0) v->x[s->fixed] = 1;
  round_to_f4(v->x, ld, v->p4);
  double objective = start_residual(s, v);
  memcpy(v->diagonal, s->diagonal, (size_t)ld * sizeof *v->diagonal);
  if (is_long(s))
    return objective + gmf_slices_sum_f8(s->team, s->ratings, start_of_slice, &(pass){s, v->p4}, v->r, 2 * ld);
  for (int64_t begin = 0; begin < s->ratings->n; begin += GMF_CG_PANEL)
    objective += start_of_panel(panel_at(s, begin, true), ld, v->p4, sampled, v->q4, v->r, v->diagonal);
  return objective;
}

/* v->inverse. False when an element of the diagonal is not above zero. */
static bool invert(const gmf_cg_system *s, const state *v)
{
  int n_bad = 0;
  for (int j = 0; j < s->ld; j++) v->inverse[j] = 1 / v->diagonal[j];
  for (int j = s->n; j < s->ld; j++) v->inverse[j] = v->diagonal[j] = 0;
  if (s->fixed >= 0) v->inverse[s->fixed] = v->diagonal[s->fixed] = 0;
  for (int j = 0; j < s->ld; j++) n_bad += !(v->inverse[j] >= 0 && v->inverse[j] < INFINITY);
  return n_bad == 0;
}

/* v->r in f8 from the ratings. Returns the objective. */
static double renew(const gmf_cg_system *s, const state *v)
{
  double regularisation = start_residual(s, v);
  gmf_rated_row row = {s->y, s->stride, s->ratings, s->loss, s->ld};
  return regularisation + gmf_sum_residual(s->team, &row, v->x, false, v->r);
}

/* v->q = D times v->p, which is rounded to f4. */
static void start_product(const gmf_cg_system *s, const state *v)
{
  round_to_f4(v->p, s->ld, v->p4);
  for (int j = 0; j < s->ld; j += LANES_F8) store(v->q + j, load(s->diagonal + j) * load(v->p + j));
}

/* p'q */
static double product_of_vectors(const double *p, const double *q, int ld)
{
  vector_f8 sum = {0};
  for (int j = 0; j < ld; j += LANES_F8) sum += load(p + j) * load(q + j);
  return sum_f8(sum);
}

/* v->q = the matrix times v->p. Returns p'q. */
static double multiply_matrix(const gmf_cg_system *s, const state *v)
{
  start_product(s, v);
  if (is_long(s)) gmf_slices_sum_f8(s->team, s->ratings, product_of_slice, &(pass){s, v->p4}, v->q, s->ld);
  for (int64_t begin = 0; begin < s->ratings->n && !is_long(s); begin += GMF_CG_PANEL) {
    memset(v->q4, 0, (size_t)s->ld * sizeof *v->q4);
    product_of_panel(panel_at(s, begin, false), s->ld, v->p4, v->q4);
    accumulate(v->q, v->q4, 1, s->ld);
  }
  return product_of_vectors(v->p, v->q, s->ld);
}

/* p'q alone, which is all that the last step asks for: half the work. */
static double find_curvature(const gmf_cg_system *s, const state *v)
{
  start_product(s, v);
  double curvature = product_of_vectors(v->p, v->q, s->ld);
  if (is_long(s))
    return curvature + gmf_slices_sum_f8(s->team, s->ratings, square_of_slice, &(pass){s, v->p4}, NULL, 0);
  for (int64_t begin = 0; begin < s->ratings->n; begin += GMF_CG_PANEL)
    curvature += square_of_panel(panel_at(s, begin, false), s->ld, v->p4);
  return curvature;
}

/* r'z with z = r over the diagonal; *size: x'x in the norm of the diagonal. */
static double measure(const state *v, int ld, double *size)
{
  vector_f8 rho = {0}, square = {0};
  for (int j = 0; j < ld; j += LANES_F8) {
    vector_f8 r = load(v->r + j), x = load(v->x + j);
    rho += r * load(v->inverse + j) * r;
    square += x * load(v->diagonal + j) * x;
  }
  *size = sum_f8(square);
  return sum_f8(rho);
}

/* p = z + beta p */
static void turn(const state *v, double beta, int ld)
{
  for (int j = 0; j < ld; j += LANES_F8) {
    vector_f8 z = load(v->inverse + j) * load(v->r + j);
    store(v->p + j, z + beta * load(v->p + j));
  }
}

/* to += a from */
static void add_multiple(double *to, double a, const double *from, int ld)
{
  for (int j = 0; j < ld; j += LANES_F8) store(to + j, load(to + j) + a * load(from + j));
}

/* x = v->x in f4. False when a value is not finite, or too large for a model. */
static bool finish(const gmf_cg_system *s, const state *v, float *x)
{
  int n_bad = 0;
  for (int j = 0; j < s->ld; j++) {
    x[j] = (float)v->x[j];
    n_bad += !(fabsf(x[j]) < GMF_VALUE_LIMIT); /* also NaN */
  }
  return n_bad == 0;
}

/*
 * Preconditioned conjugate gradients (Hestenes, Stiefel, J. Res. NBS 49, 1952) on the residual of x. With M the
 * diagonal, each step is
 *
 *   alpha = r'M^-1 r / p'Ap,  x += alpha p,  r -= alpha Ap,  p = M^-1 r + beta p
 *
 * and lowers the objective by alpha r'M^-1 r: that is how it is known without another pass. Products with the ratings
 * are in f4 and summed by panels in f8; so x and r drift apart by f4's roundings, which few steps do not notice. Before
 * steps get as small as that, r is found anew in f8, and the run goes on to f8's end.
 */
bool GMF_ISA_NAME(gmf_cg_run)(const gmf_cg_system *s, int steps, float *x, double *objective)
{
  int ld = s->ld;
  double size = 0;
  state v = state_of(s);

  *objective = start(s, x, &v);
  if (!invert(s, &v)) return false;
  double rho = measure(&v, ld, &size);
  bool renewed = rho <= F4_STEP * F4_STEP * size;
  if (renewed) {
    *objective = renew(s, &v);
    rho = measure(&v, ld, &size);
  }
  memset(v.p, 0, (size_t)ld * sizeof *v.p);
  turn(&v, 0, ld);
  for (int step = 1; step <= steps && !(rho <= GMF_CG_STEP * GMF_CG_STEP * size); step++) {
    double curvature = step < steps ? multiply_matrix(s, &v) : find_curvature(s, &v);
    double alpha = rho / curvature, before = rho;
    if (!(curvature > 0)) return false;
    add_multiple(v.x, alpha, v.p, ld);
    *objective -= alpha * rho;
    if (step == steps) break;
    add_multiple(v.r, -alpha, v.q, ld);
    rho = measure(&v, ld, &size);
    if (step % GMF_CG_RENEW == 0 || (!renewed && rho <= F4_STEP * F4_STEP * size)) {
      renewed = true;
      *objective = renew(s, &v);
      rho = measure(&v, ld, &size);
    }
    turn(&v, rho / before, ld);
  }
  return finish(s, &v, x);
}
