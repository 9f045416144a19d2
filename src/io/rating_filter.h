/* Users and items leave a rating matrix that is spread over ranks; those that stay are numbered again. */
#ifndef GMF_IO_RATING_FILTER_H
#define GMF_IO_RATING_FILTER_H

#include "io/id_table.h"
#include "io/rating_rows.h"

/*
 * Collective. Keeps the items of `space` that at least `minimum` (1 or more) ratings of all ranks are of; ratings of
 * the others go. counted [my ratings]: the ratings that count, NULL: all do.
 */
gmf_status gmf_keep_items(const gmf_grid *grid, int64_t minimum, const bool *counted, gmf_id_space *space,
                          gmf_rating_rows *rows, gmf_error *err);

/*
 * Collective. Keeps the users of `space` that count at least `minimum` (1 or more), and their ratings.
 * counts [rows->n_rows]: of my users, NULL: the number of their ratings.
 */
gmf_status gmf_keep_users(const gmf_grid *grid, int64_t minimum, const int64_t *counts, gmf_id_space *space,
                          gmf_rating_rows *rows, gmf_error *err);

#endif
