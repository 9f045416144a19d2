#include "io/feature_write.h"

#include "base/memory.h"
#include "base/narrow.h"
#include "io/csr_write.h"
#include "io/layout.h"

enum { NAME_BYTES = 96 };

void gmf_side_features_free(gmf_side_features *features)
{
  gmf_feature_names_free(&features->names);
  gmf_feature_rows_free(&features->rows);
}

gmf_status gmf_side_features_read(const gmf_grid *grid, hid_t file, const char *path, gmf_side side, int64_t begin,
                                  int64_t n, gmf_side_features *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *out = (gmf_side_features){0};
  status = gmf_features_read_names(file, path, side, &out->names, err);
  if (status == GMF_OK) status = gmf_features_read_rows(file, path, side, out->names.n, begin, n, &out->rows, err);
  GMF_TRY(gmf_agree(grid, status, err));
cleanup:
  if (status != GMF_OK) gmf_side_features_free(out);
  return status;
}

static const char *member(gmf_side side, const char *name, char out[NAME_BYTES])
{
  snprintf(out, NAME_BYTES, "%s/%s", gmf_side_name(side), name);
  return out;
}

void gmf_features_declare(gmf_writer *w, gmf_side side, int64_t n_rows, int64_t nnz, const gmf_feature_names *names)
{
  char name[NAME_BYTES];
  gmf_csr_declare(w, member(side, GMF_NAME_FEATURES, name), n_rows, names->n, nnz, 0);
  gmf_writer_add(w, member(side, GMF_NAME_FEATURE_NAMES, name), gmf_type_text(names->size), names->n, 0);
  gmf_writer_add(w, member(side, GMF_NAME_FEATURE_MEAN, name), gmf_type_of(GMF_F8), names->n, 0);
  gmf_writer_add(w, member(side, GMF_NAME_FEATURE_SCALE, name), gmf_type_of(GMF_F8), names->n, 0);
}

gmf_status gmf_features_write(const gmf_grid *grid, gmf_writer *w, gmf_side side, const gmf_side_features *f,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[NAME_BYTES];
  int64_t *columns = NULL, nnz = f->rows.indptr[f->rows.n];
  GMF_TRY(gmf_agree(grid, GMF_NEW(columns, nnz, err), err));
  for (int64_t j = 0; j < nnz; j++) columns[j] = f->rows.columns[j];
  gmf_csr_rows rows = {.row_begin = f->rows.begin,
                       .n_rows = f->rows.n,
                       .indptr = f->rows.indptr,
                       .indices = columns,
                       .data = f->rows.values};
  GMF_TRY(gmf_csr_write(grid, w, member(side, GMF_NAME_FEATURES, name), f->names.n, &rows, err));
  GMF_TRY(gmf_writer_write_root(w, member(side, GMF_NAME_FEATURE_NAMES, name), f->names.text, err));
  GMF_TRY(gmf_writer_write_root(w, member(side, GMF_NAME_FEATURE_MEAN, name), f->names.mean, err));
  GMF_TRY(gmf_writer_write_root(w, member(side, GMF_NAME_FEATURE_SCALE, name), f->names.scale, err));
cleanup:
  gmf_free(columns);
  return status;
}
