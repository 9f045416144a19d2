/*
 * Clocks and counters of a run. A phase is never inside another; starting one ends the one before. Counters
 * (collectives, bytes, ratings) stand beside the clocks, so that tests can assert them without reading a clock.
 */
#ifndef GMF_RUNTIME_TRACE_H
#define GMF_RUNTIME_TRACE_H

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

typedef enum gmf_phase {
  GMF_PHASE_OTHER,
  GMF_PHASE_READ,       /* files into memory: text parsing, dataset slices */
  GMF_PHASE_MAP_IDS,    /* external ids to rows */
  GMF_PHASE_SORT,       /* ratings into order */
  GMF_PHASE_DISTRIBUTE, /* ratings to the ranks that use them */
  GMF_PHASE_START,      /* what the sweeps begin with; with --roofline the speed of the machine */
  GMF_PHASE_GRAM,       /* the k x k matrix that all rows share */
  GMF_PHASE_EXPAND,     /* fixed factor rows to the ranks that need them */
  GMF_PHASE_SOLVE,      /* normal equations of my rows, and their solution */
  GMF_PHASE_FOLD,       /* partial normal equations to their owner */
  GMF_PHASE_SCORE,      /* scores, top-N, metrics */
  GMF_PHASE_WRITE,      /* files */
  GMF_N_PHASES
} gmf_phase;

typedef struct gmf_trace {
  double seconds[GMF_N_PHASES];
  int64_t calls[GMF_N_PHASES];
  int64_t work[GMF_N_PHASES];  /* what each phase has done, gmf_trace_work */
  int64_t n_collectives;       /* reductions, broadcasts and gathers this rank took part in */
  int64_t collective_bytes;    /* length of this rank's part of them */
  int64_t n_exchanges;         /* calls of gmf_exchange */
  int64_t exchange_bytes;      /* what this rank sent to others in them */
  double bounds[GMF_N_PHASES]; /* the least seconds that each phase can take, for the table; all 0: nothing is known */
  gmf_phase current;
  double since; /* when the current phase began, MPI_Wtime */
} gmf_trace;

/* Local, all of them; a NULL trace is allowed and counts nothing. */
void gmf_trace_start(gmf_trace *trace);
/* Ends the running phase and begins `phase`; returns the phase that was running, for nested callers to go back to. */
gmf_phase gmf_trace_phase(gmf_trace *trace, gmf_phase phase);
void gmf_trace_collective(gmf_trace *trace, int64_t bytes);
void gmf_trace_exchange(gmf_trace *trace, int64_t bytes_sent);

/*
 * What was done in a phase, for its rate in the table: bytes of files (read, write), different ids (map
 * ids), ratings (sort, distribute, solve), pairs of user and item (score). What expand and fold send counts by itself.
 */
void gmf_trace_work(gmf_trace *trace, gmf_phase phase, int64_t n);

const char *gmf_phase_name(gmf_phase phase);

/* Seconds of each phase until now, with those of the one that runs. Local. */
void gmf_trace_seconds(const gmf_trace *trace, double seconds[GMF_N_PHASES]);

/* A value of each rank. */
typedef struct gmf_spread {
  double min, mean, max;
  int rank_of_max;
} gmf_spread;

/* Collective. Spreads of n values over the ranks, at most GMF_N_PHASES, on rank 0. Not counted in a trace. */
void gmf_trace_spread(MPI_Comm comm, const double *values, int n, gmf_spread *out);

/* Collective. all [ranks][n] on rank 0: the n values of every rank. Not counted in a trace. */
void gmf_trace_gather(MPI_Comm comm, const double *values, int n, double *all);

/* The most memory this process has held, bytes (VmHWM of Linux); 0 where that is not known. Local. */
int64_t gmf_process_peak_bytes(void);

/*
 * Collective. Rank 0 prints to `out` (NULL elsewhere or to print nothing): phase, calls, min / mean / max seconds over
 * ranks, the rank of the maximum and what all ranks did in a second of it, then bytes sent and peak memory. Where
 * bounds are known: the largest bound of the ranks, and what part of the slowest rank's seconds that is.
 */
void gmf_trace_print(const gmf_trace *trace, MPI_Comm comm, FILE *out);

#endif
