/*
 * In which order the threads of a rank form their parts of the rows of a batch (dist/fold.h): a schedule of their own
 * for each batch (row_schedule.h), so that a rank's part of a very heavy row goes to all its threads.
 */
#include "algo/als_internal.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/order.h"

int64_t gmf_als_fold_row(const gmf_fold *f, int64_t batch, int64_t j)
{
  for (int o = 0;; o++) {
    int64_t begin = 0, end = 0;
    gmf_fold_range(f, batch, o, &begin, &end);
    if (j < end - begin) return begin + j;
    j -= end - begin;
  }
}

/* Matrices and vectors alike: so much for each rating, and as for a few of them to begin and to end. */
static double cost_of_part(const void *context, int64_t n_ratings)
{
  (void)context;
  return (double)n_ratings + 2;
}

/* The rows of one batch; counts, pointers: scratch, pointers [rows + 1]. */
static gmf_status create_batch(const gmf_block *b, const gmf_fold *f, int64_t batch, int n_threads, int64_t *counts,
                               int64_t *pointers, gmf_als_fold_order *out, gmf_error *err)
{
  int64_t n = 0;
  int32_t *rows = out->rows + out->first[batch];
  pointers[0] = 0;
  for (int o = 0; o < f->n_owners; o++) {
    int64_t begin = 0, end = 0;
    gmf_fold_range(f, batch, o, &begin, &end);
    for (int64_t r = begin; r < end; r++, n++) {
      counts[n] = b->row_ptr[r + 1] - b->row_ptr[r];
      pointers[n + 1] = pointers[n] + counts[n];
    }
  }
  gmf_order_by_count(counts, n, rows);
  out->first[batch + 1] = out->first[batch] + n;
  return gmf_row_schedule_create(pointers, rows, 0, n, cost_of_part, NULL, n_threads, &out->schedules[batch], err);
}

gmf_status gmf_als_fold_order_create(const gmf_block *block, const gmf_fold *fold, int n_threads,
                                     gmf_als_fold_order *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *counts = NULL, *pointers = NULL, most = fold->n_owners * fold->batch_rows;

  *out = (gmf_als_fold_order){.n = fold->n_batches};
  GMF_TRY(GMF_NEW_ZERO(out->first, out->n + 1, err));
  GMF_TRY(GMF_NEW_ZERO(out->schedules, out->n, err));
  GMF_TRY(GMF_NEW(out->rows, block->n_rows, err));
  GMF_TRY(GMF_NEW(counts, most, err));
  GMF_TRY(GMF_NEW(pointers, most + 1, err));
  for (int64_t batch = 0; batch < out->n; batch++)
    GMF_TRY(create_batch(block, fold, batch, n_threads, counts, pointers, out, err));
cleanup:
  gmf_free(pointers);
  gmf_free(counts);
  return status;
}

void gmf_als_fold_order_destroy(gmf_als_fold_order *order)
{
  for (int64_t batch = 0; order->schedules != NULL && batch < order->n; batch++)
    gmf_row_schedule_destroy(&order->schedules[batch]);
  GMF_FREE(order->schedules);
  GMF_FREE(order->first);
  GMF_FREE(order->rows);
}
