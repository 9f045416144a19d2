/* Features of a side on their way from file to file; features.h describes them. */
#ifndef GMF_IO_FEATURE_WRITE_H
#define GMF_IO_FEATURE_WRITE_H

#include "io/features.h"
#include "io/writer.h"

/* The features of one side: what the columns mean, and this rank's rows, consecutive in rank order. Fit for {0}. */
typedef struct gmf_side_features {
  gmf_feature_names names; /* owned */
  gmf_feature_rows rows;   /* owned */
} gmf_side_features;

void gmf_side_features_free(gmf_side_features *features);

/* Collective. Those of an open dataset, my rows being [begin, begin + n) of the side. */
gmf_status gmf_side_features_read(const gmf_grid *grid, hid_t file, const char *path, gmf_side side, int64_t begin,
                                  int64_t n, gmf_side_features *out, gmf_error *err);

/* Local, the same on all ranks, before gmf_writer_create: n_rows of the side, and nnz features of all of them. */
void gmf_features_declare(gmf_writer *w, gmf_side side, int64_t n_rows, int64_t nnz, const gmf_feature_names *names);

/* Collective. */
gmf_status gmf_features_write(const gmf_grid *grid, gmf_writer *w, gmf_side side, const gmf_side_features *features,
                              gmf_error *err);

#endif
