/*
 * A rank's rows of a rating matrix with all that a rating carries, in memory: what import makes, split cuts up and
 * dataset files hold. Local.
 */
#ifndef GMF_IO_RATING_ROWS_H
#define GMF_IO_RATING_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct gmf_rating_rows {
  int64_t row_begin, n_rows; /* consecutive users, in rank order */
  int64_t *indptr;           /* owned [n_rows + 1], from 0 */
  int64_t *items;            /* owned [indptr[n_rows]]: ascending within a user */
  float *values;             /* owned [indptr[n_rows]] */
  int64_t *times;            /* owned [indptr[n_rows]]; NULL on all ranks where times are not known */
  float *weights;            /* owned [indptr[n_rows]]; NULL on all ranks where all are 1 */
} gmf_rating_rows;

/* Room for n ratings of n_rows users: indptr is zero, the rest is not set. To be freed after a failure too. */
gmf_status gmf_rating_rows_new(int64_t n_rows, int64_t n, bool has_time, bool has_weight, gmf_rating_rows *out,
                               gmf_error *err);
void gmf_rating_rows_free(gmf_rating_rows *rows);

/* Rating j of `from` becomes rating `at` of `to`, which may be the same rows. */
static inline void gmf_rating_rows_copy_one(gmf_rating_rows *to, int64_t at, const gmf_rating_rows *from, int64_t j)
{
  to->items[at] = from->items[j];
  to->values[at] = from->values[j];
  if (to->times != NULL) to->times[at] = from->times[j];
  if (to->weights != NULL) to->weights[at] = from->weights[j];
}

/* The same for ratings [begin, begin + n) of one and the same rows. */
void gmf_rating_rows_move(gmf_rating_rows *rows, int64_t at, int64_t begin, int64_t n);

/* Ratings with a negative item go; the others close up. */
void gmf_rating_rows_drop_ratings(gmf_rating_rows *rows);

/* Users with new_rows[row] < 0 go with their ratings, new_rows [n_rows]. row_begin is left to the caller. */
void gmf_rating_rows_drop_users(gmf_rating_rows *rows, const int64_t *new_rows);

#endif
