/*
 * Every way to solve a row, against the f8 normal equations solved by plain Gaussian elimination: on easy rows, on hard
 * ones (few ratings, tiny lambda, nearly equal factor rows), with weights, biases and all losses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "kernel/isa.h"
#include "kernel/row_solver.h"

static double random_value(uint64_t row, uint32_t column)
{
  return gmf_random_normal(11, GMF_STREAM_SYNTH_NOISE, row, column);
}

enum { N_FIXED = 700 };

/* A row, its solver and its dense system of n coordinates with D and without the fixed one. */
typedef struct problem {
  gmf_row_options options;
  int n, ld;
  gmf_row row;
  float *y, *values, *weights;
  int32_t *cols;
  double *diagonal, *prior, *a, *b, constant;
} problem;

typedef struct shape {
  int k, n_ratings;
  double lambda;
  bool bias, weighted;
  double spread; /* of the factor rows around a common one: small is hard */
} shape;

static double *square_of(const problem *p, int i, int j) { return &p->a[i * p->n + j]; }

/* a x = b with the fixed coordinate moved to the right, as in row_solver.h. */
static void make_system(problem *p)
{
  for (int64_t d = 0; d < p->row.ratings.n; d++) {
    const float *y = p->y + p->cols[d] * p->ld;
    float v = p->row.ratings.weights != NULL ? p->weights[d] : 1.0f;
    double w = (double)gmf_loss_weight(p->options.loss, p->values[d], v);
    double t = (double)gmf_loss_target(p->options.loss, p->values[d], v);
    double fixed = p->row.fixed >= 0 ? (double)y[p->row.fixed] : 0;
    p->constant += fixed * (w * fixed - 2 * t);
    for (int i = 0; i < p->n; i++) {
      if (i == p->row.fixed) continue;
      p->b[i] += (t - w * fixed) * (double)y[i];
      for (int j = 0; j < p->n; j++)
        if (j != p->row.fixed) *square_of(p, i, j) += w * (double)y[i] * (double)y[j];
    }
  }
  for (int i = 0; i < p->n; i++) *square_of(p, i, i) += i == p->row.fixed ? 1 : p->diagonal[i];
  if (p->row.fixed >= 0) p->b[p->row.fixed] = 1;
}

static void make_problem(problem *p, shape s, gmf_loss loss, gmf_solver solver, int cg_steps, bool nonnegative)
{
  *p = (problem){.options = {s.k, s.bias, loss, solver, cg_steps, nonnegative}, .n = gmf_row_order(s.k, s.bias)};
  p->ld = gmf_pad(p->n);
  p->y = gmf_calloc(N_FIXED * p->ld, sizeof *p->y);
  p->values = gmf_calloc(s.n_ratings, sizeof *p->values);
  p->weights = gmf_calloc(s.n_ratings, sizeof *p->weights);
  p->cols = gmf_calloc(s.n_ratings, sizeof *p->cols);
  p->diagonal = gmf_calloc(p->ld, sizeof *p->diagonal);
  p->a = gmf_calloc(p->n * p->n, sizeof *p->a);
  p->b = gmf_calloc(p->n, sizeof *p->b);
  for (int64_t i = 0; i < N_FIXED; i++) {
    float *row = p->y + i * p->ld;
    for (int j = 0; j < s.k; j++)
      row[j] =
          (float)(random_value(999, (uint32_t)j) * (1 - s.spread) + s.spread * random_value((uint64_t)i, (uint32_t)j));
    if (s.bias) {
      row[s.k] = 1; /* a user's row: its own bias, and the item's which is fixed */
      row[s.k + 1] = (float)random_value((uint64_t)i, 5000);
    }
  }
  for (int d = 0; d < s.n_ratings; d++) {
    p->cols[d] = d * 31 % N_FIXED;
    p->values[d] = d % 13 == 5 ? -1.0f : (float)(1 + d % 5);
    p->weights[d] = (float)(d % 4) / 2 + 0.5f;
  }
  for (int j = 0; j < s.k; j++) p->diagonal[j] = s.lambda + gmf_loss_shared(loss) * (1 + j % 7);
  if (s.bias) p->diagonal[s.k] = s.lambda / 2;
  p->row = (gmf_row){.y = p->y,
                     .stride = p->ld,
                     .ratings = {p->cols, p->values, s.weighted ? p->weights : NULL, s.n_ratings},
                     .diagonal = p->diagonal,
                     .fixed = s.bias ? s.k + 1 : -1,
                     .has_lambda = s.lambda > 0};
  make_system(p);
}

/* Shrinks the row by lambda towards another point than zero. */
static void add_prior(problem *p, double lambda)
{
  p->prior = gmf_calloc(p->ld, sizeof *p->prior);
  for (int j = 0; j < p->options.k; j++) {
    p->prior[j] = 3 * lambda * random_value(777, (uint32_t)j);
    p->b[j] += p->prior[j];
  }
  p->row.prior = p->prior;
}

static void free_problem(problem *p)
{
  void *const arrays[] = {p->y, p->values, p->weights, p->cols, p->diagonal, p->prior, p->a, p->b};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

/* x = a^-1 b by elimination with row exchanges; a and b are used up. */
static void eliminate(double *a, double *b, int n, double *x)
{
  for (int p = 0; p < n; p++) {
    int best = p;
    for (int i = p + 1; i < n; i++)
      if (fabs(a[i * n + p]) > fabs(a[best * n + p])) best = i;
    for (int j = 0; j < n; j++) {
      double swap = a[p * n + j];
      a[p * n + j] = a[best * n + j];
      a[best * n + j] = swap;
    }
    double swap = b[p];
    b[p] = b[best];
    b[best] = swap;
    for (int i = p + 1; i < n; i++) {
      double ratio = a[i * n + p] / a[p * n + p];
      for (int j = p; j < n; j++) a[i * n + j] -= ratio * a[p * n + j];
      b[i] -= ratio * b[p];
    }
  }
  for (int p = n - 1; p >= 0; p--) {
    double sum = b[p];
    for (int j = p + 1; j < n; j++) sum -= a[p * n + j] * x[j];
    x[p] = sum / a[p * n + p];
  }
}

/* The objective of x but for the rating's constants: x'Ax - 2 b'x over the coordinates that are solved. */
static double objective_of(const problem *p, const double *x)
{
  double sum = p->constant;
  for (int i = 0; i < p->n; i++) {
    if (i == p->row.fixed) continue;
    sum -= 2 * p->b[i] * x[i];
    for (int j = 0; j < p->n; j++)
      if (j != p->row.fixed) sum += x[i] * *square_of(p, i, j) * x[j];
  }
  return sum;
}

/* |x - wanted| in the norm of the system, relative to wanted in it: what counts for predictions and the objective. */
static double energy_error(const problem *p, const double *x, const double *wanted)
{
  double error = 0, size = 1e-300;
  for (int i = 0; i < p->n; i++)
    for (int j = 0; j < p->n; j++) {
      error += (x[i] - wanted[i]) * *square_of(p, i, j) * (x[j] - wanted[j]);
      size += wanted[i] * *square_of(p, i, j) * wanted[j];
    }
  return sqrt(fmax(0, error) / size);
}

/* Solves, and checks x to a tolerance and the objective, which must be that of the x that comes out. */
static void check_solution(const problem *p, double tolerance)
{
  gmf_row_solver s;
  assert_int_equal(gmf_row_solver_create(&s, &p->options, NULL), GMF_OK);
  float *x = gmf_calloc(p->ld, sizeof *x);
  double *a = gmf_calloc(p->n * p->n, sizeof *a), *b = gmf_calloc(p->n, sizeof *b);
  double *wanted = gmf_calloc(p->n, sizeof *wanted), *found = gmf_calloc(p->n, sizeof *found), objective = 0;
  memcpy(a, p->a, (size_t)(p->n * p->n) * sizeof *a);
  memcpy(b, p->b, (size_t)p->n * sizeof *b);
  eliminate(a, b, p->n, wanted);
  assert_true(gmf_row_solve(&s, &p->row, x, &objective));
  for (int j = 0; j < p->n; j++) found[j] = (double)x[j];
  for (int j = p->n; j < p->ld; j++) assert_true(x[j] == 0);
  if (p->row.fixed >= 0) assert_true(x[p->row.fixed] == 1);
  double error = energy_error(p, found, wanted);
  if (error > tolerance) print_error("energy error %g, wanted %g\n", error, tolerance);
  assert_true(error <= tolerance);
  double size = fabs(objective_of(p, wanted)) + fabs(p->constant) + 1e-30;
  assert_true(fabs(objective - objective_of(p, found)) <= (1e-6 + tolerance * tolerance) * size);
  assert_true(s.n_jittered == 0);
  gmf_row_solver_destroy(&s);
  void *const arrays[] = {x, a, b, wanted, found};
  for (size_t j = 0; j < sizeof arrays / sizeof *arrays; j++) gmf_free(arrays[j]);
}

static const gmf_loss LOSSES[] = {
    {GMF_LOSS_SQUARED, 0, 0}, {GMF_LOSS_HKV, 2.5f, 0}, {GMF_LOSS_IMPLICIT, 2.5f, 0}, {GMF_LOSS_IALS, 0, 0.1f}};
enum { N_LOSSES = sizeof LOSSES / sizeof *LOSSES };

static const shape EASY[] = {
    {1, 3, 0.5, false, false, 1},     {5, 40, 0.5, false, false, 1},  {16, 300, 1, false, true, 1},
    {33, 100, 0.5, false, false, 1},  {64, 650, 5, true, false, 1},   {14, 60, 0.3, true, true, 1},
    {100, 30, 0.5, false, false, 1},  {128, 5, 0.5, true, false, 1},  {64, 1, 0.1, false, true, 1},
    {15, 200, 0.5, true, false, 0.7}, {300, 400, 20, false, true, 1}, {16, 100000, 1, true, true, 1},
};
static const shape HARD[] = {
    {32, 8, 1e-4, false, false, 1},      {64, 64, 1e-3, false, false, 1},  {64, 70, 1e-5, true, true, 1},
    {48, 400, 1e-4, false, false, 0.02}, {20, 19, 1e-6, false, true, 0.1}, {100, 90, 1e-2, true, false, 0.05},
};

static void check_all(const shape *shapes, size_t n, gmf_solver solver, int cg_steps, double tolerance)
{
  for (size_t j = 0; j < n; j++)
    for (int l = 0; l < N_LOSSES; l++) {
      if (shapes[j].weighted && LOSSES[l].kind == GMF_LOSS_IMPLICIT && shapes[j].lambda < 0.01) continue; /* w < 0 */
      for (int with_prior = 0; with_prior < 2; with_prior++) {
        problem p;
        make_problem(&p, shapes[j], LOSSES[l], solver, cg_steps, false);
        if (with_prior) add_prior(&p, shapes[j].lambda);
        check_solution(&p, tolerance);
        free_problem(&p);
      }
    }
}

#define CHECK_ALL(shapes, solver, steps, tolerance) \
  check_all(shapes, sizeof shapes / sizeof *shapes, solver, steps, tolerance)

static void test_cholesky(void **state)
{
  (void)state;
  CHECK_ALL(EASY, GMF_SOLVER_CHOLESKY, 0, 2e-6); /* what rounding x to f4 leaves */
  CHECK_ALL(HARD, GMF_SOLVER_CHOLESKY, 0, 2e-5);
}

static void test_auto(void **state)
{
  (void)state;
  CHECK_ALL(EASY, GMF_SOLVER_AUTO, 0, 2e-6);
  CHECK_ALL(HARD, GMF_SOLVER_AUTO, 0, 2e-5);
}

static void test_cg(void **state)
{
  (void)state;
  CHECK_ALL(EASY, GMF_SOLVER_CG, 1000, 2e-6);
  CHECK_ALL(HARD, GMF_SOLVER_CG, 10000, 1e-4);
}

/* Solves from zero: the objective that is reported is that of the x that comes out. Returns it. */
static double check_objective(const problem *p)
{
  gmf_row_solver s;
  float *x = gmf_calloc(p->ld, sizeof *x);
  double *found = gmf_calloc(p->n, sizeof *found), objective = 0;
  assert_int_equal(gmf_row_solver_create(&s, &p->options, NULL), GMF_OK);
  assert_true(gmf_row_solve(&s, &p->row, x, &objective));
  for (int j = 0; j < p->n; j++) found[j] = (double)x[j];
  double by_hand = objective_of(p, found), size = fabs(by_hand) + fabs(p->constant);
  if (fabs(objective - by_hand) > 1e-6 * size) print_error("objective %.9g, by hand %.9g\n", objective, by_hand);
  assert_true(fabs(objective - by_hand) <= 1e-6 * size);
  gmf_row_solver_destroy(&s);
  gmf_free(x);
  gmf_free(found);
  return objective;
}

/* Few steps are no solution, but each is nearer to it, and the objective that is reported is that of where they end. */
static void test_cg_steps(void **state)
{
  (void)state;
  double last = 1e300;
  for (int steps = 1; steps <= 16; steps *= 2) {
    problem p;
    make_problem(&p, (shape){48, 300, 0.5, true, false, 1}, LOSSES[1], GMF_SOLVER_CG, steps, false);
    double objective = check_objective(&p);
    assert_true(objective < last);
    last = objective;
    free_problem(&p);
  }
}

/* Rows around the lengths of vectors and panels, and long ones: a solution after many steps, and after three the
 * objective of where they end. */
static void test_cg_lengths(void **state)
{
  (void)state;
  static const int LENGTHS[] = {1, 25, 31, 32, 33, 127, 128, 129, 257, 2048, 2049, 20000};
  static const int FACTORS[] = {1, 16, 50, 64, 130, 300};
  for (size_t f = 0; f < sizeof FACTORS / sizeof *FACTORS; f++)
    for (size_t n = 0; n < sizeof LENGTHS / sizeof *LENGTHS; n++) {
      int k = FACTORS[f], length = LENGTHS[n];
      if ((int64_t)k * k * length > 40000000) continue; /* the reference takes its time */
      for (int bias = 0; bias < 2; bias++) {
        problem p;
        shape s = {k, length, 2, bias == 1, n % 2 == 0, 1};
        make_problem(&p, s, LOSSES[n % N_LOSSES], GMF_SOLVER_CG, 300, false);
        check_solution(&p, 3e-6);
        p.options.cg_steps = 3;
        check_objective(&p);
        free_problem(&p);
      }
    }
}

/* Every length that batches take, and the first that they do not, by all losses in turn. */
static void test_dual_lengths(void **state)
{
  (void)state;
  static const int FACTORS[] = {1, 2, 17, 64, 130, 300};
  for (size_t f = 0; f < sizeof FACTORS / sizeof *FACTORS; f++)
    for (int n = 1; n <= GMF_DUAL_BATCH_RATINGS + 1; n++) {
      if (FACTORS[f] > 100 && n % 5 > 1) continue; /* the reference takes its time */
      problem p;
      shape s = {FACTORS[f], n, 0.5, n % 2 == 0, n % 3 == 0, 1};
      make_problem(&p, s, LOSSES[n % N_LOSSES], GMF_SOLVER_CG, 300, false);
      if (n % 4 > 1) add_prior(&p, s.lambda);
      check_solution(&p, 3e-6);
      free_problem(&p);
    }
}

/* Rows of a batch, of `longest` ratings and fewer: their arrays are made of those of one problem. */
typedef struct batch_case {
  problem p;
  int longest;
  gmf_row rows[GMF_DUAL_BATCH];
  double *diagonals, *priors; /* [GMF_DUAL_BATCH][ld] */
} batch_case;

static void make_batch(batch_case *c, shape s, bool with_prior, gmf_loss loss)
{
  c->longest = s.n_ratings;
  s.n_ratings += GMF_DUAL_BATCH;
  make_problem(&c->p, s, loss, GMF_SOLVER_AUTO, 0, false);
  int ld = c->p.ld;
  c->diagonals = gmf_calloc((int64_t)GMF_DUAL_BATCH * ld, sizeof *c->diagonals);
  c->priors = gmf_calloc((int64_t)GMF_DUAL_BATCH * ld, sizeof *c->priors);
  for (int r = 0; r < GMF_DUAL_BATCH; r++) {
    gmf_ratings *of = &c->p.row.ratings;
    int64_t n = c->longest - (r < 9 ? 0 : c->longest / 4 * (r - 8) / 7); /* nine alike, then shorter and shorter */
    double *diagonal = c->diagonals + r * ld, *prior = c->priors + r * ld;
    for (int j = 0; j < s.k; j++) {
      diagonal[j] = c->p.diagonal[j] + 0.1 * (double)(c->longest - n);
      prior[j] = random_value(500 + (uint64_t)r, (uint32_t)j);
    }
    if (s.bias) diagonal[s.k] = s.lambda;
    c->rows[r] = c->p.row;
    c->rows[r].ratings = (gmf_ratings){of->cols + r, of->values + r, of->weights != NULL ? of->weights + r : NULL, n};
    c->rows[r].diagonal = r < 9 ? c->diagonals : diagonal;
    c->rows[r].prior = with_prior ? prior : NULL;
  }
}

static void free_batch(batch_case *c)
{
  free_problem(&c->p);
  gmf_free(c->diagonals);
  gmf_free(c->priors);
}

/* Each row alone, and the rows from `begin` on by `step` together: the same bits, and whether they could be solved. */
static void check_together(const batch_case *c, int begin, int step)
{
  gmf_row_solver s;
  gmf_row rows[GMF_DUAL_BATCH];
  float *x[GMF_DUAL_BATCH], *alone = gmf_calloc(c->p.ld, sizeof *alone);
  double objective[GMF_DUAL_BATCH], one = 0;
  bool solved[GMF_DUAL_BATCH];
  int n = 0;
  assert_int_equal(gmf_row_solver_create(&s, &c->p.options, NULL), GMF_OK);
  for (int r = begin; r >= 0 && r < GMF_DUAL_BATCH; r += step) {
    assert_true(gmf_row_is_batched(&c->p.options, c->rows[r].ratings.n));
    x[n] = gmf_calloc(c->p.ld, sizeof **x);
    rows[n++] = c->rows[r];
  }
  gmf_row_solve_batch(&s, rows, n, x, objective, solved);
  for (int j = 0; j < n; j++) {
    memset(alone, 0, (size_t)c->p.ld * sizeof *alone);
    assert_true(gmf_row_solve(&s, &rows[j], alone, &one) == solved[j]);
    if (solved[j]) assert_memory_equal(x[j], alone, (size_t)c->p.ld * sizeof *alone);
    if (solved[j]) assert_true(objective[j] == one);
    gmf_free(x[j]);
  }
  gmf_free(alone);
  gmf_row_solver_destroy(&s);
}

/* A row's solution does not depend on the rows that it is solved with, on their order, nor on their number. */
static void test_batch(void **state)
{
  (void)state;
  static const int LENGTHS[] = {1, 2, 3, 4, 5, 8, 13, 16, 17, 25, 32};
  for (size_t l = 0; l < sizeof LENGTHS / sizeof *LENGTHS; l++)
    for (int kind = 0; kind < 2 * N_LOSSES; kind++) {
      batch_case c;
      shape s = {64 + 23 * kind, LENGTHS[l], 0.5, kind % 2 == 1, l % 2 == 1, 1};
      make_batch(&c, s, kind >= N_LOSSES, LOSSES[kind % N_LOSSES]);
      check_together(&c, 0, 1);
      check_together(&c, GMF_DUAL_BATCH - 1, -1);
      check_together(&c, 1, 3);
      free_batch(&c);
    }
}

/* Rows that no dual can be had for - one of negative weight, one without regularisation - go on by other ways, and
 * their neighbours notice nothing. */
static void test_batch_fails(void **state)
{
  (void)state;
  batch_case c;
  float against[] = {1, -2, 1, 1, 1, 1};
  make_batch(&c, (shape){64, 6, 0.5, false, true, 1}, false, LOSSES[0]);
  c.rows[4].ratings.weights = against;
  c.rows[11].diagonal = c.diagonals + 9 * c.p.ld;
  c.diagonals[9 * c.p.ld + 3] = 0;
  check_together(&c, 0, 1);
  free_batch(&c);
}

/* Karush, Kuhn and Tucker: x >= 0, gradient >= 0 where x = 0, gradient = 0 where x > 0 or nothing bounds it. */
static void check_kkt(shape sh, gmf_loss loss, bool with_prior)
{
  problem p;
  make_problem(&p, sh, loss, GMF_SOLVER_AUTO, 0, true);
  if (with_prior) add_prior(&p, sh.lambda);
  gmf_row_solver s;
  assert_int_equal(gmf_row_solver_create(&s, &p.options, NULL), GMF_OK);
  float *x = gmf_calloc(p.ld, sizeof *x);
  double objective = 0, largest = 1e-30, *found = gmf_calloc(p.n, sizeof *found);
  int n_zero = 0;
  assert_true(gmf_row_solve(&s, &p.row, x, &objective));
  for (int j = 0; j < p.n; j++) {
    found[j] = (double)x[j];
    largest = fmax(largest, fabs(p.b[j]));
  }
  for (int i = 0; i < p.n; i++) {
    if (i == p.row.fixed) continue;
    double gradient = -p.b[i], size = 0;
    for (int j = 0; j < p.n; j++) {
      if (j == p.row.fixed) continue;
      gradient += *square_of(&p, i, j) * found[j];
      size += fabs(*square_of(&p, i, j) * found[j]);
    }
    double limit = 1e-6 * (largest + size); /* x is rounded to f4 */
    if (i < sh.k) assert_true(x[i] >= 0);
    if (i < sh.k && x[i] == 0) {
      n_zero++;
      assert_true(gradient >= -limit);
    } else {
      assert_true(fabs(gradient) <= limit);
    }
  }
  assert_true(sh.k < 8 || n_zero > 0); /* else the constraint was not tried */
  assert_true(fabs(objective - objective_of(&p, found)) <= 1e-5 * (fabs(objective) + fabs(p.constant)));
  gmf_free(x);
  gmf_free(found);
  gmf_row_solver_destroy(&s);
  free_problem(&p);
}

static void test_nonnegative(void **state)
{
  (void)state;
  for (int l = 0; l < N_LOSSES; l++) {
    for (size_t j = 0; j < sizeof EASY / sizeof *EASY; j++)
      for (int with_prior = 0; with_prior < 2; with_prior++) check_kkt(EASY[j], LOSSES[l], with_prior == 1);
    check_kkt((shape){64, 500, 1e-3, true, false, 0.1}, LOSSES[l], false);
  }
}

/* A dense shared matrix is what a rotated row has on its diagonal. */
static void test_shared(void **state)
{
  (void)state;
  problem p;
  make_problem(&p, (shape){20, 50, 0.5, false, true, 1}, LOSSES[1], GMF_SOLVER_CHOLESKY, 0, false);
  gmf_row_solver s;
  assert_int_equal(gmf_row_solver_create(&s, &p.options, NULL), GMF_OK);
  float x[32] __attribute__((aligned(64))) = {0}, dense[32] __attribute__((aligned(64))) = {0};
  double objective = 0, *shared = gmf_calloc(32 * 32, sizeof *shared), *lambda = gmf_calloc(32, sizeof *lambda);
  assert_true(gmf_row_solve(&s, &p.row, x, &objective));
  for (int j = 0; j < 20; j++) {
    lambda[j] = 0.5;
    shared[j * 32 + j] = p.diagonal[j] - 0.5;
  }
  p.row.diagonal = lambda;
  p.row.shared = shared;
  assert_true(gmf_row_solve_f8(&s, &p.row, dense));
  for (int j = 0; j < 20; j++) assert_true(fabs((double)(x[j] - dense[j])) < 1e-6);
  gmf_free(shared);
  gmf_free(lambda);
  gmf_row_solver_destroy(&s);
  free_problem(&p);
}

/* Without lambda a row of fewer ratings than factors is singular, by every way; the least lambda makes it regular,
 * if need be with jitter, which is counted. */
static void test_singular(void **state)
{
  (void)state;
  for (int solver = GMF_SOLVER_AUTO; solver <= GMF_SOLVER_CG; solver++)
    for (int nonnegative = 0; nonnegative < 2; nonnegative++) {
      problem p;
      double objective = 0;
      make_problem(&p, (shape){40, 39, 0, false, false, 1}, LOSSES[0], (gmf_solver)solver, 5, nonnegative == 1);
      gmf_row_solver s;
      assert_int_equal(gmf_row_solver_create(&s, &p.options, NULL), GMF_OK);
      float *x = gmf_calloc(p.ld, sizeof *x);
      for (int j = 0; j < 40; j++) x[j] = 1; /* all are guessed to be above zero */
      bool solved = gmf_row_solve(&s, &p.row, x, &objective);
      assert_false(solved);
      if (nonnegative == 0 && solver == GMF_SOLVER_CHOLESKY) {
        for (int j = 0; j < 40; j++) p.diagonal[j] = 1e-20;
        p.row.has_lambda = true;
        assert_true(gmf_row_solve(&s, &p.row, x, &objective));
        assert_int_equal(s.n_jittered, 1);
      }
      gmf_free(x);
      gmf_row_solver_destroy(&s);
      free_problem(&p);
    }
}

/* Weights below zero may leave a row's matrix indefinite: every way says so. */
static void test_indefinite(void **state)
{
  (void)state;
  for (int solver = GMF_SOLVER_AUTO; solver <= GMF_SOLVER_CG; solver++) {
    problem p;
    double objective = 0;
    gmf_loss loss = {GMF_LOSS_IMPLICIT, 0.01f, 0};
    make_problem(&p, (shape){10, 60, 0.1, false, false, 1}, loss, (gmf_solver)solver, 50, false);
    gmf_row_solver s;
    assert_int_equal(gmf_row_solver_create(&s, &p.options, NULL), GMF_OK);
    float x[16] __attribute__((aligned(64))) = {0};
    assert_false(gmf_row_solve(&s, &p.row, x, &objective));
    gmf_row_solver_destroy(&s);
    free_problem(&p);
  }
}

/* Solvers of a team, the first with a row that all of them solve. */
enum { MOST_THREADS = 3 };

static void solve_together(const problem *p, int n_threads, float *x, double *objective)
{
  gmf_row_solver solvers[MOST_THREADS];
  double *rooms[MOST_THREADS], seconds[MOST_THREADS] = {0}, all = 0;
  float *work[MOST_THREADS];
  for (int t = 0; t < n_threads; t++) {
    assert_int_equal(gmf_row_solver_create(&solvers[t], &p->options, NULL), GMF_OK);
    rooms[t] = solvers[t].copy8;
    work[t] = solvers[t].work;
  }
  gmf_team team = {n_threads, rooms, work, seconds};
  if (n_threads > 1) solvers[0].team = &team;
  assert_true(gmf_row_solve(&solvers[0], &p->row, x, objective));
  for (int t = 0; t < n_threads; t++) {
    all += seconds[t];
    gmf_row_solver_destroy(&solvers[t]);
  }
  if (n_threads > 1) assert_true(all > 0);
}

/* A row that threads solve together has the bits that one of them finds alone, whatever their number and the order in
 * which they come. */
static void test_team(void **state)
{
  static const gmf_solver SOLVERS[] = {GMF_SOLVER_AUTO, GMF_SOLVER_CHOLESKY, GMF_SOLVER_CG};
  static const shape LONG[] = {{16, 100003, 1, true, true, 1}, {33, 3 * GMF_SLICE, 1, false, false, 1}};
  (void)state;
  for (int way = 0; way < 4; way++) /* the last: not below zero */
    for (int l = 0; l < N_LOSSES; l++)
      for (int j = 0; j < 2; j++) {
        problem p;
        double alone = 0;
        make_problem(&p, LONG[j], LOSSES[l], SOLVERS[way % 3], 40, way == 3);
        add_prior(&p, LONG[j].lambda);
        float *x = gmf_calloc(p.ld, sizeof *x), *y = gmf_calloc(p.ld, sizeof *y);
        solve_together(&p, 1, x, &alone);
        for (int n_threads = 2; n_threads <= MOST_THREADS; n_threads++) {
          double together = 0;
          memset(y, 0, (size_t)p.ld * sizeof *y);
          solve_together(&p, n_threads, y, &together);
          assert_memory_equal(x, y, (size_t)p.ld * sizeof *x);
          assert_memory_equal(&alone, &together, sizeof alone);
        }
        gmf_free(x);
        gmf_free(y);
        free_problem(&p);
      }
}

static int no_leaks(void **state)
{
  (void)state;
  return gmf_memory_live_count() == 0 ? 0 : -1;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(test_cholesky, no_leaks),     cmocka_unit_test_teardown(test_auto, no_leaks),
      cmocka_unit_test_teardown(test_cg, no_leaks),           cmocka_unit_test_teardown(test_cg_steps, no_leaks),
      cmocka_unit_test_teardown(test_cg_lengths, no_leaks),   cmocka_unit_test_teardown(test_nonnegative, no_leaks),
      cmocka_unit_test_teardown(test_dual_lengths, no_leaks), cmocka_unit_test_teardown(test_batch, no_leaks),
      cmocka_unit_test_teardown(test_batch_fails, no_leaks),  cmocka_unit_test_teardown(test_shared, no_leaks),
      cmocka_unit_test_teardown(test_singular, no_leaks),     cmocka_unit_test_teardown(test_indefinite, no_leaks),
      cmocka_unit_test_teardown(test_team, no_leaks),
  };
  print_message("kernels: %s\n", gmf_kernel_level_name(gmf_kernel_level()));
  return cmocka_run_group_tests(tests, NULL, NULL);
}
