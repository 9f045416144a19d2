/*
 * With the items' rows Y fixed, a user's row x is that of a half-sweep of training (algo/als.c):
 *
 *   (s Y'Y + sum_i w_i y_i y_i' + lambda_n I) x = sum_i t_i y_i          i over the n ratings to fold in
 *
 * s, w, t and lambda_n are those of the training (loss.h), n counts the ratings of items that the model knows.
 * Rendle, Krichene, Zhang, Koren, "Revisiting the performance of iALS on item recommendation benchmarks", RecSys 2022,
 * score held-out users in this way. The system is solved exactly, in f8, also where training used cg.
 *
 * Explanations. With A the matrix and f the coordinate that is held at 1 (the column of the items' biases), whose
 * column has gone to the right-hand side,
 *
 *   x . y_i = sum_j (t_j - w_j y_jf) z . y_j        z = A^-1 y_i
 *
 * and term j is what rating j contributed: Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback
 * datasets", ICDM 2008, section 5, where z . y_j is their similarity s_ij of the two items in the eyes of the user.
 * Where factors are not below zero, A is that of the coordinates above it.
 */
#include "kernel/user_solver.h"

#include <float.h>
#include <string.h>

#include "base/memory.h"

gmf_status gmf_user_solver_share(const gmf_fold_in_rule *rule, const double *gram, double **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int k = rule->row.k, ld = gmf_pad(gmf_row_order(k, rule->row.bias));
  double share = gmf_loss_shared(rule->row.loss);

  *out = NULL;
  if (gram == NULL) return GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(*out, (int64_t)ld * ld, err));
  for (int i = 0; i < k; i++)
    for (int j = i; j < k; j++) (*out)[i * ld + j] = share * gram[i * k + j];
cleanup:
  return status;
}

gmf_status gmf_user_solver_create(gmf_user_solver *s, const gmf_fold_in_rule *rule, const double *shared,
                                  const gmf_projection *projection, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *s = (gmf_user_solver){.rule = *rule,
                         .ld = gmf_pad(gmf_row_order(rule->row.k, rule->row.bias)),
                         .shared = shared,
                         .projection = projection};
  if (!rule->is_constant && projection == NULL) GMF_TRY(gmf_row_solver_create(&s->solver, &rule->row, err));
  GMF_TRY(GMF_NEW_ZERO(s->diagonal, s->ld, err));
cleanup:
  if (status != GMF_OK) gmf_user_solver_destroy(s);
  return status;
}

void gmf_user_solver_destroy(gmf_user_solver *s)
{
  gmf_row_solver_destroy(&s->solver);
  GMF_FREE(s->diagonal);
}

static bool solve(gmf_user_solver *s, const float *y, const gmf_ratings *ratings, float *x)
{
  const gmf_regularisation *reg = &s->rule.regularisation;
  double scale = gmf_lambda_factor(*reg, s->rule.row.loss, ratings->n, s->rule.n_items);
  int k = s->rule.row.k;
  bool bias = s->rule.row.bias;
  for (int c = 0; c < k; c++) s->diagonal[c] = reg->lambda * scale;
  if (bias) s->diagonal[gmf_bias_column(k, GMF_USERS)] = reg->lambda_bias * scale;
  gmf_row row = {.y = y,
                 .stride = s->ld,
                 .ratings = *ratings,
                 .diagonal = s->diagonal,
                 .shared = s->shared,
                 .fixed = bias ? gmf_bias_column(k, GMF_ITEMS) : -1,
                 .has_lambda = scale * reg->lambda > 0 && (!bias || reg->lambda_bias > 0)};
  return gmf_row_solve_f8(&s->solver, &row, x);
}

/* It cannot fail. */
static void project(const gmf_user_solver *s, const float *y, const gmf_ratings *ratings, float *x)
{
  int k = s->rule.row.k;
  double bias = gmf_project(s->projection, y, s->ld, ratings->cols, ratings->values, ratings->n, x);
  if (!s->rule.row.bias) return;
  x[gmf_bias_column(k, GMF_USERS)] = (float)bias;
  x[gmf_bias_column(k, GMF_ITEMS)] = 1;
}

bool gmf_user_solver_run(gmf_user_solver *s, const float *y, const gmf_ratings *ratings, float *x)
{
  memset(x, 0, (size_t)s->ld * sizeof *x);
  if (s->projection == NULL && !s->rule.is_constant) return solve(s, y, ratings, x);
  if (s->projection != NULL)
    project(s, y, ratings, x);
  else
    x[0] = 1;
  return true;
}

/* z [ld] = A^-1 item, zero in the coordinates that the system held. The solver still has its matrix, in copy8. */
static bool influence(gmf_user_solver *s, const float *x, const float *item, double *z)
{
  gmf_row_solver *r = &s->solver;
  int n = r->n, ld = r->ld, k = s->rule.row.k, fixed = s->rule.row.bias ? gmf_bias_column(k, GMF_ITEMS) : -1;
  memcpy(r->a8, r->copy8, (size_t)ld * (size_t)ld * sizeof *r->a8);
  for (int c = 0; c < ld; c++) {
    bool held = c >= n || c == fixed || (s->rule.row.nonnegative && c < k && !(x[c] > 0));
    z[c] = held ? 0 : (double)item[c];
    if (!held || c >= n) continue;
    for (int i = 0; i < c; i++) r->a8[i * ld + c] = 0;
    for (int j = c + 1; j < n; j++) r->a8[c * ld + j] = 0;
    r->a8[c * ld + c] = 1;
  }
  if (gmf_cholesky_f8(r->a8, n, ld, 16 * n * DBL_EPSILON, r->work8) >= 0) return false;
  gmf_cholesky_solve_f8(r->a8, n, ld, z);
  return true;
}

static bool explain_solution(gmf_user_solver *s, const float *y, const gmf_ratings *ratings, const float *x,
                             const float *item, double *contributions)
{
  double *z = s->solver.x8;
  if (ratings->n == 0) return true; /* no system was solved */
  if (!influence(s, x, item, z)) return false;
  for (int64_t j = 0; j < ratings->n; j++) {
    const float *row = y + (int64_t)ratings->cols[j] * s->ld;
    float v = ratings->weights != NULL ? ratings->weights[j] : 1.0f;
    double t = (double)gmf_loss_target(s->rule.row.loss, ratings->values[j], v), dot = 0;
    if (s->rule.row.bias)
      t -= (double)gmf_loss_weight(s->rule.row.loss, ratings->values[j], v) *
           (double)row[gmf_bias_column(s->rule.row.k, GMF_ITEMS)];
    for (int c = 0; c < s->solver.n; c++) dot += z[c] * (double)row[c];
    contributions[j] = t * dot;
  }
  return true;
}

bool gmf_user_solver_explain(gmf_user_solver *s, const float *y, const gmf_ratings *ratings, const float *x,
                             const float *item, double *contributions, double *rest)
{
  *rest = 0;
  if (s->rule.is_constant) return false;
  if (s->projection == NULL) return explain_solution(s, y, ratings, x, item, contributions);
  *rest =
      gmf_projection_explain(s->projection, y, s->ld, ratings->cols, ratings->values, ratings->n, item, contributions);
  return true;
}
