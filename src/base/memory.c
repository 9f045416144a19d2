#include "base/memory.h"

#include <inttypes.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The size stands in front of the array, in a block of its own so that the array keeps its alignment. */
#define ALIGNMENT 64

static atomic_llong live_count;

/* The allocations that fail on purpose, counted from 1; none while first is 0. Set once, before threads start. */
static int64_t first_to_fail, last_to_fail;
static atomic_llong n_asked;

void gmf_memory_fail(int64_t first, int64_t last)
{
  first_to_fail = first;
  last_to_fail = last;
  atomic_store(&n_asked, 0);
}

void gmf_memory_setup(void)
{
#ifdef __GLIBC__
  enum { LARGE_BYTES = 1 << 20 };
  mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
#endif
}

static bool fails_on_purpose(void)
{
  if (first_to_fail == 0) return false;
  int64_t n = atomic_fetch_add(&n_asked, 1) + 1;
  return n >= first_to_fail && n <= last_to_fail;
}

void *gmf_malloc(int64_t n, size_t size)
{
  size_t bytes = 0;
  if (fails_on_purpose()) return NULL;
  if (n < 0 || __builtin_mul_overflow((size_t)n, size, &bytes) || bytes > SIZE_MAX / 2) return NULL;
  size_t rounded = (bytes + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  char *block = aligned_alloc(ALIGNMENT, rounded);
  if (block == NULL) return NULL;
  memcpy(block, &bytes, sizeof bytes);
  atomic_fetch_add(&live_count, 1);
  return block + ALIGNMENT;
}

void *gmf_calloc(int64_t n, size_t size)
{
  void *p = gmf_malloc(n, size);
  if (p != NULL) memset(p, 0, (size_t)n * size);
  return p;
}

void *gmf_realloc(void *old, int64_t n, size_t size)
{
  void *p = gmf_malloc(n, size);
  if (p == NULL || old == NULL) return p;
  size_t old_bytes = 0;
  memcpy(&old_bytes, (char *)old - ALIGNMENT, sizeof old_bytes);
  size_t bytes = (size_t)n * size;
  memcpy(p, old, old_bytes < bytes ? old_bytes : bytes);
  gmf_free(old);
  return p;
}

void gmf_memory_prefer_huge_pages(void *p)
{
#ifdef MADV_HUGEPAGE
  enum { HUGE_PAGE = 2 << 20 };
  size_t bytes = 0;
  memcpy(&bytes, (char *)p - ALIGNMENT, sizeof bytes);
  uintptr_t begin = ((uintptr_t)p + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  uintptr_t end = ((uintptr_t)p + bytes) / HUGE_PAGE * HUGE_PAGE;
  if (begin < end) (void)madvise((char *)p + (begin - (uintptr_t)p), end - begin, MADV_HUGEPAGE); /* or it does not */
#else
  (void)p;
#endif
}

void gmf_free(void *p)
{
  if (p == NULL) return;
  atomic_fetch_sub(&live_count, 1);
  free((char *)p - ALIGNMENT);
}

gmf_status gmf_reserve(void *array, int64_t *capacity, int64_t n, size_t size, const char *what, gmf_error *err)
{
  if (n <= *capacity) return GMF_OK;
  int64_t grown = *capacity * 2 > n ? *capacity * 2 : n;
  if (grown < 16) grown = 16;
  void *p = NULL;
  memcpy(&p, array, sizeof p);
  p = gmf_realloc(p, grown, size);
  if (p == NULL) return gmf_out_of_memory(err, grown, size, what);
  memcpy(array, &p, sizeof p);
  *capacity = grown;
  return GMF_OK;
}

gmf_status gmf_out_of_memory(gmf_error *err, int64_t n, size_t size, const char *what)
{
  return gmf_fail(err, GMF_ERR_MEMORY,
                  "out of memory: %.3g MB for %s (%" PRId64 " x %zu bytes); use more ranks or nodes, or fewer factors",
                  (double)n * (double)size / 1e6, what, n, size);
}

int64_t gmf_memory_live_count(void) { return atomic_load(&live_count); }
