/*
 * Sums that are exact, and so the same in any order and on any number of ranks and threads, for values that come one
 * by one. Local.
 */
#ifndef GMF_BASE_ACCUMULATOR_H
#define GMF_BASE_ACCUMULATOR_H

#include <stdint.h>

enum { GMF_ACCUMULATOR_WORDS = 71 };

/* Fit for {0}. The words of two accumulators that gmf_accumulator_carry has been called on may be added. */
typedef struct gmf_accumulator {
  int64_t words[GMF_ACCUMULATOR_WORDS];
} gmf_accumulator;

/* x >= 0; NaN and infinite values make the sum NaN. Up to 2^30 values between two calls of gmf_accumulator_carry. */
void gmf_accumulator_add(gmf_accumulator *sum, double x);

/* Moves what is too long for a word to the next. The sum is the same. */
void gmf_accumulator_carry(gmf_accumulator *sum);

/* The sum, rounded. */
double gmf_accumulator_value(const gmf_accumulator *sum);

#endif
