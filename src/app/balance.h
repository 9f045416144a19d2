/* How evenly a training lies on its ranks. */
#ifndef GMF_APP_BALANCE_H
#define GMF_APP_BALANCE_H

#include "app/memory_check.h"

/*
 * Collective. Ratings, operations and received bytes of a sweep of als or ials, and memory, as the rank that has most
 * compares with the mean: a line of the log, and an event. memory: after gmf_train_memory_exact.
 */
void gmf_balance_log(const gmf_grid *grid, const gmf_config *config, gmf_block *const blocks[GMF_N_SIDES],
                     const gmf_train_memory *memory, const gmf_log *log);

#endif
