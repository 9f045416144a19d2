/*
 * One output, one run. The run that writes PATH holds PATH.lock; another one that is asked to write the same file is
 * refused, and told by whom. All Local: rank 0 locks for all ranks.
 *
 * The lock is the kernel's (an open file description lock, fcntl(2)), and so goes with the process that holds it,
 * however it ends; what the file says is for people. Where the file system has no locks, or such that other hosts do
 * not see, the existence of the file is the lock, and the process that it names is looked for: on another host that
 * cannot be done, and a person has to remove the file.
 */
#ifndef GMF_IO_LOCK_H
#define GMF_IO_LOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/process.h"

/* What a lock file says of its holder. */
typedef struct gmf_lock_holder {
  gmf_process process;
  char job[32];   /* of Slurm, "" outside */
  char since[32]; /* "2026-05-01 12:00:00 UTC" */
  bool by_name;   /* held by the existence of the file */
} gmf_lock_holder;

typedef struct gmf_lock gmf_lock;

/*
 * Takes the lock of `path`, whose links are resolved already; `shown` is its name in messages. died: who left the lock
 * behind, where it was found free; pid 0 else. GMF_ERR_CREATE when another run holds it, or there cannot be one.
 */
gmf_status gmf_lock_take(const char *path, const char *shown, gmf_lock **out, gmf_lock_holder *died, gmf_error *err);

/*
 * Whether the locks of the file system with this device number hold on this host only, by the options it is mounted
 * with (proc(5), mountinfo): nolock and local_lock of nfs(5), localflock of Lustre. They are not used then.
 */
bool gmf_locks_are_local(const char *mountinfo, unsigned major_number, unsigned minor_number);

/* Removes the lock file, and lets go. */
void gmf_lock_release(gmf_lock **lock);

/* "process 12 on host a, Slurm job 7, since ..." */
void gmf_lock_describe(const gmf_lock_holder *holder, char *out, size_t size);

#endif
