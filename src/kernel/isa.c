#include "kernel/isa.h"

#include <stdlib.h>
#include <string.h>

static gmf_isa_level best_of_cpu(void)
{
#ifdef GMF_HAVE_X86_KERNELS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    return GMF_LEVEL_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return GMF_LEVEL_AVX2;
#endif
  return GMF_LEVEL_GENERIC;
}

const char *gmf_kernel_level_name(gmf_isa_level level)
{
  static const char *const names[] = {"generic", "avx2", "avx512"};
  return names[level];
}

gmf_isa_level gmf_kernel_level(void)
{
  static _Thread_local int known = -1; /* one look at the environment a thread; the answer is the same in all */
  if (known >= 0) return (gmf_isa_level)known;
  gmf_isa_level level = best_of_cpu();
  const char *asked = getenv("GRIDMF_ISA");
  for (int l = 0; asked != NULL && l < (int)level; l++)
    if (strcmp(asked, gmf_kernel_level_name((gmf_isa_level)l)) == 0) level = (gmf_isa_level)l;
  known = (int)level;
  return level;
}
