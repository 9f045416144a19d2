#include "kernel/dual.h"

#include "kernel/dual_versions.h"

bool gmf_dual_run(const gmf_dual_system *system, double *x, double *objective)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_dual_run)(system, x, objective);
}

void gmf_dual_batch_run(const gmf_dual_batch *batch, float *const *x, double *objective, bool *solved)
{
  GMF_ISA_PICK(gmf_kernel_level(), gmf_dual_batch_run)(batch, x, objective, solved);
}
