#include "linalg/eigen.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

/* LAPACK: eigenvalues and eigenvectors of a symmetric matrix by divide and conquer. Debian's OpenBLAS has no header. */
void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
             const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length, size_t uplo_length);

/* Up to this order LAPACK's many short parallel loops wait for threads longer than they compute: on two cores that
 * others use too, 64 x 64 took 0.7 s instead of 0.5 ms. */
enum { SMALL_ORDER = 256 };

/* Local. The upper triangle by rows is LAPACK's lower triangle by columns, and its columns of eigenvectors are rows. */
static int call_lapack(gmf_eigen *e, double *work, int n_work, int *int_work, int n_int_work)
{
  int info = 0, threads = omp_get_max_threads();
  if (e->one_thread || e->n <= SMALL_ORDER) omp_set_num_threads(1);
  dsyevd_("V", "L", &e->n, e->vectors, &e->ld, e->values, work, &n_work, int_work, &n_int_work, &info, 1, 1);
  omp_set_num_threads(threads);
  return info;
}

static gmf_status create_local(const gmf_grid *grid, gmf_eigen *e, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(e->vectors, (int64_t)e->ld * e->ld, err));
  GMF_TRY(GMF_NEW_ZERO(e->values, e->ld, err));
  if (grid->rank != 0) goto cleanup;
  double n_work = 0;
  call_lapack(e, &n_work, -1, &e->n_int_work, -1); /* asks for the sizes */
  e->n_work = gmf_int((int64_t)n_work);
  GMF_TRY(GMF_NEW(e->work, e->n_work, err));
  GMF_TRY(GMF_NEW(e->int_work, e->n_int_work, err));
cleanup:
  return status;
}

gmf_status gmf_eigen_create(const gmf_grid *grid, int n, int ld, bool one_thread, gmf_eigen **out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_eigen *e = NULL;
  *out = NULL;
  local = GMF_NEW_ZERO(e, 1, err);
  if (local == GMF_OK) {
    e->n = n;
    e->ld = ld;
    e->one_thread = one_thread;
    local = create_local(grid, e, err);
  }
  GMF_TRY(gmf_agree(grid, local, err));
  *out = e;
  e = NULL;
cleanup:
  gmf_eigen_destroy(&e);
  return status;
}

void gmf_eigen_destroy(gmf_eigen **eigen)
{
  if (*eigen == NULL) return;
  gmf_free((*eigen)->vectors);
  gmf_free((*eigen)->values);
  gmf_free((*eigen)->work);
  gmf_free((*eigen)->int_work);
  gmf_free(*eigen);
  *eigen = NULL;
}

gmf_status gmf_eigen_decompose(const gmf_grid *grid, const double *a, gmf_eigen *e, gmf_error *err)
{
  gmf_status status = GMF_OK;
  size_t square = (size_t)e->ld * (size_t)e->ld;
  if (grid->rank == 0) {
    bool finite = true;
    for (int i = 0; i < e->n; i++)
      for (int j = i; j < e->n; j++) finite = finite && isfinite(a[i * e->ld + j]);
    memcpy(e->vectors, a, square * sizeof *a);
    if (!finite || call_lapack(e, e->work, e->n_work, e->int_work, e->n_int_work) != 0)
      status = gmf_fail(err, GMF_ERR_NUMERIC,
                        "the Gram matrix of the factors is not finite; ratings or --alpha are too large for single "
                        "precision, or --lambda is too small");
    for (int i = 0; i < e->ld; i++)
      for (int j = 0; j < e->ld; j++)
        if (i >= e->n || j >= e->n) e->vectors[i * e->ld + j] = i == j;
  }
  GMF_TRY(gmf_agree(grid, status, err));
  gmf_broadcast(grid, e->vectors, (int64_t)(square * sizeof *a));
  gmf_broadcast(grid, e->values, (int64_t)e->ld * (int64_t)sizeof *a);
cleanup:
  return status;
}
