#include "app/saving.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>

#include "app/provenance.h"
#include "io/layout.h"

gmf_status gmf_saving_start(const gmf_grid *grid, const gmf_train_job *job, gmf_saving *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *s = (gmf_saving){.grid = grid, .job = job};
  GMF_TRY(gmf_checkpoints_open(grid, job->config, job->log, job->dataset, &s->checkpoints, err));
  if (s->checkpoints.enabled)
    gmf_stopping_start(&s->stopping, job->config->max_time,
                       job->stop_file != NULL ? job->stop_file : s->checkpoints.stop_file);
cleanup:
  return status;
}

void gmf_saving_describe(const gmf_saving *s, gmf_writer *w)
{
  gmf_provenance_add_options(w, GMF_VERB_TRAIN, s->job->config);
  gmf_provenance_add(w, s->grid, s->job->argc, s->job->argv, omp_get_max_threads());
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "dataset", s->job->dataset->path);
}

bool gmf_saving_due(gmf_saving *s, double seconds)
{
  if (!s->checkpoints.enabled) return false;
  s->stopping.longest_sweep = fmax(s->stopping.longest_sweep, seconds);
  s->reason = gmf_stopping_decide(s->grid, &s->stopping);
  return s->reason != GMF_STOP_NONE || gmf_checkpoints_due(&s->checkpoints);
}

/* Collective. */
static gmf_status write_checkpoint(gmf_saving *s, int64_t n, gmf_save_fn *save, void *context, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_writer *w = NULL;
  char path[GMF_PATH_BYTES + 32];
  double begin = gmf_monotonic_seconds();
  gmf_checkpoint_path(&s->checkpoints, n, path, sizeof path);
  GMF_TRY(gmf_writer_open(s->grid, path, GMF_FORMAT_MODEL, &w, err));
  gmf_saving_describe(s, w);
  gmf_checkpoint_add_state(&s->checkpoints, w, n, omp_get_max_threads());
  GMF_TRY(save(context, w, err));
  gmf_checkpoints_written(&s->checkpoints, n);
  double seconds = gmf_monotonic_seconds() - begin;
  s->stopping.longest_writing = fmax(s->stopping.longest_writing, seconds);
  gmf_log_line(s->job->log, "checkpoint %s: %.1f MB in %.2f s", path, (double)gmf_writer_bytes(w) / 1e6, seconds);
  gmf_log_event(s->job->log, "checkpoint",
                json_pack("{s:s, s:I, s:I, s:f}", "path", path, gmf_checkpoint_unit(s->job->config), (json_int_t)n,
                          "bytes", (json_int_t)gmf_writer_bytes(w), "seconds", seconds));
cleanup:
  gmf_writer_destroy(&w);
  return status;
}

gmf_status gmf_saving_write(gmf_saving *s, int64_t n, gmf_save_fn *save, void *context, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_config *config = s->job->config;
  const char *unit = gmf_checkpoint_unit(config), *text = gmf_stop_reason_text(s->reason);
  int64_t limit = gmf_checkpoint_limit(config);
  char of[32] = "";
  GMF_TRY(write_checkpoint(s, n, save, context, err));
  if (s->reason == GMF_STOP_NONE) return GMF_OK;
  if (s->reason == GMF_STOP_FILE && s->grid->rank == 0 && s->job->stop_file == NULL) remove(s->checkpoints.stop_file);
  gmf_log_event(s->job->log, "stop", json_pack("{s:s, s:I}", "reason", text, unit, (json_int_t)n));
  if (limit < INT64_MAX) snprintf(of, sizeof of, " of %" PRId64, limit);
  GMF_TRY(gmf_fail(err, GMF_STOPPED,
                   "stopped by %s after %s %" PRId64 "%s; the checkpoint in %s is whole: give the same command again "
                   "to go on",
                   text, unit, n, of, config->checkpoint));
cleanup:
  return status;
}
