/* The versions of dual.h's kernels, one set for each instruction set; see isa.h. Included by dual_isa.c,
 * dual_batch_isa.c, dual.c. */
#include "kernel/dual.h"
#include "kernel/isa.h"

#define GMF_DUAL_VERSIONS(isa)                                          \
  bool gmf_dual_run_##isa(const gmf_dual_system *, double *, double *); \
  void gmf_dual_batch_run_##isa(const gmf_dual_batch *, float *const *, double *, bool *);

GMF_DUAL_VERSIONS(generic)
#ifdef GMF_HAVE_X86_KERNELS
GMF_DUAL_VERSIONS(avx2)
GMF_DUAL_VERSIONS(avx512)
#endif
