/* The versions of the kernels in scores_isa.c, one for each instruction set; topn.c chooses. Contracts: topn.h. */
#ifndef GMF_KERNEL_SCORES_H
#define GMF_KERNEL_SCORES_H

#include <stdint.h>

#include "kernel/topn.h"

typedef void gmf_scores_fn(const float *users, int64_t n_users, int64_t user_stride, const float *items,
                           int64_t n_items, int64_t item_stride, int k, float *out, int64_t out_stride);
typedef int64_t gmf_first_at_least_fn(const float *scores, int64_t n, float threshold);
typedef int64_t gmf_count_worse_fn(const float *scores, int64_t n, float threshold);
typedef int64_t gmf_count_at_least_fn(const float *scores, int64_t n, float threshold);
typedef int gmf_tile_items_fn(void);
typedef void gmf_pack_tile_fn(const gmf_item_panel *panel, int64_t tile, const float *items, int64_t item_stride,
                              const float *offsets);
typedef void gmf_topn_push_tiles_fn(const gmf_scored_users *users, const gmf_item_panel *panel, int64_t tile_begin,
                                    int64_t tile_end);

gmf_scores_fn gmf_scores_generic, gmf_scores_avx2, gmf_scores_avx512;
gmf_first_at_least_fn gmf_first_at_least_generic, gmf_first_at_least_avx2, gmf_first_at_least_avx512;
gmf_count_worse_fn gmf_count_worse_generic, gmf_count_worse_avx2, gmf_count_worse_avx512;
gmf_count_at_least_fn gmf_count_at_least_generic, gmf_count_at_least_avx2, gmf_count_at_least_avx512;
gmf_tile_items_fn gmf_tile_items_generic, gmf_tile_items_avx2, gmf_tile_items_avx512;
gmf_pack_tile_fn gmf_pack_tile_generic, gmf_pack_tile_avx2, gmf_pack_tile_avx512;
gmf_topn_push_tiles_fn gmf_topn_push_tiles_generic, gmf_topn_push_tiles_avx2, gmf_topn_push_tiles_avx512;

#endif
