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
#include "kernel/isa.h"
#include "kernel/row_solver.h"

static double random_value(uint64_t row, uint32_t column)
{
  return gmf_random_normal(7, GMF_STREAM_SYNTH_NOISE, row, column);
}

typedef struct problem {
  int k, ld;
  int64_t n, n_fixed;
  float *y, *values;
  int32_t *cols;
  double *a, *b; /* the reference: [k][k] without shared part and lambda, [k] */
} problem;

static void make_problem(problem *p, int k, int64_t n, gmf_loss loss)
{
  *p = (problem){.k = k, .ld = gmf_pad(k), .n = n, .n_fixed = 50};
  p->y = gmf_calloc(p->n_fixed * p->ld, sizeof *p->y);
  p->values = gmf_calloc(n, sizeof *p->values);
  p->cols = gmf_calloc(n, sizeof *p->cols);
  p->a = gmf_calloc(k * k, sizeof *p->a);
  p->b = gmf_calloc(k, sizeof *p->b);
  for (int64_t i = 0; i < p->n_fixed; i++)
    for (int j = 0; j < k; j++) p->y[i * p->ld + j] = (float)random_value((uint64_t)i, (uint32_t)j);
  for (int64_t d = 0; d < n; d++) {
    p->cols[d] = (int32_t)((d * 31) % p->n_fixed);
    p->values[d] = (float)(random_value(1000 + (uint64_t)d, 0) + 1);
    const float *row = p->y + p->cols[d] * p->ld;
    double w = loss.kind == GMF_LOSS_SQUARED ? 1 : (double)loss.alpha * fabs((double)p->values[d]);
    double t = loss.kind == GMF_LOSS_SQUARED ? (double)p->values[d]
               : p->values[d] > 0            ? 1 + (double)loss.alpha * (double)p->values[d]
                                             : 0;
    for (int i = 0; i < k; i++) {
      p->b[i] += t * (double)row[i];
      for (int j = 0; j < k; j++) p->a[i * k + j] += w * (double)row[i] * (double)row[j];
    }
  }
}

static void free_problem(problem *p)
{
  gmf_free(p->y);
  gmf_free(p->values);
  gmf_free(p->cols);
  gmf_free(p->a);
  gmf_free(p->b);
}

/* The backward error of x in the reference system: |b - A x| relative to |A| |x| + |b|, row by row. */
static double backward_error(const problem *p, double lambda, const float *x)
{
  double worst = 0, largest = 1e-30;
  for (int i = 0; i < p->k; i++) {
    double r = p->b[i] - lambda * (double)x[i], scale = fabs(p->b[i]) + fabs(lambda * (double)x[i]);
    for (int j = 0; j < p->k; j++) {
      r -= p->a[i * p->k + j] * (double)x[j];
      scale += fabs(p->a[i * p->k + j] * (double)x[j]);
    }
    worst = fmax(worst, fabs(r));
    largest = fmax(largest, scale);
  }
  return worst / largest;
}

static const int ORDERS[] = {1, 2, 5, 15, 16, 17, 31, 32, 33, 48, 64, 100, 128, 300};
static const int64_t COUNTS[] = {0, 1, 3, 63, 64, 65, 200, 5000};
static const gmf_loss LOSSES[] = {{GMF_LOSS_SQUARED, 0, 0}, {GMF_LOSS_HKV, 2.5f, 0}};

static void check_gram(int k, int64_t n, gmf_loss loss)
{
  problem p;
  make_problem(&p, k, n, loss);
  gmf_row_solver s;
  assert_int_equal(gmf_row_solver_create(&s, k, loss, NULL), GMF_OK);
  gmf_gram_f4(p.y, p.ld, p.cols, p.values, loss, n, p.ld, s.work, s.a, s.b);
  gmf_gram_f8(p.y, p.ld, p.cols, p.values, loss, n, p.ld, s.work8, s.a8, s.b8);
  double scale = 1e-30;
  for (int i = 0; i < k; i++) scale = fmax(scale, fmax(p.a[i * k + i], fabs(p.b[i])));
  for (int i = 0; i < k; i++) {
    for (int j = i; j < k; j++) {
      assert_true(fabs((double)s.a[i * p.ld + j] - p.a[i * k + j]) <= 1e-5 * scale);
      assert_true(fabs(s.a8[i * p.ld + j] - p.a[i * k + j]) <= 1e-6 * scale); /* w and t are f4 */
    }
    assert_true(fabs((double)s.b[i] - p.b[i]) <= 1e-5 * scale);
  }
  for (int i = 0; i < p.ld; i++) /* padding stays clean */
    for (int j = k; j < p.ld; j++) assert_true(s.a[i * p.ld + j] == 0.0f);
  gmf_row_solver_destroy(&s);
  free_problem(&p);
}

static void check_solve(int k, int64_t n, gmf_loss loss, double lambda)
{
  problem p;
  make_problem(&p, k, n, loss);
  gmf_row_solver s;
  assert_int_equal(gmf_row_solver_create(&s, k, loss, NULL), GMF_OK);
  float *x = gmf_calloc(p.ld, sizeof *x);
  gmf_shared_gram none = {NULL, NULL};
  assert_true(gmf_row_solve(&s, p.y, p.ld, p.cols, p.values, n, none, lambda, x));
  assert_true(backward_error(&p, lambda, x) < 1e-7); /* no more than rounding x to f4 leaves */
  double loss_by_kernel = gmf_row_loss(p.y, p.ld, p.cols, p.values, loss, n, p.ld, s.x8), loss_here = 0;
  for (int i = 0; i < k; i++) {
    loss_here -= 2 * p.b[i] * (double)x[i];
    for (int j = 0; j < k; j++) loss_here += (double)x[i] * p.a[i * k + j] * (double)x[j];
  }
  assert_true(fabs(loss_by_kernel - loss_here) <= 1e-6 * (1 + fabs(loss_here)));
  gmf_free(x);
  gmf_row_solver_destroy(&s);
  free_problem(&p);
}

static void test_gram(void **state)
{
  (void)state;
  for (size_t k = 0; k < sizeof ORDERS / sizeof *ORDERS; k++)
    for (size_t n = 0; n < sizeof COUNTS / sizeof *COUNTS; n++)
      for (size_t l = 0; l < sizeof LOSSES / sizeof *LOSSES; l++) check_gram(ORDERS[k], COUNTS[n], LOSSES[l]);
}

static void test_solve(void **state)
{
  (void)state;
  for (size_t k = 0; k < sizeof ORDERS / sizeof *ORDERS; k++)
    for (size_t n = 0; n < sizeof COUNTS / sizeof *COUNTS; n++)
      for (size_t l = 0; l < sizeof LOSSES / sizeof *LOSSES; l++) {
        check_solve(ORDERS[k], COUNTS[n], LOSSES[l], 0.5);
        check_solve(ORDERS[k], COUNTS[n], LOSSES[l], 1e-4); /* f4 gives up on these where n < k */
      }
}

static void test_singular(void **state)
{
  (void)state;
  gmf_loss loss = {GMF_LOSS_SQUARED, 0, 0};
  for (int k = 2; k <= 64; k *= 2) {
    problem p;
    make_problem(&p, k, k - 1, loss); /* rank k - 1 at the most */
    gmf_row_solver s;
    assert_int_equal(gmf_row_solver_create(&s, k, loss, NULL), GMF_OK);
    float *x = gmf_calloc(p.ld, sizeof *x);
    gmf_shared_gram none = {NULL, NULL};
    assert_false(gmf_row_solve(&s, p.y, p.ld, p.cols, p.values, p.n, none, 0, x));
    assert_true(gmf_row_solve(&s, p.y, p.ld, p.cols, p.values, p.n, none, 1e-3, x));
    gmf_free(x);
    gmf_row_solver_destroy(&s);
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
      cmocka_unit_test_teardown(test_gram, no_leaks),
      cmocka_unit_test_teardown(test_solve, no_leaks),
      cmocka_unit_test_teardown(test_singular, no_leaks),
  };
  print_message("kernels: %s\n", gmf_kernel_level_name(gmf_kernel_level()));
  return cmocka_run_group_tests(tests, NULL, NULL);
}
