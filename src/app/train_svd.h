/* `gridmf train --algorithm svd`: from distributed ratings to certified triplets and their model. */
#ifndef GMF_APP_TRAIN_SVD_H
#define GMF_APP_TRAIN_SVD_H

#include "app/saving.h"
#include "dist/block.h"

/* What a training run has made before the algorithm begins. All borrowed. */
typedef struct gmf_svd_run {
  const gmf_grid *grid;
  const gmf_config *config;
  gmf_log *log;
  const gmf_dataset *dataset;
  gmf_axis *const *axes;    /* [GMF_N_SIDES] */
  gmf_block *const *blocks; /* [GMF_N_SIDES]; their expansion carries what gmf_svd_measure says */
  gmf_writer *writer;       /* opened, with the attributes of the run */
  gmf_saving *saving;       /* started */
  gmf_model_file *resumed;  /* a checkpoint that fits; NULL: from the start */
} gmf_svd_run;

/* Collective. Computes, prints and writes, for options that gmf_svd_check lets pass. */
gmf_status gmf_train_svd(const gmf_svd_run *run, gmf_error *err);

#endif
