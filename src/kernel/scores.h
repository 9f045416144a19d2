/* The versions of the kernels in scores_isa.c, one for each instruction set; topn.c chooses. Contracts: topn.h. */
#ifndef GMF_KERNEL_SCORES_H
#define GMF_KERNEL_SCORES_H

#include <stdint.h>

typedef void gmf_scores_fn(const float *users, int64_t n_users, int64_t user_stride, const float *items,
                           int64_t n_items, int64_t item_stride, int k, float *out, int64_t out_stride);
typedef int64_t gmf_first_at_least_fn(const float *scores, int64_t n, float threshold);
typedef int64_t gmf_count_worse_fn(const float *scores, int64_t n, float threshold);

gmf_scores_fn gmf_scores_generic, gmf_scores_avx2, gmf_scores_avx512;
gmf_first_at_least_fn gmf_first_at_least_generic, gmf_first_at_least_avx2, gmf_first_at_least_avx512;
gmf_count_worse_fn gmf_count_worse_generic, gmf_count_worse_avx2, gmf_count_worse_avx512;

#endif
