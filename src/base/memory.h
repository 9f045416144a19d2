/*
 * Allocation: 64-byte aligned, overflow-checked, counted. Local, thread-safe.
 *
 * Arrays are asked for by element count and size, never by a product the caller made.
 */
#ifndef GMF_BASE_MEMORY_H
#define GMF_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Once, at the start of a program: memory of large arrays goes back to the system as they are freed. By itself glibc
 * keeps up to 32 MiB of each for later, and a process takes more than its arrays. */
void gmf_memory_setup(void);

/* n elements of `size` bytes, not initialised; NULL when they cannot be had. n = 0 gives a pointer that may be freed.
 */
void *gmf_malloc(int64_t n, size_t size);
/* The same, all bytes zero. */
void *gmf_calloc(int64_t n, size_t size);
/* A larger (or smaller) array with the old elements; NULL leaves the old one as it was. */
void *gmf_realloc(void *old, int64_t n, size_t size);
void gmf_free(void *p);

/* Asks that the array, which has not been written yet, is mapped by huge pages where the system has them: rows that are
 * visited in no order then miss fewer translations of addresses. Takes no more memory than the array has. */
void gmf_memory_prefer_huge_pages(void *p);

/* Fails with GMF_ERR_MEMORY, naming the array and its size in bytes. */
gmf_status gmf_out_of_memory(gmf_error *err, int64_t n, size_t size, const char *what);

/* ptr = n elements of its own type; the value is a gmf_status. */
#define GMF_NEW(ptr, n, err) \
  (((ptr) = gmf_malloc((n), sizeof *(ptr))) != NULL ? GMF_OK : gmf_out_of_memory((err), (n), sizeof *(ptr), #ptr))
#define GMF_NEW_ZERO(ptr, n, err) \
  (((ptr) = gmf_calloc((n), sizeof *(ptr))) != NULL ? GMF_OK : gmf_out_of_memory((err), (n), sizeof *(ptr), #ptr))
#define GMF_FREE(ptr) \
  do {                \
    gmf_free(ptr);    \
    (ptr) = NULL;     \
  } while (0)

/* Makes room for at least n elements, doubling; *capacity counts elements. The value is a gmf_status. */
#define GMF_RESERVE(ptr, capacity, n, err) gmf_reserve(&(ptr), &(capacity), (n), sizeof *(ptr), #ptr, (err))
/* array: the address of the pointer, of whatever type. */
gmf_status gmf_reserve(void *array, int64_t *capacity, int64_t n, size_t size, const char *what, gmf_error *err);

/* For tests: allocations number first to last from now on fail, counted from 1; first 0: none. */
void gmf_memory_fail(int64_t first, int64_t last);

/* Allocations that are alive in this process: 0 at the end of a good run. */
int64_t gmf_memory_live_count(void);

#endif
