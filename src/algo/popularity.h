/* The yardstick: every user gets the items with most training ratings. */
#ifndef GMF_ALGO_POPULARITY_H
#define GMF_ALGO_POPULARITY_H

#include "dist/block.h"
#include "dist/factor.h"

/*
 * Collective. factors[side]: new, one column, as popularity.c has the formula. axes and blocks: borrowed; axes must
 * outlive the factors. Owned by the caller (gmf_factor_destroy).
 */
gmf_status gmf_popularity_create(const gmf_grid *grid, gmf_axis *const axes[GMF_N_SIDES],
                                 gmf_block *const blocks[GMF_N_SIDES], gmf_factor *factors[GMF_N_SIDES],
                                 gmf_error *err);

#endif
