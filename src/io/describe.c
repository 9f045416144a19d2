#include "io/describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/h5.h"
#include "io/layout.h"

/* Adds attribute `name` of `object` to a JSON object, as text or number; other types are passed over. */
static void add_attribute(hid_t file, const char *object, const char *name, json_t *to)
{
  hid_t attr = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
  hid_t type = H5Aget_type(attr), space = H5Aget_space(attr);
  bool scalar = H5Sget_simple_extent_npoints(space) == 1;
  H5T_class_t class = H5Tget_class(type);
  if (scalar && class == H5T_STRING) {
    char text[4096];
    if (gmf_h5_attr_text(file, object, name, text, sizeof text, NULL) == GMF_OK)
      json_object_set_new(to, name, json_string(text));
  } else if (scalar && class == H5T_INTEGER) {
    int64_t value = 0;
    if (gmf_h5_attr_i64(file, object, name, &value, NULL) == GMF_OK) json_object_set_new(to, name, json_integer(value));
  } else if (scalar && class == H5T_FLOAT) {
    double value = 0;
    if (gmf_h5_attr_f64(file, object, name, &value, NULL) == GMF_OK) json_object_set_new(to, name, json_real(value));
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attr);
}

typedef struct attribute_visit {
  hid_t file;
  const char *object;
  json_t *to;
} attribute_visit;

static herr_t visit_attribute(hid_t location, const char *name, const H5A_info_t *info, void *data)
{
  (void)location;
  (void)info;
  attribute_visit *v = data;
  add_attribute(v->file, v->object, name, v->to);
  return 0;
}

static json_t *attributes_of(hid_t file, const char *object)
{
  attribute_visit v = {file, object, json_object()};
  hsize_t at = 0;
  H5Aiterate_by_name(file, object, H5_INDEX_NAME, H5_ITER_INC, &at, visit_attribute, &v, H5P_DEFAULT);
  return v.to;
}

static herr_t visit_object(hid_t file, const char *name, const H5O_info_t *info, void *data)
{
  json_t *arrays = data;
  if (info->type != H5O_TYPE_DATASET || strncmp(name, GMF_GROUP_INTEGRITY, strlen(GMF_GROUP_INTEGRITY)) == 0) return 0;
  static const char *const types[] = {"float32", "float64", "int32", "int64", "uint64", "text"};
  gmf_h5_array array;
  if (gmf_h5_array_open(file, "", name, 0, &array, NULL) != GMF_OK) return 0;
  char text[128];
  if (array.n_dims == 1)
    snprintf(text, sizeof text, "%s [%" PRId64 "]", types[array.type.kind], array.dims[0]);
  else
    snprintf(text, sizeof text, "%s [%" PRId64 ", %" PRId64 "]", types[array.type.kind], array.dims[0], array.dims[1]);
  json_object_set_new(arrays, name, json_string(text));
  gmf_h5_array_close(&array);
  return 0;
}

gmf_status gmf_describe(const char *path, json_t **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t file = H5I_INVALID_HID;

  *out = NULL;
  GMF_TRY(gmf_h5_open(path, NULL, &file, err));
  json_t *arrays = json_object();
  H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, visit_object, arrays, H5O_INFO_BASIC);
  *out = attributes_of(file, "/");
  json_object_set_new(*out, "arrays", arrays);
  bool known = gmf_h5_exists(file, GMF_GROUP_PROVENANCE);
  json_object_set_new(*out, "provenance", known ? attributes_of(file, GMF_GROUP_PROVENANCE) : json_object());
cleanup:
  if (file >= 0) H5Fclose(file);
  return status;
}
