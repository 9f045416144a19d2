/*
 * Kernels are compiled once for each instruction set (sources named *_isa.c) and chosen at run time. Inside such a
 * source GMF_ISA is generic, avx2 or avx512, and GMF_VECTOR_FLOATS the floats in a vector. Local, no MPI, no I/O.
 */
#ifndef GMF_KERNEL_ISA_H
#define GMF_KERNEL_ISA_H

#include <stdbool.h>

#define GMF_PASTE_(a, b) a##_##b
#define GMF_PASTE(a, b) GMF_PASTE_(a, b)
#define GMF_ISA_NAME(f) GMF_PASTE(f, GMF_ISA)

/* AMX has kernels of its own where bf16 tiles serve (gram_amx.h), and those of AVX-512 elsewhere. */
typedef enum gmf_isa_level {
  GMF_LEVEL_GENERIC = 0,
  GMF_LEVEL_AVX2 = 1,
  GMF_LEVEL_AVX512 = 2,
  GMF_LEVEL_AMX = 3
} gmf_isa_level;
enum { GMF_N_LEVELS = 4 };

/* The values of GRIDMF_ISA, for messages. */
#define GMF_LEVEL_NAMES "generic, avx2, avx512 or amx"

/*
 * The best level that this CPU, this build and the operating system have; the environment variable GRIDMF_ISA lowers
 * it, for tests and for comparing machines. The first call in a process asks Linux for the use of AMX's tiles.
 */
gmf_isa_level gmf_kernel_level(void);
const char *gmf_kernel_level_name(gmf_isa_level level);

/* Whether a level has this name. */
bool gmf_kernel_level_exists(const char *name);

#ifdef GMF_HAVE_X86_KERNELS
/* The version of function f for a level, for dispatch: GMF_ISA_PICK(level, gmf_scores)(...). */
#define GMF_ISA_PICK(level, f) \
  ((level) >= GMF_LEVEL_AVX512 ? f##_avx512 : (level) == GMF_LEVEL_AVX2 ? f##_avx2 : f##_generic)
#else
#define GMF_ISA_PICK(level, f) ((void)(level), f##_generic)
#endif

#endif
