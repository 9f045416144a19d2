#include "app/sweep_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/evaluate.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/checksum.h"

/* ---- the folder -------------------------------------------------------------------------------------------------- */

void gmf_sweep_path(const gmf_sweep_state *s, const char *name, char *out)
{
  snprintf(out, SWEEP_PATH_BYTES, "%s/%s", s->config->output, name);
}

void gmf_sweep_point_path(const gmf_sweep_state *s, const gmf_sweep_point *p, const char *suffix, char *out)
{
  snprintf(out, SWEEP_PATH_BYTES, "%s/points/%s%s", s->config->output, p->id, suffix);
}

void gmf_sweep_checkpoint_path(const gmf_sweep_state *s, const gmf_sweep_point *p, char *out)
{
  if (s->config->checkpoint[0] != '\0')
    snprintf(out, SWEEP_PATH_BYTES, "%s/%s.ckpt", s->config->checkpoint, p->id);
  else
    gmf_sweep_point_path(s, p, ".ckpt", out);
}

/* Rank 0. */
static gmf_status make_folder(const char *path, gmf_error *err)
{
  if (mkdir(path, 0777) == 0) return GMF_OK;
  struct stat about;
  int reason = errno;
  if (reason == EEXIST && stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return GMF_OK;
  return gmf_fail(err, GMF_ERR_CREATE, "%s: cannot be made as a folder: %s", path, strerror(reason));
}

gmf_status gmf_sweep_open_folder(gmf_sweep_state *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char path[SWEEP_PATH_BYTES];
  gmf_lock_holder died;
  GMF_TRY(make_folder(s->config->output, err));
  gmf_sweep_path(s, "points", path);
  GMF_TRY(make_folder(path, err));
  if (s->config->checkpoint[0] != '\0') GMF_TRY(make_folder(s->config->checkpoint, err));
  gmf_sweep_path(s, "results.csv", path);
  GMF_TRY(gmf_lock_take(path, path, &s->lock, &died, err));
  unlink(s->stop_file); /* of an earlier run: this one is asked to go on */
cleanup:
  return status;
}

/* ---- points ------------------------------------------------------------------------------------------------------ */

/* Rough: multiplications of a training. Only the order of points hangs on it. */
static double work_of(const gmf_config *c, const gmf_dataset *d)
{
  double k = (double)c->factors, rows = (double)(d->n[GMF_USERS] + d->n[GMF_ITEMS]);
  double steps = c->solver == GMF_SOLVER_CG ? (double)c->cg_steps * k : k * k;
  if (c->algorithm == GMF_ALGORITHM_POPULARITY) return (double)d->nnz;
  if (c->algorithm == GMF_ALGORITHM_SVD) return 40 * k * (double)d->nnz + rows * k * k;
  return (double)c->iterations * (2 * (double)d->nnz * steps + rows * steps * k / 3);
}

/* Adds "name=value\n" to a text of `size` bytes. */
static size_t add_line(char *text, size_t at, size_t size, const char *name, const char *value)
{
  return at < size ? at + (size_t)snprintf(text + at, size - at, "%s=%s\n", name, value) : at;
}

/* The id of a point: a hash of all that makes its numbers. Ranks and threads are left out, which change them by
 * rounding alone. */
static void set_id(gmf_sweep_point *p, const gmf_config *c, const char *metrics, const char *const fingerprints[3])
{
  char text[16384], value[GMF_PATH_BYTES];
  size_t at = 0;
  for (int i = 0; i < GMF_OPTIONS.n; i++) {
    const gmf_option *o = &GMF_OPTIONS.options[i];
    if (!o->is_model || !gmf_option_applies(o, GMF_VERB_TRAIN, c)) continue;
    gmf_option_text(o, c, value, sizeof value);
    at = add_line(text, at, sizeof text, o->name, value);
  }
  snprintf(value, sizeof value, "%" PRId64 " %" PRId64, c->validate_every, c->early_stop);
  at = add_line(text, at, sizeof text, "validation", value);
  at = add_line(text, at, sizeof text, "metrics", metrics);
  for (int f = 0; f < 3; f++) at = add_line(text, at, sizeof text, "data", fingerprints[f]);
  snprintf(p->id, sizeof p->id, "%016" PRIx64, gmf_checksum(text, (int64_t)gmf_min64((int64_t)at, sizeof text)));
}

/* Whether two points differ in an option. */
static bool differs(const gmf_option *o, const gmf_config *a, const gmf_config *b)
{
  char x[GMF_PATH_BYTES] = "", y[GMF_PATH_BYTES] = "";
  if (gmf_option_applies(o, GMF_VERB_TRAIN, a)) gmf_option_text(o, a, x, sizeof x);
  if (gmf_option_applies(o, GMF_VERB_TRAIN, b)) gmf_option_text(o, b, y, sizeof y);
  return strcmp(x, y) != 0;
}

/* Whether the settings of a point name an option. */
static bool names_option(const char *settings, const char *name)
{
  size_t length = strlen(name);
  for (const char *line = settings; *line != '\0'; line += strcspn(line, "\n") + 1)
    if (strncmp(line, name, length) == 0 && line[length] == '=') return true;
  return false;
}

/* Adds what differs from the first point because the grid says so, in the order of the table; lambda-bias may follow
 * lambda without being named. */
static void note_varied(gmf_sweep_state *s, const gmf_config *first, const gmf_config *c, const char *settings)
{
  const char *first_settings = s->grid.entries[0].settings;
  int n = 0, known = 0;
  const gmf_option *before[GMF_SWEEP_MAX_VARIED];
  memcpy(before, s->varied, sizeof before);
  for (int i = 0; i < GMF_OPTIONS.n && n < GMF_SWEEP_MAX_VARIED; i++) {
    const gmf_option *o = &GMF_OPTIONS.options[i];
    bool is_known = known < s->results.n_varied && before[known] == o;
    bool is_named = o->is_model && (names_option(settings, o->name) || names_option(first_settings, o->name));
    if (is_known || (is_named && differs(o, first, c))) s->varied[n++] = o;
    known += is_known;
  }
  s->results.n_varied = n;
}

void gmf_sweep_metrics_text(const gmf_metrics *metrics, char *out, size_t size)
{
  size_t at = 0;
  out[0] = '\0';
  for (int m = 0; m < metrics->n && at < size; m++)
    at += (size_t)snprintf(out + at, size - at, "%s%s", m > 0 ? "," : "", metrics->list[m].name);
}

/* Local. What is computed for every point: as asked, else what means something for all algorithms of the grid. */
static gmf_status choose_metrics(gmf_sweep_state *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_algorithm usual = GMF_ALGORITHM_ALS;
  for (int i = 0; i < s->grid.n; i++) {
    GMF_TRY(gmf_sweep_grid_config(&s->grid, i, s->config, s->argc, s->argv, s->point_config, err));
    if (s->point_config->algorithm != GMF_ALGORITHM_ALS) usual = (gmf_algorithm)s->point_config->algorithm;
  }
  GMF_TRY(gmf_parse_metrics(s->config->metrics, usual, s->metrics, err));
cleanup:
  return status;
}

gmf_status gmf_sweep_list_points(gmf_sweep_state *s, const gmf_dataset *d, const char *const fingerprints[3],
                                 gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_config *first = NULL;
  char metrics[GMF_METRICS_MAX * 33];
  GMF_TRY(GMF_NEW_ZERO(s->metrics, 1, err));
  GMF_TRY(GMF_NEW(s->points, s->grid.n, err));
  GMF_TRY(GMF_NEW(s->open, s->grid.n, err));
  GMF_TRY(GMF_NEW(first, 1, err));
  GMF_TRY(choose_metrics(s, err));
  gmf_sweep_metrics_text(s->metrics, metrics, sizeof metrics);
  for (int i = 0; i < s->grid.n; i++) {
    gmf_sweep_point p = {.entry = i};
    bool known = false;
    GMF_TRY(gmf_sweep_grid_config(&s->grid, i, s->config, s->argc, s->argv, s->point_config, err));
    set_id(&p, s->point_config, metrics, fingerprints);
    p.work = work_of(s->point_config, d);
    if (i == 0) *first = *s->point_config;
    for (int j = 0; j < s->n && !known; j++) known = strcmp(s->points[j].id, p.id) == 0;
    if (known) continue;
    note_varied(s, first, s->point_config, s->grid.entries[i].settings);
    s->points[s->n++] = p;
  }
  s->results.metrics = s->metrics;
  s->results.varied = s->varied;
cleanup:
  gmf_free(first);
  return status;
}

/* ---- what is done already ---------------------------------------------------------------------------------------- */

/* Rank 0. Whether a record of an earlier run stands: a point that was refused for want of memory may fit now. */
static bool is_final(const json_t *record)
{
  json_int_t code = json_integer_value(json_object_get(record, "exit_code"));
  const char *status = json_string_value(json_object_get(record, "status"));
  return status != NULL && (strcmp(status, "ok") == 0 || (code != GMF_ERR_PLAN && code != GMF_ERR_MEMORY));
}

/* Rank 0. The best of the records; -1 where there is none. */
static int best_of(const gmf_sweep_state *s, const json_t *const *records, double *value)
{
  int best = -1;
  *value = NAN;
  for (int i = 0; i < s->n; i++) {
    double v = records[i] != NULL ? gmf_sweep_value(&s->results, records[i]) : NAN;
    if (!gmf_sweep_is_better(s->metrics, v, *value)) continue;
    best = i;
    *value = v;
  }
  return best;
}

bool gmf_sweep_has_model(const gmf_sweep_state *s, const gmf_sweep_point *p)
{
  char path[SWEEP_PATH_BYTES], best[SWEEP_PATH_BYTES];
  gmf_sweep_point_path(s, p, ".h5", path);
  gmf_sweep_path(s, "best.h5", best);
  if (access(path, R_OK) == 0) return true;
  gmf_sweep_path(s, "best.json", path);
  json_t *said = json_load_file(path, 0, NULL);
  const char *id = json_string_value(json_object_get(said, "id"));
  bool found = id != NULL && strcmp(id, p->id) == 0 && access(best, R_OK) == 0;
  json_decref(said);
  return found;
}

/* Rank 0. Reads what earlier runs left. The best of them counts only with its model: else it is trained again. */
static gmf_status load_done(gmf_sweep_state *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char path[SWEEP_PATH_BYTES];
  json_t **records = NULL;
  bool again = strcmp(s->config->resume, "never") != 0;
  GMF_TRY(GMF_NEW_ZERO(records, s->n, err));
  for (int i = 0; i < s->n && again; i++) {
    gmf_sweep_point_path(s, &s->points[i], ".json", path);
    records[i] = json_load_file(path, 0, NULL);
    if (records[i] == NULL || is_final(records[i])) continue;
    json_decref(records[i]);
    records[i] = NULL;
  }
  s->best.point = best_of(s, (const json_t *const *)records, &s->best.value);
  if (s->best.point >= 0 && !gmf_sweep_has_model(s, &s->points[s->best.point])) {
    json_decref(records[s->best.point]);
    records[s->best.point] = NULL;
    s->best = (gmf_sweep_best){NAN, -1, false};
  }
  for (int i = 0; i < s->n; i++) {
    s->points[i].is_done = records[i] != NULL;
    if (records[i] == NULL) continue;
    json_object_set_new(records[i], "point", json_integer(i + 1));
    json_array_append_new(s->results.points, records[i]);
  }
cleanup:
  gmf_free(records);
  return status;
}

static int most_work_first(const void *a, const void *b)
{
  const gmf_sweep_point *x = *(const gmf_sweep_point *const *)a, *y = *(const gmf_sweep_point *const *)b;
  if (x->work != y->work) return x->work > y->work ? -1 : 1;
  return (x->entry > y->entry) - (x->entry < y->entry);
}

/* Long points first, so that the last ones are short and groups end together (Graham 1969). */
gmf_status gmf_sweep_plan_rest(gmf_sweep_state *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_sweep_point **order = NULL;
  status = s->world->rank == 0 ? load_done(s, err) : GMF_OK;
  if (status == GMF_OK) status = GMF_NEW(order, s->n, err);
  GMF_TRY(gmf_agree(s->world, status, err));
  gmf_broadcast(s->world, s->points, s->n * (int64_t)sizeof *s->points);
  gmf_broadcast(s->world, &s->best, sizeof s->best);
  for (int i = 0; i < s->n; i++)
    if (!s->points[i].is_done) order[s->n_open++] = &s->points[i];
  qsort(order, (size_t)s->n_open, sizeof *order, most_work_first);
  for (int i = 0; i < s->n_open; i++) s->open[i] = (int)(order[i] - s->points);
cleanup:
  gmf_free(order);
  return status;
}
