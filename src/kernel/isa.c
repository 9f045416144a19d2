#include "kernel/isa.h"

#include <stdlib.h>
#include <string.h>

#ifdef GMF_HAVE_X86_KERNELS
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Whether tiles may be used: the CPU has them with bf16 (CPUID leaf 7, EDX bits 22 and 24), and Linux gives this
 * process the permission, without which the first tile would end it: their state is 8 KiB a thread, kept only for those
 * who ask (Linux, Documentation/arch/x86/xstate.rst). Kernels before 5.16 know no such request.
 */
static bool may_use_tiles(void)
{
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, BF16 = 1 << 22, TILES = 1 << 24 };
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & BF16) == 0 || (edx & TILES) == 0) return false;
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif

static gmf_isa_level best_of_cpu(void)
{
#ifdef GMF_HAVE_X86_KERNELS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    return may_use_tiles() ? GMF_LEVEL_AMX : GMF_LEVEL_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return GMF_LEVEL_AVX2;
#endif
  return GMF_LEVEL_GENERIC;
}

const char *gmf_kernel_level_name(gmf_isa_level level)
{
  static const char *const names[GMF_N_LEVELS] = {"generic", "avx2", "avx512", "amx"};
  return names[level];
}

bool gmf_kernel_level_exists(const char *name)
{
  for (int l = 0; l < GMF_N_LEVELS; l++)
    if (strcmp(name, gmf_kernel_level_name((gmf_isa_level)l)) == 0) return true;
  return false;
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
