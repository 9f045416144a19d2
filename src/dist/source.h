/* Ratings on their way to the ranks that use them, as they are read: in rounds of bounded size. */
#ifndef GMF_DIST_SOURCE_H
#define GMF_DIST_SOURCE_H

#include <stdbool.h>

#include "base/side.h"
#include "runtime/grid.h"

/* Ratings that a rank reads in one round. */
enum { GMF_ROUND_RATINGS = 1 << 19 };

/* Where ratings come from: consecutive users of a rank, read by position. Keeps this layer free of files. */
typedef struct gmf_rating_source {
  int64_t n[GMF_N_SIDES];
  int64_t row_begin, row_end; /* my users */
  const int64_t *indptr;      /* [row_end - row_begin + 1], positions for read */
  bool has_weights;
  /* Local. items [n], values [n] and weights [n] (NULL: not wanted) of positions [begin, begin + n). */
  gmf_status (*read)(const void *context, int64_t begin, int64_t n, int64_t *items, float *values, float *weights,
                     gmf_error *err);
  const void *context; /* borrowed */
} gmf_rating_source;

/* Collective. The most rounds that any rank needs. */
int64_t gmf_source_rounds(const gmf_grid *grid, const gmf_rating_source *source);

/* Local. Positions [*begin, *end) of my ratings in a round. */
void gmf_source_range(const gmf_rating_source *source, int64_t round, int64_t *begin, int64_t *end);

#endif
