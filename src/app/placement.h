/* Where ratings come from and which rank owns which rows: the same for a training and for the plan of one. Local. */
#ifndef GMF_APP_PLACEMENT_H
#define GMF_APP_PLACEMENT_H

#include "app/config.h"
#include "dist/block.h"
#include "io/dataset.h"

/* The ratings of an open dataset, which is borrowed. */
gmf_rating_source gmf_dataset_source(const gmf_dataset *dataset);

/*
 * Axes for n_ranks ranks, which need not be those of this run; the arguments must be equal on all ranks. Users: by
 * hash. Items: longest work first where their table fits (item_counts [n items]: ratings of each), by hash otherwise
 * (item_counts is not read); heavy ones (NULL: none) so that their grid rows share the work. Of an error some axes may
 * be there: gmf_axis_destroy.
 */
gmf_status gmf_place_rows(int n_ranks, const int64_t n[GMF_N_SIDES], const gmf_config *config,
                          const int64_t *item_counts, const gmf_shared_rows *heavy_items, gmf_axis *axes[GMF_N_SIDES],
                          gmf_error *err);

/* Whether gmf_place_rows wants item_counts. */
static inline bool gmf_place_wants_counts(const int64_t n[GMF_N_SIDES]) { return n[GMF_ITEMS] <= GMF_AXIS_TABLE_ROWS; }

#endif
