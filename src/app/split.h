/* `gridmf split`: a dataset into a training and a test set with the same users, items and ids. */
#ifndef GMF_APP_SPLIT_H
#define GMF_APP_SPLIT_H

#include "app/config.h"
#include "app/log.h"

/*
 * Collective. Which ratings are held out is a function of the dataset, the options and the seed only:
 *
 *   random --fraction F      each rating with probability F
 *   random --count N         N ratings of each user with more than N, drawn by chance
 *   leave-last --count N     the N latest ratings of each user with more than N
 *   leave-last --fraction F  the floor(F d) latest of a user's d ratings
 *
 * Equal times: the higher item row counts as later.
 */
gmf_status gmf_split(const gmf_grid *grid, const char *dataset, const gmf_config *config, const gmf_log *log,
                     gmf_error *err);

#endif
