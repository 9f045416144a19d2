/*
 * One output file of one process: locked (io/lock.h), written under the name PATH.tmp.HOST.PID, renamed when it is
 * complete. A visible name is always a complete file. All Local.
 */
#ifndef GMF_IO_OUTPUT_H
#define GMF_IO_OUTPUT_H

#include <limits.h>

#include "io/leftovers.h"

/* Fit for {0}. */
typedef struct gmf_output {
  char path[PATH_MAX], temporary[PATH_MAX]; /* path: where all links lead */
  bool exists;                              /* the temporary file */
  gmf_lock *lock;                           /* owned */
  gmf_notes notes;                          /* owned: what was found left behind */
} gmf_output;

/*
 * Makes sure that this run alone writes the file, clears away what others left of it, and makes the temporary file,
 * still empty. GMF_ERR_CREATE, GMF_ERR_IO.
 */
gmf_status gmf_output_open(gmf_output *output, const char *path, gmf_error *err);

/* Gives complete files their names, then syncs the folders: nothing that takes long stands between the names. */
gmf_status gmf_outputs_commit(gmf_output *const *outputs, int n, gmf_error *err);

/* Removes a temporary file that was not committed, and lets go of the lock. */
void gmf_output_close(gmf_output *output);

#endif
