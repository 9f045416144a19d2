/*
 * npz: a ZIP archive (PKWARE, APPNOTE 6.3.10) of npy arrays (numpy.lib.format, version 1.0), stored without compression
 * and always with 64-bit sizes, as numpy.savez writes them. Sizes are known beforehand; of an entry's checksum, which
 * stands before its data, the place is filled in afterwards.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/export_internal.h"
#include "io/layout.h"

enum {
  MAX_ENTRIES = 64,
  EXTRA_LOCAL = 20,
  VERSION = 45, /* the first with 64-bit sizes */
  DOS_DATE = 33 /* 1 January 1980: two exports give the same bytes */
};

typedef struct entry {
  char name[96];
  int64_t offset, size;
  uint32_t crc;
} entry;

typedef struct archive {
  FILE *file;
  const char *path;
  entry entries[MAX_ENTRIES];
  int n;
  int64_t end; /* of the entry that is being written */
} archive;

/* Numbers are little-endian, one after the other. */
typedef struct record {
  unsigned char bytes[256];
  size_t n;
} record;

static void put(record *r, uint64_t value, int n_bytes)
{
  for (int b = 0; b < n_bytes; b++) r->bytes[r->n++] = (unsigned char)(value >> (8 * b));
}

static void put_text(record *r, const char *text)
{
  memcpy(r->bytes + r->n, text, strlen(text));
  r->n += strlen(text);
}

static gmf_status write_bytes(archive *z, const void *bytes, size_t n, gmf_error *err)
{
  if (fwrite(bytes, 1, n, z->file) == n) return GMF_OK;
  return gmf_fail(err, GMF_ERR_IO, "%s: writing failed: %s", z->path, strerror(errno));
}

/* Data of the entry. */
static gmf_status add_data(archive *z, const void *bytes, int64_t n, gmf_error *err)
{
  entry *e = &z->entries[z->n];
  for (int64_t at = 0; at < n;) {
    int64_t step = gmf_min64(n - at, 1 << 28);
    e->crc = (uint32_t)crc32(e->crc, (const unsigned char *)bytes + at, (unsigned)step);
    at += step;
  }
  z->end += n;
  return write_bytes(z, bytes, (size_t)n, err);
}

/* What both headers of an entry have; the sizes stand in the extra field. */
static void put_common(record *r, const entry *e)
{
  put(r, 0, 2); /* flags */
  put(r, 0, 2); /* stored */
  put(r, 0, 2);
  put(r, DOS_DATE, 2);
  put(r, e->crc, 4);
  put(r, 0xffffffff, 4);
  put(r, 0xffffffff, 4);
  put(r, strlen(e->name), 2);
}

/* The header of a local entry, and after it its name and the extra field of 64-bit sizes. */
static gmf_status write_local(archive *z, const entry *e, gmf_error *err)
{
  record r = {.n = 0};
  put(&r, 0x04034b50, 4);
  put(&r, VERSION, 2);
  put_common(&r, e);
  put(&r, EXTRA_LOCAL, 2);
  put_text(&r, e->name);
  put(&r, 1, 2);
  put(&r, 16, 2);
  put(&r, (uint64_t)e->size, 8);
  put(&r, (uint64_t)e->size, 8);
  return write_bytes(z, r.bytes, r.n, err);
}

static const char *numpy_type(gmf_type type, char *out, size_t size)
{
  static const char *const NAMES[] = {"<f4", "<f8", "<i4", "<i8", "<u8"};
  if (type.kind != GMF_TEXT) return NAMES[type.kind];
  snprintf(out, size, "|S%" PRId64, type.size);
  return out;
}

/* Begins an array of n_dims dimensions; its data must follow. */
static gmf_status begin_array(archive *z, const char *name, gmf_type type, int n_dims, const int64_t dims[2],
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  char header[256], shape[64] = "()", text[32];
  int64_t n_bytes = type.size;
  for (int d = 0; d < n_dims; d++) n_bytes *= dims[d];
  if (n_dims == 1) snprintf(shape, sizeof shape, "(%" PRId64 ",)", dims[0]);
  if (n_dims == 2) snprintf(shape, sizeof shape, "(%" PRId64 ", %" PRId64 ")", dims[0], dims[1]);
  /* Magic, version, length of the rest; the rest is padded by blanks to 64 bytes in all, and ends its line. */
  int n = snprintf(header + 10, sizeof header - 10, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                   numpy_type(type, text, sizeof text), shape);
  int total = (10 + n + 1 + 63) / 64 * 64;
  memset(header + 10 + n, ' ', (size_t)(total - 10 - n));
  header[total - 1] = '\n';
  memcpy(header, "\x93NUMPY\x01\x00", 8);
  header[8] = (char)((total - 10) & 0xff);
  header[9] = (char)((total - 10) >> 8);
  GMF_CHECK(z->n < MAX_ENTRIES);
  entry *e = &z->entries[z->n];
  *e = (entry){.offset = ftello(z->file), .size = total + n_bytes, .crc = (uint32_t)crc32(0, NULL, 0)};
  snprintf(e->name, sizeof e->name, "%s.npy", name);
  z->end = 0;
  GMF_TRY(write_local(z, e, err));
  GMF_TRY(add_data(z, header, total, err));
cleanup:
  return status;
}

static gmf_status end_array(archive *z, gmf_error *err)
{
  gmf_status status = GMF_OK;
  entry *e = &z->entries[z->n++];
  int64_t after = ftello(z->file);
  GMF_CHECK(z->end == e->size);
  if (fseeko(z->file, e->offset, SEEK_SET) != 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: writing failed: %s", z->path, strerror(errno)));
  GMF_TRY(write_local(z, e, err));
  if (fseeko(z->file, after, SEEK_SET) != 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: writing failed: %s", z->path, strerror(errno)));
cleanup:
  return status;
}

static gmf_status add_small(archive *z, const char *name, gmf_type type, int n_dims, int64_t n, const void *data,
                            gmf_error *err)
{
  gmf_status status = GMF_OK;
  const int64_t dims[2] = {n, 1};
  GMF_TRY(begin_array(z, name, type, n_dims, dims, err));
  GMF_TRY(add_data(z, data, type.size * (n_dims > 0 ? n : 1), err));
  GMF_TRY(end_array(z, err));
cleanup:
  return status;
}

/* An array of the file, in the type it has there. */
static gmf_status copy_array(archive *z, const gmf_export_source *s, const char *from, const char *name, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array a = {.id = H5I_INVALID_HID};
  char *piece = NULL;
  GMF_TRY(gmf_h5_array_open(s->file, s->path, from, 0, &a, err));
  int64_t rows = gmf_export_piece(&a), row_bytes = a.type.size * a.dims[1];
  GMF_TRY(GMF_NEW(piece, rows * row_bytes, err));
  GMF_TRY(begin_array(z, name, a.type, a.n_dims, a.dims, err));
  for (int64_t begin = 0; begin < a.dims[0]; begin += rows) {
    int64_t n = gmf_min64(rows, a.dims[0] - begin);
    GMF_TRY(gmf_h5_array_read(&a, begin, n, a.type.kind, piece, err));
    GMF_TRY(add_data(z, piece, n * row_bytes, err));
  }
  GMF_TRY(end_array(z, err));
cleanup:
  gmf_free(piece);
  gmf_h5_array_close(&a);
  return status;
}

/* What scipy.sparse.load_npz wants beside the arrays of a csr matrix. */
static gmf_status add_csr_marks(archive *z, const gmf_export_source *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t shape[2] = {0};
  gmf_h5_array ids = {.id = H5I_INVALID_HID};
  for (int side = 0; side < GMF_N_SIDES; side++) {
    char name[32];
    snprintf(name, sizeof name, "%s/%s", gmf_side_name((gmf_side)side), GMF_NAME_ID);
    GMF_TRY(gmf_h5_array_open(s->file, s->path, name, 1, &ids, err));
    shape[side] = ids.dims[0];
    gmf_h5_array_close(&ids);
  }
  GMF_TRY(add_small(z, "format", gmf_type_text(3), 0, 1, "csr", err));
  GMF_TRY(add_small(z, "shape", gmf_type_of(GMF_I8), 1, 2, shape, err));
cleanup:
  return status;
}

/* The central directory and its ends, the one of 64 bits first. */
static gmf_status finish(archive *z, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t begin = ftello(z->file);
  for (int i = 0; i < z->n; i++) {
    const entry *e = &z->entries[i];
    record r = {.n = 0};
    put(&r, 0x02014b50, 4);
    put(&r, VERSION | 3 << 8, 2); /* made on Unix */
    put(&r, VERSION, 2);
    put_common(&r, e);
    put(&r, 28, 2); /* extra field */
    put(&r, 0, 2);  /* comment */
    put(&r, 0, 2);  /* disk */
    put(&r, 0, 2);
    put(&r, (uint64_t)0644 << 16, 4);
    put(&r, 0xffffffff, 4);
    put_text(&r, e->name);
    put(&r, 1, 2);
    put(&r, 24, 2);
    put(&r, (uint64_t)e->size, 8);
    put(&r, (uint64_t)e->size, 8);
    put(&r, (uint64_t)e->offset, 8);
    GMF_TRY(write_bytes(z, r.bytes, r.n, err));
  }
  int64_t end = ftello(z->file);
  record r = {.n = 0};
  put(&r, 0x06064b50, 4);
  put(&r, 44, 8);
  put(&r, VERSION | 3 << 8, 2);
  put(&r, VERSION, 2);
  put(&r, 0, 8); /* disks */
  put(&r, (uint64_t)z->n, 8);
  put(&r, (uint64_t)z->n, 8);
  put(&r, (uint64_t)(end - begin), 8);
  put(&r, (uint64_t)begin, 8);
  put(&r, 0x07064b50, 4);
  put(&r, 0, 4);
  put(&r, (uint64_t)end, 8);
  put(&r, 1, 4);
  put(&r, 0x06054b50, 4);
  put(&r, 0, 4); /* disks */
  put(&r, (uint64_t)z->n, 2);
  put(&r, (uint64_t)z->n, 2);
  put(&r, 0xffffffff, 4);
  put(&r, 0xffffffff, 4);
  put(&r, 0, 2);
  GMF_TRY(write_bytes(z, r.bytes, r.n, err));
cleanup:
  return status;
}

/* The arrays of each kind of file, and their names in the archive; those that a file lacks are passed over. */
static const struct {
  const char *format, *array, *name;
} ARRAYS[] = {
    {GMF_FORMAT_DATASET, "users/id", "user_ids"},
    {GMF_FORMAT_DATASET, "items/id", "item_ids"},
    {GMF_FORMAT_DATASET, "ratings/indptr", "indptr"},
    {GMF_FORMAT_DATASET, "ratings/indices", "indices"},
    {GMF_FORMAT_DATASET, "ratings/data", "data"},
    {GMF_FORMAT_DATASET, "ratings/time", "time"},
    {GMF_FORMAT_DATASET, "ratings/weight", "weight"},
    {GMF_FORMAT_DATASET, "users/features/indptr", "user_features_indptr"},
    {GMF_FORMAT_DATASET, "users/features/indices", "user_features_indices"},
    {GMF_FORMAT_DATASET, "users/features/data", "user_features_data"},
    {GMF_FORMAT_DATASET, "users/feature_names", "user_feature_names"},
    {GMF_FORMAT_DATASET, "users/feature_mean", "user_feature_mean"},
    {GMF_FORMAT_DATASET, "users/feature_scale", "user_feature_scale"},
    {GMF_FORMAT_DATASET, "items/features/indptr", "item_features_indptr"},
    {GMF_FORMAT_DATASET, "items/features/indices", "item_features_indices"},
    {GMF_FORMAT_DATASET, "items/features/data", "item_features_data"},
    {GMF_FORMAT_DATASET, "items/feature_names", "item_feature_names"},
    {GMF_FORMAT_DATASET, "items/feature_mean", "item_feature_mean"},
    {GMF_FORMAT_DATASET, "items/feature_scale", "item_feature_scale"},
    {GMF_FORMAT_MODEL, "users/id", "user_ids"},
    {GMF_FORMAT_MODEL, "items/id", "item_ids"},
    {GMF_FORMAT_MODEL, "users/factors", "user_factors"},
    {GMF_FORMAT_MODEL, "items/factors", "item_factors"},
    {GMF_FORMAT_MODEL, "users/bias", "user_bias"},
    {GMF_FORMAT_MODEL, "items/bias", "item_bias"},
    {GMF_FORMAT_MODEL, "users/count", "user_count"},
    {GMF_FORMAT_MODEL, "items/count", "item_count"},
    {GMF_FORMAT_MODEL, "items/gram", "item_gram"},
    {GMF_FORMAT_MODEL, "items/weights", "item_weights"},
    {GMF_FORMAT_MODEL, "items/similarity/indptr", "item_similarity_indptr"},
    {GMF_FORMAT_MODEL, "items/similarity/indices", "item_similarity_indices"},
    {GMF_FORMAT_MODEL, "items/similarity/data", "item_similarity_data"},
    {GMF_FORMAT_MODEL, "singular_values", "singular_values"},
    {GMF_FORMAT_MODEL, "seen/indptr", "seen_indptr"},
    {GMF_FORMAT_MODEL, "seen/indices", "seen_indices"},
    {GMF_FORMAT_MODEL, "seen/data", "seen_data"},
    {GMF_FORMAT_MODEL, "users/features/indptr", "user_features_indptr"},
    {GMF_FORMAT_MODEL, "users/features/indices", "user_features_indices"},
    {GMF_FORMAT_MODEL, "users/features/data", "user_features_data"},
    {GMF_FORMAT_MODEL, "users/feature_names", "user_feature_names"},
    {GMF_FORMAT_MODEL, "users/feature_mean", "user_feature_mean"},
    {GMF_FORMAT_MODEL, "users/feature_scale", "user_feature_scale"},
    {GMF_FORMAT_MODEL, "users/feature_weights", "user_feature_weights"},
    {GMF_FORMAT_MODEL, "items/features/indptr", "item_features_indptr"},
    {GMF_FORMAT_MODEL, "items/features/indices", "item_features_indices"},
    {GMF_FORMAT_MODEL, "items/features/data", "item_features_data"},
    {GMF_FORMAT_MODEL, "items/feature_names", "item_feature_names"},
    {GMF_FORMAT_MODEL, "items/feature_mean", "item_feature_mean"},
    {GMF_FORMAT_MODEL, "items/feature_scale", "item_feature_scale"},
    {GMF_FORMAT_MODEL, "items/feature_weights", "item_feature_weights"},
    {GMF_FORMAT_RECS, "users/id", "user_ids"},
    {GMF_FORMAT_RECS, "items/id", "item_ids"},
    {GMF_FORMAT_RECS, GMF_TOP_ITEM, "item"},
    {GMF_FORMAT_RECS, GMF_TOP_SCORE, "score"},
    {GMF_FORMAT_RECS, GMF_TOP_COUNT, "count"},
};

gmf_status gmf_export_npz(const gmf_export_source *s, const char *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  archive z = {.file = fopen(out, "w+be"), .path = out};
  double mean = 0;

  if (z.file == NULL) return gmf_fail(err, GMF_ERR_CREATE, "%s: %s", out, strerror(errno));
  for (size_t a = 0; a < sizeof ARRAYS / sizeof *ARRAYS; a++)
    if (strcmp(ARRAYS[a].format, s->format) == 0 && gmf_h5_exists(s->file, ARRAYS[a].array))
      GMF_TRY(copy_array(&z, s, ARRAYS[a].array, ARRAYS[a].name, err));
  if (strcmp(s->format, GMF_FORMAT_DATASET) == 0) GMF_TRY(add_csr_marks(&z, s, err));
  if (gmf_h5_attr_exists(s->file, "/", GMF_ATTR_GLOBAL_MEAN)) {
    GMF_TRY(gmf_h5_attr_f64(s->file, "/", GMF_ATTR_GLOBAL_MEAN, &mean, err));
    GMF_TRY(add_small(&z, "global_mean", gmf_type_of(GMF_F8), 0, 1, &mean, err));
  }
  GMF_TRY(finish(&z, err));
cleanup:
  if (fclose(z.file) != 0 && status == GMF_OK)
    status = gmf_fail(err, GMF_ERR_IO, "%s: writing failed: %s", out, strerror(errno));
  return status;
}
