/* The verb attach: features from a text file into a dataset. */
#ifndef GMF_APP_ATTACH_H
#define GMF_APP_ATTACH_H

#include "app/config.h"
#include "app/log.h"

/* Collective. Writes config->output. The text is read and kept as a whole by rank 0, its features by all ranks. */
gmf_status gmf_attach_run(const gmf_grid *grid, const char *dataset, const gmf_config *config, const gmf_log *log,
                          gmf_error *err);

#endif
