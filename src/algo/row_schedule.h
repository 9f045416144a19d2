/*
 * Which threads of a rank solve which rows. Work is counted in operations of the fixed cost model, so a schedule
 * follows from numbers of ratings and threads; and results do not depend on it, for a row's bits are its own
 * (kernel/slices.h).
 *
 * - A row whose work is more than GMF_LONG_PART of a thread's fair share, and that has several slices, is solved by all
 *   threads together. Such rows come first, one after the other.
 * - The others are handed out in chunks as threads ask for them, those with most work first, each chunk a part of the
 *   work that is left ("guided": Polychronopoulos, Kuck, "Guided self-scheduling", IEEE Trans. Computers C-36(12),
 *   1987). So threads that began with the longest rows end with short ones: none waits for longer than the last
 *   chunks take, a 1 / GMF_LAST_PART of its share.
 *
 * Local.
 */
#ifndef GMF_ALGO_ROW_SCHEDULE_H
#define GMF_ALGO_ROW_SCHEDULE_H

#include "base/error.h"
#include "kernel/row_solver.h"

static const double GMF_LONG_PART = 0.5;
enum { GMF_LAST_PART = 256 };

/* Operations of a row of so many ratings. */
typedef double gmf_row_cost(const void *context, int64_t n_ratings);

typedef struct gmf_row_schedule {
  int64_t first; /* the places of the order that it is about: these, of which n_long are long rows, ... */
  int64_t n_long;
  int64_t n_chunks; /* ... and the others in chunks: from begin[c] to begin[c + 1] */
  int64_t *begin;   /* owned [n_chunks + 1] */
} gmf_row_schedule;

/*
 * For the rows order[first] to order[end], which have row_ptr[r + 1] - row_ptr[r] ratings each, most first (about).
 * order: NULL for the rows first to end themselves.
 */
gmf_status gmf_row_schedule_create(const int64_t *row_ptr, const int32_t *order, int64_t first, int64_t end,
                                   gmf_row_cost *cost, const void *context, int n_threads, gmf_row_schedule *out,
                                   gmf_error *err);
void gmf_row_schedule_destroy(gmf_row_schedule *schedule);

#endif
