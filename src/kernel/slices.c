#include "kernel/slices.h"

#include <omp.h>
#include <string.h>

#include "base/process.h"

/* ---- slices ------------------------------------------------------------------------------------------------------ */

/* A sum over slices. */
typedef struct slice_sum {
  const gmf_team *team;
  const gmf_ratings *ratings;
  gmf_slice_part *part;
  const void *context;
  void *sums; /* [n] of f8, or of f4 */
  int64_t n;
  int64_t slice; /* ratings of each but the last */
  bool is_f8;
  double value;
} slice_sum;

static gmf_ratings slice_of(const gmf_ratings *all, int64_t index, int64_t length)
{
  int64_t begin = index * length, left = all->n - begin;
  return (gmf_ratings){.cols = all->cols != NULL ? all->cols + begin : NULL,
                       .values = all->values != NULL ? all->values + begin : NULL,
                       .weights = all->weights != NULL ? all->weights + begin : NULL,
                       .n = left < length ? left : length};
}

/* A slice's sums into the room of thread t. Returns its value. */
static double form_slice(const slice_sum *s, int64_t index, int t)
{
  const gmf_team *team = s->team;
  gmf_ratings slice = slice_of(s->ratings, index, s->slice);
  double since = team->seconds != NULL ? gmf_thread_seconds() : 0;
  memset(team->rooms[t], 0, (size_t)s->n * (s->is_f8 ? sizeof(double) : sizeof(float)));
  double value = s->part(s->context, &slice, index * s->slice, team->work[t], team->rooms[t]);
  if (team->seconds != NULL) team->seconds[t] += gmf_thread_seconds() - since;
  return value;
}

static void add_slice(slice_sum *s, int t, double value)
{
  s->value += value;
  if (s->is_f8) {
    double *to = s->sums;
    const double *from = s->team->rooms[t];
    for (int64_t j = 0; j < s->n; j++) to[j] += from[j];
  } else {
    float *to = s->sums;
    const float *from = (const float *)(const void *)s->team->rooms[t];
    for (int64_t j = 0; j < s->n; j++) to[j] += from[j];
  }
}

static double run(slice_sum *s)
{
  int64_t n_slices = (s->ratings->n + s->slice - 1) / s->slice;
  if (n_slices <= 1) return s->part(s->context, s->ratings, 0, s->team->work[0], s->sums);
  if (s->team->n_threads == 1) {
    for (int64_t i = 0; i < n_slices; i++) add_slice(s, 0, form_slice(s, i, 0));
    return s->value;
  }
#pragma omp parallel for ordered schedule(dynamic, 1) num_threads(s->team->n_threads)
  for (int64_t i = 0; i < n_slices; i++) {
    int t = omp_get_thread_num();
    double value = form_slice(s, i, t);
#pragma omp ordered
    add_slice(s, t, value);
  }
  return s->value;
}

static double sum_f4(const gmf_team *team, const gmf_ratings *ratings, gmf_slice_part *part, const void *context,
                     float *sums, int64_t n)
{
  return run(&(slice_sum){team, ratings, part, context, sums, n, GMF_SLICE, false, 0});
}

double gmf_slices_sum_f8(const gmf_team *team, const gmf_ratings *ratings, gmf_slice_part *part, const void *context,
                         double *sums, int64_t n)
{
  return run(&(slice_sum){team, ratings, part, context, sums, n, GMF_SLICE, true, 0});
}

/* ---- sums of dense.h --------------------------------------------------------------------------------------------- */

static double gram_f4_part(const void *context, const gmf_ratings *slice, int64_t begin, float *work, void *sums)
{
  const gmf_rated_row *row = context;
  float *a = sums;
  (void)begin;
  gmf_gram_f4(row->y, row->stride, slice, row->loss, row->ld, work, a, a + (int64_t)row->ld * row->ld);
  return 0;
}

void gmf_sum_gram_f4(const gmf_team *team, const gmf_rated_row *row, float *sums)
{
  sum_f4(team, row->ratings, gram_f4_part, row, sums, (row->ld + (int64_t)1) * row->ld);
}

/* Work of f8 is no more bytes than that of f4. */
static double gram_f8_part(const void *context, const gmf_ratings *slice, int64_t begin, float *work, void *sums)
{
  const gmf_rated_row *row = context;
  double *a = sums;
  (void)begin;
  gmf_gram_f8(row->y, row->stride, slice, row->loss, row->ld, (double *)(void *)work, a,
              a + (int64_t)row->ld * row->ld);
  return 0;
}

void gmf_sum_gram_f8(const gmf_team *team, const gmf_rated_row *row, double *sums)
{
  gmf_slices_sum_f8(team, row->ratings, gram_f8_part, row, sums, (row->ld + (int64_t)1) * row->ld);
}

/* All rows of a factor: a slice knows them by their places. */
static double factor_part(const void *context, const gmf_ratings *slice, int64_t begin, float *work, void *sums)
{
  const gmf_rated_row *all = context;
  double *a = sums;
  gmf_gram_f8(all->y + begin * all->stride, all->stride, slice, all->loss, all->ld, (double *)(void *)work, a, NULL);
  return 0;
}

void gmf_sum_factor_gram(const gmf_team *team, const float *y, int64_t n, int ld, const float *weights, double *sums)
{
  gmf_ratings rows = {.weights = weights, .n = n};
  gmf_rated_row all = {y, ld, &rows, {0}, ld};
  run(&(slice_sum){team, &rows, factor_part, &all, sums, (int64_t)ld * ld, GMF_GRAM_SLICE, true, 0});
}

/* A row with the vector that it is multiplied by: f8 or f4. */
typedef struct product {
  const gmf_rated_row *row;
  const double *x8;
  const float *x4;
  bool with_diagonal;
} product;

static double residual_part(const void *context, const gmf_ratings *slice, int64_t begin, float *work, void *sums)
{
  const product *p = context;
  const gmf_rated_row *row = p->row;
  double *r = sums;
  (void)begin;
  (void)work;
  return gmf_row_residual(row->y, row->stride, slice, row->loss, row->ld, p->x8, r,
                          p->with_diagonal ? r + row->ld : NULL);
}

double gmf_sum_residual(const gmf_team *team, const gmf_rated_row *row, const double *x, bool with_diagonal, double *r)
{
  product p = {.row = row, .x8 = x, .with_diagonal = with_diagonal};
  return gmf_slices_sum_f8(team, row->ratings, residual_part, &p, r, (with_diagonal ? 2 : 1) * row->ld);
}

static double residual_f4_part(const void *context, const gmf_ratings *slice, int64_t begin, float *work, void *sums)
{
  const product *p = context;
  const gmf_rated_row *row = p->row;
  (void)begin;
  return gmf_row_residual_f4(row->y, row->stride, slice, row->loss, row->ld, p->x4, work, sums);
}

double gmf_sum_residual_f4(const gmf_team *team, const gmf_rated_row *row, const float *x, double *r)
{
  product p = {.row = row, .x4 = x};
  return gmf_slices_sum_f8(team, row->ratings, residual_f4_part, &p, r, row->ld);
}

static double product_part(const void *context, const gmf_ratings *slice, int64_t begin, float *work, void *sums)
{
  const product *p = context;
  const gmf_rated_row *row = p->row;
  (void)begin;
  (void)work;
  gmf_row_product(row->y, row->stride, slice, row->loss, row->ld, p->x4, sums);
  return 0;
}

void gmf_sum_product(const gmf_team *team, const gmf_rated_row *row, const float *p, float *q)
{
  product of = {.row = row, .x4 = p};
  sum_f4(team, row->ratings, product_part, &of, q, row->ld);
}
