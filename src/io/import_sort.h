/* Second half of the import: ratings to the ranks that own their users' rows, in order, duplicates settled. */
#ifndef GMF_IO_IMPORT_SORT_H
#define GMF_IO_IMPORT_SORT_H

#include "io/import_read.h"
#include "io/rating_rows.h"

/*
 * Collective. Takes the ratings of share (its sets and pieces are freed on the way), numbers their ids, brings each
 * rating to the rank that owns its row and settles duplicates, --min-rating and --binarize. Ranks own consecutive
 * users with about equal numbers of ratings.
 */
gmf_status gmf_import_sort(const gmf_grid *grid, const gmf_import_options *options, gmf_import_share *share,
                           gmf_id_space space[GMF_N_SIDES], gmf_rating_rows *rows, gmf_import_report *report,
                           gmf_error *err);

/*
 * Collective. Ids without ratings go; so do items with less than min_item_count ratings, then users with less than
 * min_user_count.
 */
gmf_status gmf_import_filter(const gmf_grid *grid, const gmf_import_options *options, gmf_id_space space[GMF_N_SIDES],
                             gmf_rating_rows *rows, gmf_import_report *report, gmf_error *err);

#endif
