#include "io/model_attributes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/layout.h"

enum { MAX_ATTRIBUTES = 4096, TEXT_BYTES = 4096 };

static gmf_status copy_text(const char *text, char **out, gmf_error *err)
{
  gmf_status status = GMF_NEW(*out, (int64_t)strlen(text) + 1, err);
  if (status == GMF_OK) strcpy(*out, text);
  return status;
}

static gmf_status add_attribute(gmf_model_attributes *m, const char *name, const char *text, gmf_value_kind kind,
                                gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_attribute_text a = {.kind = kind};
  if (m->n == MAX_ATTRIBUTES) return GMF_OK;
  GMF_TRY(copy_text(name, &a.name, err));
  GMF_TRY(copy_text(text, &a.text, err));
  GMF_TRY(GMF_RESERVE(m->values, m->capacity, m->n + 1, err));
  m->values[m->n++] = a;
  a = (gmf_attribute_text){0};
cleanup:
  gmf_free(a.name);
  gmf_free(a.text);
  return status;
}

/* A number as JSON, whole ones without a fraction. False when JSON has no such number. */
static bool number_text(double value, bool whole, int64_t whole_value, char *out, size_t size)
{
  if (whole)
    snprintf(out, size, "%" PRId64, whole_value);
  else
    snprintf(out, size, "%.17g", value);
  for (int digits = 6; !whole && digits < 17; digits++) {
    char shorter[40];
    snprintf(shorter, sizeof shorter, "%.*g", digits, value);
    if (strtod(shorter, NULL) != value) continue;
    snprintf(out, size, "%s", shorter);
    break;
  }
  return whole || isfinite(value);
}

/* The values of a numeric attribute of 1 to 16 elements as a JSON number or array. */
static bool numbers_text(hid_t attr, bool whole, int64_t n, bool scalar, char *out, size_t size)
{
  double reals[16] = {0};
  int64_t wholes[16] = {0};
  bool good = n >= 1 && n <= 16 &&
              (whole ? H5Aread(attr, H5T_NATIVE_INT64, wholes) : H5Aread(attr, H5T_NATIVE_DOUBLE, reals)) >= 0;
  size_t used = 0;
  for (int64_t j = 0; j < n && good; j++) {
    char one[40];
    good = number_text(reals[j], whole, wholes[j], one, sizeof one);
    const char *before = scalar ? "" : j == 0 ? "[" : ", ", *after = scalar || j < n - 1 ? "" : "]";
    used += (size_t)snprintf(out + used, size - used, "%s%s%s", before, one, after);
  }
  return good;
}

typedef struct collector {
  gmf_model_attributes *out;
  const char *path;   /* of the file */
  const char *prefix; /* "" or "provenance/" */
  gmf_status status;
  gmf_error *err;
} collector;

/* Attributes of kinds that gridmf does not write are passed over. */
static herr_t collect_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data)
{
  (void)info;
  collector *c = data;
  char full[200], text[TEXT_BYTES] = "";
  hid_t attr = H5Aopen(object, name, H5P_DEFAULT), type = H5Aget_type(attr), space = H5Aget_space(attr);
  H5T_class_t class = H5Tget_class(type);
  bool scalar = H5Sget_simple_extent_type(space) == H5S_SCALAR;
  bool good = false;

  if (class == H5T_STRING)
    good = gmf_h5_attr_text(object, ".", name, text, sizeof text, NULL) == GMF_OK;
  else if (class == H5T_INTEGER || class == H5T_FLOAT)
    good = numbers_text(attr, class == H5T_INTEGER, H5Sget_simple_extent_npoints(space), scalar, text, sizeof text);
  snprintf(full, sizeof full, "%s%s", c->prefix, name);
  if (good)
    c->status = add_attribute(c->out, full, text, class == H5T_STRING ? GMF_VALUE_TEXT : GMF_VALUE_NUMBER, c->err);
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  if (attr >= 0) H5Aclose(attr);
  return c->status == GMF_OK ? 0 : -1;
}

/* The last entry of a history column. */
static herr_t collect_history(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
  (void)info;
  collector *c = data;
  gmf_h5_array a = {.id = H5I_INVALID_HID};
  char full[200], text[TEXT_BYTES];
  double last = 0;

  if (gmf_h5_array_open(group, c->path, name, 1, &a, NULL) == GMF_OK && a.type.kind != GMF_TEXT && a.dims[0] > 0 &&
      gmf_h5_array_read(&a, a.dims[0] - 1, 1, GMF_F8, &last, NULL) == GMF_OK &&
      number_text(last, a.type.kind != GMF_F4 && a.type.kind != GMF_F8 && fabs(last) < 1e15, (int64_t)last, text,
                  sizeof text)) {
    snprintf(full, sizeof full, "%s%s", c->prefix, name);
    c->status = add_attribute(c->out, full, text, GMF_VALUE_NUMBER, c->err);
  }
  gmf_h5_array_close(&a);
  return c->status == GMF_OK ? 0 : -1;
}

/* found: what HDF5's iteration came to, which stops at what it cannot read, and where collecting failed. */
static gmf_status check_collected(const collector *c, herr_t found)
{
  if (c->status != GMF_OK || found >= 0) return c->status;
  return gmf_h5_model_damaged(c->path, "some of its attributes cannot be read", c->err);
}

gmf_status gmf_model_attributes_read(hid_t file, const char *path, gmf_model_attributes *out, gmf_error *err)
{
  static const char *const GROUPS[][2] = {{GMF_GROUP_PROVENANCE, GMF_GROUP_PROVENANCE "/"},
                                          {GMF_GROUP_STATE, GMF_GROUP_STATE "/"}};
  gmf_status status = GMF_OK;
  collector c = {.out = out, .path = path, .prefix = "", .err = err};
  herr_t found = H5Aiterate_by_name(file, "/", H5_INDEX_NAME, H5_ITER_INC, NULL, collect_attribute, &c, H5P_DEFAULT);
  GMF_TRY(check_collected(&c, found));
  if (gmf_h5_exists(file, GMF_GROUP_HISTORY)) {
    c.prefix = GMF_GROUP_HISTORY "/";
    found =
        H5Literate_by_name(file, GMF_GROUP_HISTORY, H5_INDEX_NAME, H5_ITER_INC, NULL, collect_history, &c, H5P_DEFAULT);
    GMF_TRY(check_collected(&c, found));
  }
  for (size_t g = 0; g < sizeof GROUPS / sizeof *GROUPS; g++) {
    if (!gmf_h5_exists(file, GROUPS[g][0])) continue;
    c.prefix = GROUPS[g][1];
    found =
        H5Aiterate_by_name(file, GROUPS[g][0], H5_INDEX_NAME, H5_ITER_INC, NULL, collect_attribute, &c, H5P_DEFAULT);
    GMF_TRY(check_collected(&c, found));
  }
cleanup:
  return status;
}

void gmf_model_attributes_free(gmf_model_attributes *attributes)
{
  for (int64_t a = 0; a < attributes->n; a++) {
    gmf_free(attributes->values[a].name);
    gmf_free(attributes->values[a].text);
  }
  gmf_free(attributes->values);
  *attributes = (gmf_model_attributes){0};
}
