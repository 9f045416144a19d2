/*
 * What a core can do at most: loops that do nothing but multiply and add, and nothing but read and write memory. The
 * kernels' speed is given as a share of them. One thread, no MPI, no I/O; versions for each instruction set
 * (peak_isa.c), of which the functions without suffix choose at run time.
 */
#ifndef GMF_KERNEL_PEAK_H
#define GMF_KERNEL_PEAK_H

#include <stdint.h>

/*
 * n rounds of as many independent x = x a + b on whole vectors as it takes to hide their latency, in registers. Returns
 * the operations done, a multiplication and an addition being two. *sink gets a value that depends on all of them.
 */
double gmf_peak_multiply_add_f4(int64_t n, double *sink);
double gmf_peak_multiply_add_f8(int64_t n, double *sink);

/* The same for products of bf16 tiles that are summed in f4, on the CPU's matrix unit. 0 where
 * the level is below AMX, and nothing is done. */
double gmf_peak_tiles(int64_t n, double *sink);

/*
 * a[j] = b[j] + s c[j] for n elements: the triad of McCalpin, "Memory bandwidth and machine balance in current high
 * performance computers", IEEE TCCA Newsletter 1995. Returns the bytes as he counts them, three words an element.
 */
double gmf_peak_triad(double *a, const double *b, const double *c, double s, int64_t n);

#endif
