/* What expand.c, expand_hops.c and expand_node.c share. */
#ifndef GMF_DIST_EXPAND_INTERNAL_H
#define GMF_DIST_EXPAND_INTERNAL_H

#include "dist/expand.h"

/* What I want: key keys[j] of rank of[j] of a grid, j < n. */
typedef struct gmf_wants {
  int64_t n;
  int32_t *of;   /* owned [n] */
  int64_t *keys; /* owned [n] */
} gmf_wants;

/* Local. */
gmf_status gmf_wants_new(int64_t n, gmf_wants *wants, gmf_error *err);
void gmf_wants_free(gmf_wants *wants);

/*
 * Collective over the grid, and agreed over it. A plan for what is wanted, but for the numbers of the rows: places by
 * the rank that is asked, my own last; slot_of [n]. asked [n_send + n_own]: the keys that others want of me, by
 * receiver, and after them those that I want of myself.
 */
gmf_status gmf_expand_ask(const gmf_grid *grid, const gmf_wants *wants, int32_t *slot_of, gmf_expand **out,
                          int64_t **asked, gmf_error *err);

/* Local. numbers [n_send + n_own]: of my rows, in the order of what was asked. */
void gmf_expand_number(gmf_expand *plan, const int64_t *numbers);

#endif
