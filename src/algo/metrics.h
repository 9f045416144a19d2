/*
 * Metrics of held-out ratings: names, formulas, sums. Local but for gmf_metrics_reduce.
 *
 * For a user, T are the held-out items that the model knows (trained on), L the list of the K best items by score that
 * the user did not have in training, ties to the lower row; hits are the items of L that are in T. Ranking metrics are
 * means over the users with at least one item in T; rmse and mae are over the held-out ratings of known users and
 * items.
 */
#ifndef GMF_ALGO_METRICS_H
#define GMF_ALGO_METRICS_H

#include "runtime/grid.h"

enum { GMF_METRICS_MAX = 32 };

typedef enum gmf_metric_kind {
  GMF_METRIC_RMSE,
  GMF_METRIC_MAE,
  GMF_METRIC_RECALL,
  GMF_METRIC_NDCG,
  GMF_METRIC_PRECISION,
  GMF_METRIC_HIT,
  GMF_N_METRIC_KINDS
} gmf_metric_kind;

typedef struct gmf_metric {
  gmf_metric_kind kind;
  int64_t k;     /* list length; 0 for rmse and mae */
  char name[32]; /* as it was asked for: "recall@20" */
} gmf_metric;

typedef struct gmf_metrics {
  gmf_metric list[GMF_METRICS_MAX];
  int n;
  int64_t longest; /* the largest k; 0 when no metric ranks */
  double sum[GMF_METRICS_MAX];
  int64_t n_users;   /* ranked */
  int64_t n_ratings; /* predicted */
} gmf_metrics;

/* Parses "rmse,recall@20". GMF_ERR_USAGE names what is unknown, and the nearest. */
gmf_status gmf_metrics_parse(const char *text, gmf_metrics *metrics, gmf_error *err);

/* "recall@K: |hits| / |T| ..." for every kind that there is. */
const char *gmf_metric_formula(gmf_metric_kind kind);

/*
 * Adds one user: is_hit [n_listed], whether each entry of its list, best first, is in T; n_relevant = |T| > 0.
 * n_listed may be less than a metric's k.
 */
void gmf_metrics_add_list(gmf_metrics *metrics, const bool *is_hit, int64_t n_listed, int64_t n_relevant);

/* Adds one predicted rating. */
void gmf_metrics_add_rating(gmf_metrics *metrics, double predicted, double actual);

/* Collective. Sums over ranks; afterwards every rank has the totals. */
void gmf_metrics_reduce(const gmf_grid *grid, gmf_metrics *metrics);

/* The value of metric i from the sums; NaN where nothing was added. */
double gmf_metrics_value(const gmf_metrics *metrics, int i);

#endif
