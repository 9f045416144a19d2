/*
 * Features in the ALS family. Row i of a side has the features f_i, and its factor is not shrunk towards zero but
 * towards what they predict:
 *
 *     y_i ~ N(B'f_i, (1 / lambda_i) I)          f_i [p], B [p][k]
 *
 * so that the objective has  sum_i lambda_i |y_i - B'f_i|^2 + L |B|^2  where it had  sum_i lambda_i |y_i|^2.  Given B a
 * row's system gets lambda_i B'f_i on its right-hand side (row_solver.h: q), and given Y the weights are those of a
 * ridge regression,
 *
 *     (F' Lambda F + L I) B = F' Lambda Y,          Lambda = diag(lambda_i).
 *
 * This is the regression-based latent factor model of Agarwal, Chen, "Regression-based latent factor models", KDD 2009,
 * solved for its mode by alternating least squares. Each of the three steps minimizes the objective over what it solves
 * for: none can raise it.
 *
 * Rows without ratings are not in the data: their lambda_i counts as 0 here, they stay zero in training, and what a
 * model says of them is B'f_i. That is also the y_i that the term of such a row is least at.
 *
 * Objective. Rows report loss + lambda_i |y_i|^2 - 2 lambda_i y_i'B'f_i. With G = F' Lambda Y the sum of the last term
 * is -2 <B, G>, and at the new weights the whole prior comes to
 *
 *     sum_i lambda_i |y_i|^2 - 2 <B, G> + <B, (F' Lambda F + L I) B>  =  sum_i lambda_i |y_i|^2 - <B, G>.
 *
 * Sums over rows are exact (linalg/exact.c says how), so that B depends on Y alone: not on ranks or threads, and not on
 * the B before it. A resumed run therefore goes on with the same bits. F' Lambda F does not change from sweep to sweep
 * and is factored once; above GMF_RIDGE_REPLICATED features it is inverted by ScaLAPACK from f4 square roots of its
 * terms, and steps of refinement with the exact residual G - (F' Lambda F + L I) B make up for that.
 */
#include "algo/features.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/dense.h"
#include "linalg/exact.h"
#include "linalg/ridge.h"

enum { REFINEMENTS = 2 }; /* of a distributed regression: f4's 6e-8 times the condition number, to the third power */

struct gmf_prior {
  const gmf_grid *grid; /* borrowed */
  gmf_prior_options options;
  int p, k, n_steps;
  gmf_feature_rows rows; /* owned: of my rows, by position */
  double *lambdas;       /* owned [my rows] */
  double *b, *turned;    /* owned [p][k]: B, and B in the basis of the half-sweep */
  double *g, *residual;  /* owned [p][k] */
  double *levels;        /* owned [2][p][k]: an exact sum on its way */
  double *means;         /* owned [threads][k] */
  gmf_ridge *ridge;      /* owned */
};

void gmf_prior_destroy(gmf_prior **prior)
{
  gmf_prior *f = *prior;
  if (f == NULL) return;
  gmf_feature_rows_free(&f->rows);
  void *const arrays[] = {f->lambdas, f->b, f->turned, f->g, f->residual, f->levels, f->means};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
  gmf_ridge_destroy(&f->ridge);
  gmf_free(f);
  *prior = NULL;
}

const double *gmf_prior_weights(const gmf_prior *prior) { return prior->b; }

int64_t gmf_prior_bytes(int64_t p, int64_t n_rows, int64_t nnz, int k, int n_ranks)
{
  int64_t word = (int64_t)sizeof(double), ld = gmf_pad(gmf_int(gmf_min64(p, GMF_RIDGE_MAX_ORDER)));
  int64_t matrix = p <= GMF_RIDGE_REPLICATED ? ld * ld : 2 * p * p / n_ranks; /* with a copy in making */
  return 6 * p * k * word + matrix * word + n_rows * 2 * word + nnz * word;
}

int gmf_prior_steps(int64_t p) { return p <= GMF_RIDGE_REPLICATED ? 1 : 1 + REFINEMENTS; }

/* ---- the matrix -------------------------------------------------------------------------------------------------- */

/* Local. The largest |lambda_i| |f_ia| |f_ib| of my rows. */
static double largest_product(const gmf_prior *f)
{
  double largest = 0;
  for (int64_t r = 0; r < f->rows.n; r++) {
    double most = 0;
    for (int64_t j = f->rows.indptr[r]; j < f->rows.indptr[r + 1]; j++)
      most = fmax(most, fabs((double)f->rows.values[j]));
    largest = fmax(largest, f->lambdas[r] * most * most);
  }
  return largest;
}

/* Local. levels [2][ld][ld] += the upper triangle of F' Lambda F; each thread has columns of its own. */
static void add_products(const gmf_prior *f, const gmf_exact_levels *exact, int ld, double *levels)
{
  int64_t square = (int64_t)ld * ld;
  int n_threads = omp_get_max_threads();
#pragma omp parallel for schedule(static, 1)
  for (int t = 0; t < n_threads; t++)
    for (int64_t r = 0; r < f->rows.n; r++) {
      const int32_t *columns = f->rows.columns + f->rows.indptr[r];
      const float *values = f->rows.values + f->rows.indptr[r];
      int64_t n = f->rows.indptr[r + 1] - f->rows.indptr[r];
      for (int64_t a = 0; a < n; a++) {
        if (columns[a] % n_threads != t) continue;
        double *to = levels + (int64_t)columns[a] * ld, weight = f->lambdas[r] * (double)values[a];
        for (int64_t b = a; b < n; b++)
          gmf_exact_add(exact, weight * (double)values[b], to + columns[b], to + columns[b] + square);
      }
    }
}

/* Collective. F' Lambda F + L I on every rank, and its factor. */
static gmf_status factor_replicated(gmf_prior *f, int *singular, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int ld = gmf_pad(f->p);
  int64_t square = (int64_t)ld * ld;
  double *matrix = NULL, *levels = NULL;
  gmf_exact_levels exact = gmf_exact_begin(f->grid, largest_product(f), f->rows.indptr[f->rows.n]);

  local = GMF_NEW_ZERO(levels, 2 * square, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(matrix, square, err);
  GMF_TRY(gmf_agree(f->grid, local, err));
  add_products(f, &exact, ld, levels);
  gmf_sum_f64(f->grid, levels, 2 * square);
  for (int64_t j = 0; j < square; j++) matrix[j] = levels[j] + levels[square + j];
  for (int i = 0; i < f->p; i++) matrix[(int64_t)i * ld + i] += f->options.lambda;
  GMF_TRY(gmf_ridge_replicated(f->grid, f->p, &matrix, &f->ridge, singular, err));
cleanup:
  gmf_free(matrix);
  gmf_free(levels);
  return status;
}

/* Collective. The same for many features, from f4 entries sqrt(lambda_i) f_ij. */
static gmf_status factor_distributed(gmf_prior *f, const gmf_axis *axis, int *singular, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_entry *entries = NULL;
  GMF_TRY(gmf_agree(f->grid, GMF_NEW(entries, f->rows.indptr[f->rows.n], err), err));
  for (int64_t r = 0; r < f->rows.n; r++)
    for (int64_t j = f->rows.indptr[r]; j < f->rows.indptr[r + 1]; j++)
      entries[j] =
          (gmf_entry){f->rows.begin + r, f->rows.columns[j], (float)(sqrt(f->lambdas[r]) * (double)f->rows.values[j])};
  gmf_gram_problem problem = {
      .n_users = axis->n, .n = f->p, .entries = entries, .n_entries = f->rows.indptr[f->rows.n]};
  GMF_TRY(gmf_ridge_distributed(f->grid, &problem, &entries, f->options.lambda, &f->ridge, singular, err));
cleanup:
  gmf_free(entries);
  return status;
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static gmf_status check_order(const gmf_feature_rows *slice, const gmf_prior_options *options, gmf_error *err)
{
  if (slice->n_features > GMF_RIDGE_MAX_ORDER)
    return gmf_fail(err, GMF_ERR_PLAN,
                    "%" PRId64 " features are more than the %d that their regression can be solved for",
                    slice->n_features, GMF_RIDGE_MAX_ORDER);
  if (slice->n_features > GMF_RIDGE_REPLICATED && options->deterministic)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--deterministic takes at most %d features, and there are %" PRId64
                    ": the matrix of more is inverted by ScaLAPACK, whose sums depend on the number of ranks",
                    GMF_RIDGE_REPLICATED, slice->n_features);
  return GMF_OK;
}

static gmf_status create_local(gmf_prior *f, const double *lambdas, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t words = (int64_t)f->p * f->k;
  GMF_TRY(GMF_NEW(f->lambdas, f->rows.n, err));
  GMF_TRY(GMF_NEW_ZERO(f->b, words, err));
  GMF_TRY(GMF_NEW_ZERO(f->turned, words, err));
  GMF_TRY(GMF_NEW(f->g, words, err));
  GMF_TRY(GMF_NEW(f->residual, words, err));
  GMF_TRY(GMF_NEW(f->levels, 2 * words, err));
  GMF_TRY(GMF_NEW(f->means, (int64_t)omp_get_max_threads() * f->k, err));
  memcpy(f->lambdas, lambdas, (size_t)f->rows.n * sizeof *lambdas);
cleanup:
  return status;
}

gmf_status gmf_prior_create(const gmf_grid *grid, const gmf_axis *axis, const gmf_feature_rows *slice,
                            const double *lambdas, const gmf_prior_options *options, gmf_prior **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_prior *f = NULL;
  int singular = -1;
  int64_t nnz = slice->indptr[slice->n];

  *out = NULL;
  gmf_sum_i64(grid, &nnz, 1);
  if (nnz == 0) return GMF_OK;
  GMF_TRY(gmf_agree(grid, check_order(slice, options, err), err));
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(f, 1, err), err));
  f->grid = grid;
  f->options = *options;
  f->p = gmf_int(slice->n_features);
  f->k = options->k;
  GMF_TRY(gmf_feature_rows_to_owners(grid, axis, slice, &f->rows, err));
  GMF_TRY(gmf_agree(grid, create_local(f, lambdas, err), err));
  bool replicated = f->p <= GMF_RIDGE_REPLICATED;
  f->n_steps = gmf_prior_steps(f->p);
  status = replicated ? factor_replicated(f, &singular, err) : factor_distributed(f, axis, &singular, err);
  if (status == GMF_ERR_NUMERIC)
    gmf_fail(err, status,
             "the regression on the features is singular at --lambda-features %g: column %d depends on others; use a "
             "larger --lambda-features",
             options->lambda, singular + 1);
  GMF_TRY(status);
  *out = f;
  f = NULL;
cleanup:
  gmf_prior_destroy(&f);
  return status;
}

/* ---- what rows are shrunk towards -------------------------------------------------------------------------------- */

void gmf_prior_turn(gmf_prior *f, const double *q, int ld)
{
  int k = f->k;
  if (q == NULL) {
    memcpy(f->turned, f->b, (size_t)f->p * (size_t)k * sizeof *f->b);
    return;
  }
#pragma omp parallel for schedule(static)
  for (int j = 0; j < f->p; j++) {
    const double *from = f->b + (int64_t)j * k;
    double *to = f->turned + (int64_t)j * k;
    memset(to, 0, (size_t)k * sizeof *to);
    for (int i = 0; i < k; i++)
      for (int c = 0; c < k; c++) to[c] += from[i] * q[(int64_t)i * ld + c];
  }
}

void gmf_prior_right(const gmf_prior *f, int64_t row, double *out)
{
  gmf_feature_rows_product(&f->rows, row, f->turned, f->k, out);
  for (int c = 0; c < f->k; c++) out[c] *= f->lambdas[row];
}

/* ---- the regression ---------------------------------------------------------------------------------------------- */

/* Local. out [k] = lambda_r (y_r - B'f_r), y a row of the factor. B = 0 in the first step. */
static void weighted_residual(const gmf_prior *f, int64_t r, const float *y, bool first, double *out)
{
  if (first)
    memset(out, 0, (size_t)f->k * sizeof *out);
  else
    gmf_feature_rows_product(&f->rows, r, f->b, f->k, out);
  for (int c = 0; c < f->k; c++) out[c] = f->lambdas[r] * ((double)y[c] - out[c]);
}

/* Local. A bound of the terms that add_residuals adds, from my rows. */
static double largest_term(const gmf_prior *f, const float *rows, int ld, bool first)
{
  double largest = 0;
#pragma omp parallel for schedule(static) reduction(max : largest)
  for (int64_t r = 0; r < f->rows.n; r++) {
    double *e = f->means + (int64_t)omp_get_thread_num() * f->k, most = 0, feature = 0;
    weighted_residual(f, r, rows + r * ld, first, e);
    for (int c = 0; c < f->k; c++) most = fmax(most, fabs(e[c]));
    for (int64_t j = f->rows.indptr[r]; j < f->rows.indptr[r + 1]; j++)
      feature = fmax(feature, fabs((double)f->rows.values[j]));
    largest = fmax(largest, most * feature);
  }
  return largest;
}

/* Collective. residual = F' Lambda (Y - F B) - L B, exactly summed. Each thread has columns of its own. */
static void find_residual(gmf_prior *f, const float *rows, int ld, bool first)
{
  int64_t words = (int64_t)f->p * f->k;
  gmf_exact_levels exact = gmf_exact_begin(f->grid, largest_term(f, rows, ld, first), f->rows.indptr[f->rows.n]);
  int n_threads = omp_get_max_threads();
  memset(f->levels, 0, 2 * (size_t)words * sizeof *f->levels);
#pragma omp parallel for schedule(static, 1)
  for (int t = 0; t < n_threads; t++) {
    int begin = gmf_int(gmf_slice_begin(f->k, n_threads, t)), end = gmf_int(gmf_slice_begin(f->k, n_threads, t + 1));
    double *e = f->means + (int64_t)t * f->k;
    for (int64_t r = 0; r < f->rows.n && begin < end; r++) {
      if (f->lambdas[r] == 0) continue;
      weighted_residual(f, r, rows + r * ld, first, e);
      for (int64_t j = f->rows.indptr[r]; j < f->rows.indptr[r + 1]; j++) {
        double *to = f->levels + (int64_t)f->rows.columns[j] * f->k, value = (double)f->rows.values[j];
        for (int c = begin; c < end; c++) gmf_exact_add(&exact, value * e[c], to + c, to + c + words);
      }
    }
  }
  gmf_sum_f64(f->grid, f->levels, 2 * words);
  for (int64_t j = 0; j < words; j++) {
    f->residual[j] = f->levels[j] + f->levels[words + j];
    if (!first) f->residual[j] -= f->options.lambda * f->b[j];
  }
}

static double inner(const double *x, const double *y, int64_t n)
{
  double sum = 0;
  for (int64_t j = 0; j < n; j++) sum += x[j] * y[j];
  return sum;
}

gmf_prior_fit gmf_prior_run(gmf_prior *f, const float *rows, int ld)
{
  gmf_prior_fit fit = {0};
  int64_t words = (int64_t)f->p * f->k;
  gmf_phase before = gmf_trace_phase(f->grid->trace, GMF_PHASE_GRAM);
  for (int step = 0; step < f->n_steps; step++) {
    find_residual(f, rows, ld, step == 0);
    if (step == 0) {
      memcpy(f->g, f->residual, (size_t)words * sizeof *f->g);
      fit.before = inner(f->b, f->g, words);
      memset(f->b, 0, (size_t)words * sizeof *f->b);
    }
    gmf_ridge_add(f->ridge, f->residual, f->k, f->turned, f->b);
  }
  fit.after = inner(f->b, f->g, words);
  gmf_trace_phase(f->grid->trace, before);
  return fit;
}
