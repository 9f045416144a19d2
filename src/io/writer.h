/*
 * Writes an HDF5 file from all ranks so that a visible name is always a complete, verified file.
 *
 *   A  rank 0, serial driver: creates PATH.tmp.HOST.PID with all groups, attributes and contiguous datasets, reserves
 *      the disk space, syncs. A full disk or a missing folder is found here, before any data moves.
 *   B  all ranks: independent writes of whole checksum blocks through MPI-IO, each rank by its own handle, so that no
 *      call of HDF5 is collective and none can wait for a rank that failed; failures are agreed.
 *   C  all ranks: read their blocks back and compare XXH3-64 checksums.
 *   D  rank 0: writes /integrity and @complete = 1, syncs, renames to PATH, syncs the folder.
 *
 * From gmf_writer_open to gmf_writer_destroy rank 0 holds the lock of PATH (io/lock.h): two runs cannot write one file.
 *
 * The bytes of the file do not depend on the number of ranks: blocks are counted from the dataset's first row.
 *
 * Use: gmf_writer_open; declare with gmf_writer_add / _attr_*; gmf_writer_create; gmf_writer_write each dataset once;
 * gmf_writer_commit; gmf_writer_destroy, which removes the temporary file of a writer that was not committed.
 *
 * An I/O failure in B or C sets err->must_abort: HDF5 1.10 keeps a file that it failed to write half open and crashes
 * when MPI_Finalize closes it, so the program has to leave by MPI_Abort.
 */
#ifndef GMF_IO_WRITER_H
#define GMF_IO_WRITER_H

#include "io/h5.h"
#include "runtime/grid.h"

typedef struct gmf_writer gmf_writer;

/*
 * Collective. Checks on rank 0 that the folder exists and can be written and that no other run writes the file (else
 * GMF_ERR_CREATE), so that a long run learns of a bad output path at its start. Removes what runs that were killed left
 * of the file. format: a GMF_FORMAT_*. grid: borrowed, must outlive the writer.
 */
gmf_status gmf_writer_open(const gmf_grid *grid, const char *path, const char *format, gmf_writer **out,
                           gmf_error *err);

/* Local. For the log: lines on what was found left behind and removed or not; "" for nothing, and on other ranks. */
const char *gmf_writer_notes(const gmf_writer *w);

/*
 * Local, the same on all ranks. Declares dataset `name` ("users/factors") of n_rows rows; n_cols = 0 makes it 1-D.
 * Groups of the path are made as needed.
 */
void gmf_writer_add(gmf_writer *w, const char *name, gmf_type type, int64_t n_rows, int64_t n_cols);

/* The same with checksum blocks of block_rows rows, for arrays that are written in parts. */
void gmf_writer_add_blocks(gmf_writer *w, const char *name, gmf_type type, int64_t n_rows, int64_t n_cols,
                           int64_t block_rows);

/* Local, the same on all ranks. Attributes of the root (object "/"), of a declared dataset or of a group, made as
 * needed. gmf_writer_attr_i64s writes a 1-D array. */
void gmf_writer_attr_text(gmf_writer *w, const char *object, const char *name, const char *value);
void gmf_writer_attr_i64(gmf_writer *w, const char *object, const char *name, int64_t value);
void gmf_writer_attr_f64(gmf_writer *w, const char *object, const char *name, double value);
void gmf_writer_attr_i64s(gmf_writer *w, const char *object, const char *name, const int64_t *values, int n);

/* Collective. Phase A. GMF_ERR_IO. */
gmf_status gmf_writer_create(gmf_writer *w, gmf_error *err);

/*
 * Collective. Writes all of dataset `name`: this rank brings rows [begin, begin + n), the ranks' slices in rank order
 * cover it without gaps. `rows` is [n][n_cols] of the declared type, without padding.
 */
gmf_status gmf_writer_write(gmf_writer *w, const char *name, int64_t begin, int64_t n, const void *rows,
                            gmf_error *err);

/* Collective. The same for what rank 0 alone has (`rows` is ignored elsewhere): small arrays, histories. */
gmf_status gmf_writer_write_root(gmf_writer *w, const char *name, const void *rows, gmf_error *err);

/*
 * For arrays that are larger than memory. gmf_writer_slice, Local: the rows [*begin, *end) that this rank writes, whole
 * blocks; arrays of the same length and blocks have the same slices. gmf_writer_write_part, Collective: this rank
 * writes the next n rows of its slice: whole blocks unless they are its last rows, or none. Declared rows must all be
 * written before the commit.
 */
void gmf_writer_slice(gmf_writer *w, const char *name, int64_t *begin, int64_t *end);
gmf_status gmf_writer_write_part(gmf_writer *w, const char *name, int64_t n, const void *rows, gmf_error *err);

/* Collective. Phases C and D; the file is visible under its name when this returns GMF_OK. */
gmf_status gmf_writer_commit(gmf_writer *w, gmf_error *err);

/*
 * Collective. For n files that belong together: gmf_writer_seal each as soon as it is written, then commit all. None
 * gets its name before all are complete, so that only a failing rename can leave some of them old and some of them
 * new. And no file is open while the next one is written: after a failed write the others could not be closed either.
 */
gmf_status gmf_writer_seal(gmf_writer *w, gmf_error *err);
gmf_status gmf_writer_commit_all(gmf_writer *const *writers, int n, gmf_error *err);

/* Collective. */
void gmf_writer_destroy(gmf_writer **w);

/* Local. Bytes of the datasets declared so far. */
int64_t gmf_writer_bytes(const gmf_writer *w);

#endif
