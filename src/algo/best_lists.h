/*
 * For each of n keys the best of many candidates, in bounded memory: those of the largest values, ties to the lower
 * row. Threads may push at the same time, also for one key; the lists do not depend on the order of pushes.
 */
#ifndef GMF_ALGO_BEST_LISTS_H
#define GMF_ALGO_BEST_LISTS_H

#include <omp.h>
#include <stdint.h>

#include "base/error.h"

enum { GMF_BEST_LOCKS = 512 };

typedef struct gmf_best_lists {
  int64_t n;
  int64_t keep, capacity; /* of a list: what stays, and what is gathered before the rest is dropped */
  double *values;         /* owned [n][capacity] */
  int32_t *rows;          /* owned [n][capacity] */
  int32_t *counts;        /* owned [n] */
  double *thresholds;     /* owned [n]: candidates below do not enter */
  omp_lock_t *locks;      /* owned [GMF_BEST_LOCKS]: of the keys that leave the same remainder */
} gmf_best_lists;

/* Room for n lists of the best `keep`, at least 1. Fit for {0} before, and to be destroyed after a failure too. */
gmf_status gmf_best_lists_create(gmf_best_lists *lists, int64_t n, int64_t keep, gmf_error *err);
void gmf_best_lists_destroy(gmf_best_lists *lists);

/* Bytes of n lists. */
int64_t gmf_best_lists_bytes(int64_t n, int64_t keep);

/* Makes the first n lists empty. */
void gmf_best_lists_reset(gmf_best_lists *lists, int64_t n);

/* The slow part of gmf_best_lists_push. */
void gmf_best_lists_insert(gmf_best_lists *lists, int64_t key, double value, int32_t row);

/* Values that are not above 0 never enter. */
static inline void gmf_best_lists_push(gmf_best_lists *lists, int64_t key, double value, int32_t row)
{
  double threshold;
#pragma omp atomic read
  threshold = lists->thresholds[key];
  if (value >= threshold) gmf_best_lists_insert(lists, key, value, row);
}

/* Drops what is not among the best of a key, and orders the rest by row; how many there are. No thread may push to the
 * key meanwhile. */
int64_t gmf_best_lists_finish(gmf_best_lists *lists, int64_t key);

#endif
