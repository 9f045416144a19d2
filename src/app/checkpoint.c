#include "app/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "algo/svd.h"
#include "app/provenance.h"
#include "app/stopping.h"
#include "base/memory.h"
#include "io/layout.h"
#include "io/verify.h"

enum { MAX_LISTED = 4096 };

/* ---- what is counted --------------------------------------------------------------------------------------------- */

const char *gmf_checkpoint_unit(const gmf_config *config)
{
  if (config->algorithm != GMF_ALGORITHM_SVD) return "sweep";
  return config->svd_method == GMF_SVD_RANDOMIZED ? "pass" : "restart";
}

/* The option that says how many pieces of work there are, which may change between runs. */
static const char *limit_option(const gmf_config *config)
{
  if (config->algorithm != GMF_ALGORITHM_SVD) return "iterations";
  return config->svd_method == GMF_SVD_RANDOMIZED ? "power-steps" : "max-restarts";
}

int64_t gmf_checkpoint_limit(const gmf_config *config)
{
  if (config->algorithm != GMF_ALGORITHM_SVD) return config->iterations;
  return config->svd_method == GMF_SVD_RANDOMIZED ? config->power_steps : INT64_MAX; /* a search may begin again */
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

/* Local, on rank 0. */
static gmf_status try_folder(const char *folder, gmf_error *err)
{
  char probe[GMF_PATH_BYTES + 64];
  if (mkdir(folder, 0777) != 0 && errno != EEXIST)
    return gmf_fail(err, GMF_ERR_CREATE, "--checkpoint %s: cannot be made: %s", folder, strerror(errno));
  snprintf(probe, sizeof probe, "%s/.probe.%ld", folder, (long)getpid());
  FILE *file = fopen(probe, "wx");
  bool good = file != NULL && fputs("gridmf\n", file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
  int reason = errno;
  if (file != NULL) {
    fclose(file);
    unlink(probe);
  }
  if (good) return GMF_OK;
  return gmf_fail(err, GMF_ERR_CREATE, "--checkpoint %s: a file there cannot be written: %s", folder, strerror(reason));
}

gmf_status gmf_checkpoints_open(const gmf_grid *grid, const gmf_config *config, const gmf_log *log,
                                const gmf_dataset *dataset, gmf_checkpoints *c, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *c = (gmf_checkpoints){.grid = grid, .config = config, .log = log, .last = gmf_monotonic_seconds()};
  c->enabled = config->checkpoint[0] != '\0';
  if (!c->enabled && strcmp(config->resume, "auto") == 0) return GMF_OK;
  GMF_TRY(gmf_dataset_fingerprint(grid, dataset, c->fingerprint, err));
  if (!c->enabled) return GMF_OK;
  snprintf(c->stop_file, sizeof c->stop_file, "%s/STOP", config->checkpoint);
  GMF_TRY(gmf_agree(grid, grid->rank == 0 ? try_folder(config->checkpoint, err) : GMF_OK, err));
cleanup:
  return status;
}

void gmf_checkpoint_path(const gmf_checkpoints *c, int64_t sweep, char *out, size_t size)
{
  snprintf(out, size, "%s/%06" PRId64 ".h5", c->config->checkpoint, sweep);
}

/* The sweep in a name like 000020.h5; -1 for other names. */
static int64_t sweep_of(const char *name)
{
  size_t digits = strspn(name, "0123456789");
  return digits >= 6 && digits <= 15 && strcmp(name + digits, ".h5") == 0 ? strtoll(name, NULL, 10) : -1;
}

static int newest_first(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x < y) - (x > y);
}

/* Local. The sweeps of a folder's checkpoints, newest first; -1 when the folder cannot be read. */
static int64_t list_sweeps(const char *folder, int64_t sweeps[MAX_LISTED])
{
  DIR *directory = opendir(folder);
  int64_t n = 0;
  if (directory == NULL) return -1;
  for (struct dirent *entry = readdir(directory); entry != NULL && n < MAX_LISTED; entry = readdir(directory))
    if (sweep_of(entry->d_name) >= 0) sweeps[n++] = sweep_of(entry->d_name);
  closedir(directory);
  qsort(sweeps, (size_t)n, sizeof *sweeps, newest_first);
  return n;
}

/* ---- where a run is made ----------------------------------------------------------------------------------------- */

enum { SHAPE_BYTES = 256 };

/* What the bits of a model depend on beside data and options. */
static void describe_shape(const gmf_checkpoints *c, int threads, char out[SHAPE_BYTES])
{
  const char *users = c->config->heavy[GMF_USERS], *items = c->config->heavy[GMF_ITEMS];
  int n = snprintf(out, SHAPE_BYTES, "%d ranks, grid %dx%d, %d threads", c->grid->size, c->grid->n_rows,
                   c->grid->n_cols, threads);
  if (strcmp(users, "auto") != 0 || strcmp(items, "auto") != 0)
    snprintf(out + n, (size_t)(SHAPE_BYTES - n), ", heavy users %s, heavy items %s", users, items);
}

/* ---- whether a checkpoint fits ----------------------------------------------------------------------------------- */

/* Two values of an option, written by different hands: 1 and 1.0 are the same number. */
static bool same_value(const gmf_option *option, const char *a, const char *b)
{
  if (option->kind == GMF_OPT_INT || option->kind == GMF_OPT_REAL) return strtod(a, NULL) == strtod(b, NULL);
  return strcmp(a, b) == 0;
}

/* Local. GMF_ERR_CONFIG unless the file is of this run's dataset and mathematics. */
static gmf_status check_fit(const gmf_checkpoints *c, const char *path, const gmf_model_file *file, int64_t sweep,
                            gmf_error *err)
{
  const char *fingerprint = gmf_model_file_attribute_text(file, GMF_GROUP_STATE "/dataset");
  if (fingerprint == NULL || strcmp(fingerprint, c->fingerprint) != 0)
    return gmf_fail(err, GMF_ERR_CONFIG,
                    "%s: belongs to dataset %s, but this one is %s; use another --checkpoint folder, or --resume never",
                    path, fingerprint != NULL ? fingerprint : "(unknown)", c->fingerprint);
  for (int i = 0; i < GMF_OPTIONS.n; i++) {
    const gmf_option *o = &GMF_OPTIONS.options[i];
    if (!o->is_model || !gmf_option_applies(o, GMF_VERB_TRAIN, c->config) ||
        strcmp(o->name, limit_option(c->config)) == 0)
      continue;
    char name[64], here[GMF_PATH_BYTES];
    gmf_attribute_name(o, name, sizeof name);
    gmf_option_text(o, c->config, here, sizeof here);
    const char *there = gmf_model_file_attribute_text(file, name);
    if (there == NULL || !same_value(o, there, here))
      return gmf_fail(err, GMF_ERR_CONFIG,
                      "%s: was made with --%s %s, but this run has --%s %s; use the same options, another --checkpoint "
                      "folder, or --resume never",
                      path, o->name, there != NULL ? there : "(none)", o->name, here);
  }
  if (sweep > gmf_checkpoint_limit(c->config))
    return gmf_fail(err, GMF_ERR_CONFIG, "%s: is after %s %" PRId64 ", but --%s is %" PRId64, path,
                    gmf_checkpoint_unit(c->config), sweep, limit_option(c->config), gmf_checkpoint_limit(c->config));
  return GMF_OK;
}

/* Collective. Opens a checkpoint that is whole; GMF_ERR_DATA or GMF_ERR_NO_INPUT otherwise. */
static gmf_status open_whole(const gmf_checkpoints *c, const char *path, gmf_model_file **file, int64_t *sweep,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_blocks = 0, n_bytes = 0;
  *file = NULL;
  GMF_TRY(gmf_verify(c->grid, path, &n_blocks, &n_bytes, err));
  status = gmf_model_file_open(path, file, err);
  const char *text = *file != NULL ? gmf_model_file_attribute_text(*file, GMF_GROUP_STATE "/sweep") : NULL;
  if (status == GMF_OK && text == NULL)
    status = gmf_fail(err, GMF_ERR_DATA, "%s: is a model, but no checkpoint: it has no /state", path);
  GMF_TRY(gmf_agree(c->grid, status, err));
  *sweep = strtoll(text, NULL, 10);
cleanup:
  if (status != GMF_OK) gmf_model_file_close(file);
  return status;
}

/* Collective. The newest whole checkpoint of a folder; NULL where there is none at all. */
static gmf_status find_newest(const gmf_checkpoints *c, const char *folder, char *path, size_t size,
                              gmf_model_file **file, int64_t *sweep, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t sweeps[MAX_LISTED], n = c->grid->rank == 0 ? list_sweeps(folder, sweeps) : 0;
  gmf_broadcast(c->grid, &n, sizeof n);
  if (n < 0) return gmf_fail(err, GMF_ERR_NO_INPUT, "%s: the folder cannot be read", folder);
  gmf_broadcast(c->grid, sweeps, n * (int64_t)sizeof *sweeps);
  for (int64_t j = 0; j < n; j++) {
    gmf_error reason = {0};
    snprintf(path, size, "%s/%06" PRId64 ".h5", folder, sweeps[j]);
    if (open_whole(c, path, file, sweep, &reason) == GMF_OK) return GMF_OK;
    gmf_log_line(c->log, "warning: passed over a checkpoint: %s", reason.text);
    gmf_log_event(c->log, "checkpoint_damaged", json_pack("{s:s, s:s}", "path", path, "reason", reason.text));
  }
  if (n > 0)
    status = gmf_fail(err, GMF_ERR_DATA,
                      "%s: all %" PRId64 " checkpoints are damaged; move them away, or start anew with --resume never",
                      folder, n);
  return status;
}

gmf_status gmf_checkpoints_find(const gmf_checkpoints *c, gmf_model_file **file, int64_t *sweep, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *resume = c->config->resume;
  bool automatic = strcmp(resume, "auto") == 0;
  char path[GMF_PATH_BYTES + 32];
  int64_t is_folder = 0;

  *file = NULL;
  *sweep = 0;
  if (strcmp(resume, "never") == 0 || (automatic && !c->enabled)) return GMF_OK;
  struct stat about;
  snprintf(path, sizeof path, "%s", automatic ? c->config->checkpoint : resume);
  if (c->grid->rank == 0) is_folder = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
  gmf_broadcast(c->grid, &is_folder, sizeof is_folder);
  if (is_folder)
    GMF_TRY(find_newest(c, automatic ? c->config->checkpoint : resume, path, sizeof path, file, sweep, err));
  else
    GMF_TRY(open_whole(c, path, file, sweep, err));
  if (*file == NULL && !automatic) GMF_TRY(gmf_fail(err, GMF_ERR_NO_INPUT, "--resume %s: holds no checkpoint", resume));
  if (*file == NULL) return GMF_OK;
  GMF_TRY(gmf_agree(c->grid, check_fit(c, path, *file, *sweep, err), err));
  gmf_log_line(c->log, "resumed after %s %" PRId64 " from %s", gmf_checkpoint_unit(c->config), *sweep, path);
  gmf_log_event(c->log, "resume",
                json_pack("{s:s, s:I}", "path", path, gmf_checkpoint_unit(c->config), (json_int_t)*sweep));

  bool svd = c->config->algorithm == GMF_ALGORITHM_SVD;
  char shape[SHAPE_BYTES];
  describe_shape(c, omp_get_max_threads(), shape);
  const char *before = gmf_model_file_attribute_text(*file, GMF_GROUP_STATE "/shape");
  if (before != NULL && strcmp(before, shape) != 0 && !c->config->deterministic)
    gmf_log_line(
        c->log,
        "note: it was made by %s, and this run has %s: %s with those of a run that went through, not bit for bit%s",
        before, shape, svd ? "singular values will agree to 1e-10" : "predictions will agree to 1e-4",
        svd ? "" : " (--deterministic would)");
cleanup:
  if (status != GMF_OK) gmf_model_file_close(file);
  return status;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

bool gmf_checkpoints_due(const gmf_checkpoints *c)
{
  int64_t due = c->enabled && gmf_monotonic_seconds() - c->last >= c->config->checkpoint_every;
  gmf_broadcast(c->grid, &due, sizeof due);
  return due != 0;
}

void gmf_checkpoint_add_state(const gmf_checkpoints *c, gmf_writer *w, int64_t sweep, int threads)
{
  char shape[SHAPE_BYTES];
  describe_shape(c, threads, shape);
  gmf_writer_attr_i64(w, GMF_GROUP_STATE, "sweep", sweep);
  gmf_writer_attr_text(w, GMF_GROUP_STATE, "dataset", c->fingerprint);
  gmf_writer_attr_text(w, GMF_GROUP_STATE, "shape", shape);
}

void gmf_checkpoints_written(gmf_checkpoints *c, int64_t sweep)
{
  int64_t sweeps[MAX_LISTED];
  c->last = gmf_monotonic_seconds();
  int64_t n = c->grid->rank == 0 ? list_sweeps(c->config->checkpoint, sweeps) : 0, kept = 0;
  for (int64_t j = 0; j < n; j++) {
    char path[GMF_PATH_BYTES + 32];
    if (sweeps[j] > sweep || kept++ < c->config->keep) continue; /* later ones are not of this run: left alone */
    gmf_checkpoint_path(c, sweeps[j], path, sizeof path);
    unlink(path);
  }
}
