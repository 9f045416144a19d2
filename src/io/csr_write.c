#include "io/csr_write.h"

#include <stdio.h>

#include "base/memory.h"
#include "io/layout.h"

enum { NAME_BYTES = 96 };

static const char *member(const char *group, const char *name, char out[NAME_BYTES])
{
  snprintf(out, NAME_BYTES, "%s/%s", group, name);
  return out;
}

void gmf_csr_declare(gmf_writer *w, const char *group, int64_t n_rows, int64_t n_cols, int64_t nnz, unsigned extras)
{
  char name[NAME_BYTES];
  int64_t shape[2] = {n_rows, n_cols};
  gmf_writer_attr_text(w, group, GMF_ATTR_ENCODING, GMF_CSR_ENCODING);
  gmf_writer_attr_text(w, group, GMF_ATTR_ENCODING_VERSION, GMF_CSR_ENCODING_VERSION);
  gmf_writer_attr_i64s(w, group, GMF_ATTR_SHAPE, shape, 2);
  gmf_writer_add(w, member(group, GMF_CSR_INDPTR, name), gmf_type_of(GMF_I8), n_rows + 1, 0);
  gmf_writer_add(w, member(group, GMF_CSR_INDICES, name), gmf_type_of(n_cols <= INT32_MAX ? GMF_I4 : GMF_I8), nnz, 0);
  gmf_writer_add(w, member(group, GMF_CSR_DATA, name), gmf_type_of((extras & GMF_CSR_F8) != 0 ? GMF_F8 : GMF_F4), nnz,
                 0);
  if ((extras & GMF_CSR_WITH_TIME) != 0)
    gmf_writer_add(w, member(group, GMF_CSR_TIME, name), gmf_type_of(GMF_I8), nnz, 0);
  if ((extras & GMF_CSR_WITH_WEIGHT) != 0)
    gmf_writer_add(w, member(group, GMF_CSR_WEIGHT, name), gmf_type_of(GMF_F4), nnz, 0);
}

/* Collective. The indices in the width of the file. */
static gmf_status write_indices(const gmf_grid *grid, gmf_writer *w, const char *name, bool narrow, int64_t begin,
                                int64_t n, const int64_t *indices, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int32_t *copy = NULL;
  if (!narrow) return gmf_writer_write(w, name, begin, n, indices, err);
  GMF_TRY(gmf_agree(grid, GMF_NEW(copy, n, err), err));
  for (int64_t j = 0; j < n; j++) copy[j] = (int32_t)indices[j];
  GMF_TRY(gmf_writer_write(w, name, begin, n, copy, err));
cleanup:
  gmf_free(copy);
  return status;
}

/* Collective. Rank 0 brings the leading 0, every rank the ends of its rows. */
static gmf_status write_indptr(const gmf_grid *grid, gmf_writer *w, const char *name, int64_t begin,
                               const gmf_csr_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *ends = NULL, skip = grid->rank > 0;
  GMF_TRY(gmf_agree(grid, GMF_NEW(ends, rows->n_rows + 1, err), err));
  for (int64_t r = 0; r <= rows->n_rows; r++) ends[r] = begin + rows->indptr[r] - rows->indptr[0];
  GMF_TRY(gmf_writer_write(w, name, rows->row_begin + skip, rows->n_rows + 1 - skip, ends + skip, err));
cleanup:
  gmf_free(ends);
  return status;
}

gmf_status gmf_csr_write(const gmf_grid *grid, gmf_writer *w, const char *group, int64_t n_cols,
                         const gmf_csr_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[NAME_BYTES];
  int64_t n = rows->indptr[rows->n_rows] - rows->indptr[0], begin = gmf_prefix_i64(grid, n);
  GMF_TRY(write_indptr(grid, w, member(group, GMF_CSR_INDPTR, name), begin, rows, err));
  GMF_TRY(
      write_indices(grid, w, member(group, GMF_CSR_INDICES, name), n_cols <= INT32_MAX, begin, n, rows->indices, err));
  GMF_TRY(gmf_writer_write(w, member(group, GMF_CSR_DATA, name), begin, n, rows->data, err));
  if (rows->times != NULL) GMF_TRY(gmf_writer_write(w, member(group, GMF_CSR_TIME, name), begin, n, rows->times, err));
  if (rows->weights != NULL)
    GMF_TRY(gmf_writer_write(w, member(group, GMF_CSR_WEIGHT, name), begin, n, rows->weights, err));
cleanup:
  return status;
}
