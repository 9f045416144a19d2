#include "kernel/row_operations.h"

#include <math.h>

double gmf_row_operations(const gmf_row_options *row, double d)
{
  double k = gmf_row_order(row->k, row->bias), s = row->cg_steps;
  if (row->solver == GMF_SOLVER_CG) return (s + 1) * 4 * d * k + 2 * d * k + 10 * s * k;
  double primal = d * k * (k + 1) + 2 * d * k + k * k * k / 3 + 2 * k * k;
  double dual = d * (d + 1) * k + d * d * d / 3 + 2 * d * d + 4 * d * k;
  return row->nonnegative ? primal : fmin(primal, dual);
}
