/* The versions of peak.h's loops, one set for each instruction set; see isa.h. Included by peak_isa.c, peak.c. */
#include "kernel/isa.h"
#include "kernel/peak.h"

#define GMF_PEAK_VERSIONS(isa)                                    \
  double gmf_peak_multiply_add_f4_##isa(int64_t n, double *sink); \
  double gmf_peak_multiply_add_f8_##isa(int64_t n, double *sink); \
  double gmf_peak_triad_##isa(double *a, const double *b, const double *c, double s, int64_t n);

GMF_PEAK_VERSIONS(generic)
#ifdef GMF_HAVE_X86_KERNELS
GMF_PEAK_VERSIONS(avx2)
GMF_PEAK_VERSIONS(avx512)
double gmf_peak_tiles_amx(int64_t n, double *sink);
#endif
