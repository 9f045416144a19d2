/*
 * The held-out ratings of a test file, matched by id with what is evaluated, and scored. Test users are divided among
 * the ranks as the file's readers divide them; a rank keeps some words for each of its test users, and a row number for
 * each item of the files.
 */
#ifndef GMF_APP_HELD_OUT_H
#define GMF_APP_HELD_OUT_H

#include "algo/metrics.h"
#include "app/subject.h"

/* What there is to score, and what is passed over; the same on all ranks. Users are those with ratings in the test
 * file. */
typedef struct gmf_held_out_counts {
  int64_t n_test;           /* ratings in the test file */
  int64_t n_cold_users;     /* users whom the model has not trained on, and who have nothing to fold in */
  int64_t n_folded_in;      /* users who are scored by what they have to fold in */
  int64_t n_empty_fold_ins; /* users passed over: of what they have to fold in, the model knows no item */
  int64_t n_cold_ratings;   /* ratings passed over, because their user is, or their item was not trained on */
} gmf_held_out_counts;

/* A test user with something held out that can be scored. */
typedef struct gmf_test_user {
  int64_t test_row; /* in the test file */
  int64_t row;      /* in the model; -1: not trained on */
  int64_t fold_row; /* in the fold-in file; -1: the model's row serves */
  int64_t n_fold;   /* ratings to fold in, of items that the model was trained on */
} gmf_test_user;

typedef struct gmf_held_out {
  const gmf_grid *grid;       /* borrowed, like the next */
  const gmf_subject *subject; /* */
  gmf_dataset *test;          /* owned, like the rest */
  gmf_dataset *fold_in;       /* NULL: none */
  int64_t *item_rows;         /* [items of the test file]: the model's row, -1 where it was not trained on */
  int64_t *fold_item_rows;    /* [items of the fold-in file], likewise */
  gmf_test_user *users;       /* [n_users]: mine, ascending in the test file */
  int64_t n_users;
  gmf_held_out_counts counts;
} gmf_held_out;

/*
 * Collective. Opens and matches. Users with ratings in fold_in ("": no such file) are folded in, whether the model has
 * them or not. grid and subject: borrowed, must outlive the result. GMF_ERR_DATA when the test file has nothing in
 * common with what is evaluated.
 */
gmf_status gmf_held_out_open(const gmf_grid *grid, const gmf_subject *subject, const char *test, const char *fold_in,
                             gmf_held_out **out, gmf_error *err);
void gmf_held_out_close(gmf_held_out **held_out);

/* Collective. Fills parsed metrics with what the subject's rows come to now. May be called again when they changed. */
gmf_status gmf_held_out_score(const gmf_held_out *held_out, gmf_metrics *metrics, gmf_error *err);

#endif
