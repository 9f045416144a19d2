#include "io/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/attributes.h"
#include "io/checksum.h"
#include "io/h5_make.h"
#include "io/layout.h"
#include "io/output.h"
#include "io/small_file.h"
#include "runtime/exchange.h"
#include "runtime/limits.h"

enum { NAME_BYTES = 96, MAX_ARRAYS = 64, MAX_FILES = 8 };

static const int64_t WRITEBACK_BYTES = 1 << 22;
static const int64_t WRITE_BYTES = 1 << 28; /* between two signs of life, rounded to whole checksum blocks */

typedef struct array {
  char name[NAME_BYTES];
  gmf_type type;
  int64_t n_rows, n_cols; /* n_cols 0: 1-D */
  int64_t row_bytes, block_rows, n_blocks;
  int64_t block_begin, block_end; /* the checksum blocks this rank writes */
  uint64_t *checksums;            /* owned [n_blocks]; mine are set as they are written */
  int64_t n_written;              /* of my blocks, from block_begin on */
} array;

typedef enum attr_kind { ATTR_TEXT, ATTR_I64, ATTR_F64 } attr_kind;

typedef struct attribute {
  char object[NAME_BYTES], name[NAME_BYTES];
  attr_kind kind;
  char *text; /* owned */
  int64_t i64[4];
  double f64;
  int n; /* -1: a scalar */
} attribute;

struct gmf_writer {
  const gmf_grid *grid; /* borrowed */
  gmf_output output;    /* owned; its paths are the same on all ranks, the rest is rank 0's */
  char format[32];
  array arrays[MAX_ARRAYS];
  int n_arrays;
  attribute *attributes; /* owned */
  int64_t n_attributes, attribute_capacity;
  hid_t file; /* my handle between create and seal */
  bool broken, sealed;
  gmf_error declared; /* what went wrong in a Local declaration; agreed by gmf_writer_create */
};

int64_t gmf_writer_bytes(const gmf_writer *w)
{
  int64_t bytes = 0;
  for (int a = 0; a < w->n_arrays; a++) bytes += w->arrays[a].n_rows * w->arrays[a].row_bytes;
  return bytes;
}

/* ---- declarations ------------------------------------------------------------------------------------------------ */

/* Every rank. A folder that only some nodes have would make the collective open of the file hang. */
static gmf_status check_visible(const gmf_writer *w, gmf_error *err)
{
  int fd = open(w->output.temporary, O_RDWR);
  if (fd < 0)
    return gmf_fail(err, GMF_ERR_CREATE,
                    "%s: rank %d cannot see the file that rank 0 made beside it: %s; write to a "
                    "file system that all nodes share",
                    w->output.path, w->grid->rank, strerror(errno));
  close(fd);
  return GMF_OK;
}

gmf_status gmf_writer_open(const gmf_grid *grid, const char *path, const char *format, gmf_writer **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_writer *w = NULL;

  *out = NULL;
  status = GMF_NEW_ZERO(w, 1, err);
  if (status == GMF_OK) {
    w->grid = grid;
    w->file = H5I_INVALID_HID;
    snprintf(w->format, sizeof w->format, "%s", format);
  }
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_TRY(gmf_agree(grid, grid->rank == 0 ? gmf_output_open(&w->output, path, err) : GMF_OK, err));
  gmf_broadcast(grid, w->output.path, sizeof w->output.path);
  gmf_broadcast(grid, w->output.temporary, sizeof w->output.temporary);
  GMF_TRY(gmf_agree(grid, check_visible(w, err), err));
  *out = w;
  w = NULL;

cleanup:
  gmf_writer_destroy(&w);
  return status;
}

const char *gmf_writer_notes(const gmf_writer *w) { return w->output.notes.text != NULL ? w->output.notes.text : ""; }

void gmf_writer_add(gmf_writer *w, const char *name, gmf_type type, int64_t n_rows, int64_t n_cols)
{
  gmf_writer_add_blocks(w, name, type, n_rows, n_cols, gmf_checksum_block_rows(type.size * gmf_max64(n_cols, 1)));
}

void gmf_writer_add_blocks(gmf_writer *w, const char *name, gmf_type type, int64_t n_rows, int64_t n_cols,
                           int64_t block_rows)
{
  GMF_CHECK(w->n_arrays < MAX_ARRAYS && strlen(name) < NAME_BYTES);
  array *a = &w->arrays[w->n_arrays++];
  snprintf(a->name, sizeof a->name, "%s", name);
  a->type = type;
  a->n_rows = n_rows;
  a->n_cols = n_cols;
  a->row_bytes = type.size * gmf_max64(n_cols, 1);
  a->block_rows = block_rows;
  a->n_blocks = (n_rows + a->block_rows - 1) / a->block_rows;
  a->block_begin = gmf_slice_begin(a->n_blocks, w->grid->size, w->grid->rank);
  a->block_end = gmf_slice_begin(a->n_blocks, w->grid->size, w->grid->rank + 1);
}

static attribute *new_attribute(gmf_writer *w, const char *object, const char *name)
{
  GMF_CHECK(strlen(object) < NAME_BYTES && strlen(name) < NAME_BYTES);
  if (GMF_RESERVE(w->attributes, w->attribute_capacity, w->n_attributes + 1, &w->declared) != GMF_OK) return NULL;
  attribute *a = &w->attributes[w->n_attributes++];
  memset(a, 0, sizeof *a);
  snprintf(a->object, sizeof a->object, "%s", object);
  snprintf(a->name, sizeof a->name, "%s", name);
  a->n = -1;
  return a;
}

void gmf_writer_attr_text(gmf_writer *w, const char *object, const char *name, const char *value)
{
  attribute *a = new_attribute(w, object, name);
  if (a == NULL) return;
  int64_t n = (int64_t)strlen(value) + 1;
  a->kind = ATTR_TEXT;
  if (GMF_NEW(a->text, n, &w->declared) == GMF_OK) memcpy(a->text, value, (size_t)n);
}

void gmf_writer_attr_i64(gmf_writer *w, const char *object, const char *name, int64_t value)
{
  attribute *a = new_attribute(w, object, name);
  if (a == NULL) return;
  a->kind = ATTR_I64;
  a->i64[0] = value;
}

void gmf_writer_attr_i64s(gmf_writer *w, const char *object, const char *name, const int64_t *values, int n)
{
  attribute *a = new_attribute(w, object, name);
  if (a == NULL) return;
  GMF_CHECK(n >= 0 && n <= 4);
  a->kind = ATTR_I64;
  a->n = n;
  memcpy(a->i64, values, (size_t)n * sizeof *values);
}

void gmf_writer_attr_f64(gmf_writer *w, const char *object, const char *name, double value)
{
  attribute *a = new_attribute(w, object, name);
  if (a == NULL) return;
  a->kind = ATTR_F64;
  a->f64 = value;
}

void gmf_writer_add_csr(gmf_writer *w, const char *group, int64_t n_rows, int64_t n_cols, int64_t nnz, unsigned extras)
{
  char name[NAME_BYTES];
  int64_t shape[2] = {n_rows, n_cols};
  gmf_writer_attr_text(w, group, GMF_ATTR_ENCODING, GMF_CSR_ENCODING);
  gmf_writer_attr_text(w, group, GMF_ATTR_ENCODING_VERSION, GMF_CSR_ENCODING_VERSION);
  gmf_writer_attr_i64s(w, group, GMF_ATTR_SHAPE, shape, 2);
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_INDPTR);
  gmf_writer_add(w, name, gmf_type_of(GMF_I8), n_rows + 1, 0);
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_INDICES);
  gmf_writer_add(w, name, gmf_type_of(n_cols <= INT32_MAX ? GMF_I4 : GMF_I8), nnz, 0);
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_DATA);
  gmf_writer_add(w, name, gmf_type_of((extras & GMF_CSR_F8) != 0 ? GMF_F8 : GMF_F4), nnz, 0);
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_TIME);
  if ((extras & GMF_CSR_WITH_TIME) != 0) gmf_writer_add(w, name, gmf_type_of(GMF_I8), nnz, 0);
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_WEIGHT);
  if ((extras & GMF_CSR_WITH_WEIGHT) != 0) gmf_writer_add(w, name, gmf_type_of(GMF_F4), nnz, 0);
}

/* ---- phase A: rank 0 makes the file ------------------------------------------------------------------------------ */

static gmf_status make_attribute(hid_t file, const attribute *a, gmf_error *err)
{
  switch (a->kind) {
    case ATTR_TEXT: return gmf_h5_write_attr_text(file, a->object, a->name, a->text, err);
    case ATTR_I64: return gmf_h5_write_attr_i64(file, a->object, a->name, a->i64, a->n, err);
    case ATTR_F64: return gmf_h5_write_attr_f64(file, a->object, a->name, &a->f64, -1, err);
  }
  return GMF_OK;
}

static bool is_declared_array(const gmf_writer *w, const char *name)
{
  for (int a = 0; a < w->n_arrays; a++)
    if (strcmp(w->arrays[a].name, name) == 0) return true;
  return false;
}

static gmf_status make_contents(gmf_writer *w, hid_t file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[2 * NAME_BYTES];
  GMF_TRY(gmf_h5_write_attr_text(file, "/", GMF_ATTR_FORMAT, w->format, err));
  GMF_TRY(gmf_h5_write_attr_text(file, "/", GMF_ATTR_VERSION, GMF_FORMAT_VERSION, err));
  int64_t not_yet = 0;
  GMF_TRY(gmf_h5_write_attr_i64(file, "/", GMF_ATTR_COMPLETE, &not_yet, -1, err));
  for (int a = 0; a < w->n_arrays; a++) {
    const array *d = &w->arrays[a];
    GMF_TRY(gmf_h5_make_array(file, d->name, d->type, d->n_rows, d->n_cols, err));
    snprintf(name, sizeof name, "%s/%s", GMF_GROUP_INTEGRITY, d->name);
    GMF_TRY(gmf_h5_make_array(file, name, gmf_type_of(GMF_U8), d->n_blocks, 0, err));
    GMF_TRY(gmf_h5_write_attr_i64(file, name, GMF_ATTR_BLOCK_ROWS, &d->block_rows, -1, err));
  }
  GMF_TRY(gmf_h5_make_group(file, GMF_GROUP_INTEGRITY, err));
  GMF_TRY(gmf_h5_write_attr_text(file, GMF_GROUP_INTEGRITY, GMF_ATTR_CHECKSUM, GMF_CHECKSUM_NAME, err));
  GMF_TRY(gmf_h5_make_array(file, GMF_GROUP_INTEGRITY "/" GMF_NAME_ATTRIBUTES, gmf_type_of(GMF_U8), 1, 0, err));
  for (int64_t a = 0; a < w->n_attributes; a++) {
    if (!is_declared_array(w, w->attributes[a].object)) GMF_TRY(gmf_h5_make_group(file, w->attributes[a].object, err));
    GMF_TRY(make_attribute(file, &w->attributes[a], err));
  }
cleanup:
  return status;
}

/* Gives the temporary file its full size on the disk, so that a full disk shows before any data is written. */
static gmf_status reserve_space(gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  struct stat st;
  int fd = open(w->output.temporary, O_RDWR);
  if (fd < 0 || fstat(fd, &st) != 0) GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: %s", w->output.temporary, strerror(errno)));
  /* Early allocation in HDF5 fixes the end of the file in its metadata only; the file grows to it here. */
  int64_t bytes = gmf_max64((int64_t)st.st_size, 1);
  int code = fallocate(fd, 0, 0, bytes) == 0 ? 0 : errno; /* not posix_fallocate, which writes where this cannot */
  if (code != 0 && code != EOPNOTSUPP && code != EINVAL && code != ENOSYS)
    GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: %.3f GB cannot be reserved: %s; free some space or write elsewhere",
                     w->output.path, (double)bytes / 1e9, strerror(code)));
  if (fsync(fd) != 0) GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: sync failed: %s", w->output.path, strerror(errno)));

cleanup:
  if (fd >= 0) close(fd);
  return status;
}

/* Closes rank 0's own handle after work that came to `status`. HDF5 keeps a file whose writing failed half open, and
 * then crashes when MPI_Finalize ends it: the program has to leave by MPI_Abort. */
static gmf_status close_serial(gmf_writer *w, hid_t file, gmf_status status, gmf_error *err)
{
  if (H5Fclose(file) < 0 && status == GMF_OK)
    status = gmf_fail(err, GMF_ERR_IO, "%s: cannot be closed: %s", w->output.path, gmf_h5_reason());
  if (status != GMF_OK && err != NULL) err->must_abort = true;
  return status;
}

static gmf_status make_file(gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
  H5Pset_alignment(access, 4096, 4096);
  H5Pset_obj_track_times(create, 0);
  hid_t file = H5Fcreate(w->output.temporary, H5F_ACC_TRUNC, create, access);
  if (file < 0) /* the name was there already: it is the disk that fails */
    status = gmf_fail(err, GMF_ERR_IO, "%s: cannot be written: %s", w->output.path, gmf_h5_reason());
  H5Pclose(access);
  H5Pclose(create);
  GMF_TRY(status);
  status = make_contents(w, file, err);
  GMF_TRY(close_serial(w, file, status, err));
  GMF_TRY(reserve_space(w, err));

cleanup:
  return status;
}

/*
 * Local: every rank has a handle of its own on the one file. With a handle on all ranks closing would be collective,
 * and rank 0 writes the superblock on the way: where that write fails, HDF5 1.10 leaves the others waiting for ever.
 */
static gmf_status open_mine(gmf_writer *w, gmf_error *err)
{
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
  H5Pset_fapl_mpio(access, MPI_COMM_SELF, MPI_INFO_NULL);
  w->file = H5Fopen(w->output.temporary, H5F_ACC_RDWR, access);
  H5Pclose(access);
  if (w->file < 0)
    return gmf_fail(err, GMF_ERR_IO, "%s: cannot be opened by rank %d: %s", w->output.path, w->grid->rank,
                    gmf_h5_reason());
  return GMF_OK;
}

/* Local. Closes what open_mine opened: every rank writes the same superblock. */
static gmf_status close_mine(gmf_writer *w, gmf_error *err)
{
  hid_t file = w->file;
  w->file = H5I_INVALID_HID;
  if (H5Fclose(file) < 0)
    return gmf_fail(err, GMF_ERR_IO, "%s: cannot be closed by rank %d: %s", w->output.path, w->grid->rank,
                    gmf_h5_reason());
  return GMF_OK;
}

/* Collective. A file that HDF5 failed to write stays half open and crashes MPI_Finalize: the caller has to abort. */
static gmf_status agree_or_break(gmf_writer *w, gmf_status status, gmf_error *err)
{
  status = gmf_agree(w->grid, status, err);
  if (status != GMF_OK) {
    w->broken = true;
    if (err != NULL) err->must_abort = true;
  }
  return status;
}

gmf_status gmf_writer_create(gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_phase before = gmf_trace_phase(w->grid->trace, GMF_PHASE_WRITE);

  for (int a = 0; a < w->n_arrays && w->declared.status == GMF_OK; a++)
    GMF_NEW_ZERO(w->arrays[a].checksums, w->arrays[a].n_blocks, &w->declared);
  if (w->declared.status != GMF_OK)
    status = gmf_fail(err, w->declared.status, "%s", w->declared.text);
  else if (w->grid->rank == 0)
    status = make_file(w, err);
  GMF_TRY(gmf_agree(w->grid, status, err));
  GMF_TRY(agree_or_break(w, open_mine(w, err), err));

cleanup:
  gmf_trace_phase(w->grid->trace, before);
  return status;
}

/* ---- phase B: all ranks write ------------------------------------------------------------------------------------ */

static array *find_array(gmf_writer *w, const char *name)
{
  for (int a = 0; a < w->n_arrays; a++)
    if (strcmp(w->arrays[a].name, name) == 0) return &w->arrays[a];
  return NULL;
}

static int64_t row_of_block(const array *a, int64_t block) { return gmf_min64(block * a->block_rows, a->n_rows); }

/* Rows [begin, begin + n) of the array between memory and file, in either direction, in one call of HDF5. */
static gmf_status transfer_piece(const gmf_writer *w, const array *a, int64_t begin, int64_t n, const void *from,
                                 void *to, gmf_error *err)
{
  gmf_status status = GMF_OK;
  hsize_t start[2] = {(hsize_t)begin, 0}, count[2] = {(hsize_t)n, (hsize_t)gmf_max64(a->n_cols, 1)};
  int n_dims = a->n_cols > 0 ? 2 : 1;
  hid_t type = gmf_type_h5(a->type), id = H5Dopen2(w->file, a->name, H5P_DEFAULT);
  hid_t in_file = H5Dget_space(id), in_memory = H5Screate_simple(n_dims, count, NULL);
  hid_t how = H5Pcreate(H5P_DATASET_XFER);

  H5Pset_dxpl_mpio(how, H5FD_MPIO_INDEPENDENT);
  H5Sselect_hyperslab(in_file, H5S_SELECT_SET, start, NULL, count, NULL);
  herr_t code =
      from != NULL ? H5Dwrite(id, type, in_memory, in_file, how, from) : H5Dread(id, type, in_memory, in_file, how, to);
  if (code < 0)
    status = gmf_fail(err, GMF_ERR_IO, "%s: %s /%s failed at row %" PRId64 ": %s; is the disk full?", w->output.path,
                      from != NULL ? "writing" : "reading back", a->name, begin, gmf_h5_reason());
  H5Pclose(how);
  H5Sclose(in_memory);
  H5Sclose(in_file);
  H5Tclose(type);
  /* After a failure HDF5 would try to write again. */
  if (status == GMF_OK) H5Dclose(id);
  return status;
}

/* The same in as many calls as it takes. Local: independent transfers. */
static gmf_status transfer(const gmf_writer *w, const array *a, int64_t begin, int64_t n, const char *from, char *to,
                           gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t done = 0, piece = 0; done < n; done += piece) {
    int64_t at = done * a->row_bytes;
    piece = gmf_limit_piece(n - done, a->row_bytes);
    GMF_TRY(
        transfer_piece(w, a, begin + done, piece, from != NULL ? from + at : NULL, to != NULL ? to + at : NULL, err));
  }
cleanup:
  return status;
}

/* Local. Has the system begin to bring to the disk what was written, so that the sync at the end finds little left. A
 * hint: whether it does is known at that sync. */
static void start_writeback(const gmf_writer *w)
{
#ifdef SYNC_FILE_RANGE_WRITE
  int fd = open(w->output.temporary, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  close(fd);
#else
  (void)w;
#endif
}

/* Blocks [first, last) to the file, with their checksums; they follow those written before. `rows` begins with the
 * first row of block `first`. */
static gmf_status write_blocks(gmf_writer *w, array *a, int64_t first, int64_t last, const char *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t first_row = row_of_block(a, first);
  int64_t step = gmf_max64(1, WRITE_BYTES / (a->block_rows * a->row_bytes));
  GMF_CHECK(first == a->block_begin + a->n_written && last <= a->block_end);
  for (int64_t block = first; block < last; block += step) {
    int64_t end = gmf_min64(block + step, last);
    gmf_beat();
    for (int64_t b = block; b < end; b++)
      a->checksums[b] = gmf_checksum(rows + (row_of_block(a, b) - first_row) * a->row_bytes,
                                     (row_of_block(a, b + 1) - row_of_block(a, b)) * a->row_bytes);
    int64_t begin = row_of_block(a, block), n = row_of_block(a, end) - begin;
    GMF_TRY(transfer(w, a, begin, n, rows + (begin - first_row) * a->row_bytes, NULL, err));
    if (n * a->row_bytes >= WRITEBACK_BYTES) start_writeback(w);
  }
  a->n_written += last - first;
  gmf_trace_work(w->grid->trace, GMF_PHASE_WRITE, (row_of_block(a, last) - first_row) * a->row_bytes);
cleanup:
  return status;
}

/* The rows [begin, end) of the caller that lie in the blocks of rank r: how many. */
static int64_t overlap_with(const array *a, int n_ranks, int r, int64_t begin, int64_t end)
{
  int64_t from = row_of_block(a, gmf_slice_begin(a->n_blocks, n_ranks, r));
  int64_t to = row_of_block(a, gmf_slice_begin(a->n_blocks, n_ranks, r + 1));
  return gmf_max64(0, gmf_min64(end, to) - gmf_max64(begin, from));
}

/* A rank's rows of an array, of its whole blocks: some of ranks before it, then its own, then some of ranks behind it.
 * Own rows stay where the caller has them. */
typedef struct block_rows {
  const char *received; /* borrowed: of the others, in order */
  int64_t n_before, n_behind;
  const char *own; /* borrowed */
  int64_t n_own;
} block_rows;

/* Rows [begin, end) of them, counted from the first, to `out`. */
static void copy_rows(const block_rows *rows, int64_t row_bytes, int64_t begin, int64_t end, char *out)
{
  int64_t ends[] = {rows->n_before, rows->n_before + rows->n_own, rows->n_before + rows->n_own + rows->n_behind};
  const char *from[] = {rows->received, rows->own, rows->received + rows->n_before * row_bytes};
  for (int part = 0; part < 3; part++) {
    int64_t first = part == 0 ? 0 : ends[part - 1], low = gmf_max64(begin, first), high = gmf_min64(end, ends[part]);
    if (low >= high) continue;
    memcpy(out, from[part] + (low - first) * row_bytes, (size_t)((high - low) * row_bytes));
    out += (high - low) * row_bytes;
  }
}

/* Local. My blocks: those of own rows alone from where these stand, those around them from a copy. */
static gmf_status write_mine(gmf_writer *w, array *a, const block_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *edge = NULL;
  int64_t first_row = row_of_block(a, a->block_begin), n = row_of_block(a, a->block_end) - first_row;
  /* Blocks [own_begin, own_end) hold own rows alone. */
  int64_t own_begin = gmf_min64(a->block_begin + (rows->n_before + a->block_rows - 1) / a->block_rows, a->block_end);
  int64_t own_end = rows->n_behind == 0 ? a->block_end : a->block_begin + (n - rows->n_behind) / a->block_rows;
  own_end = gmf_max64(own_begin, own_end);
  const int64_t ends[] = {own_begin, own_end, a->block_end};
  for (int part = 0; part < 3; part++) {
    int64_t block = part == 0 ? a->block_begin : ends[part - 1];
    int64_t begin = row_of_block(a, block) - first_row, end = row_of_block(a, ends[part]) - first_row;
    if (begin == end) continue;
    if (part == 1) {
      const char *own = rows->own + (begin - rows->n_before) * a->row_bytes;
      GMF_TRY(write_blocks(w, a, block, ends[part], own, err));
      continue;
    }
    GMF_TRY(GMF_NEW(edge, (end - begin) * a->row_bytes, err));
    copy_rows(rows, a->row_bytes, begin, end, edge);
    GMF_TRY(write_blocks(w, a, block, ends[part], edge, err));
    GMF_FREE(edge);
  }
cleanup:
  gmf_free(edge);
  return status;
}

/* Collective. The caller has the rows [begin, begin + mine->n_own) of the array: those of other ranks' blocks go there,
 * theirs of mine come into *received (owned by the caller), and *mine becomes what my blocks hold. */
static gmf_status exchange_edges(const gmf_writer *w, const array *a, int64_t begin, block_rows *mine, void **received,
                                 gmf_error *err)
{
  gmf_status status = GMF_OK;
  int rank = w->grid->rank, size = w->grid->size;
  int64_t *n_to = NULL, *n_from = NULL, n_low = 0, n_high = 0, n_received = 0;
  char *edges = NULL;

  status = GMF_NEW(n_to, size, err);
  if (status == GMF_OK) status = GMF_NEW(n_from, size, err);
  GMF_TRY(gmf_agree(w->grid, status, err));
  for (int r = 0; r < size; r++) {
    n_to[r] = overlap_with(a, size, r, begin, begin + mine->n_own);
    n_low += r < rank ? n_to[r] : 0;
    n_high += r > rank ? n_to[r] : 0;
  }
  const char *send = mine->own, *high = mine->own + (n_low + n_to[rank]) * a->row_bytes;
  if (n_low == 0) send = high;
  if (n_low > 0 && n_high > 0) { /* they stand together on their way */
    status = GMF_NEW(edges, (n_low + n_high) * a->row_bytes, err);
    if (status == GMF_OK) {
      memcpy(edges, mine->own, (size_t)(n_low * a->row_bytes));
      memcpy(edges + n_low * a->row_bytes, high, (size_t)(n_high * a->row_bytes));
    }
    send = edges;
  }
  GMF_TRY(gmf_agree(w->grid, status, err));
  mine->own += n_low * a->row_bytes;
  mine->n_own = n_to[rank];
  n_to[rank] = 0; /* they stay where they are */
  GMF_TRY(gmf_exchange_new(w->grid, a->row_bytes, send, n_to, received, n_from, &n_received, err));
  for (int r = 0; r < rank; r++) mine->n_before += n_from[r];
  mine->n_behind = n_received - mine->n_before;
  mine->received = *received;
cleanup:
  gmf_free(edges);
  gmf_free(n_to);
  gmf_free(n_from);
  return status;
}

gmf_status gmf_writer_write(gmf_writer *w, const char *name, int64_t begin, int64_t n, const void *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  array *a = find_array(w, name);
  void *received = NULL;
  gmf_phase before = gmf_trace_phase(w->grid->trace, GMF_PHASE_WRITE);

  GMF_CHECK(a != NULL && a->n_written == 0 && w->file >= 0);
  int64_t first = row_of_block(a, a->block_begin), n_mine = row_of_block(a, a->block_end) - first;
  int64_t moved = begin != first || n != n_mine;
  if (w->grid->size > 1) gmf_max_i64(w->grid, &moved, 1);
  GMF_CHECK(w->grid->size > 1 || !moved);
  block_rows mine = {.own = rows, .n_own = n};
  if (moved) GMF_TRY(exchange_edges(w, a, begin, &mine, &received, err));
  GMF_TRY(agree_or_break(w, write_mine(w, a, &mine, err), err));

cleanup:
  gmf_free(received);
  gmf_trace_phase(w->grid->trace, before);
  return status;
}

void gmf_writer_slice(gmf_writer *w, const char *name, int64_t *begin, int64_t *end)
{
  const array *a = find_array(w, name);
  GMF_CHECK(a != NULL);
  *begin = row_of_block(a, a->block_begin);
  *end = row_of_block(a, a->block_end);
}

gmf_status gmf_writer_write_part(gmf_writer *w, const char *name, int64_t n, const void *rows, gmf_error *err)
{
  array *a = find_array(w, name);
  GMF_CHECK(a != NULL && w->file >= 0);
  int64_t first = a->block_begin + a->n_written, last = first + (n + a->block_rows - 1) / a->block_rows;
  GMF_CHECK(last <= a->block_end && row_of_block(a, last) - row_of_block(a, first) == n);
  gmf_phase before = gmf_trace_phase(w->grid->trace, GMF_PHASE_WRITE);
  gmf_status status = agree_or_break(w, write_blocks(w, a, first, last, rows, err), err);
  gmf_trace_phase(w->grid->trace, before);
  return status;
}

/* Collective. The indices in the width of the file. */
static gmf_status write_indices(gmf_writer *w, const char *name, bool narrow, int64_t begin, int64_t n,
                                const int64_t *indices, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int32_t *copy = NULL;
  if (!narrow) return gmf_writer_write(w, name, begin, n, indices, err);
  GMF_TRY(gmf_agree(w->grid, GMF_NEW(copy, n, err), err));
  for (int64_t j = 0; j < n; j++) copy[j] = (int32_t)indices[j];
  GMF_TRY(gmf_writer_write(w, name, begin, n, copy, err));
cleanup:
  gmf_free(copy);
  return status;
}

/* Collective. Rank 0 brings the leading 0, every rank the ends of its rows. */
static gmf_status write_indptr(gmf_writer *w, const char *name, int64_t begin, const gmf_csr_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *ends = NULL, skip = w->grid->rank > 0;
  GMF_TRY(gmf_agree(w->grid, GMF_NEW(ends, rows->n_rows + 1, err), err));
  for (int64_t r = 0; r <= rows->n_rows; r++) ends[r] = begin + rows->indptr[r] - rows->indptr[0];
  GMF_TRY(gmf_writer_write(w, name, rows->row_begin + skip, rows->n_rows + 1 - skip, ends + skip, err));
cleanup:
  gmf_free(ends);
  return status;
}

gmf_status gmf_writer_write_csr(gmf_writer *w, const char *group, int64_t n_cols, const gmf_csr_rows *rows,
                                gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[NAME_BYTES];
  int64_t n = rows->indptr[rows->n_rows] - rows->indptr[0], begin = gmf_prefix_i64(w->grid, n);
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_INDPTR);
  GMF_TRY(write_indptr(w, name, begin, rows, err));
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_INDICES);
  GMF_TRY(write_indices(w, name, n_cols <= INT32_MAX, begin, n, rows->indices, err));
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_DATA);
  GMF_TRY(gmf_writer_write(w, name, begin, n, rows->data, err));
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_TIME);
  if (find_array(w, name) != NULL) GMF_TRY(gmf_writer_write(w, name, begin, n, rows->times, err));
  snprintf(name, sizeof name, "%s/%s", group, GMF_CSR_WEIGHT);
  if (find_array(w, name) != NULL) GMF_TRY(gmf_writer_write(w, name, begin, n, rows->weights, err));
cleanup:
  return status;
}

gmf_status gmf_writer_write_root(gmf_writer *w, const char *name, const void *rows, gmf_error *err)
{
  const array *a = find_array(w, name);
  GMF_CHECK(a != NULL);
  bool root = w->grid->rank == 0;
  return gmf_writer_write(w, name, root ? 0 : a->n_rows, root ? a->n_rows : 0, root ? rows : "", err);
}

/* ---- phases C and D: read back, seal, publish -------------------------------------------------------------------- */

static gmf_status read_back(const gmf_writer *w, const array *a, char *buffer, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t b = a->block_begin; b < a->block_end; b++) {
    int64_t begin = row_of_block(a, b), n = row_of_block(a, b + 1) - begin;
    gmf_beat();
    GMF_TRY(transfer(w, a, begin, n, NULL, buffer, err));
    if (gmf_checksum(buffer, n * a->row_bytes) != a->checksums[b])
      GMF_TRY(gmf_fail(err, GMF_ERR_IO,
                       "%s: /%s reads back differently than it was written, rows %" PRId64 " to %" PRId64
                       "; the disk or its file system loses data",
                       w->output.path, a->name, begin, begin + n - 1));
  }
cleanup:
  return status;
}

static gmf_status read_back_all(const gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t largest = 1;
  char *buffer = NULL;
  for (int i = 0; i < w->n_arrays; i++) {
    const array *a = &w->arrays[i];
    GMF_CHECK(a->n_written == a->block_end - a->block_begin);
    largest = gmf_max64(largest, gmf_min64(a->block_rows, a->n_rows) * a->row_bytes);
  }
  GMF_TRY(GMF_NEW(buffer, largest, err));
  for (int i = 0; i < w->n_arrays; i++) GMF_TRY(read_back(w, &w->arrays[i], buffer, err));
cleanup:
  gmf_free(buffer);
  return status;
}

static gmf_status seal_checksums(hid_t file, const char *array_name, const uint64_t *checksums, gmf_error *err)
{
  char name[2 * NAME_BYTES];
  snprintf(name, sizeof name, "%s/%s", GMF_GROUP_INTEGRITY, array_name);
  hid_t id = H5Dopen2(file, name, H5P_DEFAULT);
  gmf_status status = GMF_OK;
  if (id < 0 || H5Dwrite(id, H5T_STD_U64LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, checksums) < 0)
    status = gmf_fail(err, GMF_ERR_IO, "/%s cannot be written: %s", name, gmf_h5_reason());
  if (id >= 0 && H5Dclose(id) < 0 && status == GMF_OK)
    status = gmf_fail(err, GMF_ERR_IO, "/%s cannot be closed: %s", name, gmf_h5_reason());
  return status;
}

static gmf_status seal_contents(const gmf_writer *w, hid_t file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t attr = H5I_INVALID_HID;
  int64_t complete = 1;
  uint64_t of_attributes = 0;
  for (int a = 0; a < w->n_arrays; a++) GMF_TRY(seal_checksums(file, w->arrays[a].name, w->arrays[a].checksums, err));
  GMF_TRY(gmf_attributes_checksum(file, w->output.path, &of_attributes, err));
  GMF_TRY(seal_checksums(file, GMF_NAME_ATTRIBUTES, &of_attributes, err));
  attr = H5Aopen(file, GMF_ATTR_COMPLETE, H5P_DEFAULT);
  if (attr < 0 || H5Awrite(attr, H5T_NATIVE_INT64, &complete) < 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: cannot be marked complete: %s", w->output.path, gmf_h5_reason()));
cleanup:
  if (attr >= 0) H5Aclose(attr);
  return status;
}

/* Rank 0. The file is then complete, under its temporary name. */
static gmf_status seal_file(gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
  hid_t file = H5Fopen(w->output.temporary, H5F_ACC_RDWR, access);
  if (file < 0) status = gmf_fail(err, GMF_ERR_IO, "%s: cannot be reopened: %s", w->output.path, gmf_h5_reason());
  H5Pclose(access);
  GMF_TRY(status);
  status = seal_contents(w, file, err);
  GMF_TRY(close_serial(w, file, status, err));
  GMF_TRY(gmf_sync_path(w->output.temporary, O_RDWR, err));
cleanup:
  return status;
}

/* Collective. Rank 0 gets the checksums of all ranks: blocks are owned in rank order. */
static void gather_checksums(const gmf_writer *w, array *a)
{
  for (int64_t b = 0; b < a->n_blocks; b++)
    if (b < a->block_begin || b >= a->block_end) a->checksums[b] = 0;
  for (int64_t done = 0, n = 0; done < a->n_blocks; done += n) {
    n = gmf_limit_piece(a->n_blocks - done, 8);
    uint64_t *part = a->checksums + done;
    GMF_COLLECTIVE(w->grid->all, MPI_Reduce(w->grid->rank == 0 ? MPI_IN_PLACE : part, part, gmf_int(n), MPI_UINT64_T,
                                            MPI_BOR, 0, w->grid->all));
  }
}

gmf_status gmf_writer_seal(gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_phase before = gmf_trace_phase(w->grid->trace, GMF_PHASE_WRITE);
  GMF_TRY(agree_or_break(w, read_back_all(w, err), err));
  GMF_TRY(agree_or_break(w, close_mine(w, err), err));
  GMF_TRY(gmf_agree(w->grid, gmf_sync_path(w->output.temporary, O_RDWR, err), err));
  for (int a = 0; a < w->n_arrays; a++) gather_checksums(w, &w->arrays[a]);
  GMF_TRY(gmf_agree(w->grid, w->grid->rank == 0 ? seal_file(w, err) : GMF_OK, err));
  w->sealed = true;
cleanup:
  gmf_trace_phase(w->grid->trace, before);
  return status;
}

/* Rank 0. */
static gmf_status put_in_place(gmf_writer *const *writers, int n, gmf_error *err)
{
  gmf_output *outputs[MAX_FILES];
  GMF_CHECK(n <= MAX_FILES);
  for (int i = 0; i < n; i++) outputs[i] = &writers[i]->output;
  return gmf_outputs_commit(outputs, n, err);
}

gmf_status gmf_writer_commit_all(gmf_writer *const *writers, int n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_grid *grid = writers[0]->grid;
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_WRITE);
  for (int i = 0; i < n; i++) GMF_CHECK(writers[i]->sealed);
  status = gmf_agree(grid, grid->rank == 0 ? put_in_place(writers, n, err) : GMF_OK, err);
  gmf_trace_phase(grid->trace, before);
  return status;
}

gmf_status gmf_writer_commit(gmf_writer *w, gmf_error *err)
{
  gmf_status status = gmf_writer_seal(w, err);
  return status == GMF_OK ? gmf_writer_commit_all(&w, 1, err) : status;
}

void gmf_writer_destroy(gmf_writer **writer)
{
  gmf_writer *w = *writer;
  if (w == NULL) return;
  if (w->file >= 0 && !w->broken) H5Fclose(w->file);
  gmf_output_close(&w->output);
  for (int a = 0; a < w->n_arrays; a++) gmf_free(w->arrays[a].checksums);
  for (int64_t a = 0; a < w->n_attributes; a++) gmf_free(w->attributes[a].text);
  gmf_free(w->attributes);
  gmf_free(w);
  *writer = NULL;
}
