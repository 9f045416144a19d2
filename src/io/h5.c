#include "io/h5.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/layout.h"

gmf_type gmf_type_of(gmf_type_kind kind)
{
  static const int64_t sizes[] = {[GMF_F4] = 4, [GMF_F8] = 8, [GMF_I4] = 4, [GMF_I8] = 8, [GMF_U8] = 8, [GMF_TEXT] = 1};
  return (gmf_type){kind, sizes[kind]};
}

gmf_type gmf_type_text(int64_t length) { return (gmf_type){GMF_TEXT, length < 1 ? 1 : length}; }

hid_t gmf_type_h5(gmf_type type)
{
  hid_t id = H5I_INVALID_HID;
  switch (type.kind) {
    case GMF_F4: return H5Tcopy(H5T_IEEE_F32LE);
    case GMF_F8: return H5Tcopy(H5T_IEEE_F64LE);
    case GMF_I4: return H5Tcopy(H5T_STD_I32LE);
    case GMF_I8: return H5Tcopy(H5T_STD_I64LE);
    case GMF_U8: return H5Tcopy(H5T_STD_U64LE);
    case GMF_TEXT:
      id = H5Tcopy(H5T_C_S1);
      H5Tset_size(id, (size_t)type.size);
      H5Tset_cset(id, H5T_CSET_UTF8);
      H5Tset_strpad(id, H5T_STR_NULLPAD);
      return id;
  }
  return id;
}

void gmf_h5_setup(void)
{
  H5dont_atexit();
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void gmf_h5_version(char *out, size_t size)
{
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  snprintf(out, size, "HDF5 %u.%u.%u", major, minor, release);
}

static herr_t keep_innermost(unsigned n, const H5E_error2_t *entry, void *text)
{
  (void)n;
  if (entry->desc != NULL && entry->desc[0] != '\0') snprintf(text, 512, "%s", entry->desc);
  return 0;
}

const char *gmf_h5_reason(void)
{
  static _Thread_local char text[512];
  static const char errno_text[] = "error message = '";
  snprintf(text, sizeof text, "no reason given by HDF5");
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, text);
  char *system = strstr(text, errno_text); /* of a failed system call, whose name and time say less */
  if (system != NULL) {
    system += sizeof errno_text - 1;
    system[strcspn(system, "'")] = '\0';
    return system;
  }
  text[strcspn(text, "\n")] = '\0';
  return text;
}

/* What a file that is no HDF5 looks like, from its first bytes. */
static const char *looks_like(const char *path)
{
  unsigned char head[512] = {0};
  FILE *file = fopen(path, "rb");
  size_t n = file != NULL ? fread(head, 1, sizeof head - 1, file) : 0;
  if (file != NULL) fclose(file);
  if (n == 0) return "it is empty";
  const char *text = (const char *)head;
  while (*text == ' ' || *text == '\n' || *text == '\r' || *text == '\t') text++;
  if (text[0] == '<' && (strncasecmp(text, "<!doctype html", 14) == 0 || strcasestr(text, "<html") != NULL))
    return "it is an HTML page, perhaps a download that failed";
  if (head[0] == 0x1f && head[1] == 0x8b) return "it is gzip-compressed";
  if (memcmp(head, "\x28\xb5\x2f\xfd", 4) == 0) return "it is zstd-compressed";
  if (memcmp(head, "PK\x03\x04", 4) == 0) return "it is a zip archive";
  for (size_t i = 0; i < n; i++)
    if (head[i] == 0) return "it is some other binary format";
  return "it looks like text; 'gridmf import' reads ratings from text";
}

static gmf_status check_readable(const char *path, gmf_error *err)
{
  struct stat st;
  if (stat(path, &st) != 0) return gmf_fail(err, GMF_ERR_NO_INPUT, "%s: %s", path, strerror(errno));
  if (S_ISDIR(st.st_mode)) return gmf_fail(err, GMF_ERR_NO_INPUT, "%s: is a folder, not a file", path);
  if (!S_ISREG(st.st_mode)) return gmf_fail(err, GMF_ERR_NO_INPUT, "%s: is no regular file", path);
  if (access(path, R_OK) != 0) return gmf_fail(err, GMF_ERR_NO_INPUT, "%s: %s", path, strerror(errno));
  return GMF_OK;
}

static const char *const FORMATS[] = {GMF_FORMAT_DATASET, GMF_FORMAT_MODEL, GMF_FORMAT_RECS};

gmf_status gmf_h5_format(hid_t file, const char *path, const char **format, gmf_error *err)
{
  char text[64] = "";
  if (gmf_h5_attr_exists(file, "/", GMF_ATTR_FORMAT) &&
      gmf_h5_attr_text(file, "/", GMF_ATTR_FORMAT, text, sizeof text, NULL) == GMF_OK)
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
      if (strcmp(text, FORMATS[i]) == 0) {
        *format = FORMATS[i];
        return GMF_OK;
      }
  return gmf_fail(err, GMF_ERR_DATA, "%s: an HDF5 file, but not one that gridmf wrote (no known @%s)", path,
                  GMF_ATTR_FORMAT);
}

static gmf_status check_format(hid_t file, const char *path, const char *wanted, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *found = NULL;
  char version[32] = "";
  int64_t complete = 0;

  GMF_TRY(gmf_h5_format(file, path, &found, err));
  if (wanted != NULL && strcmp(found, wanted) != 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: is a %s, but a %s is needed here", path, found, wanted));
  GMF_TRY(gmf_h5_attr_text(file, "/", GMF_ATTR_VERSION, version, sizeof version, err));
  if (strtol(version, NULL, 10) != GMF_FORMAT_MAJOR)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: format version %s; this program reads version %d", path, version,
                     GMF_FORMAT_MAJOR));
  if (gmf_h5_attr_exists(file, "/", GMF_ATTR_COMPLETE))
    GMF_TRY(gmf_h5_attr_i64(file, "/", GMF_ATTR_COMPLETE, &complete, err));
  if (complete != 1)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: is not complete; the run that wrote it did not finish", path));
cleanup:
  return status;
}

/* HDF5 says of a file that ends too early "truncated file: eof = HAS, sblock->base_addr = 0, stored_eof = WANTS". */
static gmf_status fail_open(const char *path, gmf_error *err)
{
  static const char has_text[] = "truncated file: eof = ", wants_text[] = "stored_eof = ";
  const char *reason = gmf_h5_reason(), *has = strstr(reason, has_text), *wants = strstr(reason, wants_text);
  if (has == NULL || wants == NULL)
    return gmf_fail(err, GMF_ERR_DATA, "%s: cannot be opened as HDF5: %s", path, reason);
  return gmf_fail(err, GMF_ERR_DATA,
                  "%s: is cut off: %lld of its %lld bytes are there; copy it again, or make it again", path,
                  strtoll(has + sizeof has_text - 1, NULL, 10), strtoll(wants + sizeof wants_text - 1, NULL, 10));
}

gmf_status gmf_h5_open(const char *path, const char *format, hid_t *file, gmf_error *err)
{
  gmf_status status = GMF_OK;

  *file = H5I_INVALID_HID;
  GMF_TRY(check_readable(path, err));
  htri_t is_hdf5 = H5Fis_hdf5(path);
  if (is_hdf5 == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: is not an HDF5 file: %s", path, looks_like(path)));
  *file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  if (*file < 0) GMF_TRY(fail_open(path, err));
  GMF_TRY(check_format(*file, path, format, err));

cleanup:
  if (status != GMF_OK && *file >= 0) {
    H5Fclose(*file);
    *file = H5I_INVALID_HID;
  }
  return status;
}

gmf_status gmf_h5_model_damaged(const char *path, const char *what, gmf_error *err)
{
  return gmf_fail(err, GMF_ERR_DATA, "%s: the model is damaged: %s; run 'gridmf verify'", path, what);
}

bool gmf_h5_exists(hid_t file, const char *name)
{
  char path[256];
  snprintf(path, sizeof path, "%s", name);
  for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    if (H5Lexists(file, path, H5P_DEFAULT) <= 0) return false;
    *slash = '/';
  }
  return H5Lexists(file, path, H5P_DEFAULT) > 0;
}

/* Which of our types a type in a file is. */
static bool type_from_h5(hid_t id, gmf_type *out)
{
  size_t size = H5Tget_size(id);
  switch (H5Tget_class(id)) {
    case H5T_FLOAT: *out = gmf_type_of(size == 4 ? GMF_F4 : GMF_F8); return size == 4 || size == 8;
    case H5T_INTEGER:
      if (H5Tget_sign(id) == H5T_SGN_NONE && size == 8)
        *out = gmf_type_of(GMF_U8);
      else
        *out = gmf_type_of(size == 4 ? GMF_I4 : GMF_I8);
      return size == 4 || size == 8;
    case H5T_STRING: *out = gmf_type_text((int64_t)size); return H5Tis_variable_str(id) == 0 && size > 0;
    default: return false;
  }
}

/* A dataset can claim any size without storing it; none of ours compresses better than deflate can. */
static bool is_stored(const gmf_h5_array *a)
{
  const int64_t best_ratio = 1100;
  int64_t bytes = 0;
  if (__builtin_mul_overflow(a->dims[0], a->dims[1], &bytes) || __builtin_mul_overflow(bytes, a->type.size, &bytes))
    return false;
  return (uint64_t)(bytes / best_ratio) <= H5Dget_storage_size(a->id);
}

gmf_status gmf_h5_array_open(hid_t file, const char *path, const char *name, int n_dims, gmf_h5_array *out,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID;
  hsize_t dims[2] = {0, 1};

  *out = (gmf_h5_array){.id = H5I_INVALID_HID, .dims = {0, 1}};
  if (!gmf_h5_exists(file, name)) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: has no dataset /%s", path, name));
  out->id = H5Dopen2(file, name, H5P_DEFAULT);
  if (out->id < 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s: %s", path, name, gmf_h5_reason()));
  type = H5Dget_type(out->id);
  space = H5Dget_space(out->id);
  out->n_dims = H5Sget_simple_extent_ndims(space);
  if (type < 0 || out->n_dims < 1 || out->n_dims > 2 || !type_from_h5(type, &out->type) ||
      H5Sget_simple_extent_dims(space, dims, NULL) < 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s has a type or shape that gridmf does not write", path, name));
  if (n_dims != 0 && out->n_dims != n_dims)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s has %d dimensions, but %d is right", path, name, out->n_dims, n_dims));
  if (dims[0] > INT64_MAX || dims[1] > INT64_MAX)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s has an impossible shape", path, name));
  out->dims[0] = (int64_t)dims[0];
  out->dims[1] = (int64_t)dims[1];
  if (!is_stored(out))
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                     "%s: is damaged: /%s says it has %" PRId64 " x %" PRId64 " values, but they are not stored", path,
                     name, out->dims[0], out->dims[1]));

cleanup:
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  if (status != GMF_OK) gmf_h5_array_close(out);
  return status;
}

void gmf_h5_array_close(gmf_h5_array *array)
{
  if (array->id >= 0) H5Dclose(array->id);
  array->id = H5I_INVALID_HID;
}

/* "FILE: /dataset" for messages. */
static void array_name(const gmf_h5_array *array, char *out, size_t size)
{
  char file[300] = "?", name[200] = "?";
  H5Fget_name(array->id, file, sizeof file);
  H5Iget_name(array->id, name, sizeof name);
  snprintf(out, size, "%s: %s", file, name);
}

gmf_status gmf_h5_array_read(const gmf_h5_array *array, int64_t begin, int64_t n, gmf_type_kind as, void *out,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t type = H5I_INVALID_HID, from = H5I_INVALID_HID, to = H5I_INVALID_HID;
  char name[520];

  if (n == 0) return GMF_OK;
  array_name(array, name, sizeof name);
  if (begin < 0 || n < 0 || begin > array->dims[0] - n)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: rows %" PRId64 " to %" PRId64 " of %" PRId64 " do not exist", name, begin,
                     begin + n - 1, array->dims[0]));
  if ((array->type.kind == GMF_TEXT) != (as == GMF_TEXT))
    GMF_TRY(
        gmf_fail(err, GMF_ERR_DATA, "%s: holds %s", name, as == GMF_TEXT ? "numbers, not text" : "text, not numbers"));
  hsize_t start[2] = {(hsize_t)begin, 0}, count[2] = {(hsize_t)n, (hsize_t)array->dims[1]};
  /* Text is read in the type it is stored in: HDF5 converts nothing between ASCII and UTF-8. */
  type = as == GMF_TEXT ? H5Dget_type(array->id) : gmf_type_h5(gmf_type_of(as));
  from = H5Dget_space(array->id);
  to = H5Screate_simple(array->n_dims, count, NULL);
  if (type < 0 || from < 0 || to < 0 || H5Sselect_hyperslab(from, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
      H5Dread(array->id, type, to, from, H5P_DEFAULT, out) < 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: reading failed: %s", name, gmf_h5_reason()));

cleanup:
  if (type >= 0) H5Tclose(type);
  if (from >= 0) H5Sclose(from);
  if (to >= 0) H5Sclose(to);
  return status;
}

gmf_status gmf_h5_read_new(hid_t file, const char *path, const char *name, gmf_type_kind as, void **out,
                           int64_t dims[2], gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array array = {.id = H5I_INVALID_HID};

  *out = NULL;
  GMF_TRY(gmf_h5_array_open(file, path, name, 0, &array, err));
  size_t size = (size_t)(as == GMF_TEXT ? array.type.size : gmf_type_of(as).size);
  int64_t n = 0;
  if (__builtin_mul_overflow(array.dims[0], array.dims[1], &n))
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s has an impossible shape", path, name));
  *out = gmf_malloc(n, size);
  if (*out == NULL) GMF_TRY(gmf_out_of_memory(err, n, size, name));
  GMF_TRY(gmf_h5_array_read(&array, 0, array.dims[0], as, *out, err));
  if (dims != NULL) memcpy(dims, array.dims, sizeof array.dims);

cleanup:
  gmf_h5_array_close(&array);
  if (status != GMF_OK) GMF_FREE(*out);
  return status;
}

bool gmf_h5_attr_exists(hid_t file, const char *object, const char *name)
{
  return H5Aexists_by_name(file, object, name, H5P_DEFAULT) > 0;
}

/* "FILE: OBJECT" for messages. */
static void object_name(hid_t file, const char *object, char *out, size_t size)
{
  char path[300] = "?";
  H5Fget_name(file, path, sizeof path);
  snprintf(out, size, "%s: %s", path, object);
}

static gmf_status read_attr(hid_t file, const char *object, const char *name, hid_t type, H5T_class_t class, void *out,
                            gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t attr = H5I_INVALID_HID, stored = H5I_INVALID_HID, space = H5I_INVALID_HID;
  char where[520];

  object_name(file, object, where, sizeof where);
  if (!gmf_h5_attr_exists(file, object, name))
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s has no attribute @%s", where, name));
  attr = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
  stored = H5Aget_type(attr);
  space = H5Aget_space(attr);
  H5T_class_t found = H5Tget_class(stored);
  bool number = found == H5T_INTEGER || found == H5T_FLOAT;
  if (attr < 0 || stored < 0 || space < 0 || (class == H5T_STRING ? found != H5T_STRING : !number) ||
      H5Sget_simple_extent_npoints(space) != 1 || H5Aread(attr, type, out) < 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: attribute @%s cannot be read as %s", where, name,
                     class == H5T_STRING ? "text" : "a number"));

cleanup:
  if (space >= 0) H5Sclose(space);
  if (stored >= 0) H5Tclose(stored);
  if (attr >= 0) H5Aclose(attr);
  return status;
}

gmf_status gmf_h5_attr_i64(hid_t file, const char *object, const char *name, int64_t *out, gmf_error *err)
{
  return read_attr(file, object, name, H5T_NATIVE_INT64, H5T_INTEGER, out, err);
}

gmf_status gmf_h5_attr_f64(hid_t file, const char *object, const char *name, double *out, gmf_error *err)
{
  return read_attr(file, object, name, H5T_NATIVE_DOUBLE, H5T_FLOAT, out, err);
}

gmf_status gmf_h5_attr_text(hid_t file, const char *object, const char *name, char *out, size_t size, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *text = NULL;
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);

  GMF_TRY(read_attr(file, object, name, type, H5T_STRING, &text, err));
  snprintf(out, size, "%s", text != NULL ? text : "");
  H5free_memory(text);

cleanup:
  H5Tclose(type);
  return status;
}

static gmf_status write_attr(hid_t file, const char *object, const char *name, hid_t type, const void *value, int64_t n,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  hsize_t dims[1] = {(hsize_t)(n < 0 ? 0 : n)};
  hid_t space = n < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, dims, NULL);
  hid_t attr = H5Acreate_by_name(file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  if (space < 0 || attr < 0 || H5Awrite(attr, type, value) < 0)
    status = gmf_fail(err, GMF_ERR_IO, "writing attribute @%s of %s failed: %s", name, object, gmf_h5_reason());
  if (attr >= 0) H5Aclose(attr);
  if (space >= 0) H5Sclose(space);
  return status;
}

gmf_status gmf_h5_write_attr_text(hid_t file, const char *object, const char *name, const char *value, gmf_error *err)
{
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  gmf_status status = write_attr(file, object, name, type, &value, -1, err);
  H5Tclose(type);
  return status;
}

gmf_status gmf_h5_write_attr_i64(hid_t file, const char *object, const char *name, const int64_t *values, int64_t n,
                                 gmf_error *err)
{
  return write_attr(file, object, name, H5T_STD_I64LE, values, n, err);
}

gmf_status gmf_h5_write_attr_f64(hid_t file, const char *object, const char *name, const double *values, int64_t n,
                                 gmf_error *err)
{
  return write_attr(file, object, name, H5T_IEEE_F64LE, values, n, err);
}
