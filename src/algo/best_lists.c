/*
 * A list gathers up to one and a half times what it keeps; then it is partitioned by quickselect (Hoare, "Algorithm 65:
 * find", CACM 1961) and the worse part dropped, a constant number of steps for each candidate on average.
 */
#include "algo/best_lists.h"

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

static const double LEAST = 4.9406564584124654e-324; /* the smallest value above 0 */

static int64_t capacity_of(int64_t keep) { return keep + gmf_max64(keep / 2, 8); }

int64_t gmf_best_lists_bytes(int64_t n, int64_t keep)
{
  int64_t entry = (int64_t)(sizeof(double) + sizeof(int32_t));
  return n * (capacity_of(keep) * entry + entry) + GMF_BEST_LOCKS * (int64_t)sizeof(omp_lock_t);
}

gmf_status gmf_best_lists_create(gmf_best_lists *l, int64_t n, int64_t keep, gmf_error *err)
{
  gmf_status status = GMF_OK;
  l->n = n;
  l->keep = keep;
  l->capacity = capacity_of(keep);
  GMF_TRY(GMF_NEW(l->values, n * l->capacity, err));
  GMF_TRY(GMF_NEW(l->rows, n * l->capacity, err));
  GMF_TRY(GMF_NEW(l->counts, n, err));
  GMF_TRY(GMF_NEW(l->thresholds, n, err));
  GMF_TRY(GMF_NEW(l->locks, GMF_BEST_LOCKS, err));
  for (int j = 0; j < GMF_BEST_LOCKS; j++) omp_init_lock(&l->locks[j]);
  gmf_best_lists_reset(l, n);
cleanup:
  return status;
}

void gmf_best_lists_destroy(gmf_best_lists *l)
{
  for (int j = 0; l->locks != NULL && j < GMF_BEST_LOCKS; j++) omp_destroy_lock(&l->locks[j]);
  gmf_free(l->values);
  gmf_free(l->rows);
  gmf_free(l->counts);
  gmf_free(l->thresholds);
  gmf_free(l->locks);
  *l = (gmf_best_lists){0};
}

void gmf_best_lists_reset(gmf_best_lists *l, int64_t n)
{
  for (int64_t key = 0; key < n; key++) {
    l->counts[key] = 0;
    l->thresholds[key] = LEAST;
  }
}

static bool is_before(double value, int32_t row, double other, int32_t other_row)
{
  return value > other || (value == other && row < other_row);
}

static void swap(double *values, int32_t *rows, int64_t a, int64_t b)
{
  double value = values[a];
  int32_t row = rows[a];
  values[a] = values[b];
  rows[a] = rows[b];
  values[b] = value;
  rows[b] = row;
}

/* Brings the best `keep` of n entries to the front, keep < n. */
static void select_best(double *values, int32_t *rows, int64_t n, int64_t keep)
{
  for (int64_t low = 0, high = n - 1; low < high;) {
    double value = values[low + (high - low) / 2];
    int32_t row = rows[low + (high - low) / 2];
    int64_t a = low, b = high;
    while (a <= b) {
      while (is_before(values[a], rows[a], value, row)) a++;
      while (is_before(value, row, values[b], rows[b])) b--;
      if (a <= b) swap(values, rows, a++, b--);
    }
    if (keep - 1 <= b)
      high = b;
    else if (keep - 1 >= a)
      low = a;
    else
      return;
  }
}

static void prune(gmf_best_lists *l, int64_t key)
{
  double *values = l->values + key * l->capacity, worst = 0;
  if (l->counts[key] <= l->keep) return;
  select_best(values, l->rows + key * l->capacity, l->counts[key], l->keep);
  l->counts[key] = gmf_i32(l->keep);
  worst = values[0];
  for (int64_t e = 1; e < l->keep; e++) worst = values[e] < worst ? values[e] : worst;
#pragma omp atomic write
  l->thresholds[key] = worst;
}

void gmf_best_lists_insert(gmf_best_lists *l, int64_t key, double value, int32_t row)
{
  omp_lock_t *lock = &l->locks[key % GMF_BEST_LOCKS];
  omp_set_lock(lock);
  if (value >= l->thresholds[key]) {
    int64_t at = key * l->capacity + l->counts[key]++;
    l->values[at] = value;
    l->rows[at] = row;
    if (l->counts[key] == l->capacity) prune(l, key);
  }
  omp_unset_lock(lock);
}

/* Ascending rows; lists are short, and half sorted where rows were pushed in their order. */
static void sort_by_row(double *values, int32_t *rows, int64_t n)
{
  for (int64_t gap = n / 2; gap > 0; gap /= 2)
    for (int64_t j = gap; j < n; j++)
      for (int64_t at = j; at >= gap && rows[at - gap] > rows[at]; at -= gap) swap(values, rows, at - gap, at);
}

int64_t gmf_best_lists_finish(gmf_best_lists *l, int64_t key)
{
  prune(l, key);
  sort_by_row(l->values + key * l->capacity, l->rows + key * l->capacity, l->counts[key]);
  return l->counts[key];
}
