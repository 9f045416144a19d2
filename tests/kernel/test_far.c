/*
 * Rows that lie far apart: with more than 2^31 values before them, every kernel reads the same numbers as from rows
 * side by side. The far rows lie in a mapping of which only their own pages exist, so that this takes no memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernel/row_solver.h"
#include "kernel/spmm.h"

enum { K = 32, N = 100 };

static const int64_t FAR = ((int64_t)1 << 31) / K + 12345; /* rows before the first far one */

static double random_value(uint64_t row, uint32_t column)
{
  return gmf_random_normal(5, GMF_STREAM_SYNTH_NOISE, row, column);
}

/* Address space for n values of size bytes; NULL, after a message, where the machine gives out none. */
static void *map(int64_t n, size_t size)
{
  void *space =
      mmap(NULL, (size_t)n * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space != MAP_FAILED) return space;
  fprintf(stderr, "skipped: no %.0f GB of address space\n", (double)n * (double)size / 1e9);
  return NULL;
}

/* The row's solution from rows of y that begin with row `first`. */
static void solve(const float *y, int64_t first, int64_t n, gmf_solver kind, float *x, double *objective)
{
  int32_t cols[N];
  float values[N];
  _Alignas(64) double diagonal[K];
  for (int j = 0; j < N; j++) {
    cols[j] = (int32_t)(first + j);
    values[j] = (float)(1 + j % 5);
  }
  for (int c = 0; c < K; c++) {
    diagonal[c] = 0.5;
    x[c] = 0.01f * (float)c;
  }
  gmf_row_options options = {.k = K, .solver = kind, .cg_steps = 3};
  gmf_row_solver solver = {0};
  assert_int_equal(gmf_row_solver_create(&solver, &options, NULL), GMF_OK);
  gmf_row row = {
      .y = y, .stride = K, .ratings = {cols, values, NULL, n}, .diagonal = diagonal, .fixed = -1, .has_lambda = true};
  assert_true(gmf_row_solve(&solver, &row, x, objective));
  gmf_row_solver_destroy(&solver);
}

static void test_row_solver(void **state)
{
  (void)state;
  int64_t size = (FAR + N) * K;
  _Alignas(64) float near[N * K];
  float *far = map(size, sizeof *far);
  if (far == NULL) skip();
  for (int j = 0; j < N; j++)
    for (int c = 0; c < K; c++) near[j * K + c] = (float)random_value((uint64_t)j, (uint32_t)c);
  memcpy(far + FAR * K, near, sizeof near);
  static const gmf_solver kinds[] = {GMF_SOLVER_AUTO, GMF_SOLVER_CHOLESKY, GMF_SOLVER_CG};
  static const int64_t lengths[] = {3, N}; /* the dual is for short rows */
  for (size_t s = 0; s < sizeof kinds / sizeof *kinds; s++)
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
      _Alignas(64) float x[K], wanted[K];
      double objective = 0, wanted_objective = 0;
      solve(near, 0, lengths[l], kinds[s], wanted, &wanted_objective);
      solve(far, FAR, lengths[l], kinds[s], x, &objective);
      assert_memory_equal(x, wanted, sizeof x);
      assert_true(objective == wanted_objective);
    }
  munmap(far, (size_t)size * sizeof *far);
}

static void test_spmm(void **state)
{
  (void)state;
  enum { WIDTH = 37 };
  int64_t first = ((int64_t)1 << 31) / WIDTH + 777, size = (first + N) * WIDTH;
  double *far = map(size, sizeof *far), near[N * WIDTH], y[WIDTH], wanted[WIDTH];
  int32_t cols[N], far_cols[N];
  float values[N];
  if (far == NULL) skip();
  for (int j = 0; j < N; j++) {
    cols[j] = (N - 1) - j;
    far_cols[j] = (int32_t)(first + cols[j]);
    values[j] = (float)(j % 7) - 3;
    for (int c = 0; c < WIDTH; c++) near[j * WIDTH + c] = random_value((uint64_t)j, (uint32_t)c);
  }
  memcpy(far + first * WIDTH, near, sizeof near);
  gmf_spmm_row()(cols, values, N, near, WIDTH, wanted);
  gmf_spmm_row()(far_cols, values, N, far, WIDTH, y);
  assert_memory_equal(y, wanted, sizeof y);
  munmap(far, (size_t)size * sizeof *far);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_row_solver), cmocka_unit_test(test_spmm)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
