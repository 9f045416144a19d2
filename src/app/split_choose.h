/* Which of the files of a split each rating goes to. */
#ifndef GMF_APP_SPLIT_CHOOSE_H
#define GMF_APP_SPLIT_CHOOSE_H

#include "app/config.h"
#include "io/id_table.h"
#include "io/rating_rows.h"

typedef enum gmf_part { GMF_PART_TRAIN, GMF_PART_TEST, GMF_PART_FOLD_IN, GMF_N_PARTS } gmf_part;

/* A held-out user with fewer ratings has none of them in the test set (Liang et al. 2018). */
enum { GMF_LEAST_TESTED_RATINGS = 5 };

typedef struct gmf_choice {
  unsigned char *part; /* owned [my ratings]: a gmf_part */
  bool *is_held_out;   /* owned [my users]; NULL where users are not held out as a whole */
  /* Of all ranks. */
  bool has_cut;
  int64_t cut_time;                  /* time: ratings at or after it are held out, if any are */
  int64_t n_users, n_held_out_users; /* users: with ratings; of these held out */
  int64_t n_untested_users;          /* of the held-out users: with too few ratings */
  int64_t n_dropped;                 /* ratings of held-out users of items that no training user has rated */
} gmf_choice;

void gmf_choice_free(gmf_choice *choice);

/*
 * Collective. Decides by the method of the configuration; see app/split.h.
 *   rows, items   my ratings, and the items of the dataset; users: out, without the items that only held-out users
 *                 have rated, and those ratings
 * Errors: GMF_ERR_DATA where nobody is left to train on (path: the dataset, for the message).
 */
gmf_status gmf_split_choose(const gmf_grid *grid, const gmf_config *config, const char *path, gmf_rating_rows *rows,
                            gmf_id_space *items, gmf_choice *choice, gmf_error *err);

#endif
