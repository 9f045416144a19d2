#include "io/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/disk.h"

enum { MAX_LINKS = 40 };

/*
 * Where `path` leads in the end, so that all names of a file share its lock, and a link is not replaced by the file. A
 * link to a file that is not there yet is followed by hand: realpath resolves what exists.
 */
static gmf_status resolve(const char *path, char *out, size_t size, gmf_error *err)
{
  char target[PATH_MAX], copy[PATH_MAX], *real = realpath(path, NULL);
  int n = snprintf(out, size, "%s", real != NULL ? real : path);
  free(real);
  for (int links = 0; n < (int)size && links < MAX_LINKS; links++) {
    ssize_t length = readlink(out, target, sizeof target - 1);
    if (length < 0) return GMF_OK;
    target[length] = '\0';
    snprintf(copy, sizeof copy, "%s", out);
    n = target[0] == '/' ? snprintf(out, size, "%s", target) : snprintf(out, size, "%s/%s", dirname(copy), target);
  }
  return gmf_fail(err, GMF_ERR_CREATE, n >= (int)size ? "the output path is too long" : "%s: too many symbolic links",
                  path);
}

/* target: where `path` leads. */
static gmf_status check_folder(const char *path, const char *target, gmf_error *err)
{
  char copy[PATH_MAX];
  struct stat st;
  snprintf(copy, sizeof copy, "%s", target);
  const char *folder = dirname(copy);
  if (stat(folder, &st) != 0)
    return gmf_fail(err, GMF_ERR_CREATE, "%s: cannot be created: folder %s: %s", path, folder, strerror(errno));
  if (!S_ISDIR(st.st_mode))
    return gmf_fail(err, GMF_ERR_CREATE, "%s: cannot be created: %s is not a folder", path, folder);
  if (access(folder, W_OK | X_OK) != 0)
    return gmf_fail(err, GMF_ERR_CREATE, "%s: cannot be created in %s: %s", path, folder, strerror(errno));
  if (stat(target, &st) == 0 && !S_ISREG(st.st_mode)) /* the finished file would replace a device or a pipe */
    return gmf_fail(err, GMF_ERR_CREATE, "%s: is a %s; name a file", path,
                    S_ISDIR(st.st_mode) ? "folder" : "special file");
  return GMF_OK;
}

/* The temporary file, still empty. */
static gmf_status make_temporary(gmf_output *o, const char *path, gmf_error *err)
{
  if (!gmf_temporary_name(o->path, o->temporary, sizeof o->temporary))
    return gmf_fail(err, GMF_ERR_CREATE, "the output path is too long");
  int fd = open(o->temporary, O_RDWR | O_CREAT | O_EXCL, 0666);
  if (fd < 0) return gmf_fail(err, gmf_creation_status(errno), "%s: cannot be created: %s", path, strerror(errno));
  close(fd);
  o->exists = true;
  return GMF_OK;
}

gmf_status gmf_output_open(gmf_output *o, const char *path, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_lock_holder died;
  GMF_TRY(resolve(path, o->path, sizeof o->path, err));
  GMF_TRY(check_folder(path, o->path, err));
  GMF_TRY(gmf_lock_take(o->path, path, &o->lock, &died, err));
  GMF_TRY(gmf_remove_leftovers(o->path, &died, &o->notes, err));
  GMF_TRY(make_temporary(o, path, err));
cleanup:
  return status;
}

gmf_status gmf_outputs_commit(gmf_output *const *outputs, int n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int i = 0; i < n; i++) {
    gmf_output *o = outputs[i];
    if (rename(o->temporary, o->path) != 0)
      GMF_TRY(gmf_fail(err, GMF_ERR_CREATE, "%s: cannot be put in place: %s", o->path, strerror(errno)));
    o->exists = false;
  }
  for (int i = 0; i < n; i++) {
    GMF_TRY(gmf_sync_folder_of(outputs[i]->path, err));
  }
cleanup:
  return status;
}

void gmf_output_close(gmf_output *o)
{
  if (o->exists) unlink(o->temporary);
  o->exists = false;
  gmf_lock_release(&o->lock);
  gmf_notes_free(&o->notes);
}
