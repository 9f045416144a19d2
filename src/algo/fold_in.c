/*
 * With the items' rows Y fixed, a user's row x is that of a half-sweep of training (als.c):
 *
 *   (s Y'Y + sum_i w_i y_i y_i' + lambda_n I) x = sum_i t_i y_i          i over the n ratings to fold in
 *
 * s, w, t and lambda_n are those of the training (kernel/loss.h), n counts the ratings of items that the model knows.
 * Rendle, Krichene, Zhang, Koren, "Revisiting the performance of iALS on item recommendation benchmarks", RecSys 2022,
 * score held-out users in this way. The system is solved exactly, in f8, also where training used cg.
 */
#include "algo/fold_in.h"

#include <omp.h>
#include <string.h>

#include "algo/als.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/heartbeat.h"

struct gmf_fold_in {
  gmf_fold_in_rule rule;
  int ld;
  double *shared;                   /* owned [ld][ld]: s Y'Y by its upper triangle; NULL where s is 0 */
  const gmf_projection *projection; /* borrowed; NULL: rows are solved */
  gmf_row_solver *solvers;          /* owned [n_threads]; none where the row is constant or projected */
  double *diagonals;                /* owned [n_threads][ld] */
  int n_threads;
};

void gmf_fold_in_destroy(gmf_fold_in **fold_in)
{
  gmf_fold_in *f = *fold_in;
  if (f == NULL) return;
  for (int t = 0; f->solvers != NULL && t < f->n_threads; t++) gmf_row_solver_destroy(&f->solvers[t]);
  gmf_free(f->solvers);
  gmf_free(f->diagonals);
  gmf_free(f->shared);
  gmf_free(f);
  *fold_in = NULL;
}

gmf_status gmf_fold_in_create(const gmf_fold_in_rule *rule, const double *gram, const gmf_projection *projection,
                              gmf_fold_in **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_fold_in *f = NULL;
  int k = rule->row.k;
  double share = gmf_loss_shared(rule->row.loss);

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(f, 1, err));
  f->rule = *rule;
  f->projection = projection;
  f->ld = gmf_pad(gmf_row_order(k, rule->row.bias));
  f->n_threads = omp_get_max_threads();
  GMF_TRY(GMF_NEW_ZERO(f->solvers, f->n_threads, err));
  for (int t = 0; !rule->is_constant && projection == NULL && t < f->n_threads; t++)
    GMF_TRY(gmf_row_solver_create(&f->solvers[t], &rule->row, err));
  GMF_TRY(GMF_NEW_ZERO(f->diagonals, (int64_t)f->n_threads * f->ld, err));
  if (gram != NULL) {
    GMF_TRY(GMF_NEW_ZERO(f->shared, (int64_t)f->ld * f->ld, err));
    for (int i = 0; i < k; i++)
      for (int j = i; j < k; j++) f->shared[i * f->ld + j] = share * gram[i * k + j];
  }
  *out = f;
  f = NULL;
cleanup:
  gmf_fold_in_destroy(&f);
  return status;
}

/* One user's system, solved; the diagonal is the calling thread's. */
static bool solve_user(gmf_fold_in *f, const float *y, const gmf_ratings *ratings, float *x)
{
  const gmf_regularisation *reg = &f->rule.regularisation;
  double *diagonal = f->diagonals + (int64_t)omp_get_thread_num() * f->ld;
  double scale = gmf_lambda_factor(*reg, f->rule.row.loss, ratings->n, f->rule.n_items);
  int k = f->rule.row.k;
  bool bias = f->rule.row.bias;
  for (int c = 0; c < k; c++) diagonal[c] = reg->lambda * scale;
  if (bias) diagonal[gmf_bias_column(k, GMF_USERS)] = reg->lambda_bias * scale;
  gmf_row row = {.y = y,
                 .stride = f->ld,
                 .ratings = *ratings,
                 .diagonal = diagonal,
                 .shared = f->shared,
                 .fixed = bias ? gmf_bias_column(k, GMF_ITEMS) : -1,
                 .has_lambda = scale * reg->lambda > 0 && (!bias || reg->lambda_bias > 0)};
  return gmf_row_solve_f8(&f->solvers[omp_get_thread_num()], &row, x);
}

/* One user's row by projection; it cannot fail. */
static void project_user(const gmf_fold_in *f, const float *y, const gmf_ratings *ratings, float *x)
{
  int k = f->rule.row.k;
  double bias = gmf_project(f->projection, y, f->ld, ratings->cols, ratings->values, ratings->n, x);
  if (!f->rule.row.bias) return;
  x[gmf_bias_column(k, GMF_USERS)] = (float)bias;
  x[gmf_bias_column(k, GMF_ITEMS)] = 1;
}

int64_t gmf_fold_in_solve(gmf_fold_in *f, const float *y, const int64_t *begin, const gmf_ratings *ratings, int64_t n,
                          float *x)
{
  int64_t first = INT64_MAX;
  memset(x, 0, (size_t)(n * f->ld) * sizeof *x);
#pragma omp parallel for schedule(dynamic, 8) reduction(min : first) num_threads(f->n_threads)
  for (int64_t j = 0; j < n; j++) {
    float *to = x + j * f->ld;
    int64_t at = begin[j];
    gmf_beat();
    gmf_ratings mine = {ratings->cols + at, ratings->values + at,
                        ratings->weights != NULL ? ratings->weights + at : NULL, begin[j + 1] - at};
    if (f->rule.is_constant)
      to[0] = 1;
    else if (f->projection != NULL)
      project_user(f, y, &mine, to);
    else if (!solve_user(f, y, &mine, to))
      first = gmf_min64(first, j);
  }
  return first == INT64_MAX ? -1 : first;
}
