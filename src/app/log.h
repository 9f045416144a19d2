/*
 * What a run says while it works: a human log on standard error and, with --log-json, one JSON object a line. Rank 0
 * alone writes; the other ranks' calls do nothing. Local.
 */
#ifndef GMF_APP_LOG_H
#define GMF_APP_LOG_H

#include <jansson.h>
#include <stdio.h>

#include "app/config.h"

typedef struct gmf_log {
  FILE *human;       /* borrowed: stderr; NULL when quiet or not rank 0 */
  FILE *json;        /* owned; NULL where not asked for */
  bool live;         /* somebody watches: a line that is written over may tell how far a sweep has come */
  bool for_machines; /* a JSON log is written, by rank 0; the same on all ranks */
  double phase_seconds[GMF_N_PHASES]; /* of this rank when gmf_log_phases was called last */
  double start;
  double last_live; /* when gmf_log_live wrote */
} gmf_log;

/* Collective. Opens the JSON log for appending, and writes its first event; GMF_ERR_CREATE. */
gmf_status gmf_log_open(const gmf_grid *grid, const char *verb, const gmf_config *config, gmf_log *log, gmf_error *err);
void gmf_log_close(gmf_log *log);

/* A line of the human log. */
void gmf_log_line(const gmf_log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Several lines of it, each ending in a newline. */
void gmf_log_lines(const gmf_log *log, const char *lines);

/* A line that the next one writes over; only where somebody watches, and at most five times a second. */
void gmf_log_live(gmf_log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line of the JSON log: the object, with "event" and "elapsed" (seconds since gmf_log_open) added. Takes the
 * reference; a NULL object counts as empty. */
void gmf_log_event(const gmf_log *log, const char *event, json_t *object);

/* Collective. Where a JSON log is written: the seconds of phases since the last call, as the object "phases" of
 * log_schema.c, on rank 0. Else NULL, and no communication. */
json_t *gmf_log_phases(gmf_log *log, const gmf_grid *grid);

/* "8.3 s", "42 s", "3m07s", "2h15m" */
void gmf_duration_text(double seconds, char *out, size_t size);

/* The options in force: an echo of the table. */
void gmf_log_config(const gmf_log *log, gmf_verb verb, const gmf_config *config);

/* Says that a model of so many bytes is complete. */
void gmf_log_model(const gmf_log *log, const char *path, int64_t bytes);

/* Collective. The end of the JSON log, and with_table the table of phases for people. */
gmf_status gmf_log_end(const gmf_log *log, const gmf_grid *grid, gmf_status status, bool with_table, gmf_error *err);

/* "1,234,567" in one of a few static buffers. */
const char *gmf_thousands(int64_t n);

#endif
