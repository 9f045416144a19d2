#include "dist/source.h"

#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

/* Local. Positions of all my ratings. */
static int64_t n_mine(const gmf_rating_source *source)
{
  return source->indptr[source->row_end - source->row_begin] - source->indptr[0];
}

int64_t gmf_source_rounds(const gmf_grid *grid, const gmf_rating_source *source)
{
  int64_t rounds = (n_mine(source) + GMF_ROUND_RATINGS - 1) / GMF_ROUND_RATINGS;
  gmf_max_i64(grid, &rounds, 1);
  return rounds;
}

void gmf_source_range(const gmf_rating_source *source, int64_t round, int64_t *begin, int64_t *end)
{
  int64_t first = source->indptr[0], last = first + n_mine(source);
  *begin = gmf_min64(first + round * GMF_ROUND_RATINGS, last);
  *end = gmf_min64(*begin + GMF_ROUND_RATINGS, last);
}

gmf_status gmf_count_items(const gmf_grid *grid, const gmf_rating_source *source, int64_t first, int64_t n,
                           int64_t *counts, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t rounds = gmf_source_rounds(grid, source);
  int64_t *items = NULL;
  float *values = NULL;

  local = GMF_NEW(items, GMF_ROUND_RATINGS, err);
  if (local == GMF_OK) local = GMF_NEW(values, GMF_ROUND_RATINGS, err);
  memset(counts, 0, (size_t)n * sizeof *counts);
  for (int64_t r = 0; r < rounds && local == GMF_OK; r++) {
    int64_t begin = 0, end = 0;
    gmf_source_range(source, r, &begin, &end);
    local = source->read(source->context, begin, end - begin, items, values, NULL, err);
    for (int64_t j = 0; j < end - begin && local == GMF_OK; j++)
      if (items[j] >= first && items[j] < first + n) counts[items[j] - first]++;
  }
  GMF_TRY(gmf_agree(grid, local, err));
  gmf_sum_i64(grid, counts, n);
cleanup:
  gmf_free(values);
  gmf_free(items);
  return status;
}
