/*
 * What the ranks of a training can be expected to hold and exchange when nothing is known of the ratings but how many
 * there are: the degrees of `gridmf synth`, independent of each other. All Local, and of a size that depends on
 * nothing.
 *
 *   users   weights of Pareto's law with exponent 2, cut at 10^4, times a factor, at most all items
 *   items   drawn with probability r^(-2/3) for the r-th most popular, each user each item at most once
 *
 * or, for --like, those of the curves in shape.c.
 */
#ifndef GMF_APP_DEGREE_MODEL_H
#define GMF_APP_DEGREE_MODEL_H

#include "app/shape.h"
#include "dist/census.h"
#include "dist/fetch_table.h"

enum { GMF_DEGREE_CLASSES = 1024 };

/* Rows of one side, in classes of nearly equal degrees. */
typedef struct gmf_degree_model {
  int n;
  double rows[GMF_DEGREE_CLASSES], degrees[GMF_DEGREE_CLASSES];
} gmf_degree_model;

/* n, nnz: users, items, ratings. */
void gmf_degree_model_make(const int64_t n[GMF_N_SIDES], int64_t nnz, gmf_degree_model models[GMF_N_SIDES]);

/* The same with degrees like a well-known dataset's. */
void gmf_degree_model_like(const gmf_shape *shape, gmf_degree_model models[GMF_N_SIDES]);

/* How fixed rows come to their ranks, see gmf_census_side. */
typedef struct gmf_expected_ways {
  int node_ranks, hop_cols;
  gmf_layout copied;
} gmf_expected_ways;

/*
 * Of a rank whose side `side` is updated, on an n_rows x n_cols grid with heavy rows on another: *typical, the mean
 * over ranks, and *most, what the rank that has most of each can be expected to have. light, heavy: the work of rows.
 */
void gmf_degree_model_share(const gmf_degree_model models[GMF_N_SIDES], gmf_side side, int n_rows, int n_cols,
                            const gmf_layout *layout, const gmf_expected_ways *ways, const gmf_row_work *light,
                            const gmf_row_work *heavy, gmf_share *typical, gmf_share *most);

/* What gmf_census_panels can be expected to make of a share: panels of most_slots fixed rows, as even as ranks are. */
void gmf_degree_model_cut(const gmf_degree_model models[GMF_N_SIDES], gmf_side side, int n_ranks,
                          const gmf_layout *layout, int64_t most_slots, gmf_share *share);

/* What gmf_fetch_table_count can be expected to find for n_ranks ranks. */
void gmf_degree_model_table(const gmf_degree_model models[GMF_N_SIDES], gmf_side side, int n_ranks,
                            gmf_fetch_table *out);

#endif
