/* The loops that measure the machine do the work that they count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "kernel/peak.h"

/* x = x / 2 + 1 from 0 is 2 - 2^(1 - n); every chain of the sum is there, so it says how many there are. */
static void check_chains(double (*run)(int64_t n, double *sink), int64_t least_lanes)
{
  double at_start = 0, later = 0, done = run(60, &later);
  assert_true(run(0, &at_start) == 0);
  assert_true(later == done / 60);              /* two operations a round and chain, each chain 2 */
  assert_true(at_start / later == 66.0 / 24.0); /* chain c begins with c, of 12 */
  assert_true(later >= 24.0 * (double)least_lanes);
}

static void test_multiply_add(void **state)
{
  (void)state;
  check_chains(gmf_peak_multiply_add_f4, 4);
  check_chains(gmf_peak_multiply_add_f8, 2);
}

static void test_tiles(void **state)
{
  (void)state;
  double sink = -1, done = gmf_peak_tiles(5, &sink);
  assert_true(done == 0 || (sink == 4 * 5 * 32 && done == 2.0 * 5 * 4 * 16 * 16 * 32));
}

static void test_triad(void **state)
{
  (void)state;
  enum { MOST = 100 };
  double *a = gmf_malloc(MOST + 1, sizeof *a), *b = gmf_malloc(MOST, sizeof *b), *c = gmf_malloc(MOST, sizeof *c);
  assert_true(a != NULL && b != NULL && c != NULL);
  for (int j = 0; j < MOST; j++) {
    b[j] = j;
    c[j] = 1000 - j;
  }
  for (int n = 0; n <= MOST; n++) {
    a[n] = -1;
    assert_true(gmf_peak_triad(a, b, c, 0.5, n) == 24.0 * n);
    for (int j = 0; j < n; j++) assert_true(a[j] == 0.5 * j + 500);
    assert_true(a[n] == -1);
  }
  gmf_free(a);
  gmf_free(b);
  gmf_free(c);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_multiply_add), cmocka_unit_test(test_tiles),
                                     cmocka_unit_test(test_triad)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
