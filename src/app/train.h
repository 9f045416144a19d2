/* `gridmf train`: ratings to blocks, sweeps, model file. */
#ifndef GMF_APP_TRAIN_H
#define GMF_APP_TRAIN_H

#include "algo/metrics.h"
#include "app/config.h"
#include "app/log.h"
#include "io/dataset.h"

/* What came of a training, the same on all ranks. */
typedef struct gmf_train_outcome {
  int64_t n_sweeps;                /* done, by this run or those that it goes on from */
  int64_t model_sweep;             /* that the model is of: the last, or with early stopping the best */
  double objective;                /* after it; NaN without sweeps */
  double seconds;                  /* of all sweeps */
  bool has_metrics;                /* there was a validation after that sweep */
  double metrics[GMF_METRICS_MAX]; /* of it, in the order of --metrics */
} gmf_train_outcome;

/* A training with a resolved configuration. All borrowed. */
typedef struct gmf_train_job {
  gmf_dataset *dataset; /* opened on the grid that trains */
  const gmf_config *config;
  gmf_log *log;
  int argc; /* the command line, for the files */
  char *const *argv;
  const char *stop_file; /* ends the run while it is there; NULL: STOP in the folder of the checkpoints, which a run
                            that it ends removes */
  /* Local, the same on all ranks: whether the model is worth writing. NULL: it is. Not asked for svd, whose outcome
   * stands in the model. */
  bool (*wants_model)(void *context, const gmf_train_outcome *outcome);
  void *context;
} gmf_train_job;

/* Collective. grid: 1 x ranks or R x C as config->grid asks. */
gmf_status gmf_train_run(const gmf_grid *grid, const gmf_train_job *job, gmf_train_outcome *out, gmf_error *err);

/* Collective. The whole verb: opens the dataset, and trains. */
gmf_status gmf_train(const gmf_grid *grid, const char *dataset, const gmf_config *config, int argc, char *const *argv,
                     gmf_log *log, gmf_error *err);

#endif
