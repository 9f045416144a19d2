/* EASE: the linear item-item autoencoder of Steck, in closed form. */
#ifndef GMF_ALGO_EASE_H
#define GMF_ALGO_EASE_H

#include "algo/item_weights.h"
#include "linalg/spd_inverse.h"

typedef struct gmf_ease_options {
  double lambda;
  bool single;                                   /* factorise in f4 */
  void (*progress)(void *context, double share); /* may be NULL */
  void *context;
} gmf_ease_options;

typedef struct gmf_ease {
  gmf_spd *inverse; /* owned: P */
  double *diagonal; /* owned [n]: of P */
} gmf_ease;

/*
 * Collective. ratings: rows are users, items stand in dataset order; users on one rank each; *entries, which are those
 * of the ratings, are given back (gmf_free) as soon as they are not needed, and become NULL. GMF_ERR_NUMERIC, without a
 * text, where G + lambda I is singular to the precision; *singular is the item at which it shows then.
 */
gmf_status gmf_ease_create(const gmf_grid *grid, const gmf_ease_options *options, const gmf_gram_problem *ratings,
                           gmf_entry **entries, gmf_ease **out, int *singular, gmf_error *err);
/* Collective. */
void gmf_ease_destroy(gmf_ease **ease);

/* Collective. out [count][n]: rows [begin, begin + count) of B; each rank asks for its own, or none. */
gmf_status gmf_ease_rows(const gmf_ease *ease, int64_t begin, int64_t count, double *out, gmf_error *err);

/*
 * Collective. The n_keep weights of largest size in each column of B, those that make the score of an item; ties go to
 * the lower row. out: my slice of the rows.
 */
gmf_status gmf_ease_keep(const gmf_ease *ease, int64_t n_keep, gmf_weight_slice *out, gmf_error *err);

#endif
