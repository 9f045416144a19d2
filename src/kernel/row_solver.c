#include "kernel/row_solver.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/dual.h"
#include "kernel/nnls.h"

/* A pivot below this share of its diagonal element has lost nearly all of f4's digits. */
static const float F4_PIVOT = 3e-5f;
/* A first step longer than this share of x: the f4 factors are no good approximation. */
static const double F4_STEP = 1e-2;
/* Rows of fewer ratings have all residuals in f8: roundings of few products do not average out. */
enum { F4_RESIDUAL_RATINGS = 32 };
/* What is left of the error, relative to x, before it is rounded to f4, whose unit is 6e-8. */
static const double F4_ERROR = 1e-9;

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

gmf_status gmf_row_solver_create(gmf_row_solver *s, const gmf_row_options *options, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *s = (gmf_row_solver){.options = *options, .n = gmf_row_order(options->k, options->bias)};
  s->ld = gmf_pad(s->n);
  int64_t ld = s->ld;
  GMF_TRY(GMF_NEW_ZERO(s->a, (ld + 1) * ld, err));
  s->b = s->a + ld * ld;
  GMF_TRY(GMF_NEW_ZERO(s->work, gmf_gram_work(s->ld), err));
  GMF_TRY(GMF_NEW_ZERO(s->a8, (ld + 1) * ld, err));
  s->b8 = s->a8 + ld * ld;
  GMF_TRY(GMF_NEW_ZERO(s->x8, ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->r8, ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->work8, 2 * GMF_GRAM_DEPTH * ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->copy8, (ld + 1) * ld, err));
  if (!options->nonnegative) GMF_TRY(GMF_NEW_ZERO(s->batch, gmf_dual_batch_work(s->ld), err));
  if (options->solver == GMF_SOLVER_CG && !options->nonnegative) GMF_TRY(GMF_NEW(s->panels, GMF_CG_PANELS, err));
cleanup:
  if (status != GMF_OK) gmf_row_solver_destroy(s);
  return status;
}

void gmf_row_solver_destroy(gmf_row_solver *s)
{
  GMF_FREE(s->a); /* and b */
  GMF_FREE(s->work);
  GMF_FREE(s->a8); /* and b8 */
  GMF_FREE(s->x8);
  GMF_FREE(s->r8);
  GMF_FREE(s->work8);
  GMF_FREE(s->copy8);
  GMF_FREE(s->batch);
  GMF_FREE(s->panels);
}

/* ---- what the ways share ----------------------------------------------------------------------------------------- */

static double dot(const double *x, const double *y, int n)
{
  double sum = 0;
  for (int j = 0; j < n; j++) sum += x[j] * y[j];
  return sum;
}

static gmf_rated_row rated(const gmf_row_solver *s, const gmf_row *row)
{
  return (gmf_rated_row){row->y, row->stride, &row->ratings, s->options.loss, s->ld};
}

/* D of a coordinate that is solved, zero for the others. */
static inline double diagonal_of(const gmf_row *row, int c) { return c == row->fixed ? 0 : row->diagonal[c]; }

/* q of a coordinate. */
static inline double prior_of(const gmf_row *row, int c) { return row->prior != NULL ? row->prior[c] : 0; }

bool gmf_row_round(const gmf_row_solver *s, const gmf_row *row, float *x)
{
  bool finite = true;
  for (int j = 0; j < s->ld; j++) {
    x[j] = (float)s->x8[j];
    finite = finite && fabsf(x[j]) < GMF_VALUE_LIMIT; /* false for NaN */
  }
  if (row->fixed >= 0) x[row->fixed] = 1;
  return finite;
}

/* r8 = q - D x8. Returns x8'D x8 - 2 q'x8. */
static double start_residual(gmf_row_solver *s, const gmf_row *row)
{
  double regularisation = 0;
  for (int j = 0; j < s->ld; j++) {
    double d = j < s->n ? diagonal_of(row, j) : 0, q = prior_of(row, j);
    s->r8[j] = q - d * s->x8[j];
    regularisation += (d * s->x8[j] - 2 * q) * s->x8[j];
  }
  return regularisation;
}

double gmf_row_find_residual(gmf_row_solver *s, const gmf_row *row)
{
  double objective = start_residual(s, row);
  gmf_rated_row ratings = rated(s, row);
  gmf_team team = gmf_row_team(s);
  objective += gmf_sum_residual(&team, &ratings, s->x8, false, s->r8);
  if (row->fixed >= 0) s->r8[row->fixed] = 0;
  return objective;
}

/* The same by f4 products, for x4 [ld] = x8. */
static double find_residual_f4(gmf_row_solver *s, const gmf_row *row, const float *x4)
{
  double objective = start_residual(s, row);
  gmf_rated_row ratings = rated(s, row);
  gmf_team team = gmf_row_team(s);
  objective += gmf_sum_residual_f4(&team, &ratings, x4, s->r8);
  if (row->fixed >= 0) s->r8[row->fixed] = 0;
  return objective;
}

/* ---- primal, f8 -------------------------------------------------------------------------------------------------- */

/* x8 = the non-negative solution of copy8, b8. */
static bool solve_nonnegative(gmf_row_solver *s, const float *start)
{
  int ld = s->ld;
  for (int i = 0; i < s->n; i++)
    for (int j = 0; j < i; j++) s->copy8[i * ld + j] = s->copy8[j * ld + i];
  for (int j = 0; j < ld; j++) s->x8[j] = (double)start[j];
  return gmf_nnls(s->copy8, s->b8, s->n, s->options.k, ld, s->x8, s->a8, s->work8);
}

/* x8 = the solution of copy8, b8. */
static bool solve_positive(gmf_row_solver *s)
{
  int ld = s->ld;
  memcpy(s->a8, s->copy8, (size_t)ld * (size_t)ld * sizeof *s->a8);
  if (gmf_cholesky_f8(s->a8, s->n, ld, 16 * s->n * DBL_EPSILON, s->work8) >= 0) return false;
  memcpy(s->x8, s->b8, (size_t)ld * sizeof *s->x8);
  gmf_cholesky_solve_f8(s->a8, s->n, ld, s->x8);
  return true;
}

/* Solves a8 + D + S, b8 in f8, with jitter where that must be. The system is used up. */
static bool solve_f8(gmf_row_solver *s, const gmf_row *row, float *x, double *objective)
{
  int n = s->n, ld = s->ld;
  double trace = 0;
  if (row->shared != NULL)
    for (int i = 0; i < ld * ld; i++) s->a8[i] += row->shared[i];
  for (int i = 0; i < n; i++) s->a8[i * ld + i] += diagonal_of(row, i);
  for (int i = 0; i < n; i++) s->b8[i] += prior_of(row, i);
  double constant = 0;
  if (row->fixed >= 0) { /* its own part of the objective; in the system that is left it adds -1 */
    constant = s->a8[row->fixed * ld + row->fixed] - 2 * s->b8[row->fixed] + 1;
    gmf_fix_coordinate_f8(s->a8, s->b8, n, ld, row->fixed);
  }
  for (int i = 0; i < n; i++) trace += s->a8[i * ld + i];

  for (int attempt = 0; attempt < 2; attempt++) {
    memcpy(s->copy8, s->a8, (size_t)ld * (size_t)ld * sizeof *s->a8);
    bool solved = s->options.nonnegative ? solve_nonnegative(s, x) : solve_positive(s);
    if (solved) { /* b'x is x'Ax, by the normal equations or by complementarity */
      *objective = constant - dot(s->b8, s->x8, n);
      return gmf_row_round(s, row, x);
    }
    if (attempt > 0 || !row->has_lambda) return false;
    s->n_jittered++;
    memcpy(s->a8, s->copy8, (size_t)ld * (size_t)ld * sizeof *s->a8);
    for (int i = 0; i < n; i++) s->a8[i * ld + i] += GMF_JITTER * trace / n;
  }
  return false;
}

void gmf_row_form(gmf_row_solver *s, const gmf_row *row)
{
  gmf_rated_row ratings = rated(s, row);
  gmf_team team = gmf_row_team(s);
  memset(s->a8, 0, (size_t)(s->ld + 1) * (size_t)s->ld * sizeof *s->a8); /* and b8 */
  gmf_sum_gram_f8(&team, &ratings, s->a8);
}

bool gmf_row_solve_f8(gmf_row_solver *s, const gmf_row *row, float *x)
{
  double objective = 0;
  gmf_row_form(s, row);
  return solve_f8(s, row, x, &objective);
}

bool gmf_row_solve_sums(gmf_row_solver *s, const gmf_row *row, float *x, double *objective)
{
  return solve_f8(s, row, x, objective);
}

/* ---- primal, f4 and refined -------------------------------------------------------------------------------------- */

/*
 * One step of refinement: x8 += (U'U)^-1 (residual of x8). Returns the length of the step, and in *objective that of
 * the stepped x8: with r the residual and d = A^-1 r the step, it falls by d'Ad = r'd. step [ld] is scratch, and holds
 * x8 before where that is of f4.
 */
static double refine(gmf_row_solver *s, const gmf_row *row, bool is_f4, float *step, double *objective)
{
  *objective = is_f4 ? find_residual_f4(s, row, step) : gmf_row_find_residual(s, row);
  for (int j = 0; j < s->ld; j++) step[j] = (float)s->r8[j];
  gmf_cholesky_solve_f4(s->a, s->n, s->ld, step);
  double square = 0;
  for (int j = 0; j < s->n; j++) {
    double d = (double)step[j];
    *objective -= s->r8[j] * d;
    square += d * d;
    s->x8[j] += d;
  }
  return sqrt(square);
}

/*
 * Cholesky in f4, refined; false asks for f8. The error of the first solution is about the length of the first step,
 * and each further step shrinks it by the same rate. The first residual is that of an f4 solution and, unless ratings
 * are few, from f4 products; the others are of f8.
 */
static bool solve_f4(gmf_row_solver *s, const gmf_row *row, float *x, double *objective)
{
  int n = s->n, ld = s->ld;
  float *step = s->b;
  gmf_rated_row ratings = rated(s, row);
  gmf_team team = gmf_row_team(s);
  memset(s->a, 0, (size_t)(ld + 1) * (size_t)ld * sizeof *s->a); /* and b */
  gmf_sum_gram_f4(&team, &ratings, s->a);
  for (int i = 0; i < n; i++) s->a[i * ld + i] += (float)diagonal_of(row, i);
  for (int i = 0; i < n; i++) s->b[i] += (float)prior_of(row, i);
  if (row->fixed >= 0) gmf_fix_coordinate_f4(s->a, s->b, n, ld, row->fixed);
  if (gmf_cholesky_f4(s->a, n, ld, F4_PIVOT, s->work) >= 0) return false;
  gmf_cholesky_solve_f4(s->a, n, ld, s->b);
  if (row->fixed >= 0) s->b[row->fixed] = 1;
  for (int j = 0; j < ld; j++) s->x8[j] = (double)s->b[j];
  double length = sqrt(dot(s->x8, s->x8, n));
  double rate = refine(s, row, row->ratings.n >= F4_RESIDUAL_RATINGS, step, objective) / length;
  if (length == 0) return gmf_row_round(s, row, x);
  if (!(rate <= F4_STEP)) return false;
  for (double error = rate * rate; error > F4_ERROR; error *= rate) refine(s, row, false, step, objective);
  return gmf_row_round(s, row, x);
}

/* ---- dual -------------------------------------------------------------------------------------------------------- */

/* Whether rows of n ratings are solved by batches, be it of one. */
static bool is_batched(int64_t n) { return n > 0 && n <= GMF_DUAL_BATCH_RATINGS; }

static void run_batch(gmf_row_solver *s, const gmf_row *rows, int n_rows, float *const *x, double *objective,
                      bool *solved)
{
  gmf_dual_batch batch = {.y = rows->y,
                          .stride = rows->stride,
                          .loss = s->options.loss,
                          .n = s->n,
                          .ld = s->ld,
                          .fixed = rows->fixed,
                          .n_rows = n_rows,
                          .work = s->batch};
  for (int r = 0; r < n_rows; r++) {
    batch.ratings[r] = rows[r].ratings;
    batch.diagonals[r] = rows[r].diagonal;
    batch.priors[r] = rows[r].prior;
  }
  gmf_dual_batch_run(&batch, x, objective, solved);
}

/* A row of fewer ratings than coordinates by a system of as many equations (kernel/dual.h). */
static bool solve_dual(gmf_row_solver *s, const gmf_row *row, float *x, double *objective)
{
  if (is_batched(row->ratings.n)) { /* the same bits as among others */
    bool solved = false;
    run_batch(s, row, 1, &x, objective, &solved);
    return solved;
  }
  gmf_dual_system system = {.y = row->y,
                            .stride = row->stride,
                            .ratings = &row->ratings,
                            .loss = s->options.loss,
                            .diagonal = row->diagonal,
                            .prior = row->prior,
                            .n = s->n,
                            .ld = s->ld,
                            .fixed = row->fixed,
                            .rows = s->copy8,
                            .a = s->a8,
                            .work = s->work8};
  return gmf_dual_run(&system, s->x8, objective) && gmf_row_round(s, row, x);
}

/* ---- conjugate gradients ----------------------------------------------------------------------------------------- */

/*
 * Conjugate gradients from x (kernel/cg.h). The preconditioner is the diagonal of the whole matrix, which the caller's
 * basis has made nearly all there is to it (als.c). False when the matrix is singular, as far as can be told without a
 * factorisation: fewer ratings than coordinates and nothing added to some of them, or what gmf_cg_run says.
 */
static bool solve_cg(gmf_row_solver *s, const gmf_row *row, float *x, double *objective)
{
  int n = s->n, ld = s->ld;
  double *diagonal = s->b8;
  memset(diagonal + n, 0, (size_t)(ld - n) * sizeof *diagonal);
  memcpy(diagonal, row->diagonal, (size_t)n * sizeof *diagonal);
  if (row->fixed >= 0) diagonal[row->fixed] = 0;
  for (int j = 0; j < n && row->ratings.n < n - (row->fixed >= 0); j++)
    if (j != row->fixed && !(diagonal[j] > 0)) return false;
  gmf_team team = gmf_row_team(s);
  gmf_cg_system system = {.y = row->y,
                          .stride = row->stride,
                          .ratings = &row->ratings,
                          .loss = s->options.loss,
                          .diagonal = diagonal,
                          .prior = row->prior,
                          .n = n,
                          .ld = ld,
                          .fixed = row->fixed,
                          .work = s->work8,
                          .panels = s->panels,
                          .team = &team};
  return gmf_cg_run(&system, s->options.cg_steps, x, objective);
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

/* Rows of at most so many ratings are solved by their dual where cg is asked for: cg converges slowly on few ratings.
 */
enum { CG_DUAL_RATINGS = 24 };

/*
 * Whether the n x n system is less work than the k x k one: always where rows are solved by batches, which is why these
 * end where they do; else by the multiplications of both, those in f8 counted twice. That says n < 0.63 k;
 * tests/kernel/row_costs finds them equal at 0.58 k to 0.64 k for 64 and 128 factors on AMX. It is not measured at
 * start: the choice decides a model's bits, which must not depend on how busy the machine was.
 */
static bool dual_pays(double n, double k)
{
  return n <= GMF_DUAL_BATCH_RATINGS || 2 * (n * n * k + n * n * n / 3) < n * k * k + k * k * k / 3;
}

gmf_row_way gmf_row_choose(const gmf_row_options *options, int64_t n)
{
  int order = gmf_row_order(options->k, options->bias);
  switch (options->solver) {
    case GMF_SOLVER_CHOLESKY: return GMF_ROW_CHOLESKY;
    case GMF_SOLVER_CG: return n <= CG_DUAL_RATINGS && n < order ? GMF_ROW_DUAL : GMF_ROW_CG;
    default: return n < order && dual_pays((double)n, order) ? GMF_ROW_DUAL : GMF_ROW_CHOLESKY;
  }
}

static bool try_way(gmf_row_solver *s, const gmf_row *row, gmf_row_way way, float *x, double *objective)
{
  switch (way) {
    case GMF_ROW_DUAL: return solve_dual(s, row, x, objective);
    case GMF_ROW_CG: return solve_cg(s, row, x, objective);
    default: return solve_f4(s, row, x, objective);
  }
}

/* What is left where the way that was taken has failed: cg where that was asked for and not tried, then Cholesky. */
static bool solve_after(gmf_row_solver *s, const gmf_row *row, gmf_row_way way, float *x, double *objective)
{
  if (way == GMF_ROW_DUAL && s->options.solver == GMF_SOLVER_CG && solve_cg(s, row, x, objective)) return true;
  if (way != GMF_ROW_CHOLESKY && solve_f4(s, row, x, objective)) return true;
  s->n_retried++;
  gmf_row_form(s, row);
  return solve_f8(s, row, x, objective);
}

bool gmf_row_solve_by(gmf_row_solver *s, const gmf_row *row, gmf_row_way way, float *x, double *objective)
{
  if (!s->options.nonnegative) return try_way(s, row, way, x, objective) || solve_after(s, row, way, x, objective);
  gmf_row_form(s, row);
  return solve_f8(s, row, x, objective);
}

bool gmf_row_solve(gmf_row_solver *s, const gmf_row *row, float *x, double *objective)
{
  return gmf_row_solve_by(s, row, gmf_row_choose(&s->options, row->ratings.n), x, objective);
}

bool gmf_row_is_batched(const gmf_row_options *options, int64_t n)
{
  return !options->nonnegative && is_batched(n) && gmf_row_choose(options, n) == GMF_ROW_DUAL;
}

void gmf_row_solve_batch(gmf_row_solver *s, const gmf_row *rows, int n_rows, float *const *x, double *objective,
                         bool *solved)
{
  if (n_rows == 0) return;
  run_batch(s, rows, n_rows, x, objective, solved);
  for (int r = 0; r < n_rows; r++)
    if (!solved[r]) solved[r] = solve_after(s, &rows[r], GMF_ROW_DUAL, x[r], &objective[r]);
}
