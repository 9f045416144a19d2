/*
 * Held-out items among all others: scores users against all items of a model and adds up metrics (metrics.h). Batches
 * of users meet panels of items, so memory does not grow with the model but for a bit an item.
 */
#ifndef GMF_ALGO_RANKING_H
#define GMF_ALGO_RANKING_H

#include "algo/metrics.h"
#include "algo/row_source.h"

/* Some users, each with at least one held-out rating. Arrays are the caller's. */
typedef struct gmf_user_batch {
  int64_t n;
  const float *rows;        /* [n][ld]: the users' rows of the model */
  const int64_t *begin;     /* [n + 1]: where each user's held-out ratings begin */
  const int64_t *items;     /* what is held out: rows of the model, trained on; ascending within a user */
  const float *values;      /* its ratings */
  const int64_t *had_begin; /* [n + 1] */
  const int64_t *had;       /* items that are no candidates of a user, ascending within the user */
} gmf_user_batch;

typedef struct gmf_ranker gmf_ranker;

/*
 * Collective. source, trained (the items that the model was trained on, base/bits.h) and metrics (parsed, nothing added
 * yet) are borrowed and must outlive the ranker. mean is added to every score.
 */
gmf_status gmf_ranker_create(const gmf_grid *grid, const gmf_row_source *source, const uint64_t *trained, double mean,
                             gmf_metrics *metrics, gmf_ranker **out, gmf_error *err);
void gmf_ranker_destroy(gmf_ranker **ranker);

/* Local. Users that a batch may have at most; the same on all ranks. */
int64_t gmf_ranker_batch_users(const gmf_ranker *ranker);

/* Collective. Each rank brings its own users, or none. */
gmf_status gmf_ranker_add(gmf_ranker *ranker, const gmf_user_batch *batch, gmf_error *err);

/* Collective. Completes the metrics: afterwards every rank has the totals. */
void gmf_ranker_finish(gmf_ranker *ranker);

#endif
