#include "app/bench.h"

#include <omp.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/dense.h"
#include "kernel/isa.h"

static const int SIZES[GMF_BENCH_SIZES] = {16, 32, 64, 128, 256};

enum {
  ROW_RATINGS = 200,            /* of a row, about what users have */
  TABLE_BYTES = 1 << 20,        /* of fixed rows that stay in the cache */
  MOST_FACTORS = 256,           /* the largest of SIZES */
  OPERATIONS = 20 * 1000 * 1000 /* between two looks at the clock */
};

/* What a thread works with. */
typedef struct bench_thread {
  float *work;     /* owned [gmf_gram_work] */
  float *a, *b;    /* owned [ld][ld], [ld] */
  float *p;        /* owned [ld] */
  int32_t *cols;   /* owned [ROW_RATINGS] */
  uint32_t random; /* state of the choice of cols */
} bench_thread;

typedef struct bench {
  int k, ld, n_threads;
  bench_thread *threads; /* owned [n_threads] */
  float *values;         /* owned [ROW_RATINGS] */
  float *matrix;         /* owned [ld][ld]: positive definite */
  float *table;          /* owned [table_bytes]: fixed rows, of ld floats for every k */
  int64_t table_bytes;
  int64_t n_rows; /* of the table that are in use */
} bench;

static void free_bench(bench *b)
{
  for (int t = 0; b->threads != NULL && t < b->n_threads; t++) {
    bench_thread *thread = &b->threads[t];
    void *const arrays[] = {thread->work, thread->a, thread->b, thread->p, thread->cols};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) gmf_free(arrays[i]);
  }
  gmf_free(b->threads);
  gmf_free(b->values);
  gmf_free(b->matrix);
  gmf_free(b->table);
}

/* Local. */
static gmf_status make_bench(bench *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t ld = gmf_pad(MOST_FACTORS);
  GMF_TRY(GMF_NEW(b->values, ROW_RATINGS, err));
  GMF_TRY(GMF_NEW(b->matrix, ld * ld, err));
  GMF_TRY(GMF_NEW(b->table, b->table_bytes / (int64_t)sizeof *b->table, err));
  GMF_TRY(GMF_NEW_ZERO(b->threads, b->n_threads, err));
  for (int t = 0; t < b->n_threads; t++) {
    bench_thread *thread = &b->threads[t];
    GMF_TRY(GMF_NEW(thread->work, gmf_gram_work(gmf_int(ld)), err));
    GMF_TRY(GMF_NEW(thread->a, ld * ld, err));
    GMF_TRY(GMF_NEW(thread->b, ld, err));
    GMF_TRY(GMF_NEW(thread->p, ld, err));
    GMF_TRY(GMF_NEW(thread->cols, ROW_RATINGS, err));
    thread->random = (uint32_t)t + 1;
    for (int64_t j = 0; j < ld; j++) thread->p[j] = 1;
  }
  for (int j = 0; j < ROW_RATINGS; j++) b->values[j] = 1;
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < b->table_bytes / (int64_t)sizeof *b->table; j++) b->table[j] = (float)(j % 7) * 0.1f;
cleanup:
  return status;
}

/* Rows at random: xorshift32 of Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003. It has to be
 * quick, and nothing depends on it. */
static gmf_ratings choose_ratings(const bench *b, bench_thread *thread)
{
  for (int j = 0; j < ROW_RATINGS; j++) {
    uint32_t x = thread->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    thread->random = x;
    thread->cols[j] = (int32_t)((uint64_t)x * (uint64_t)b->n_rows >> 32);
  }
  return (gmf_ratings){thread->cols, b->values, NULL, ROW_RATINGS};
}

static const gmf_loss LOSS = {.kind = GMF_LOSS_HKV, .alpha = 1};

static double run_gram(void *context, int t)
{
  const bench *b = context;
  bench_thread *thread = &b->threads[t];
  double once = (double)ROW_RATINGS * b->k * (b->k + 3), done = 0;
  gmf_ratings ratings = choose_ratings(b, thread);
  for (; done < OPERATIONS; done += once) {
    memset(thread->a, 0, (size_t)b->ld * (size_t)b->ld * sizeof *thread->a);
    memset(thread->b, 0, (size_t)b->ld * sizeof *thread->b);
    gmf_gram_f4(b->table, b->ld, &ratings, LOSS, b->ld, thread->work, thread->a, thread->b);
  }
  return done;
}

static double run_cholesky(void *context, int t)
{
  const bench *b = context;
  bench_thread *thread = &b->threads[t];
  double k = b->k, once = k * k * k / 3 + 2 * k * k, done = 0;
  for (; done < OPERATIONS; done += once) {
    memcpy(thread->a, b->matrix, (size_t)b->ld * (size_t)b->ld * sizeof *thread->a);
    gmf_cholesky_f4(thread->a, b->k, b->ld, 0, thread->work);
    memset(thread->b, 0, (size_t)b->ld * sizeof *thread->b);
    thread->b[0] = 1;
    gmf_cholesky_solve_f4(thread->a, b->k, b->ld, thread->b);
  }
  return done;
}

/* The operations of a step of cg for one row. */
static double multiply_row(const bench *b, bench_thread *thread, const gmf_ratings *ratings)
{
  memset(thread->b, 0, (size_t)b->ld * sizeof *thread->b);
  gmf_row_product(b->table, b->ld, ratings, LOSS, b->ld, thread->p, thread->b);
  return 4.0 * ROW_RATINGS * b->k;
}

static double run_product(void *context, int t)
{
  const bench *b = context;
  double done = 0;
  gmf_ratings ratings = choose_ratings(b, &b->threads[t]);
  while (done < OPERATIONS) done += multiply_row(b, &b->threads[t], &ratings);
  return done;
}

/* Other rows each time: they come from memory, where the table is long. Returns bytes. */
static double run_gathering(void *context, int t)
{
  const bench *b = context;
  double done = 0, bytes = 0;
  while (done < OPERATIONS) {
    gmf_ratings ratings = choose_ratings(b, &b->threads[t]);
    done += multiply_row(b, &b->threads[t], &ratings);
    bytes += (double)ROW_RATINGS * b->ld * (double)sizeof *b->table;
  }
  return bytes;
}

/* The matrix of the Cholesky factorisation for this k: k on the diagonal, 1/2 beside it. */
static void fill_matrix(bench *b)
{
  for (int i = 0; i < b->ld; i++)
    for (int j = 0; j < b->ld; j++)
      b->matrix[(int64_t)i * b->ld + j] = i >= b->k || j >= b->k || j < i ? 0 : i == j ? (float)b->k : 0.5f;
}

/* Collective. */
static gmf_kernel_rates rates_of(const gmf_grid *grid, bench *b, int k, double seconds)
{
  gmf_kernel_rates rates = {.k = k};
  int64_t row_bytes = (int64_t)gmf_pad(k) * (int64_t)sizeof *b->table;
  b->k = k;
  b->ld = gmf_pad(k);
  b->n_rows = gmf_min64(TABLE_BYTES, b->table_bytes) / row_bytes;
  fill_matrix(b);
  rates.gram = gmf_measure_rate(grid, run_gram, b, seconds);
  rates.cholesky = gmf_measure_rate(grid, run_cholesky, b, seconds);
  rates.product = gmf_measure_rate(grid, run_product, b, seconds);
  b->n_rows = b->table_bytes / row_bytes;
  rates.gathering = gmf_measure_rate(grid, run_gathering, b, seconds);
  return rates;
}

gmf_status gmf_bench(const gmf_grid *grid, const gmf_config *config, gmf_bench_report *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  double for_machine = config->seconds / 3, each = (config->seconds - for_machine) / (4 * GMF_BENCH_SIZES);
  bench b = {.n_threads = omp_get_max_threads()};

  *out = (gmf_bench_report){.n_ranks = grid->size, .kernels = gmf_kernel_level_name(gmf_kernel_level())};
  GMF_TRY(gmf_machine_measure(grid, config->memory_limit, for_machine, &out->machine, err));
  b.table_bytes = gmf_beyond_caches(grid, config->memory_limit);
  GMF_TRY(gmf_agree(grid, make_bench(&b, err), err));
  for (int i = 0; i < GMF_BENCH_SIZES; i++) out->kernel[i] = rates_of(grid, &b, SIZES[i], each);
cleanup:
  free_bench(&b);
  return status;
}
