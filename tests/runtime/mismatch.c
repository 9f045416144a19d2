/*
 * Takes different collectives on different ranks, on purpose. Built with the comparison of call sites, it must end with
 * both places named; without it, the watchdog must end it. The first argument is the watchdog's patience in seconds.
 */
#include <stdlib.h>

#include "runtime/exchange.h"
#include "runtime/watchdog.h"

int main(int argc, char **argv)
{
  MPI_Init(&argc, &argv);
  gmf_error err = {0};
  gmf_grid *grid = NULL;
  gmf_trace trace;
  gmf_watchdog *watchdog = NULL;
  int64_t counts[64] = {0}, received[64], one = 1;
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  gmf_trace_start(&trace);
  if (size > 64 || gmf_grid_create(MPI_COMM_WORLD, size, 1, &trace, &grid, &err) != GMF_OK) return 1;
  if (gmf_watchdog_start(grid, argc > 1 ? atof(argv[1]) : 0, &watchdog, &err) != GMF_OK) return 1;
  for (int i = 0; i < 3; i++) gmf_sum_i64(grid, &one, 1); /* the same on all ranks: nothing to say */
  gmf_trace_phase(&trace, grid->rank == 1 ? GMF_PHASE_FOLD : GMF_PHASE_EXPAND);
  if (grid->rank == 1)
    gmf_broadcast(grid, &one, sizeof one);
  else
    gmf_exchange_counts(grid, counts, received);
  gmf_sum_i64(grid, &one, 1);
  gmf_sum_i64(grid, &one, 1);
  gmf_grid_destroy(&grid);
  MPI_Finalize();
  gmf_watchdog_stop(&watchdog);
  return 0;
}
