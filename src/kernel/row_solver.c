#include "kernel/row_solver.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

/* A pivot below this share of its diagonal element has lost nearly all of f4's digits. */
static const float F4_PIVOT = 3e-5f;
/* A first step longer than this share of x: the f4 factors are no good approximation. */
static const double F4_STEP = 1e-2;
/* What is left of the error, relative to x, before it is rounded to f4, whose unit is 6e-8. */
static const double F4_ERROR = 1e-9;

gmf_status gmf_row_solver_create(gmf_row_solver *s, int k, gmf_loss loss, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *s = (gmf_row_solver){.k = k, .ld = gmf_pad(k), .loss = loss};
  int64_t ld = s->ld;
  GMF_TRY(GMF_NEW_ZERO(s->a, ld * ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->b, ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->work, 2 * GMF_GRAM_DEPTH * ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->a8, ld * ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->b8, ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->x8, ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->r8, ld, err));
  GMF_TRY(GMF_NEW_ZERO(s->work8, 2 * GMF_GRAM_DEPTH * ld, err));
cleanup:
  if (status != GMF_OK) gmf_row_solver_destroy(s);
  return status;
}

void gmf_row_solver_destroy(gmf_row_solver *s)
{
  GMF_FREE(s->a);
  GMF_FREE(s->b);
  GMF_FREE(s->work);
  GMF_FREE(s->a8);
  GMF_FREE(s->b8);
  GMF_FREE(s->x8);
  GMF_FREE(s->r8);
  GMF_FREE(s->work8);
}

static double norm(const double *x, int n)
{
  double sum = 0;
  for (int j = 0; j < n; j++) sum += x[j] * x[j];
  return sqrt(sum);
}

/* x = x8 rounded to f4, and x8 the rounded value again. False when a value is not finite, or too large for a model. */
static bool round_solution(gmf_row_solver *s, float *x)
{
  bool finite = true;
  for (int j = 0; j < s->ld; j++) {
    x[j] = (float)s->x8[j];
    s->x8[j] = (double)x[j];
    finite = finite && fabsf(x[j]) < GMF_VALUE_LIMIT; /* false for NaN */
  }
  return finite;
}

/* Factors a + shared + lambda I, all in f8, and solves. The matrix is in s->a8, the right-hand side in s->b8. */
static bool solve_f8(gmf_row_solver *s, gmf_shared_gram shared, double lambda, float *x)
{
  int k = s->k, ld = s->ld;
  for (int i = 0; i < k; i++) {
    double *row = s->a8 + (size_t)i * (size_t)ld;
    if (shared.f8 != NULL)
      for (int j = i; j < k; j++) row[j] += shared.f8[(size_t)i * (size_t)ld + (size_t)j];
    row[i] += lambda;
  }
  if (gmf_cholesky_f8(s->a8, k, ld, 16 * k * DBL_EPSILON, s->work8) >= 0) return false;
  memcpy(s->x8, s->b8, (size_t)ld * sizeof *s->x8);
  gmf_cholesky_solve_f8(s->a8, k, ld, s->x8);
  return round_solution(s, x);
}

/* A row's system, as it came. */
typedef struct row_system {
  const float *y;
  int64_t stride;
  const int32_t *cols;
  const float *values;
  int64_t n;
  gmf_shared_gram shared;
  double lambda;
} row_system;

/* One step of refinement: s->x8 += (U'U)^-1 (residual of s->x8). Returns the length of the step. step [ld] is scratch.
 */
static double refine(gmf_row_solver *s, const row_system *row, float *step)
{
  for (int j = 0; j < s->ld; j++) s->r8[j] = -row->lambda * s->x8[j];
  gmf_row_residual(row->y, row->stride, row->cols, row->values, s->loss, row->n, s->ld, s->x8, s->r8);
  if (row->shared.f8 != NULL) gmf_subtract_product(row->shared.f8, s->x8, s->k, s->ld, s->r8);
  for (int j = 0; j < s->ld; j++) step[j] = (float)s->r8[j];
  gmf_cholesky_solve_f4(s->a, s->k, s->ld, step);
  for (int j = 0; j < s->ld; j++) {
    s->r8[j] = (double)step[j];
    s->x8[j] += s->r8[j];
  }
  return norm(s->r8, s->k);
}

/*
 * Cholesky in f4, refined; false asks for f8. The matrix is in s->a, the right-hand side in s->b. The error of the
 * first solution is about the length of the first step, and each further step shrinks it by the same rate.
 */
static bool solve_f4(gmf_row_solver *s, const row_system *row, float *x)
{
  if (gmf_cholesky_f4(s->a, s->k, s->ld, F4_PIVOT, s->work) >= 0) return false;
  memcpy(x, s->b, (size_t)s->ld * sizeof *x);
  gmf_cholesky_solve_f4(s->a, s->k, s->ld, x);
  for (int j = 0; j < s->ld; j++) s->x8[j] = (double)x[j];
  double length = norm(s->x8, s->k), rate = length > 0 ? refine(s, row, x) / length : 0;
  if (!(rate <= F4_STEP)) return false;
  for (double error = rate * rate; error > F4_ERROR; error *= rate) refine(s, row, x);
  return round_solution(s, x);
}

bool gmf_row_solve(gmf_row_solver *s, const float *y, int64_t stride, const int32_t *cols, const float *values,
                   int64_t n, gmf_shared_gram shared, double lambda, float *x)
{
  size_t square = (size_t)s->ld * (size_t)s->ld;
  if (shared.f4 != NULL)
    memcpy(s->a, shared.f4, square * sizeof *s->a);
  else
    memset(s->a, 0, square * sizeof *s->a);
  memset(s->b, 0, (size_t)s->ld * sizeof *s->b);
  gmf_gram_f4(y, stride, cols, values, s->loss, n, s->ld, s->work, s->a, s->b);
  for (int i = 0; i < s->k; i++) s->a[(size_t)i * (size_t)s->ld + (size_t)i] += (float)lambda;
  row_system row = {y, stride, cols, values, n, shared, lambda};
  if (solve_f4(s, &row, x)) return true;

  s->n_retried++;
  memset(s->a8, 0, square * sizeof *s->a8);
  memset(s->b8, 0, (size_t)s->ld * sizeof *s->b8);
  gmf_gram_f8(y, stride, cols, values, s->loss, n, s->ld, s->work8, s->a8, s->b8);
  return solve_f8(s, shared, lambda, x);
}

bool gmf_row_solve_sums(gmf_row_solver *s, gmf_shared_gram shared, double lambda, float *x)
{
  return solve_f8(s, shared, lambda, x);
}
