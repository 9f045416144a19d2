#include "linalg/small_svd.h"

#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

/* LAPACK: a = u diag(s) vt by divide and conquer. Debian's OpenBLAS has no header. */
void dgesdd_(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s, double *u,
             const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info,
             size_t jobz_length);

/* Local. By rows LAPACK sees the transpose of a, whose left singular vectors are the right ones of a: its vt by columns
 * is `left` by rows, and its u by columns the transpose of `right`. */
static int call_lapack(gmf_small_svd *s, int order, int n_work, double *work)
{
  int info = 0;
  dgesdd_("A", &order, &order, s->matrix, &order, s->values, s->right, &order, s->left, &order, work, &n_work,
          s->int_work, &info, 1);
  return info;
}

static gmf_status create_local(const gmf_grid *grid, gmf_small_svd *s, int max_order, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t square = (int64_t)max_order * max_order;
  double n_work = 0;
  s->max_order = max_order;
  GMF_TRY(GMF_NEW_ZERO(s->values, max_order, err));
  GMF_TRY(GMF_NEW_ZERO(s->left, square, err));
  GMF_TRY(GMF_NEW_ZERO(s->right, square, err));
  GMF_TRY(GMF_NEW_ZERO(s->matrix, square, err));
  if (grid->rank != 0) goto cleanup;
  GMF_TRY(GMF_NEW(s->int_work, 8 * (int64_t)max_order, err));
  call_lapack(s, max_order, -1, &n_work); /* asks for the size */
  s->n_work = gmf_int((int64_t)n_work);
  GMF_TRY(GMF_NEW(s->work, s->n_work, err));
cleanup:
  return status;
}

gmf_status gmf_small_svd_create(const gmf_grid *grid, int max_order, gmf_small_svd **out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_small_svd *s = NULL;
  *out = NULL;
  local = GMF_NEW_ZERO(s, 1, err);
  if (local == GMF_OK) local = create_local(grid, s, max_order, err);
  GMF_TRY(gmf_agree(grid, local, err));
  *out = s;
  s = NULL;
cleanup:
  gmf_small_svd_destroy(&s);
  return status;
}

void gmf_small_svd_destroy(gmf_small_svd **svd)
{
  gmf_small_svd *s = *svd;
  if (s == NULL) return;
  gmf_free(s->values);
  gmf_free(s->left);
  gmf_free(s->right);
  gmf_free(s->matrix);
  gmf_free(s->work);
  gmf_free(s->int_work);
  gmf_free(s);
  *svd = NULL;
}

/* Local. In place. */
static void transpose(double *a, int order)
{
  for (int i = 0; i < order; i++)
    for (int j = i + 1; j < order; j++) {
      double x = a[i * order + j];
      a[i * order + j] = a[j * order + i];
      a[j * order + i] = x;
    }
}

gmf_status gmf_small_svd_run(const gmf_grid *grid, const double *a, int order, int stride, gmf_small_svd *s,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  size_t row = (size_t)order * sizeof *a;
  GMF_CHECK(order <= s->max_order);
  if (grid->rank == 0) {
    for (int i = 0; i < order; i++) memcpy(s->matrix + i * order, a + (size_t)i * (size_t)stride, row);
    int info = call_lapack(s, order, s->n_work, s->work);
    if (info != 0)
      status = gmf_fail(err, GMF_ERR_NUMERIC, "LAPACK's dgesdd failed on a projected matrix of order %d (info %d)",
                        order, info);
    transpose(s->right, order);
  }
  GMF_TRY(gmf_agree(grid, status, err));
  gmf_broadcast(grid, s->values, (int64_t)row);
  gmf_broadcast(grid, s->left, (int64_t)row * order);
  gmf_broadcast(grid, s->right, (int64_t)row * order);
cleanup:
  return status;
}
