/* What plan.c and plan_shares.c have in common. */
#ifndef GMF_APP_PLAN_INTERNAL_H
#define GMF_APP_PLAN_INTERNAL_H

#include "app/degree_model.h"
#include "app/plan.h"
#include "io/dataset.h"

struct gmf_planner {
  const gmf_grid *grid;     /* borrowed */
  const gmf_config *config; /* borrowed */
  gmf_dataset *dataset;     /* owned; NULL: sizes alone */
  gmf_rating_source source;
  int64_t *degrees[GMF_N_SIDES]; /* owned [n]; with a dataset */
  gmf_degree_model models[GMF_N_SIDES];
  gmf_row_options row;
  gmf_train_shape shape; /* but for ranks and grid */
  int64_t id_bytes[GMF_N_SIDES];
  gmf_plan_rates rates;
};

/* Of some ranks: what one of them has of each side. */
typedef struct gmf_plan_shares {
  int n;                            /* entries */
  double *alike;                    /* owned [n]: how many ranks an entry stands for */
  gmf_rank_cost *side[GMF_N_SIDES]; /* owned [n] */
} gmf_plan_shares;

/* Local. */
void gmf_plan_shares_free(gmf_plan_shares *shares);

/* Collective. The layouts that train would choose. */
gmf_status gmf_plan_choose_layouts(gmf_planner *p, gmf_plan *plan, gmf_error *err);

/* Local. How rows of a side are folded. */
gmf_folding gmf_plan_folding(const gmf_plan *plan, gmf_side side);

/* Local. Ranks of a node, and of those the ranks that share expanded rows, as train would have it. */
void gmf_plan_choose_sharing(const gmf_planner *p, gmf_train_shape *shape, gmf_plan *plan);

/* Collective. Counts every rank; chooses hops and panels as train would. */
gmf_status gmf_plan_count_shares(gmf_planner *p, const gmf_train_shape *shape, gmf_plan *plan, gmf_plan_shares *out,
                                 gmf_error *err);

/* Local. The same without ratings. Two entries: the mean of all ranks, and the most that one of them can be expected to
 * have. */
gmf_status gmf_plan_expect_shares(gmf_planner *p, const gmf_train_shape *shape, gmf_plan *plan, gmf_plan_shares *out,
                                  gmf_error *err);

/* Local. What an entry means for memory. */
void gmf_plan_memory_shares(const gmf_plan_shares *shares, int entry, gmf_memory_share memory[GMF_N_SIDES]);

#endif
