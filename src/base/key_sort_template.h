/*
 * A stable radix sort, for key_sort.c, which includes it once for each kind of element:
 *   GMF_SORT(name)     the name of a function for this kind
 *   GMF_SORT_TYPE      an element
 *   GMF_SORT_KEY(e)    its key, 64 bits; `low` is the sort's argument of that name
 */

static void GMF_SORT(insertion)(GMF_SORT_TYPE *all, int64_t n, int low)
{
  (void)low;
  for (int64_t i = 1; i < n; i++) {
    GMF_SORT_TYPE one = all[i];
    int64_t j = i;
    for (; j > 0 && GMF_SORT_KEY(all[j - 1]) > GMF_SORT_KEY(one); j--) all[j] = all[j - 1];
    all[j] = one;
  }
}

/* One stable pass by the digit of `bits` bits that begins at bit `shift` of the key. */
static void GMF_SORT(by_digit)(const GMF_SORT_TYPE *from, GMF_SORT_TYPE *to, int64_t n, int low, int shift, int bits)
{
  int64_t start[MOST_DIGITS], sum = 0;
  uint64_t mask = (UINT64_C(1) << bits) - 1;
  (void)low;
  memset(start, 0, sizeof *start << bits);
  for (int64_t i = 0; i < n; i++) start[GMF_SORT_KEY(from[i]) >> shift & mask]++;
  for (uint64_t d = 0; d <= mask; d++) {
    int64_t count = start[d];
    start[d] = sum;
    sum += count;
  }
  for (int64_t i = 0; i < n; i++) to[start[GMF_SORT_KEY(from[i]) >> shift & mask]++] = from[i];
}

static void GMF_SORT(all)(GMF_SORT_TYPE *all, GMF_SORT_TYPE *scratch, int64_t n, int low)
{
  if (n <= FEW) {
    GMF_SORT(insertion)(all, n, low);
    return;
  }
  uint64_t differing = 0, falls = 0;
  for (int64_t i = 1; i < n; i++) {
    differing |= GMF_SORT_KEY(all[i]) ^ GMF_SORT_KEY(all[0]);
    falls |= GMF_SORT_KEY(all[i]) < GMF_SORT_KEY(all[i - 1]);
  }
  if (!falls) return;
  GMF_SORT_TYPE *from = all, *to = scratch;
  int lowest = __builtin_ctzll(differing), n_bits = 64 - __builtin_clzll(differing) - lowest;
  int most = n < MANY ? NARROW_BITS : WIDE_BITS, n_passes = (n_bits + most - 1) / most;
  int bits = (n_bits + n_passes - 1) / n_passes; /* of equal width, so that the last pass has as much to do */
  for (int shift = lowest; shift < lowest + n_bits; shift += bits) {
    if ((differing >> shift & ((UINT64_C(1) << bits) - 1)) == 0) continue;
    GMF_SORT(by_digit)(from, to, n, low, shift, bits);
    GMF_SORT_TYPE *swap = from;
    from = to;
    to = swap;
  }
  if (from != all) memcpy(all, from, (size_t)n * sizeof *all);
}

#undef GMF_SORT
#undef GMF_SORT_TYPE
#undef GMF_SORT_KEY
