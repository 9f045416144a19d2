/*
 * Whether the rows of a half-sweep go to their ranks straight or in two hops: the way whose slowest rank takes least
 * time on a usual machine. Local.
 */
#ifndef GMF_DIST_HOPS_CHOICE_H
#define GMF_DIST_HOPS_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

enum { GMF_STRAIGHT, GMF_TWO_HOPS, GMF_N_HOP_WAYS };

/* Of the rank that has most: messages that it sends, bytes that it receives, and seconds. */
typedef struct gmf_hops_cost {
  double messages, bytes, seconds;
} gmf_hops_cost;

typedef struct gmf_hops_choice {
  bool considered; /* it was left to the program, and there are ranks enough */
  bool taken;      /* two hops */
  gmf_hops_cost most[GMF_N_HOP_WAYS];
} gmf_hops_choice;

/* Takes a rank that one of the ways has send so many messages and receive so many rows. */
void gmf_hops_add(gmf_hops_choice *choice, int way, int64_t messages, int64_t rows, int64_t row_bytes);

/* Chooses, when all ranks have been taken. */
void gmf_hops_choose(gmf_hops_choice *choice);

#endif
