#include "kernel/cg.h"

#include "kernel/cg_versions.h"

bool gmf_cg_run(const gmf_cg_system *system, int steps, float *x, double *objective)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_cg_run)(system, steps, x, objective);
}
