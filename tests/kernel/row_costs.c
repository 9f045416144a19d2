/*
 * What the ways of solving a row cost on this machine, to hold gmf_row_choose against: run by hand.
 *
 * usage: row_costs [FACTORS ...]
 *
 * For each number of ratings: microseconds of the dual of a row in a batch and of one alone, of Cholesky and of cg with
 * 3 steps, each the least of many repetitions by the thread's own clock, and what --solver auto and cg choose.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/random.h"
#include "kernel/isa.h"
#include "kernel/row_solver.h"

enum { N_FIXED = 2000, N_MOST = 2000, N_ROWS = GMF_DUAL_BATCH, REPETITIONS = 15 };

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct bench {
  gmf_row_solver solver;
  gmf_row row;
  float *x;      /* [N_ROWS][ld] */
  int32_t *cols; /* [N_ROWS][N_MOST] */
} bench;

/* Microseconds of one row of a batch. */
static double measure_batch(bench *b, int n)
{
  double best = 1e30, objective[N_ROWS];
  gmf_row rows[N_ROWS];
  float *x[N_ROWS];
  bool solved[N_ROWS];
  for (int repetition = 0; repetition < REPETITIONS; repetition++) {
    double begin = now();
    for (int r = 0; r < N_ROWS; r++) {
      rows[r] = b->row;
      rows[r].ratings.cols = b->cols + (size_t)r * N_MOST;
      rows[r].ratings.n = n;
      x[r] = b->x + r * b->solver.ld;
    }
    gmf_row_solve_batch(&b->solver, rows, N_ROWS, x, objective, solved);
    double spent = (now() - begin) / N_ROWS * 1e6;
    if (spent < best) best = spent;
  }
  return best;
}

/* Microseconds of one row. */
static double measure(bench *b, int n, gmf_row_way way)
{
  double best = 1e30, objective = 0;
  for (int repetition = 0; repetition < REPETITIONS; repetition++) {
    double begin = now();
    for (int r = 0; r < N_ROWS; r++) {
      b->row.ratings.cols = b->cols + (size_t)r * N_MOST;
      b->row.ratings.n = n;
      memset(b->x, 0, (size_t)b->solver.ld * sizeof *b->x);
      if (!gmf_row_solve_by(&b->solver, &b->row, way, b->x, &objective)) return -1;
    }
    double spent = (now() - begin) / N_ROWS * 1e6;
    if (spent < best) best = spent;
  }
  return best;
}

static void measure_factors(int k)
{
  static const int LENGTHS[] = {1,  2,  4,  8,   12,  16,  20,  24,  32,   40,  48,
                                64, 80, 96, 128, 160, 200, 300, 500, 1000, 2000};
  static const char *const NAMES[] = {"dual", "cholesky", "cg"};
  bench b = {.row = {.fixed = -1, .has_lambda = true}};
  gmf_row_options options = {.k = k, .loss = {GMF_LOSS_IALS, 0, 0.1f}, .solver = GMF_SOLVER_CG, .cg_steps = 3};
  int ld = gmf_pad(k);
  float *y = gmf_calloc((int64_t)N_FIXED * ld, sizeof *y), *values = gmf_calloc(N_MOST, sizeof *values);
  double *diagonal = gmf_calloc(ld, sizeof *diagonal);
  b.cols = gmf_calloc((int64_t)N_ROWS * N_MOST, sizeof *b.cols);
  b.x = gmf_calloc(N_ROWS * ld, sizeof *b.x);
  if (gmf_row_solver_create(&b.solver, &options, NULL) != GMF_OK) abort();
  for (int i = 0; i < N_FIXED; i++)
    for (int c = 0; c < k; c++)
      y[i * ld + c] = 0.3f * (float)gmf_random_normal(1, GMF_STREAM_SYNTH_NOISE, (uint64_t)i, (uint32_t)c);
  for (int j = 0; j < N_MOST; j++) values[j] = 1;
  for (int j = 0; j < N_ROWS * N_MOST; j++) b.cols[j] = (int32_t)((int64_t)j * 769 % N_FIXED);
  for (int c = 0; c < k; c++) diagonal[c] = 1;
  b.row.y = y;
  b.row.stride = ld;
  b.row.diagonal = diagonal;
  b.row.ratings.values = values;
  printf("%d factors, kernels: %s\n%8s %10s %10s %10s %10s  %-9s %s\n", k, gmf_kernel_level_name(gmf_kernel_level()),
         "ratings", "batch", "alone", NAMES[GMF_ROW_CHOLESKY], NAMES[GMF_ROW_CG], "auto", "cg");
  for (size_t l = 0; l < sizeof LENGTHS / sizeof *LENGTHS; l++) {
    int n = LENGTHS[l];
    printf("%8d", n);
    if (n <= GMF_DUAL_BATCH_RATINGS && n < k)
      printf(" %10.2f", measure_batch(&b, n));
    else
      printf(" %10s", "-");
    for (int way = 0; way < GMF_N_ROW_WAYS; way++) {
      if (way == GMF_ROW_DUAL && n >= k)
        printf(" %10s", "-");
      else
        printf(" %10.2f", measure(&b, n, (gmf_row_way)way));
    }
    gmf_row_options automatic = options;
    automatic.solver = GMF_SOLVER_AUTO;
    printf("  %-9s %s\n", NAMES[gmf_row_choose(&automatic, n)], NAMES[gmf_row_choose(&options, n)]);
  }
  gmf_row_solver_destroy(&b.solver);
  void *const arrays[] = {y, values, diagonal, b.cols, b.x};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

int main(int argc, char **argv)
{
  static const int FACTORS[] = {16, 32, 64, 128, 256};
  if (argc == 1)
    for (size_t f = 0; f < sizeof FACTORS / sizeof *FACTORS; f++) measure_factors(FACTORS[f]);
  for (int a = 1; a < argc; a++) {
    int k = atoi(argv[a]);
    if (k < 1 || k > GMF_MAX_FACTORS) {
      fprintf(stderr, "usage: row_costs [FACTORS ...]\n");
      return 2;
    }
    measure_factors(k);
  }
  return 0;
}
