/* Sparse matrices in the files of a writer, as AnnData stores them (csr_matrix): ratings, features, similarities. */
#ifndef GMF_IO_CSR_WRITE_H
#define GMF_IO_CSR_WRITE_H

#include "io/writer.h"

/* Local, the same on all ranks, before gmf_writer_create. Declares a csr group: attributes, indptr i8 [n_rows + 1],
 * indices i4 or i8 as n_cols asks, data f4, and what `extras` names. */
enum { GMF_CSR_WITH_TIME = 1, GMF_CSR_WITH_WEIGHT = 2, GMF_CSR_F8 = 4 }; /* time i8, weight f4; data f8 */
void gmf_csr_declare(gmf_writer *w, const char *group, int64_t n_rows, int64_t n_cols, int64_t nnz, unsigned extras);

/* A rank's rows of a csr matrix: consecutive, in rank order. */
typedef struct gmf_csr_rows {
  int64_t row_begin, n_rows;
  const int64_t *indptr;  /* [n_rows + 1], ascending from any number */
  const int64_t *indices; /* [n], n = indptr[n_rows] - indptr[0] */
  const void *data;       /* [n] f4; f8 where the group was declared so */
  const int64_t *times;   /* [n]; NULL on all ranks where the group was declared without */
  const float *weights;   /* [n]; the same */
} gmf_csr_rows;

/* Collective. Writes all of a declared csr group of n_cols columns. */
gmf_status gmf_csr_write(const gmf_grid *grid, gmf_writer *w, const char *group, int64_t n_cols,
                         const gmf_csr_rows *rows, gmf_error *err);

#endif
