/*
 * How near training comes to what the machine allows (train --roofline): for each phase of a sweep the least time that
 * its arithmetic, memory and messages take at the rates that were measured at the start.
 */
#ifndef GMF_APP_ROOFLINE_H
#define GMF_APP_ROOFLINE_H

#include "app/log.h"
#include "app/machine.h"
#include "dist/block.h"
#include "kernel/row_solver.h"

/* What a phase has to do at least, on one rank. */
typedef struct gmf_load {
  double operations_f4, operations_f8;
  double memory;   /* bytes between the cores and memory: each thing that is touched once */
  double received; /* bytes from other ranks */
  double messages; /* from other ranks */
} gmf_load;

/* What a half-sweep has to do at least, on one rank, phase by phase. */
typedef struct gmf_half_load {
  gmf_load phases[GMF_N_PHASES];
} gmf_half_load;

typedef struct gmf_roofline {
  gmf_machine machine;
  double before[GMF_N_PHASES]; /* seconds of the phases when the sweeps began */
} gmf_roofline;

/* Local. The rows of `block`, solved on `grid`; row: how they are solved; wire: how fixed rows travel. */
void gmf_half_load_count(const gmf_grid *grid, const gmf_block *block, const gmf_axis *fixed,
                         const gmf_row_options *row, gmf_wire wire, gmf_half_load *out);

/* Local. The least seconds of a load: the longest of arithmetic, memory and network, as if they overlapped. */
double gmf_load_seconds(const gmf_load *load, const gmf_machine *machine);

/* Collective. Measures the machine (machine.h), and says so. Best before the run holds much memory. */
gmf_status gmf_roofline_start(const gmf_grid *grid, int64_t memory_limit, const gmf_log *log, gmf_roofline *out,
                              gmf_error *err);

/* Collective. The sweeps begin. */
void gmf_roofline_begin(const gmf_grid *grid, gmf_roofline *roofline);

/*
 * Collective. n_sweeps took `seconds` in all: the bounds go to the trace, for its table, and a summary to the log.
 * halves [GMF_N_SIDES]: the load of a sweep's two parts on this rank.
 */
void gmf_roofline_end(const gmf_grid *grid, const gmf_roofline *roofline, const gmf_half_load *halves, int64_t n_sweeps,
                      double seconds, const gmf_log *log);

#endif
