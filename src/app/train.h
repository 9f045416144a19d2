/* `gridmf train`: ratings to blocks, sweeps, model file. */
#ifndef GMF_APP_TRAIN_H
#define GMF_APP_TRAIN_H

#include "app/config.h"
#include "app/log.h"

/* Collective. The whole verb; grid: 1 x ranks or R x C as config->grid asks. */
gmf_status gmf_train(const gmf_grid *grid, const char *dataset, const gmf_config *config, int argc, char *const *argv,
                     gmf_log *log, gmf_error *err);

#endif
