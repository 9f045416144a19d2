#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

gmf_status gmf_creation_status(int code)
{
  return code == ENOSPC || code == EDQUOT || code == EIO ? GMF_ERR_IO : GMF_ERR_CREATE;
}

static gmf_status sync_path(const char *path, int flags, gmf_error *err)
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

gmf_status gmf_sync_file(const char *path, gmf_error *err) { return sync_path(path, O_RDWR, err); }

gmf_status gmf_sync_folder_of(const char *path, gmf_error *err)
{
  char copy[PATH_MAX];
  snprintf(copy, sizeof copy, "%s", path);
  return sync_path(dirname(copy), O_RDONLY | O_DIRECTORY, err);
}
