/*
 * Features of users and items in datasets and models:
 *
 *   /items/features        csr group [n][p], AnnData's layout: data f4, indices, indptr; ascending in a row
 *   /items/feature_names   UTF-8 [p]: "genres:Drama" of a category, "year" of a number
 *   /items/feature_mean, /items/feature_scale   f8 [p]: the values are (x - mean) / scale; 0 and 1 of categories
 *
 * and the same below /users. Readers are Local and free of MPI; feature_write.c has what is Collective.
 */
#ifndef GMF_IO_FEATURES_H
#define GMF_IO_FEATURES_H

#include "base/side.h"
#include "io/h5.h"
#include "kernel/feature_rows.h"

/* What the columns mean, the same on all ranks. Fit for {0}. */
typedef struct gmf_feature_names {
  int64_t n;            /* columns */
  int64_t size;         /* bytes of a name, padded with NUL; names may fill it */
  char *text;           /* owned [n][size] */
  double *mean, *scale; /* owned [n] */
} gmf_feature_names;

gmf_status gmf_feature_names_new(int64_t n, int64_t size, gmf_feature_names *out, gmf_error *err);
void gmf_feature_names_free(gmf_feature_names *names);

/* The column of a name of `length` bytes; -1 where there is none. */
int64_t gmf_feature_find(const gmf_feature_names *names, const char *name, int64_t length);

/* Whether a file has features of a side; how many columns and entries they have (GMF_ERR_DATA), 0 where it has none. */
bool gmf_features_exist(hid_t file, gmf_side side);
gmf_status gmf_features_measure(hid_t file, const char *path, gmf_side side, int64_t *n_features, int64_t *nnz,
                                gmf_error *err);

/* GMF_ERR_DATA where the arrays do not fit each other. */
gmf_status gmf_features_read_names(hid_t file, const char *path, gmf_side side, gmf_feature_names *out, gmf_error *err);

/* Rows [begin, begin + n) of the side's features, of n_features columns; GMF_ERR_DATA where they are damaged. */
gmf_status gmf_features_read_rows(hid_t file, const char *path, gmf_side side, int64_t n_features, int64_t begin,
                                  int64_t n, gmf_feature_rows *out, gmf_error *err);

#endif
