/*
 * When a run stops early, so that it can go on later: on SIGUSR1, SIGUSR2 or SIGXCPU, at --max-time, or for a file
 * named STOP. The ranks decide together.
 */
#ifndef GMF_APP_STOPPING_H
#define GMF_APP_STOPPING_H

#include "runtime/grid.h"

typedef enum gmf_stop_reason { GMF_STOP_NONE, GMF_STOP_FILE, GMF_STOP_TIME, GMF_STOP_SIGNAL } gmf_stop_reason;

typedef struct gmf_stopping {
  double max_seconds;     /* of the run since it began; 0: no limit */
  double begin;           /* CLOCK_MONOTONIC when it began */
  const char *file;       /* borrowed: path of the STOP file; NULL: none */
  double longest_sweep;   /* seconds so far; the caller keeps it */
  double longest_writing; /* the same of a checkpoint */
} gmf_stopping;

/* Local. Begins to watch for the signals, which then no longer end the process. max_seconds: 0 for none. */
void gmf_stopping_start(gmf_stopping *stopping, double max_seconds, const char *file);

/*
 * Collective. Whether to stop here, before another sweep: a signal on any rank; rank 0's clock when another sweep and
 * twice a checkpoint would not fit; rank 0 finding the file.
 */
gmf_stop_reason gmf_stopping_decide(const gmf_grid *grid, const gmf_stopping *stopping);

/* "SIGUSR1 or SIGUSR2", ... for messages. */
const char *gmf_stop_reason_text(gmf_stop_reason reason);

/* Local. Seconds of a clock that nobody sets. */
double gmf_monotonic_seconds(void);

#endif
