/*
 * What a sweep of als or ials costs a rank, from numbers alone: multiplications, bytes of memory that pass, calls and
 * bytes between ranks, by what moves them. No MPI, no files, so that `gridmf plan` can ask for machines that are not
 * there. All Local.
 *
 * Calls and lengths are those of algo/als.c, dist/expand.c, dist/fold.c, linalg/eigen.c and linalg/exact.c; a test
 * holds them against the calls of a run, counted on their way into MPI (test_plan).
 */
#ifndef GMF_APP_COST_MODEL_H
#define GMF_APP_COST_MODEL_H

#include "app/memory_plan.h"
#include "dist/block.h"
#include "dist/census.h"
#include "kernel/row_solver.h"

/* What moves something between ranks in a half-sweep. */
typedef enum gmf_move {
  GMF_MOVE_GRAM,   /* Y'Y: its summands */
  GMF_MOVE_AGREE,  /* whether the eigenvectors were found */
  GMF_MOVE_BASIS,  /* eigenvectors and eigenvalues */
  GMF_MOVE_EXPAND, /* fixed rows to those that need them */
  GMF_MOVE_FOLD,   /* parts of rows' sums to their owners */
  GMF_MOVE_SPREAD, /* what owners have of their rows to the ranks that share them */
  GMF_MOVE_FAILED, /* whether rows failed that were solved so */
  GMF_MOVE_TOTALS, /* objective, regularisation and counts */
  GMF_MOVE_RIDGE,  /* the regression on features */
  GMF_MOVE_MEET,   /* ranks that share a node's rows wait for each other; the rows go through memory, not MPI */
  GMF_N_MOVES
} gmf_move;

/* "expand", ... */
const char *gmf_move_name(gmf_move move);
/* "MPI_Allreduce", ...: the function that it calls. */
const char *gmf_move_function(gmf_move move);

/* Of one rank in a half-sweep. */
typedef struct gmf_traffic {
  int64_t calls;    /* messages that are sent, or calls of the collective */
  int64_t bytes;    /* of messages what is sent; of collectives the length of the rank's vector */
  int64_t received; /* what comes from other ranks: exactly that of messages, the least there can be of collectives */
} gmf_traffic;

/* Which rows' ratings are cut by columns and folded (als_fold.c). */
typedef enum gmf_folding { GMF_FOLDS_NOTHING, GMF_FOLDS_ALL, GMF_FOLDS_HEAVY } gmf_folding;

gmf_folding gmf_cost_folding(const gmf_block *block);

/* A side on a rank. Rows are folded where their ratings are cut by columns: all, or the heavy ones. */
typedef struct gmf_rank_cost {
  gmf_share share;
  gmf_folding folding;
  int n_cols;               /* of the grid of the rows that are folded */
  int64_t folded, fold_own; /* these rows, of the rank's grid row, and those of them that it owns */
  int64_t longest;          /* the most that a rank of its grid row owns */
} gmf_rank_cost;

/* Traffic of the half-sweep that updates `side`, by move: out [GMF_N_MOVES]. */
void gmf_cost_traffic(const gmf_train_shape *shape, const gmf_row_options *row, gmf_side side,
                      const gmf_rank_cost *rank, gmf_traffic *out);

/*
 * Bytes that the ranks of a grid row receive to fold one row, for each of its columns but one; and the calls to fold as
 * many rows of each rank. Conjugate gradients that go on until they have converged count with the steps that they
 * usually take, and plans are then no exact counts.
 */
int64_t gmf_cost_fold_bytes(const gmf_row_options *row, gmf_folding folding);
int64_t gmf_cost_fold_calls(const gmf_row_options *row, gmf_folding folding, int64_t own, int n_cols);

/* Whether rows are solved in a basis of their own (als.c). */
bool gmf_cost_has_basis(const gmf_row_options *row, const gmf_folding foldings[GMF_N_SIDES]);

/*
 * Work of rows, in operations of single precision (roofline.c); those of double precision count twice. row: the
 * context, must outlive the result.
 */
gmf_row_work gmf_cost_row_work(const gmf_row_options *row, gmf_folding folding);

/* Of a row of n coordinates to be turned into the basis, or back. */
int64_t gmf_cost_turn_work(int n);

/* What a rank does for the half-sweep beside its rows: its part of the shared matrix, and rows into its basis and back.
 * own: factor rows of the rank. */
int64_t gmf_cost_shared_work(const gmf_train_shape *shape, gmf_side side, const int64_t own[GMF_N_SIDES]);

/* The least that a half-sweep reads from memory and writes to it: ratings and expanded rows once, own rows twice. */
int64_t gmf_cost_memory_bytes(const gmf_train_shape *shape, const gmf_share *share);

/* Bytes of the arrays of a model after n_sweeps with n_metrics of --test, or of a checkpoint. id_bytes: of one id. */
int64_t gmf_cost_model_bytes(const gmf_train_shape *shape, bool checkpoint, int64_t n_sweeps, int n_metrics,
                             const int64_t id_bytes[GMF_N_SIDES]);

#endif
