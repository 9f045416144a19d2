/*
 * Checkpoints: a folder of model files, NNNNNN.h5 after sweep NNNNNN (svd: restart or pass), each with a /state group
 * that says which run it belongs to. They are written as every file is (io/writer.h), so a visible one is complete;
 * which of them to go on from is found by reading them all, newest first, and never by a name that points.
 */
#ifndef GMF_APP_CHECKPOINT_H
#define GMF_APP_CHECKPOINT_H

#include "app/config.h"
#include "app/log.h"
#include "io/fingerprint.h"
#include "io/model_read.h"

typedef struct gmf_checkpoints {
  const gmf_grid *grid; /* borrowed, like the rest */
  const gmf_config *config;
  const gmf_log *log;
  bool enabled;                            /* --checkpoint was given */
  char fingerprint[GMF_FINGERPRINT_BYTES]; /* of the dataset */
  char stop_file[GMF_PATH_BYTES + 16];     /* in the folder */
  double last;                             /* monotonic seconds when one was written, or the run began */
} gmf_checkpoints;

/* Local. What a run counts: "sweep", "restart", "pass"; and how many it makes at most, INT64_MAX where nothing says. */
const char *gmf_checkpoint_unit(const gmf_config *config);
int64_t gmf_checkpoint_limit(const gmf_config *config);

/*
 * Collective. Makes the folder where it is missing and tries to write there (GMF_ERR_CREATE), so that a run knows
 * before its first sweep. Does nothing without --checkpoint.
 */
gmf_status gmf_checkpoints_open(const gmf_grid *grid, const gmf_config *config, const gmf_log *log,
                                const gmf_dataset *dataset, gmf_checkpoints *checkpoints, gmf_error *err);

/*
 * Collective. What --resume asks to go on from: the newest checkpoint of the folder that is whole, or the file or
 * folder that it names. *file stays NULL where there is none. Damaged ones are named in the log and passed over;
 * GMF_ERR_DATA when all are damaged. GMF_ERR_CONFIG with both values when the dataset or an option that is mathematics
 * differs. Caller closes.
 */
gmf_status gmf_checkpoints_find(const gmf_checkpoints *checkpoints, gmf_model_file **file, int64_t *sweep,
                                gmf_error *err);

/* Collective. Whether one is due after this sweep, by rank 0's clock. */
bool gmf_checkpoints_due(const gmf_checkpoints *checkpoints);

/* Local. Path of the checkpoint after a sweep. */
void gmf_checkpoint_path(const gmf_checkpoints *checkpoints, int64_t sweep, char *out, size_t size);

/* Local. The /state group of a file in the making. */
void gmf_checkpoint_add_state(const gmf_checkpoints *checkpoints, gmf_writer *w, int64_t sweep, int threads);

/* Local. After the checkpoint of `sweep` was written: notes the time, and on rank 0 removes older ones but --keep of
 * them. */
void gmf_checkpoints_written(gmf_checkpoints *checkpoints, int64_t sweep);

#endif
