#include "linalg/blas_core.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/isa.h"

/* Absent in other libraries of BLAS. */
extern char *openblas_get_corename(void) __attribute__((weak));

const char *gmf_blas_core(void) { return openblas_get_corename != NULL ? openblas_get_corename() : "unknown"; }

const char *gmf_blas_better_core(void)
{
  if (getenv("OPENBLAS_CORETYPE") != NULL || strcmp(gmf_blas_core(), "Prescott") != 0) return NULL;
  gmf_isa_level level = gmf_kernel_level();
  if (level >= GMF_LEVEL_AVX512) return "SkylakeX";
  return level >= GMF_LEVEL_AVX2 ? "Haswell" : NULL;
}

void gmf_blas_choose(char **argv)
{
  char program[4096] = "";
  const char *core = gmf_blas_better_core();
  if (core == NULL || readlink("/proc/self/exe", program, sizeof program - 1) < 0) return;
  setenv("OPENBLAS_CORETYPE", core, 1);
  execv(program, argv); /* where that fails, slower kernels do */
}
