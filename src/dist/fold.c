#include "dist/fold.h"

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/limits.h"

int64_t gmf_fold_batch_rows(int n_owners, int64_t row_words, int64_t batch_bytes, int64_t longest)
{
  int64_t bytes = gmf_min64(batch_bytes, gmf_limit_call_bytes);
  int64_t rows = gmf_max64(1, bytes / (n_owners * row_words * (int64_t)sizeof(double)));
  return gmf_min64(rows, gmf_max64(longest, 1));
}

gmf_status gmf_fold_create(const gmf_grid *grid, const gmf_block *block, int64_t row_words, int64_t batch_bytes,
                           gmf_fold **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_fold *f = NULL;
  int64_t longest = 0;

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(f, 1, err));
  f->row_words = row_words;
  f->n_owners = grid->n_cols;
  GMF_TRY(GMF_NEW(f->first, f->n_owners + 1, err));
  GMF_TRY(GMF_NEW(f->counts, f->n_owners, err));
  GMF_TRY(GMF_NEW(f->begins, f->n_owners, err));
  for (int o = 0; o <= f->n_owners; o++)
    f->first[o] = block->axis->prefix[grid->row_index * grid->n_cols + o] - block->row_begin;
  for (int o = 0; o < f->n_owners; o++) longest = gmf_max64(longest, f->first[o + 1] - f->first[o]);
  if (row_words > INT_MAX / f->n_owners)
    GMF_TRY(gmf_fail(err, GMF_ERR_PLAN,
                     "a row of %lld numbers cannot be summed over %d ranks at once; use a grid of fewer columns, or "
                     "fewer factors",
                     (long long)row_words, f->n_owners));
  f->batch_rows = gmf_fold_batch_rows(f->n_owners, row_words, batch_bytes, longest);
  f->n_batches = (longest + f->batch_rows - 1) / f->batch_rows;
  GMF_TRY(GMF_NEW_ZERO(f->partial, f->n_owners * f->batch_rows * row_words, err));
  GMF_TRY(GMF_NEW(f->sums, f->batch_rows * row_words, err));
  *out = f;
  f = NULL;
cleanup:
  gmf_fold_destroy(&f);
  return status;
}

void gmf_fold_destroy(gmf_fold **fold)
{
  gmf_fold *f = *fold;
  if (f == NULL) return;
  gmf_free(f->first);
  gmf_free(f->counts);
  gmf_free(f->begins);
  gmf_free(f->partial);
  gmf_free(f->sums);
  gmf_free(f);
  *fold = NULL;
}

void gmf_fold_range(const gmf_fold *f, int64_t batch, int owner, int64_t *begin, int64_t *end)
{
  *begin = gmf_min64(f->first[owner] + batch * f->batch_rows, f->first[owner + 1]);
  *end = gmf_min64(*begin + f->batch_rows, f->first[owner + 1]);
}

int64_t gmf_fold_rows(const gmf_fold *f, int64_t batch)
{
  int64_t total = 0;
  for (int o = 0; o < f->n_owners; o++) {
    int64_t begin = 0, end = 0;
    gmf_fold_range(f, batch, o, &begin, &end);
    total += end - begin;
  }
  return total;
}

/* f->counts and f->begins of a batch whose rows have `each` words or bytes; returns their sum. */
static int64_t count_words(gmf_fold *f, int64_t batch, int64_t each)
{
  int64_t total = 0;
  for (int o = 0; o < f->n_owners; o++) {
    int64_t begin = 0, end = 0;
    gmf_fold_range(f, batch, o, &begin, &end);
    f->begins[o] = gmf_int(total);
    f->counts[o] = gmf_int((end - begin) * each);
    total += f->counts[o];
  }
  return total;
}

void gmf_fold_run(const gmf_grid *grid, gmf_fold *f, int64_t batch) { gmf_fold_run_f8(grid, f, batch, f->row_words); }

void gmf_fold_run_f8(const gmf_grid *grid, gmf_fold *f, int64_t batch, int64_t n)
{
  GMF_CHECK(n <= f->row_words);
  int64_t total = count_words(f, batch, n);
  GMF_COLLECTIVE(grid->row, MPI_Reduce_scatter(f->partial, f->sums, f->counts, MPI_DOUBLE, MPI_SUM, grid->row));
  gmf_trace_collective(grid->trace, total * (int64_t)sizeof(double));
}

void gmf_fold_run_f4(const gmf_grid *grid, gmf_fold *f, int64_t batch, int64_t n)
{
  GMF_CHECK(n <= 2 * f->row_words);
  int64_t total = count_words(f, batch, n);
  GMF_COLLECTIVE(grid->row, MPI_Reduce_scatter(f->partial, f->sums, f->counts, MPI_FLOAT, MPI_SUM, grid->row));
  gmf_trace_collective(grid->trace, total * (int64_t)sizeof(float));
}

void gmf_fold_spread(const gmf_grid *grid, gmf_fold *f, int64_t batch, int64_t row_bytes, const void *own, void *all)
{
  GMF_CHECK(row_bytes <= f->row_words * (int64_t)sizeof(double));
  int64_t total = count_words(f, batch, row_bytes);
  GMF_COLLECTIVE(grid->row, MPI_Allgatherv(own, f->counts[grid->col_index], MPI_BYTE, all, f->counts, f->begins,
                                           MPI_BYTE, grid->row));
  gmf_trace_collective(grid->trace, total);
}
