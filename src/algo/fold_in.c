#include "algo/fold_in.h"

#include <omp.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/heartbeat.h"

struct gmf_fold_in {
  double *shared;           /* owned, see gmf_user_solver */
  gmf_user_solver *solvers; /* owned [n_threads] */
  int n_threads;
};

void gmf_fold_in_destroy(gmf_fold_in **fold_in)
{
  gmf_fold_in *f = *fold_in;
  if (f == NULL) return;
  for (int t = 0; f->solvers != NULL && t < f->n_threads; t++) gmf_user_solver_destroy(&f->solvers[t]);
  gmf_free(f->solvers);
  gmf_free(f->shared);
  gmf_free(f);
  *fold_in = NULL;
}

gmf_status gmf_fold_in_create(const gmf_fold_in_rule *rule, const double *gram, const gmf_projection *projection,
                              gmf_fold_in **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_fold_in *f = NULL;

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(f, 1, err));
  f->n_threads = omp_get_max_threads();
  GMF_TRY(gmf_user_solver_share(rule, gram, &f->shared, err));
  GMF_TRY(GMF_NEW_ZERO(f->solvers, f->n_threads, err));
  for (int t = 0; t < f->n_threads; t++)
    GMF_TRY(gmf_user_solver_create(&f->solvers[t], rule, f->shared, projection, err));
  *out = f;
  f = NULL;
cleanup:
  gmf_fold_in_destroy(&f);
  return status;
}

int64_t gmf_fold_in_solve(gmf_fold_in *f, const float *y, const int64_t *begin, const gmf_ratings *ratings, int64_t n,
                          float *x)
{
  int64_t first = INT64_MAX;
#pragma omp parallel for schedule(dynamic, 8) reduction(min : first) num_threads(f->n_threads)
  for (int64_t j = 0; j < n; j++) {
    gmf_user_solver *s = &f->solvers[omp_get_thread_num()];
    int64_t at = begin[j];
    gmf_beat();
    gmf_ratings mine = {ratings->cols + at, ratings->values + at,
                        ratings->weights != NULL ? ratings->weights + at : NULL, begin[j + 1] - at};
    if (!gmf_user_solver_run(s, y, &mine, x + j * s->ld)) first = gmf_min64(first, j);
  }
  return first == INT64_MAX ? -1 : first;
}
