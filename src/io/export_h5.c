/*
 * h5ad (https://anndata.readthedocs.io, "On-disk format", anndata 0.8 and later) and what ann-benchmarks reads. Users
 * are AnnData's observations, items its variables.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/export_internal.h"
#include "io/h5_make.h"
#include "io/layout.h"

static gmf_status create(const char *out, hid_t *file, gmf_error *err)
{
  hid_t access = gmf_h5_make_access();
  *file = H5Fcreate(out, H5F_ACC_TRUNC, H5P_DEFAULT, access);
  H5Pclose(access);
  return *file >= 0 ? GMF_OK : gmf_fail(err, GMF_ERR_CREATE, "%s: cannot be made: %s", out, gmf_h5_reason());
}

static gmf_status finish(hid_t file, const char *out, gmf_status status, gmf_error *err)
{
  if (H5Fclose(file) >= 0 || status != GMF_OK) return status;
  return gmf_fail(err, GMF_ERR_IO, "%s: cannot be closed: %s", out, gmf_h5_reason());
}

/* Rows [begin, begin + n) of a dataset of `file`. */
static gmf_status write_rows(hid_t file, const char *name, hid_t type, int n_dims, int64_t begin, int64_t n,
                             int64_t n_cols, const void *rows, gmf_error *err)
{
  hsize_t start[2] = {(hsize_t)begin, 0}, count[2] = {(hsize_t)n, (hsize_t)n_cols};
  hid_t id = H5Dopen2(file, name, H5P_DEFAULT), in_file = H5Dget_space(id);
  hid_t in_memory = H5Screate_simple(n_dims, count, NULL);
  H5Sselect_hyperslab(in_file, H5S_SELECT_SET, start, NULL, count, NULL);
  herr_t code = n > 0 ? H5Dwrite(id, type, in_memory, in_file, H5P_DEFAULT, rows) : 0;
  H5Sclose(in_memory);
  H5Sclose(in_file);
  if (id >= 0 && H5Dclose(id) < 0) code = -1;
  return code >= 0 ? GMF_OK : gmf_fail(err, GMF_ERR_IO, "/%s cannot be written: %s", name, gmf_h5_reason());
}

/* ---- h5ad -------------------------------------------------------------------------------------------------------- */

static gmf_status mark(hid_t file, const char *object, const char *type, const char *version, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_h5_write_attr_text(file, object, GMF_ATTR_ENCODING, type, err));
  GMF_TRY(gmf_h5_write_attr_text(file, object, GMF_ATTR_ENCODING_VERSION, version, err));
cleanup:
  return status;
}

/* An array of the source under another name, in the type it has. */
static gmf_status copy_array(const gmf_export_source *s, const char *from, hid_t file, const char *to, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array a = {.id = H5I_INVALID_HID};
  hid_t type = H5I_INVALID_HID;
  char *piece = NULL;
  GMF_TRY(gmf_h5_array_open(s->file, s->path, from, 0, &a, err));
  int64_t rows = gmf_export_piece(&a);
  type = gmf_type_h5(a.type);
  GMF_TRY(GMF_NEW(piece, rows * a.type.size * a.dims[1], err));
  GMF_TRY(gmf_h5_make_array(file, to, a.type, a.dims[0], a.n_dims == 2 ? a.dims[1] : 0, err));
  for (int64_t begin = 0; begin < a.dims[0]; begin += rows) {
    int64_t n = gmf_min64(rows, a.dims[0] - begin);
    GMF_TRY(gmf_h5_array_read(&a, begin, n, a.type.kind, piece, err));
    GMF_TRY(write_rows(file, to, type, a.n_dims, begin, n, a.dims[1], piece, err));
  }
  GMF_TRY(mark(file, to, "array", "0.2.0", err));
cleanup:
  if (type >= 0) H5Tclose(type);
  gmf_free(piece);
  gmf_h5_array_close(&a);
  return status;
}

/* A dataset of strings of any length, n of them. */
static gmf_status make_strings(hid_t file, const char *name, hid_t type, int64_t n, gmf_error *err)
{
  hsize_t dims[1] = {(hsize_t)n};
  hid_t space = H5Screate_simple(1, dims, NULL);
  hid_t id = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Sclose(space);
  if (id < 0 || H5Dclose(id) < 0) return gmf_fail(err, GMF_ERR_IO, "/%s cannot be made: %s", name, gmf_h5_reason());
  return mark(file, name, "string-array", "0.2.0", err);
}

static hid_t string_type(void)
{
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

/* The ids of a side as the index of a data frame. */
static gmf_status write_index(const gmf_export_source *s, gmf_side side, hid_t file, const char *name, gmf_error *err)
{
  enum { PIECE = 4096 };
  gmf_status status = GMF_OK;
  gmf_id_reader ids = {.array.id = -1};
  char id[GMF_EXPORT_ID], **texts = NULL;
  hid_t type = string_type();
  GMF_TRY(GMF_NEW_ZERO(texts, PIECE, err));
  GMF_TRY(gmf_id_reader_open(s, side, &ids, err));
  GMF_TRY(make_strings(file, name, type, ids.array.dims[0], err));
  for (int64_t begin = 0; begin < ids.array.dims[0]; begin += PIECE) {
    int64_t n = gmf_min64(PIECE, ids.array.dims[0] - begin);
    for (int64_t j = 0; j < n; j++) {
      GMF_TRY(gmf_id_reader_text(&ids, begin + j, false, id, err));
      int64_t size = (int64_t)strlen(id) + 1;
      gmf_free(texts[j]);
      GMF_TRY(GMF_NEW(texts[j], size, err));
      memcpy(texts[j], id, (size_t)size);
    }
    GMF_TRY(write_rows(file, name, type, 1, begin, n, 1, texts, err));
  }
cleanup:
  H5Tclose(type);
  for (int64_t j = 0; texts != NULL && j < PIECE; j++) gmf_free(texts[j]);
  gmf_free(texts);
  gmf_id_reader_close(&ids);
  return status;
}

/* The attribute "column-order" of a data frame that has only its index. */
static gmf_status write_no_columns(hid_t file, const char *frame, gmf_error *err)
{
  hsize_t none[1] = {0};
  hid_t type = string_type(), space = H5Screate_simple(1, none, NULL);
  hid_t attr = H5Acreate_by_name(file, frame, "column-order", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Sclose(space);
  H5Tclose(type);
  if (attr < 0 || H5Aclose(attr) < 0)
    return gmf_fail(err, GMF_ERR_IO, "/%s cannot be described: %s", frame, gmf_h5_reason());
  return GMF_OK;
}

static gmf_status write_frame(const gmf_export_source *s, gmf_side side, hid_t file, const char *frame, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[32];
  snprintf(name, sizeof name, "%s/_index", frame);
  GMF_TRY(gmf_h5_make_group(file, frame, err));
  GMF_TRY(mark(file, frame, "dataframe", "0.2.0", err));
  GMF_TRY(gmf_h5_write_attr_text(file, frame, "_index", "_index", err));
  GMF_TRY(write_no_columns(file, frame, err));
  GMF_TRY(write_index(s, side, file, name, err));
cleanup:
  return status;
}

/* X: the ratings, or of a model the ratings it was trained on, where it has them. */
static gmf_status write_matrix(const gmf_export_source *s, const char *group, const int64_t shape[2], hid_t file,
                               gmf_error *err)
{
  static const char *const MEMBERS[] = {GMF_CSR_INDPTR, GMF_CSR_INDICES, GMF_CSR_DATA};
  gmf_status status = GMF_OK;
  char from[64], to[64];
  if (!gmf_h5_exists(s->file, group)) return GMF_OK;
  GMF_TRY(gmf_h5_make_group(file, "X", err));
  GMF_TRY(mark(file, "X", GMF_CSR_ENCODING, GMF_CSR_ENCODING_VERSION, err));
  GMF_TRY(gmf_h5_write_attr_i64(file, "X", GMF_ATTR_SHAPE, shape, 2, err));
  for (size_t m = 0; m < sizeof MEMBERS / sizeof *MEMBERS; m++) {
    snprintf(from, sizeof from, "%s/%s", group, MEMBERS[m]);
    snprintf(to, sizeof to, "X/%s", MEMBERS[m]);
    GMF_TRY(copy_array(s, from, file, to, err));
  }
cleanup:
  return status;
}

gmf_status gmf_export_h5ad(const gmf_export_source *s, const char *out, gmf_error *err)
{
  static const char *const FRAMES[] = {"obs", "var"}, *const FACTORS[] = {"obsm/factors", "varm/factors"};
  static const char *const GROUPS[] = {"obsm", "varm", "obsp", "varp", "layers", "uns"};
  gmf_status status = GMF_OK;
  bool is_model = strcmp(s->format, GMF_FORMAT_MODEL) == 0;
  int64_t shape[2] = {0};
  hid_t file = H5I_INVALID_HID;

  GMF_TRY(create(out, &file, err));
  GMF_TRY(mark(file, "/", "anndata", "0.1.0", err));
  for (size_t g = 0; g < sizeof GROUPS / sizeof *GROUPS; g++) {
    GMF_TRY(gmf_h5_make_group(file, GROUPS[g], err));
    GMF_TRY(mark(file, GROUPS[g], "dict", "0.1.0", err));
  }
  for (int side = 0; side < GMF_N_SIDES; side++) {
    char name[32];
    gmf_id_reader ids;
    GMF_TRY(gmf_id_reader_open(s, (gmf_side)side, &ids, err));
    shape[side] = ids.array.dims[0];
    gmf_id_reader_close(&ids);
    GMF_TRY(write_frame(s, (gmf_side)side, file, FRAMES[side], err));
    snprintf(name, sizeof name, "%s/%s", gmf_side_name((gmf_side)side), GMF_NAME_FACTORS);
    if (is_model) GMF_TRY(copy_array(s, name, file, FACTORS[side], err));
  }
  GMF_TRY(write_matrix(s, is_model ? GMF_GROUP_SEEN : GMF_GROUP_RATINGS, shape, file, err));
cleanup:
  return file >= 0 ? finish(file, out, status, err) : status;
}

/* ---- ann-benchmarks ---------------------------------------------------------------------------------------------- */

gmf_status gmf_export_neighbors(const gmf_neighbors *n, const char *out, gmf_error *err)
{
  const struct {
    const char *name;
    gmf_type_kind kind;
    int64_t n_rows, n_cols;
    const void *rows;
  } arrays[] = {{"train", GMF_F4, n->n_points, n->dimension, n->points},
                {"test", GMF_F4, n->n_queries, n->dimension, n->queries},
                {"neighbors", GMF_I4, n->n_queries, n->k, n->neighbors},
                {"distances", GMF_F4, n->n_queries, n->k, n->distances}};
  gmf_status status = GMF_OK;
  hid_t file = H5I_INVALID_HID;
  GMF_TRY(create(out, &file, err));
  GMF_TRY(gmf_h5_write_attr_text(file, "/", "type", "dense", err));
  GMF_TRY(gmf_h5_write_attr_text(file, "/", "distance", "dot", err));
  GMF_TRY(gmf_h5_write_attr_text(file, "/", "point_type", "float", err));
  GMF_TRY(gmf_h5_write_attr_i64(file, "/", "dimension", &n->dimension, -1, err));
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) {
    hid_t type = gmf_type_h5(gmf_type_of(arrays[a].kind));
    status =
        gmf_h5_make_array(file, arrays[a].name, gmf_type_of(arrays[a].kind), arrays[a].n_rows, arrays[a].n_cols, err);
    if (status == GMF_OK)
      status = write_rows(file, arrays[a].name, type, 2, 0, arrays[a].n_rows, arrays[a].n_cols, arrays[a].rows, err);
    H5Tclose(type);
    GMF_TRY(status);
  }
cleanup:
  return file >= 0 ? finish(file, out, status, err) : status;
}
