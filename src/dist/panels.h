/*
 * A block's rows in panels, so that not all the fixed rows that its ratings touch need be there at once: consecutive
 * rows as long as they touch few enough fixed rows together. A fixed row travels once for each panel that touches it.
 * While one panel's rows are solved, the next one's fixed rows come in.
 */
#ifndef GMF_DIST_PANELS_H
#define GMF_DIST_PANELS_H

#include "dist/block.h"

typedef struct gmf_panels {
  int n;              /* of all ranks alike; those of a rank with fewer rows are empty */
  gmf_expand **plans; /* owned [n] */
  int64_t *begin;     /* owned [n + 1]: panel p has the rows block->by_work[begin[p] ... begin[p + 1]) */
} gmf_panels;

/*
 * Collective. Cuts a block on a grid of one column into panels of at most most_slots fixed rows each (any number of a
 * rank's own), or of one row with more. Heavy rows' ratings, block->next, have a panel of their own, the last one,
 * whatever its length. *out is NULL where every rank's block is one panel anyway; else block->cols and block->by_work
 * follow the panels from then on, and block->expand is of no use.
 */
gmf_status gmf_panels_create(gmf_block *block, int64_t most_slots, gmf_panels **out, gmf_error *err);
void gmf_panels_destroy(gmf_panels **panels);

#endif
