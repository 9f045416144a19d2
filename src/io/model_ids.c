#include "io/model_ids.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "base/text.h"
#include "gridmf/model.h"
#include "io/layout.h"

enum { LOOKUP_COST = 10000 }; /* ids that can be read in sequence in the time of one search in the file */

gmf_status gmf_model_ids_open(hid_t file, const char *path, gmf_side side, int64_t n, gmf_model_ids *out,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[64], what[200];
  int64_t sorted = 0;

  *out = (gmf_model_ids){.path = path, .side = side, .array.id = H5I_INVALID_HID};
  snprintf(name, sizeof name, "%s/%s", gmf_side_name(side), GMF_NAME_ID);
  GMF_TRY(gmf_h5_array_open(file, path, name, 1, &out->array, err));
  out->n = out->array.dims[0];
  if (n >= 0 && out->n != n) {
    snprintf(what, sizeof what, "/%s has %" PRId64 " rows, not %" PRId64, name, out->n, n);
    GMF_TRY(gmf_h5_model_damaged(path, what, err));
  }
  gmf_type type = out->array.type;
  if (type.kind == GMF_I4) out->array.type = gmf_type_of(GMF_I8); /* read as int64 */
  if ((type.kind != GMF_TEXT && type.kind != GMF_I8 && type.kind != GMF_I4) || type.size >= GMF_ID_SIZE)
    GMF_TRY(gmf_h5_model_damaged(path, "the ids are neither int64 nor short text", err));
  if (gmf_h5_attr_exists(file, name, GMF_ATTR_SORTED))
    GMF_TRY(gmf_h5_attr_i64(file, name, GMF_ATTR_SORTED, &sorted, err));
  out->sorted = sorted == 1;
cleanup:
  return status;
}

void gmf_model_ids_close(gmf_model_ids *ids)
{
  gmf_h5_array_close(&ids->array);
  GMF_FREE(ids->values);
  GMF_FREE(ids->order);
}

gmf_status gmf_model_ids_read(const gmf_model_ids *ids, int64_t begin, int64_t n, void *out, gmf_error *err)
{
  return gmf_h5_array_read(&ids->array, begin, n, ids->array.type.kind, out, err);
}

/* Ascending order of ids: of integers, or of UTF-8 bytes padded with NUL. */
static int compare_ids(gmf_type type, const void *a, const void *b)
{
  return type.kind == GMF_I8 ? gmf_compare_i64(a, b) : memcmp(a, b, (size_t)type.size);
}

static int compare_rows(const void *a, const void *b, void *data)
{
  const gmf_model_ids *ids = data;
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return compare_ids(ids->array.type, ids->values + x * ids->array.type.size, ids->values + y * ids->array.type.size);
}

/* Row at position p in ascending order of ids, once they are in memory. */
static int64_t row_at(const gmf_model_ids *ids, int64_t p) { return ids->order != NULL ? ids->order[p] : p; }

static gmf_status check_order(const gmf_model_ids *ids, gmf_error *err)
{
  char what[100];
  for (int64_t p = 1; p < ids->n; p++) {
    int64_t before = row_at(ids, p - 1), here = row_at(ids, p);
    if (compare_rows(&before, &here, (void *)(uintptr_t)ids) < 0) continue;
    snprintf(what, sizeof what, "/%s/%s has an id twice or is not sorted as it says", gmf_side_name(ids->side),
             GMF_NAME_ID);
    return gmf_h5_model_damaged(ids->path, what, err);
  }
  return GMF_OK;
}

/* Brings all ids of a side to memory, with their order where the file is not sorted. */
static gmf_status load_ids(gmf_model_ids *ids, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = ids->n;

  if (ids->values != NULL) return GMF_OK;
  ids->values = gmf_malloc(n, (size_t)ids->array.type.size);
  if (ids->values == NULL) GMF_TRY(gmf_out_of_memory(err, n, (size_t)ids->array.type.size, "ids"));
  GMF_TRY(gmf_model_ids_read(ids, 0, n, ids->values, err));
  if (!ids->sorted) {
    GMF_TRY(GMF_NEW(ids->order, n, err));
    for (int64_t r = 0; r < n; r++) ids->order[r] = r;
    qsort_r(ids->order, (size_t)n, sizeof *ids->order, compare_rows, ids);
  }
  GMF_TRY(check_order(ids, err));
cleanup:
  if (status != GMF_OK) {
    GMF_FREE(ids->values);
    GMF_FREE(ids->order);
  }
  return status;
}

/* Before each lookup: loads the ids as soon as all the searches in the file have cost as much as that. */
static gmf_status prepare_lookup(gmf_model_ids *ids, bool needs_order, gmf_error *err)
{
  ids->n_lookups++;
  bool pays = ids->n_lookups > ids->n / LOOKUP_COST;
  return pays || (needs_order && !ids->sorted) ? load_ids(ids, err) : GMF_OK;
}

/* The id of a row, from memory or from the file. out: type.size bytes. */
static gmf_status fetch_id(const gmf_model_ids *ids, int64_t row, char *out, gmf_error *err)
{
  if (ids->values == NULL) return gmf_model_ids_read(ids, row, 1, out, err);
  memcpy(out, ids->values + row * ids->array.type.size, (size_t)ids->array.type.size);
  return GMF_OK;
}

/* An id as the file would hold it; false when it cannot hold it. key: GMF_ID_SIZE bytes. */
static bool encode_id(gmf_type type, const char *text, char *key)
{
  memset(key, 0, GMF_ID_SIZE);
  if (type.kind == GMF_TEXT) {
    size_t length = strnlen(text, GMF_ID_SIZE);
    if (length > (size_t)type.size) return false;
    memcpy(key, text, length);
    return true;
  }
  char *end = NULL, canonical[32];
  int64_t value = strtoll(text, &end, 10);
  snprintf(canonical, sizeof canonical, "%" PRId64, value);
  memcpy(key, &value, sizeof value);
  return strcmp(canonical, text) == 0;
}

gmf_status gmf_model_ids_find(gmf_model_ids *ids, const char *id, int64_t *row, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_type type = ids->array.type;
  char key[GMF_ID_SIZE], found[GMF_ID_SIZE];

  *row = -1;
  if (!encode_id(type, id, key)) return GMF_OK;
  GMF_TRY(prepare_lookup(ids, true, err));
  int64_t low = 0, high = ids->n;
  while (low < high && *row < 0) {
    int64_t middle = low + (high - low) / 2;
    GMF_TRY(fetch_id(ids, row_at(ids, middle), found, err));
    int order = compare_ids(type, found, key);
    if (order == 0) *row = row_at(ids, middle);
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
cleanup:
  return status;
}

gmf_status gmf_model_ids_text(gmf_model_ids *ids, int64_t row, char *out, size_t size, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_type type = ids->array.type;
  char id[GMF_ID_SIZE];

  if (row < 0 || row >= ids->n)
    return gmf_fail(err, GMF_ERR_USAGE, "%s: there is no %s row %" PRId64, ids->path, gmf_side_noun(ids->side), row);
  GMF_TRY(prepare_lookup(ids, false, err));
  GMF_TRY(fetch_id(ids, row, id, err));
  if (type.kind == GMF_TEXT) {
    snprintf(out, size, "%.*s", gmf_int(type.size), id);
  } else {
    int64_t value = 0;
    memcpy(&value, id, sizeof value);
    if (size >= GMF_I64_TEXT)
      gmf_i64_text(value, out);
    else
      snprintf(out, size, "%" PRId64, value);
  }
cleanup:
  return status;
}
