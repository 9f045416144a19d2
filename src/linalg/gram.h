/* The dense item Gram matrix of sparse ratings, in block-cyclic layout. */
#ifndef GMF_LINALG_GRAM_H
#define GMF_LINALG_GRAM_H

#include "linalg/block_cyclic.h"

/* A rating: rows and columns are positions on the axes. */
typedef struct gmf_entry {
  int64_t user;
  int32_t item;
  float value;
} gmf_entry;

/* G_ij - p_i - p_j - q_i c_j - c_i q_j + aa + a1 (c_i + c_j) + m c_i c_j: what centring makes of the Gram matrix G. */
typedef struct gmf_gram_centers {
  const double *p, *q, *c; /* borrowed [n] */
  double aa, a1, m;
} gmf_gram_centers;

typedef struct gmf_gram_problem {
  int64_t n_users;
  int n;                    /* items: the order of the matrix */
  const gmf_entry *entries; /* borrowed: my ratings; each is on one rank */
  int64_t n_entries;
  const gmf_gram_centers *centers; /* borrowed; NULL: none */
} gmf_gram_problem;

/* The ratings that a process needs for its part of G. Fit for {0}. */
typedef struct gmf_gram_ratings {
  struct gmf_gram_rating *of_rows;    /* owned: of the items of its rows, by user */
  struct gmf_gram_rating *of_columns; /* owned: of the items of its columns, by column */
  int64_t *user_begin;                /* owned [n_users + 1] */
  int64_t *column_begin;              /* owned [local columns + 1] */
} gmf_gram_ratings;

/* Collective. Brings the ratings to the processes that need them. GMF_ERR_PLAN for 2^31 users or more. */
gmf_status gmf_gram_gather(const gmf_grid *grid, const gmf_block_cyclic *layout, const gmf_gram_problem *problem,
                           gmf_gram_ratings *out, gmf_error *err);
void gmf_gram_ratings_free(gmf_gram_ratings *ratings);

/*
 * Local. Column j of my part of G, out [local rows]: those from row `first` on, a local index; what stands above is
 * left alone. For threads.
 */
void gmf_gram_column(const gmf_block_cyclic *layout, const gmf_gram_ratings *ratings, const gmf_gram_centers *centers,
                     int j, int first, double *out);

#endif
