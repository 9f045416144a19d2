#include "base/key_sort.h"

#include <string.h>

/* Digits are as wide as their counters fit the first level of cache, and short beside what is sorted. */
enum { FEW = 40, MANY = 4096, NARROW_BITS = 8, WIDE_BITS = 12, MOST_DIGITS = 1 << WIDE_BITS };

#define GMF_SORT(name) keyed_##name
#define GMF_SORT_TYPE gmf_keyed
#define GMF_SORT_KEY(e) ((e).key)
#include "base/key_sort_template.h"

#define GMF_SORT(name) words_##name
#define GMF_SORT_TYPE uint64_t
#define GMF_SORT_KEY(e) ((e) >> low)
#include "base/key_sort_template.h"

void gmf_sort_keyed(gmf_keyed *pairs, gmf_keyed *scratch, int64_t n) { keyed_all(pairs, scratch, n, 0); }

void gmf_sort_words(uint64_t *words, uint64_t *scratch, int64_t n, int low) { words_all(words, scratch, n, low); }
