#include "app/sweep_results.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/small_file.h"

/* ---- one point --------------------------------------------------------------------------------------------------- */

bool gmf_sweep_is_better(const gmf_metrics *metrics, double value, double other)
{
  if (isnan(value) || isnan(other)) return !isnan(value);
  return gmf_metric_is_error(metrics->list[0].kind) ? value < other : value > other;
}

static double number_of(const json_t *object, const char *name)
{
  const json_t *value = json_object_get(object, name);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

double gmf_sweep_value(const gmf_sweep_results *r, const json_t *point)
{
  return number_of(json_object_get(point, "metrics"), r->metrics->list[0].name);
}

json_t *gmf_sweep_option_json(const gmf_option *o, const gmf_config *config)
{
  const void *value = (const char *)config + o->offset;
  char text[GMF_PATH_BYTES];
  if (o->kind == GMF_OPT_INT) return json_integer(*(const int64_t *)value);
  if (o->kind == GMF_OPT_REAL && isfinite(*(const double *)value)) return json_real(*(const double *)value);
  if (o->kind == GMF_OPT_FLAG) return json_boolean(*(const bool *)value);
  gmf_option_text(o, config, text, sizeof text);
  return json_string(text);
}

/* A value of an option or a metric as people and csv have it; "" for none. */
static void value_text(const json_t *value, char *out, size_t size)
{
  out[0] = '\0';
  if (json_is_integer(value)) snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  if (json_is_real(value)) snprintf(out, size, "%.9g", json_real_value(value));
  if (json_is_boolean(value)) snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
  if (json_is_string(value)) snprintf(out, size, "%s", json_string_value(value));
}

void gmf_sweep_describe(const gmf_sweep_results *r, const json_t *point, char *out, size_t size)
{
  const char *name = json_string_value(json_object_get(point, "name"));
  size_t at = 0;
  out[0] = '\0';
  if (name != NULL && name[0] != '\0') at += (size_t)snprintf(out, size, "[%s]", name);
  for (int v = 0; v < r->n_varied && at < size; v++) {
    char text[128];
    value_text(json_object_get(json_object_get(point, "options"), r->varied[v]->name), text, sizeof text);
    if (text[0] == '\0') continue; /* means nothing for this point's algorithm */
    at += (size_t)snprintf(out + at, size - at, "%s%s %s", at > 0 ? ", " : "", r->varied[v]->name, text);
  }
}

/* ---- all points -------------------------------------------------------------------------------------------------- */

/* A point and what it is ordered by. */
typedef struct entry {
  json_t *point;
  double key; /* less is better */
  json_int_t number;
} entry;

static int best_first(const void *a, const void *b)
{
  const entry *x = a, *y = b;
  if (isnan(x->key) != isnan(y->key)) return isnan(x->key) - isnan(y->key);
  if (x->key != y->key && !isnan(x->key)) return x->key < y->key ? -1 : 1;
  return (x->number > y->number) - (x->number < y->number);
}

gmf_status gmf_sweep_rank(gmf_sweep_results *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  entry *entries = NULL;
  size_t n = json_array_size(r->points);
  bool less = gmf_metric_is_error(r->metrics->list[0].kind);
  json_t *ranked = json_array();
  GMF_TRY(GMF_NEW(entries, (int64_t)n, err));
  for (size_t i = 0; i < n; i++) {
    json_t *point = json_array_get(r->points, i);
    double value = gmf_sweep_value(r, point);
    entries[i] = (entry){point, less ? value : -value, json_integer_value(json_object_get(point, "point"))};
  }
  qsort(entries, n, sizeof *entries, best_first);
  for (size_t i = 0; i < n; i++) json_array_append(ranked, entries[i].point);
  json_decref(r->points);
  r->points = ranked;
  ranked = NULL;
cleanup:
  json_decref(ranked);
  gmf_free(entries);
  return status;
}

void gmf_sweep_results_free(gmf_sweep_results *r)
{
  json_decref(r->points);
  r->points = NULL;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* A csv field: quoted where it has to be (RFC 4180). */
static void put_field(FILE *out, const char *text, const char *end)
{
  bool quoted = strpbrk(text, ",\"\r\n") != NULL;
  if (quoted) fputc('"', out);
  for (const char *c = text; *c != '\0'; c++) {
    if (*c == '"') fputc('"', out);
    fputc(*c, out);
  }
  fprintf(out, "%s%s", quoted ? "\"" : "", end);
}

static void put_value(FILE *out, const json_t *value, const char *end)
{
  char text[1200];
  value_text(value, text, sizeof text);
  put_field(out, text, end);
}

static void put_csv(const gmf_sweep_results *r, FILE *out)
{
  static const char *const LAST[] = {"sweeps", "model_sweep", "objective", "seconds", "ranks", "exit_code", "error"};
  enum { N_LAST = sizeof LAST / sizeof *LAST };
  fprintf(out, "rank,point,id,name,status");
  for (int m = 0; m < r->metrics->n; m++) fprintf(out, ",%s", r->metrics->list[m].name);
  for (int v = 0; v < r->n_varied; v++) fprintf(out, ",%s", r->varied[v]->name);
  for (int l = 0; l < N_LAST; l++) fprintf(out, ",%s", LAST[l]);
  fputc('\n', out);
  for (size_t i = 0; i < json_array_size(r->points); i++) {
    const json_t *p = json_array_get(r->points, i);
    fprintf(out, "%zu,", i + 1);
    put_value(out, json_object_get(p, "point"), ",");
    put_value(out, json_object_get(p, "id"), ",");
    put_value(out, json_object_get(p, "name"), ",");
    put_value(out, json_object_get(p, "status"), ",");
    for (int m = 0; m < r->metrics->n; m++)
      put_value(out, json_object_get(json_object_get(p, "metrics"), r->metrics->list[m].name), ",");
    for (int v = 0; v < r->n_varied; v++)
      put_value(out, json_object_get(json_object_get(p, "options"), r->varied[v]->name), ",");
    for (int l = 0; l < N_LAST; l++) put_value(out, json_object_get(p, LAST[l]), l + 1 < N_LAST ? "," : "\n");
  }
}

static void put_jsonl(const gmf_sweep_results *r, FILE *out)
{
  for (size_t i = 0; i < json_array_size(r->points); i++) {
    json_dumpf(json_array_get(r->points, i), out, JSON_COMPACT | JSON_REAL_PRECISION(12));
    fputc('\n', out);
  }
}

static gmf_status write_one(const gmf_sweep_results *r, const char *folder, const char *name,
                            void (*put)(const gmf_sweep_results *, FILE *), gmf_error *err)
{
  char path[GMF_PATH_BYTES + 32], *text = NULL;
  size_t n = 0;
  FILE *memory = open_memstream(&text, &n);
  if (memory == NULL) return gmf_out_of_memory(err, 1, 1, name);
  put(r, memory);
  bool good = fclose(memory) == 0;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  gmf_status status = good ? gmf_small_file_write(path, text, n, err) : gmf_out_of_memory(err, (int64_t)n, 1, name);
  free(text);
  return status;
}

gmf_status gmf_sweep_write(const gmf_sweep_results *r, const char *folder, gmf_error *err)
{
  gmf_status status = write_one(r, folder, "results.jsonl", put_jsonl, err);
  return status == GMF_OK ? write_one(r, folder, "results.csv", put_csv, err) : status;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* A column's text of a point. Columns: rank, metrics, name and varied options, sweeps, seconds. */
static void cell(const gmf_sweep_results *r, int column, size_t i, char *out, size_t size)
{
  const json_t *p = json_array_get(r->points, i);
  int m = column - 1, v = m - r->metrics->n, last = v - r->n_varied;
  if (column == 0)
    snprintf(out, size, "%zu", i + 1);
  else if (m < r->metrics->n) {
    double value = number_of(json_object_get(p, "metrics"), r->metrics->list[m].name);
    snprintf(out, size, isnan(value) ? "-" : "%.5f", value);
  } else if (v < r->n_varied)
    value_text(json_object_get(json_object_get(p, "options"), r->varied[v]->name), out, size);
  else if (last == 0)
    value_text(json_object_get(p, "model_sweep"), out, size);
  else
    snprintf(out, size, "%.2f", number_of(p, "seconds"));
}

static const char *heading(const gmf_sweep_results *r, int column)
{
  int m = column - 1, v = m - r->metrics->n, last = v - r->n_varied;
  if (column == 0) return "rank";
  if (m < r->metrics->n) return r->metrics->list[m].name;
  if (v < r->n_varied) return r->varied[v]->name;
  return last == 0 ? "sweep" : "seconds";
}

/* Points whose metric is no number stand below the table, with the reason. */
static void print_failed(const gmf_sweep_results *r, FILE *out)
{
  char line[512];
  for (size_t i = 0; i < json_array_size(r->points); i++) {
    const json_t *p = json_array_get(r->points, i);
    if (!isnan(gmf_sweep_value(r, p))) continue;
    const char *error = json_string_value(json_object_get(p, "error"));
    gmf_sweep_describe(r, p, line, sizeof line);
    fprintf(out, "failed: %s: %s\n", line, error != NULL ? error : "the metric is not a number");
  }
}

void gmf_sweep_print(const gmf_sweep_results *r, FILE *out)
{
  int widths[GMF_METRICS_MAX + GMF_SWEEP_MAX_VARIED + 3], n_columns = r->metrics->n + r->n_varied + 3;
  size_t n = json_array_size(r->points);
  char text[128];
  for (int c = 0; c < n_columns; c++) {
    widths[c] = (int)strlen(heading(r, c));
    for (size_t i = 0; i < n; i++) {
      cell(r, c, i, text, sizeof text);
      widths[c] = (int)gmf_max64(widths[c], (int64_t)strlen(text));
    }
    fprintf(out, "%s%*s", c > 0 ? "  " : "", widths[c], heading(r, c));
  }
  fputc('\n', out);
  for (size_t i = 0; i < n; i++) {
    if (isnan(gmf_sweep_value(r, json_array_get(r->points, i)))) continue;
    for (int c = 0; c < n_columns; c++) {
      cell(r, c, i, text, sizeof text);
      fprintf(out, "%s%*s", c > 0 ? "  " : "", widths[c], text);
    }
    fputc('\n', out);
  }
  print_failed(r, out);
}
