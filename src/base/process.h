/* What tells one process of a cluster from all others, now and later, and whether it still runs. Linux. All Local. */
#ifndef GMF_BASE_PROCESS_H
#define GMF_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct gmf_process {
  char host[72];
  char boot[48];  /* the kernel's boot id, "" where it is not known; another one means that the host started anew */
  char space[48]; /* the pid namespace: containers number their processes from 1; "" where it is not known */
  int64_t pid;
  int64_t began; /* clock ticks from boot to the start of the process, -1 where that is not known */
} gmf_process;

typedef enum gmf_process_state {
  GMF_PROCESS_RUNS,
  GMF_PROCESS_ENDED,
  GMF_PROCESS_ELSEWHERE /* on another host or in another container: it cannot be told from here */
} gmf_process_state;

/* This process. */
gmf_process gmf_process_self(void);

gmf_process_state gmf_process_look(const gmf_process *process);

/*
 * Whether the process that has the number `pid` now on this host can have changed a file at `modified` (seconds since
 * 1970): not when there is none, nor when it began later. A minute is allowed for the clock of a file server.
 */
bool gmf_process_may_have_written(int64_t pid, int64_t modified);

/* Seconds that processors have worked for the calling thread. */
double gmf_thread_seconds(void);

#endif
