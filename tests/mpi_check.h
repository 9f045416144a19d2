/* Checks of a test that runs on several ranks: a failure is printed, and agreed before the process leaves. */
#ifndef GMF_TESTS_MPI_CHECK_H
#define GMF_TESTS_MPI_CHECK_H

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "runtime/grid.h"

static int n_failed_checks;

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) {                                                               \
      fprintf(stderr, "%s:%d: (%s) does not hold\n", __FILE__, __LINE__, #condition); \
      n_failed_checks++;                                                              \
    }                                                                                 \
  } while (0)

/* Collective. Begins MPI, on the grid that the arguments ROWS COLS name. */
static gmf_grid *start_checks(int argc, char **argv, gmf_trace *trace)
{
  gmf_grid *grid = NULL;
  MPI_Init(&argc, &argv);
  gmf_trace_start(trace);
  if (argc != 3 || gmf_grid_create(MPI_COMM_WORLD, atoi(argv[1]), atoi(argv[2]), trace, &grid, NULL) != GMF_OK)
    MPI_Abort(MPI_COMM_WORLD, 2);
  return grid;
}

/* Collective. Destroys the grid, which is the last that is alive. The exit code: 1 on all ranks when a check failed on
 * any. */
static int finish_checks(gmf_grid **grid)
{
  gmf_grid_destroy(grid);
  CHECK(gmf_memory_live_count() == 0);
  MPI_Allreduce(MPI_IN_PLACE, &n_failed_checks, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  MPI_Finalize();
  return n_failed_checks > 0;
}

#endif
