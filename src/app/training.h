/* What a training run holds: app/train.c runs it, app/train_model.c writes its files. */
#ifndef GMF_APP_TRAINING_H
#define GMF_APP_TRAINING_H

#include "app/roofline.h"
#include "app/saving.h"
#include "app/train.h"
#include "app/validate.h"

typedef struct gmf_training {
  const gmf_grid *grid; /* borrowed, like the next four */
  const gmf_train_job *job;
  const gmf_config *config;      /* the job's */
  gmf_log *log;                  /* */
  gmf_dataset *dataset;          /* */
  gmf_axis *axes[GMF_N_SIDES];   /* owned, like the rest */
  gmf_node *node;                /* whose ranks share expanded rows, or NULL */
  gmf_hops *hops;                /* where two hops are considered, or NULL */
  gmf_heavy *heavy[GMF_N_SIDES]; /* NULL where a side has no heavy rows */
  gmf_block *blocks[GMF_N_SIDES];
  gmf_side_features features[GMF_N_SIDES]; /* my slices, where they are asked for */
  gmf_als *als;                            /* NULL for popularity, which has */
  gmf_factor *popularity[GMF_N_SIDES];     /* these */
  gmf_writer *writer;
  double *objective, *loss, *seconds; /* [iterations] */
  int64_t n_sweeps;                   /* done, by this run or before it */
  int64_t first_sweep;                /* of this run */
  int64_t expand_bytes;               /* of gmf_als_options */
  double started, sweep_started;      /* when it began; when its latest sweep did */
  gmf_saving saving;
  gmf_validation *validation; /* NULL without --test */
  gmf_roofline roofline;      /* with --roofline */
} gmf_training;

/* Collective. The model after the sweeps so far, with a writer that knows its options. last: rows are freed on the way.
 */
gmf_status gmf_training_write(gmf_training *t, gmf_writer *w, bool with_seen, bool last, gmf_error *err);

/* Collective. A gmf_save_fn: the model, and what the run needs to go on. */
gmf_status gmf_training_save(void *training, gmf_writer *w, gmf_error *err);

/* Collective. Takes factors and history from a checkpoint, which fits. */
gmf_status gmf_training_load(gmf_training *t, gmf_model_file *file, int64_t sweep, gmf_error *err);

#endif
