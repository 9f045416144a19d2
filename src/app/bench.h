/* `gridmf bench`: what the machine does at most, and what the kernels make of it. */
#ifndef GMF_APP_BENCH_H
#define GMF_APP_BENCH_H

#include "app/config.h"
#include "app/machine.h"

enum { GMF_BENCH_SIZES = 5 };

/* Of one rank, the mean over all, while all ranks and threads work at once. */
typedef struct gmf_kernel_rates {
  int k;
  double gram;     /* operations a second that count (n k (k + 1) + 2 n k): the normal equations of rows in the cache */
  double cholesky; /* k^3 / 3 + 2 k^2: factoring and solving */
  double product;  /* 4 n k: a step of cg, rows in the cache */
  double gathering; /* bytes of rows a second of that step, rows at random from memory */
} gmf_kernel_rates;

typedef struct gmf_bench_report {
  int n_ranks;
  const char *kernels; /* the level in use */
  gmf_machine machine;
  gmf_kernel_rates kernel[GMF_BENCH_SIZES];
} gmf_bench_report;

/* Collective. Takes about config->seconds. */
gmf_status gmf_bench(const gmf_grid *grid, const gmf_config *config, gmf_bench_report *out, gmf_error *err);

#endif
