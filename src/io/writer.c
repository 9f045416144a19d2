#include "io/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/checksum.h"
#include "io/disk.h"
#include "io/writer_internal.h"
#include "runtime/limits.h"

enum { MAX_FILES = 8 };

int64_t gmf_writer_bytes(const gmf_writer *w)
{
  int64_t bytes = 0;
  for (int a = 0; a < w->n_arrays; a++) bytes += w->arrays[a].blocks.n_rows * w->arrays[a].blocks.row_bytes;
  return bytes;
}

/* ---- declarations ------------------------------------------------------------------------------------------------ */

/* Every rank. A folder that only some nodes have is refused here, before the work and not after it. */
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
  GMF_CHECK(w->n_arrays < GMF_WRITER_MAX_ARRAYS && strlen(name) < GMF_WRITER_NAME_BYTES);
  gmf_writer_array *a = &w->arrays[w->n_arrays++];
  snprintf(a->name, sizeof a->name, "%s", name);
  a->type = type;
  a->n_cols = n_cols;
  a->blocks = gmf_row_blocks_of(w->grid, n_rows, type.size * gmf_max64(n_cols, 1), block_rows);
}

void gmf_writer_attr_text(gmf_writer *w, const char *object, const char *name, const char *value)
{
  gmf_attribute_list_text(&w->attributes, object, name, value);
}

void gmf_writer_attr_i64(gmf_writer *w, const char *object, const char *name, int64_t value)
{
  gmf_attribute_list_i64(&w->attributes, object, name, &value, -1);
}

void gmf_writer_attr_i64s(gmf_writer *w, const char *object, const char *name, const int64_t *values, int n)
{
  gmf_attribute_list_i64(&w->attributes, object, name, values, n);
}

void gmf_writer_attr_f64(gmf_writer *w, const char *object, const char *name, double value)
{
  gmf_attribute_list_f64(&w->attributes, object, name, value);
}

/* ---- phase A: rank 0 makes the file, all open it ----------------------------------------------------------------- */

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

  if (w->attributes.error.status != GMF_OK)
    status = gmf_fail(err, w->attributes.error.status, "%s", w->attributes.error.text);
  for (int a = 0; a < w->n_arrays && status == GMF_OK; a++)
    status = GMF_NEW_ZERO(w->arrays[a].checksums, w->arrays[a].blocks.n_blocks, err);
  if (w->grid->rank == 0 && status == GMF_OK) status = gmf_writer_make_file(w, err);
  GMF_TRY(gmf_agree(w->grid, status, err));
  GMF_TRY(agree_or_break(w, gmf_writer_open_rows(w, err), err));

cleanup:
  gmf_trace_phase(w->grid->trace, before);
  return status;
}

/* ---- phase B: all ranks write ------------------------------------------------------------------------------------ */

static gmf_writer_array *find_array(gmf_writer *w, const char *name)
{
  int a = 0;
  while (a < w->n_arrays && strcmp(w->arrays[a].name, name) != 0) a++;
  GMF_CHECK(a < w->n_arrays);
  return &w->arrays[a];
}

gmf_status gmf_writer_write(gmf_writer *w, const char *name, int64_t begin, int64_t n, const void *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_writer_array *a = find_array(w, name);
  gmf_block_rows mine = {0};
  gmf_phase before = gmf_trace_phase(w->grid->trace, GMF_PHASE_WRITE);

  GMF_CHECK(a->n_written == 0 && w->file >= 0);
  GMF_TRY(gmf_block_rows_gather(w->grid, &a->blocks, begin, n, rows, &mine, err));
  GMF_TRY(agree_or_break(w, gmf_writer_write_slice(w, a, &mine, err), err));

cleanup:
  gmf_block_rows_free(&mine);
  gmf_trace_phase(w->grid->trace, before);
  return status;
}

void gmf_writer_slice(gmf_writer *w, const char *name, int64_t *begin, int64_t *end)
{
  const gmf_row_blocks *b = &find_array(w, name)->blocks;
  *begin = gmf_block_row(b, b->begin);
  *end = gmf_block_row(b, b->end);
}

gmf_status gmf_writer_write_part(gmf_writer *w, const char *name, int64_t n, const void *rows, gmf_error *err)
{
  gmf_writer_array *a = find_array(w, name);
  const gmf_row_blocks *b = &a->blocks;
  int64_t first = b->begin + a->n_written, last = first + (n + b->block_rows - 1) / b->block_rows;
  GMF_CHECK(w->file >= 0 && last <= b->end && gmf_block_row(b, last) - gmf_block_row(b, first) == n);
  gmf_phase before = gmf_trace_phase(w->grid->trace, GMF_PHASE_WRITE);
  gmf_status status = agree_or_break(w, gmf_writer_write_blocks(w, a, first, last, rows, err), err);
  gmf_trace_phase(w->grid->trace, before);
  return status;
}

gmf_status gmf_writer_write_root(gmf_writer *w, const char *name, const void *rows, gmf_error *err)
{
  int64_t n = find_array(w, name)->blocks.n_rows;
  bool root = w->grid->rank == 0;
  return gmf_writer_write(w, name, root ? 0 : n, root ? n : 0, root ? rows : "", err);
}

/* ---- phases C and D: read back, seal, publish -------------------------------------------------------------------- */

/* Collective. Rank 0 gets the checksums of all ranks: blocks are owned in rank order. */
static void gather_checksums(const gmf_writer *w, gmf_writer_array *a)
{
  const gmf_row_blocks *blocks = &a->blocks;
  for (int64_t b = 0; b < blocks->n_blocks; b++)
    if (b < blocks->begin || b >= blocks->end) a->checksums[b] = 0;
  for (int64_t done = 0, n = 0; done < blocks->n_blocks; done += n) {
    n = gmf_limit_piece(blocks->n_blocks - done, 8);
    uint64_t *part = a->checksums + done;
    GMF_COLLECTIVE(w->grid->all, MPI_Reduce(w->grid->rank == 0 ? MPI_IN_PLACE : part, part, gmf_int(n), MPI_UINT64_T,
                                            MPI_BOR, 0, w->grid->all));
  }
}

gmf_status gmf_writer_seal(gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_phase before = gmf_trace_phase(w->grid->trace, GMF_PHASE_WRITE);
  GMF_TRY(agree_or_break(w, gmf_writer_read_back(w, err), err));
  GMF_TRY(agree_or_break(w, gmf_writer_close_rows(w, err), err));
  GMF_TRY(gmf_agree(w->grid, gmf_sync_file(w->output.temporary, err), err));
  for (int a = 0; a < w->n_arrays; a++) gather_checksums(w, &w->arrays[a]);
  GMF_TRY(gmf_agree(w->grid, w->grid->rank == 0 ? gmf_writer_seal_file(w, err) : GMF_OK, err));
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
  gmf_attribute_list_free(&w->attributes);
  gmf_free(w);
  *writer = NULL;
}
