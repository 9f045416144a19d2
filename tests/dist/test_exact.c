/* Exact sums: the same bits whoever has which summands, and the right ones. */
#include "linalg/exact.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/random.h"
#include "kernel/dense.h"
#include "mpi_check.h"

enum { N = 1000, LD = 32 };

static double value_at(int64_t j, uint32_t c) { return gmf_random_normal(5, GMF_STREAM_SYNTH_NOISE, (uint64_t)j, c); }

/* My share of numbers 0 ... n - 1, dealt out in two ways: in slices, or round robin from the last. */
static int64_t deal(const gmf_grid *grid, bool slices, int64_t n, int64_t *mine)
{
  int64_t count = 0;
  for (int64_t j = 0; j < n; j++) {
    int64_t at = slices ? j : n - 1 - j;
    bool is_mine =
        slices ? at >= gmf_slice_begin(n, grid->size, grid->rank) && at < gmf_slice_begin(n, grid->size, grid->rank + 1)
               : at % grid->size == grid->rank;
    if (is_mine) mine[count++] = at;
  }
  return count;
}

static void test_sum(const gmf_grid *grid, double spread)
{
  double x[N], sums[2];
  long double by_hand = 0, size = 0;
  int64_t mine[N];
  for (int64_t j = 0; j < N; j++) {
    long double v = (long double)(value_at(j, 0) * pow(spread, (double)(j % 7)));
    by_hand += v;
    size += fabsl(v);
  }
  for (int way = 0; way < 2; way++) {
    int64_t n = deal(grid, way == 0, N, mine);
    for (int64_t j = 0; j < n; j++) x[j] = value_at(mine[j], 0) * pow(spread, (double)(mine[j] % 7));
    sums[way] = gmf_exact_sum(grid, x, n);
  }
  CHECK(sums[0] == sums[1]);
  CHECK(fabsl(sums[0] - by_hand) <= 1e-15L * size);
  x[0] = grid->rank == 0 ? INFINITY : 0;
  CHECK(isnan(gmf_exact_sum(grid, x, 1)));
  x[0] = 0;
  CHECK(gmf_exact_sum(grid, x, 1) == 0 && gmf_exact_sum(grid, x, 0) == 0);
}

static void test_gram(const gmf_grid *grid, bool weighted)
{
  int64_t mine[N];
  double *grams[2] = {gmf_calloc(LD * LD, 8), gmf_calloc(LD * LD, 8)};
  float *y = gmf_calloc(N * LD, sizeof *y), *weights = gmf_calloc(N, sizeof *weights);
  for (int way = 0; way < 2; way++) {
    gmf_exact_gram *e = NULL;
    CHECK(gmf_exact_gram_create(LD, 1 + way, &e, NULL) == GMF_OK);
    int64_t n = deal(grid, way == 0, N, mine);
    for (int64_t j = 0; j < n; j++) {
      weights[j] = (float)(mine[j] % 5);
      for (int c = 0; c < LD; c++) y[j * LD + c] = (float)(value_at(mine[j], (uint32_t)c) * pow(10, -(c % 4)));
    }
    gmf_exact_gram_run(grid, e, y, weighted ? weights : NULL, n, grams[way]);
    gmf_exact_gram_destroy(&e);
  }
  CHECK(memcmp(grams[0], grams[1], LD * LD * sizeof(double)) == 0);
  for (int a = 0; a < LD; a++)
    for (int b = a; b < LD; b++) {
      double wanted = 0;
      for (int64_t j = 0; j < N; j++) {
        double v = weighted ? (double)(j % 5) : 1;
        wanted += v * (double)(float)(value_at(j, (uint32_t)a) * pow(10, -(a % 4))) *
                  (double)(float)(value_at(j, (uint32_t)b) * pow(10, -(b % 4)));
      }
      CHECK(fabs(grams[0][a * LD + b] - wanted) <= 1e-8 * N);
    }
  gmf_free(grams[0]);
  gmf_free(grams[1]);
  gmf_free(weights);
  gmf_free(y);
}

int main(int argc, char **argv)
{
  gmf_trace trace;
  gmf_grid *grid = start_checks(argc, argv, &trace);
  test_sum(grid, 1);
  test_sum(grid, 1e-4);
  test_gram(grid, false);
  test_gram(grid, true);
  return finish_checks(&grid);
}
