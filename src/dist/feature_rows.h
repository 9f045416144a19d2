/* Features of rows brought from dataset order to the rows' owners. */
#ifndef GMF_DIST_FEATURE_ROWS_H
#define GMF_DIST_FEATURE_ROWS_H

#include "dist/axis.h"
#include "kernel/feature_rows.h"

/* Collective. From slices in dataset order (slice r of gmf_slice_begin) to the owners: *owned [my rows] by position. */
gmf_status gmf_feature_rows_to_owners(const gmf_grid *grid, const gmf_axis *axis, const gmf_feature_rows *slice,
                                      gmf_feature_rows *owned, gmf_error *err);

#endif
