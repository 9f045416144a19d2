/* `gridmf recommend`: top-N lists of all users of a model, or some, into a file. */
#ifndef GMF_APP_RECOMMEND_H
#define GMF_APP_RECOMMEND_H

#include "app/config.h"
#include "app/log.h"

/*
 * Collective. Users are divided among the ranks in blocks of rows; each rank asks the library (gridmf/query.h) for
 * batches of them, so that lists and scores are those of gridmf-query, and writes them as they are done: what it holds
 * does not grow with the model, but for 8 bytes for each user of --users FILE.
 */
gmf_status gmf_recommend_users(const gmf_grid *grid, const char *model, const gmf_config *config, int argc,
                               char *const *argv, gmf_log *log, gmf_error *err);

#endif
