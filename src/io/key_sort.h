/* Stable sort of (key, value) pairs by 64-bit keys. Local. */
#ifndef GMF_IO_KEY_SORT_H
#define GMF_IO_KEY_SORT_H

#include <stdint.h>

typedef struct gmf_keyed {
  uint64_t key;
  int64_t value;
} gmf_keyed;

/* Radix sort over the bits in which keys differ, up to 12 at a time. scratch: [n]. */
void gmf_sort_keyed(gmf_keyed *pairs, gmf_keyed *scratch, int64_t n);

#endif
