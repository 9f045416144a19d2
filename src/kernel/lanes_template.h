/*
 * Sums over the lanes of vectors, and their transposes, for one element type, included by sources named *_isa.c with
 * VECTOR of LANES elements, INDICES, a vector of as many integers of the same size, and NAME.
 */

/* Two vectors' lanes by number, those of b from LANES on: the numbers are constants. */
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (INDICES){__VA_ARGS__})
#endif
#if LANES == 16
#define EACH_LANE(f, s)                                                                                         \
  f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s), f(8, s), f(9, s), f(10, s), f(11, s), \
      f(12, s), f(13, s), f(14, s), f(15, s)
#elif LANES == 8
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s)
#elif LANES == 4
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s)
#else
#define EACH_LANE(f, s) f(0, s), f(1, s)
#endif
#define KEPT(l, s) ((l) & (s)) != 0 ? (l) + LANES : (l)
/* Of a block of two by two: the first row of its transpose, and the second. */
#define FIRST(l, s) ((l) & (s)) != 0 ? ((l) ^ (s)) + LANES : (l)
#define SECOND(l, s) ((l) & (s)) != 0 ? (l) + LANES : ((l) ^ (s))
#define CROSSED(l, s) ((l) & (s)) != 0 ? ((l) ^ (s)) + LANES : ((l) ^ (s))

/* Halves of sums of a in the lanes without bit s, of b in those with it. */
#define MERGE(a, b, s) (SHUFFLE(a, b, EACH_LANE(KEPT, s)) + SHUFFLE(a, b, EACH_LANE(CROSSED, s)))

/* Lane l = the sum of all lanes of v[l]: log2 steps for all of them together. v is used up. */
static inline __attribute__((always_inline)) VECTOR NAME(sums_of_lanes)(VECTOR v[LANES])
{
#if LANES >= 16
  for (int i = 0; i < 8; i++) v[i] = MERGE(v[i], v[i + 8], 8);
#endif
#if LANES >= 8
  for (int i = 0; i < 4; i++) v[i] = MERGE(v[i], v[i + 4], 4);
#endif
#if LANES >= 4
  for (int i = 0; i < 2; i++) v[i] = MERGE(v[i], v[i + 2], 2);
#endif
  return MERGE(v[0], v[1], 1);
}

/* v[i] = lane i of each of them. */
static inline __attribute__((always_inline)) void NAME(transpose)(VECTOR v[LANES])
{
#define EXCHANGE(s)                                     \
  for (int i = 0; i < LANES; i++)                       \
    if ((i & (s)) == 0) {                               \
      VECTOR a = v[i], b = v[i + (s)];                  \
      v[i] = SHUFFLE(a, b, EACH_LANE(FIRST, s));        \
      v[i + (s)] = SHUFFLE(a, b, EACH_LANE(SECOND, s)); \
    }
#if LANES >= 16
  EXCHANGE(8)
#endif
#if LANES >= 8
  EXCHANGE(4)
#endif
#if LANES >= 4
  EXCHANGE(2)
#endif
  EXCHANGE(1)
#undef EXCHANGE
}

#undef MERGE
#undef CROSSED
#undef FIRST
#undef SECOND
#undef KEPT
#undef EACH_LANE
#undef SHUFFLE
