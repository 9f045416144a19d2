/*
 * Between two pieces of a training's work - sweeps, restarts of a search, passes over the matrix: a checkpoint when one
 * is due, and the end of the run when something asks for it.
 */
#ifndef GMF_APP_SAVING_H
#define GMF_APP_SAVING_H

#include "app/checkpoint.h"
#include "app/stopping.h"
#include "app/train.h"
#include "io/writer.h"

typedef struct gmf_saving {
  const gmf_grid *grid;     /* borrowed, like the next */
  const gmf_train_job *job; /* */
  gmf_checkpoints checkpoints;
  gmf_stopping stopping;
  gmf_stop_reason reason; /* of the last gmf_saving_due */
} gmf_saving;

/* Collective. Tries the folder of the checkpoints, and begins to watch for what stops a run, where there is one. job:
 * must outlive the saving. */
gmf_status gmf_saving_start(const gmf_grid *grid, const gmf_train_job *job, gmf_saving *saving, gmf_error *err);

/* Local. What every file of the run says of it. */
void gmf_saving_describe(const gmf_saving *saving, gmf_writer *w);

/* Collective. Whether a checkpoint is to be written after a piece that took so many seconds, and is not the last. */
bool gmf_saving_due(gmf_saving *saving, double seconds);

/* Collective. Writes the model so far and what the run needs to go on, with a writer that knows the run's options. */
typedef gmf_status gmf_save_fn(void *context, gmf_writer *w, gmf_error *err);

/* Collective. Where gmf_saving_due said so: writes the checkpoint after `n` pieces. GMF_STOPPED where the run ends with
 * it. */
gmf_status gmf_saving_write(gmf_saving *saving, int64_t n, gmf_save_fn *save, void *context, gmf_error *err);

#endif
