#include "io/key_sort.h"

#include <string.h>

enum { DIGIT_BITS = 8, N_DIGITS = 1 << DIGIT_BITS, FEW = 40 };

static void insertion_sort(gmf_keyed *pairs, int64_t n)
{
  for (int64_t i = 1; i < n; i++) {
    gmf_keyed pair = pairs[i];
    int64_t j = i;
    for (; j > 0 && pairs[j - 1].key > pair.key; j--) pairs[j] = pairs[j - 1];
    pairs[j] = pair;
  }
}

/* One stable pass by the digit that begins at bit `shift`. */
static void sort_by_digit(const gmf_keyed *from, gmf_keyed *to, int64_t n, int shift)
{
  int64_t start[N_DIGITS] = {0}, sum = 0;
  for (int64_t i = 0; i < n; i++) start[from[i].key >> shift & (N_DIGITS - 1)]++;
  for (int d = 0; d < N_DIGITS; d++) {
    int64_t count = start[d];
    start[d] = sum;
    sum += count;
  }
  for (int64_t i = 0; i < n; i++) to[start[from[i].key >> shift & (N_DIGITS - 1)]++] = from[i];
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
  for (int shift = __builtin_ctzll(differing); shift < 64 && differing >> shift != 0; shift += DIGIT_BITS) {
    if ((differing >> shift & (N_DIGITS - 1)) == 0) continue;
    sort_by_digit(from, to, n, shift);
    gmf_keyed *swap = from;
    from = to;
    to = swap;
  }
  if (from != pairs) memcpy(pairs, from, (size_t)n * sizeof *pairs);
}
