/*
 * `gridmf plan`: what a training will take and how long, for any number of ranks, from the ratings themselves or from
 * their number alone. As to als and ials; of other algorithms memory and files alone.
 */
#ifndef GMF_APP_PLAN_H
#define GMF_APP_PLAN_H

#include "app/cost_model.h"
#include "app/layout_choice.h"
#include "app/log.h"
#include "dist/hops_choice.h"

enum {
  GMF_PLAN_MAX_RANKS = 1 << 20,
  GMF_PLAN_MAX_COUNTED = 1 << 14, /* ranks that ratings are counted for */
  GMF_PLAN_NODE_RANKS = 64        /* on a node, where it is not said */
};

/* What a rank does in a second, and who says so. */
typedef struct gmf_plan_rates {
  double flops;     /* operations of the row solver, all threads together */
  double bandwidth; /* bytes between cores and memory */
  double network;   /* bytes from other ranks */
  double latency;   /* seconds of a message */
  const char *flops_source, *bandwidth_source, *network_source, *latency_source; /* "measured", "stated", ... */
} gmf_plan_rates;

/* Over the ranks. */
typedef struct gmf_plan_spread {
  double mean, most;
} gmf_plan_spread;

typedef struct gmf_plan_move {
  gmf_plan_spread calls, bytes, received; /* gmf_traffic */
} gmf_plan_move;

/* Of a half-sweep. */
typedef struct gmf_plan_half {
  gmf_plan_spread ratings, work, slots, received;
  gmf_plan_spread shared; /* bytes of fixed rows that a rank reads where others of its node brought them: not by MPI */
  int64_t n_panels;       /* 0: rows are not cut */
  gmf_plan_move moves[GMF_N_MOVES];
  double compute, memory, network; /* seconds of the rank that takes longest: of operations, of memory, of messages */
} gmf_plan_half;

typedef struct gmf_plan {
  int n_ranks, n_grid_rows, n_grid_cols;
  gmf_layout layouts[GMF_N_SIDES];
  gmf_layout_choice choices[GMF_N_SIDES];
  gmf_hops_choice hops[GMF_N_SIDES];
  int node_ranks; /* of a node */
  bool shares;    /* they share expanded rows */
  bool counted;   /* from the ratings; else what can be expected */
  bool has_sweep; /* als, ials */
  gmf_memory_plan memory;
  gmf_plan_spread peak;
  bool fits;
  gmf_plan_half halves[GMF_N_SIDES];
  gmf_plan_spread ratings, work, received; /* of a sweep */
  double seconds; /* of a sweep: operations or memory, whichever takes longer, then messages, half after half */
  int64_t model_bytes, checkpoint_bytes;
  int n_by_rank;        /* ranks whose traffic stands in by_rank: all of a few, or 0 */
  gmf_traffic *by_rank; /* owned [GMF_N_SIDES][n_by_rank][GMF_N_MOVES] */
} gmf_plan;

void gmf_plan_free(gmf_plan *plan);

typedef struct gmf_planner gmf_planner;

/*
 * Collective. config: of the verb plan, resolved. path: a dataset, or NULL where --users, --items and --ratings or
 * --like say its size; borrowed.
 */
gmf_status gmf_planner_open(const gmf_grid *grid, const gmf_config *config, const char *path, const gmf_log *log,
                            gmf_planner **out, gmf_error *err);
/* Collective. */
void gmf_planner_close(gmf_planner **planner);

/* Collective. The plan for n_ranks ranks, the same on all ranks of this run. GMF_ERR_USAGE where --grid has not as many
 * places. Free with gmf_plan_free, after an error too. */
gmf_status gmf_planner_run(gmf_planner *planner, int n_ranks, gmf_plan *out, gmf_error *err);

/* Local. */
const gmf_plan_rates *gmf_planner_rates(const gmf_planner *planner);
int gmf_planner_threads(const gmf_planner *planner);
const int64_t *gmf_planner_sizes(const gmf_planner *planner, int64_t *nnz);

#endif
