/*
 * Rows of few ratings, which wait until enough of them can be solved together (kernel/dual.h). One batch a thread: rows
 * come as the thread gets them, and results do not depend on which of them meet in a batch. Local.
 */
#ifndef GMF_ALGO_ALS_BATCH_H
#define GMF_ALGO_ALS_BATCH_H

#include "algo/als.h"

typedef struct gmf_als_batch gmf_als_batch;

gmf_status gmf_als_batch_create(int ld, gmf_als_batch **out, gmf_error *err);
void gmf_als_batch_destroy(gmf_als_batch **batch);

/*
 * Takes my row r of n ratings, for which gmf_row_is_batched; the calling thread's solver solves what waits, if need be
 * first, where the batch is full or the row too short for those in it. gmf_als_batch_finish: it solves the rest, before
 * anything that rows are made of changes. Both return the lowest row in dataset order that failed, INT64_MAX for none.
 */
int64_t gmf_als_batch_add(gmf_als *als, gmf_side side, gmf_als_batch *batch, int64_t r, int64_t n);
int64_t gmf_als_batch_finish(gmf_als *als, gmf_side side, gmf_als_batch *batch);

#endif
