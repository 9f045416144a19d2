/* Sorting whole numbers, and searching in sorted ones. Local. */
#ifndef GMF_BASE_SEARCH_H
#define GMF_BASE_SEARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static inline int gmf_compare_i64(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static inline void gmf_sort_i64(int64_t *values, int64_t n)
{
  qsort(values, (size_t)n, sizeof *values, gmf_compare_i64);
}

/* Sorts n values and leaves each once; how many are left. */
static inline int64_t gmf_sort_once(int64_t *values, int64_t n)
{
  int64_t n_kept = 0;
  gmf_sort_i64(values, n);
  for (int64_t j = 0; j < n; j++)
    if (n_kept == 0 || values[j] != values[n_kept - 1]) values[n_kept++] = values[j];
  return n_kept;
}

/* The position of the first of n ascending values that is not below `value`; n when all are. */
static inline int64_t gmf_lower_bound(const int64_t *values, int64_t n, int64_t value)
{
  int64_t low = 0;
  while (low < n) {
    int64_t middle = low + (n - low) / 2;
    if (values[middle] < value)
      low = middle + 1;
    else
      n = middle;
  }
  return low;
}

/* Whether value is one of n ascending values. */
static inline bool gmf_is_member(const int64_t *values, int64_t n, int64_t value)
{
  int64_t at = gmf_lower_bound(values, n, value);
  return at < n && values[at] == value;
}

#endif
