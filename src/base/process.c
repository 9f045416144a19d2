#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CLOCK_SLACK_SECONDS = 60 };

/* The beginning of a small file as text, without the last newline; "" when it cannot be read. */
static void read_text(const char *path, char *out, size_t size)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, out, size - 1) : 0;
  if (fd >= 0) close(fd);
  out[n > 0 ? n : 0] = '\0';
  out[strcspn(out, "\n")] = '\0';
}

/* Clock ticks after boot at which a process began (field 22 of proc(5) stat; its name, field 2, may hold blanks and
 * brackets); -1 when it cannot be told. A process that has ended but was not waited for counts as ended. */
static int64_t ticks_of(int64_t pid, bool *ended)
{
  char path[64], text[1024], state = 'R';
  int64_t began = -1;
  snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
  read_text(path, text, sizeof text);
  const char *rest = strrchr(text, ')');
  if (rest == NULL || sscanf(rest + 1,
                             " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                             "%" SCNd64,
                             &state, &began) != 2)
    began = -1;
  *ended = state == 'Z' || state == 'X' || (kill((pid_t)pid, 0) != 0 && errno == ESRCH);
  return began;
}

gmf_process gmf_process_self(void)
{
  gmf_process p = {.pid = getpid()};
  bool ended = false;
  gethostname(p.host, sizeof p.host - 1);
  read_text("/proc/sys/kernel/random/boot_id", p.boot, sizeof p.boot);
  if (readlink("/proc/self/ns/pid", p.space, sizeof p.space - 1) < 0) p.space[0] = '\0';
  p.began = ticks_of(p.pid, &ended);
  return p;
}

gmf_process_state gmf_process_look(const gmf_process *p)
{
  gmf_process self = gmf_process_self();
  bool boots_known = p->boot[0] != '\0' && self.boot[0] != '\0', same_boot = strcmp(p->boot, self.boot) == 0;
  bool ended = false;
  if (strcmp(p->host, self.host) != 0) return GMF_PROCESS_ELSEWHERE;
  if (boots_known && !same_boot) return GMF_PROCESS_ENDED;
  if (strcmp(p->space, self.space) != 0) return GMF_PROCESS_ELSEWHERE;
  int64_t began = ticks_of(p->pid, &ended);
  bool is_another = began >= 0 && p->began >= 0 && began != p->began; /* the number was given out again */
  return ended || is_another ? GMF_PROCESS_ENDED : GMF_PROCESS_RUNS;
}

/* When the host started, in seconds since 1970; 0 where that is not known. */
static int64_t boot_time(void)
{
  char line[256];
  int64_t seconds = 0;
  FILE *file = fopen("/proc/stat", "re");
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "btime %" SCNd64, &seconds) == 1) break;
  if (file != NULL) fclose(file);
  return seconds;
}

bool gmf_process_may_have_written(int64_t pid, int64_t modified)
{
  bool ended = false;
  int64_t began = ticks_of(pid, &ended), boot = boot_time(), hertz = sysconf(_SC_CLK_TCK);
  if (ended) return false;
  return began < 0 || boot == 0 || hertz <= 0 || boot + began / hertz <= modified + CLOCK_SLACK_SECONDS;
}

double gmf_thread_seconds(void)
{
  struct timespec t = {0};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
