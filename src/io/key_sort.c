#include "io/key_sort.h"

#include <string.h>

/* Digits are as wide as their counters fit the first level of cache, and short beside what is sorted. */
enum { FEW = 40, MANY = 4096, NARROW_BITS = 8, WIDE_BITS = 12, MOST_DIGITS = 1 << WIDE_BITS };

static void insertion_sort(gmf_keyed *pairs, int64_t n)
{
  for (int64_t i = 1; i < n; i++) {
    gmf_keyed pair = pairs[i];
    int64_t j = i;
    for (; j > 0 && pairs[j - 1].key > pair.key; j--) pairs[j] = pairs[j - 1];
    pairs[j] = pair;
  }
}

/* One stable pass by the digit of `bits` bits that begins at bit `shift`. */
static void sort_by_digit(const gmf_keyed *from, gmf_keyed *to, int64_t n, int shift, int bits)
{
  int64_t start[MOST_DIGITS], sum = 0;
  uint64_t mask = (UINT64_C(1) << bits) - 1;
  memset(start, 0, sizeof *start << bits);
  for (int64_t i = 0; i < n; i++) start[from[i].key >> shift & mask]++;
  for (uint64_t d = 0; d <= mask; d++) {
    int64_t count = start[d];
    start[d] = sum;
    sum += count;
  }
  for (int64_t i = 0; i < n; i++) to[start[from[i].key >> shift & mask]++] = from[i];
}

void gmf_sort_keyed(gmf_keyed *pairs, gmf_keyed *scratch, int64_t n)
{
  if (n <= FEW) {
    insertion_sort(pairs, n);
    return;
  }
  uint64_t differing = 0, falls = 0;
  for (int64_t i = 1; i < n; i++) {
    differing |= pairs[i].key ^ pairs[0].key;
    falls |= pairs[i].key < pairs[i - 1].key;
  }
  if (!falls) return;
  gmf_keyed *from = pairs, *to = scratch;
  int low = __builtin_ctzll(differing), n_bits = 64 - __builtin_clzll(differing) - low;
  int most = n < MANY ? NARROW_BITS : WIDE_BITS, n_passes = (n_bits + most - 1) / most;
  int bits = (n_bits + n_passes - 1) / n_passes; /* of equal width, so that the last pass has as much to do */
  for (int shift = low; shift < low + n_bits; shift += bits) {
    if ((differing >> shift & ((UINT64_C(1) << bits) - 1)) == 0) continue;
    sort_by_digit(from, to, n, shift, bits);
    gmf_keyed *swap = from;
    from = to;
    to = swap;
  }
  if (from != pairs) memcpy(pairs, from, (size_t)n * sizeof *pairs);
}
