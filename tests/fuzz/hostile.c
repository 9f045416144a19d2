#include "hostile.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ARRAYS = 32, MAX_ATTRIBUTES = 32, MAX_EDITS = 6, MAX_STORED = 4096 };

typedef struct input {
  const uint8_t *at, *end;
} input;

static unsigned take(input *in) { return in->at < in->end ? *in->at++ : 0; }

static double odd_number(input *in)
{
  static const double NUMBERS[] = {0,      1,       2,   3,    -1,       5,         1e9,          4294967296.0,
                                   9.2e18, -9.2e18, 0.5, 1e15, 1e30,     -1e30,     1e-30,        65536,
                                   65537,  255,     7,   NAN,  INFINITY, -INFINITY, 2147483647.0, -2147483648.0};
  return NUMBERS[take(in) % (sizeof NUMBERS / sizeof *NUMBERS)];
}

static uint64_t odd_size(input *in)
{
  static const uint64_t SIZES[] = {0,
                                   1,
                                   2,
                                   3,
                                   4,
                                   5,
                                   6,
                                   7,
                                   8,
                                   64,
                                   1000,
                                   4096,
                                   (uint64_t)1 << 31,
                                   (uint64_t)1 << 32,
                                   (uint64_t)1 << 40,
                                   (uint64_t)1 << 61,
                                   (uint64_t)1 << 62,
                                   ((uint64_t)1 << 63) - 1};
  return SIZES[take(in) % (sizeof SIZES / sizeof *SIZES)];
}

static const char *odd_text(input *in)
{
  static const char *const TEXTS[] = {"",    "als",      "ials",  "svd",  "popularity",   "item-knn", "ease",
                                      "hkv", "implicit", "both",  "sqrt", "no",           "count",    "none",
                                      "1.0", "2.0",      "other", "user", "gridmf-model", "\xff\xfe"};
  return TEXTS[take(in) % (sizeof TEXTS / sizeof *TEXTS)];
}

static void edit_array(hostile_array *a, input *in)
{
  switch (take(in) % 6) {
    case 0: a->name = NULL; break;
    case 1: a->kind = (hostile_kind)(take(in) % HOSTILE_N_KINDS); break;
    case 2: a->dims[0] = odd_size(in); break;
    case 3: a->n_dims = (int)(take(in) % 3); break;
    case 4: a->dims[1] = odd_size(in); break;
    default: {
      unsigned at = take(in) % HOSTILE_MAX_VALUES;
      a->values[at] = odd_number(in);
    }
  }
  if (take(in) % 16 == 0) a->is_hollow = 1;
}

static void edit_attribute(hostile_attribute *a, input *in)
{
  switch (take(in) % 3) {
    case 0: a->name = NULL; break;
    case 1: a->text = odd_text(in); break;
    default:
      a->text = NULL;
      a->number = odd_number(in);
      a->is_whole = take(in) % 2 == 0 && fabs(a->number) < 9e18;
  }
}

static hid_t file_type(hostile_kind kind)
{
  hid_t text;
  switch (kind) {
    case HOSTILE_F4: return H5Tcopy(H5T_IEEE_F32LE);
    case HOSTILE_F8: return H5Tcopy(H5T_IEEE_F64LE);
    case HOSTILE_I4: return H5Tcopy(H5T_STD_I32LE);
    case HOSTILE_I8: return H5Tcopy(H5T_STD_I64LE);
    case HOSTILE_U8: return H5Tcopy(H5T_STD_U64LE);
    default:
      text = H5Tcopy(H5T_C_S1);
      H5Tset_size(text, 8);
      return text;
  }
}

/* Writes n values; nothing of a hollow array. */
static void write_values(const hostile_array *a, hid_t dataset, hid_t type, uint64_t n)
{
  if (a->kind == HOSTILE_TEXT) {
    char *texts = calloc(n + 1, 8);
    for (uint64_t j = 0; j < n; j++) snprintf(texts + j * 8, 8, "%g", a->values[j % HOSTILE_MAX_VALUES]);
    H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts);
    free(texts);
    return;
  }
  double *values = calloc(n + 1, sizeof *values);
  for (uint64_t j = 0; j < n; j++) values[j] = a->values[j % HOSTILE_MAX_VALUES];
  H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
  free(values);
}

static void write_array(hid_t file, const hostile_array *a, hid_t create_groups)
{
  uint64_t n = 1;
  int hollow = a->is_hollow;
  for (int d = 0; d < a->n_dims; d++) {
    if (a->dims[d] > MAX_STORED || n * a->dims[d] > MAX_STORED) hollow = 1;
    if (!hollow) n *= a->dims[d];
  }
  hsize_t dims[2] = {a->dims[0], a->dims[1]}, chunk[2] = {2, 2};
  hid_t type = file_type(a->kind), create = H5Pcreate(H5P_DATASET_CREATE);
  hid_t space = a->n_dims == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(a->n_dims, dims, NULL);
  if (hollow && a->n_dims > 0 && dims[0] > 2) H5Pset_chunk(create, a->n_dims, chunk);
  hid_t dataset =
      space < 0 ? H5I_INVALID_HID : H5Dcreate2(file, a->name, type, space, create_groups, create, H5P_DEFAULT);
  if (dataset >= 0 && !hollow) write_values(a, dataset, type, n);
  if (dataset >= 0) H5Dclose(dataset);
  if (space >= 0) H5Sclose(space);
  H5Pclose(create);
  H5Tclose(type);
}

static void write_attribute(hid_t file, const hostile_attribute *a)
{
  hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(a->is_whole ? H5T_STD_I64LE : H5T_IEEE_F64LE);
  if (a->text != NULL) {
    H5Tclose(type);
    type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
  }
  hid_t attribute = H5Acreate_by_name(file, a->object, a->name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  if (attribute >= 0) {
    if (a->text != NULL)
      H5Awrite(attribute, type, &a->text);
    else
      H5Awrite(attribute, H5T_NATIVE_DOUBLE, &a->number);
    H5Aclose(attribute);
  }
  H5Tclose(type);
  H5Sclose(space);
}

void hostile_write(const char *path, const hostile_array *arrays, int n_arrays, const hostile_attribute *attributes,
                   int n_attributes, const uint8_t *data, size_t size)
{
  static hostile_array edited[MAX_ARRAYS];
  static hostile_attribute told[MAX_ATTRIBUTES];
  input in = {data, data + size};
  memcpy(edited, arrays, (size_t)n_arrays * sizeof *arrays);
  memcpy(told, attributes, (size_t)n_attributes * sizeof *attributes);
  for (int e = 0; e < MAX_EDITS && in.at < in.end; e++) {
    int which = (int)(take(&in) % (unsigned)(n_arrays + n_attributes));
    if (which < n_arrays)
      edit_array(&edited[which], &in);
    else
      edit_attribute(&told[which - n_arrays], &in);
  }
  hid_t groups = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(groups, 1);
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  for (int a = 0; a < n_arrays; a++)
    if (edited[a].name != NULL) write_array(file, &edited[a], groups);
  for (int a = 0; a < n_attributes; a++)
    if (told[a].name != NULL) write_attribute(file, &told[a]);
  H5Fclose(file);
  H5Pclose(groups);
}

const char *hostile_path(void)
{
  static char path[64];
  snprintf(path, sizeof path, "%s/fuzz-gridmf-%ld.h5", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
           (long)getpid());
  return path;
}
