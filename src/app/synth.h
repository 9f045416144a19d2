/* `gridmf synth`: a dataset with power-law degrees and planted low rank, the same for any number of ranks. */
#ifndef GMF_APP_SYNTH_H
#define GMF_APP_SYNTH_H

#include "app/config.h"
#include "app/log.h"

/* Collective. See synth.c for the model. GMF_ERR_USAGE when users x items cannot hold the ratings asked for. */
gmf_status gmf_synth(const gmf_grid *grid, const gmf_config *config, const gmf_log *log, gmf_error *err);

#endif
