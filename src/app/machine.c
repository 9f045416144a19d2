#include "app/machine.h"

#include <math.h>
#include <omp.h>
#include <unistd.h>

#include "app/memory_check.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/isa.h"
#include "kernel/peak.h"

enum { LEAST_ROUNDS = 3, MULTIPLY_ADD_ROUNDS = 1 << 17, TILE_ROUNDS = 1 << 13 /* about 0.2 ms each */ };

double gmf_measure_rate(const gmf_grid *grid, gmf_work *work, void *context, double seconds)
{
  double best = 0, total = 0;
  for (int round = 0; round < LEAST_ROUNDS || total < seconds; round++) {
    double amount = 0;
    GMF_COLLECTIVE(grid->all, MPI_Barrier(grid->all));
    double begin = MPI_Wtime();
#pragma omp parallel reduction(+ : amount)
    amount += work(context, omp_get_thread_num());
    double elapsed = MPI_Wtime() - begin;
    gmf_max_f64(grid, &elapsed, 1);
    gmf_sum_f64(grid, &amount, 1);
    best = fmax(best, amount / grid->size / fmax(elapsed, 1e-9));
    total += elapsed; /* the same on all ranks, so that they end together */
  }
  return best;
}

int64_t gmf_beyond_caches(const gmf_grid *grid, int64_t memory_limit)
{
  static const int64_t UNKNOWN_CACHE = 64 << 20, MOST = 1 << 30;
  int n_ranks = 1, n_cores = 1;
  gmf_node_share(grid, &n_ranks, &n_cores);
#ifdef _SC_LEVEL3_CACHE_SIZE
  int64_t cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
#else
  int64_t cache = 0;
#endif
  if (cache <= 0) cache = UNKNOWN_CACHE;
  int64_t bytes = gmf_min64(gmf_min64(2 * cache, MOST) / n_ranks, gmf_memory_allowed(grid, memory_limit).bytes / 8);
  gmf_min_i64(grid, &bytes, 1);
  return gmf_max64(bytes, 1 << 20);
}

/* A thread's part of three arrays, and what keeps the compiler from leaving the work out. */
typedef struct stream {
  double *arrays; /* owned [3][n] */
  int64_t n;
  double *sinks; /* owned [threads], a cache line each */
} stream;

enum { SINK_STRIDE = 8 };

static double run_multiply_add_f4(void *context, int thread)
{
  const stream *s = context;
  return gmf_peak_multiply_add_f4(MULTIPLY_ADD_ROUNDS, s->sinks + SINK_STRIDE * thread);
}

static double run_multiply_add_f8(void *context, int thread)
{
  const stream *s = context;
  return gmf_peak_multiply_add_f8(MULTIPLY_ADD_ROUNDS, s->sinks + SINK_STRIDE * thread);
}

static double run_tiles(void *context, int thread)
{
  const stream *s = context;
  return gmf_peak_tiles(TILE_ROUNDS, s->sinks + SINK_STRIDE * thread);
}

static double run_triad(void *context, int thread)
{
  const stream *s = context;
  int n_threads = omp_get_num_threads();
  int64_t begin = gmf_slice_begin(s->n, n_threads, thread), end = gmf_slice_begin(s->n, n_threads, thread + 1);
  double *a = s->arrays + begin, *b = a + s->n, *c = b + s->n;
  return gmf_peak_triad(a, b, c, 0.5, end - begin);
}

gmf_status gmf_machine_measure(const gmf_grid *grid, int64_t memory_limit, double seconds, gmf_machine *out,
                               gmf_error *err)
{
  gmf_status status = GMF_OK;
  double each = grid->size > 1 ? seconds / 6 : seconds / 4;
  stream s = {.n = gmf_beyond_caches(grid, memory_limit) / (int64_t)(3 * sizeof *s.arrays)};

  *out = (gmf_machine){.n_threads = omp_get_max_threads()};
  status = GMF_NEW(s.arrays, 3 * s.n, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(s.sinks, (int64_t)SINK_STRIDE * out->n_threads, err);
  GMF_TRY(gmf_agree(grid, status, err));
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < 3 * s.n; j++) s.arrays[j] = 1; /* by the threads that will use it, so that it is near them */
  out->multiply_add_f4 = gmf_measure_rate(grid, run_multiply_add_f4, &s, each);
  out->multiply_add_f8 = gmf_measure_rate(grid, run_multiply_add_f8, &s, each);
  out->tiles_bf16 = gmf_measure_rate(grid, run_tiles, &s, gmf_kernel_level() == GMF_LEVEL_AMX ? each : 0);
  out->triad = gmf_measure_rate(grid, run_triad, &s, each);
  GMF_FREE(s.arrays);
  GMF_TRY(gmf_network_measure(grid, 2 * each, &out->network, err));
cleanup:
  gmf_free(s.arrays);
  gmf_free(s.sinks);
  return status;
}
