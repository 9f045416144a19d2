#include "base/order.h"

#include <string.h>

/* A count's exponent and the six bits behind its leading one, and before them the counts below 64 themselves. */
enum { BITS = 6, STEPS = 1 << BITS, CLASSES = (64 - BITS + 1) * STEPS };

static int class_of(int64_t count)
{
  uint64_t c = count > 0 ? (uint64_t)count : 0;
  if (c < STEPS) return CLASSES - 1 - (int)c;
  int exponent = 63 - __builtin_clzll(c);
  return CLASSES - 1 - ((exponent - BITS + 1) * STEPS + (int)(c >> (exponent - BITS) & (STEPS - 1)));
}

void gmf_order_by_count(const int64_t *counts, int64_t n, int32_t *order)
{
  int64_t next[CLASSES + 1];
  memset(next, 0, sizeof next);
  for (int64_t j = 0; j < n; j++) next[class_of(counts[j]) + 1]++;
  for (int c = 0; c < CLASSES; c++) next[c + 1] += next[c];
  for (int64_t j = 0; j < n; j++) order[next[class_of(counts[j])]++] = (int32_t)j;
}
