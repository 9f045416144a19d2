/* How fixed rows come to their ranks, as far as it is left to the program: the same for a training and its plan. */
#ifndef GMF_APP_WAYS_H
#define GMF_APP_WAYS_H

#include "app/config.h"
#include "app/log.h"
#include "dist/hops_choice.h"

enum { GMF_HOPS_LEAST = 256 /* ranks, from which on --hops auto considers two hops */ };

/* Local. Whether a training of n_ranks, of which node_ranks share expanded rows, considers two hops or is told to take
 * them; memory may still be in the way. */
bool gmf_hops_considered(const gmf_config *config, int n_ranks, int node_ranks);

/* Local. What was chosen for a half-sweep that considered two hops, and why. */
void gmf_hops_reason(const gmf_hops_choice *choice, int n_ranks, char *out, size_t size);

/* Local. Says it, a line for each side that was considered. */
void gmf_hops_log(const gmf_log *log, int n_ranks, const gmf_hops_choice choices[GMF_N_SIDES]);

#endif
