/*
 * Our files in the formats of others, on one process. Arrays pass through in pieces, so that memory does not grow with
 * the file. All Local.
 *
 *   npz    numpy.load; a dataset also scipy.sparse.load_npz. Ids of text are bytes, UTF-8
 *   csv    a line for each rating, row of factors or recommended item, with ids
 *   mtx    MatrixMarket of a dataset: rows of the file, counted from 1
 *   h5ad   AnnData: ratings are X, ids the index of obs and var, factors obsm and varm
 *   ann-benchmarks   HDF5 with train, test, neighbors, distances (gmf_export_neighbors)
 */
#ifndef GMF_IO_EXPORT_H
#define GMF_IO_EXPORT_H

#include "base/side.h"
#include "io/h5.h"

typedef enum gmf_export_format {
  GMF_EXPORT_NPZ,
  GMF_EXPORT_MTX,
  GMF_EXPORT_CSV,
  GMF_EXPORT_H5AD,
  GMF_EXPORT_ANN
} gmf_export_format;

/* "npz", "mtx", ... */
const char *gmf_export_name(gmf_export_format to);

/* Which of our files `path` is: a GMF_FORMAT_*. GMF_ERR_USAGE where it has no such form. */
gmf_status gmf_export_check(const char *path, gmf_export_format to, const char **format, gmf_error *err);

/* Writes `path` as `to`, not GMF_EXPORT_ANN, into the file `out`, made anew. */
gmf_status gmf_export_write(const char *path, gmf_export_format to, const char *out, gmf_error *err);

/* What ann-benchmarks reads: the k nearest of n points of each query, by inner product. */
typedef struct gmf_neighbors {
  int64_t n_points, n_queries, dimension, k;
  const float *points;      /* [n_points][dimension] */
  const float *queries;     /* [n_queries][dimension] */
  const int32_t *neighbors; /* [n_queries][k] numbers of points, best first */
  const float *distances;   /* [n_queries][k] */
} gmf_neighbors;

gmf_status gmf_export_neighbors(const gmf_neighbors *neighbors, const char *out, gmf_error *err);

#endif
