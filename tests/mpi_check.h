/* Checks of a test that runs on several ranks: a failure is printed, and agreed before the process leaves. */
#ifndef GMF_TESTS_MPI_CHECK_H
#define GMF_TESTS_MPI_CHECK_H

#include <mpi.h>
#include <stdio.h>

static int n_failed_checks;

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) {                                                               \
      fprintf(stderr, "%s:%d: (%s) does not hold\n", __FILE__, __LINE__, #condition); \
      n_failed_checks++;                                                              \
    }                                                                                 \
  } while (0)

/* Collective. The exit code: 1 on all ranks when a check failed on any. */
static int finish_checks(void)
{
  MPI_Allreduce(MPI_IN_PLACE, &n_failed_checks, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  MPI_Finalize();
  return n_failed_checks > 0;
}

#endif
