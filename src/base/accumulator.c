/*
 * A number wide enough for every f8 value: word w holds a multiple of 2^(32 w - 1126), and a value adds its 53 bits to
 * the three words that they touch (Kulisch, "Computer arithmetic and validity", 2008, chapter 8). The last word counts
 * values that are not finite.
 */
#include "base/accumulator.h"

#include <math.h>

enum { WORD_BITS = 32, LEAST_EXPONENT = -1126 /* of the last of 53 bits of the smallest value */ };
enum { NOT_FINITE = GMF_ACCUMULATOR_WORDS - 1 };

void gmf_accumulator_add(gmf_accumulator *sum, double x)
{
  int exponent = 0;
  double fraction = frexp(x, &exponent);
  if (!isfinite(x)) {
    sum->words[NOT_FINITE]++;
    return;
  }
  int place = exponent - 53 - LEAST_EXPONENT;
  unsigned __int128 bits = (unsigned __int128)ldexp(fraction, 53) << (place % WORD_BITS);
  for (int64_t *word = sum->words + place / WORD_BITS; bits != 0; word++, bits >>= WORD_BITS)
    *word += (int64_t)(bits & UINT32_MAX);
}

void gmf_accumulator_carry(gmf_accumulator *sum)
{
  for (int w = 0; w + 1 < NOT_FINITE; w++) {
    sum->words[w + 1] += sum->words[w] >> WORD_BITS;
    sum->words[w] &= UINT32_MAX;
  }
}

double gmf_accumulator_value(const gmf_accumulator *sum)
{
  gmf_accumulator s = *sum;
  long double total = 0;
  gmf_accumulator_carry(&s);
  if (s.words[NOT_FINITE] > 0) return NAN;
  for (int w = NOT_FINITE - 1; w >= 0; w--)
    if (s.words[w] != 0) total += ldexpl((long double)s.words[w], WORD_BITS * w + LEAST_EXPONENT);
  return (double)total;
}
