#include "io/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/attributes.h"
#include "io/checksum.h"
#include "io/layout.h"

static const char ATTRIBUTES[] = GMF_GROUP_INTEGRITY "/" GMF_NAME_ATTRIBUTES;

typedef struct verification {
  const gmf_grid *grid;
  const char *path;
  gmf_error *err;
  int64_t n_blocks, n_bytes; /* checked by this rank */
} verification;

/* Local. My share of one dataset's blocks. */
static gmf_status check_blocks(verification *v, const char *name, const gmf_h5_array *array, const uint64_t *sums,
                               int64_t n_blocks, int64_t block_rows)
{
  gmf_status status = GMF_OK;
  int64_t row_bytes = array->type.size * array->dims[1];
  int64_t first = gmf_slice_begin(n_blocks, v->grid->size, v->grid->rank);
  int64_t last = gmf_slice_begin(n_blocks, v->grid->size, v->grid->rank + 1);
  char *buffer = NULL;
  GMF_TRY(GMF_NEW(buffer, gmf_min64(block_rows, array->dims[0]) * row_bytes, v->err));
  for (int64_t b = first; b < last; b++) {
    gmf_beat();
    int64_t begin = b * block_rows, n = gmf_min64(block_rows, array->dims[0] - begin);
    GMF_TRY(gmf_h5_array_read(array, begin, n, array->type.kind, buffer, v->err));
    if (gmf_checksum(buffer, n * row_bytes) != sums[b])
      GMF_TRY(gmf_fail(v->err, GMF_ERR_DATA,
                       "%s: /%s is damaged: rows %" PRId64 " to %" PRId64 " do not match their checksum", v->path, name,
                       begin, begin + n - 1));
    v->n_blocks++;
    v->n_bytes += n * row_bytes;
  }
cleanup:
  gmf_free(buffer);
  return status;
}

static gmf_status check_array(verification *v, hid_t file, const char *name)
{
  gmf_status status = GMF_OK;
  gmf_h5_array array = {.id = H5I_INVALID_HID};
  uint64_t *sums = NULL;
  int64_t dims[2] = {0}, block_rows = 0;
  char sums_name[512], object[513];

  snprintf(sums_name, sizeof sums_name, "%s/%s", GMF_GROUP_INTEGRITY, name);
  snprintf(object, sizeof object, "/%s", sums_name);
  GMF_TRY(gmf_h5_array_open(file, v->path, name, 0, &array, v->err));
  GMF_TRY(gmf_h5_read_new(file, v->path, sums_name, GMF_U8, (void **)&sums, dims, v->err));
  GMF_TRY(gmf_h5_attr_i64(file, object, GMF_ATTR_BLOCK_ROWS, &block_rows, v->err));
  int64_t row_bytes = array.type.size * array.dims[1];
  if (block_rows < 1 || row_bytes < 1 || block_rows > gmf_max64(1, (1 << 28) / row_bytes) ||
      dims[0] != (array.dims[0] + block_rows - 1) / block_rows)
    GMF_TRY(gmf_fail(v->err, GMF_ERR_DATA, "%s: /%s does not fit /%s", v->path, sums_name, name));
  GMF_TRY(check_blocks(v, name, &array, sums, dims[0], block_rows));
cleanup:
  gmf_free(sums);
  gmf_h5_array_close(&array);
  return status;
}

static herr_t visit(hid_t file, const char *name, const H5O_info_t *info, void *data)
{
  verification *v = data;
  bool is_checksum = strncmp(name, GMF_GROUP_INTEGRITY, strlen(GMF_GROUP_INTEGRITY)) == 0;
  if (info->type != H5O_TYPE_DATASET || is_checksum) return 0;
  return check_array(v, file, name) == GMF_OK ? 0 : -1;
}

/* Local. Files of the first versions have no checksum of their attributes: they must be readable. */
static gmf_status check_attributes(const verification *v, hid_t file)
{
  gmf_status status = GMF_OK;
  uint64_t sum = 0, *wanted = NULL;
  int64_t dims[2] = {0};
  GMF_TRY(gmf_attributes_checksum(file, v->path, &sum, v->err));
  if (!gmf_h5_exists(file, ATTRIBUTES)) goto cleanup;
  GMF_TRY(gmf_h5_read_new(file, v->path, ATTRIBUTES, GMF_U8, (void **)&wanted, dims, v->err));
  if (dims[0] * dims[1] != 1 || sum != *wanted)
    GMF_TRY(gmf_fail(v->err, GMF_ERR_DATA, "%s: an attribute is damaged: they do not match /%s", v->path, ATTRIBUTES));
cleanup:
  gmf_free(wanted);
  return status;
}

gmf_status gmf_verify(const gmf_grid *grid, const char *path, int64_t *n_blocks, int64_t *n_bytes, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_error mine = {0};
  verification v = {.grid = grid, .path = path, .err = &mine};
  hid_t file = H5I_INVALID_HID;

  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_READ);
  local = gmf_h5_open(path, NULL, &file, &mine);
  if (local == GMF_OK && H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, visit, &v, H5O_INFO_BASIC) < 0)
    local = mine.status != GMF_OK
                ? mine.status
                : gmf_fail(&mine, GMF_ERR_DATA, "%s: cannot be walked through: %s", path, gmf_h5_reason());
  if (local == GMF_OK) local = check_attributes(&v, file);
  if (file >= 0) H5Fclose(file);
  if (err != NULL && err->status == GMF_OK) *err = mine;
  GMF_TRY(gmf_agree(grid, local, err));
  int64_t totals[2] = {v.n_blocks, v.n_bytes};
  gmf_sum_i64(grid, totals, 2);
  *n_blocks = totals[0];
  *n_bytes = totals[1];
cleanup:
  gmf_trace_phase(grid->trace, before);
  return status;
}
