#define GMF_IN_RUNTIME
#include "runtime/trace.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "runtime/collective.h"

static const char *const PHASE_NAMES[GMF_N_PHASES] = {
    [GMF_PHASE_OTHER] = "other",   [GMF_PHASE_READ] = "read",   [GMF_PHASE_MAP_IDS] = "map ids",
    [GMF_PHASE_SORT] = "sort",     [GMF_PHASE_GRAM] = "gram",   [GMF_PHASE_DISTRIBUTE] = "distribute",
    [GMF_PHASE_EXPAND] = "expand", [GMF_PHASE_SOLVE] = "solve", [GMF_PHASE_FOLD] = "fold",
    [GMF_PHASE_START] = "start",   [GMF_PHASE_SCORE] = "score", [GMF_PHASE_WRITE] = "write",
};

/* What is counted in a phase (gmf_trace_work), in millions a second. */
static const char *const RATE_NAMES[GMF_N_PHASES] = {
    [GMF_PHASE_READ] = "MB/s",        [GMF_PHASE_MAP_IDS] = "M ids/s",
    [GMF_PHASE_SORT] = "M ratings/s", [GMF_PHASE_DISTRIBUTE] = "M ratings/s",
    [GMF_PHASE_EXPAND] = "MB/s",      [GMF_PHASE_SOLVE] = "M ratings/s",
    [GMF_PHASE_FOLD] = "MB/s",        [GMF_PHASE_SCORE] = "M pairs/s",
    [GMF_PHASE_WRITE] = "MB/s",
};

const char *gmf_phase_name(gmf_phase phase) { return PHASE_NAMES[phase]; }

void gmf_trace_start(gmf_trace *trace)
{
  memset(trace, 0, sizeof *trace);
  trace->since = MPI_Wtime();
}

gmf_phase gmf_trace_phase(gmf_trace *trace, gmf_phase phase)
{
  if (trace == NULL) return GMF_PHASE_OTHER;
  double now = MPI_Wtime();
  gmf_phase before = trace->current;
  trace->seconds[before] += now - trace->since;
  trace->since = now;
  trace->current = phase;
  trace->calls[phase]++;
  gmf_beat_phase((int)phase);
  return before;
}

void gmf_trace_work(gmf_trace *trace, gmf_phase phase, int64_t n)
{
  if (trace != NULL) trace->work[phase] += n;
}

static void count_sent(gmf_trace *trace, int64_t bytes)
{
  if (trace->current == GMF_PHASE_EXPAND || trace->current == GMF_PHASE_FOLD) trace->work[trace->current] += bytes;
}

void gmf_trace_collective(gmf_trace *trace, int64_t bytes)
{
  if (trace == NULL) return;
  count_sent(trace, bytes);
  trace->n_collectives++;
  trace->collective_bytes += bytes;
}

void gmf_trace_exchange(gmf_trace *trace, int64_t bytes_sent)
{
  if (trace == NULL) return;
  count_sent(trace, bytes_sent);
  trace->n_exchanges++;
  trace->exchange_bytes += bytes_sent;
}

int64_t gmf_process_peak_bytes(void)
{
  FILE *file = fopen("/proc/self/status", "r");
  if (file == NULL) return 0;
  char line[256];
  int64_t kilobytes = 0;
  while (fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "VmHWM: %" SCNd64, &kilobytes) == 1) break;
  fclose(file);
  return kilobytes * 1024;
}

void gmf_trace_seconds(const gmf_trace *trace, double seconds[GMF_N_PHASES])
{
  memcpy(seconds, trace->seconds, sizeof trace->seconds);
  seconds[trace->current] += MPI_Wtime() - trace->since;
}

void gmf_trace_spread(MPI_Comm comm, const double *values, int n, gmf_spread *out)
{
  struct {
    double value;
    int rank;
  } mine[GMF_N_PHASES], largest[GMF_N_PHASES] = {{0, 0}};
  double least[GMF_N_PHASES] = {0}, sum[GMF_N_PHASES] = {0};
  int rank = 0, size = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  GMF_CHECK(n <= GMF_N_PHASES);
  for (int i = 0; i < n; i++) {
    mine[i].value = values[i];
    mine[i].rank = rank;
  }
  GMF_COLLECTIVE(comm, MPI_Reduce(values, least, n, MPI_DOUBLE, MPI_MIN, 0, comm));
  GMF_COLLECTIVE(comm, MPI_Reduce(values, sum, n, MPI_DOUBLE, MPI_SUM, 0, comm));
  GMF_COLLECTIVE(comm, MPI_Reduce(mine, largest, n, MPI_DOUBLE_INT, MPI_MAXLOC, 0, comm));
  for (int i = 0; i < n; i++) out[i] = (gmf_spread){least[i], sum[i] / size, largest[i].value, largest[i].rank};
}

void gmf_trace_gather(MPI_Comm comm, const double *values, int n, double *all)
{
  GMF_COLLECTIVE(comm, MPI_Gather(values, n, MPI_DOUBLE, all, n, MPI_DOUBLE, 0, comm));
}

/* On rank 0, in units of `unit`; rate: "" for none; bound: NULL for none. */
static void print_row(FILE *out, const char *name, int64_t calls, const gmf_spread *s, double unit, int digits,
                      const char *rate, const gmf_spread *bound)
{
  char count[24] = "", share[48] = "", line[160];
  if (out == NULL) return;
  if (calls >= 0) snprintf(count, sizeof count, "%" PRId64, calls);
  if (bound != NULL && bound->max > 0 && s->max > 0)
    snprintf(share, sizeof share, " %10.3f %5.0f%%", bound->max, 100 * bound->max / s->max);
  int n = snprintf(line, sizeof line, "%-14s %7s %10.*f %10.*f %10.*f  %-11d %17s%s", name, count, digits,
                   s->min / unit, digits, s->mean / unit, digits, s->max / unit, s->rank_of_max, rate, share);
  while (n > 0 && n < (int)sizeof line && line[n - 1] == ' ') n--;
  fprintf(out, "%.*s\n", n, line);
}

void gmf_trace_print(const gmf_trace *trace, MPI_Comm comm, FILE *out)
{
  double seconds[GMF_N_PHASES];
  gmf_spread spreads[GMF_N_PHASES], bounds[GMF_N_PHASES];
  int64_t calls[GMF_N_PHASES], work[GMF_N_PHASES];
  bool is_bounded = false;
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  if (rank != 0) out = NULL;
  gmf_trace_seconds(trace, seconds);
  memcpy(calls, trace->calls, sizeof calls);
  memcpy(work, trace->work, sizeof work);
  calls[GMF_PHASE_OTHER]++; /* what runs at the end */
  GMF_COLLECTIVE(comm, MPI_Allreduce(MPI_IN_PLACE, calls, GMF_N_PHASES, MPI_INT64_T, MPI_MAX, comm));
  GMF_COLLECTIVE(comm, MPI_Allreduce(MPI_IN_PLACE, work, GMF_N_PHASES, MPI_INT64_T, MPI_SUM, comm));
  gmf_trace_spread(comm, seconds, GMF_N_PHASES, spreads);
  gmf_trace_spread(comm, trace->bounds, GMF_N_PHASES, bounds);
  for (int p = 0; p < GMF_N_PHASES; p++) is_bounded = is_bounded || (rank == 0 && bounds[p].max > 0);
  if (out != NULL)
    fprintf(out, "%-14s %7s %10s %10s %10s  %-11s %17s%s\n", "phase", "calls", "min s", "mean s", "max s",
            "rank of max", "all ranks", is_bounded ? "    bound s  share" : "");
  for (int p = 1; p <= GMF_N_PHASES; p++) {
    int phase = p % GMF_N_PHASES; /* "other" comes last */
    char rate[32] = "";
    if (work[phase] > 0 && RATE_NAMES[phase] != NULL && rank == 0 && spreads[phase].max > 0)
      snprintf(rate, sizeof rate, "%.1f %s", (double)work[phase] / 1e6 / spreads[phase].max, RATE_NAMES[phase]);
    if (calls[phase] > 0) print_row(out, PHASE_NAMES[phase], calls[phase], &spreads[phase], 1, 3, rate, &bounds[phase]);
  }
  double rest[] = {(double)(trace->exchange_bytes + trace->collective_bytes), (double)gmf_process_peak_bytes()};
  gmf_trace_spread(comm, rest, 2, spreads);
  print_row(out, "sent MB", trace->n_exchanges + trace->n_collectives, &spreads[0], 1e6, 2, "", NULL);
  print_row(out, "peak memory MB", -1, &spreads[1], 1e6, 1, "", NULL);
}
