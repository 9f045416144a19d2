/* `gridmf export`: one of our files in a format of others. */
#ifndef GMF_APP_EXPORT_H
#define GMF_APP_EXPORT_H

#include "app/config.h"
#include "app/log.h"

/* Collective. Rank 0 works, the others wait for its status. */
gmf_status gmf_export(const gmf_grid *grid, const char *path, const gmf_config *config, const gmf_log *log,
                      gmf_error *err);

#endif
