#include "app/sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "algo/svd.h"
#include "app/evaluate.h"
#include "app/memory_check.h"
#include "app/sweep_internal.h"
#include "app/train.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/fingerprint.h"
#include "io/small_file.h"

enum { SCHEMA_VERSION = 1 };

/* ---- groups ------------------------------------------------------------------------------------------------------ */

/* Collective. What the sweep works on, by content. "" where there is no such file. */
static gmf_status fingerprint_file(const gmf_grid *world, const char *path, char *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_dataset *d = NULL;
  out[0] = '\0';
  if (path[0] == '\0') return GMF_OK;
  GMF_TRY(gmf_dataset_open(world, path, &d, err));
  GMF_TRY(gmf_dataset_fingerprint(world, d, out, err));
cleanup:
  gmf_dataset_close(&d);
  return status;
}

/* What the sweep says of a point, beside its options of the grid. */
static void set_point_config(gmf_sweep_state *s, int i, double seconds_left)
{
  const gmf_sweep_point *p = &s->points[i];
  gmf_config *c = s->point_config;
  char path[SWEEP_PATH_BYTES];
  gmf_sweep_metrics_text(s->metrics, c->metrics, sizeof c->metrics);
  gmf_sweep_point_path(s, p, ".h5", path);
  snprintf(c->output, sizeof c->output, "%.*s", GMF_PATH_BYTES - 1, path);
  gmf_sweep_point_path(s, p, ".jsonl", path);
  snprintf(c->log_json, sizeof c->log_json, "%.*s", GMF_PATH_BYTES - 1, path);
  c->quiet = true;
  c->max_time = seconds_left;
  bool has_sweeps = c->algorithm == GMF_ALGORITHM_ALS || c->algorithm == GMF_ALGORITHM_IALS;
  bool has_steps = c->algorithm == GMF_ALGORITHM_SVD && c->svd_method != GMF_SVD_GRAM;
  if (!has_sweeps && !has_steps) return; /* works in one piece, and takes no checkpoints */
  gmf_sweep_checkpoint_path(s, p, path);
  snprintf(c->checkpoint, sizeof c->checkpoint, "%.*s", GMF_PATH_BYTES - 1, path);
}

/* Local. The most groups of equal size that have a point each and whose ranks have the memory: each group holds all
 * ratings. */
static int most_groups(gmf_sweep_state *s, const gmf_dataset *d, int64_t allowed)
{
  gmf_error ignored = {0};
  for (int n = s->world->size; n > 1; n--) {
    int size = s->world->size / n;
    int64_t held = d->nnz / size * (d->has_weight ? 16 : 12), needed = 0;
    if (n * size != s->world->size || n > s->n) continue;
    for (int i = 0; i < s->n && needed <= allowed; i++) {
      if (gmf_sweep_grid_config(&s->grid, s->points[i].entry, s->config, s->argc, s->argv, s->point_config, &ignored) !=
          GMF_OK)
        continue;
      set_point_config(s, i, 0);
      needed = gmf_max64(needed, gmf_train_memory_expected(s->point_config, d, size) + held);
    }
    if (needed <= allowed) return n;
  }
  return 1;
}

/* Collective. */
static gmf_status make_groups(gmf_sweep_state *s, const gmf_dataset *d, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int n = (int)s->config->groups, size = s->world->size, n_rows = 0, n_cols = 0;
  gmf_memory_allowance allowed = gmf_memory_allowed(s->world, s->config->memory_limit);
  if (n > size || (n > 0 && size % n != 0))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "--groups %d: must divide the %d ranks, so that groups are of equal size", n,
                     size));
  if (n == 0) {
    int64_t most = most_groups(s, d, allowed.bytes);
    gmf_min_i64(s->world, &most, 1);
    n = (int)most;
  }
  GMF_TRY(gmf_config_grid(s->config, size / n, &n_rows, &n_cols, err));
  gmf_grid planned = {.size = size / n, .n_rows = n_rows, .n_cols = n_cols};
  for (int side = 0; side < GMF_N_SIDES; side++) {
    gmf_layout layout;
    GMF_TRY(gmf_config_layout(s->config, (gmf_side)side, &planned, &layout, err));
  }
  GMF_TRY(gmf_groups_create(s->world, n, &s->groups, err));
  GMF_TRY(gmf_agree(s->world, gmf_groups_grid(s->groups, n_rows, n_cols, &s->group, err), err));
cleanup:
  return status;
}

/* ---- one point --------------------------------------------------------------------------------------------------- */

/* The record of a point, for rank 0 of its group. status: what its training came to. */
static json_t *make_record(const gmf_sweep_state *s, int i, const gmf_train_outcome *o, const double *metrics,
                           double seconds, gmf_status status, const gmf_error *reason)
{
  char shape[32];
  const gmf_config *c = s->point_config;
  json_t *options = json_object(), *values = json_object();
  for (int j = 0; j < GMF_OPTIONS.n; j++) {
    const gmf_option *option = &GMF_OPTIONS.options[j];
    if (option->is_model && gmf_option_applies(option, GMF_VERB_TRAIN, c))
      json_object_set_new(options, option->name, gmf_sweep_option_json(option, c));
  }
  for (int m = 0; m < s->metrics->n && status == GMF_OK; m++)
    json_object_set_new(values, s->metrics->list[m].name, isfinite(metrics[m]) ? json_real(metrics[m]) : json_null());
  snprintf(shape, sizeof shape, "%dx%d", s->group->n_rows, s->group->n_cols);
  json_t *record =
      json_pack("{s:i, s:s, s:i, s:s, s:s, s:i, s:o, s:o, s:I, s:I, s:o, s:f, s:i, s:s, s:i}", "schema", SCHEMA_VERSION,
                "id", s->points[i].id, "point", i + 1, "name", s->grid.entries[s->points[i].entry].name, "status",
                status == GMF_OK ? "ok" : "failed", "exit_code", (int)status, "options", options, "metrics", values,
                "sweeps", (json_int_t)o->n_sweeps, "model_sweep", (json_int_t)o->model_sweep, "objective",
                isfinite(o->objective) ? json_real(o->objective) : json_null(), "seconds", seconds, "ranks",
                s->group->size, "grid", shape, "threads", omp_get_max_threads());
  if (status != GMF_OK) json_object_set_new(record, "error", json_string(reason->text));
  return record;
}

/* Rank 0. "  1m05s left", by the work that is done and that is not; "" after the last point. */
static void time_left(gmf_sweep_state *s, const json_t *record, char *out, size_t size)
{
  char left[32];
  double all = 0, elapsed = gmf_monotonic_seconds() - s->began;
  s->work_done += s->points[json_integer_value(json_object_get(record, "point")) - 1].work;
  for (int i = 0; i < s->n_open; i++) all += s->points[s->open[i]].work;
  gmf_duration_text(elapsed * (all - s->work_done) / s->work_done, left, sizeof left);
  out[0] = '\0';
  if (s->n_done < s->n_open) snprintf(out, size, "  %s left", left);
}

/* Rank 0 of the world: a point is done. */
static void take_record(void *context, const char *text)
{
  gmf_sweep_state *s = context;
  char options[512], left[48], value[64] = "failed";
  json_t *record = json_loads(text, 0, NULL);
  if (record == NULL) return;
  double metric = gmf_sweep_value(&s->results, record);
  const char *error = json_string_value(json_object_get(record, "error"));
  s->n_done++;
  gmf_sweep_describe(&s->results, record, options, sizeof options);
  if (error == NULL) snprintf(value, sizeof value, "%s %.5f", s->metrics->list[0].name, metric);
  time_left(s, record, left, sizeof left);
  gmf_log_line(s->log, "point %3d/%d  %s  %8.2f s  %s%s%s%s", s->n_done, s->n_open, value,
               json_number_value(json_object_get(record, "seconds")), options, error != NULL ? ": " : "",
               error != NULL ? error : "", left);
  gmf_log_event(s->log, "point", json_deep_copy(record));
  json_array_append_new(s->results.points, record);
}

/* Removes a folder and the files in it; what cannot be removed stays. */
static void remove_folder(const char *path)
{
  DIR *folder = opendir(path);
  if (folder == NULL) return;
  for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
    unlinkat(dirfd(folder), entry->d_name, 0);
  closedir(folder);
  rmdir(path);
}

/* Rank 0 of a group. First the model, then the record that says the point is done, then the older model goes. */
static gmf_status keep_record(gmf_sweep_state *s, int i, json_t *record, gmf_error *err)
{
  char path[SWEEP_PATH_BYTES];
  char *text = json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(12));
  if (text == NULL) return gmf_out_of_memory(err, 1, 1, "a result");
  gmf_sweep_point_path(s, &s->points[i], ".json", path);
  gmf_status status = gmf_small_file_write(path, text, strlen(text), err);
  if (status == GMF_OK) status = gmf_groups_post(s->groups, text, err);
  free(text);
  gmf_sweep_checkpoint_path(s, &s->points[i], path);
  if (status == GMF_OK) remove_folder(path);
  return status;
}

/* Whether a point comes before the best in the ranking: of equal ones the first of the grid does. */
static bool is_new_best(const gmf_sweep_state *s, int i, double value)
{
  if (value == s->best.value) return i < s->best.point;
  return gmf_sweep_is_better(s->metrics, value, s->best.value);
}

/* Called by the training, on all ranks of the group. */
static bool is_worth_a_model(void *context, const gmf_train_outcome *outcome)
{
  const gmf_sweep_state *s = context;
  return !outcome->has_metrics || is_new_best(s, s->training, outcome->metrics[0]);
}

/* Collective over the group. Trains a point whose configuration is set, and finds its metrics [n]. */
static gmf_status train_point(gmf_sweep_state *s, gmf_log *log, gmf_train_outcome *outcome, double *metrics,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_train_job job = {.dataset = s->dataset,
                       .config = s->point_config,
                       .log = log,
                       .argc = s->argc,
                       .argv = s->argv,
                       .stop_file = s->stop_file,
                       .wants_model = is_worth_a_model,
                       .context = s};
  GMF_TRY(gmf_train_run(s->group, &job, outcome, err));
  memcpy(metrics, outcome->metrics, sizeof outcome->metrics);
  if (!outcome->has_metrics) {
    gmf_config *c = s->point_config;
    gmf_evaluation *e = NULL;
    snprintf(c->fold_in, sizeof c->fold_in, "%s", s->config->fold_in);
    GMF_TRY(gmf_agree(s->group, GMF_NEW(e, 1, err), err));
    status = gmf_evaluate(s->group, c->output, s->config->test, c, e, err);
    for (int m = 0; m < s->metrics->n && status == GMF_OK; m++) metrics[m] = gmf_metrics_value(&e->metrics, m);
    gmf_free(e);
  }
cleanup:
  return status;
}

/* Whether the failure is the point's own, and others may do better. */
static bool is_of_point(gmf_status status, const gmf_error *err)
{
  bool own = status == GMF_ERR_NUMERIC || status == GMF_ERR_USAGE || status == GMF_ERR_PLAN ||
             status == GMF_ERR_MEMORY || status == GMF_ERR_CONFIG;
  return own && !err->must_abort;
}

/* Local. After a point that did not fail: the better of it and the best stays. */
static void compare_with_best(gmf_sweep_state *s, int i, double value)
{
  char path[SWEEP_PATH_BYTES];
  int loser = i;
  if (is_new_best(s, i, value)) {
    loser = s->best.is_mine ? s->best.point : -1;
    s->best = (gmf_sweep_best){value, i, true};
  }
  if (loser < 0 || s->group->rank != 0) return;
  gmf_sweep_point_path(s, &s->points[loser], ".h5", path);
  unlink(path);
}

/* Collective over the group. GMF_OK also for a point that failed, and is recorded as that. */
static gmf_status run_point(gmf_sweep_state *s, int i, gmf_error *err)
{
  gmf_status status = GMF_OK, trained = GMF_OK;
  gmf_error reason = {0};
  gmf_log log = {.human = NULL};
  gmf_train_outcome outcome = {.objective = NAN};
  double metrics[GMF_METRICS_MAX], begin = gmf_monotonic_seconds(), left = s->config->max_time;

  s->training = i;
  if (left > 0) left = fmax(1e-3, left - (begin - s->stopping.begin));
  GMF_TRY(gmf_sweep_grid_config(&s->grid, s->points[i].entry, s->config, s->argc, s->argv, s->point_config, err));
  set_point_config(s, i, left);
  GMF_TRY(gmf_log_open(s->group, "train", s->point_config, &log, err));
  trained = train_point(s, &log, &outcome, metrics, &reason);
  if (trained != GMF_OK)
    gmf_log_event(&log, "error", json_pack("{s:i, s:s}", "status", (int)trained, "text", reason.text));
  gmf_log_close(&log);
  if (trained != GMF_OK && !is_of_point(trained, &reason)) {
    *err = reason;
    GMF_TRY(trained);
  }
  double seconds = gmf_monotonic_seconds() - begin;
  if (s->group->rank == 0) {
    json_t *record = make_record(s, i, &outcome, metrics, seconds, trained, &reason);
    status = keep_record(s, i, record, err);
    json_decref(record);
  }
  GMF_TRY(gmf_agree(s->group, status, err));
  if (trained == GMF_OK) compare_with_best(s, i, metrics[0]);
cleanup:
  return status;
}

/* ---- all points -------------------------------------------------------------------------------------------------- */

/* Collective over the group. Another point while there is one, and nothing asks to stop. */
static gmf_status run_points(gmf_sweep_state *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (;;) {
    gmf_stop_reason reason = gmf_stopping_decide(s->group, &s->stopping);
    if (reason != GMF_STOP_NONE)
      GMF_TRY(gmf_fail(err, GMF_STOPPED, "stopped by %s; give the same command again to go on",
                       gmf_stop_reason_text(reason)));
    int64_t number = s->group->rank == 0 ? gmf_groups_next(s->groups) : 0;
    gmf_broadcast(s->group, &number, sizeof number);
    if (number < 0 || number >= s->n_open) break;
    GMF_TRY(run_point(s, s->open[number], err));
    gmf_groups_collect(s->groups, take_record, s);
  }
cleanup:
  return status;
}

/* One group's end is the others': one that is stopped tells them by the STOP file, which they see after a sweep, and
 * one that failed lets them finish their points. */
static void tell_others(gmf_sweep_state *s, gmf_status status)
{
  if (status == GMF_OK || s->group->rank != 0) return;
  gmf_groups_close(s->groups);
  if (status != GMF_STOPPED) return;
  FILE *file = fopen(s->stop_file, "we");
  if (file != NULL) fclose(file);
}

/* Rank 0. The best model gets its name, and best.json says whose it is; while it is not there, nobody knows. */
static gmf_status name_best(gmf_sweep_state *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char model[SWEEP_PATH_BYTES], best[SWEEP_PATH_BYTES], about[SWEEP_PATH_BYTES];
  const json_t *record = json_array_get(s->results.points, 0);
  const gmf_sweep_point *p = NULL;
  if (isnan(gmf_sweep_value(&s->results, record))) return GMF_OK;
  const char *id = json_string_value(json_object_get(record, "id"));
  gmf_sweep_path(s, "best.h5", best);
  gmf_sweep_path(s, "best.json", about);
  for (int i = 0; i < s->n; i++) {
    bool is_best = strcmp(s->points[i].id, id) == 0;
    if (is_best) p = &s->points[i];
    gmf_sweep_point_path(s, &s->points[i], ".h5", model);
    if (!is_best) unlink(model);
  }
  GMF_CHECK(p != NULL);
  if (!gmf_sweep_has_model(s, p)) { /* trained again with another outcome: it was the best, and no model is left */
    gmf_log_line(s->log, "warning: the model of the best point is lost; give the same command again to train it");
    return GMF_OK;
  }
  gmf_sweep_point_path(s, p, ".h5", model);
  if (access(model, F_OK) == 0) {
    unlink(about);
    GMF_TRY(gmf_small_file_rename(model, best, err));
  }
  char *text = json_dumps(record, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
  if (text == NULL) GMF_TRY(gmf_out_of_memory(err, 1, 1, "best.json"));
  status = gmf_small_file_write(about, text, strlen(text), err);
  free(text);
  gmf_log_line(s->log, "wrote %s, %s of %zu points", best,
               json_array_size(s->results.points) == 1 ? "the one" : "the best", json_array_size(s->results.points));
cleanup:
  return status;
}

/* Rank 0. */
static gmf_status write_results(gmf_sweep_state *s, void (*print)(const gmf_sweep_results *results), gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (json_array_size(s->results.points) == 0) return GMF_OK;
  GMF_TRY(gmf_sweep_rank(&s->results, err));
  GMF_TRY(name_best(s, err));
  GMF_TRY(gmf_sweep_write(&s->results, s->config->output, err));
  print(&s->results);
cleanup:
  return status;
}

/* Rank 0. The failure of the first point, when all failed. */
static gmf_status check_some_good(const gmf_sweep_state *s, gmf_error *err)
{
  const json_t *first = json_array_get(s->results.points, 0);
  const char *error = json_string_value(json_object_get(first, "error"));
  if (error == NULL) return GMF_OK;
  return gmf_fail(err, (gmf_status)json_integer_value(json_object_get(first, "exit_code")),
                  "all %zu points failed, the first of them so: %s", json_array_size(s->results.points), error);
}

/* Collective. Checks, points and groups: everything before the first training. */
static gmf_status prepare(gmf_sweep_state *s, const char *dataset, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char prints[3][GMF_FINGERPRINT_BYTES];
  gmf_dataset *d = NULL;
  GMF_TRY(gmf_agree(s->world, s->world->rank == 0 ? gmf_sweep_open_folder(s, err) : GMF_OK, err));
  GMF_TRY(gmf_sweep_grid_load(s->world, s->config->config_file, &s->grid, err));
  GMF_TRY(fingerprint_file(s->world, s->config->test, prints[1], err));
  GMF_TRY(fingerprint_file(s->world, s->config->fold_in, prints[2], err));
  GMF_TRY(gmf_dataset_open(s->world, dataset, &d, err));
  GMF_TRY(gmf_dataset_fingerprint(s->world, d, prints[0], err));
  GMF_TRY(gmf_agree(s->world, gmf_sweep_list_points(s, d, (const char *const[]){prints[0], prints[1], prints[2]}, err),
                    err));
  GMF_TRY(gmf_sweep_plan_rest(s, err));
  GMF_TRY(make_groups(s, d, err));
  gmf_dataset_close(&d);
  GMF_TRY(gmf_agree(s->world, gmf_dataset_open(s->group, dataset, &s->dataset, err), err));
  GMF_TRY(gmf_agree(s->world, gmf_dataset_hold(gmf_groups_peers(s->groups), s->dataset, err), err));
cleanup:
  gmf_dataset_close(&d);
  return status;
}

static void log_start(const gmf_sweep_state *s)
{
  int n = gmf_groups_n(s->groups);
  gmf_log_line(s->log, "%s: %s users, %s items, %s ratings", s->dataset->path, gmf_thousands(s->dataset->n[GMF_USERS]),
               gmf_thousands(s->dataset->n[GMF_ITEMS]), gmf_thousands(s->dataset->nnz));
  gmf_log_line(s->log, "%d points by %s, %d done before; %d group%s of %d rank%s x %d threads", s->n,
               s->metrics->list[0].name, s->n - s->n_open, n, n > 1 ? "s" : "", s->group->size,
               s->group->size > 1 ? "s" : "", omp_get_max_threads());
  gmf_log_event(s->log, "sweep_start",
                json_pack("{s:i, s:i, s:i, s:i, s:s}", "points", s->n, "done_before", s->n - s->n_open, "groups", n,
                          "ranks_per_group", s->group->size, "metric", s->metrics->list[0].name));
}

static void free_sweep(gmf_sweep_state *s)
{
  gmf_dataset_close(&s->dataset);
  gmf_grid_destroy(&s->group);
  gmf_groups_destroy(&s->groups);
  gmf_sweep_results_free(&s->results);
  gmf_lock_release(&s->lock);
  gmf_sweep_grid_free(&s->grid);
  gmf_free(s->metrics);
  gmf_free(s->points);
  gmf_free(s->open);
  gmf_free(s->point_config);
}

static gmf_status check_usage(const gmf_config *c, gmf_error *err)
{
  if (c->output[0] == '\0') return gmf_fail(err, GMF_ERR_USAGE, "-o DIR is needed: a folder for the results");
  if (c->config_file[0] == '\0')
    return gmf_fail(err, GMF_ERR_USAGE, "--config GRID.ini is needed: a section [sweep] with lists of values");
  if (c->test[0] == '\0')
    return gmf_fail(err, GMF_ERR_USAGE, "--test TEST.h5 is needed: points are ranked by a metric of held-out ratings");
  if (strcmp(c->resume, "auto") != 0 && strcmp(c->resume, "never") != 0)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--resume %s: a sweep takes auto, which leaves out the points that are done, "
                    "or never",
                    c->resume);
  return GMF_OK;
}

gmf_status gmf_sweep(const gmf_grid *world, const char *dataset, const gmf_config *config, int argc, char *const *argv,
                     gmf_log *log, void (*print)(const gmf_sweep_results *results), gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_sweep_state s = {
      .world = world, .config = config, .log = log, .argc = argc, .argv = argv, .best = {NAN, -1, false}};

  GMF_TRY(check_usage(config, err));
  s.results.points = json_array();
  gmf_sweep_path(&s, "STOP", s.stop_file);
  gmf_stopping_start(&s.stopping, config->max_time, s.stop_file);
  GMF_TRY(gmf_agree(world, GMF_NEW(s.point_config, 1, err), err));
  GMF_TRY(prepare(&s, dataset, err));
  log_start(&s);
  s.began = gmf_monotonic_seconds();
  status = run_points(&s, err);
  tell_others(&s, status);
  gmf_groups_finish(s.groups, take_record, &s);
  status = gmf_agree(world, status, err);
  if (status == GMF_OK || status == GMF_STOPPED) {
    gmf_error reason = {0};
    gmf_status written = gmf_agree(world, world->rank == 0 ? write_results(&s, print, &reason) : GMF_OK, &reason);
    if (world->rank == 0) unlink(s.stop_file);
    if (written != GMF_OK) {
      *err = reason;
      status = written;
    }
  }
  if (status == GMF_OK) status = gmf_agree(world, world->rank == 0 ? check_some_good(&s, err) : GMF_OK, err);
cleanup:
  free_sweep(&s);
  return status;
}
