/* What the files of the writer share: writer.c (its collective calls), writer_file.c (the file as rank 0 makes and
 * seals it) and writer_rows.c (the rows as each rank writes and checks them). */
#ifndef GMF_IO_WRITER_INTERNAL_H
#define GMF_IO_WRITER_INTERNAL_H

#include "io/attribute_list.h"
#include "io/output.h"
#include "io/row_blocks.h"
#include "io/writer.h"

enum { GMF_WRITER_NAME_BYTES = 96, GMF_WRITER_MAX_ARRAYS = 64 };

typedef struct gmf_writer_array {
  char name[GMF_WRITER_NAME_BYTES];
  gmf_type type;
  int64_t n_cols; /* 0: 1-D */
  gmf_row_blocks blocks;
  uint64_t *checksums; /* owned [blocks.n_blocks]; mine are set as they are written */
  int64_t n_written;   /* of my blocks, from blocks.begin on */
} gmf_writer_array;

struct gmf_writer {
  const gmf_grid *grid; /* borrowed */
  gmf_output output;    /* owned; its paths are the same on all ranks, the rest is rank 0's */
  char format[32];
  gmf_writer_array arrays[GMF_WRITER_MAX_ARRAYS];
  int n_arrays;
  gmf_attribute_list attributes; /* owned */
  hid_t file;                    /* my handle between create and seal */
  bool broken, sealed;
};

/* ---- writer_file.c: rank 0 alone, by the serial driver. Local. --------------------------------------------------- */

/* Phase A: the temporary file with all that was declared, at its full size on the disk, and no rows yet. */
gmf_status gmf_writer_make_file(gmf_writer *w, gmf_error *err);
/* Phase D: the file is complete then, under its temporary name. Rank 0 has the checksums of all ranks. */
gmf_status gmf_writer_seal_file(gmf_writer *w, gmf_error *err);

/* ---- writer_rows.c: phases B and C on each rank, by its own handle. Local. --------------------------------------- */

gmf_status gmf_writer_open_rows(gmf_writer *w, gmf_error *err);
gmf_status gmf_writer_close_rows(gmf_writer *w, gmf_error *err);

/* Blocks [first, last) to the file, with their checksums; they follow those written before. `rows` begins with the
 * first row of block `first`. */
gmf_status gmf_writer_write_blocks(gmf_writer *w, gmf_writer_array *a, int64_t first, int64_t last, const char *rows,
                                   gmf_error *err);
/* All of my blocks. */
gmf_status gmf_writer_write_slice(gmf_writer *w, gmf_writer_array *a, const gmf_block_rows *rows, gmf_error *err);

/* Compares what the file has in my blocks with their checksums. */
gmf_status gmf_writer_read_back(const gmf_writer *w, gmf_error *err);

#endif
