#include "io/attributes.h"

#include <string.h>

#include "base/memory.h"
#include "io/checksum.h"
#include "io/layout.h"

typedef struct digest {
  const char *path, *object; /* borrowed; of the attribute in work */
  uint64_t sum;
  gmf_error *err;
} digest;

static void add(digest *d, const void *data, size_t n)
{
  uint64_t parts[2] = {d->sum, gmf_checksum(data, (int64_t)n)};
  d->sum = gmf_checksum(parts, sizeof parts);
}

/* Text of variable length by its characters, all else as it is stored. */
static gmf_status add_value(digest *d, hid_t attribute, const char *name)
{
  gmf_status status = GMF_OK;
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  bool is_text = H5Tis_variable_str(type) > 0;
  hssize_t n = H5Sget_simple_extent_npoints(space);
  size_t size = H5Tget_size(type);
  void *value = NULL;
  char *text = NULL;

  if (n < 0 || size == 0 || (is_text && n != 1))
    GMF_TRY(gmf_fail(d->err, GMF_ERR_DATA, "%s: attribute %s of /%s is not one of gridmf's", d->path, name, d->object));
  if (!is_text && (value = gmf_calloc(n, size)) == NULL) GMF_TRY(gmf_out_of_memory(d->err, n, size, "an attribute"));
  if (H5Aread(attribute, type, is_text ? (void *)&text : value) < 0)
    GMF_TRY(gmf_fail(d->err, GMF_ERR_DATA, "%s: attribute %s of /%s is damaged: %s", d->path, name, d->object,
                     gmf_h5_reason()));
  if (is_text)
    add(d, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
  else
    add(d, value, (size_t)n * size);
cleanup:
  if (text != NULL) H5free_memory(text);
  gmf_free(value);
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  return status;
}

static herr_t add_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data)
{
  digest *d = data;
  (void)info;
  if (strcmp(name, GMF_ATTR_COMPLETE) == 0) return 0;
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  add(d, name, strlen(name));
  gmf_status status = add_value(d, attribute, name);
  H5Aclose(attribute);
  return status == GMF_OK ? 0 : -1;
}

static herr_t add_object(hid_t file, const char *name, const H5O_info_t *info, void *data)
{
  digest *d = data;
  hsize_t at = 0;
  (void)info;
  hid_t object = H5Oopen(file, name, H5P_DEFAULT);
  if (object < 0) return -1;
  d->object = strcmp(name, ".") == 0 ? "" : name;
  add(d, name, strlen(name));
  herr_t code = H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &at, add_attribute, d);
  H5Oclose(object);
  return code < 0 ? -1 : 0;
}

gmf_status gmf_attributes_checksum(hid_t file, const char *path, uint64_t *sum, gmf_error *err)
{
  gmf_error mine = {0};
  digest d = {.path = path, .object = "", .err = &mine};
  if (H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, add_object, &d, H5O_INFO_BASIC) < 0) {
    if (mine.status != GMF_OK) return gmf_fail(err, mine.status, "%s", mine.text);
    return gmf_fail(err, GMF_ERR_DATA, "%s: its attributes cannot be read: %s", path, gmf_h5_reason());
  }
  *sum = d.sum;
  return GMF_OK;
}
