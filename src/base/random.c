#include "base/random.h"

#include <Random123/philox.h>
#include <math.h>

void gmf_random_words(uint64_t seed, gmf_stream stream, uint64_t row, uint32_t column, uint32_t out[4])
{
  philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
  philox4x32_ctr_t counter = {{column, (uint32_t)stream, (uint32_t)row, (uint32_t)(row >> 32)}};
  philox4x32_ctr_t words = philox4x32(counter, key);
  for (int i = 0; i < 4; i++) out[i] = words.v[i];
}

/* 53 bits of two words, in [0, 1). */
static double uniform53(uint32_t high, uint32_t low)
{
  uint64_t bits = ((uint64_t)high << 32 | low) >> 11;
  return (double)bits * 0x1p-53;
}

double gmf_random_uniform(uint64_t seed, gmf_stream stream, uint64_t row, uint32_t column)
{
  uint32_t w[4];
  gmf_random_words(seed, stream, row, column, w);
  return uniform53(w[0], w[1]);
}

double gmf_random_normal(uint64_t seed, gmf_stream stream, uint64_t row, uint32_t column)
{
  uint32_t w[4];
  gmf_random_words(seed, stream, row, column, w);
  double radius = sqrt(-2.0 * log(1.0 - uniform53(w[0], w[1])));
  return radius * cos(6.283185307179586476925 * uniform53(w[2], w[3]));
}

/* splitmix64's finaliser (Steele, Lea, Flood, OOPSLA 2014): good bits from a counter. */
static uint64_t mix(uint64_t z)
{
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

enum { FEISTEL_ROUNDS = 4 };

static uint64_t round_value(const gmf_permutation *p, int round, uint64_t half)
{
  uint64_t mask = ((uint64_t)1 << p->half_bits) - 1;
  return mix(half + p->key + (uint64_t)(round + 1) * 0x9e3779b97f4a7c15u) & mask;
}

gmf_permutation gmf_permutation_make(uint64_t n, uint64_t seed, gmf_stream stream)
{
  gmf_permutation p = {.n = n, .key = mix(seed ^ mix((uint64_t)stream)), .half_bits = 1};
  while (p.half_bits < 32 && ((uint64_t)1 << (2 * p.half_bits)) < n) p.half_bits++;
  return p;
}

uint64_t gmf_permute(const gmf_permutation *p, uint64_t index)
{
  uint64_t mask = ((uint64_t)1 << p->half_bits) - 1;
  do {
    uint64_t left = index >> p->half_bits, right = index & mask;
    for (int r = 0; r < FEISTEL_ROUNDS; r++) {
      uint64_t next = left ^ round_value(p, r, right);
      left = right;
      right = next;
    }
    index = left << p->half_bits | right;
  } while (index >= p->n);
  return index;
}

uint64_t gmf_unpermute(const gmf_permutation *p, uint64_t image)
{
  uint64_t mask = ((uint64_t)1 << p->half_bits) - 1;
  do {
    uint64_t left = image >> p->half_bits, right = image & mask;
    for (int r = FEISTEL_ROUNDS - 1; r >= 0; r--) {
      uint64_t previous = right ^ round_value(p, r, left);
      right = left;
      left = previous;
    }
    image = left << p->half_bits | right;
  } while (image >= p->n);
  return image;
}
