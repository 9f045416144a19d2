/* Checked narrowing: the only place that turns a 64-bit count into an int. Local. */
#ifndef GMF_BASE_NARROW_H
#define GMF_BASE_NARROW_H

#include <limits.h>
#include <stdint.h>

#include "base/error.h"

/* Factors and biases stay below this in size, so that no score can overflow; readers hold files to it. */
static const float GMF_VALUE_LIMIT = 1e15f;

static inline int gmf_int(int64_t n)
{
  GMF_CHECK(n >= INT_MIN && n <= INT_MAX);
  return (int)n;
}

static inline int32_t gmf_i32(int64_t n)
{
  GMF_CHECK(n >= INT32_MIN && n <= INT32_MAX);
  return (int32_t)n;
}

static inline int64_t gmf_min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gmf_max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* Part `index` of n things cut into n_parts nearly equal parts: [slice(index), slice(index + 1)). Exact for 64 bits. */
static inline int64_t gmf_slice_begin(int64_t n, int n_parts, int index)
{
  int64_t quotient = n / n_parts, rest = n % n_parts;
  return quotient * index + gmf_min64(index, rest);
}

#endif
