/* Stable sort of (key, value) pairs by 64-bit keys, and of words that hold both. Local. */
#ifndef GMF_BASE_KEY_SORT_H
#define GMF_BASE_KEY_SORT_H

#include <stdint.h>

typedef struct gmf_keyed {
  uint64_t key;
  int64_t value;
} gmf_keyed;

/* Radix sort over the bits in which keys differ, up to 12 at a time. scratch: [n]. */
void gmf_sort_keyed(gmf_keyed *pairs, gmf_keyed *scratch, int64_t n);

/* The same for words whose key is their bits from `low` on, and whose bits below travel along. scratch: [n]. */
void gmf_sort_words(uint64_t *words, uint64_t *scratch, int64_t n, int low);

#endif
