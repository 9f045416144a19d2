/*
 * Every collective call of MPI (or of HDF5 on several ranks) stands in GMF_COLLECTIVE, which tells the watchdog that
 * the rank waits for others. A debug build (GRIDMF_CHECK_COLLECTIVES, on in Debug) first compares where the ranks of
 * the communicator come from: ranks that take different calls would hang, or mix up their numbers; here they end with
 * GMF_ERR_STALL and a message that names the places. Other builds spend nothing on it.
 */
#ifndef GMF_RUNTIME_COLLECTIVE_H
#define GMF_RUNTIME_COLLECTIVE_H

#include <mpi.h>

#include "runtime/heartbeat.h"

/* GMF_COLLECTIVE(communicator, statement) */
#define GMF_COLLECTIVE(comm, ...)          \
  do {                                     \
    gmf_beat_wait();                       \
    GMF_COMPARE_SITES((comm), __VA_ARGS__) \
    __VA_ARGS__;                           \
    gmf_beat_resume();                     \
  } while (0)

#ifdef GMF_CHECK_COLLECTIVES

/* Local. Remembers where this rank stands. */
void gmf_collective_site(const char *file, int line, const char *what);

/* Collective. Compares the places that the ranks remembered last. */
void gmf_collective_compare(MPI_Comm comm);

/*
 * The place of a primitive of runtime/ is its caller's: grid.h and exchange.h make macros of their names by
 * GMF_FROM_HERE. Inside runtime/, which defines GMF_IN_RUNTIME first of all, the place stays that of the call that led
 * there.
 */
#ifdef GMF_IN_RUNTIME
#define GMF_COMPARE_SITES(comm, ...) gmf_collective_compare(comm);
#else
#define GMF_COMPARE_SITES(comm, ...)                     \
  gmf_collective_site(__FILE__, __LINE__, #__VA_ARGS__); \
  gmf_collective_compare(comm);
#define GMF_FROM_HERE(function, ...) (gmf_collective_site(__FILE__, __LINE__, #function), function(__VA_ARGS__))
#endif

#else
#define GMF_COMPARE_SITES(comm, ...)
#endif

#endif
