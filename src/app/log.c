#include "app/log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/log_schema.h"
#include "app/provenance.h"
#include "base/build_info.h"
#include "base/memory.h"

/* To the first column, and nothing right of it (ECMA-48 EL). */
static const char CLEAR_LINE[] = "\r\033[K";

static void log_start(const gmf_log *log, const gmf_grid *grid, const char *verb)
{
  char host[256], date[32];
  if (log->json == NULL) return;
  gmf_provenance_host(host, sizeof host);
  gmf_provenance_date(date, sizeof date);
  json_t *event = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "verb", verb, "version", GMF_BUILD.version, "git_commit",
                            GMF_BUILD.git_commit, "ranks", grid->size, "host", host, "date", date);
  if (getenv("SLURM_JOB_ID") != NULL) json_object_set_new(event, "slurm_job_id", json_string(getenv("SLURM_JOB_ID")));
  gmf_log_event(log, "start", event);
}

gmf_status gmf_log_open(const gmf_grid *grid, const char *verb, const gmf_config *config, gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *log = (gmf_log){.human = grid->rank == 0 && !config->quiet ? stderr : NULL, .start = MPI_Wtime()};
  log->last_live = -INFINITY;
  log->for_machines = config->log_json[0] != '\0';
  gmf_trace_seconds(grid->trace, log->phase_seconds);
  /* Under mpirun standard error is a pipe, whoever watches: the launcher's caller can say so. */
  const char *asked = getenv("GRIDMF_PROGRESS");
  log->live = log->human != NULL && (asked != NULL ? strcmp(asked, "0") != 0 : isatty(fileno(stderr)));
  if (grid->rank == 0 && log->for_machines) {
    log->json = fopen(config->log_json, "ae");
    if (log->json == NULL)
      status = gmf_fail(err, GMF_ERR_CREATE, "--log-json %s: %s", config->log_json, strerror(errno));
  }
  log_start(log, grid, verb);
  return gmf_agree(grid, status, err);
}

void gmf_log_close(gmf_log *log)
{
  if (log->json != NULL) fclose(log->json);
  log->json = NULL;
}

void gmf_log_line(const gmf_log *log, const char *format, ...)
{
  if (log->human == NULL) return;
  va_list args;
  va_start(args, format);
  if (log->live) fputs(CLEAR_LINE, log->human);
  vfprintf(log->human, format, args);
  va_end(args);
  fputc('\n', log->human);
  fflush(log->human);
}

void gmf_log_lines(const gmf_log *log, const char *lines)
{
  for (const char *end = NULL; (end = strchr(lines, '\n')) != NULL; lines = end + 1)
    gmf_log_line(log, "%.*s", (int)(end - lines), lines);
}

void gmf_log_live(gmf_log *log, const char *format, ...)
{
  double now = MPI_Wtime();
  if (!log->live || now - log->last_live < 0.2) return;
  log->last_live = now;
  va_list args;
  va_start(args, format);
  fputs(CLEAR_LINE, log->human);
  vfprintf(log->human, format, args);
  va_end(args);
  fflush(log->human);
}

void gmf_log_event(const gmf_log *log, const char *event, json_t *object)
{
  if (log->json != NULL) {
    json_t *line =
        json_pack("{s:s, s:i, s:f}", "event", event, "schema", GMF_LOG_SCHEMA, "elapsed", MPI_Wtime() - log->start);
    if (object != NULL) json_object_update(line, object);
    json_dumpf(line, log->json, JSON_COMPACT | JSON_REAL_PRECISION(12));
    fputc('\n', log->json);
    fflush(log->json);
    json_decref(line);
  }
  json_decref(object);
}

void gmf_log_config(const gmf_log *log, gmf_verb verb, const gmf_config *config)
{
  json_t *object = json_object();
  for (int i = 0; i < GMF_OPTIONS.n; i++) {
    const gmf_option *o = &GMF_OPTIONS.options[i];
    char value[GMF_PATH_BYTES + 8];
    if (!gmf_option_applies(o, verb, config)) continue;
    gmf_option_text(o, config, value, sizeof value);
    if (value[0] == '\0') continue;
    json_object_set_new(object, o->name, json_string(value));
    if (o->is_model) gmf_log_line(log, "  %-14s %s", o->name, value);
  }
  gmf_log_event(log, "config", json_pack("{s:o}", "options", object));
}

/* ---- phases ------------------------------------------------------------------------------------------------------ */

json_t *gmf_log_phases(gmf_log *log, const gmf_grid *grid)
{
  double now[GMF_N_PHASES], since[GMF_N_PHASES];
  gmf_spread spreads[GMF_N_PHASES];
  if (!log->for_machines) return NULL;
  gmf_trace_seconds(grid->trace, now);
  for (int p = 0; p < GMF_N_PHASES; p++) since[p] = now[p] - log->phase_seconds[p];
  memcpy(log->phase_seconds, now, sizeof now);
  gmf_trace_spread(grid->all, since, GMF_N_PHASES, spreads);
  if (log->json == NULL) return NULL;
  json_t *phases = json_object();
  for (int p = 0; p < GMF_N_PHASES; p++)
    if (spreads[p].max > 0)
      json_object_set_new(phases, gmf_phase_name((gmf_phase)p),
                          json_pack("{s:f, s:f, s:f, s:i}", "min", spreads[p].min, "mean", spreads[p].mean, "max",
                                    spreads[p].max, "rank_of_max", spreads[p].rank_of_max));
  return phases;
}

/* Column `at` of all [n_ranks][n_columns] as an array. */
static json_t *column(const double *all, int n_ranks, int n_columns, int at, bool whole)
{
  json_t *array = json_array();
  for (int r = 0; r < n_ranks; r++) {
    double value = all[(int64_t)r * n_columns + at];
    json_array_append_new(array, whole ? json_integer((json_int_t)value) : json_real(value));
  }
  return array;
}

/* Collective. What every rank did, rank by rank. */
static gmf_status log_ranks(const gmf_log *log, const gmf_grid *grid, gmf_status run_status, gmf_error *err)
{
  enum { SENT = GMF_N_PHASES, PEAK, N_COLUMNS };
  gmf_status status = GMF_OK;
  double mine[N_COLUMNS], *all = NULL;
  const gmf_trace *t = grid->trace;
  gmf_trace_seconds(t, mine);
  mine[SENT] = (double)(t->exchange_bytes + t->collective_bytes);
  mine[PEAK] = (double)gmf_process_peak_bytes();
  GMF_TRY(gmf_agree(grid, grid->rank == 0 ? GMF_NEW(all, (int64_t)grid->size * N_COLUMNS, err) : GMF_OK, err));
  gmf_trace_gather(grid->all, mine, N_COLUMNS, all);
  if (log->json == NULL) goto cleanup;
  json_t *phases = json_object();
  double peak = 0;
  for (int p = 0; p < GMF_N_PHASES; p++) {
    double most = 0;
    for (int r = 0; r < grid->size; r++) most = fmax(most, all[(int64_t)r * N_COLUMNS + p]);
    if (most > 0)
      json_object_set_new(phases, gmf_phase_name((gmf_phase)p), column(all, grid->size, N_COLUMNS, p, false));
  }
  for (int r = 0; r < grid->size; r++) peak = fmax(peak, all[(int64_t)r * N_COLUMNS + PEAK]);
  gmf_log_event(
      log, "end",
      json_pack("{s:i, s:o, s:o, s:o, s:I, s:I, s:I}", "status", (int)run_status, "phases", phases, "sent_bytes",
                column(all, grid->size, N_COLUMNS, SENT, true), "peak_bytes",
                column(all, grid->size, N_COLUMNS, PEAK, true), "peak_bytes_per_rank", (json_int_t)peak,
                "exchange_bytes", (json_int_t)t->exchange_bytes, "collectives", (json_int_t)t->n_collectives));
cleanup:
  gmf_free(all);
  return status;
}

void gmf_log_model(const gmf_log *log, const char *path, int64_t bytes)
{
  gmf_log_line(log, "wrote %s: %.1f MB, verified by reading back", path, (double)bytes / 1e6);
  gmf_log_event(log, "model", json_pack("{s:s, s:I}", "path", path, "bytes", (json_int_t)bytes));
}

gmf_status gmf_log_end(const gmf_log *log, const gmf_grid *grid, gmf_status status, bool with_table, gmf_error *err)
{
  if (with_table && log->human != NULL) fputc('\n', log->human);
  if (with_table) gmf_trace_print(grid->trace, grid->all, log->human);
  return log->for_machines ? log_ranks(log, grid, status, err) : GMF_OK;
}

/* ---- numbers for people ------------------------------------------------------------------------------------------ */

void gmf_duration_text(double seconds, char *out, size_t size)
{
  int64_t s = (int64_t)(seconds + 0.5);
  if (seconds < 10)
    snprintf(out, size, "%.1f s", seconds);
  else if (s < 60)
    snprintf(out, size, "%" PRId64 " s", s);
  else if (s < 3600)
    snprintf(out, size, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
  else
    snprintf(out, size, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
}

const char *gmf_thousands(int64_t n)
{
  static char buffers[8][32];
  static int next;
  char digits[24], *out = buffers[next++ % 8];
  int length = snprintf(digits, sizeof digits, "%" PRId64, n), at = 0;
  for (int i = 0; i < length; i++) {
    out[at++] = digits[i];
    int left = length - 1 - i;
    if (left > 0 && left % 3 == 0 && digits[i] != '-') out[at++] = ',';
  }
  out[at] = '\0';
  return out;
}
