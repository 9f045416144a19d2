/*
 * Preloaded into a run to make its I/O go wrong, on files whose path contains FAULT_PATH:
 *
 *   FAULT_RANK   the rank it happens on
 *   FAULT_CALL   write, read, fsync, rename, close, open (for writing) or fallocate
 *   FAULT_AFTER  how many of these calls go well first
 *   FAULT_TIMES  how many then go wrong; all where not given
 *   FAULT_HOW    a number: the call fails with this errno, having done nothing (a close has closed)
 *                short: half of the bytes are moved, as POSIX allows;  slow: the call takes 0.3 s
 *                hang: the call never returns;  stop: the process stops itself, as if by SIGSTOP
 *   FAULT_LOG    a file that gets one byte for each fault
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The next definition of a function after this library's. */
#define REAL(result, name, ...)            \
  static result (*real)(__VA_ARGS__);      \
  if (real == NULL) {                      \
    void *symbol = dlsym(RTLD_NEXT, name); \
    memcpy(&real, &symbol, sizeof real);   \
  }

typedef enum fault { NONE, FAILS, IS_SHORT } fault;

static bool is_asked(const char *call)
{
  const char *wanted = getenv("FAULT_CALL"), *rank = getenv("FAULT_RANK"), *mine = getenv("OMPI_COMM_WORLD_RANK");
  return wanted != NULL && rank != NULL && getenv("FAULT_PATH") != NULL && strcmp(call, wanted) == 0 &&
         strcmp(rank, mine != NULL ? mine : "0") == 0;
}

/* By system calls, which are not this library's own. */
static void note_fault(void)
{
  const char *path = getenv("FAULT_LOG");
  long fd = path != NULL ? syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0666) : -1;
  if (fd < 0) return;
  syscall(SYS_write, (int)fd, ".", 1);
  syscall(SYS_close, (int)fd);
}

static void wait_seconds(double seconds)
{
  struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
  while (nanosleep(&t, &t) != 0) {
  }
}

/* What this call, on this path, comes to; errno is set where it fails. */
static fault fault_of_path(const char *path)
{
  static atomic_long calls;
  const char *after = getenv("FAULT_AFTER"), *times = getenv("FAULT_TIMES"), *how = getenv("FAULT_HOW");
  if (how == NULL || strstr(path, getenv("FAULT_PATH")) == NULL) return NONE;
  long n = atomic_fetch_add(&calls, 1) - (after != NULL ? atol(after) : 0);
  if (n < 0 || (times != NULL && n >= atol(times))) return NONE;
  note_fault();
  if (strcmp(how, "short") == 0) return IS_SHORT;
  if (strcmp(how, "stop") == 0) raise(SIGSTOP);
  if (strcmp(how, "slow") == 0) wait_seconds(0.3);
  if (strcmp(how, "hang") == 0) wait_seconds(1e6);
  errno = atoi(how);
  return errno > 0 ? FAILS : NONE;
}

static fault fault_of(const char *call, int fd)
{
  char link[64], path[PATH_MAX];
  if (!is_asked(call)) return NONE;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  path[n < 0 ? 0 : n] = '\0';
  return fault_of_path(path);
}

/* How many of n bytes are moved: one at least, or the end of the file would be reported. */
static size_t some_of(fault f, size_t n) { return f == IS_SHORT && n > 1 ? n / 2 : n; }

ssize_t write(int fd, const void *data, size_t n)
{
  REAL(ssize_t, "write", int, const void *, size_t)
  fault f = fault_of("write", fd);
  return f == FAILS ? -1 : real(fd, data, some_of(f, n));
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)
  fault f = fault_of("write", fd);
  return f == FAILS ? -1 : real(fd, data, some_of(f, n), offset);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset) { return pwrite(fd, data, n, offset); }

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset)
{
  REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t)
  fault f = fault_of("write", fd);
  if (f == IS_SHORT) return pwrite(fd, parts[0].iov_base, some_of(f, parts[0].iov_len), offset);
  return f == FAILS ? -1 : real(fd, parts, n, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset) { return pwritev(fd, parts, n, offset); }

ssize_t read(int fd, void *data, size_t n)
{
  REAL(ssize_t, "read", int, void *, size_t)
  fault f = fault_of("read", fd);
  return f == FAILS ? -1 : real(fd, data, some_of(f, n));
}

ssize_t pread(int fd, void *data, size_t n, off_t offset)
{
  REAL(ssize_t, "pread", int, void *, size_t, off_t)
  fault f = fault_of("read", fd);
  return f == FAILS ? -1 : real(fd, data, some_of(f, n), offset);
}

ssize_t pread64(int fd, void *data, size_t n, off64_t offset) { return pread(fd, data, n, offset); }

ssize_t preadv(int fd, const struct iovec *parts, int n, off_t offset)
{
  REAL(ssize_t, "preadv", int, const struct iovec *, int, off_t)
  fault f = fault_of("read", fd);
  if (f == IS_SHORT) return pread(fd, parts[0].iov_base, some_of(f, parts[0].iov_len), offset);
  return f == FAILS ? -1 : real(fd, parts, n, offset);
}

ssize_t preadv64(int fd, const struct iovec *parts, int n, off64_t offset) { return preadv(fd, parts, n, offset); }

int fsync(int fd)
{
  REAL(int, "fsync", int)
  return fault_of("fsync", fd) == FAILS ? -1 : real(fd);
}

int fdatasync(int fd)
{
  REAL(int, "fdatasync", int)
  return fault_of("fsync", fd) == FAILS ? -1 : real(fd);
}

int fallocate(int fd, int mode, off_t offset, off_t n)
{
  REAL(int, "fallocate", int, int, off_t, off_t)
  return fault_of("fallocate", fd) == FAILS ? -1 : real(fd, mode, offset, n);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t n) { return fallocate(fd, mode, offset, n); }

int rename(const char *from, const char *to)
{
  REAL(int, "rename", const char *, const char *)
  return is_asked("rename") && fault_of_path(to) == FAILS ? -1 : real(from, to);
}

int close(int fd)
{
  REAL(int, "close", int)
  fault f = fault_of("close", fd);
  int why = errno, code = real(fd);
  if (f != FAILS) return code;
  errno = why;
  return -1;
}

/* The mode stands only where a file may be made. */
static int open_by(int (*real)(const char *, int, ...), const char *path, int flags, va_list args)
{
  bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (writes && is_asked("open") && fault_of_path(path) == FAILS) return -1;
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? real(path, flags, va_arg(args, mode_t)) : real(path, flags);
}

int open(const char *path, int flags, ...)
{
  REAL(int, "open", const char *, int, ...)
  va_list args;
  va_start(args, flags);
  int fd = open_by(real, path, flags, args);
  va_end(args);
  return fd;
}

int open64(const char *path, int flags, ...)
{
  REAL(int, "open64", const char *, int, ...)
  va_list args;
  va_start(args, flags);
  int fd = open_by(real, path, flags, args);
  va_end(args);
  return fd;
}
