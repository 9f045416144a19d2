/*
 * Eigenpairs of G = A'A (gram.c) by pdsyevd: divide and conquer, Tisseur, Dongarra, "A parallel divide and conquer
 * algorithm for the symmetric eigenvalue problem on distributed memory architectures", SIAM J. Sci. Comput. 20 (1999).
 */
#include "linalg/scalapack.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"
#include "runtime/heartbeat.h"

/* ScaLAPACK has no header. */
void pdsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *ia, const int *ja,
              const int *desca, double *w, double *z, const int *iz, const int *jz, const int *descz, double *work,
              const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length, size_t uplo_length);

/* ---- eigenpairs -------------------------------------------------------------------------------------------------- */

/* Collective. w ascending, z by columns; g is used up. */
static gmf_status call_scalapack(const gmf_grid *grid, const gmf_block_cyclic *l, int n, double *g, double *w,
                                 double *z, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const int one = 1;
  double size = 0, *work = NULL;
  int int_size = 0, info = 0, n_work = -1, n_int_work = -1, *int_work = NULL;
  pdsyevd_("V", "L", &n, g, &one, &one, l->desc, w, z, &one, &one, l->desc, &size, &n_work, &int_size, &n_int_work,
           &info, 1, 1);
  /* What pdsyevd asks for lacks the part of pdormtr, which matters for few blocks; pdormtr's refusal would be passed
   * over, and the eigenvectors would be those of the tridiagonal matrix. */
  int64_t nb = l->rows.nb, rotation = nb * (l->rows.n_mine + l->columns.n_mine + 3 * nb) + 4 * (int64_t)n + 1024;
  int64_t words = gmf_max64((int64_t)size, (int64_t)l->rows.n_mine * l->columns.n_mine) + rotation;
  if (words > INT_MAX)
    local =
        gmf_fail(err, GMF_ERR_PLAN,
                 "ScaLAPACK counts with 32 bits, and a Gram matrix of order %d needs %lld words of a rank; use more "
                 "ranks, or --svd-method krylov",
                 n, (long long)words);
  GMF_TRY(gmf_agree(grid, local, err));
  n_work = gmf_int(words);
  n_int_work = gmf_int(int_size + 8 * (int64_t)n + 1024);
  local = GMF_NEW_ZERO(work, n_work + GMF_BLOCK_CYCLIC_SLACK, err);
  if (local == GMF_OK) local = GMF_NEW(int_work, n_int_work, err);
  GMF_TRY(gmf_agree(grid, local, err));
  gmf_beat_leave();
  pdsyevd_("V", "L", &n, g, &one, &one, l->desc, w, z, &one, &one, l->desc, work, &n_work, int_work, &n_int_work, &info,
           1, 1);
  gmf_beat_return();
  if (info != 0)
    local = gmf_fail(err, GMF_ERR_NUMERIC,
                     "ScaLAPACK's pdsyevd failed on a Gram matrix of order %d (info %d); use "
                     "--svd-method krylov",
                     n, info);
  GMF_TRY(gmf_agree(grid, local, err));
cleanup:
  gmf_free(work);
  gmf_free(int_work);
  return status;
}

/* An element of an eigenvector on its way to the owner of its row. */
typedef struct element {
  int32_t row, column;
  double value;
} element;

/* Collective. The last columns of z, from the last on, to the rows' owners. */
static gmf_status send_vectors(const gmf_grid *grid, const gmf_block_cyclic *l, int n, const double *z,
                               gmf_tall *vectors, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t *counts = NULL, *next = NULL, n_send = 0, n_received = 0;
  element *send = NULL, *received = NULL;
  for (int j = 0; j < l->columns.n_mine; j++)
    if (n - 1 - gmf_cycle_global(l->columns, j) < vectors->ld) n_send += l->rows.n_mine;
  local = GMF_NEW_ZERO(counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(next, grid->size + 1, err);
  if (local == GMF_OK) local = GMF_NEW(send, n_send, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int pass = 0; pass < 2; pass++) {
    for (int j = 0; j < l->columns.n_mine; j++) {
      int column = n - 1 - gmf_cycle_global(l->columns, j);
      for (int i = 0; column < vectors->ld && i < l->rows.n_mine; i++) {
        int row = gmf_cycle_global(l->rows, i), rank = gmf_axis_owner(vectors->axis, row);
        if (pass == 0)
          counts[rank]++;
        else
          send[next[rank]++] = (element){row, column, z[i + (int64_t)j * l->desc[8]]};
      }
    }
    for (int r = 0; pass == 0 && r < grid->size; r++) next[r + 1] = next[r] + counts[r];
  }
  GMF_TRY(gmf_exchange_new(grid, sizeof *send, send, counts, (void **)&received, NULL, &n_received, err));
  for (int64_t j = 0; j < n_received; j++)
    vectors->rows[(received[j].row - vectors->begin) * vectors->ld + received[j].column] = received[j].value;
cleanup:
  gmf_free(received);
  gmf_free(send);
  gmf_free(next);
  gmf_free(counts);
  return status;
}

gmf_status gmf_gram_eigen(const gmf_grid *grid, const gmf_gram_problem *problem, gmf_tall *vectors, double *values,
                          gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_block_cyclic l = {0};
  gmf_gram_ratings ratings = {0};
  double *g = NULL, *z = NULL;
  int n = problem->n;

  gmf_block_cyclic_open(grid, n, &l);
  GMF_TRY(gmf_gram_gather(grid, &l, problem, &ratings, err));
  local = GMF_NEW_ZERO(g, gmf_block_cyclic_words(&l), err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(z, gmf_block_cyclic_words(&l), err);
  GMF_TRY(gmf_agree(grid, local, err));
#pragma omp parallel for schedule(dynamic, 8)
  for (int j = 0; j < l.columns.n_mine; j++) {
    gmf_beat();
    gmf_gram_column(&l, &ratings, problem->centers, j, 0, g + (int64_t)j * l.desc[8]);
  }
  gmf_gram_ratings_free(&ratings);
  GMF_TRY(call_scalapack(grid, &l, n, g, values, z, err));
  gmf_broadcast(grid, values, n * (int64_t)sizeof *values);
  for (int j = 0; j < n / 2; j++) {
    double swapped = values[j];
    values[j] = values[n - 1 - j];
    values[n - 1 - j] = swapped;
  }
  GMF_TRY(send_vectors(grid, &l, n, z, vectors, err));
cleanup:
  gmf_gram_ratings_free(&ratings);
  gmf_block_cyclic_close(&l);
  gmf_free(g);
  gmf_free(z);
  return status;
}
