#include "dist/wire.h"

#include <string.h>

#include "base/narrow.h"

void gmf_bf16_round(const float *in, int64_t n, uint16_t *out)
{
#pragma omp simd
  for (int64_t j = 0; j < n; j++) {
    uint32_t bits = 0;
    memcpy(&bits, in + j, sizeof bits);
    out[j] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

/* Values [begin, end), none of which lies where another's source is: they may be done in any order. */
static void widen_run(float *values, const uint16_t *from, int64_t begin, int64_t end)
{
#pragma omp simd
  for (int64_t j = begin; j < end; j++) {
    uint32_t bits = (uint32_t)from[j] << 16;
    memcpy(values + j, &bits, sizeof bits);
  }
}

/* The same on all threads. */
static void widen_part(float *values, const uint16_t *from, int64_t begin, int64_t end)
{
  enum { RUN = 1 << 14 };
#pragma omp parallel for schedule(static) if (end - begin > 4 * RUN)
  for (int64_t run = begin; run < end; run += RUN) widen_run(values, from, run, gmf_min64(run + RUN, end));
}

void gmf_bf16_widen(float *values, int64_t n)
{
  const uint16_t *from = (const uint16_t *)(const void *)values + n; /* value j: bytes from 2 (n + j) on */
  for (int64_t begin = 0; begin < n;) { /* floats [begin, end) lie before the sources of all that are not done yet */
    int64_t end = gmf_max64(begin + 1, (n + begin) / 2);
    widen_part(values, from, begin, end);
    begin = end;
  }
}
