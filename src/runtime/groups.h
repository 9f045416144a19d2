/*
 * The ranks of a run as groups of equal size that work on things of their own: group g has the ranks g S to g S + S - 1
 * of the world, S = its size / the number of groups. What is to be done is numbered, and a group that is free takes the
 * next number; what came of it goes as a text to rank 0 of the world. Nothing else passes between groups until all are
 * done.
 */
#ifndef GMF_RUNTIME_GROUPS_H
#define GMF_RUNTIME_GROUPS_H

#include "runtime/grid.h"

typedef struct gmf_groups gmf_groups;

enum { GMF_GROUPS_TEXT_BYTES = 1 << 16 }; /* of a text that is posted, with its NUL */

/* Rank 0 of the world gets a text that was posted. Local. */
typedef void gmf_groups_take(void *context, const char *text);

/* Collective over world, which is borrowed and must outlive this. n: divides its ranks. */
gmf_status gmf_groups_create(const gmf_grid *world, int n, gmf_groups **out, gmf_error *err);
/* Collective over the world, after gmf_groups_finish. */
void gmf_groups_destroy(gmf_groups **groups);

/* Collective over my group: its ranks as a grid that counts in the world's trace. Caller destroys it. */
gmf_status gmf_groups_grid(const gmf_groups *groups, int n_rows, int n_cols, gmf_grid **out, gmf_error *err);

/* Local. The ranks that have my rank in their groups, ordered by group; owned by the groups. */
const gmf_grid *gmf_groups_peers(const gmf_groups *groups);

/* Local. How many groups, and which is mine. */
int gmf_groups_n(const gmf_groups *groups);
int gmf_groups_index(const gmf_groups *groups);

/* Local, for one rank of a group: 0, 1, 2, ... each of which is given once. After gmf_groups_close, by anyone, no more:
 * -1. */
int64_t gmf_groups_next(gmf_groups *groups);
void gmf_groups_close(gmf_groups *groups);

/* Local. Sends a copy of the text, of at most GMF_GROUPS_TEXT_BYTES, to rank 0 of the world, and does not wait. */
gmf_status gmf_groups_post(gmf_groups *groups, const char *text, gmf_error *err);

/* Local. On rank 0 of the world takes what has arrived; does nothing elsewhere. */
void gmf_groups_collect(gmf_groups *groups, gmf_groups_take *take, void *context);

/*
 * Collective over the world: returns when all are here and rank 0 has taken all that was posted. Groups that are done
 * early wait here for as long as others work, which is no stall.
 */
void gmf_groups_finish(gmf_groups *groups, gmf_groups_take *take, void *context);

#endif
