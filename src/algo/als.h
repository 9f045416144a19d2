/*
 * Alternating least squares for explicit ratings (als) and implicit feedback (ials), distributed. The mathematics
 * stands in als.c.
 */
#ifndef GMF_ALGO_ALS_H
#define GMF_ALGO_ALS_H

#include "dist/block.h"
#include "dist/factor.h"
#include "dist/feature_rows.h"
#include "kernel/row_solver.h"

/* Called now and then by one thread of each rank during a half-sweep, with the share of its rows done so far. Local: it
 * may print, but not call MPI. */
typedef void gmf_als_progress(void *context, gmf_side side, double share);

typedef struct gmf_als_options {
  gmf_row_options row; /* factors, biases, loss, solver, sign */
  gmf_regularisation regularisation;
  bool center;                                   /* take the mean off all ratings, weighted as they are */
  const gmf_feature_rows *features[GMF_N_SIDES]; /* of each side in dataset order, read by gmf_als_create; NULL: none */
  double lambda_features;
  double relaxation; /* how far a row goes towards its solution, and beyond: als_relax.c; 1 or less: to it. Not for rows
                        without negative factors, nor with features */
  uint64_t seed;
  gmf_wire wire;        /* how fixed rows travel */
  int64_t expand_bytes; /* for fixed rows on their way and where they are solved from, about; 0: for all at once */
  bool deterministic;   /* the same bits for any ranks and threads; wants a grid of one column */
  gmf_als_progress *progress; /* may be NULL */
  void *context;
} gmf_als_options;

/* Floats in a row of the solver's factors: factors, biases, padding. */
static inline int gmf_als_ld(const gmf_row_options *row) { return gmf_pad(gmf_row_order(row->k, row->bias)); }

/* Local. Whether rows go beyond their solutions: a copy of a side's rows is kept then. */
static inline bool gmf_als_relaxes(const gmf_als_options *options) { return options->relaxation > 1; }

/* How rows are solved whose ratings are cut among ranks; als_fold.c. */
typedef struct gmf_als_way {
  int cg_steps;    /* of conjugate gradients at most; 0: by their matrices, which are folded */
  bool exact;      /* rows that have not converged then are solved by their matrices */
  int usual_steps; /* exact: that heavy rows need, as measured */
} gmf_als_way;

/* Local. heavy: of the heavy rows of a side, and not all of them on a grid of several columns. */
gmf_als_way gmf_als_fold_way(const gmf_row_options *row, bool heavy);

/* Whether the ranks of a grid row have copies of all its rows, which need not travel to them as fixed rows then. */
static inline bool gmf_als_way_copies(gmf_als_way way) { return way.cg_steps > 0 && !way.exact; }

/* What rows of n coordinates fold, by their matrices or by the vectors of cg: doubles a row, and bytes of a batch of
 * rows, as dist/fold.h has them. The vectors are of numbers of so many bytes; a batch of them is smaller, for owners
 * keep more of each row. */
enum { GMF_ALS_CG_BATCH = 8 << 20 };
static inline int64_t gmf_als_gram_words(int n) { return (int64_t)n * (n + 1) / 2 + n; }
static inline int64_t gmf_als_gram_batch(gmf_als_way way) { return way.cg_steps > 0 ? 1 << 20 : 32 << 20; }
static inline int64_t gmf_als_cg_words(gmf_als_way way, int n) { return way.exact ? 2 * n : n; }
static inline int64_t gmf_als_number_bytes(gmf_als_way way) { return way.exact ? 8 : 4; }
/* Of a row on its way to the ranks that share it: a vector, and without exact the length of a step. */
static inline int64_t gmf_als_cg_vector(gmf_als_way way, int n) { return way.exact ? n * 8 : (n + 1) * 4; }

typedef struct gmf_als gmf_als;

/* A sweep's outcome, the same on all ranks. */
typedef struct gmf_als_sweep {
  double objective;   /* loss + regularisation of the factors after the sweep, exact */
  double loss;        /* without regularisation */
  int64_t n_retried;  /* rows that f4 could not factor and f8 could, both half-sweeps, all ranks */
  int64_t n_jittered; /* rows that f8 could factor only with jitter (row_solver.h) */
} gmf_als_sweep;

/* A row whose system is singular. */
typedef struct gmf_als_singular {
  gmf_side side;
  int64_t row; /* in dataset order; -1: none */
} gmf_als_singular;

/*
 * Collective. axes and blocks: borrowed, must outlive the solver; where the mean is taken off, it is taken off the
 * blocks' values, and where expand_bytes are not enough for all fixed rows at once, the blocks are cut (dist/panels.h).
 * Factors start as normal numbers of standard deviation 0.1 / sqrt(k), functions of seed, side, row and column only, or
 * their absolute values where they are not to be below zero; biases start at zero.
 */
gmf_status gmf_als_create(const gmf_grid *grid, const gmf_als_options *options, gmf_axis *const axes[GMF_N_SIDES],
                          gmf_block *const blocks[GMF_N_SIDES], gmf_als **out, gmf_error *err);
void gmf_als_destroy(gmf_als **als);

/*
 * Collective. Users given items, then items given users. GMF_ERR_NUMERIC when a row's system is singular: `singular`
 * names the first such row, and the factors are of no use. Allocates nothing.
 */
gmf_status gmf_als_sweep_run(gmf_als *als, gmf_als_sweep *sweep, gmf_als_singular *singular, gmf_error *err);

/*
 * Local. My rows of a side; owned by the solver. With biases gmf_bias_column holds the own one, and the other side's
 * column is 1.
 */
const gmf_factor *gmf_als_factor(const gmf_als *als, gmf_side side);

/*
 * Collective. Takes a side's rows from where they were written, my slice of them in dataset order: factors [n][k], bias
 * [n] (not read without biases). A sweep then gives what it would have given there.
 */
gmf_status gmf_als_load(gmf_als *als, gmf_side side, const float *factors, const float *bias, gmf_error *err);

/* Local. Replaces my rows of a side, rows [n][ld] as gmf_als_factor has them. */
void gmf_als_set_rows(gmf_als *als, gmf_side side, const float *rows);

/* Collective. After gmf_als_load: goes on behind n_sweeps sweeps, the last of which had this objective. */
void gmf_als_resume(gmf_als *als, int64_t n_sweeps, double objective);

/* Collective. Features' weights for the rows of both sides as gmf_als_load or gmf_als_set_rows left them: the same bits
 * as the sweep had that the rows come from. */
void gmf_als_refit(gmf_als *als);

/* Local. The weights B [features][k] of a side, see features.c; NULL where it has none. Owned by the solver. */
const double *gmf_als_weights(const gmf_als *als, gmf_side side);

/* Local. In how many panels (dist/panels.h) the fixed rows come from which a side is solved; heavy rows have one. */
int gmf_als_n_panels(const gmf_als *als, gmf_side side);

/* Local. Of the processors' time that my threads took for the rows of a side, in all sweeps: the busiest thread's over
 * the mean; 1 where there was none. */
double gmf_als_thread_balance(const gmf_als *als, gmf_side side);

/* Local. What was taken off the ratings, 0 where nothing was. */
double gmf_als_mean(const gmf_als *als);

/* Local. Ratings of all ranks whose weight is below zero (loss.h, `implicit`): rows with many of them may be singular.
 */
int64_t gmf_als_n_negative(const gmf_als *als);

/* Collective. Y'Y [k][k] of a side's factor in f8, full square, on all ranks. For losses over all pairs (loss.h). */
void gmf_als_gram(gmf_als *als, gmf_side side, double *gram);

#endif
