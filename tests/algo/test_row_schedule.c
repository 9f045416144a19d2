/*
 * Schedules of rows whose numbers of ratings follow power laws: every row once, long ones only where they outweigh a
 * thread's share, and threads that are done at nearly the same time. Time is counted in the model's operations.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "algo/row_schedule.h"
#include "base/memory.h"
#include "base/order.h"
#include "kernel/row_operations.h"

enum { N_ROWS = 20000, MOST_THREADS = 48 };

static const gmf_row_options EXACT = {.k = 64, .solver = GMF_SOLVER_CHOLESKY},
                             CG = {.k = 64, .solver = GMF_SOLVER_CG, .cg_steps = 3};

static double cost(const void *options, int64_t n_ratings)
{
  return gmf_row_operations(options, (double)n_ratings) + 100;
}

/* row_ptr of rows in no order, their longest of `longest` ratings. */
static void make_rows(double longest, double exponent, int64_t *row_ptr)
{
  row_ptr[0] = 0;
  for (int64_t r = 0; r < N_ROWS; r++) {
    int64_t rank = r * 7919 % N_ROWS; /* coprime: each rank once */
    row_ptr[r + 1] = row_ptr[r] + (int64_t)(longest / pow((double)rank + 1, exponent));
  }
}

static void order_rows(const int64_t *row_ptr, int32_t *order)
{
  int64_t *counts = gmf_calloc(N_ROWS, sizeof *counts);
  for (int64_t r = 0; r < N_ROWS; r++) counts[r] = row_ptr[r + 1] - row_ptr[r];
  gmf_order_by_count(counts, N_ROWS, order);
  for (int64_t j = 1; j < N_ROWS; j++) {
    int64_t before = counts[order[j - 1]], now = counts[order[j]];
    assert_true(now <= before || (before >= 128 && (double)now <= 1.02 * (double)before));
    assert_true(before != now || before >= 128 || order[j - 1] < order[j]);
  }
  gmf_free(counts);
}

/* Hands the chunks to whichever thread is free first. Returns the last one's end over the mean of all. */
static double run_chunks(const gmf_row_schedule *s, const double *costs, int n_threads)
{
  double busy[MOST_THREADS] = {0}, most = 0, sum = 0;
  for (int64_t c = 0; c < s->n_chunks; c++) {
    int first = 0;
    for (int t = 1; t < n_threads; t++)
      if (busy[t] < busy[first]) first = t;
    for (int64_t j = s->begin[c]; j < s->begin[c + 1]; j++) busy[first] += costs[j];
  }
  for (int t = 0; t < n_threads; t++) {
    most = fmax(most, busy[t]);
    sum += busy[t];
  }
  return sum > 0 ? most * n_threads / sum : 1;
}

static void check(const gmf_row_options *options, const int64_t *row_ptr, const int32_t *order, int n_threads)
{
  double *costs = gmf_calloc(N_ROWS, sizeof *costs), total = 0;
  gmf_row_schedule s = {0};
  for (int64_t j = 0; j < N_ROWS; j++) total += costs[j] = cost(options, row_ptr[order[j] + 1] - row_ptr[order[j]]);
  assert_int_equal(gmf_row_schedule_create(row_ptr, order, 0, N_ROWS, cost, options, n_threads, &s, NULL), GMF_OK);
  for (int64_t j = 0; j < N_ROWS; j++) {
    int64_t n = row_ptr[order[j] + 1] - row_ptr[order[j]];
    bool is_long = n_threads > 1 && n > GMF_SLICE && costs[j] > GMF_LONG_PART * total / n_threads;
    if (j < s.n_long) assert_true(is_long);
    if (j == s.n_long) assert_false(is_long);
  }
  assert_int_equal(s.begin[0], s.n_long);
  assert_int_equal(s.begin[s.n_chunks], N_ROWS);
  for (int64_t c = 0; c < s.n_chunks; c++) assert_true(s.begin[c] < s.begin[c + 1]);
  /* a row that is too short to be cut may be more than a thread's share of little work */
  double mean = 0;
  for (int64_t j = s.n_long; j < N_ROWS; j++) mean += costs[j] / n_threads;
  double allowed = fmax(1.02, s.n_long < N_ROWS ? costs[s.n_long] / mean : 1),
         balance = run_chunks(&s, costs, n_threads);
  if (balance > allowed) print_error("%d threads: %g, wanted %g\n", n_threads, balance, allowed);
  assert_true(balance <= allowed + 1e-9);
  gmf_row_schedule_destroy(&s);
  gmf_free(costs);
}

static void test_balance(void **state)
{
  static const int THREADS[] = {1, 2, 3, 8, MOST_THREADS};
  int64_t *row_ptr = gmf_calloc(N_ROWS + 1, sizeof *row_ptr);
  int32_t *order = gmf_calloc(N_ROWS, sizeof *order);
  (void)state;
  for (int shape = 0; shape < 3; shape++) {
    make_rows(shape == 0 ? 200000 : shape == 1 ? 3000 : 50, shape == 0 ? 1 : 0.5, row_ptr);
    order_rows(row_ptr, order);
    for (size_t t = 0; t < sizeof THREADS / sizeof *THREADS; t++) {
      check(&EXACT, row_ptr, order, THREADS[t]);
      check(&CG, row_ptr, order, THREADS[t]);
    }
  }
  gmf_free(order);
  gmf_free(row_ptr);
}

/* No rows, and rows without ratings. */
static void test_empty(void **state)
{
  const int64_t row_ptr[] = {0, 0, 0, 0};
  const int32_t order[] = {0, 1, 2};
  gmf_row_schedule s = {0};
  (void)state;
  assert_int_equal(gmf_row_schedule_create(row_ptr, order, 0, 0, cost, &CG, 3, &s, NULL), GMF_OK);
  assert_int_equal(s.n_long + s.n_chunks, 0);
  gmf_row_schedule_destroy(&s);
  assert_int_equal(gmf_row_schedule_create(row_ptr, order, 1, 3, cost, &CG, 3, &s, NULL), GMF_OK);
  assert_int_equal(s.begin[0], 1);
  assert_int_equal(s.begin[s.n_chunks], 3);
  gmf_row_schedule_destroy(&s);
}

static int no_leaks(void **state)
{
  (void)state;
  return gmf_memory_live_count() == 0 ? 0 : -1;
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_balance, no_leaks),
                                     cmocka_unit_test_teardown(test_empty, no_leaks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
