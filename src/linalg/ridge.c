#include "linalg/ridge.h"

#include <float.h>
#include <omp.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/dense.h"
#include "linalg/spd_inverse.h"

struct gmf_ridge {
  const gmf_grid *grid; /* borrowed */
  int n, ld;
  double *factor;    /* owned [ld][ld]: U of M = U'U; NULL for a distributed one, which has */
  double *inverse;   /* owned [n_mine][n]: rows [begin, begin + n_mine) of M^-1 */
  double *columns;   /* owned [threads][ld]: right-hand sides on their way through U */
  int begin, n_mine; /* of the rows, or of the columns of right-hand sides, see gmf_ridge_add */
};

/* BLAS. */
void dgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const double *alpha,
            const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
            const int *ldc, size_t, size_t);

void gmf_ridge_destroy(gmf_ridge **ridge)
{
  gmf_ridge *r = *ridge;
  if (r == NULL) return;
  gmf_free(r->factor);
  gmf_free(r->inverse);
  gmf_free(r->columns);
  gmf_free(r);
  *ridge = NULL;
}

gmf_status gmf_ridge_replicated(const gmf_grid *grid, int n, double **matrix, gmf_ridge **out, int *singular,
                                gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_ridge *r = NULL;
  double *work = NULL, *a = *matrix;
  int ld = gmf_pad(n);

  *out = NULL;
  *matrix = NULL;
  local = GMF_NEW_ZERO(r, 1, err);
  if (local == GMF_OK) local = GMF_NEW(r->columns, (int64_t)omp_get_max_threads() * ld, err);
  if (local == GMF_OK) local = GMF_NEW(work, (int64_t)GMF_CHOLESKY_PANEL * ld, err);
  GMF_TRY(gmf_agree(grid, local, err));
  r->grid = grid;
  r->n = n;
  r->ld = ld;
  int64_t failed = gmf_cholesky_f8(a, n, ld, 16 * n * DBL_EPSILON, work);
  gmf_broadcast(grid, &failed, sizeof failed); /* equal numbers give equal pivots, but on unlike machines */
  *singular = gmf_int(failed);
  if (failed >= 0) status = GMF_ERR_NUMERIC;
  if (failed < 0) {
    r->factor = a;
    a = NULL;
    *out = r;
    r = NULL;
  }
cleanup:
  gmf_free(a);
  gmf_free(work);
  gmf_ridge_destroy(&r);
  return status;
}

gmf_status gmf_ridge_distributed(const gmf_grid *grid, const gmf_gram_problem *problem, gmf_entry **entries,
                                 double lambda, gmf_ridge **out, int *singular, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_ridge *r = NULL;
  gmf_spd *spd = NULL;

  *out = NULL;
  *singular = -1;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(r, 1, err), err));
  r->grid = grid;
  r->n = problem->n;
  r->begin = gmf_int(gmf_slice_begin(r->n, grid->size, grid->rank));
  r->n_mine = gmf_int(gmf_slice_begin(r->n, grid->size, grid->rank + 1)) - r->begin;
  GMF_TRY(gmf_spd_create(grid, problem, entries, lambda, false, &spd, err));
  GMF_TRY(gmf_spd_invert(spd, NULL, NULL, singular, err));
  local = GMF_NEW(r->inverse, (int64_t)r->n_mine * r->n, err);
  GMF_TRY(gmf_agree(grid, local, err));
  GMF_TRY(gmf_spd_rows(spd, r->begin, r->n_mine, r->inverse, err));
  *out = r;
  r = NULL;
cleanup:
  gmf_spd_destroy(&spd);
  gmf_ridge_destroy(&r);
  return status;
}

/* Local. My columns of M^-1 g into out [n][k], through the factor. */
static void solve_columns(const gmf_ridge *r, const double *g, int k, int begin, int end, double *out)
{
#pragma omp parallel for schedule(static)
  for (int c = begin; c < end; c++) {
    double *x = r->columns + (int64_t)omp_get_thread_num() * r->ld;
    memset(x, 0, (size_t)r->ld * sizeof *x);
    for (int i = 0; i < r->n; i++) x[i] = g[(int64_t)i * k + c];
    gmf_cholesky_solve_f8(r->factor, r->n, r->ld, x);
    for (int i = 0; i < r->n; i++) out[(int64_t)i * k + c] = x[i];
  }
}

/* Each rank brings some columns, or rows, and zeros elsewhere, so that the sum over ranks is all of them. */
void gmf_ridge_add(const gmf_ridge *r, const double *g, int k, double *scratch, double *b)
{
  const gmf_grid *grid = r->grid;
  int64_t words = (int64_t)r->n * k;
  memset(scratch, 0, (size_t)words * sizeof *scratch);
  if (r->factor != NULL) {
    solve_columns(r, g, k, gmf_int(gmf_slice_begin(k, grid->size, grid->rank)),
                  gmf_int(gmf_slice_begin(k, grid->size, grid->rank + 1)), scratch);
  } else if (r->n_mine > 0) { /* by columns, as BLAS has it: scratch' = g' inverse' */
    const double one = 1, zero = 0;
    dgemm_("N", "N", &k, &r->n_mine, &r->n, &one, g, &k, r->inverse, &r->n, &zero, scratch + (int64_t)r->begin * k, &k,
           1, 1);
  }
  gmf_sum_f64(grid, scratch, words);
  for (int64_t j = 0; j < words; j++) b[j] += scratch[j];
}
