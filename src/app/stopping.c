#include "app/stopping.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t signalled;

static void note_signal(int number)
{
  (void)number;
  signalled = 1;
}

double gmf_monotonic_seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void gmf_stopping_start(gmf_stopping *s, double max_seconds, const char *file)
{
  static const int SIGNALS[] = {SIGUSR1, SIGUSR2, SIGXCPU};
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART; /* a signal during a write must not tear it */
  sigemptyset(&action.sa_mask);
  for (size_t j = 0; j < sizeof SIGNALS / sizeof *SIGNALS; j++) sigaction(SIGNALS[j], &action, NULL);
  *s = (gmf_stopping){.max_seconds = max_seconds, .begin = gmf_monotonic_seconds(), .file = file};
}

gmf_stop_reason gmf_stopping_decide(const gmf_grid *grid, const gmf_stopping *s)
{
  int64_t reason = signalled ? GMF_STOP_SIGNAL : GMF_STOP_NONE;
  if (grid->rank == 0 && reason == GMF_STOP_NONE) {
    double end = gmf_monotonic_seconds() - s->begin + s->longest_sweep + 2 * s->longest_writing;
    if (s->max_seconds > 0 && end > s->max_seconds) reason = GMF_STOP_TIME;
    if (s->file != NULL && access(s->file, F_OK) == 0) reason = GMF_STOP_FILE;
  }
  gmf_max_i64(grid, &reason, 1);
  return (gmf_stop_reason)reason;
}

const char *gmf_stop_reason_text(gmf_stop_reason reason)
{
  static const char *const TEXTS[] = {"nothing", "the STOP file", "--max-time", "a signal"};
  return TEXTS[reason];
}
