/*
 * Folding a user into the model of an SVD, of which the user's row was no part: by projection, as the rows that were
 * there came about. With the row a of the user's ratings, zero where there are none, and the means that centring took
 * off,
 *
 *     b = sum(a) / n - mean where users are centred, else 0
 *     x = (a - mean - b - b_i) V = sum_i a_i v_i - (mean + b) sum_i v_i - sum_i b_i v_i
 *
 * The first sum is over the user's ratings, the other two are over all n items and the same for all users. The items'
 * rows are Y = V, or V S^1/2 with --scaling sqrt, where X is U S^1/2: x = (...) Y S^-1.
 *
 * Cremonesi, Koren, Turrin, "Performance of recommender algorithms on top-N recommendation tasks", RecSys 2010, sec.
 * 3.3.2, for what is not centred. Local; sums are f8.
 */
#ifndef GMF_KERNEL_PROJECTION_H
#define GMF_KERNEL_PROJECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What is to be known of a model beside its items' rows. */
typedef struct gmf_projection_rule {
  int k;
  int64_t n_items;      /* rows of items, rated or not */
  double mean;          /* that was taken off everywhere; 0 where nothing was */
  bool centers_users;   /* --center user or both */
  bool has_half_values; /* --scaling sqrt */
} gmf_projection_rule;

typedef struct gmf_projection {
  gmf_projection_rule rule;
  double *sums;  /* owned [2][k]: sum_i y_i and sum_i b_i y_i of the items added so far */
  double *scale; /* owned [k]: 1, or 1 / s; 0 where s is nothing beside the largest */
} gmf_projection;

/* values [k]: the singular values, descending; not read unless has_half_values. The sums begin at zero. */
gmf_status gmf_projection_create(const gmf_projection_rule *rule, const double *values, gmf_projection **out,
                                 gmf_error *err);
void gmf_projection_destroy(gmf_projection **projection);

/*
 * Adds n items to the sums. All items are to be added once before users are projected, in any order; ranks that added
 * some of them each add up their `sums`.
 *
 *   y     rows of `stride` floats, of which k are read
 *   bias  [n], `bias_stride` floats apart; NULL: the model has none
 */
void gmf_projection_add(gmf_projection *projection, const float *y, int64_t stride, const float *bias,
                        int64_t bias_stride, int64_t n);

/*
 * x [k] = the row of a user with the n ratings `values` of the items in rows `items` of y. Returns the user's bias b.
 * Any number of threads may call it.
 */
double gmf_project(const gmf_projection *projection, const float *y, int64_t stride, const int32_t *items,
                   const float *values, int64_t n, float *x);

/*
 * x . item + b is linear in the ratings: contributions [n] are what each adds, and the value returned is that of a user
 * without ratings. item [k]: a row of y.
 */
double gmf_projection_explain(const gmf_projection *projection, const float *y, int64_t stride, const int32_t *items,
                              const float *values, int64_t n, const float *item, double *contributions);

#endif
