#include "algo/row_schedule.h"

#include <math.h>

#include "base/memory.h"

/* The rows of a schedule with what they cost. */
typedef struct costed_rows {
  const int64_t *row_ptr;
  const int32_t *order;
  gmf_row_cost *cost;
  const void *context;
} costed_rows;

static int64_t ratings_at(const costed_rows *rows, int64_t place)
{
  int64_t r = rows->order != NULL ? rows->order[place] : place;
  return rows->row_ptr[r + 1] - rows->row_ptr[r];
}

static double cost_at(const costed_rows *rows, int64_t place)
{
  return rows->cost(rows->context, ratings_at(rows, place));
}

/* The chunks of places [first, end), whose work is `total`: begin [n + 1] out, where it is not NULL. Returns n. */
static int64_t cut(const costed_rows *rows, int64_t first, int64_t end, double total, int n_threads, int64_t *begin)
{
  int64_t n = 0;
  double least = total / n_threads / GMF_LAST_PART, left = total;
  for (int64_t at = first; at < end; n++) {
    double goal = fmax(left / (4.0 * n_threads), least), work = 0;
    if (begin != NULL) begin[n] = at;
    do work += cost_at(rows, at++);
    while (at < end && work + cost_at(rows, at) / 2 < goal);
    left -= work;
  }
  if (begin != NULL) begin[n] = end;
  return n;
}

gmf_status gmf_row_schedule_create(const int64_t *row_ptr, const int32_t *order, int64_t first, int64_t end,
                                   gmf_row_cost *cost, const void *context, int n_threads, gmf_row_schedule *out,
                                   gmf_error *err)
{
  gmf_status status = GMF_OK;
  costed_rows of = {row_ptr, order, cost, context};
  double total = 0;

  *out = (gmf_row_schedule){.first = first};
  for (int64_t at = first; at < end; at++) total += cost_at(&of, at);
  double fair = total / n_threads;
  for (int64_t at = first; at < end && n_threads > 1; at++) {
    double work = cost_at(&of, at);
    if (ratings_at(&of, at) <= GMF_SLICE || work <= GMF_LONG_PART * fair) break;
    out->n_long++;
    total -= work;
  }
  out->n_chunks = cut(&of, first + out->n_long, end, total, n_threads, NULL);
  GMF_TRY(GMF_NEW(out->begin, out->n_chunks + 1, err));
  cut(&of, first + out->n_long, end, total, n_threads, out->begin);
cleanup:
  return status;
}

void gmf_row_schedule_destroy(gmf_row_schedule *schedule) { GMF_FREE(schedule->begin); }
