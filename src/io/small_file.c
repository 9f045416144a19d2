#include "io/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/lock.h"

gmf_status gmf_sync_path(const char *path, int flags, gmf_error *err)
{
  int fd = open(path, flags | O_CLOEXEC);
  bool is_folder = (flags & O_DIRECTORY) != 0;
  if (fd < 0 || (fsync(fd) != 0 && !(is_folder && errno == EINVAL))) { /* some file systems sync no folders */
    gmf_fail(err, GMF_ERR_IO, "%s: sync failed: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return GMF_ERR_IO;
  }
  close(fd);
  return GMF_OK;
}

gmf_status gmf_small_file_rename(const char *from, const char *to, gmf_error *err)
{
  char folder[PATH_MAX];
  if (rename(from, to) != 0)
    return gmf_fail(err, GMF_ERR_IO, "%s: cannot be renamed to %s: %s", from, to, strerror(errno));
  snprintf(folder, sizeof folder, "%s", to);
  return gmf_sync_path(dirname(folder), O_RDONLY | O_DIRECTORY, err);
}

gmf_status gmf_small_file_write(const char *path, const char *text, size_t n, gmf_error *err)
{
  char temporary[PATH_MAX + 8];
  snprintf(temporary, sizeof temporary, "%s.tmp", path);
  FILE *file = fopen(temporary, "we");
  if (file == NULL)
    return gmf_fail(err, gmf_creation_status(errno), "%s: cannot be made: %s", temporary, strerror(errno));
  bool good = fwrite(text, 1, n, file) == n && fflush(file) == 0 && fsync(fileno(file)) == 0;
  int reason = errno;
  good = fclose(file) == 0 && good;
  if (good) return gmf_small_file_rename(temporary, path, err);
  unlink(temporary);
  return gmf_fail(err, GMF_ERR_IO, "%s: cannot be written: %s", path, strerror(reason));
}
