/* What als.c and the files beside it share. */
#ifndef GMF_ALGO_ALS_INTERNAL_H
#define GMF_ALGO_ALS_INTERNAL_H

#include "algo/als.h"
#include "algo/als_batch.h"
#include "algo/features.h"
#include "algo/row_schedule.h"
#include "dist/fold.h"
#include "dist/panels.h"
#include "linalg/eigen.h"
#include "linalg/exact.h"

/* The rows of one side whose ratings are cut among the ranks of a grid row; als_fold.c. */
typedef struct gmf_als_fold gmf_als_fold;
typedef struct gmf_als_fold_cg gmf_als_fold_cg;

struct gmf_als {
  const gmf_grid *grid; /* borrowed */
  gmf_als_options options;
  int k, n, ld;                     /* factors; coordinates, with biases; floats in a row */
  gmf_block *const *blocks;         /* borrowed [GMF_N_SIDES] */
  gmf_factor *factors[GMF_N_SIDES]; /* owned */
  gmf_als_fold *folds[GMF_N_SIDES]; /* owned; of heavy rows, or of all on a grid of several columns; or NULL */
  gmf_prior *priors[GMF_N_SIDES];   /* owned; NULL without features */
  bool rotates_start;               /* solutions start from the last sweep's, which are rotated, too; with basis */
  double folded_loss; /* of a half-sweep: what I have seen of the losses of rows that several ranks share */
  gmf_panels *panels[GMF_N_SIDES]; /* owned; NULL where all rows are solved from one panel */
  gmf_expand_space *space;         /* owned */
  const float *panel;              /* of it: the expanded rows of the side that is fixed */
  double *row_objective;           /* owned: of each of my rows, so that the sum does not depend on threads */
  double *row_regularisation;      /* owned, likewise */
  double *gram;                    /* owned [ld][ld], and a row of no use */
  double *shared_diagonal;         /* owned [ld]: s times the basis' eigenvalues; zero without basis */
  gmf_row_solver *solvers;         /* owned [threads] */
  double **rooms;                  /* owned [threads]: the solvers' copy8 and, the next, their work, for the team */
  float **work;
  gmf_als_batch **batches;                  /* owned [threads] */
  gmf_team team;                            /* all threads */
  gmf_row_schedule *schedules[GMF_N_SIDES]; /* owned [panels]; NULL where all ratings are cut among ranks */
  double *seconds[GMF_N_SIDES];             /* owned [threads]: of processors, that rows of a side took each thread */
  double *diagonals;                        /* owned [threads][ld] */
  double *rights;                           /* owned [threads][ld]: the priors of rows */
  gmf_eigen *basis;                         /* owned; NULL where rows are solved in the basis that they stand in */
  double *rotation;                         /* owned [ld][ld]: Q, row by row; with basis */
  float *rotated;                           /* owned [rows of a side][ld]: my fixed rows in the basis, copies behind */
  float *row_counts;                        /* owned [rows of a side]: their numbers of ratings; with basis, for als */
  gmf_exact_gram *exact;                    /* owned; where bits must not depend on ranks */
  float *kept;      /* owned [rows of a side][ld]: where they were before a half-sweep; with relaxation */
  int64_t n_sweeps; /* done */
  double objective; /* after the last half-sweep */
  double regularisation[GMF_N_SIDES]; /* of the factors as they are, from the first sweep on */
  int n_threads;
  double mean;        /* taken off the ratings */
  double constant;    /* loss of all ratings at zero predictions */
  int64_t n_negative; /* ratings of negative weight, see gmf_als_n_negative */
};

/* A side's own bias among its columns. */
static inline int gmf_als_own_bias(const gmf_als *als, gmf_side side) { return gmf_bias_column(als->k, side); }

/* The column that is 1 in a side's rows; -1: there is none. */
static inline int gmf_als_fixed_column(const gmf_als *als, gmf_side side)
{
  return als->options.row.bias ? gmf_als_own_bias(als, gmf_other_side(side)) : -1;
}

/* What lambda is multiplied by for a row of a side. */
static inline double gmf_als_lambda_factor(const gmf_als *als, gmf_side side, int64_t count)
{
  return gmf_lambda_factor(als->options.regularisation, als->options.row.loss, count,
                           als->factors[gmf_other_side(side)]->axis->n);
}

/* How many ratings my rows of a side have. On a grid of one column they are the first of their block. */
static inline const int64_t *gmf_als_own_counts(const gmf_als *als, gmf_side side)
{
  const gmf_block *b = als->blocks[side];
  return b->counts + als->factors[side]->axis->prefix[als->grid->rank] - b->row_begin;
}

/* ---- als_ratings.c: Collective ----------------------------------------------------------------------------------- */

/* Takes the mean of the ratings, weighted as they are, off all blocks. */
void gmf_als_take_off_mean(gmf_als *als);

/* The loss of all ratings at zero predictions. */
double gmf_als_constant(const gmf_als *als);

/* How many ratings have a weight below zero. */
int64_t gmf_als_count_negative(const gmf_als *als);

/* ---- als_basis.c ------------------------------------------------------------------------------------------------- */

/* Collective. als->gram = s Y'Y, for rows that are solved in the basis that they stand in. */
void gmf_als_shared_gram(gmf_als *als, gmf_side fixed);

/* Collective. The basis of a half-sweep with `fixed` fixed. Its rows are rotated into als->rotated; for cg, which
 * starts from them, the updated side's are rotated too. */
gmf_status gmf_als_change_basis(gmf_als *als, gmf_side fixed, gmf_error *err);

/* Local. A side's rows, mine and the copies of others', times m [ld][ld], in f4 where they are but a start of cg; to:
 * NULL for where they are, else all behind each other. */
void gmf_als_rotate_side(gmf_als *als, gmf_side side, const double *m, bool is_start, float *to);

/* ---- als_rows.c. Local ------------------------------------------------------------------------------------------- */

/* Solvers and schedules. The panels are there; destroy comes before theirs. */
gmf_status gmf_als_rows_create(gmf_als *als, gmf_error *err);
void gmf_als_rows_destroy(gmf_als *als);

/*
 * Forms and solves my rows of a panel from all their ratings; heavy ones have theirs elsewhere. *first_singular:
 * lowered to the lowest row in dataset order that failed.
 */
void gmf_als_rows_solve(gmf_als *als, gmf_side side, int panel, int64_t *first_singular);

/* What is done for one row at a time: that at a place of a schedule's order, with a solver; its team takes the slices
 * of a long row. */
typedef void gmf_als_row_task(gmf_als *als, void *context, int64_t place, gmf_row_solver *solver);

/* And what a thread does when there are no more rows. */
typedef void gmf_als_thread_end(gmf_als *als, void *context);

/* The rows of a schedule, by all threads; end: NULL for nothing. Their time counts as the side's. */
void gmf_als_rows_each(gmf_als *als, gmf_side side, const gmf_row_schedule *schedule, gmf_als_row_task *task,
                       gmf_als_thread_end *end, void *context);

/* The system of my row j, of `count` ratings, but for these; the diagonal and the prior are the calling thread's. */
gmf_row gmf_als_row_system(const gmf_als *als, gmf_side side, int64_t j, int64_t count);

/* A row without ratings: zero but for the column that is 1. */
void gmf_als_clear_row(const gmf_als *als, gmf_side side, float *row);

/* My rows of a side, or the copies that I have of others' (als_fold_cg.c), and how many; what turns or moves the ones
 * does so with the others. */
float *gmf_als_rows(const gmf_als *als, gmf_side side, bool copies, int64_t *n);

/* The number in dataset order of my row j. */
int64_t gmf_als_own_row(const gmf_als *als, gmf_side side, int64_t j);

/* ---- als_relax.c: Local ------------------------------------------------------------------------------------------ */

/* The omega of the sweep that comes now. */
double gmf_als_relaxation(const gmf_als *als);

/* Remembers a side's rows before they are solved, and takes them from there beyond their solutions. */
void gmf_als_relax_keep(gmf_als *als, gmf_side side);
void gmf_als_relax_rows(gmf_als *als, gmf_side side, double omega);

/* The objective there, from that before the half-sweep and that of the solutions. */
double gmf_als_relaxed_objective(double before, double solved, double omega);

/* ---- als_fold_order.c: Local ------------------------------------------------------------------------------------- */

/* In which order my parts of the rows of a fold's batches are formed. */
typedef struct gmf_als_fold_order {
  int64_t n;
  int64_t *first;              /* owned [n + 1]: where each batch's places begin in the order */
  int32_t *rows;               /* owned [rows of all batches]: rows of a batch, counted over all owners */
  gmf_row_schedule *schedules; /* owned [n]: of places within the batch */
} gmf_als_fold_order;

gmf_status gmf_als_fold_order_create(const gmf_block *block, const gmf_fold *fold, int n_threads,
                                     gmf_als_fold_order *out, gmf_error *err);
void gmf_als_fold_order_destroy(gmf_als_fold_order *order);

/* Row j of a batch, counted over all owners, as a row of the block. */
int64_t gmf_als_fold_row(const gmf_fold *fold, int64_t batch, int64_t j);

/* ---- als_fold.c -------------------------------------------------------------------------------------------------- */

/* Local; the arguments lead to the same batches on all ranks of a grid row. block: borrowed, must outlive this. */
gmf_status gmf_als_fold_create(const gmf_als *als, const gmf_block *block, gmf_als_fold **out, gmf_error *err);
void gmf_als_fold_destroy(gmf_als_fold **fold);

/*
 * Local. The rows of all owners of the block, [rows of the block][ld], as copies that the ranks of its grid row keep,
 * and how many there are; NULL and 0 where they keep none. In the basis of the owners' rows; whoever turns those turns
 * the copies.
 */
float *gmf_als_fold_copies(const gmf_als_fold *fold, int64_t *n);

/* Local, but at the same place of all ranks: owners' rows have changed otherwise than by gmf_als_fold_solve. */
void gmf_als_fold_forget(gmf_als_fold *fold);

/* Collective over the grid row. Copies are what owners have: nothing to do but after they were forgotten. */
void gmf_als_fold_refresh(const gmf_als *als, gmf_als_fold *fold);

/*
 * Collective. Solves the block's rows at their owners, the fixed rows being in als->panel. *first_singular: lowered to
 * the lowest row of mine in dataset order that failed.
 */
void gmf_als_fold_solve(gmf_als *als, gmf_als_fold *fold, int64_t *first_singular);

/* ---- als_fold_cg.c ------------------------------------------------------------------------------------------------
 */

/* Local; as gmf_als_fold_create. */
gmf_status gmf_als_fold_cg_create(const gmf_als *als, const gmf_block *block, gmf_als_way way, gmf_als_fold_cg **out,
                                  gmf_error *err);
void gmf_als_fold_cg_destroy(gmf_als_fold_cg **cg);

/* As of gmf_als_fold. */
float *gmf_als_fold_cg_copies(const gmf_als_fold_cg *cg);
void gmf_als_fold_cg_forget(gmf_als_fold_cg *cg);
void gmf_als_fold_cg_refresh(const gmf_als *als, gmf_als_fold_cg *cg);

/*
 * Collective over the grid row. Solves the block's rows by conjugate gradients, from where they stand. failed [rows of
 * the block]: out, 1 for each row that is left to its matrix, the same on all ranks of the grid row; returns whether
 * there are any.
 */
bool gmf_als_fold_cg_solve(gmf_als *als, gmf_als_fold_cg *cg, uint8_t *failed);

#endif
