/* What this job's machine does at most, measured: the yardstick of app/bench.c and app/roofline.c. */
#ifndef GMF_APP_MACHINE_H
#define GMF_APP_MACHINE_H

#include "runtime/network.h"

/* Of one rank, the mean over all, while all ranks and threads work at once. The same on all ranks. */
typedef struct gmf_machine {
  int n_threads;          /* of this rank */
  double multiply_add_f4; /* operations a second, of the instruction set in use */
  double multiply_add_f8;
  double tiles_bf16;   /* the same on tiles of bf16; 0 where the level in use has none */
  double triad;        /* bytes a second between the cores and memory, as STREAM counts */
  gmf_network network; /* zero for one rank */
} gmf_machine;

/* A piece of work of a thread, of a millisecond or so. Returns how much it was, operations or bytes. */
typedef double gmf_work(void *context, int thread);

/* Collective. The most of a work that a rank does in a second while all threads of all ranks do it, the best of the
 * rounds that `seconds` have room for, but of 3 at least. */
double gmf_measure_rate(const gmf_grid *grid, gmf_work *work, void *context, double seconds);

/* Collective. So many bytes for each rank that they are too many for the caches of its node; but an eighth of what a
 * rank may use at most, memory_limit being that of --memory-limit. */
int64_t gmf_beyond_caches(const gmf_grid *grid, int64_t memory_limit);

/* Collective. Takes about `seconds`, and the time to touch gmf_beyond_caches bytes. */
gmf_status gmf_machine_measure(const gmf_grid *grid, int64_t memory_limit, double seconds, gmf_machine *out,
                               gmf_error *err);

#endif
