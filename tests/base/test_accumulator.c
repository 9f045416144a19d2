/* Sums that do not depend on the order of their summands. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/accumulator.h"
#include "base/random.h"

static double sum_of(const double *x, int n)
{
  gmf_accumulator sum = {0};
  for (int j = 0; j < n; j++) gmf_accumulator_add(&sum, x[j]);
  return gmf_accumulator_value(&sum);
}

static void test_known(void **state)
{
  (void)state;
  const double tenth[10] = {0.1, 0.1, 0.1, 0.1, 0.1,
                            0.1, 0.1, 0.1, 0.1, 0.1}; /* ten times f8's 0.1, which is above 0.1 */
  const double ends[] = {DBL_MAX / 2, DBL_MIN, 4.9e-324, 0};
  const double small[] = {1, 0x1p-60, 0x1p-60, 0x1p-60, 0x1p-60, 0x1p-60, 0x1p-60, 0x1p-60, 0x1p-60};
  assert_true(sum_of(tenth, 10) == 1.0);
  assert_true(sum_of(ends, 4) == DBL_MAX / 2);
  assert_true(sum_of(ends + 1, 3) == DBL_MIN + 4.9e-324);
  assert_true(sum_of(ends + 2, 1) == 4.9e-324);
  assert_true(sum_of(ends, 0) == 0);
  assert_true(sum_of(small, 9) == 1 && sum_of(small + 1, 8) == 0x1p-57);
  assert_true(isnan(sum_of((double[]){1, NAN}, 2)) && isnan(sum_of((double[]){INFINITY}, 1)));
}

/* Any order, and any parts that are added word by word, give the same bits. */
static void test_order(void **state)
{
  (void)state;
  enum { N = 20000, PARTS = 7 };
  gmf_accumulator forward = {0}, parts[PARTS] = {0}, together = {0};
  long double reference = 0;
  for (int j = 0; j < N; j++) {
    double x = ldexp(gmf_random_uniform(1, GMF_STREAM_SPLIT, (uint64_t)j, 0), j % 90 - 60);
    reference += (long double)x;
    gmf_accumulator_add(&forward, x);
    gmf_accumulator_add(&parts[j % PARTS], ldexp(gmf_random_uniform(1, GMF_STREAM_SPLIT, (uint64_t)(N - 1 - j), 0),
                                                 (N - 1 - j) % 90 - 60));
  }
  for (int p = 0; p < PARTS; p++) {
    gmf_accumulator_carry(&parts[p]);
    for (int w = 0; w < GMF_ACCUMULATOR_WORDS; w++) together.words[w] += parts[p].words[w];
  }
  double a = gmf_accumulator_value(&forward), b = gmf_accumulator_value(&together);
  assert_memory_equal(&a, &b, sizeof a);
  assert_true(fabs(a / (double)reference - 1) < 1e-15);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
