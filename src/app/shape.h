/*
 * Shapes of well-known datasets for `gridmf synth --like NAME`: how many users, items and ratings, and how many ratings
 * a row has. All Local.
 */
#ifndef GMF_APP_SHAPE_H
#define GMF_APP_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/side.h"

/* The names that there are, in the order of the table. */
#define GMF_SHAPE_WORDS "ml-100k|ml-latest-small|ml-1m|ml-10m|ml-20m|ml-25m|netflix|msd"

/* The numbers of ratings of one side's rows: the least, the median and the largest of so many rows. */
typedef struct gmf_degrees {
  double least, median, most;
  int64_t n; /* of the whole dataset, also where a part of it is meant */
} gmf_degrees;

typedef struct gmf_shape {
  const char *name;
  int64_t n[GMF_N_SIDES]; /* users, items */
  int64_t nnz;
  gmf_degrees degrees[GMF_N_SIDES];
  double star_step;   /* ratings are multiples of it, at least one, up to 5 */
  bool is_implicit;   /* the values are counts */
  const char *source; /* of the figures */
} gmf_shape;

/* The shape called NAME, or NAME/S: a part of it with one in S of the users, their ratings, and all items.
 * GMF_ERR_USAGE for others. */
gmf_status gmf_shape_named(const char *name, gmf_shape *shape, gmf_error *err);

/*
 * The number of ratings of the row that `rank` others of n have more than. bend: how late the upper half rises from
 * the median to the most; more bend, fewer ratings. See shape.c.
 */
double gmf_degrees_at(const gmf_degrees *degrees, double bend, int64_t rank, int64_t n);

/*
 * What to draw the items with. Users take items one by one, without repetition, each with probability in proportion
 * to weight x taste; the weights are fitted so that the expected numbers of ratings of users and items are those of
 * the shape. with_tastes: a draw is accepted with probability 1 / (1 + exp(-2 a)), a normal of variance 1.
 */
enum { GMF_WEIGHT_KNOTS = 128 };
typedef struct gmf_item_draw {
  double log_weights[GMF_WEIGHT_KNOTS]; /* at the middles of the bins of shape.c, the most popular items last */
  int64_t n;                            /* items */
} gmf_item_draw;
void gmf_item_draw_fit(const gmf_shape *shape, bool with_tastes, gmf_item_draw *draw);

/* The weight of the item that `rank` others are more popular than. */
double gmf_item_weight(const gmf_item_draw *draw, int64_t rank);

/* Walker's alias table: draws from n weights in constant time (Walker, ACM TOMS 3, 1977; Vose's construction). */
typedef struct gmf_alias {
  int64_t n;
  double *keep;   /* owned [n]: with this probability the column itself, ... */
  int64_t *other; /* owned [n]: ... else this one */
} gmf_alias;
gmf_status gmf_alias_make(const double *weights, int64_t n, gmf_alias *alias, gmf_error *err);
void gmf_alias_free(gmf_alias *alias);

/* From two uniform numbers in [0, 1). */
int64_t gmf_alias_draw(const gmf_alias *alias, double u, double v);

#endif
