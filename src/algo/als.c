/*
 * Alternating least squares.  With the items' factors Y fixed, the factor of user u solves
 *
 *   (s Y'Y + sum_i w(r_ui) y_i y_i' + lambda_u I) x_u = sum_i t(r_ui) y_i          i over the stored ratings of u
 *
 * and the items' half-sweep is the same with the roles exchanged.  w, t and s make the loss (kernel/loss.h):
 *
 *   als   squared error on stored ratings; lambda_u = lambda n_u (scale `count`) is ALS-WR of
 *         Zhou, Wilkinson, Schreiber, Pan, "Large-scale parallel collaborative filtering", AAIM 2008
 *   ials  Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, eq. 4;
 *         Y'Y is k x k and equal on all ranks, so sums run over stored entries only: O(nnz k^2 + (m + n) k^3)
 *
 * A half-sweep = expand the fixed rows that my ratings touch; then, on a grid of one column, form and solve each of my
 * rows; on a grid of several, form my part of each row of the grid row, fold the sums to the row's owner, solve there.
 * Rows without ratings are zero.
 *
 * The objective   sum_u sum_i (loss of r_ui) + sum_u lambda_u |x_u|^2 + sum_i lambda_i |y_i|^2   is that of the factors
 * as stored (f4), summed in f8; exact solves never raise it but by rounding.
 */
#include "algo/als.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "dist/fold.h"
#include "kernel/row_solver.h"

struct gmf_als {
  const gmf_grid *grid; /* borrowed */
  gmf_als_options options;
  int k, ld;
  gmf_block *const *blocks;         /* borrowed [GMF_N_SIDES] */
  gmf_factor *factors[GMF_N_SIDES]; /* owned */
  gmf_fold *folds[GMF_N_SIDES];     /* owned; NULL on a grid of one column */
  float *panel;                     /* owned: the expanded rows of the side that is fixed */
  double *row_loss;                 /* owned: of each of my rows, so that the sum does not depend on threads */
  double *gram8;                    /* owned [ld][ld] */
  float *gram4;                     /* owned [ld][ld] */
  double *thread_gram;              /* owned [threads][ld][ld] */
  gmf_row_solver *solvers;          /* owned [threads] */
  int n_threads;
  double constant; /* loss of all ratings at zero factors */
};

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

void gmf_als_destroy(gmf_als **solver)
{
  gmf_als *als = *solver;
  if (als == NULL) return;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_factor_destroy(&als->factors[s]);
    gmf_fold_destroy(&als->folds[s]);
  }
  for (int t = 0; als->solvers != NULL && t < als->n_threads; t++) gmf_row_solver_destroy(&als->solvers[t]);
  gmf_free(als->solvers);
  gmf_free(als->panel);
  gmf_free(als->row_loss);
  gmf_free(als->gram8);
  gmf_free(als->gram4);
  gmf_free(als->thread_gram);
  gmf_free(als);
  *solver = NULL;
}

/* Doubles that a row folds: the upper triangle of its Gram matrix and its right-hand side. */
static int64_t fold_words(int k) { return (int64_t)k * (k + 1) / 2 + k; }

static gmf_status create_local(gmf_als *als, gmf_axis *const axes[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t square = (int64_t)als->ld * als->ld, n_panel = 0, n_own = 0;

  for (int s = 0; s < GMF_N_SIDES; s++) {
    GMF_TRY(gmf_factor_create(als->grid, (gmf_side)s, axes[s], als->k, &als->factors[s], err));
    if (als->grid->n_cols > 1)
      GMF_TRY(gmf_fold_create(als->grid, als->blocks[s], fold_words(als->k), &als->folds[s], err));
    n_panel = gmf_max64(n_panel, als->blocks[s]->expand->n_slots);
    n_own = gmf_max64(n_own, als->factors[s]->n);
  }
  GMF_TRY(GMF_NEW(als->panel, n_panel * als->ld, err));
  GMF_TRY(GMF_NEW_ZERO(als->row_loss, n_own, err));
  GMF_TRY(GMF_NEW_ZERO(als->gram8, square, err));
  GMF_TRY(GMF_NEW_ZERO(als->gram4, square, err));
  als->n_threads = omp_get_max_threads();
  if ((gmf_loss_shared(als->options.loss) > 0)) GMF_TRY(GMF_NEW(als->thread_gram, als->n_threads * square, err));
  GMF_TRY(GMF_NEW_ZERO(als->solvers, als->n_threads, err));
  for (int t = 0; t < als->n_threads; t++)
    GMF_TRY(gmf_row_solver_create(&als->solvers[t], als->k, als->options.loss, err));
cleanup:
  return status;
}

/* Collective. The loss of all ratings at zero factors; the users' blocks hold each rating once. */
static double constant_loss(const gmf_als *als)
{
  const gmf_block *b = als->blocks[GMF_USERS];
  double sum = 0;
  for (int64_t r = 0; r < b->n_rows; r++)
    for (int64_t j = b->row_ptr[r]; j < b->row_ptr[r + 1]; j++)
      sum += gmf_loss_constant(als->options.loss, b->values[j], 1.0f);
  gmf_sum_f64(als->grid, &sum, 1);
  return sum;
}

gmf_status gmf_als_create(const gmf_grid *grid, const gmf_als_options *options, gmf_axis *const axes[GMF_N_SIDES],
                          gmf_block *const blocks[GMF_N_SIDES], gmf_als **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_als *als = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(als, 1, err), err));
  als->grid = grid;
  als->options = *options;
  als->k = options->n_factors;
  als->ld = gmf_pad(als->k);
  als->blocks = blocks;
  GMF_TRY(gmf_agree(grid, create_local(als, axes, err), err));
  for (int s = 0; s < GMF_N_SIDES; s++)
    gmf_factor_randomize(grid, als->factors[s], options->seed, 0.1 / sqrt((double)als->k));
  als->constant = constant_loss(als);
  *out = als;
  als = NULL;
cleanup:
  gmf_als_destroy(&als);
  return status;
}

const gmf_factor *gmf_als_factor(const gmf_als *als, gmf_side side) { return als->factors[side]; }

/* ---- the shared Gram matrix -------------------------------------------------------------------------------------- */

/* Collective. als->gram8 = Y'Y (upper triangle) of a side's factor, als->gram4 the same in f4. Threads take fixed
 * parts of the rows and are summed in order, so the bits depend on ranks and threads only. */
static void shared_gram(gmf_als *als, gmf_side side)
{
  const gmf_factor *y = als->factors[side];
  int64_t square = (int64_t)als->ld * als->ld;
  gmf_trace_phase(als->grid->trace, GMF_PHASE_GRAM);
#pragma omp parallel for schedule(static, 1) num_threads(als->n_threads)
  for (int t = 0; t < als->n_threads; t++) { /* parts, not threads: OpenMP may give fewer threads than asked for */
    int64_t begin = gmf_slice_begin(y->n, als->n_threads, t), end = gmf_slice_begin(y->n, als->n_threads, t + 1);
    double *mine = als->thread_gram + t * square;
    memset(mine, 0, (size_t)square * sizeof *mine);
    gmf_gram_f8(y->rows + begin * y->ld, y->ld, NULL, NULL, als->options.loss, end - begin, y->ld,
                als->solvers[t].work8, mine, als->solvers[t].b8);
  }
  memset(als->gram8, 0, (size_t)square * sizeof *als->gram8);
  for (int t = 0; t < als->n_threads; t++)
    for (int64_t j = 0; j < square; j++) als->gram8[j] += als->thread_gram[t * square + j];
  gmf_sum_f64(als->grid, als->gram8, square);
  for (int64_t j = 0; j < square; j++) als->gram4[j] = (float)als->gram8[j];
}

void gmf_als_gram(gmf_als *als, gmf_side side, double *gram)
{
  gmf_phase before = gmf_trace_phase(als->grid->trace, GMF_PHASE_GRAM);
  shared_gram(als, side);
  for (int i = 0; i < als->k; i++)
    for (int j = 0; j < als->k; j++) gram[i * als->k + j] = als->gram8[(i < j ? i : j) * als->ld + (i < j ? j : i)];
  gmf_trace_phase(als->grid->trace, before);
}

/* ---- half-sweeps ------------------------------------------------------------------------------------------------- */

/* What a half-sweep adds up, over rows and then over ranks. */
typedef struct sums {
  double loss;           /* beyond the constant; of the half-sweep that asks for it */
  double regularisation; /* of the updated side */
  double n_singular, n_retried;
} sums;

static double row_lambda(const gmf_als *als, int64_t count)
{
  return als->options.lambda_scale == GMF_LAMBDA_COUNT ? als->options.lambda * (double)count : als->options.lambda;
}

static gmf_shared_gram gram_of(const gmf_als *als)
{
  if (!(gmf_loss_shared(als->options.loss) > 0)) return (gmf_shared_gram){NULL, NULL};
  return (gmf_shared_gram){als->gram8, als->gram4};
}

static double shared_loss(const gmf_als *als, const double *x)
{
  return (gmf_loss_shared(als->options.loss) > 0) ? gmf_quadratic_form(als->gram8, x, als->k, als->ld) : 0;
}

/* The number in dataset order of my row j. */
static int64_t own_row(const gmf_als *als, gmf_side side, int64_t j)
{
  const gmf_axis *axis = als->factors[side]->axis;
  return gmf_axis_row(axis, axis->prefix[als->grid->rank] + j);
}

/* Local. Tells how far a loop over n things has come. Things are handed out in order, so one thread's place stands for
 * all, and thread 0 comes by often enough. */
static void report_progress(const gmf_als *als, gmf_side side, int64_t at, int64_t n)
{
  if (als->options.progress == NULL || at % 64 != 0 || omp_get_thread_num() != 0) return;
  als->options.progress(als->options.context, side, (double)at / (double)n);
}

/* Local. Forms and solves my rows from all their ratings. first_singular: the lowest row in dataset order that failed,
 * INT64_MAX when none did. */
static void solve_rows(gmf_als *als, gmf_side side, bool with_loss, int64_t *first_singular)
{
  const gmf_block *b = als->blocks[side];
  gmf_factor *x = als->factors[side];
  gmf_shared_gram shared = gram_of(als);
  int64_t first = INT64_MAX;
#pragma omp parallel for schedule(dynamic, 8) reduction(min : first) num_threads(als->n_threads)
  for (int64_t j = 0; j < b->n_rows; j++) {
    gmf_row_solver *s = &als->solvers[omp_get_thread_num()];
    int64_t r = b->by_work[j], begin = b->row_ptr[r], n = b->row_ptr[r + 1] - begin;
    report_progress(als, side, j, b->n_rows);
    float *row = x->rows + r * als->ld;
    als->row_loss[r] = 0;
    if (n == 0) {
      memset(row, 0, (size_t)als->ld * sizeof *row);
    } else if (!gmf_row_solve(s, als->panel, als->ld, b->cols + begin, b->values + begin, n, shared, row_lambda(als, n),
                              row)) {
      first = gmf_min64(first, own_row(als, side, r));
    } else if (with_loss) {
      als->row_loss[r] = shared_loss(als, s->x8) + gmf_row_loss(als->panel, als->ld, b->cols + begin, b->values + begin,
                                                                als->options.loss, n, als->ld, s->x8);
    }
  }
  *first_singular = first;
}

/* The upper triangle and right-hand side of a solver's f8 system, packed, and back. */
static void pack(const gmf_row_solver *s, double *packed)
{
  for (int i = 0; i < s->k; i++) {
    size_t n = (size_t)(s->k - i);
    memcpy(packed, s->a8 + i * s->ld + i, n * sizeof *packed);
    packed += n;
  }
  memcpy(packed, s->b8, (size_t)s->k * sizeof *packed);
}

static void unpack(gmf_row_solver *s, const double *packed)
{
  for (int i = 0; i < s->k; i++) {
    size_t n = (size_t)(s->k - i);
    memcpy(s->a8 + i * s->ld + i, packed, n * sizeof *packed);
    packed += n;
  }
  memcpy(s->b8, packed, (size_t)s->k * sizeof *packed);
}

/* Local. My part of the systems of a batch, for all owners of the grid row, into the fold's buffer. */
static void form_batch(gmf_als *als, gmf_side side, int64_t batch)
{
  const gmf_block *b = als->blocks[side];
  gmf_fold *f = als->folds[side];
  double *to = f->partial;
  for (int owner = 0; owner < f->n_owners; owner++) {
    int64_t first = 0, end = 0;
    gmf_fold_range(f, batch, owner, &first, &end);
#pragma omp parallel for schedule(dynamic, 8) num_threads(als->n_threads)
    for (int64_t r = first; r < end; r++) {
      gmf_row_solver *s = &als->solvers[omp_get_thread_num()];
      int64_t begin = b->row_ptr[r];
      memset(s->a8, 0, (size_t)als->ld * (size_t)als->ld * sizeof *s->a8);
      memset(s->b8, 0, (size_t)als->ld * sizeof *s->b8);
      gmf_gram_f8(als->panel, als->ld, b->cols + begin, b->values + begin, als->options.loss, b->row_ptr[r + 1] - begin,
                  als->ld, s->work8, s->a8, s->b8);
      pack(s, to + (r - first) * f->row_words);
    }
    to += (end - first) * f->row_words;
  }
}

/* Local. Solves my rows of a batch from the folded sums. The loss of a row is x'Ax - 2b'x of the same sums. */
static void solve_batch(gmf_als *als, gmf_side side, int64_t batch, bool with_loss, int64_t *first_singular)
{
  const gmf_block *b = als->blocks[side];
  const gmf_fold *f = als->folds[side];
  gmf_factor *x = als->factors[side];
  gmf_shared_gram shared = gram_of(als);
  int64_t first = *first_singular, begin = 0, end = 0;
  gmf_fold_range(f, batch, als->grid->col_index, &begin, &end);
  int64_t own_begin = f->first[als->grid->col_index];
#pragma omp parallel for schedule(dynamic, 8) reduction(min : first) num_threads(als->n_threads)
  for (int64_t r = begin; r < end; r++) {
    gmf_row_solver *s = &als->solvers[omp_get_thread_num()];
    const double *sum = f->sums + (r - begin) * f->row_words;
    float *row = x->rows + (r - own_begin) * als->ld;
    als->row_loss[r - own_begin] = 0;
    memset(row, 0, (size_t)als->ld * sizeof *row);
    if (b->counts[r] == 0) continue;
    memset(s->a8, 0, (size_t)als->ld * (size_t)als->ld * sizeof *s->a8);
    memset(s->b8, 0, (size_t)als->ld * sizeof *s->b8);
    unpack(s, sum);
    if (!gmf_row_solve_sums(s, shared, row_lambda(als, b->counts[r]), row)) {
      first = gmf_min64(first, own_row(als, side, r - own_begin));
    } else if (with_loss) {
      unpack(s, sum); /* the factorisation has overwritten it */
      double loss = shared_loss(als, s->x8) + gmf_quadratic_form(s->a8, s->x8, als->k, als->ld);
      for (int j = 0; j < als->k; j++) loss -= 2 * s->b8[j] * s->x8[j];
      als->row_loss[r - own_begin] = loss;
    }
  }
  *first_singular = first;
}

/* Local. Sums over my rows, in row order. */
static sums sum_rows(const gmf_als *als, gmf_side side)
{
  const gmf_factor *x = als->factors[side];
  const gmf_block *b = als->blocks[side];
  int64_t own_begin = x->axis->prefix[als->grid->rank] - b->row_begin;
  sums total = {0};
  for (int64_t r = 0; r < x->n; r++) {
    const float *row = x->rows + r * als->ld;
    double square = 0;
    for (int j = 0; j < als->k; j++) square += (double)row[j] * (double)row[j];
    total.regularisation += row_lambda(als, b->counts[own_begin + r]) * square;
    total.loss += als->row_loss[r];
  }
  for (int t = 0; t < als->n_threads; t++) {
    total.n_retried += (double)als->solvers[t].n_retried;
    als->solvers[t].n_retried = 0;
  }
  return total;
}

/* Collective. One side given the other. */
static gmf_status half_sweep(gmf_als *als, gmf_side side, bool with_loss, sums *total, gmf_als_singular *singular,
                             gmf_error *err)
{
  const gmf_grid *grid = als->grid;
  gmf_side fixed = gmf_other_side(side);
  int64_t first_singular = INT64_MAX;

  if ((gmf_loss_shared(als->options.loss) > 0)) shared_gram(als, fixed);
  gmf_trace_phase(grid->trace, GMF_PHASE_EXPAND);
  gmf_expand_run(grid, als->blocks[side]->expand, als->factors[fixed]->rows, als->panel);
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  if (als->folds[side] == NULL) solve_rows(als, side, with_loss, &first_singular);
  for (int64_t batch = 0; als->folds[side] != NULL && batch < als->folds[side]->n_batches; batch++) {
    if (als->options.progress != NULL)
      als->options.progress(als->options.context, side, (double)batch / (double)als->folds[side]->n_batches);
    form_batch(als, side, batch);
    gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
    gmf_fold_run(grid, als->folds[side], batch);
    gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
    solve_batch(als, side, batch, with_loss, &first_singular);
  }
  *total = sum_rows(als, side);
  total->n_singular = first_singular != INT64_MAX;
  gmf_sum_f64(grid, &total->loss, sizeof *total / sizeof(double));
  gmf_trace_phase(grid->trace, GMF_PHASE_OTHER);
  if (total->n_singular == 0) return GMF_OK;

  gmf_min_i64(grid, &first_singular, 1);
  *singular = (gmf_als_singular){side, first_singular};
  return gmf_fail(err, GMF_ERR_NUMERIC, "the system of %s row %lld is singular", gmf_side_noun(side),
                  (long long)first_singular);
}

gmf_status gmf_als_sweep_run(gmf_als *als, gmf_als_sweep *sweep, gmf_als_singular *singular, gmf_error *err)
{
  gmf_status status = GMF_OK;
  sums users = {0}, items = {0};
  singular->row = -1;
  GMF_TRY(half_sweep(als, GMF_USERS, false, &users, singular, err));
  GMF_TRY(half_sweep(als, GMF_ITEMS, true, &items, singular, err));
  sweep->loss = als->constant + items.loss;
  sweep->objective = sweep->loss + users.regularisation + items.regularisation;
  sweep->n_retried = (int64_t)(users.n_retried + items.n_retried);
cleanup:
  return status;
}
