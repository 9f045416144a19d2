/* The sparse row times a block of vectors, every width and length, against a plain loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/memory.h"
#include "base/random.h"
#include "kernel/spmm.h"

enum { ROWS = 50, MAX_WIDTH = 70, MAX_RATINGS = 45 };

static double normal(uint64_t row, uint32_t column) { return gmf_random_normal(5, GMF_STREAM_SVD, row, column); }

static void compare(int width, int64_t n)
{
  double *x = gmf_malloc(ROWS * (int64_t)width, sizeof *x), *y = gmf_malloc(width + 2, sizeof *y);
  int32_t cols[MAX_RATINGS + 1] = {0};
  float values[MAX_RATINGS + 1] = {0};
  assert_true(x != NULL && y != NULL);
  for (int64_t j = 0; j < (int64_t)ROWS * width; j++) x[j] = normal((uint64_t)j, 0);
  for (int64_t j = 0; j < n; j++) {
    cols[j] = (int32_t)((j * 17 + width) % ROWS);
    values[j] = (float)normal((uint64_t)j, 1);
  }
  for (int c = 0; c < width + 2; c++) y[c] = 7; /* what was there does not matter, what lies behind stays */
  gmf_spmm_row()(cols, values, n, x, width, y);
  for (int c = 0; c < width; c++) {
    double sum = 0, size = 0;
    for (int64_t j = 0; j < n; j++) {
      sum += (double)values[j] * x[cols[j] * width + c];
      size += fabs((double)values[j] * x[cols[j] * width + c]);
    }
    assert_true(fabs(y[c] - sum) <= 1e-15 * 8 * size);
  }
  assert_true(y[width] == 7 && y[width + 1] == 7);
  gmf_free(x);
  gmf_free(y);
}

static void test_against_plain_loop(void **state)
{
  (void)state;
  for (int width = 1; width <= MAX_WIDTH; width++)
    for (int64_t n = 0; n <= MAX_RATINGS; n += n < 9 ? 1 : 12) compare(width, n);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_plain_loop)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
