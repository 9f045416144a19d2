#include "kernel/peak.h"

#include "kernel/peak_versions.h"

double gmf_peak_multiply_add_f4(int64_t n, double *sink)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_peak_multiply_add_f4)(n, sink);
}

double gmf_peak_multiply_add_f8(int64_t n, double *sink)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_peak_multiply_add_f8)(n, sink);
}

double gmf_peak_tiles(int64_t n, double *sink)
{
#ifdef GMF_HAVE_X86_KERNELS
  if (gmf_kernel_level() == GMF_LEVEL_AMX) return gmf_peak_tiles_amx(n, sink);
#endif
  (void)n;
  (void)sink;
  return 0;
}

double gmf_peak_triad(double *a, const double *b, const double *c, double s, int64_t n)
{
  return GMF_ISA_PICK(gmf_kernel_level(), gmf_peak_triad)(a, b, c, s, n);
}
