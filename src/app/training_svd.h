/* What a training of an SVD holds: app/train_svd.c runs it, app/train_svd_model.c writes its files. */
#ifndef GMF_APP_TRAINING_SVD_H
#define GMF_APP_TRAINING_SVD_H

#include "algo/svd.h"
#include "app/train_svd.h"

/* One value a restart. */
typedef struct gmf_svd_history {
  double *residual, *products, *seconds; /* owned [capacity] */
  int64_t n, capacity;
  double before; /* when the last restart ended */
} gmf_svd_history;

typedef struct gmf_svd_training {
  const gmf_svd_run *run; /* borrowed */
  gmf_svd_history history;
  double step_began; /* the restart or pass that runs */
} gmf_svd_training;

/* Collective. The model with its certificates. */
gmf_status gmf_svd_training_write(const gmf_svd_training *t, const gmf_svd *svd, gmf_error *err);

/* Collective. As `save` of gmf_svd_saver: a checkpoint; GMF_STOPPED where the run ends with it. */
gmf_status gmf_svd_training_save(void *training, const gmf_svd *svd, const gmf_svd_state *state, gmf_error *err);

/* Collective. The numbers of run->resumed, a checkpoint that fits, into *state, and its history. */
gmf_status gmf_svd_training_resume(gmf_svd_training *t, gmf_svd_state *state, gmf_error *err);

/* Collective. As `load` of gmf_svd_saver: what the pointers of the state stand for. */
gmf_status gmf_svd_training_load(void *training, const gmf_svd_state *state, gmf_error *err);

#endif
