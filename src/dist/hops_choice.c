/*
 * A rank's rows take about
 *
 *   messages x latency + bytes received / network
 *
 * seconds: P - 1 messages straight from rank to rank, R + C - 2 in two hops on R x C = P ranks, which carry up to twice
 * the bytes. The rates are stated, those of a usual cluster's network (2 us, 100 Gb/s), and not those of this one: the
 * way depends on the data, the options and the number of ranks alone, never on the clock.
 */
#include "dist/hops_choice.h"

#include <math.h>

static const double NETWORK = 12.5e9, LATENCY = 2e-6;
/* Two hops have to be better by so much: the second one waits for the first. */
static const double GAIN = 0.1;

void gmf_hops_add(gmf_hops_choice *choice, int way, int64_t messages, int64_t rows, int64_t row_bytes)
{
  gmf_hops_cost *most = &choice->most[way];
  double bytes = (double)rows * (double)row_bytes;
  most->messages = fmax(most->messages, (double)messages);
  most->bytes = fmax(most->bytes, bytes);
  most->seconds = fmax(most->seconds, (double)messages * LATENCY + bytes / NETWORK);
}

void gmf_hops_choose(gmf_hops_choice *choice)
{
  choice->considered = true;
  choice->taken = choice->most[GMF_TWO_HOPS].seconds < (1 - GAIN) * choice->most[GMF_STRAIGHT].seconds;
}
