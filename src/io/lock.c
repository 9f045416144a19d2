#include "io/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/disk.h"

enum {
  RECORD_BYTES = 1024,
  N_ATTEMPTS = 40 /* with a pause of 50 ms: how long a holder may take to write its record */
};
static const char MAGIC[] = "gridmf lock 1";

struct gmf_lock {
  char path[PATH_MAX]; /* of the lock file */
  int fd;              /* owned; the lock lives as long as it is open */
};

/* What came of one attempt. */
typedef enum outcome { TAKEN, TRY_AGAIN, REFUSED } outcome;

/* ---- what the file says ------------------------------------------------------------------------------------------ */

static void set_holder(gmf_lock_holder *holder, bool by_name)
{
  struct timespec now;
  struct tm utc;
  const char *job = getenv("SLURM_JOB_ID");
  *holder = (gmf_lock_holder){.process = gmf_process_self(), .by_name = by_name};
  snprintf(holder->job, sizeof holder->job, "%s", job != NULL ? job : "");
  clock_gettime(CLOCK_REALTIME, &now);
  strftime(holder->since, sizeof holder->since, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&now.tv_sec, &utc));
}

void gmf_lock_describe(const gmf_lock_holder *h, char *out, size_t size)
{
  snprintf(out, size, "process %" PRId64 " on host %s%s%s, since %s", h->process.pid, h->process.host,
           h->job[0] != '\0' ? ", Slurm job " : "", h->job, h->since);
}

/* The value of a line "key value", "" where there is none. */
static void take_value(const char *text, const char *key, char *out, size_t size)
{
  size_t n = strlen(key);
  out[0] = '\0';
  for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (strncmp(line, key, n) == 0 && line[n] == ' ')
      snprintf(out, size, "%.*s", (int)strcspn(line + n + 1, "\n"), line + n + 1);
  }
}

/* Reads the record. pid is 0 where the file is empty, as its maker may be about to write; *foreign when it is none of
 * ours. */
static void read_holder(int fd, gmf_lock_holder *holder, bool *foreign)
{
  char text[RECORD_BYTES], number[32], held[16];
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  *holder = (gmf_lock_holder){.by_name = false};
  text[n > 0 ? n : 0] = '\0';
  *foreign = n < 0 || (n > 0 && strncmp(text, MAGIC, strlen(MAGIC)) != 0);
  if (*foreign || n == 0) return;
  take_value(text, "host", holder->process.host, sizeof holder->process.host);
  take_value(text, "boot", holder->process.boot, sizeof holder->process.boot);
  take_value(text, "space", holder->process.space, sizeof holder->process.space);
  take_value(text, "pid", number, sizeof number);
  holder->process.pid = strtoll(number, NULL, 10);
  take_value(text, "began", number, sizeof number);
  holder->process.began = strtoll(number, NULL, 10);
  take_value(text, "job", holder->job, sizeof holder->job);
  take_value(text, "since", holder->since, sizeof holder->since);
  take_value(text, "held", held, sizeof held);
  holder->by_name = strcmp(held, "by name") == 0;
}

static gmf_status write_holder(const gmf_lock *lock, bool by_name, gmf_error *err)
{
  char text[RECORD_BYTES];
  gmf_lock_holder h;
  set_holder(&h, by_name);
  int n = snprintf(text, sizeof text,
                   "%s\nhost %s\npid %" PRId64 "\nboot %s\nspace %s\nbegan %" PRId64 "\njob %s\nsince %s\nheld %s\n",
                   MAGIC, h.process.host, h.process.pid, h.process.boot, h.process.space, h.process.began, h.job,
                   h.since, by_name ? "by name" : "by lock");
  GMF_CHECK(n < (int)sizeof text);
  if (ftruncate(lock->fd, 0) == 0 && pwrite(lock->fd, text, (size_t)n, 0) == n && fsync(lock->fd) == 0) return GMF_OK;
  return gmf_fail(err, GMF_ERR_IO, "%s: cannot be written: %s; free some space or write elsewhere", lock->path,
                  strerror(errno));
}

/* ---- taking it --------------------------------------------------------------------------------------------------- */

static gmf_status refuse(const gmf_lock *lock, const char *shown, const gmf_lock_holder *h, gmf_error *err)
{
  char who[256];
  gmf_lock_describe(h, who, sizeof who);
  if (h->process.pid == 0)
    return gmf_fail(err, GMF_ERR_CREATE,
                    "%s: is locked by a run that does not say which; wait for it or name another output; if no run "
                    "writes this file, remove %s",
                    shown, lock->path);
  if (h->by_name && gmf_process_look(&h->process) == GMF_PROCESS_ELSEWHERE)
    return gmf_fail(err, GMF_ERR_CREATE,
                    "%s: is written by another run: %s; wait for it, stop it or name another output; this file system "
                    "has no locks, so if that run is over, remove %s",
                    shown, who, lock->path);
  return gmf_fail(err, GMF_ERR_CREATE, "%s: is written by another run: %s; wait for it, stop it or name another output",
                  shown, who);
}

/* Whether the name still leads to the open file: its holder may have removed it between our open and our lock. */
static bool is_still_there(const gmf_lock *lock)
{
  struct stat mine, named;
  return fstat(lock->fd, &mine) == 0 && stat(lock->path, &named) == 0 && mine.st_ino == named.st_ino &&
         mine.st_dev == named.st_dev;
}

/* Whether a list of mount options "rw,vers=3,nolock" has one of those that keep locks on the host. */
static bool has_local_option(char *options)
{
  static const char *const LOCAL[] = {"nolock", "local_lock=all", "local_lock=posix", "localflock"};
  char *rest = NULL;
  for (char *word = strtok_r(options, ", \n", &rest); word != NULL; word = strtok_r(NULL, ", \n", &rest))
    for (size_t i = 0; i < sizeof LOCAL / sizeof *LOCAL; i++)
      if (strcmp(word, LOCAL[i]) == 0) return true;
  return false;
}

bool gmf_locks_are_local(const char *mountinfo, unsigned major_number, unsigned minor_number)
{
  char line[2 * PATH_MAX + 1024];
  bool local = false;
  FILE *file = fopen(mountinfo, "re");
  while (file != NULL && !local && fgets(line, sizeof line, file) != NULL) {
    unsigned found_major = 0, found_minor = 0;
    char *separator = strstr(line, " - "); /* after it: type, source, options of the file system */
    if (separator == NULL || sscanf(line, "%*d %*d %u:%u", &found_major, &found_minor) != 2) continue;
    if (found_major == major_number && found_minor == minor_number) local = has_local_option(separator + 3);
  }
  if (file != NULL) fclose(file);
  return local;
}

/* Locks without waiting: 0, or an errno. */
static int lock_file(int fd)
{
  struct stat st;
  if (fstat(fd, &st) == 0 && gmf_locks_are_local("/proc/self/mountinfo", major(st.st_dev), minor(st.st_dev)))
    return ENOLCK;
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int code = 0;
  do code = fcntl(fd, F_OFD_SETLK, &whole) == 0 ? 0 : errno;
  while (code == EINTR);
  return code;
}

/* By the kernel's lock. What was found in the file is of a run that has ended, unless it held the file by name. */
static outcome settle_locked(const gmf_lock *lock, const gmf_lock_holder *found, gmf_lock_holder *died)
{
  if (!is_still_there(lock)) return TRY_AGAIN;
  if (found->by_name && gmf_process_look(&found->process) != GMF_PROCESS_ENDED) return REFUSED;
  if (found->process.pid != 0) *died = *found;
  return TAKEN;
}

/*
 * By name: who made the file has the lock. A file whose maker has ended is moved away, and the next attempt makes a
 * new one. Another run may have done the same since we read the file, and then it is that run's file we have moved:
 * it is put back.
 */
static outcome settle_named(const gmf_lock *lock, bool created, const gmf_lock_holder *found, gmf_lock_holder *died)
{
  char aside[PATH_MAX + 128];
  struct stat opened, moved;
  gmf_process self = gmf_process_self();
  if (created) return TAKEN;
  if (found->process.pid == 0 || gmf_process_look(&found->process) != GMF_PROCESS_ENDED) return REFUSED;
  snprintf(aside, sizeof aside, "%s.%s.%" PRId64, lock->path, self.host, self.pid);
  if (!is_still_there(lock) || fstat(lock->fd, &opened) != 0 || rename(lock->path, aside) != 0) return TRY_AGAIN;
  if (stat(aside, &moved) == 0 && moved.st_ino != opened.st_ino)
    (void)!link(aside, lock->path);
  else
    *died = *found;
  unlink(aside);
  return TRY_AGAIN;
}

/* Opens the lock file, made where there is none. fd -1 with GMF_OK: its holder removed it just now. */
static gmf_status open_file(gmf_lock *lock, const char *shown, bool *created, gmf_error *err)
{
  struct stat st;
  lock->fd = open(lock->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  *created = lock->fd >= 0;
  if (!*created && errno == EEXIST) lock->fd = open(lock->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (lock->fd < 0 && errno == ENOENT && access(lock->path, F_OK) != 0) return GMF_OK;
  if (lock->fd < 0)
    return gmf_fail(err, gmf_creation_status(errno), "%s: cannot be locked: %s: %s", shown, lock->path,
                    strerror(errno));
  if (fstat(lock->fd, &st) == 0 && S_ISREG(st.st_mode)) return GMF_OK;
  return gmf_fail(err, GMF_ERR_CREATE, "%s: cannot be locked: %s is no file", shown, lock->path);
}

/* Where an attempt stands: who holds the lock when it was refused, and who left it behind. pid 0: nobody. */
typedef struct attempt_result {
  outcome out;
  bool by_name;
  gmf_lock_holder holder, died;
} attempt_result;

static gmf_status attempt(gmf_lock *lock, const char *shown, attempt_result *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  bool created = false, foreign = false;
  r->out = TRY_AGAIN;
  GMF_TRY(open_file(lock, shown, &created, err));
  if (lock->fd < 0) return GMF_OK;
  int code = lock_file(lock->fd);
  bool is_held = code == EAGAIN || code == EACCES;
  r->by_name = code != 0 && !is_held; /* ENOLCK, EOPNOTSUPP, ENOSYS, EINVAL: this file system has no such locks */
  read_holder(lock->fd, &r->holder, &foreign);
  if (foreign)
    GMF_TRY(gmf_fail(err, GMF_ERR_CREATE,
                     "%s: cannot be locked: %s is no lock of gridmf; move it, or name another output", shown,
                     lock->path));
  if (is_held)
    r->out = is_still_there(lock) ? REFUSED : TRY_AGAIN;
  else if (r->by_name)
    r->out = settle_named(lock, created, &r->holder, &r->died);
  else
    r->out = settle_locked(lock, &r->holder, &r->died);
cleanup:
  return status;
}

static gmf_status take(gmf_lock *lock, const char *shown, gmf_lock_holder *died, gmf_error *err)
{
  gmf_status status = GMF_OK;
  attempt_result r = {.out = TRY_AGAIN};
  for (int i = 0; i < N_ATTEMPTS; i++) {
    if (i > 0) nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    if (lock->fd >= 0) close(lock->fd);
    GMF_TRY(attempt(lock, shown, &r, err));
    if (r.out == TAKEN || (r.out == REFUSED && r.holder.process.pid != 0)) break; /* else it is about to say who */
  }
  if (r.out != TAKEN) GMF_TRY(refuse(lock, shown, &r.holder, err));
  *died = r.died;
  status = write_holder(lock, r.by_name, err);
  if (status != GMF_OK) unlink(lock->path);
cleanup:
  return status;
}

gmf_status gmf_lock_take(const char *path, const char *shown, gmf_lock **out, gmf_lock_holder *died, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_lock *lock = NULL;
  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(lock, 1, err));
  lock->fd = -1;
  if (snprintf(lock->path, sizeof lock->path, "%s.lock", path) >= (int)sizeof lock->path)
    GMF_TRY(gmf_fail(err, GMF_ERR_CREATE, "the output path is too long"));
  GMF_TRY(take(lock, shown, died, err));
  *out = lock;
  lock = NULL;
cleanup:
  if (lock != NULL && lock->fd >= 0) close(lock->fd);
  gmf_free(lock);
  return status;
}

void gmf_lock_release(gmf_lock **lock)
{
  if (*lock == NULL) return;
  if (is_still_there(*lock)) unlink((*lock)->path); /* while it is locked: who opened it sees that it is gone */
  close((*lock)->fd);
  gmf_free(*lock);
  *lock = NULL;
}
