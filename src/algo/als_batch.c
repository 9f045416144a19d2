#include "algo/als_batch.h"

#include <omp.h>
#include <string.h>

#include "algo/als_internal.h"
#include "base/memory.h"
#include "base/narrow.h"

struct gmf_als_batch {
  int ld, n;                    /* floats in a row; rows that wait */
  int64_t at[GMF_DUAL_BATCH];   /* their numbers */
  gmf_row rows[GMF_DUAL_BATCH]; /* those of equally many ratings share a diagonal */
  double *diagonals, *priors;   /* owned [GMF_DUAL_BATCH][ld]: theirs */
};

gmf_status gmf_als_batch_create(int ld, gmf_als_batch **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_als_batch *batch = NULL;
  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(batch, 1, err));
  batch->ld = ld;
  GMF_TRY(GMF_NEW_ZERO(batch->diagonals, (int64_t)GMF_DUAL_BATCH * ld, err));
  GMF_TRY(GMF_NEW_ZERO(batch->priors, (int64_t)GMF_DUAL_BATCH * ld, err));
  *out = batch;
  batch = NULL;
cleanup:
  gmf_als_batch_destroy(&batch);
  return status;
}

void gmf_als_batch_destroy(gmf_als_batch **batch)
{
  if (*batch == NULL) return;
  gmf_free((*batch)->diagonals);
  gmf_free((*batch)->priors);
  GMF_FREE(*batch);
}

int64_t gmf_als_batch_finish(gmf_als *als, gmf_side side, gmf_als_batch *batch)
{
  gmf_factor *x = als->factors[side];
  float *to[GMF_DUAL_BATCH];
  double objective[GMF_DUAL_BATCH];
  bool solved[GMF_DUAL_BATCH];
  int64_t first = INT64_MAX;
  for (int j = 0; j < batch->n; j++) to[j] = x->rows + batch->at[j] * als->ld;
  gmf_row_solve_batch(&als->solvers[omp_get_thread_num()], batch->rows, batch->n, to, objective, solved);
  for (int j = 0; j < batch->n; j++) {
    als->row_objective[batch->at[j]] = objective[j];
    if (!solved[j]) first = gmf_min64(first, gmf_als_own_row(als, side, batch->at[j]));
  }
  batch->n = 0;
  return first;
}

/* Whether a row of n ratings goes well with those that wait: the ratings that it lacks are solved for as zeros. */
static bool fits(const gmf_als_batch *batch, int64_t n)
{
  int64_t most = batch->n > 0 ? batch->rows[0].ratings.n : n;
  return batch->n < GMF_DUAL_BATCH && 4 * n >= 3 * most;
}

/* The system of a row, which is the calling thread's, kept as the batch's next one. */
static gmf_row keep(gmf_als_batch *batch, gmf_row row)
{
  size_t place = (size_t)batch->n * (size_t)batch->ld, bytes = (size_t)batch->ld * sizeof(double);
  row.diagonal = memcpy(batch->diagonals + place, row.diagonal, bytes);
  if (row.prior != NULL) row.prior = memcpy(batch->priors + place, row.prior, bytes);
  return row;
}

/* The system of a row of as many ratings as `last`: only the prior can be another one. */
static gmf_row like(const gmf_als *als, gmf_side side, gmf_als_batch *batch, int64_t r, gmf_row last)
{
  if (last.prior == NULL) return last;
  double *prior = batch->priors + (size_t)batch->n * (size_t)batch->ld;
  gmf_prior_right(als->priors[side], r, prior);
  last.prior = prior;
  return last;
}

int64_t gmf_als_batch_add(gmf_als *als, gmf_side side, gmf_als_batch *batch, int64_t r, int64_t n)
{
  int64_t first = fits(batch, n) ? INT64_MAX : gmf_als_batch_finish(als, side, batch);
  const gmf_row *last = batch->n > 0 ? &batch->rows[batch->n - 1] : NULL;
  gmf_row *row = &batch->rows[batch->n];
  *row = last != NULL && last->ratings.n == n ? like(als, side, batch, r, *last)
                                              : keep(batch, gmf_als_row_system(als, side, r, n));
  row->ratings = gmf_block_row(als->blocks[side], r);
  batch->at[batch->n++] = r;
  return first;
}
