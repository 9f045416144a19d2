/*
 * Dataset files: the rating matrix in csr form with the external ids of its rows and columns.
 *
 *   /users/id [m]  /items/id [n]       i8 or fixed-length UTF-8, ascending
 *   /ratings/{indptr [m + 1], indices [nnz], data [nnz]}  rows = users; and, where the input had them,
 *   /ratings/time i8 [nnz]                                seconds
 *   /ratings/weight f4 [nnz]                              how much each rating counts in training, 0 or more
 *   /users/features ... /items/features ...               features.h, where `gridmf attach` has put them
 */
#ifndef GMF_IO_DATASET_H
#define GMF_IO_DATASET_H

#include "base/side.h"
#include "io/feature_write.h"
#include "io/h5.h"
#include "io/rating_rows.h"
#include "io/writer.h"
#include "runtime/grid.h"

/* A rank's slice [begin, begin + n) of the ids of one side. */
typedef struct gmf_ids {
  gmf_type type; /* GMF_I8 or GMF_TEXT; the same on all ranks */
  int64_t begin, n;
  void *values; /* owned: int64_t [n], or n times type.size bytes padded with NUL */
} gmf_ids;

void gmf_ids_free(gmf_ids *ids);

/* An open dataset and the rows that this rank reads: consecutive users, cut so that ranks get about equal ratings. */
typedef struct gmf_dataset {
  hid_t file; /* owned */
  char path[4096];
  int64_t n[GMF_N_SIDES]; /* users, items */
  int64_t nnz;            /* ratings in the whole file */
  bool has_time, has_weight;
  bool has_features[GMF_N_SIDES];
  int64_t n_features[GMF_N_SIDES], nnz_features[GMF_N_SIDES]; /* columns, and entries in the whole file; 0 without */
  int64_t row_begin, row_end;                                 /* my users */
  int64_t *indptr;                            /* owned [row_end - row_begin + 1]: positions in the whole file */
  gmf_h5_array items, values, times, weights; /* owned */
  int64_t *held_items; /* owned [ratings of my users], like the next two: NULL before gmf_dataset_hold */
  float *held_values, *held_weights;
} gmf_dataset;

/* Collective. GMF_ERR_NO_INPUT, GMF_ERR_DATA. */
gmf_status gmf_dataset_open(const gmf_grid *grid, const char *path, gmf_dataset **out, gmf_error *err);
void gmf_dataset_close(gmf_dataset **dataset);

/*
 * Collective over peers: ranks that have opened one dataset with the same slice of it. Rank 0 of them reads the slice,
 * and all keep it, so that it is read once for several trainings; gmf_dataset_read then takes from memory what it has.
 * 12 bytes a rating, 16 with weights.
 */
gmf_status gmf_dataset_hold(const gmf_grid *peers, gmf_dataset *dataset, gmf_error *err);

/*
 * Local. Ratings [begin, begin + n) of the file, counted over all users: items [n], values [n]; times [n] and weights
 * [n] may be NULL: not wanted. Times are only for files that have them; weights are 1 in a file that has none.
 * GMF_ERR_DATA when an item is out of range, a value is not finite or a weight is not finite or below 0.
 */
gmf_status gmf_dataset_read(const gmf_dataset *dataset, int64_t begin, int64_t n, int64_t *items, float *values,
                            int64_t *times, float *weights, gmf_error *err);

/* Local. All that this rank reads, into *rows (gmf_rating_rows_free, after a failure too). */
gmf_status gmf_dataset_read_rows(const gmf_dataset *dataset, gmf_rating_rows *rows, gmf_error *err);

/* Local. Ids [begin, begin + n) of a side, into ids->values (gmf_ids_free). */
gmf_status gmf_dataset_read_ids(const gmf_dataset *dataset, gmf_side side, int64_t begin, int64_t n, gmf_ids *ids,
                                gmf_error *err);

/* Collective. The features of a side that has some, my rows being [begin, begin + n); gmf_side_features_free. */
gmf_status gmf_dataset_read_features(const gmf_grid *grid, const gmf_dataset *dataset, gmf_side side, int64_t begin,
                                     int64_t n, gmf_side_features *out, gmf_error *err);

/* Local. Copies n ids of any open file's side into text: "42", "abc". out has room for size bytes. */
void gmf_id_text(const gmf_ids *ids, int64_t index, char *out, size_t size);

/* What a rank brings to a new dataset: consecutive users in rank order, and its slices of the ids. */
typedef struct gmf_dataset_part {
  int64_t n[GMF_N_SIDES]; /* of the whole dataset */
  gmf_ids ids[GMF_N_SIDES];
  gmf_rating_rows rows;                           /* borrowed: my users */
  const gmf_side_features *features[GMF_N_SIDES]; /* borrowed; NULL: none */
} gmf_dataset_part;

/*
 * Collective. Declares, creates and writes a dataset with an opened writer, to which the caller may have added
 * attributes, and which the caller then commits. Adds the root attributes @nnz, @n_users, @n_items, @min_rating,
 * @max_rating, @mean_rating (of the ratings as they are, whatever their weights), and with weights @min_weight and
 * @max_weight.
 */
gmf_status gmf_dataset_write(const gmf_grid *grid, gmf_writer *w, const gmf_dataset_part *part, gmf_error *err);

#endif
