#include "io/small_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/disk.h"

gmf_status gmf_small_file_rename(const char *from, const char *to, gmf_error *err)
{
  if (rename(from, to) != 0)
    return gmf_fail(err, GMF_ERR_IO, "%s: cannot be renamed to %s: %s", from, to, strerror(errno));
  return gmf_sync_folder_of(to, err);
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
