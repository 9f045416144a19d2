/*
 * The temporary files of outputs, PATH.tmp.HOST.PID: their names, and what becomes of those that runs which were killed
 * left behind. All Local.
 */
#ifndef GMF_IO_LEFTOVERS_H
#define GMF_IO_LEFTOVERS_H

#include "io/lock.h"

/* That of this process; false where it is too long. */
bool gmf_temporary_name(const char *path, char *out, size_t size);

/* Lines that are for the log of a run. */
typedef struct gmf_notes {
  char *text; /* owned; each line ends in a newline; NULL while there is none */
  int64_t n, capacity;
} gmf_notes;

/*
 * Removes the temporary files PATH.tmp.HOST.PID of runs that have ended, by the holder of the lock of PATH: those of
 * this host whose process is gone, and those of the run that left the lock behind. Others of such a name stay. Adds a
 * line to `notes` for each.
 */
gmf_status gmf_remove_leftovers(const char *path, const gmf_lock_holder *died, gmf_notes *notes, gmf_error *err);

gmf_status gmf_notes_add(gmf_notes *notes, gmf_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void gmf_notes_free(gmf_notes *notes);

#endif
