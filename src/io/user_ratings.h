/* Ratings of any users of a dataset, whichever rank reads them. Local. */
#ifndef GMF_IO_USER_RATINGS_H
#define GMF_IO_USER_RATINGS_H

#include "io/dataset.h"
#include "io/id_match.h"

/* Ratings of some users, one user after the other. Fit for {0}; may be used again for other users. */
typedef struct gmf_user_ratings {
  int64_t *begin; /* owned [n + 1], from 0: where each user's ratings begin */
  int64_t *items; /* owned [begin[n]]: as they stand in the file */
  float *values;  /* owned, likewise */
  float *weights; /* owned, likewise; 1 where the file has none */
  int64_t begin_capacity, items_capacity, values_capacity, weights_capacity;
} gmf_user_ratings;

/* Room for n users, and for n_ratings ratings. */
gmf_status gmf_user_ratings_reserve(gmf_user_ratings *r, int64_t n, int64_t n_ratings, gmf_error *err);
void gmf_user_ratings_free(gmf_user_ratings *r);

/* The ratings of the users in `rows` [n], in that order; users that follow each other are read at once. GMF_ERR_DATA
 * when the file is damaged. */
gmf_status gmf_read_user_ratings(const gmf_dataset *dataset, const int64_t *rows, int64_t n, gmf_user_ratings *out,
                                 gmf_error *err);

/*
 * The ratings of n users in the numbering of a model: item_rows[i] is the row of item i, -1 where it has none and the
 * rating is left out. In ascending order of the rows within a user.
 */
gmf_status gmf_map_user_ratings(const gmf_user_ratings *from, int64_t n, const int64_t *item_rows,
                                gmf_user_ratings *out, gmf_error *err);

/* Puts each user's items into ascending order; values and weights stay where they are, and are of no use then. */
void gmf_order_user_items(gmf_user_ratings *ratings, int64_t n);

/* counts [n]: the numbers of ratings of users [begin, begin + n). */
gmf_status gmf_read_user_counts(const gmf_dataset *dataset, int64_t begin, int64_t n, int64_t *counts, gmf_error *err);

/* One side of a dataset to look ids up in. Only users have counts: an item is found whether it has ratings or not. */
gmf_status gmf_dataset_id_source(gmf_dataset *dataset, gmf_side side, gmf_id_source *out, gmf_error *err);

/* How many of n rows from rows[0] on follow each other. */
static inline int64_t gmf_run_length(const int64_t *rows, int64_t n)
{
  int64_t length = n > 0;
  while (length < n && rows[length] == rows[0] + length) length++;
  return length;
}

#endif
