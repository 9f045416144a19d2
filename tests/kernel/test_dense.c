/* Every version of the dense kernels that this CPU has, against plain loops in f8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "kernel/dense.h"
#include "kernel/isa.h"

static double random_value(uint64_t row, uint32_t column)
{
  return gmf_random_normal(7, GMF_STREAM_SYNTH_NOISE, row, column);
}

enum { N_FIXED = 50 };

/* A row's ratings, and the sums that they lead to. */
typedef struct problem {
  int k, ld;
  float *y; /* [N_FIXED][ld] */
  gmf_ratings ratings;
  float *values, *weights;
  int32_t *cols;
  double *w, *t; /* of each rating */
  double *a, *b; /* [k][k], [k] */
} problem;

/* w and t of loss.h's table, written out anew. */
static void weigh(gmf_loss loss, double r, double v, double *w, double *t)
{
  double alpha = (double)loss.alpha, positive = r > 0 ? 1 : 0;
  switch (loss.kind) {
    case GMF_LOSS_SQUARED: *w = v, *t = v * r; break;
    case GMF_LOSS_HKV: *w = alpha * v * fabs(r), *t = positive * (1 + alpha * v * r); break;
    case GMF_LOSS_IMPLICIT: *w = alpha * v * fabs(r) - 1, *t = positive * alpha * v * r; break;
    case GMF_LOSS_IALS: *w = r == 0 ? 0 : v, *t = positive * v; break;
  }
}

static void make_problem(problem *p, int k, int64_t n, gmf_loss loss, bool weighted)
{
  *p = (problem){.k = k, .ld = gmf_pad(k)};
  p->y = gmf_calloc(N_FIXED * p->ld, sizeof *p->y);
  p->values = gmf_calloc(n, sizeof *p->values);
  p->weights = gmf_calloc(n, sizeof *p->weights);
  p->cols = gmf_calloc(n, sizeof *p->cols);
  p->w = gmf_calloc(n, sizeof *p->w);
  p->t = gmf_calloc(n, sizeof *p->t);
  p->a = gmf_calloc(k * k, sizeof *p->a);
  p->b = gmf_calloc(k, sizeof *p->b);
  p->ratings = (gmf_ratings){p->cols, p->values, weighted ? p->weights : NULL, n};
  for (int64_t i = 0; i < N_FIXED; i++)
    for (int j = 0; j < k; j++) p->y[i * p->ld + j] = (float)random_value((uint64_t)i, (uint32_t)j);
  for (int64_t d = 0; d < n; d++) {
    p->cols[d] = (int32_t)((d * 31) % N_FIXED);
    p->values[d] = d % 11 == 7 ? 0.0f : (float)(random_value(1000 + (uint64_t)d, 0) + 1);
    p->weights[d] = (float)(d % 5) / 2;
    const float *row = p->y + p->cols[d] * p->ld;
    weigh(loss, (double)p->values[d], weighted ? (double)p->weights[d] : 1, &p->w[d], &p->t[d]);
    for (int i = 0; i < k; i++) {
      p->b[i] += p->t[d] * (double)row[i];
      for (int j = 0; j < k; j++) p->a[i * k + j] += p->w[d] * (double)row[i] * (double)row[j];
    }
  }
}

static void free_problem(problem *p)
{
  void *const arrays[] = {p->y, p->values, p->weights, p->cols, p->w, p->t, p->a, p->b};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

static const int ORDERS[] = {1, 2, 5, 15, 16, 17, 31, 32, 33, 48, 64, 100, 128, 300};
static const int64_t COUNTS[] = {0, 1, 3, 4, 63, 64, 65, 200, 5000};
static const gmf_loss LOSSES[] = {
    {GMF_LOSS_SQUARED, 0, 0}, {GMF_LOSS_HKV, 2.5f, 0}, {GMF_LOSS_IMPLICIT, 2.5f, 0}, {GMF_LOSS_IALS, 0, 0.1f}};

/* Calls check for every order, count, loss, and with and without weights. */
static void for_all(void (*check)(const problem *p, gmf_loss loss))
{
  for (size_t k = 0; k < sizeof ORDERS / sizeof *ORDERS; k++)
    for (size_t n = 0; n < sizeof COUNTS / sizeof *COUNTS; n++)
      for (size_t l = 0; l < sizeof LOSSES / sizeof *LOSSES; l++) {
        if (ORDERS[k] > 64 && COUNTS[n] > 200) continue; /* the plain loops would take most of the test's time */
        problem p;
        make_problem(&p, ORDERS[k], COUNTS[n], LOSSES[l], (k + n) % 2 == 0);
        check(&p, LOSSES[l]);
        free_problem(&p);
      }
}

static void check_gram(const problem *p, gmf_loss loss)
{
  int k = p->k, ld = p->ld;
  float *a = gmf_calloc(ld * ld, sizeof *a), *b = gmf_calloc(ld, sizeof *b);
  float *work = gmf_calloc(gmf_gram_work(ld), sizeof *work);
  double *a8 = gmf_calloc(ld * ld, sizeof *a8), *b8 = gmf_calloc(ld, sizeof *b8);
  double *work8 = gmf_calloc(2 * GMF_GRAM_DEPTH * ld, sizeof *work8);
  gmf_gram_f4(p->y, ld, &p->ratings, loss, ld, work, a, b);
  gmf_gram_f8(p->y, ld, &p->ratings, loss, ld, work8, a8, b8);
  double scale = 1e-30;
  for (int i = 0; i < k; i++) scale = fmax(scale, fmax(fabs(p->a[i * k + i]), fabs(p->b[i])));
  for (int64_t d = 0; d < p->ratings.n; d++) scale = fmax(scale, fabs(p->w[d])); /* weights of both signs cancel */
  double limit = gmf_kernel_level() == GMF_LEVEL_AMX ? 3e-5 : 1e-5, squares = 0;
  for (int i = 0; i < k; i++) {
    for (int j = i; j < k; j++) {
      double error = fabs((double)a[i * ld + j] - p->a[i * k + j]) / scale;
      squares += error * error;
      assert_true(error <= limit);
      assert_true(fabs(a8[i * ld + j] - p->a[i * k + j]) <= 1e-6 * scale); /* w and t are f4 */
    }
    assert_true(fabs((double)b[i] - p->b[i]) <= 1e-5 * scale);
    assert_true(fabs(b8[i] - p->b[i]) <= 1e-6 * scale);
  }
  assert_true(sqrt(squares / (k * (k + 1) / 2)) <= (k > 4 ? limit / 3 : limit));
  for (int i = 0; i < ld; i++) /* padding stays clean */
    for (int j = k; j < ld; j++) assert_true(a[i * ld + j] == 0.0f);
  void *const arrays[] = {a, b, work, a8, b8, work8};
  for (size_t j = 0; j < sizeof arrays / sizeof *arrays; j++) gmf_free(arrays[j]);
}

/* The residual, its loss and the diagonal, and the product in f4: all from one vector. */
static void check_passes(const problem *p, gmf_loss loss)
{
  int k = p->k, ld = p->ld;
  double *x = gmf_calloc(ld, sizeof *x), *r = gmf_calloc(ld, sizeof *r), *diagonal = gmf_calloc(ld, sizeof *diagonal);
  double *again = gmf_calloc(ld, sizeof *again), *ax = gmf_calloc(k, sizeof *ax), by_hand = 0, scale = 1e-30;
  float *x4 = gmf_calloc(ld, sizeof *x4), *q = gmf_calloc(ld, sizeof *q), *work = gmf_calloc(ld, sizeof *work);
  double *r4 = gmf_calloc(ld, sizeof *r4);
  for (int j = 0; j < k; j++) x4[j] = (float)(x[j] = (double)(float)random_value(77, (uint32_t)j));
  for (int i = 0; i < k; i++)
    for (int j = 0; j < k; j++) {
      ax[i] += p->a[i * k + j] * x[j];
      scale = fmax(scale, fabs(p->a[i * k + j] * x[j]) * k);
    }
  for (int i = 0; i < k; i++) scale = fmax(scale, fabs(p->b[i]));
  for (int64_t d = 0; d < p->ratings.n; d++) scale = fmax(scale, fabs(p->w[d]) * k);
  for (int i = 0; i < k; i++) by_hand += x[i] * (ax[i] - 2 * p->b[i]);

  double found = gmf_row_residual(p->y, ld, &p->ratings, loss, ld, x, r, diagonal);
  double quick = gmf_row_residual_f4(p->y, ld, &p->ratings, loss, ld, x4, work, r4);
  assert_true(fabs(gmf_row_residual(p->y, ld, &p->ratings, loss, ld, x, again, NULL) - found) <= 1e-12 * fabs(found));
  gmf_row_product(p->y, ld, &p->ratings, loss, ld, x4, q);
  assert_true(fabs(found - by_hand) <= 1e-6 * k * scale);
  assert_true(fabs(quick - found) <= 1e-6 * k * scale);
  for (int i = 0; i < k; i++) {
    assert_true(fabs(r[i] - (p->b[i] - ax[i])) <= 1e-6 * scale);
    assert_true(fabs(again[i] - r[i]) <= 1e-12 * scale);
    assert_true(fabs(r4[i] - r[i]) <= 1e-6 * scale);
    assert_true(fabs(diagonal[i] - p->a[i * k + i]) <= 1e-6 * scale);
    assert_true(fabs((double)q[i] - ax[i]) <=
                1e-5 * fmax(1, sqrt((double)p->ratings.n / 5000)) * scale); /* one f4 sum */
  }
  for (int i = k; i < ld; i++) assert_true(r[i] == 0 && diagonal[i] == 0 && q[i] == 0);
  void *const arrays[] = {x, r, diagonal, again, ax, x4, q, work, r4};
  for (size_t j = 0; j < sizeof arrays / sizeof *arrays; j++) gmf_free(arrays[j]);
}

static void test_gram(void **state)
{
  (void)state;
  for_all(check_gram);
}

static void test_passes(void **state)
{
  (void)state;
  for_all(check_passes);
}

/* Weights without values: what the shared Gram matrix is formed from. */
static void test_weights_alone(void **state)
{
  (void)state;
  enum { N = 21, LD = 16 };
  float y[N * LD] __attribute__((aligned(64))) = {0}, weights[N];
  double a[LD * LD] __attribute__((aligned(64))) = {0}, work[2 * GMF_GRAM_DEPTH * LD] __attribute__((aligned(64)));
  for (int i = 0; i < N; i++) {
    weights[i] = (float)(i % 4);
    for (int j = 0; j < 3; j++) y[i * LD + j] = (float)random_value((uint64_t)i, (uint32_t)j);
  }
  gmf_ratings rows = {NULL, NULL, weights, N};
  gmf_gram_f8(y, LD, &rows, LOSSES[0], LD, work, a, NULL);
  for (int i = 0; i < 3; i++)
    for (int j = i; j < 3; j++) {
      double wanted = 0;
      for (int d = 0; d < N; d++) wanted += (double)weights[d] * (double)y[d * LD + i] * (double)y[d * LD + j];
      assert_true(fabs(a[i * LD + j] - wanted) < 1e-12);
    }
}

/* Long rows, whose sums are cut into panels and chains. */
static void test_long_rows(void **state)
{
  (void)state;
  static const int orders[] = {1, 17, 64};
  for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
    problem p;
    make_problem(&p, orders[o], 100000, LOSSES[1], true);
    check_gram(&p, LOSSES[1]);
    check_passes(&p, LOSSES[1]);
    free_problem(&p);
  }
}

/* a [k][k] = a random matrix of full rank times its transpose, and more on the diagonal. */
static void make_positive(double *a, int k)
{
  double *rows = gmf_calloc(k * k, sizeof *rows);
  for (int i = 0; i < k * k; i++) rows[i] = random_value(500 + (uint64_t)(i / k), (uint32_t)(i % k));
  for (int i = 0; i < k; i++)
    for (int j = 0; j <= i; j++) {
      double sum = 0;
      for (int d = 0; d < k; d++) sum += rows[i * k + d] * rows[j * k + d];
      a[i * k + j] = a[j * k + i] = (double)(float)(sum / k + (i == j));
    }
  gmf_free(rows);
}

/* max |b - A x| relative to what it is summed from. */
static double error_of_solution(const double *a, int k, const double *b, const double *x)
{
  double error = 0;
  for (int i = 0; i < k; i++) {
    double sum = -b[i], size = fabs(b[i]);
    for (int j = 0; j < k; j++) {
      sum += a[i * k + j] * x[j];
      size += fabs(a[i * k + j] * x[j]);
    }
    error = fmax(error, fabs(sum) / size);
  }
  return error;
}

/* Factors and solves in both precisions; below the diagonal stands what must not be read. */
static void check_cholesky(int k, int broken)
{
  int ld = gmf_pad(k);
  double *a = gmf_calloc(k * k, sizeof *a), *b = gmf_calloc(k, sizeof *b), *x = gmf_calloc(k, sizeof *x);
  float *a4 = gmf_calloc(ld * ld, sizeof *a4), *x4 = gmf_calloc(ld, sizeof *x4);
  float *work4 = gmf_calloc(GMF_CHOLESKY_PANEL * ld, sizeof *work4);
  double *a8 = gmf_calloc(ld * ld, sizeof *a8), *x8 = gmf_calloc(ld, sizeof *x8);
  double *work8 = gmf_calloc(GMF_CHOLESKY_PANEL * ld, sizeof *work8);
  make_positive(a, k);
  for (int j = 0; broken >= 0 && j < k; j++) /* the row above once more: its pivot is rounding */
    a[broken * k + j] = a[j * k + broken] = a[(broken - 1) * k + (j == broken ? broken - 1 : j)];
  for (int i = 0; i < k; i++) {
    b[i] = x8[i] = random_value(9, (uint32_t)i);
    x4[i] = (float)x8[i];
    for (int j = 0; j < k; j++) {
      a8[i * ld + j] = j < i ? 1e30 : a[i * k + j];
      a4[i * ld + j] = j < i ? 1e30F : (float)a[i * k + j];
    }
  }
  assert_int_equal(gmf_cholesky_f4(a4, k, ld, 1e-4F, work4), broken);
  assert_int_equal(gmf_cholesky_f8(a8, k, ld, 1e-12, work8), broken);
  if (broken < 0) {
    gmf_cholesky_solve_f4(a4, k, ld, x4);
    gmf_cholesky_solve_f8(a8, k, ld, x8);
    for (int i = 0; i < k; i++) x[i] = (double)x4[i];
    assert_true(error_of_solution(a, k, b, x) <= 1e-6 * sqrt(k));
    assert_true(error_of_solution(a, k, b, x8) <= 1e-15 * sqrt(k));
    for (int j = k; j < ld; j++) assert_true(x4[j] == 0 && x8[j] == 0);
  }
  void *const arrays[] = {a, b, x, a4, x4, work4, a8, x8, work8};
  for (size_t j = 0; j < sizeof arrays / sizeof *arrays; j++) gmf_free(arrays[j]);
}

static void test_cholesky(void **state)
{
  (void)state;
  for (size_t o = 0; o < sizeof ORDERS / sizeof *ORDERS; o++) {
    check_cholesky(ORDERS[o], -1);
    for (int broken = 1; broken < ORDERS[o]; broken += 1 + broken) check_cholesky(ORDERS[o], broken);
  }
}

static void test_rotation(void **state)
{
  (void)state;
  for (int ld = 16; ld <= 304; ld += ld < 112 ? 16 : 96)
    for (int n = 0; n <= 36; n += 3 + n % 6) {
      float *in = gmf_calloc(n * ld, sizeof *in), *out = gmf_calloc(n * ld, sizeof *out);
      float *work4 = gmf_calloc((GMF_ROTATE_BATCH + ld) * ld, sizeof *work4);
      double *m = gmf_calloc(ld * ld, sizeof *m), *work = gmf_calloc(GMF_ROTATE_BATCH * ld, sizeof *work);
      for (int j = 0; j < n * ld; j++) in[j] = (float)random_value(3, (uint32_t)j);
      for (int j = 0; j < ld * ld; j++) m[j] = random_value(4, (uint32_t)j);
      for (int is_f4 = 1; is_f4 >= 0; is_f4--) {
        if (is_f4)
          gmf_rotate_rows_f4(in, n, ld, m, work4, out);
        else
          gmf_rotate_rows(in, n, ld, m, work, out);
        for (int r = 0; r < n; r++)
          for (int j = 0; j < ld; j++) {
            double wanted = 0, size = 0; /* of an f4 sum's terms: its roundings are as good as independent */
            for (int c = 0; c < ld; c++) {
              double product = (double)in[r * ld + c] * m[c * ld + j];
              wanted += product;
              size += product * product;
            }
            double bound = is_f4 ? 1e-6 * (1 + sqrt(size)) : 1e-7;
            assert_true(fabs((double)out[r * ld + j] - wanted) <= bound * (1 + fabs(wanted)));
          }
      }
      gmf_rotate_rows(in, n, ld, m, work, in); /* in place */
      if (n > 0) assert_memory_equal(in, out, (size_t)(n * ld) * sizeof *in);
      gmf_rotate_rows_f4(in, n, ld, m, work4, out);
      gmf_rotate_rows_f4(in, n, ld, m, work4, in);
      if (n > 0) assert_memory_equal(in, out, (size_t)(n * ld) * sizeof *in);
      gmf_free(work4);
      gmf_free(in);
      gmf_free(out);
      gmf_free(m);
      gmf_free(work);
    }
}

static void test_sum_of_squares(void **state)
{
  (void)state;
  float x[50] __attribute__((aligned(64)));
  double wanted = 0;
  for (int k = 0; k <= 50; k++) {
    for (int j = 0; j < 50; j++) x[j] = j < k ? (float)random_value(5, (uint32_t)j) : NAN; /* beyond k: not read */
    assert_true(fabs(gmf_sum_of_squares(x, k) - wanted) <= 1e-15 * wanted);
    if (k < 50) wanted += (double)(float)random_value(5, (uint32_t)k) * (double)(float)random_value(5, (uint32_t)k);
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
      cmocka_unit_test_teardown(test_gram, no_leaks),           cmocka_unit_test_teardown(test_passes, no_leaks),
      cmocka_unit_test_teardown(test_weights_alone, no_leaks),  cmocka_unit_test_teardown(test_rotation, no_leaks),
      cmocka_unit_test_teardown(test_sum_of_squares, no_leaks), cmocka_unit_test_teardown(test_long_rows, no_leaks),
      cmocka_unit_test_teardown(test_cholesky, no_leaks),
  };
  print_message("kernels: %s\n", gmf_kernel_level_name(gmf_kernel_level()));
  return cmocka_run_group_tests(tests, NULL, NULL);
}
