#include "dist/source.h"

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
