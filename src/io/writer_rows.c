#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/checksum.h"
#include "io/h5_make.h"
#include "io/writer_internal.h"
#include "runtime/limits.h"

static const int64_t WRITEBACK_BYTES = 1 << 22;
static const int64_t WRITE_BYTES = 1 << 28; /* between two signs of life, rounded to whole checksum blocks */

/*
 * With a handle on all ranks closing would be collective, and rank 0 writes the superblock on the way: where that write
 * fails, HDF5 1.10 leaves the others waiting for ever.
 */
gmf_status gmf_writer_open_rows(gmf_writer *w, gmf_error *err)
{
  hid_t access = gmf_h5_make_access();
  H5Pset_fapl_mpio(access, MPI_COMM_SELF, MPI_INFO_NULL);
  w->file = H5Fopen(w->output.temporary, H5F_ACC_RDWR, access);
  H5Pclose(access);
  if (w->file < 0)
    return gmf_fail(err, GMF_ERR_IO, "%s: cannot be opened by rank %d: %s", w->output.path, w->grid->rank,
                    gmf_h5_reason());
  return GMF_OK;
}

/* Every rank writes the same superblock. */
gmf_status gmf_writer_close_rows(gmf_writer *w, gmf_error *err)
{
  hid_t file = w->file;
  w->file = H5I_INVALID_HID;
  if (H5Fclose(file) < 0)
    return gmf_fail(err, GMF_ERR_IO, "%s: cannot be closed by rank %d: %s", w->output.path, w->grid->rank,
                    gmf_h5_reason());
  return GMF_OK;
}

/* Rows [begin, begin + n) of the array between memory and file, in either direction, in one call of HDF5. */
static gmf_status transfer_piece(const gmf_writer *w, const gmf_writer_array *a, int64_t begin, int64_t n,
                                 const void *from, void *to, gmf_error *err)
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

/* The same in as many calls as it takes. */
static gmf_status transfer(const gmf_writer *w, const gmf_writer_array *a, int64_t begin, int64_t n, const char *from,
                           char *to, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t done = 0, piece = 0; done < n; done += piece) {
    int64_t at = done * a->blocks.row_bytes;
    piece = gmf_limit_piece(n - done, a->blocks.row_bytes);
    GMF_TRY(
        transfer_piece(w, a, begin + done, piece, from != NULL ? from + at : NULL, to != NULL ? to + at : NULL, err));
  }
cleanup:
  return status;
}

/* Has the system begin to bring to the disk what was written, so that the sync at the end finds little left. A hint:
 * whether it does is known at that sync. */
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

gmf_status gmf_writer_write_blocks(gmf_writer *w, gmf_writer_array *a, int64_t first, int64_t last, const char *rows,
                                   gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_row_blocks *blocks = &a->blocks;
  int64_t first_row = gmf_block_row(blocks, first);
  int64_t step = gmf_max64(1, WRITE_BYTES / (blocks->block_rows * blocks->row_bytes));
  GMF_CHECK(first == blocks->begin + a->n_written && last <= blocks->end);
  for (int64_t block = first; block < last; block += step) {
    int64_t end = gmf_min64(block + step, last);
    gmf_beat();
    for (int64_t b = block; b < end; b++)
      a->checksums[b] = gmf_checksum(rows + (gmf_block_row(blocks, b) - first_row) * blocks->row_bytes,
                                     (gmf_block_row(blocks, b + 1) - gmf_block_row(blocks, b)) * blocks->row_bytes);
    int64_t begin = gmf_block_row(blocks, block), n = gmf_block_row(blocks, end) - begin;
    GMF_TRY(transfer(w, a, begin, n, rows + (begin - first_row) * blocks->row_bytes, NULL, err));
    if (n * blocks->row_bytes >= WRITEBACK_BYTES) start_writeback(w);
  }
  a->n_written += last - first;
  gmf_trace_work(w->grid->trace, GMF_PHASE_WRITE, (gmf_block_row(blocks, last) - first_row) * blocks->row_bytes);
cleanup:
  return status;
}

/* Block by block from where the rows stand; a block whose rows stand in two places or three is put together first. */
gmf_status gmf_writer_write_slice(gmf_writer *w, gmf_writer_array *a, const gmf_block_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_row_blocks *b = &a->blocks;
  int64_t first_row = gmf_block_row(b, b->begin), end_row = gmf_block_row(b, b->end);
  char *together = NULL;
  for (int64_t block = b->begin, last = 0; block < b->end; block = last) {
    int64_t row = gmf_block_row(b, block), n = 0;
    const char *from = gmf_block_rows_at(rows, b->row_bytes, row - first_row, &n);
    last = row + n == end_row ? b->end : block + n / b->block_rows;
    if (last == block) {
      last = block + 1;
      int64_t n_block = gmf_block_row(b, last) - row;
      if (together == NULL) GMF_TRY(GMF_NEW(together, n_block * b->row_bytes, err));
      gmf_block_rows_copy(rows, b->row_bytes, row - first_row, n_block, together);
      from = together;
    }
    GMF_TRY(gmf_writer_write_blocks(w, a, block, last, from, err));
  }
cleanup:
  gmf_free(together);
  return status;
}

static gmf_status read_back(const gmf_writer *w, const gmf_writer_array *a, char *buffer, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t b = a->blocks.begin; b < a->blocks.end; b++) {
    int64_t begin = gmf_block_row(&a->blocks, b), n = gmf_block_row(&a->blocks, b + 1) - begin;
    gmf_beat();
    GMF_TRY(transfer(w, a, begin, n, NULL, buffer, err));
    if (gmf_checksum(buffer, n * a->blocks.row_bytes) != a->checksums[b])
      GMF_TRY(gmf_fail(err, GMF_ERR_IO,
                       "%s: /%s reads back differently than it was written, rows %" PRId64 " to %" PRId64
                       "; the disk or its file system loses data",
                       w->output.path, a->name, begin, begin + n - 1));
  }
cleanup:
  return status;
}

gmf_status gmf_writer_read_back(const gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t largest = 1;
  char *buffer = NULL;
  for (int i = 0; i < w->n_arrays; i++) {
    const gmf_row_blocks *b = &w->arrays[i].blocks;
    GMF_CHECK(w->arrays[i].n_written == b->end - b->begin);
    largest = gmf_max64(largest, gmf_min64(b->block_rows, b->n_rows) * b->row_bytes);
  }
  GMF_TRY(GMF_NEW(buffer, largest, err));
  for (int i = 0; i < w->n_arrays; i++) GMF_TRY(read_back(w, &w->arrays[i], buffer, err));
cleanup:
  gmf_free(buffer);
  return status;
}
