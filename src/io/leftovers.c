#include "io/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

gmf_status gmf_notes_add(gmf_notes *notes, gmf_error *err, const char *format, ...)
{
  char line[2 * PATH_MAX];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (n >= (int)sizeof line) n = (int)sizeof line - 1;
  gmf_status status = GMF_RESERVE(notes->text, notes->capacity, notes->n + n + 2, err);
  if (status != GMF_OK) return status;
  memcpy(notes->text + notes->n, line, (size_t)n);
  memcpy(notes->text + notes->n + n, "\n", 2);
  notes->n += n + 1;
  return GMF_OK;
}

void gmf_notes_free(gmf_notes *notes)
{
  gmf_free(notes->text);
  *notes = (gmf_notes){0};
}

bool gmf_temporary_name(const char *path, char *out, size_t size)
{
  gmf_process self = gmf_process_self();
  return snprintf(out, size, "%s.tmp.%s.%" PRId64, path, self.host, self.pid) < (int)size;
}

/* Takes BASE.tmp.HOST.PID apart; false for every other name. */
static bool parse_name(const char *name, const char *base, char *host, size_t size, int64_t *pid)
{
  size_t n = strlen(base);
  if (strncmp(name, base, n) != 0 || strncmp(name + n, ".tmp.", 5) != 0) return false;
  const char *begin = name + n + 5, *dot = strrchr(begin, '.');
  char *end = NULL;
  if (dot == NULL || dot == begin || dot[1] < '1' || dot[1] > '9' || dot - begin >= (ptrdiff_t)size) return false;
  errno = 0;
  *pid = strtoll(dot + 1, &end, 10);
  snprintf(host, size, "%.*s", (int)(dot - begin), begin);
  return errno == 0 && *end == '\0';
}

/* Whether the run that made a temporary file has ended. The lock is ours, so no process of this host that takes locks
 * writes the file; that there is none which could have is asked all the same. */
static bool is_leftover(const char *host, int64_t pid, int64_t modified, const gmf_lock_holder *died)
{
  gmf_process self = gmf_process_self();
  bool is_of_holder = died->process.pid == pid && strcmp(died->process.host, host) == 0;
  if (is_of_holder || strcmp(host, self.host) != 0) return is_of_holder;
  return pid == self.pid || !gmf_process_may_have_written(pid, modified);
}

static gmf_status judge(int folder, const char *shown_folder, const char *name, const char *host, int64_t pid,
                        const gmf_lock_holder *died, gmf_notes *notes, gmf_error *err)
{
  struct stat st;
  if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return GMF_OK;
  if (!is_leftover(host, pid, st.st_mtime, died))
    return gmf_notes_add(
        notes, err, "%s/%s stays: it is of a run on host %s that may still be going; if it is over, remove the file",
        shown_folder, name, host);
  if (unlinkat(folder, name, 0) != 0)
    return gmf_notes_add(notes, err, "%s/%s stays, left by a run that has ended: %s", shown_folder, name,
                         strerror(errno));
  return gmf_notes_add(notes, err, "removed %s/%s, left by a run that has ended", shown_folder, name);
}

gmf_status gmf_remove_leftovers(const char *path, const gmf_lock_holder *died, gmf_notes *notes, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char for_folder[PATH_MAX], for_base[PATH_MAX], who[256], host[256];
  snprintf(for_folder, sizeof for_folder, "%s", path);
  snprintf(for_base, sizeof for_base, "%s", path);
  const char *folder = dirname(for_folder), *base = basename(for_base);
  DIR *entries = opendir(folder);
  if (died->process.pid != 0) {
    gmf_lock_describe(died, who, sizeof who);
    GMF_TRY(gmf_notes_add(notes, err, "took over %s.lock, left by a run that has ended: %s", path, who));
  }
  /* A folder that may be written but not listed hides its leftovers; that is no reason not to write. */
  for (struct dirent *e = NULL; entries != NULL && (e = readdir(entries)) != NULL;) {
    int64_t pid = 0;
    if (parse_name(e->d_name, base, host, sizeof host, &pid))
      GMF_TRY(judge(dirfd(entries), folder, e->d_name, host, pid, died, notes, err));
  }
cleanup:
  if (entries != NULL) closedir(entries);
  return status;
}
