/* The versions of cg.h's kernels, one set for each instruction set; see isa.h. Included by cg_isa.c, cg.c. */
#include "kernel/cg.h"
#include "kernel/isa.h"

#define GMF_CG_VERSIONS(isa) bool gmf_cg_run_##isa(const gmf_cg_system *, int, float *, double *);

GMF_CG_VERSIONS(generic)
#ifdef GMF_HAVE_X86_KERNELS
GMF_CG_VERSIONS(avx2)
GMF_CG_VERSIONS(avx512)
#endif
