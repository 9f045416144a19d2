#include "io/features.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/layout.h"

enum { NAME_BYTES = 96 };

/* ---- names ------------------------------------------------------------------------------------------------------- */

gmf_status gmf_feature_names_new(int64_t n, int64_t size, gmf_feature_names *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *out = (gmf_feature_names){.n = n, .size = size};
  out->text = gmf_calloc(n, (size_t)size);
  if (out->text == NULL) GMF_TRY(gmf_out_of_memory(err, n, (size_t)size, "names of features"));
  GMF_TRY(GMF_NEW_ZERO(out->mean, n, err));
  GMF_TRY(GMF_NEW(out->scale, n, err));
  for (int64_t j = 0; j < n; j++) out->scale[j] = 1;
cleanup:
  if (status != GMF_OK) gmf_feature_names_free(out);
  return status;
}

void gmf_feature_names_free(gmf_feature_names *names)
{
  gmf_free(names->text);
  gmf_free(names->mean);
  gmf_free(names->scale);
  *names = (gmf_feature_names){0};
}

int64_t gmf_feature_find(const gmf_feature_names *names, const char *name, int64_t length)
{
  for (int64_t j = 0; j < names->n && length <= names->size; j++) {
    const char *stored = names->text + j * names->size;
    if (memcmp(stored, name, (size_t)length) == 0 && (length == names->size || stored[length] == '\0')) return j;
  }
  return -1;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* "items/features", "items/features/data": of a side, and of a csr group's member. */
static const char *side_name(gmf_side side, const char *name, const char *member, char out[NAME_BYTES])
{
  snprintf(out, NAME_BYTES, "%s/%s%s%s", gmf_side_name(side), name, member[0] != '\0' ? "/" : "", member);
  return out;
}

bool gmf_features_exist(hid_t file, gmf_side side)
{
  char name[NAME_BYTES];
  return gmf_h5_exists(file, side_name(side, GMF_NAME_FEATURES, GMF_CSR_INDPTR, name));
}

static gmf_status length_of(hid_t file, const char *path, const char *name, int64_t *n, gmf_error *err)
{
  gmf_h5_array array = {.id = H5I_INVALID_HID};
  gmf_status status = gmf_h5_array_open(file, path, name, 1, &array, err);
  *n = status == GMF_OK ? array.dims[0] : 0;
  gmf_h5_array_close(&array);
  return status;
}

gmf_status gmf_features_measure(hid_t file, const char *path, gmf_side side, int64_t *n_features, int64_t *nnz,
                                gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[NAME_BYTES];
  *n_features = *nnz = 0;
  if (!gmf_features_exist(file, side)) return GMF_OK;
  GMF_TRY(length_of(file, path, side_name(side, GMF_NAME_FEATURE_NAMES, "", name), n_features, err));
  GMF_TRY(length_of(file, path, side_name(side, GMF_NAME_FEATURES, GMF_CSR_DATA, name), nnz, err));
cleanup:
  return status;
}

/* A column of numbers of all features. */
static gmf_status read_numbers(hid_t file, const char *path, gmf_side side, const char *what, int64_t n, double *out,
                               gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array array = {.id = H5I_INVALID_HID};
  char name[NAME_BYTES];
  GMF_TRY(gmf_h5_array_open(file, path, side_name(side, what, "", name), 1, &array, err));
  if (array.dims[0] != n)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s has %" PRId64 " entries for %" PRId64 " features", path, name,
                     array.dims[0], n));
  GMF_TRY(gmf_h5_array_read(&array, 0, n, GMF_F8, out, err));
  for (int64_t j = 0; j < n; j++)
    if (!isfinite(out[j]))
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s[%" PRId64 "] is not a finite number", path, name, j));
cleanup:
  gmf_h5_array_close(&array);
  return status;
}

gmf_status gmf_features_read_names(hid_t file, const char *path, gmf_side side, gmf_feature_names *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array array = {.id = H5I_INVALID_HID};
  char name[NAME_BYTES];
  *out = (gmf_feature_names){0};
  GMF_TRY(gmf_h5_array_open(file, path, side_name(side, GMF_NAME_FEATURE_NAMES, "", name), 1, &array, err));
  if (array.type.kind != GMF_TEXT || array.dims[0] > INT32_MAX)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s is no list of names", path, name));
  GMF_TRY(gmf_feature_names_new(array.dims[0], array.type.size, out, err));
  GMF_TRY(gmf_h5_array_read(&array, 0, out->n, GMF_TEXT, out->text, err));
  GMF_TRY(read_numbers(file, path, side, GMF_NAME_FEATURE_MEAN, out->n, out->mean, err));
  GMF_TRY(read_numbers(file, path, side, GMF_NAME_FEATURE_SCALE, out->n, out->scale, err));
cleanup:
  gmf_h5_array_close(&array);
  if (status != GMF_OK) gmf_feature_names_free(out);
  return status;
}

/* indptr, read where it begins in the file, begins at 0 then; what is wrong with the rows, NULL for nothing. */
static const char *check_rows(gmf_feature_rows *rows, int64_t first, int64_t nnz)
{
  bool good = first >= 0 && rows->indptr[rows->n] <= nnz;
  for (int64_t r = 0; r < rows->n && good; r++) good = rows->indptr[r] <= rows->indptr[r + 1];
  if (!good) return "its indptr does not ascend within its data";
  for (int64_t r = 0; r <= rows->n; r++) rows->indptr[r] -= first;
  return NULL;
}

static const char *check_values(const gmf_feature_rows *rows)
{
  for (int64_t r = 0; r < rows->n; r++)
    for (int64_t j = rows->indptr[r]; j < rows->indptr[r + 1]; j++) {
      if (rows->columns[j] < 0 || rows->columns[j] >= rows->n_features) return "a column is out of range";
      if (j > rows->indptr[r] && rows->columns[j] <= rows->columns[j - 1]) return "columns of a row do not ascend";
      if (!(fabsf(rows->values[j]) < GMF_VALUE_LIMIT)) return "a value is not a finite number below 1e15";
    }
  return NULL;
}

gmf_status gmf_features_read_rows(hid_t file, const char *path, gmf_side side, int64_t n_features, int64_t begin,
                                  int64_t n, gmf_feature_rows *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array indptr = {.id = H5I_INVALID_HID}, indices = {.id = H5I_INVALID_HID}, data = {.id = H5I_INVALID_HID};
  char name[NAME_BYTES], group[NAME_BYTES];
  const char *wrong = NULL;

  *out = (gmf_feature_rows){.n_features = n_features, .begin = begin, .n = n};
  side_name(side, GMF_NAME_FEATURES, "", group);
  GMF_TRY(gmf_h5_array_open(file, path, side_name(side, GMF_NAME_FEATURES, GMF_CSR_INDPTR, name), 1, &indptr, err));
  GMF_TRY(gmf_h5_array_open(file, path, side_name(side, GMF_NAME_FEATURES, GMF_CSR_INDICES, name), 1, &indices, err));
  GMF_TRY(gmf_h5_array_open(file, path, side_name(side, GMF_NAME_FEATURES, GMF_CSR_DATA, name), 1, &data, err));
  if (indptr.dims[0] <= begin + n || indices.dims[0] != data.dims[0])
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s does not fit the ids in length", path, group));
  GMF_TRY(GMF_NEW(out->indptr, n + 1, err));
  GMF_TRY(gmf_h5_array_read(&indptr, begin, n + 1, GMF_I8, out->indptr, err));
  int64_t first = out->indptr[0], nnz = out->indptr[n] - first;
  wrong = check_rows(out, first, data.dims[0]);
  if (wrong != NULL) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s is damaged: %s", path, group, wrong));
  GMF_TRY(GMF_NEW(out->columns, nnz, err));
  GMF_TRY(GMF_NEW(out->values, nnz, err));
  GMF_TRY(gmf_h5_array_read(&indices, first, nnz, GMF_I4, out->columns, err));
  GMF_TRY(gmf_h5_array_read(&data, first, nnz, GMF_F4, out->values, err));
  wrong = check_values(out);
  if (wrong != NULL) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s is damaged: %s", path, group, wrong));
cleanup:
  gmf_h5_array_close(&indptr);
  gmf_h5_array_close(&indices);
  gmf_h5_array_close(&data);
  if (status != GMF_OK) gmf_feature_rows_free(out);
  return status;
}
