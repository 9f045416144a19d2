/* `gridmf split`: a dataset into the files that a model is trained on, known by and judged by. */
#ifndef GMF_APP_SPLIT_H
#define GMF_APP_SPLIT_H

#include "app/config.h"
#include "app/log.h"

/*
 * Collective. Which ratings are held out is a function of the dataset, the options and the seed only:
 *
 *   random --fraction F      each rating with probability F
 *   random --count N         N ratings of each user with more than N, drawn by chance
 *   leave-last --count N     the N latest ratings of each user with more than N
 *   leave-last --fraction F  the floor(F d) latest of a user's d ratings
 *   time --fraction F        all ratings at or after a time, the earliest one that leaves no more than F of all ratings
 *                            held out: ratings of one time stay together
 *   time --count N           the same with N ratings
 *   users --fraction F       floor(F m) of the m users that have ratings, drawn by chance
 *   users --count N          N users; fewer than there are
 *
 * leave-last: of equal times the higher item row counts as later. Whatever a rating carries (time, weight) goes with
 * it.
 *
 * All methods but users write two files with the same users, items and ids. users writes three:
 *
 *   TRAIN    all ratings of the users that are not held out; users and items without any are not in the file
 *   FOLD-IN  held-out users' ratings of TRAIN's items, all but those in
 *   TEST     floor(T n) of a held-out user's n ratings of TRAIN's items, drawn by chance, T = --test-fraction; none
 *            where n < 5
 *
 * FOLD-IN and TEST have the same users, the held-out ones, and the items of TRAIN in the same rows.
 */
gmf_status gmf_split(const gmf_grid *grid, const char *dataset, const gmf_config *config, const gmf_log *log,
                     gmf_error *err);

#endif
