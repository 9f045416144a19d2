/* Orders by counts. Local. */
#ifndef GMF_BASE_ORDER_H
#define GMF_BASE_ORDER_H

#include <stdint.h>

/*
 * order [n] = 0 ... n - 1, those with larger counts[j] first, equal ones as they are. Exact below 128, above it counts
 * that differ by less than 1.6 % may stand as they are: one pass of counting.
 */
void gmf_order_by_count(const int64_t *counts, int64_t n, int32_t *order);

#endif
