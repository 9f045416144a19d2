/*
 * Preloaded into a run to make its I/O fail: from call number FAULT_AFTER on, write, pwrite, pwritev (with ENOSPC) or
 * fsync (with EIO; FAULT_CALL=fsync) on files whose path contains FAULT_PATH fail on rank FAULT_RANK.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* The next definition of a function after this library's. */
#define REAL(result, name, ...)            \
  static result (*real)(__VA_ARGS__);      \
  if (real == NULL) {                      \
    void *symbol = dlsym(RTLD_NEXT, name); \
    memcpy(&real, &symbol, sizeof real);   \
  }

static bool is_target(int fd)
{
  char link[64], path[PATH_MAX];
  const char *wanted = getenv("FAULT_PATH"), *rank = getenv("FAULT_RANK"), *mine = getenv("OMPI_COMM_WORLD_RANK");
  if (wanted == NULL || rank == NULL || (mine != NULL && strcmp(rank, mine) != 0)) return false;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  path[n < 0 ? 0 : n] = '\0';
  return strstr(path, wanted) != NULL;
}

static bool fails(int fd, bool is_sync)
{
  static atomic_long calls;
  const char *after = getenv("FAULT_AFTER"), *call = getenv("FAULT_CALL");
  bool wanted = call != NULL && strcmp(call, "fsync") == 0;
  if (after == NULL || wanted != is_sync || !is_target(fd)) return false;
  errno = is_sync ? EIO : ENOSPC;
  return atomic_fetch_add(&calls, 1) >= atol(after);
}

ssize_t write(int fd, const void *data, size_t n)
{
  REAL(ssize_t, "write", int, const void *, size_t)
  return fails(fd, false) ? -1 : real(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)
  return fails(fd, false) ? -1 : real(fd, data, n, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset) { return pwrite(fd, data, n, offset); }

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset)
{
  REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t)
  return fails(fd, false) ? -1 : real(fd, parts, n, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset) { return pwritev(fd, parts, n, offset); }

int fsync(int fd)
{
  REAL(int, "fsync", int)
  return fails(fd, true) ? -1 : real(fd);
}
