/* What a row of a half-sweep takes, in operations of single precision. Local. */
#ifndef GMF_KERNEL_ROW_OPERATIONS_H
#define GMF_KERNEL_ROW_OPERATIONS_H

#include "kernel/row_solver.h"

/* Operations that count in a row of d ratings, from forming its system to the solution; the formula stands in
 * app/roofline.c. */
double gmf_row_operations(const gmf_row_options *row, double d);

#endif
