/*
 * How fast the kernels of an exact row are, beside OpenBLAS's sgemm on one thread in the same process: useful GFLOP/s
 * of the Gram matrix, k (k + 1) flops a rating, for every instruction set that this CPU has; of the factorisation, k^3
 * / 3; of a solution, 4 k^2; of the residual's pass over the ratings, 4 k; and microseconds of a whole row. Each figure
 * is the best of many turns, by the thread's CPU time, so that it can be taken on a busy machine.
 *
 * Exit code 1 when the Gram matrix at 64 or more factors falls short of 45% of sgemm's rate on AVX-512, 100% on AMX.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/random.h"
#include "kernel/dense_versions.h"
#include "kernel/gram_amx.h"
#include "kernel/row_solver.h"
#include "linalg/blas_core.h"

void sgemm_(const char *trans_a, const char *trans_b, const int *m, const int *n, const int *k, const float *alpha,
            const float *a, const int *lda, const float *b, const int *ldb, const float *beta, float *c,
            const int *ldc);
void openblas_set_num_threads(int n);

/* Rows of a side as in a data set of a million ratings, and the ratings of a row of theirs; rows that are timed at
 * once; turns. */
enum { N_FIXED = 4000, N_RATINGS = 205, N_ROWS = 40, N_TURNS = 60, SGEMM_ORDER = 768 };

static double cpu_seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The rows that are timed, and what the kernels write to. */
typedef struct bench {
  int k, ld;
  float *y, *work, *a, *kept, *b; /* kept: the matrices of all rows, a before it is factored */
  float *x;
  double *r;
  int32_t *cols;
  float *values;
  float sgemm_a[SGEMM_ORDER * SGEMM_ORDER], sgemm_b[SGEMM_ORDER * SGEMM_ORDER], sgemm_c[SGEMM_ORDER * SGEMM_ORDER];
  double *diagonal;
  gmf_row_solver solver;
} bench;

static const gmf_loss LOSS = {GMF_LOSS_HKV, 1, 0};

static gmf_ratings ratings_of(const bench *s, int row)
{
  return (gmf_ratings){s->cols + row * N_RATINGS, s->values + row * N_RATINGS, NULL, N_RATINGS};
}

static void time_sgemm(bench *s)
{
  const int n = SGEMM_ORDER;
  const float one = 1, zero = 0;
  sgemm_("N", "N", &n, &n, &n, &one, s->sgemm_a, &n, s->sgemm_b, &n, &zero, s->sgemm_c, &n);
}

#define TIME_GRAM(isa)                                                            \
  static void time_gram_##isa(bench *s)                                           \
  {                                                                               \
    for (int row = 0; row < N_ROWS; row++) {                                      \
      gmf_ratings ratings = ratings_of(s, row);                                   \
      memset(s->a, 0, (size_t)s->ld *(size_t)s->ld * sizeof *s->a);               \
      gmf_gram_f4_##isa(s->y, s->ld, &ratings, LOSS, s->ld, s->work, s->a, s->b); \
    }                                                                             \
  }
TIME_GRAM(generic)
#ifdef GMF_HAVE_X86_KERNELS
TIME_GRAM(avx2)
TIME_GRAM(avx512)
TIME_GRAM(amx)
#endif

static void time_copies(bench *s)
{
  for (int row = 0; row < N_ROWS; row++) memcpy(s->a, s->kept, (size_t)s->ld * (size_t)s->ld * sizeof *s->a);
}

static void time_cholesky(bench *s)
{
  for (int row = 0; row < N_ROWS; row++) {
    memcpy(s->a, s->kept, (size_t)s->ld * (size_t)s->ld * sizeof *s->a);
    if (gmf_cholesky_f4(s->a, s->k, s->ld, 1e-6F, s->work) >= 0) abort();
  }
}

static void time_solution(bench *s)
{
  for (int row = 0; row < N_ROWS; row++) {
    for (int j = 0; j < s->ld; j++) s->b[j] = j < s->k ? 1 : 0;
    gmf_cholesky_solve_f4(s->a, s->k, s->ld, s->b);
  }
}

static void time_residual(bench *s)
{
  for (int row = 0; row < N_ROWS; row++) {
    gmf_ratings ratings = ratings_of(s, row);
    gmf_row_residual_f4(s->y, s->ld, &ratings, LOSS, s->ld, s->x, s->b, s->r);
  }
}

static void time_row(bench *s)
{
  for (int row = 0; row < N_ROWS; row++) {
    gmf_row system = {.y = s->y,
                      .stride = s->ld,
                      .ratings = ratings_of(s, row),
                      .diagonal = s->diagonal,
                      .fixed = -1,
                      .has_lambda = true};
    double objective = 0;
    if (!gmf_row_solve(&s->solver, &system, s->b, &objective)) abort();
  }
}

typedef struct kernel {
  const char *name;
  void (*run)(bench *s);
  double seconds; /* the best turn */
} kernel;

static void measure(bench *s, kernel *kernels, int n)
{
  for (int j = 0; j < n; j++) kernels[j].seconds = 1e30;
  for (int turn = 0; turn < N_TURNS; turn++)
    for (int j = 0; j < n; j++) {
      double begin = cpu_seconds();
      kernels[j].run(s);
      double seconds = cpu_seconds() - begin;
      if (seconds < kernels[j].seconds) kernels[j].seconds = seconds;
    }
}

static void make_bench(bench *s, int k)
{
  int ld = gmf_pad(k);
  s->k = k, s->ld = ld;
  s->y = gmf_calloc(N_FIXED * ld, sizeof *s->y);
  s->work = gmf_calloc(gmf_gram_work(ld), sizeof *s->work);
  s->a = gmf_calloc(ld * ld, sizeof *s->a);
  s->kept = gmf_calloc(ld * ld, sizeof *s->kept);
  s->b = gmf_calloc(ld, sizeof *s->b);
  s->x = gmf_calloc(ld, sizeof *s->x);
  s->r = gmf_calloc(ld, sizeof *s->r);
  s->diagonal = gmf_calloc(ld, sizeof *s->diagonal);
  s->cols = gmf_calloc(N_ROWS * N_RATINGS, sizeof *s->cols);
  s->values = gmf_calloc(N_ROWS * N_RATINGS, sizeof *s->values);
  for (int i = 0; i < N_FIXED; i++)
    for (int j = 0; j < k; j++)
      s->y[i * ld + j] = (float)gmf_random_normal(1, GMF_STREAM_SYNTH_NOISE, (uint64_t)i, (uint32_t)j);
  for (int j = 0; j < N_ROWS * N_RATINGS; j++) {
    s->cols[j] = (int32_t)(((int64_t)j * 7919 + j / 3) % N_FIXED);
    s->values[j] = (float)(1 + j % 5);
  }
  for (int j = 0; j < k; j++) s->x[j] = 0.1F, s->diagonal[j] = 50;
  gmf_ratings ratings = ratings_of(s, 0);
  gmf_gram_f4(s->y, ld, &ratings, LOSS, ld, s->work, s->kept, s->b);
  for (int j = 0; j < k; j++) s->kept[j * ld + j] += 50;
  gmf_row_options options = {.k = k, .loss = LOSS, .solver = GMF_SOLVER_CHOLESKY};
  if (gmf_row_solver_create(&s->solver, &options, NULL) != GMF_OK) abort();
}

static void free_bench(bench *s)
{
  void *const arrays[] = {s->y, s->work, s->a, s->kept, s->b, s->x, s->r, s->cols, s->values, s->diagonal};
  for (size_t j = 0; j < sizeof arrays / sizeof *arrays; j++) gmf_free(arrays[j]);
  gmf_row_solver_destroy(&s->solver);
}

/* The Gram kernels of this CPU, then the others, by the best level. */
static int list_kernels(kernel *list)
{
  int n = 0;
  list[n++] = (kernel){"generic", time_gram_generic, 0};
#ifdef GMF_HAVE_X86_KERNELS
  if (gmf_kernel_level() >= GMF_LEVEL_AVX2) list[n++] = (kernel){"avx2", time_gram_avx2, 0};
  if (gmf_kernel_level() >= GMF_LEVEL_AVX512) list[n++] = (kernel){"avx512", time_gram_avx512, 0};
  if (gmf_kernel_level() >= GMF_LEVEL_AMX) list[n++] = (kernel){"amx", time_gram_amx, 0};
#endif
  return n;
}

int main(int n_arguments, char **arguments)
{
  (void)n_arguments;
  gmf_blas_choose(arguments); /* for a fair comparison */
  static const int orders[] = {16, 32, 64, 128, 256};
  static bench s;
  kernel list[16];
  int status = 0, n_grams = list_kernels(list);
  openblas_set_num_threads(1);
  for (int j = 0; j < SGEMM_ORDER * SGEMM_ORDER; j++) s.sgemm_a[j] = s.sgemm_b[j] = (float)(j % 17) / 17;
  printf("one thread, %s kernels, OpenBLAS's of %s, rows of %d ratings of %d others\n",
         gmf_kernel_level_name(gmf_kernel_level()), gmf_blas_core(), N_RATINGS, N_FIXED);
  printf("GFLOP/s:     sgemm");
  for (int j = 0; j < n_grams; j++) printf("  %7s   of it", list[j].name);
  printf(" | cholesky solution residual | us a row\n");
  for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
    double k = orders[o], ratings = (double)N_ROWS * N_RATINGS;
    kernel *rest = list + n_grams;
    make_bench(&s, orders[o]);
    rest[0] = (kernel){"sgemm", time_sgemm, 0};
    rest[1] = (kernel){"copies", time_copies, 0};
    rest[2] = (kernel){"cholesky", time_cholesky, 0};
    rest[3] = (kernel){"solution", time_solution, 0};
    rest[4] = (kernel){"residual", time_residual, 0};
    rest[5] = (kernel){"row", time_row, 0};
    measure(&s, list, n_grams + 6);
    double sgemm = 2e-9 * SGEMM_ORDER * SGEMM_ORDER * SGEMM_ORDER / rest[0].seconds;
    printf("%3d factors %6.0f", orders[o], sgemm);
    for (int j = 0; j < n_grams; j++) {
      double rate = 1e-9 * ratings * k * (k + 1) / list[j].seconds;
      printf("  %7.1f %6.0f%%", rate, 100 * rate / sgemm);
      double target = strcmp(list[j].name, "amx") == 0 ? 1 : strcmp(list[j].name, "avx512") == 0 ? 0.45 : 0;
      if (orders[o] >= 64 && rate < target * sgemm) status = 1;
    }
    printf(" | %8.1f %8.1f %8.1f | %8.2f\n", 1e-9 * N_ROWS * k * k * k / 3 / (rest[2].seconds - rest[1].seconds),
           1e-9 * N_ROWS * 4 * k * k / rest[3].seconds, 1e-9 * ratings * 4 * k / rest[4].seconds,
           1e6 * rest[5].seconds / N_ROWS);
    fflush(stdout);
    free_bench(&s);
  }
  printf(status == 0 ? "Targets are met.\n"
                     : "A target is missed: 45%% of sgemm's rate with avx512, 100%% with amx, from 64 factors on\n");
  return status;
}
