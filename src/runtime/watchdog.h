/*
 * Ends a job that no longer moves. Each rank has a heart that beats wherever something gets done: at every phase,
 * around every collective, and in loops that are long. A thread of its own, which calls nothing of MPI, listens; ranks
 * of one node see each other's hearts in shared memory, and so know who waits for whom.
 *
 *   a rank that works               ends the job when it has not beaten for the given time
 *   a rank that waits for others    ends it when no rank of its node has: as long as one beats, it waits with reason
 *
 *   a rank inside a library that     does not end it, and counts as one that beats as long as its process runs
 *   does not beat (ScaLAPACK)
 *
 * Nothing is known of other nodes, where a rank that waits may have to wait for one that works: then, too, the time
 * counts from the last beat of a rank of its own node. A freeze of the listener itself (a job that is suspended, a
 * laptop that sleeps) does not count.
 */
#ifndef GMF_RUNTIME_WATCHDOG_H
#define GMF_RUNTIME_WATCHDOG_H

#include "runtime/grid.h"

typedef struct gmf_watchdog gmf_watchdog;

/*
 * Collective. Begins to watch all ranks of the grid; seconds 0: nothing is watched and *out is NULL. One at a time in a
 * process. From then on the process may end with GMF_ERR_STALL at any time, after one message for the job where its
 * ranks share a node, else one a node.
 */
gmf_status gmf_watchdog_start(const gmf_grid *grid, double seconds, gmf_watchdog **out, gmf_error *err);

/* Local. May come after MPI_Finalize, which can hang too. */
void gmf_watchdog_stop(gmf_watchdog **watchdog);

#endif
