/*
 * Kernels are compiled once for each instruction set (sources named *_isa.c) and chosen at run time. Inside such a
 * source GMF_ISA is generic, avx2 or avx512, and GMF_VECTOR_FLOATS the floats in a vector. Local, no MPI, no I/O.
 */
#ifndef GMF_KERNEL_ISA_H
#define GMF_KERNEL_ISA_H

#define GMF_PASTE_(a, b) a##_##b
#define GMF_PASTE(a, b) GMF_PASTE_(a, b)
#define GMF_ISA_NAME(f) GMF_PASTE(f, GMF_ISA)

typedef enum gmf_isa_level { GMF_LEVEL_GENERIC = 0, GMF_LEVEL_AVX2 = 1, GMF_LEVEL_AVX512 = 2 } gmf_isa_level;

/*
 * The best level that this CPU and this build have; the environment variable GRIDMF_ISA (generic, avx2, avx512)
 * lowers it, for tests and for comparing machines.
 */
gmf_isa_level gmf_kernel_level(void);
const char *gmf_kernel_level_name(gmf_isa_level level);

#ifdef GMF_HAVE_X86_KERNELS
/* The version of function f for a level, for dispatch: GMF_ISA_PICK(level, gmf_scores)(...). */
#define GMF_ISA_PICK(level, f) \
  ((level) == GMF_LEVEL_AVX512 ? f##_avx512 : (level) == GMF_LEVEL_AVX2 ? f##_avx2 : f##_generic)
#else
#define GMF_ISA_PICK(level, f) ((void)(level), f##_generic)
#endif

#endif
