/* Where ratings come from and which rank owns which rows: the same for a training and for the plan of one. Local. */
#ifndef GMF_APP_PLACEMENT_H
#define GMF_APP_PLACEMENT_H

#include "app/config.h"
#include "dist/block.h"
#include "io/dataset.h"

/* The ratings of an open dataset, which is borrowed. */
gmf_rating_source gmf_dataset_source(const gmf_dataset *dataset);

/* Collective. Ratings of each row of the sides that are placed by them, counts[side] [n]; NULL for longer ones. The
 * caller frees them (gmf_free), after an error too. */
gmf_status gmf_place_count(const gmf_grid *grid, const gmf_rating_source *source, int64_t *counts[GMF_N_SIDES],
                           gmf_error *err);

/*
 * Axes for n_ranks ranks, which need not be those of this run; the arguments must be equal on all ranks. A side whose
 * table fits (gmf_axis_has_table) is placed longest work first by its counts [n], heavy rows (NULL: of neither side) so
 * that their grid rows share the work; a longer one by hash, and its counts are not read. Of an error some axes may be
 * there: gmf_axis_destroy.
 */
gmf_status gmf_place_rows(int n_ranks, const int64_t n[GMF_N_SIDES], const gmf_config *config,
                          int64_t *const counts[GMF_N_SIDES], const gmf_shared_rows heavy[GMF_N_SIDES],
                          gmf_axis *axes[GMF_N_SIDES], gmf_error *err);

#endif
