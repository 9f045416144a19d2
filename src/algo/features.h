/*
 * The prior of a side's factors: each row is shrunk towards the mean that its features predict. The mathematics stands
 * in features.c.
 */
#ifndef GMF_ALGO_FEATURES_H
#define GMF_ALGO_FEATURES_H

#include "dist/feature_rows.h"

typedef struct gmf_prior gmf_prior;

typedef struct gmf_prior_options {
  int k;         /* factors */
  double lambda; /* L, of the weights */
  bool deterministic;
} gmf_prior_options;

/*
 * Collective. The prior of one side, with B = 0; NULL where no row has a feature.
 *   slice    the side's features in dataset order, slice r of gmf_slice_begin
 *   lambdas  [my rows, by position]: of each row, 0 for rows that have no ratings and take no part
 * Errors: GMF_ERR_NUMERIC where the regression is singular; GMF_ERR_USAGE, GMF_ERR_PLAN for too many features.
 */
gmf_status gmf_prior_create(const gmf_grid *grid, const gmf_axis *axis, const gmf_feature_rows *slice,
                            const double *lambdas, const gmf_prior_options *options, gmf_prior **out, gmf_error *err);
void gmf_prior_destroy(gmf_prior **prior);

/* Local. Bytes that a prior of p features, nnz of them on this rank's n rows, takes of a rank. */
int64_t gmf_prior_bytes(int64_t n_features, int64_t n_rows, int64_t nnz, int k, int n_ranks);

/* Local. Steps of the regression on p features: one, and with many those of refinement. */
int gmf_prior_steps(int64_t n_features);

/* Local. From now on gmf_prior_right is in the basis of the columns of q [ld][ld]; NULL: in that of the factors. */
void gmf_prior_turn(gmf_prior *prior, const double *q, int ld);

/* Local. out [k] = lambda_r B'f_r of my row r in that basis. For threads. */
void gmf_prior_right(const gmf_prior *prior, int64_t row, double *out);

/* What a fit says of the objective. G = F' Lambda Y. */
typedef struct gmf_prior_fit {
  double before; /* <B, G> of the B that the rows were solved with */
  double after;  /* <B, G> of the new one */
} gmf_prior_fit;

/* Collective. B for my rows [n][ld] of the factor. Allocates nothing. */
gmf_prior_fit gmf_prior_run(gmf_prior *prior, const float *rows, int ld);

/* Local. B [p][k], the same on all ranks; borrowed. */
const double *gmf_prior_weights(const gmf_prior *prior);

#endif
