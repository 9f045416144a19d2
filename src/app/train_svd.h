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
  gmf_block *const *blocks; /* [GMF_N_SIDES]; their expansion carries gmf_train_svd_row_bytes */
  gmf_writer *writer;       /* opened, with the attributes of the run */
  gmf_saving *saving;       /* started */
  gmf_model_file *resumed;  /* a checkpoint that fits; NULL: from the start */
} gmf_svd_run;

/* Local. The longest row that a run expands. */
size_t gmf_train_svd_row_bytes(const gmf_config *config, const gmf_dataset *dataset);

/* Collective. Computes, prints and writes. GMF_ERR_USAGE where there are fewer singular values than --factors. */
gmf_status gmf_train_svd(const gmf_svd_run *run, gmf_error *err);

#endif
