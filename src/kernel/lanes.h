/*
 * Vectors and sums of their lanes, for sources that are compiled once for each instruction set (isa.h): LANES floats or
 * LANES_F8 doubles.
 */
#ifndef GMF_KERNEL_LANES_H
#define GMF_KERNEL_LANES_H

#include <stdint.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef float vector_f4 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));
typedef double vector_f8 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));
typedef float half_f4 __attribute__((vector_size(GMF_VECTOR_FLOATS * 2), aligned(4)));
typedef int32_t indices_f4 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));
typedef int64_t indices_f8 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));

#define NAME(f) f##_f4
#define VECTOR vector_f4
#define INDICES indices_f4
#define LANES GMF_VECTOR_FLOATS
#include "kernel/lanes_template.h"
#undef NAME
#undef VECTOR
#undef INDICES
#undef LANES

#define NAME(f) f##_f8
#define VECTOR vector_f8
#define INDICES indices_f8
#define LANES (GMF_VECTOR_FLOATS / 2)
#include "kernel/lanes_template.h"
#undef NAME
#undef VECTOR
#undef INDICES
#undef LANES

enum { LANES = GMF_VECTOR_FLOATS, LANES_F8 = LANES / 2 };

static inline vector_f8 load(const double *x) { return *(const vector_f8 *)x; }
static inline void store(double *x, vector_f8 v) { *(vector_f8 *)x = v; }
static inline vector_f8 load_widened(const float *x) { return __builtin_convertvector(*(const half_f4 *)x, vector_f8); }

static inline double sum_f8(vector_f8 v)
{
  double lanes[LANES_F8];
  for (int l = 0; l < LANES_F8; l++) lanes[l] = v[l];
  for (int width = LANES_F8 / 2; width > 0; width /= 2)
    for (int l = 0; l < width; l++) lanes[l] += lanes[l + width];
  return lanes[0];
}

#endif
