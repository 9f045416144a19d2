#include "io/model_read.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "io/checksum.h"
#include "io/layout.h"
#include "io/model_attributes.h"
#include "io/model_ids.h"

enum {
  MAX_FACTORS = 65536,
};

struct gmf_model_file {
  hid_t file; /* owned */
  gmf_model_info info;
  char *path; /* owned */
  char algorithm[64], format_version[32];
  int64_t n[GMF_N_SIDES];
  gmf_h5_array factors[GMF_N_SIDES];      /* [n][k] owned */
  gmf_h5_array bias[GMF_N_SIDES];         /* [n] owned, id < 0 where absent; so are the next five */
  gmf_h5_array count[GMF_N_SIDES];        /* [n] */
  gmf_h5_array seen_indptr, seen_indices; /* [n_users + 1], [n_seen] */
  gmf_h5_array seen_data, seen_weight;    /* [n_seen] */
  gmf_item_weights *weights;              /* owned; NULL for models with factors */
  bool is_item_based, is_binary;          /* item-based: every rating counts as 1 */
  gmf_model_ids ids[GMF_N_SIDES];
  gmf_model_attributes attributes;
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Opens /group/name and checks that it has n_dims dimensions; n >= 0: and n rows. */
static gmf_status open_array(gmf_model_file *m, const char *group, const char *name, int n_dims, int64_t n,
                             gmf_h5_array *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char path[64], what[200];
  snprintf(path, sizeof path, "%s/%s", group, name);
  GMF_TRY(gmf_h5_array_open(m->file, m->path, path, n_dims, out, err));
  if (n >= 0 && out->dims[0] != n) {
    snprintf(what, sizeof what, "/%s has %" PRId64 " rows, not %" PRId64, path, out->dims[0], n);
    GMF_TRY(gmf_h5_model_damaged(m->path, what, err));
  }
cleanup:
  return status;
}

/* The same where the dataset may be absent. */
static gmf_status open_optional(gmf_model_file *m, const char *group, const char *name, int64_t n, gmf_h5_array *out,
                                gmf_error *err)
{
  char path[64];
  snprintf(path, sizeof path, "%s/%s", group, name);
  return gmf_h5_exists(m->file, path) ? open_array(m, group, name, 1, n, out, err) : GMF_OK;
}

static gmf_status open_factors(gmf_model_file *m, gmf_side side, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *group = gmf_side_name(side);
  char what[200];

  GMF_TRY(open_array(m, group, GMF_NAME_FACTORS, 2, -1, &m->factors[side], err));
  m->n[side] = m->factors[side].dims[0];
  if (m->factors[side].dims[1] != m->info.n_factors || !gmf_type_is_real(m->factors[side].type)) {
    snprintf(what, sizeof what, "/%s/factors has %" PRId64 " columns, @factors says %d", group,
             m->factors[side].dims[1], m->info.n_factors);
    GMF_TRY(gmf_h5_model_damaged(m->path, what, err));
  }
  GMF_TRY(open_optional(m, group, GMF_NAME_BIAS, m->n[side], &m->bias[side], err));
cleanup:
  return status;
}

static gmf_status open_side(gmf_model_file *m, gmf_side side, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *group = gmf_side_name(side);

  m->n[side] = -1;
  if (!m->is_item_based) GMF_TRY(open_factors(m, side, err));
  GMF_TRY(gmf_model_ids_open(m->file, m->path, side, m->n[side], &m->ids[side], err));
  m->n[side] = m->ids[side].n;
  GMF_TRY(open_optional(m, group, GMF_NAME_COUNT, m->n[side], &m->count[side], err));
  if ((m->bias[side].id >= 0 && !gmf_type_is_real(m->bias[side].type)) ||
      (m->count[side].id >= 0 && !gmf_type_is_whole(m->count[side].type)))
    GMF_TRY(gmf_h5_model_damaged(m->path, "a bias or a count has the wrong type", err));
cleanup:
  return status;
}

static gmf_status open_seen(gmf_model_file *m, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (!gmf_h5_exists(m->file, GMF_GROUP_SEEN)) return GMF_OK;
  if (m->n[GMF_USERS] == INT64_MAX) return gmf_h5_model_damaged(m->path, "impossible number of users", err);
  GMF_TRY(open_array(m, GMF_GROUP_SEEN, GMF_CSR_INDPTR, 1, m->n[GMF_USERS] + 1, &m->seen_indptr, err));
  GMF_TRY(open_array(m, GMF_GROUP_SEEN, GMF_CSR_INDICES, 1, -1, &m->seen_indices, err));
  if (!gmf_type_is_whole(m->seen_indptr.type) || !gmf_type_is_whole(m->seen_indices.type))
    GMF_TRY(gmf_h5_model_damaged(m->path, "/seen has the wrong type", err));
  int64_t n = m->seen_indices.dims[0];
  GMF_TRY(open_optional(m, GMF_GROUP_SEEN, GMF_CSR_DATA, n, &m->seen_data, err));
  GMF_TRY(open_optional(m, GMF_GROUP_SEEN, GMF_CSR_WEIGHT, n, &m->seen_weight, err));
  if ((m->seen_data.id >= 0 && m->seen_data.type.kind == GMF_TEXT) ||
      (m->seen_weight.id >= 0 && !gmf_type_is_real(m->seen_weight.type)))
    GMF_TRY(gmf_h5_model_damaged(m->path, "/seen has ratings of the wrong type", err));
  m->info.has_seen = true;
  m->info.n_seen = n;
cleanup:
  return status;
}

static gmf_status check_algorithm(gmf_model_file *m, gmf_error *err)
{
  static const struct {
    const char *name;
    bool is_item_based;
  } KNOWN[] = {{"als", false},        {"ials", false},    {"svd", false},
               {"popularity", false}, {"item-knn", true}, {"ease", true}};
  char values[32] = "";
  bool known = false;
  for (size_t j = 0; j < sizeof KNOWN / sizeof *KNOWN; j++) {
    if (strcmp(m->algorithm, KNOWN[j].name) != 0) continue;
    known = true;
    m->is_item_based = KNOWN[j].is_item_based;
  }
  if (!known)
    return gmf_fail(
        err, GMF_ERR_DATA,
        "%s: a model of algorithm '%.60s'; this version scores als, ials, svd, popularity, item-knn and ease", m->path,
        m->algorithm);
  if (m->is_item_based && gmf_h5_attr_text(m->file, "/", GMF_ATTR_VALUES, values, sizeof values, NULL) != GMF_OK)
    return gmf_h5_model_damaged(m->path, "attribute @" GMF_ATTR_VALUES " is missing or no text", err);
  m->is_binary = strcmp(values, GMF_VALUES_BINARY) == 0;
  return GMF_OK;
}

static gmf_status read_root(gmf_model_file *m, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t factors = 0;

  GMF_TRY(gmf_h5_attr_text(m->file, "/", GMF_ATTR_VERSION, m->format_version, sizeof m->format_version, err));
  if (gmf_h5_attr_text(m->file, "/", GMF_ATTR_ALGORITHM, m->algorithm, sizeof m->algorithm, NULL) != GMF_OK)
    GMF_TRY(gmf_h5_model_damaged(m->path, "attribute @" GMF_ATTR_ALGORITHM " is missing or no text", err));
  GMF_TRY(check_algorithm(m, err));
  if (!m->is_item_based && (gmf_h5_attr_i64(m->file, "/", GMF_ATTR_FACTORS, &factors, NULL) != GMF_OK || factors < 1 ||
                            factors > MAX_FACTORS))
    GMF_TRY(gmf_h5_model_damaged(m->path, "attribute @" GMF_ATTR_FACTORS " is missing or out of range", err));
  m->info.n_factors = gmf_int(factors);
  if (gmf_h5_attr_exists(m->file, "/", GMF_ATTR_GLOBAL_MEAN))
    GMF_TRY(gmf_h5_attr_f64(m->file, "/", GMF_ATTR_GLOBAL_MEAN, &m->info.global_mean, err));
  if (!(fabs(m->info.global_mean) < 1e15))
    GMF_TRY(gmf_h5_model_damaged(m->path, "@" GMF_ATTR_GLOBAL_MEAN " is not finite", err));
cleanup:
  return status;
}

static void mark_closed(gmf_model_file *m)
{
  m->file = m->seen_indptr.id = m->seen_indices.id = m->seen_data.id = m->seen_weight.id = H5I_INVALID_HID;
  for (int s = 0; s < GMF_N_SIDES; s++)
    m->factors[s].id = m->bias[s].id = m->count[s].id = m->ids[s].array.id = H5I_INVALID_HID;
}

gmf_status gmf_model_file_open(const char *path, gmf_model_file **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_model_file *m = NULL;

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(m, 1, err));
  mark_closed(m);
  GMF_TRY(GMF_NEW(m->path, (int64_t)strlen(path) + 1, err));
  strcpy(m->path, path);
  GMF_TRY(gmf_h5_open(path, GMF_FORMAT_MODEL, &m->file, err));
  GMF_TRY(read_root(m, err));
  for (int s = 0; s < GMF_N_SIDES; s++) GMF_TRY(open_side(m, (gmf_side)s, err));
  GMF_TRY(open_seen(m, err));
  if (m->is_item_based) GMF_TRY(gmf_item_weights_open(m->file, m->path, m->n[GMF_ITEMS], &m->weights, err));
  GMF_TRY(gmf_model_attributes_read(m->file, m->path, &m->attributes, err));
  m->info.path = m->path;
  m->info.algorithm = m->algorithm;
  m->info.format_version = m->format_version;
  m->info.n_users = m->n[GMF_USERS];
  m->info.n_items = m->n[GMF_ITEMS];
  m->info.has_bias = m->bias[GMF_USERS].id >= 0 || m->bias[GMF_ITEMS].id >= 0;
  *out = m;
  m = NULL;
cleanup:
  gmf_model_file_close(&m);
  return status;
}

void gmf_model_file_close(gmf_model_file **file)
{
  gmf_model_file *m = *file;
  if (m == NULL) return;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_h5_array_close(&m->factors[s]);
    gmf_h5_array_close(&m->bias[s]);
    gmf_h5_array_close(&m->count[s]);
    gmf_model_ids_close(&m->ids[s]);
  }
  gmf_h5_array_close(&m->seen_indptr);
  gmf_h5_array_close(&m->seen_indices);
  gmf_h5_array_close(&m->seen_data);
  gmf_h5_array_close(&m->seen_weight);
  gmf_item_weights_close(&m->weights);
  if (m->file >= 0) H5Fclose(m->file);
  gmf_model_attributes_free(&m->attributes);
  gmf_free(m->path);
  gmf_free(m);
  *file = NULL;
}

gmf_status gmf_model_file_fingerprint(const gmf_model_file *m, int64_t out[GMF_FINGERPRINT], gmf_error *err)
{
  gmf_status status = GMF_OK;
  static const char *const ARRAYS[][3] = {
      {"users/" GMF_NAME_FACTORS, "items/" GMF_NAME_FACTORS, "items/" GMF_NAME_COUNT},
      {"items/" GMF_NAME_WEIGHTS, "items/" GMF_NAME_SIMILARITY "/" GMF_CSR_DATA, "items/" GMF_NAME_COUNT}};
  const int64_t sizes[] = {m->n[GMF_USERS], m->n[GMF_ITEMS], m->info.n_factors};
  memcpy(out, sizes, sizeof sizes);
  for (int a = 0; a < 3; a++) {
    char name[96];
    uint64_t *sums = NULL;
    int64_t dims[2];
    out[3 + a] = 0;
    snprintf(name, sizeof name, "%s/%s", GMF_GROUP_INTEGRITY, ARRAYS[m->is_item_based][a]);
    if (!gmf_h5_exists(m->file, name)) continue; /* others' files lack it */
    GMF_TRY(gmf_h5_read_new(m->file, m->path, name, GMF_U8, (void **)&sums, dims, err));
    out[3 + a] = (int64_t)gmf_checksum(sums, dims[0] * (int64_t)sizeof *sums);
    gmf_free(sums);
  }
cleanup:
  return status;
}

const gmf_model_info *gmf_model_file_info(const gmf_model_file *file) { return &file->info; }
hid_t gmf_model_file_handle(const gmf_model_file *m) { return m->file; }

int64_t gmf_model_file_rows(const gmf_model_file *file, gmf_side side) { return file->n[side]; }
int64_t gmf_model_file_n_attributes(const gmf_model_file *file) { return file->attributes.n; }

gmf_model_attribute gmf_model_file_attribute(const gmf_model_file *file, int64_t index)
{
  if (index < 0 || index >= file->attributes.n) return (gmf_model_attribute){0};
  const gmf_attribute_text *a = &file->attributes.values[index];
  return (gmf_model_attribute){.name = a->name, .text = a->text, .kind = a->kind};
}

const char *gmf_model_file_attribute_text(const gmf_model_file *file, const char *name)
{
  for (int64_t a = 0; a < file->attributes.n; a++)
    if (strcmp(file->attributes.values[a].name, name) == 0) return file->attributes.values[a].text;
  return NULL;
}

bool gmf_model_file_number(const gmf_model_file *m, const char *name, double *out)
{
  double value = 0;
  if (!gmf_h5_attr_exists(m->file, "/", name) || gmf_h5_attr_f64(m->file, "/", name, &value, NULL) != GMF_OK)
    return false;
  *out = value;
  return true;
}

gmf_status gmf_model_file_history(gmf_model_file *m, const char *name, int64_t n, double *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char path[256];
  double *values = NULL;
  int64_t dims[2] = {0};
  snprintf(path, sizeof path, "%s/%s", GMF_GROUP_HISTORY, name);
  if (!gmf_h5_exists(m->file, path)) {
    for (int64_t j = 0; j < n; j++) out[j] = NAN;
    return GMF_OK;
  }
  GMF_TRY(gmf_h5_read_new(m->file, m->path, path, GMF_F8, (void **)&values, dims, err));
  if (dims[0] < n) GMF_TRY(gmf_h5_model_damaged(m->path, "its history is shorter than its sweeps", err));
  if (n > 0) memcpy(out, values, (size_t)n * sizeof *out);
cleanup:
  gmf_free(values);
  return status;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* The first of n values that is NaN or not below GMF_VALUE_LIMIT in size, else -1. Compares bits, so that it
 * vectorises. */
static int64_t first_not_finite(const float *values, int64_t n)
{
  const float limit = GMF_VALUE_LIMIT;
  uint32_t limit_bits = 0, bad = 0;
  memcpy(&limit_bits, &limit, sizeof limit);
  for (int64_t j = 0; j < n; j++) {
    uint32_t bits = 0;
    memcpy(&bits, values + j, sizeof bits);
    bad |= (bits & 0x7fffffffU) >= limit_bits;
  }
  for (int64_t j = 0; j < n && bad != 0; j++)
    if (!(fabsf(values[j]) < limit)) return j;
  return -1;
}

static gmf_status read_reals(gmf_model_file *m, const gmf_h5_array *array, gmf_side side, int64_t begin, int64_t n,
                             float *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char what[200];
  GMF_TRY(gmf_h5_array_read(array, begin, n, GMF_F4, out, err));
  int64_t bad = first_not_finite(out, n * array->dims[1]);
  if (bad >= 0) {
    snprintf(what, sizeof what, "row %" PRId64 " of /%s/%s holds %g", begin + bad / array->dims[1], gmf_side_name(side),
             array->n_dims == 2 ? GMF_NAME_FACTORS : GMF_NAME_BIAS, (double)out[bad]);
    GMF_TRY(gmf_h5_model_damaged(m->path, what, err));
  }
cleanup:
  return status;
}

gmf_status gmf_model_file_extra(gmf_model_file *m, const char *name, int64_t n_rows, int64_t n_cols, gmf_type_kind type,
                                int64_t begin, int64_t n, void *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array array = {.id = H5I_INVALID_HID};
  GMF_TRY(gmf_h5_array_open(m->file, m->path, name, 2, &array, err));
  if (array.dims[0] != n_rows || array.dims[1] != n_cols || !gmf_type_is_real(array.type))
    GMF_TRY(gmf_h5_model_damaged(m->path, "an array of its /state has the wrong shape", err));
  GMF_TRY(gmf_h5_array_read(&array, begin, n, type, out, err));
cleanup:
  gmf_h5_array_close(&array);
  return status;
}

gmf_status gmf_model_file_factors(gmf_model_file *m, gmf_side side, int64_t begin, int64_t n, float *out,
                                  gmf_error *err)
{
  return m->is_item_based ? GMF_OK : read_reals(m, &m->factors[side], side, begin, n, out, err);
}

gmf_status gmf_model_file_bias(gmf_model_file *m, gmf_side side, int64_t begin, int64_t n, float *out, gmf_error *err)
{
  if (m->bias[side].id >= 0) return read_reals(m, &m->bias[side], side, begin, n, out, err);
  for (int64_t r = 0; r < n; r++) out[r] = 0;
  return GMF_OK;
}

/* A whole f8 array: [k][k], or [k] where n_dims is 1. group: "" for the root. */
static gmf_status read_finite(gmf_model_file *m, const char *group, const char *name, int n_dims, double *out,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array array = {.id = H5I_INVALID_HID};
  int64_t k = m->info.n_factors, n_cols = n_dims == 2 ? k : 1;
  char what[200];
  GMF_TRY(open_array(m, group, name, n_dims, k, &array, err));
  if (array.dims[1] != n_cols || !gmf_type_is_real(array.type)) {
    snprintf(what, sizeof what, "%s/%s has the wrong shape or type", group, name);
    GMF_TRY(gmf_h5_model_damaged(m->path, what, err));
  }
  GMF_TRY(gmf_h5_array_read(&array, 0, k, GMF_F8, out, err));
  for (int64_t j = 0; j < k * n_cols; j++) {
    if (isfinite(out[j])) continue;
    snprintf(what, sizeof what, "%s/%s holds a value that is not finite", group, name);
    GMF_TRY(gmf_h5_model_damaged(m->path, what, err));
  }
cleanup:
  gmf_h5_array_close(&array);
  return status;
}

bool gmf_model_file_is_binary(const gmf_model_file *m) { return m->is_binary; }

gmf_status gmf_model_file_weights(gmf_model_file *m, int64_t begin, int64_t n, gmf_weight_rows *out, gmf_error *err)
{
  return gmf_item_weights_read(m->weights, begin, n, out, err);
}

gmf_status gmf_model_file_gram(gmf_model_file *m, double *out, gmf_error *err)
{
  return read_finite(m, gmf_side_name(GMF_ITEMS), GMF_NAME_GRAM, 2, out, err);
}

gmf_status gmf_model_file_singular_values(gmf_model_file *m, double *out, gmf_error *err)
{
  return read_finite(m, "", GMF_NAME_SINGULAR_VALUES, 1, out, err);
}

gmf_status gmf_model_file_counts(gmf_model_file *m, gmf_side side, int64_t begin, int64_t n, int64_t *out,
                                 gmf_error *err)
{
  if (m->count[side].id >= 0) return gmf_h5_array_read(&m->count[side], begin, n, GMF_I8, out, err);
  for (int64_t r = 0; r < n; r++) out[r] = 1;
  return GMF_OK;
}

bool gmf_model_file_has_counts(const gmf_model_file *m, gmf_side side) { return m->count[side].id >= 0; }

static bool check_seen_indptr(const gmf_model_file *m, const int64_t *indptr, int64_t n)
{
  bool good = indptr[0] >= 0 && indptr[n] <= m->info.n_seen;
  for (int64_t r = 0; r < n && good; r++)
    good = indptr[r] <= indptr[r + 1] && indptr[r + 1] - indptr[r] <= m->n[GMF_ITEMS];
  return good;
}

/* Whether one user's items exist; *ascending: and stand in their order. */
static bool check_seen_items(const gmf_model_file *m, const int64_t *items, int64_t n, bool *ascending)
{
  bool good = true;
  *ascending = true;
  for (int64_t j = 0; j < n && good; j++) {
    good = items[j] >= 0 && items[j] < m->n[GMF_ITEMS];
    *ascending = *ascending && (j == 0 || items[j - 1] < items[j]);
  }
  return good;
}

/* Places and items of users [begin, begin + n) as the file has them; *first: where they begin in it. */
static gmf_status read_seen(gmf_model_file *m, int64_t begin, int64_t n, gmf_seen *out, int64_t *first, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_RESERVE(out->indptr, out->indptr_capacity, n + 1, err));
  GMF_TRY(gmf_h5_array_read(&m->seen_indptr, begin, n + 1, GMF_I8, out->indptr, err));
  if (!check_seen_indptr(m, out->indptr, n))
    GMF_TRY(gmf_h5_model_damaged(m->path, "/seen/indptr does not ascend as it should", err));
  *first = out->indptr[0];
  for (int64_t r = 0; r <= n; r++) out->indptr[r] -= *first;
  GMF_TRY(GMF_RESERVE(out->items, out->items_capacity, out->indptr[n] + 1, err)); /* also none: never NULL */
  GMF_TRY(gmf_h5_array_read(&m->seen_indices, *first, out->indptr[n], GMF_I8, out->items, err));
cleanup:
  return status;
}

gmf_status gmf_model_file_seen(gmf_model_file *m, int64_t begin, int64_t n, gmf_seen *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t first = 0;
  bool ascending = true;

  if (!m->info.has_seen) {
    GMF_TRY(GMF_RESERVE(out->indptr, out->indptr_capacity, n + 1, err));
    memset(out->indptr, 0, sizeof *out->indptr * (size_t)(n + 1));
    goto cleanup;
  }
  GMF_TRY(read_seen(m, begin, n, out, &first, err));
  for (int64_t r = 0; r < n; r++) {
    int64_t *items = out->items + out->indptr[r], n_items = out->indptr[r + 1] - out->indptr[r];
    if (!check_seen_items(m, items, n_items, &ascending))
      GMF_TRY(gmf_h5_model_damaged(m->path, "/seen/indices names an item that does not exist", err));
    if (!ascending) gmf_sort_i64(items, n_items); /* a foreign writer's */
  }
cleanup:
  return status;
}

gmf_status gmf_model_file_ratings(gmf_model_file *m, int64_t begin, int64_t n, gmf_seen *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t first = 0;
  bool ascending = true;

  if (m->seen_data.id < 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: does not hold the ratings of the training; train with --seen", m->path));
  GMF_TRY(read_seen(m, begin, n, out, &first, err));
  int64_t n_ratings = out->indptr[n];
  GMF_TRY(GMF_RESERVE(out->values, out->values_capacity, n_ratings, err));
  GMF_TRY(GMF_RESERVE(out->weights, out->weights_capacity, n_ratings, err));
  GMF_TRY(gmf_h5_array_read(&m->seen_data, first, n_ratings, GMF_F4, out->values, err));
  for (int64_t j = 0; j < n_ratings; j++) out->weights[j] = 1;
  for (int64_t j = 0; m->is_binary && j < n_ratings; j++) out->values[j] = 1;
  if (m->seen_weight.id >= 0) GMF_TRY(gmf_h5_array_read(&m->seen_weight, first, n_ratings, GMF_F4, out->weights, err));
  if (first_not_finite(out->values, n_ratings) >= 0 || first_not_finite(out->weights, n_ratings) >= 0)
    GMF_TRY(gmf_h5_model_damaged(m->path, "/seen holds a rating or a weight that is not finite", err));
  for (int64_t r = 0; r < n; r++)
    if (!check_seen_items(m, out->items + out->indptr[r], out->indptr[r + 1] - out->indptr[r], &ascending) ||
        !ascending)
      GMF_TRY(
          gmf_h5_model_damaged(m->path, "/seen/indices names an item that does not exist, or not in their order", err));
cleanup:
  return status;
}

void gmf_seen_free(gmf_seen *seen)
{
  gmf_free(seen->indptr);
  gmf_free(seen->items);
  gmf_free(seen->values);
  gmf_free(seen->weights);
  *seen = (gmf_seen){0};
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

gmf_type gmf_model_file_id_type(const gmf_model_file *m, gmf_side side) { return m->ids[side].array.type; }

gmf_status gmf_model_file_ids(gmf_model_file *m, gmf_side side, int64_t begin, int64_t n, void *out, gmf_error *err)
{
  return gmf_model_ids_read(&m->ids[side], begin, n, out, err);
}

gmf_status gmf_model_file_find(gmf_model_file *m, gmf_side side, const char *id, int64_t *row, gmf_error *err)
{
  return gmf_model_ids_find(&m->ids[side], id, row, err);
}

gmf_status gmf_model_file_id_text(gmf_model_file *m, gmf_side side, int64_t row, char *out, size_t size, gmf_error *err)
{
  return gmf_model_ids_text(&m->ids[side], row, out, size, err);
}
