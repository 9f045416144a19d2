/* Searching in ascending numbers. Local. */
#ifndef GMF_BASE_SEARCH_H
#define GMF_BASE_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

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
