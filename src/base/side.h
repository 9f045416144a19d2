/* The two axes of a rating matrix. Code is written once and takes a side. */
#ifndef GMF_BASE_SIDE_H
#define GMF_BASE_SIDE_H

typedef enum gmf_side { GMF_USERS = 0, GMF_ITEMS = 1 } gmf_side;
enum { GMF_N_SIDES = 2 };

static inline gmf_side gmf_other_side(gmf_side side) { return side == GMF_USERS ? GMF_ITEMS : GMF_USERS; }
/* "users", "items": also the names of the groups in the files. */
static inline const char *gmf_side_name(gmf_side side) { return side == GMF_USERS ? "users" : "items"; }
/* "user", "item": for messages. */
static inline const char *gmf_side_noun(gmf_side side) { return side == GMF_USERS ? "user" : "item"; }

#endif
