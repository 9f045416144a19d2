/* A set of the numbers below some n, one bit each: 64 to a word. Local. */
#ifndef GMF_BASE_BITS_H
#define GMF_BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>

/* Words of a set of numbers below n. */
static inline int64_t gmf_bits_words(int64_t n) { return n / 64 + 1; }

static inline void gmf_bits_add(uint64_t *bits, int64_t i) { bits[i / 64] |= (uint64_t)1 << (i % 64); }
static inline bool gmf_bits_has(const uint64_t *bits, int64_t i) { return (bits[i / 64] >> (i % 64) & 1) != 0; }

/* Members in n_words words. */
static inline int64_t gmf_bits_count(const uint64_t *bits, int64_t n_words)
{
  int64_t n = 0;
  for (int64_t w = 0; w < n_words; w++) n += __builtin_popcountll(bits[w]);
  return n;
}

#endif
