/*
 * Alternating least squares.  With the items' factors Y fixed, the factor of user u solves
 *
 *   (s Y'Y + sum_i w_ui y_i y_i' + lambda_u I) x_u = sum_i t_ui y_i          i over the stored ratings of u
 *
 * and the items' half-sweep is the same with the roles exchanged.  w, t and s make the loss, lambda_u is lambda times a
 * scale (kernel/loss.h, which names the sources):
 *
 *   als   squared error on stored ratings, s = 0; lambda_u = lambda n_u is ALS-WR of Zhou, Wilkinson, Schreiber, Pan,
 *         "Large-scale parallel collaborative filtering", AAIM 2008
 *   ials  Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, eq. 4, and its
 *         relatives; Y'Y is k x k and equal on all ranks, so sums run over stored entries only:
 *         O(nnz k^2 + (m + n) k^3)
 *
 * Biases (Koren, Bell, Volinsky, "Matrix factorization techniques for recommender systems", IEEE Computer 42(8), 2009)
 * are two more columns: a user's row is [x_u, b_u, 1] and an item's [y_i, 1, b_i], so that their product is the
 * prediction.  A half-sweep solves for factors and the own bias together, and holds the 1: the row solver takes its
 * column to the right-hand side.
 *
 * Rows are solved in the basis of the eigenvectors of Y'Y, in which the part that all rows share is diagonal:
 * als_basis.c.
 *
 * Features of a side's rows put B'f_i where lambda would pull y_i to zero, and a regression behind the half-sweep puts
 * B where it fits best: features.c.
 *
 * A half-sweep = rotate and expand the fixed rows that my ratings touch, all at once or in panels; then solve each of
 * my rows whose ratings I have all of; those whose ratings are cut among the ranks of a grid row - heavy rows, or all
 * on a grid of several columns - are solved by sums that are folded to their owner (als_fold.c).  Rows without ratings
 * are zero.
 *
 * With --relaxation rows go beyond their solutions, so that fewer sweeps are needed: als_relax.c.
 *
 * The objective   sum_u sum_i (loss of r_ui) + sum_u lambda_u |x_u|^2 + sum_i lambda_i |y_i|^2 (+ the biases' likewise)
 * is that of the factors when they were solved for, before they were rounded to f4, in f8; exact solves never raise it
 * but by rounding.  Rows that travel as bf16 (dist/wire.h) are rounded for those sums over stored ratings, on every
 * rank alike; the objective is then that of the rounded rows, while Y'Y and the model keep all of theirs.  Each row's
 * part falls out of its solution (row_solver.h): there is no pass over the ratings for it.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "algo/als_internal.h"
#include "base/memory.h"
#include "base/narrow.h"

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

void gmf_als_destroy(gmf_als **solver)
{
  gmf_als *als = *solver;
  if (als == NULL) return;
  gmf_als_rows_destroy(als);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_factor_destroy(&als->factors[s]);
    gmf_als_fold_destroy(&als->folds[s]);
    gmf_prior_destroy(&als->priors[s]);
    gmf_panels_destroy(&als->panels[s]);
  }
  gmf_expand_space_destroy(&als->space);
  void *const arrays[] = {als->row_objective, als->row_regularisation, als->gram, als->shared_diagonal, als->rotation,
                          als->rotated,       als->row_counts,         als->kept};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
  gmf_eigen_destroy(&als->basis);
  gmf_exact_gram_destroy(&als->exact);
  gmf_free(als);
  *solver = NULL;
}

static bool is_over_all_pairs(const gmf_als *als) { return gmf_loss_shared(als->options.row.loss) > 0; }

/* The rows of a side whose ratings are cut among ranks; NULL: none. */
static const gmf_block *folded_block(const gmf_als *als, int side)
{
  return als->grid->n_cols > 1 ? als->blocks[side] : als->blocks[side]->next;
}

/* Whether rows are solved by conjugate gradients, from where they stand. */
static bool uses_cg(const gmf_als *als)
{
  bool uses = als->options.row.solver == GMF_SOLVER_CG;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    const gmf_block *b = folded_block(als, s);
    uses = uses || (b != NULL && gmf_als_fold_way(&als->options.row, b->own_rows != NULL).cg_steps > 0);
  }
  return uses;
}

/* Whether rows are solved in another basis than they stand in. */
static bool needs_basis(const gmf_als *als)
{
  if (als->options.row.nonnegative) return false; /* signs belong to the basis that the start chose */
  return is_over_all_pairs(als) || als->rotates_start;
}

int gmf_als_n_panels(const gmf_als *als, gmf_side side) { return als->panels[side] != NULL ? als->panels[side]->n : 1; }

static gmf_expand *panel_plan(const gmf_als *als, gmf_side side, int panel)
{
  return als->panels[side] != NULL ? als->panels[side]->plans[panel] : als->blocks[side]->expand;
}

/* Collective. A third of the memory each for the panel that is solved from, the next one, and the rows that are sent,
 * which are as many on average. */
static gmf_status make_panels(gmf_als *als, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t row_bytes = als->ld * (int64_t)sizeof(float);
  for (int s = 0; s < GMF_N_SIDES && als->options.expand_bytes > 0 && als->grid->n_cols == 1; s++)
    GMF_TRY(gmf_panels_create(als->blocks[s], als->options.expand_bytes / 3 / row_bytes, &als->panels[s], err));
cleanup:
  return status;
}

/* Collective. */
static gmf_status make_space(gmf_als *als, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand **plans = NULL;
  int n = 0, n_users = gmf_als_n_panels(als, GMF_USERS), n_all = n_users + gmf_als_n_panels(als, GMF_ITEMS);
  GMF_TRY(gmf_agree(als->grid, GMF_NEW(plans, n_all, err), err));
  for (; n < n_all; n++)
    plans[n] = n < n_users ? panel_plan(als, GMF_USERS, n) : panel_plan(als, GMF_ITEMS, n - n_users);
  gmf_status local = gmf_expand_space_create(als->grid, plans, n, (size_t)als->ld * sizeof *als->panel, n > GMF_N_SIDES,
                                             &als->space, err);
  GMF_TRY(gmf_agree(als->grid, local, err));
cleanup:
  gmf_free(plans);
  return status;
}

static gmf_status create_local(gmf_als *als, gmf_axis *const axes[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t square = (int64_t)als->ld * als->ld, n_own = 0, n_all = 0, n_copies = 0;

  als->n_threads = omp_get_max_threads();
  for (int s = 0; s < GMF_N_SIDES; s++) {
    GMF_TRY(gmf_factor_create(als->grid, (gmf_side)s, axes[s], als->k, als->ld, &als->factors[s], err));
    if (folded_block(als, s) != NULL) GMF_TRY(gmf_als_fold_create(als, folded_block(als, s), &als->folds[s], err));
    n_own = gmf_max64(n_own, als->factors[s]->n);
    gmf_als_fold_copies(als->folds[s], &n_copies);
    n_all = gmf_max64(n_all, als->factors[s]->n + n_copies);
  }
  if (gmf_als_relaxes(&als->options)) GMF_TRY(GMF_NEW(als->kept, n_all * als->ld, err));
  GMF_TRY(GMF_NEW_ZERO(als->row_objective, n_own, err));
  GMF_TRY(GMF_NEW_ZERO(als->row_regularisation, n_own, err));
  GMF_TRY(GMF_NEW_ZERO(als->gram, square + als->ld, err));
  GMF_TRY(GMF_NEW_ZERO(als->shared_diagonal, als->ld, err));
  if (als->options.deterministic && (needs_basis(als) || is_over_all_pairs(als)))
    GMF_TRY(gmf_exact_gram_create(als->ld, als->n_threads, &als->exact, err));
  if (needs_basis(als)) {
    GMF_TRY(GMF_NEW_ZERO(als->rotation, square, err));
    GMF_TRY(GMF_NEW(als->rotated, n_all * als->ld, err));
    gmf_zero_by_threads(als->rotated, (size_t)(n_all * als->ld) * sizeof *als->rotated);
    if (!is_over_all_pairs(als)) GMF_TRY(GMF_NEW_ZERO(als->row_counts, n_own, err));
  }
  GMF_TRY(gmf_als_rows_create(als, err));
cleanup:
  return status;
}

float *gmf_als_rows(const gmf_als *als, gmf_side side, bool copies, int64_t *n)
{
  if (copies) return gmf_als_fold_copies(als->folds[side], n);
  *n = als->factors[side]->n;
  return als->factors[side]->rows;
}

static void start_factor(gmf_als *als, gmf_side side)
{
  gmf_factor *f = als->factors[side];
  int one = gmf_als_fixed_column(als, side);
  gmf_factor_randomize(als->grid, f, als->options.seed, 0.1 / sqrt((double)als->k));
  for (int64_t r = 0; r < f->n; r++) {
    float *row = f->rows + r * als->ld;
    if (one >= 0) row[one] = 1;
    for (int c = 0; als->options.row.nonnegative && c < als->k; c++) row[c] = fabsf(row[c]);
  }
}

/* Collective. The prior of a side, where it has features. */
static gmf_status create_prior(gmf_als *als, gmf_side side, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_factor *x = als->factors[side];
  const int64_t *counts = gmf_als_own_counts(als, side);
  gmf_prior_options options = {als->k, als->options.lambda_features, als->options.deterministic};
  double *lambdas = NULL;
  if (als->options.features[side] == NULL) return GMF_OK;
  GMF_TRY(gmf_agree(als->grid, GMF_NEW(lambdas, x->n, err), err));
  for (int64_t r = 0; r < x->n; r++)
    lambdas[r] = counts[r] > 0 ? als->options.regularisation.lambda * gmf_als_lambda_factor(als, side, counts[r]) : 0;
  GMF_TRY(
      gmf_prior_create(als->grid, x->axis, als->options.features[side], lambdas, &options, &als->priors[side], err));
cleanup:
  gmf_free(lambdas);
  return status;
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
  als->k = options->row.k;
  als->n = gmf_row_order(options->row.k, options->row.bias);
  als->ld = gmf_als_ld(&options->row);
  als->blocks = blocks;
  als->rotates_start = uses_cg(als);
  GMF_TRY(make_panels(als, err));
  GMF_TRY(make_space(als, err));
  GMF_TRY(gmf_agree(grid, create_local(als, axes, err), err));
  if (needs_basis(als)) GMF_TRY(gmf_eigen_create(grid, als->k, als->ld, options->deterministic, &als->basis, err));
  for (int s = 0; s < GMF_N_SIDES; s++) GMF_TRY(create_prior(als, (gmf_side)s, err));
  for (int s = 0; s < GMF_N_SIDES; s++) start_factor(als, (gmf_side)s);
  if (options->center) gmf_als_take_off_mean(als);
  als->constant = gmf_als_constant(als);
  als->n_negative = gmf_als_count_negative(als);
  *out = als;
  als = NULL;
cleanup:
  gmf_als_destroy(&als);
  return status;
}

const gmf_factor *gmf_als_factor(const gmf_als *als, gmf_side side) { return als->factors[side]; }

gmf_status gmf_als_load(gmf_als *als, gmf_side side, const float *factors, const float *bias, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_factor *f = als->factors[side];
  int64_t word = (int64_t)sizeof(float);
  GMF_TRY(gmf_axis_from_slices(als->grid, f->axis, factors, als->k * word, f->rows, f->ld * word, err));
  if (als->options.row.bias)
    GMF_TRY(
        gmf_axis_from_slices(als->grid, f->axis, bias, word, f->rows + gmf_als_own_bias(als, side), f->ld * word, err));
  const int64_t *counts = gmf_als_own_counts(als, side);
  for (int64_t r = 0; r < f->n; r++) /* what was written of them may be what features say */
    if (counts[r] == 0) gmf_als_clear_row(als, side, f->rows + r * als->ld);
  gmf_als_fold_forget(als->folds[side]);
cleanup:
  return status;
}

void gmf_als_set_rows(gmf_als *als, gmf_side side, const float *rows)
{
  gmf_factor *f = als->factors[side];
  if (f->n > 0) memcpy(f->rows, rows, (size_t)(f->n * f->ld) * sizeof *rows);
  gmf_als_fold_forget(als->folds[side]);
}

void gmf_als_refit(gmf_als *als)
{
  for (int s = 0; s < GMF_N_SIDES; s++)
    if (als->priors[s] != NULL) gmf_prior_run(als->priors[s], als->factors[s]->rows, als->ld);
}

const double *gmf_als_weights(const gmf_als *als, gmf_side side)
{
  return als->priors[side] != NULL ? gmf_prior_weights(als->priors[side]) : NULL;
}

double gmf_als_mean(const gmf_als *als) { return als->mean; }

int64_t gmf_als_n_negative(const gmf_als *als) { return als->n_negative; }

/* ---- half-sweeps ------------------------------------------------------------------------------------------------- */

/* What a half-sweep adds up, over rows and then over ranks. */
typedef struct sums {
  double objective;      /* of the rows, but for the constant */
  double regularisation; /* of the updated side */
  double n_singular, n_retried, n_jittered;
} sums;

/* Collective. What the rows of a half-sweep add up to. */
static sums sum_rows(gmf_als *als, gmf_side side, bool singular)
{
  const gmf_factor *x = als->factors[side];
  const gmf_regularisation *reg = &als->options.regularisation;
  const int64_t *counts = gmf_als_own_counts(als, side);
  sums total = {.objective = als->folded_loss, .n_singular = singular};
#pragma omp parallel for schedule(static) num_threads(als->n_threads)
  for (int64_t r = 0; r < x->n; r++) {
    const float *row = x->rows + r * als->ld;
    double bias = als->options.row.bias ? (double)row[gmf_als_own_bias(als, side)] : 0;
    double square = gmf_sum_of_squares(row, als->k);
    als->row_regularisation[r] =
        gmf_als_lambda_factor(als, side, counts[r]) * (reg->lambda * square + reg->lambda_bias * bias * bias);
  }
  for (int64_t r = 0; r < x->n; r++) {
    total.regularisation += als->row_regularisation[r];
    total.objective += als->row_objective[r];
  }
  for (int t = 0; t < als->n_threads; t++) {
    total.n_retried += (double)als->solvers[t].n_retried;
    total.n_jittered += (double)als->solvers[t].n_jittered;
    als->solvers[t].n_retried = als->solvers[t].n_jittered = 0;
  }
  gmf_sum_f64(als->grid, &total.objective, sizeof total / sizeof(double));
  if (als->options.deterministic) {
    total.objective = gmf_exact_sum(als->grid, als->row_objective, x->n);
    total.regularisation = gmf_exact_sum(als->grid, als->row_regularisation, x->n);
  }
  return total;
}

void gmf_als_resume(gmf_als *als, int64_t n_sweeps, double objective)
{
  als->n_sweeps = n_sweeps;
  als->objective = objective;
  for (int s = 0; s < GMF_N_SIDES && gmf_als_relaxes(&als->options); s++)
    als->regularisation[s] = sum_rows(als, (gmf_side)s, false).regularisation;
}

/* Collective. The weights of a side's features for its rows, and what they change of the sums (features.c). */
static void fit_features(gmf_als *als, gmf_side side, sums *total)
{
  if (als->priors[side] == NULL) return;
  gmf_prior_fit fit = gmf_prior_run(als->priors[side], als->factors[side]->rows, als->ld);
  total->objective += 2 * fit.before - fit.after;
  total->regularisation -= fit.after;
}

/* Collective. Sends for the fixed rows of a panel. */
static void start_panel(gmf_als *als, gmf_side side, int panel)
{
  const float *fixed = als->basis != NULL ? als->rotated : als->factors[gmf_other_side(side)]->rows;
  gmf_expand_start(als->grid, panel_plan(als, side, panel), fixed, als->ld, als->options.wire, als->space);
}

/* Collective. All rows of a side, panel by panel; the next one's fixed rows come in while one is solved. */
static void solve_panels(gmf_als *als, gmf_side side, int64_t *first_singular)
{
  gmf_trace *trace = als->grid->trace;
  int n = gmf_als_n_panels(als, side);
  gmf_trace_phase(trace, GMF_PHASE_EXPAND);
  start_panel(als, side, 0);
  for (int p = 0; p < n; p++) {
    if (p > 0) gmf_trace_phase(trace, GMF_PHASE_EXPAND);
    gmf_expand_finish(als->space);
    als->panel = (const float *)(const void *)als->space->panel;
    if (p + 1 < n) start_panel(als, side, p + 1);
    gmf_trace_phase(trace, GMF_PHASE_SOLVE);
    if (als->grid->n_cols == 1) gmf_als_rows_solve(als, side, p, first_singular);
    if (p + 1 == n && als->folds[side] != NULL) gmf_als_fold_solve(als, als->folds[side], first_singular);
  }
  for (const gmf_block *b = als->blocks[side]; b != NULL; b = b->next)
    gmf_trace_work(trace, GMF_PHASE_SOLVE, b->row_ptr[b->n_rows]);
}

/* Collective. One side given the other; omega: how far rows go, als_relax.c. */
static gmf_status half_sweep(gmf_als *als, gmf_side side, double omega, sums *total, gmf_als_singular *singular,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_grid *grid = als->grid;
  gmf_side fixed = gmf_other_side(side);
  int64_t first_singular = INT64_MAX;

  gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_als_fold_refresh(als, als->folds[s]);
  if (omega != 1) gmf_als_relax_keep(als, side);
  if (als->basis != NULL)
    GMF_TRY(gmf_als_change_basis(als, fixed, err));
  else if (is_over_all_pairs(als))
    gmf_als_shared_gram(als, fixed);
  if (als->priors[side] != NULL) gmf_prior_turn(als->priors[side], als->basis != NULL ? als->rotation : NULL, als->ld);
  als->folded_loss = 0;
  solve_panels(als, side, &first_singular);
  if (als->basis != NULL) gmf_als_rotate_side(als, side, als->basis->vectors, false, NULL);
  if (omega != 1) gmf_als_relax_rows(als, side, omega);
  *total = sum_rows(als, side, first_singular != INT64_MAX);
  fit_features(als, side, total);
  double solved = als->constant + total->objective + als->regularisation[fixed];
  als->objective = omega != 1 ? gmf_als_relaxed_objective(als->objective, solved, omega) : solved;
  als->regularisation[side] = total->regularisation;
  if (total->n_singular > 0) {
    gmf_min_i64(grid, &first_singular, 1);
    *singular = (gmf_als_singular){side, first_singular};
    status = gmf_fail(err, GMF_ERR_NUMERIC, "the system of %s row %lld is singular", gmf_side_noun(side),
                      (long long)first_singular);
  }
cleanup:
  gmf_trace_phase(grid->trace, GMF_PHASE_OTHER);
  return status;
}

gmf_status gmf_als_sweep_run(gmf_als *als, gmf_als_sweep *sweep, gmf_als_singular *singular, gmf_error *err)
{
  gmf_status status = GMF_OK;
  sums users = {0}, items = {0};
  singular->row = -1;
  double omega = gmf_als_relaxation(als);
  GMF_TRY(half_sweep(als, GMF_USERS, omega, &users, singular, err));
  GMF_TRY(half_sweep(als, GMF_ITEMS, omega, &items, singular, err));
  als->n_sweeps++;
  sweep->objective = als->objective;
  sweep->loss = sweep->objective - users.regularisation - items.regularisation;
  sweep->n_retried = (int64_t)(users.n_retried + items.n_retried);
  sweep->n_jittered = (int64_t)(users.n_jittered + items.n_jittered);
cleanup:
  return status;
}
