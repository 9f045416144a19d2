/*
 * The Gram matrix of gathered rows on Intel's matrix unit (AMX). One thread, no MPI, no I/O. See dense.h, gmf_gram_f4,
 * which calls it where gmf_kernel_level() is GMF_LEVEL_AMX.
 */
#ifndef GMF_KERNEL_GRAM_AMX_H
#define GMF_KERNEL_GRAM_AMX_H

#include "kernel/dense.h"

/*
 * As gmf_gram_f4, for weights that are not below zero: false, and nothing done, where one is. work holds
 * gmf_gram_work(ld) floats. a's error is at most 3e-5 of sum_j |w_j| |y_j| |y_j|', as a rule 5e-6, see the source.
 */
bool gmf_gram_f4_amx(const float *y, int64_t stride, const gmf_ratings *ratings, gmf_loss loss, int ld, float *work,
                     float *a, float *b);

#endif
