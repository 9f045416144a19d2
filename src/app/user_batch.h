/* Batches of test users as ranking takes them (algo/ranking.h): rows, held-out ratings, and what each had already. */
#ifndef GMF_APP_USER_BATCH_H
#define GMF_APP_USER_BATCH_H

#include "algo/ranking.h"
#include "app/held_out.h"

typedef struct gmf_batch_loader gmf_batch_loader;

/* Collective. held_out: borrowed, must outlive the loader. n_users: of a batch, at most. */
gmf_status gmf_batch_loader_create(const gmf_held_out *held_out, int64_t n_users, gmf_batch_loader **out,
                                   gmf_error *err);
void gmf_batch_loader_destroy(gmf_batch_loader **loader);

/*
 * Collective. The next batch, which is good until the next call. *more is false on all ranks once no rank has users
 * left; until then a rank that has none gets empty batches.
 */
gmf_status gmf_batch_load(gmf_batch_loader *loader, gmf_user_batch *batch, bool *more, gmf_error *err);

#endif
