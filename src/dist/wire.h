/*
 * How the floats of a factor row travel. All Local.
 *
 *   f4    as they are
 *   bf16  rounded to bfloat16, the upper half of a float: 8 bits of exponent and 7 of fraction, to nearest and ties to
 *         even, a relative error of at most 2^-8; half the bytes
 */
#ifndef GMF_DIST_WIRE_H
#define GMF_DIST_WIRE_H

#include <stddef.h>
#include <stdint.h>

typedef enum gmf_wire { GMF_WIRE_F4, GMF_WIRE_BF16 } gmf_wire;

/* Bytes of n floats on their way. */
static inline size_t gmf_wire_bytes(gmf_wire wire, int64_t n)
{
  return (size_t)n * (wire == GMF_WIRE_BF16 ? sizeof(uint16_t) : sizeof(float));
}

/* out [n] = in [n]; finite numbers, none so large that rounding would make it infinite. */
void gmf_bf16_round(const float *in, int64_t n, uint16_t *out);

/*
 * values [n]: the bf16 numbers that fill the upper half of this array become n floats that fill all of it. Order: the
 * floats of the lower half overwrite nothing that is still to be read; those of the quarter above it, what the lower
 * half came from; and so on.
 */
void gmf_bf16_widen(float *values, int64_t n);

#endif
