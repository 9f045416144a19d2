/*
 * Metrics of held-out ratings: names, formulas, sums. Local but for gmf_metrics_reduce.
 *
 * For a user, the candidates are the items that the model was trained on and that the user did not have in training (or
 * in a fold-in); T are the held-out items that the model was trained on; L is the list of the K candidates of the
 * highest scores, ties to the lower row; hits are the items of L that are in T. Ranking metrics are means over the
 * users with at least one item in T; rmse and mae are over the held-out ratings of known users and items.
 */
#ifndef GMF_ALGO_METRICS_H
#define GMF_ALGO_METRICS_H

#include <stdbool.h>

#include "base/accumulator.h"
#include "runtime/grid.h"

enum { GMF_METRICS_MAX = 32 };

typedef enum gmf_metric_kind {
  GMF_METRIC_RMSE,
  GMF_METRIC_MAE,
  GMF_METRIC_RECALL,
  GMF_METRIC_RECALL_MIN,
  GMF_METRIC_NDCG,
  GMF_METRIC_PRECISION,
  GMF_METRIC_MAP,
  GMF_METRIC_MRR,
  GMF_METRIC_HIT,
  GMF_METRIC_COVERAGE,
  GMF_METRIC_AUC,
  GMF_N_METRIC_KINDS
} gmf_metric_kind;

typedef struct gmf_metric {
  gmf_metric_kind kind;
  int64_t k;     /* list length; 0 for metrics without lists */
  char name[32]; /* as it was asked for: "recall@20" */
} gmf_metric;

typedef struct gmf_metrics {
  gmf_metric list[GMF_METRICS_MAX];
  int n;
  int64_t longest;                      /* the largest k; 0 when no metric has lists */
  bool predicts, compares;              /* some metric needs the scores of held-out items; pairs of candidates */
  gmf_accumulator sum[GMF_METRICS_MAX]; /* exact, so that ranks and threads make no difference */
  int64_t n_users;                      /* with an item in T */
  int64_t n_ratings;                    /* held-out items of theirs, all T together */
  int64_t n_compared;                   /* users with a pair to compare */
  int64_t n_items;                      /* that the model was trained on */
} gmf_metrics;

/* Parses "rmse,recall@20". GMF_ERR_USAGE names what is unknown, and the nearest. */
gmf_status gmf_metrics_parse(const char *text, gmf_metrics *metrics, gmf_error *err);

/* "recall@K: |hits| / |T| ..." for every kind that there is. */
const char *gmf_metric_formula(gmf_metric_kind kind);

/* Whether less is better. */
bool gmf_metric_is_error(gmf_metric_kind kind);

/*
 * Adds one user: is_hit [n_listed], whether each entry of its list, best first, is in T; n_relevant = |T| > 0.
 * n_listed may be less than a metric's k.
 */
void gmf_metrics_add_user(gmf_metrics *metrics, const bool *is_hit, int64_t n_listed, int64_t n_relevant);

/* Adds one predicted rating of a user that is added too. */
void gmf_metrics_add_rating(gmf_metrics *metrics, double predicted, double actual);

/* Adds the pairs of a user: right ones count 2, ties 1. A user without pairs is passed over. */
void gmf_metrics_add_pairs(gmf_metrics *metrics, int64_t right, int64_t n_pairs);

/* Adds n_covered items, that others do not add, to coverage metric i. */
void gmf_metrics_add_covered(gmf_metrics *metrics, int i, int64_t n_covered);

/* Collective. Sums over ranks; afterwards every rank has the totals. */
void gmf_metrics_reduce(const gmf_grid *grid, gmf_metrics *metrics);

/* The value of metric i from the sums; NaN where nothing was added. */
double gmf_metrics_value(const gmf_metrics *metrics, int i);

#endif
