#define GMF_IN_RUNTIME
#include "runtime/trace.h"

#include <inttypes.h>
#include <string.h>

#include "runtime/collective.h"

static const char *const PHASE_NAMES[GMF_N_PHASES] = {
    [GMF_PHASE_OTHER] = "other",   [GMF_PHASE_READ] = "read",   [GMF_PHASE_MAP_IDS] = "map ids",
    [GMF_PHASE_SORT] = "sort",     [GMF_PHASE_GRAM] = "gram",   [GMF_PHASE_DISTRIBUTE] = "distribute",
    [GMF_PHASE_EXPAND] = "expand", [GMF_PHASE_SOLVE] = "solve", [GMF_PHASE_FOLD] = "fold",
    [GMF_PHASE_SCORE] = "score",   [GMF_PHASE_WRITE] = "write",
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

void gmf_trace_collective(gmf_trace *trace, int64_t bytes)
{
  if (trace == NULL) return;
  trace->n_collectives++;
  trace->collective_bytes += bytes;
}

void gmf_trace_exchange(gmf_trace *trace, int64_t bytes_sent)
{
  if (trace == NULL) return;
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

/* Collective. On rank 0: minimum, mean, maximum of value, and the rank of the maximum. */
typedef struct spread {
  double min, mean, max;
  int rank_of_max;
} spread;

static spread spread_of(double value, MPI_Comm comm)
{
  int rank = 0, size = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  struct {
    double value;
    int rank;
  } mine = {value, rank}, largest = {0, 0};
  spread s = {0};
  GMF_COLLECTIVE(comm, MPI_Reduce(&value, &s.min, 1, MPI_DOUBLE, MPI_MIN, 0, comm));
  GMF_COLLECTIVE(comm, MPI_Reduce(&value, &s.mean, 1, MPI_DOUBLE, MPI_SUM, 0, comm));
  GMF_COLLECTIVE(comm, MPI_Reduce(&mine, &largest, 1, MPI_DOUBLE_INT, MPI_MAXLOC, 0, comm));
  s.mean /= size;
  s.max = largest.value;
  s.rank_of_max = largest.rank;
  return s;
}

void gmf_trace_print(const gmf_trace *trace, MPI_Comm comm, FILE *out)
{
  gmf_trace closed = *trace;
  gmf_trace_phase(&closed, GMF_PHASE_OTHER);
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  if (rank != 0) out = NULL;
  if (out != NULL)
    fprintf(out, "%-14s %7s %10s %10s %10s  rank of max\n", "phase", "calls", "min s", "mean s", "max s");
  for (int p = 1; p <= GMF_N_PHASES; p++) {
    int phase = p % GMF_N_PHASES; /* "other" comes last */
    int64_t calls = closed.calls[phase];
    GMF_COLLECTIVE(comm, MPI_Allreduce(MPI_IN_PLACE, &calls, 1, MPI_INT64_T, MPI_MAX, comm));
    if (calls == 0) continue;
    spread s = spread_of(closed.seconds[phase], comm);
    if (out != NULL)
      fprintf(out, "%-14s %7" PRId64 " %10.3f %10.3f %10.3f  %d\n", PHASE_NAMES[phase], calls, s.min, s.mean, s.max,
              s.rank_of_max);
  }
  spread sent = spread_of((double)(closed.exchange_bytes + closed.collective_bytes), comm);
  spread memory = spread_of((double)gmf_process_peak_bytes(), comm);
  if (out != NULL) {
    fprintf(out, "%-14s %7" PRId64 " %10.2f %10.2f %10.2f  %d\n", "sent MB", closed.n_exchanges + closed.n_collectives,
            sent.min / 1e6, sent.mean / 1e6, sent.max / 1e6, sent.rank_of_max);
    fprintf(out, "%-14s %7s %10.1f %10.1f %10.1f  %d\n", "peak memory MB", "", memory.min / 1e6, memory.mean / 1e6,
            memory.max / 1e6, memory.rank_of_max);
  }
}
