#include "app/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCHEMA_VERSION = 1 };

/* To the first column, and nothing right of it (ECMA-48 EL). */
static const char CLEAR_LINE[] = "\r\033[K";

gmf_status gmf_log_open(const gmf_grid *grid, const gmf_config *config, gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *log = (gmf_log){.human = grid->rank == 0 && !config->quiet ? stderr : NULL, .start = MPI_Wtime()};
  /* Under mpirun standard error is a pipe, whoever watches: the launcher's caller can say so. */
  const char *asked = getenv("GRIDMF_PROGRESS");
  log->live = log->human != NULL && (asked != NULL ? strcmp(asked, "0") != 0 : isatty(fileno(stderr)));
  if (grid->rank == 0 && config->log_json[0] != '\0') {
    log->json = fopen(config->log_json, "a");
    if (log->json == NULL)
      status = gmf_fail(err, GMF_ERR_CREATE, "--log-json %s: %s", config->log_json, strerror(errno));
  }
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
        json_pack("{s:s, s:i, s:f}", "event", event, "schema", SCHEMA_VERSION, "elapsed", MPI_Wtime() - log->start);
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

void gmf_log_end(const gmf_log *log, const gmf_grid *grid, gmf_status status, bool with_table)
{
  if (with_table && log->human != NULL) fputc('\n', log->human);
  if (with_table) gmf_trace_print(grid->trace, grid->all, log->human);
  json_t *phases = json_object();
  for (int p = 0; p < GMF_N_PHASES; p++)
    if (grid->trace->calls[p] > 0)
      json_object_set_new(phases, gmf_phase_name((gmf_phase)p), json_real(grid->trace->seconds[p]));
  int64_t peak = gmf_process_peak_bytes();
  gmf_max_i64(grid, &peak, 1);
  gmf_log_event(log, "end",
                json_pack("{s:i, s:o, s:I, s:I, s:I}", "status", (int)status, "phases", phases, "peak_bytes_per_rank",
                          (json_int_t)peak, "exchange_bytes", (json_int_t)grid->trace->exchange_bytes, "collectives",
                          (json_int_t)grid->trace->n_collectives));
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
