/*
 * Features: the part of the C API of libgridmf for models that were trained with them (gridmf train --item-features,
 * --user-features; src/algo/features.c has the mathematics).
 *
 * A feature is a column of the side's matrix F with a vector of k weights, a row of B. What features predict of a row
 * is B'f, a row of factors like those of the model: the sum of the vectors of its categories, plus those of its
 * numbers times (number - mean) / scale. So an item can be placed that no file has, and rows without training ratings,
 * which have B'f for factors, can be listed.
 */
#ifndef GRIDMF_FEATURES_H
#define GRIDMF_FEATURES_H

#include "gridmf/query.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum gmf_feature_side { GMF_FEATURES_OF_USERS = 0, GMF_FEATURES_OF_ITEMS = 1 } gmf_feature_side;

/* The feature that is 1 in every row, where there is one (gridmf attach --intercept). A whole row's features have it.
 */
#define GMF_FEATURE_INTERCEPT "(intercept)"

/* A feature of something, as F holds it. */
typedef struct gmf_feature {
  int64_t column;
  float value; /* 1 of a category; (x - mean) / scale of a number x */
} gmf_feature;

/*
 * From now on rows without training ratings that have a feature count as known in all calls with this model: they enter
 * lists, have scores, and can be asked about. By default they are cold. Must not run beside other calls with the model.
 * Errors: GMF_ERR_DATA a model without features, or damaged; GMF_ERR_IO; GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_model_include_cold(gmf_model *model, bool include, gmf_error *err);

/* How many features a side has: 0 where the model was trained without. Errors: as below. */
GMF_API gmf_status gmf_model_n_features(gmf_model *model, gmf_feature_side side, int64_t *n, gmf_error *err);

/*
 * The feature of a name: "genres:Drama" of a category, "year:1995" of a number with its value, or "year" alone for one
 * standard deviation above the mean. column is -1 where the model has none of that name.
 * Errors: GMF_ERR_DATA the side has no features, or they are damaged; GMF_ERR_IO; GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_model_find_feature(gmf_model *model, gmf_feature_side side, const char *name, gmf_feature *out,
                                          gmf_error *err);

/* The name of a column, cut to size - 1 bytes. Errors: the same; GMF_ERR_USAGE no such column. */
GMF_API gmf_status gmf_model_feature_name(gmf_model *model, gmf_feature_side side, int64_t column, char *out,
                                          size_t size, gmf_error *err);

/*
 * factors [n_factors]: B'f of n features, not below zero where the model has no factor below zero. A column of -1 is
 * skipped. Errors: the same.
 */
GMF_API gmf_status gmf_features_vector(gmf_model *model, gmf_feature_side side, int64_t n, const gmf_feature *features,
                                       float *factors, gmf_error *err);

/* As gmf_similar_items, or of users, for n vectors [n][n_factors] instead of rows. */
GMF_API gmf_status gmf_similar_to(gmf_model *model, gmf_feature_side side, const gmf_similar_options *options,
                                  int64_t n, const float *vectors, const gmf_recommendations *out, gmf_error *err);

/* The features of a side whose weights are most like a vector, by cosine: out->items are columns, and so are those of
 * deny; allow and measure are not used. A feature that no rated row has is never found. */
GMF_API gmf_status gmf_similar_features(gmf_model *model, gmf_feature_side side, const gmf_similar_options *options,
                                        int64_t n, const float *vectors, const gmf_recommendations *out,
                                        gmf_error *err);

/* As gmf_recommend for n users by their vectors [n][n_factors], who have seen nothing and have no bias. */
GMF_API gmf_status gmf_recommend_to(gmf_model *model, const gmf_recommend_options *options, int64_t n,
                                    const float *vectors, const gmf_recommendations *out, gmf_error *err);

/* As gmf_score_pairs, of n users and one item by its vector [n_factors], which has no bias. */
GMF_API gmf_status gmf_score_vector(gmf_model *model, int64_t n, const int64_t *users, const float *vector,
                                    float *scores, gmf_row_state *states, gmf_error *err);

#ifdef __cplusplus
}
#endif

#endif
