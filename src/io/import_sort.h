/* Second half of the import: ratings to the ranks that own their users' rows, in order, duplicates settled. */
#ifndef GMF_IO_IMPORT_SORT_H
#define GMF_IO_IMPORT_SORT_H

#include "io/import_read.h"

/* My rows of the rating matrix: users row_begin ... row_begin + n_rows. */
typedef struct gmf_import_rows {
  int64_t row_begin, n_rows;
  int64_t *indptr; /* owned [n_rows + 1] */
  int64_t *items;  /* owned [indptr[n_rows]]: rows of the item space, ascending within a user */
  float *values;   /* owned [indptr[n_rows]] */
  int64_t *times;  /* owned [indptr[n_rows]]; NULL without times */
} gmf_import_rows;

void gmf_import_rows_free(gmf_import_rows *rows);

/*
 * Collective. Takes the ratings of share (its sets and pieces are freed on the way), numbers their ids, brings each
 * rating to the rank that owns its row and settles duplicates, --min-rating and --binarize. Ranks own consecutive
 * users with about equal numbers of ratings.
 */
gmf_status gmf_import_sort(const gmf_grid *grid, const gmf_import_options *options, gmf_import_share *share,
                           gmf_id_space space[GMF_N_SIDES], gmf_import_rows *rows, gmf_import_report *report,
                           gmf_error *err);

/*
 * Collective. Ids without ratings go; so do items with less than min_item_count ratings, then users with less than
 * min_user_count.
 */
gmf_status gmf_import_filter(const gmf_grid *grid, const gmf_import_options *options, gmf_id_space space[GMF_N_SIDES],
                             gmf_import_rows *rows, gmf_import_report *report, gmf_error *err);

#endif
