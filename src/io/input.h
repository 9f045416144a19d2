/*
 * Text files as blocks of whole lines: plain files by byte range, gzip and zstd streams from their start. A line
 * belongs to the range in which it begins. All Local.
 */
#ifndef GMF_IO_INPUT_H
#define GMF_IO_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef enum gmf_compression { GMF_PLAIN, GMF_GZIP, GMF_ZSTD } gmf_compression;

/* What is known of a file without its name. Plain data. */
typedef struct gmf_input_file {
  int64_t n_bytes; /* on the disk */
  gmf_compression compression;
} gmf_input_file;

/*
 * Looks at a file: size, compression by its first bytes, and up to `capacity` bytes of (decoded) text into head.
 * GMF_ERR_NO_INPUT: missing, unreadable, not a regular file; GMF_ERR_DATA: a damaged stream.
 */
gmf_status gmf_input_probe(const char *path, gmf_input_file *out, char *head, int64_t capacity, int64_t *n_head,
                           bool *is_whole, gmf_error *err);

/* Whole lines in memory: nothing, or text that ends with a newline (one is added to a last line without). */
typedef struct gmf_input_block {
  char *buffer; /* owned; reused by the next read */
  int64_t capacity;
  char *begin, *end; /* in buffer */
  int64_t offset;    /* of `begin` in the text of the file */
} gmf_input_block;

void gmf_input_block_free(gmf_input_block *block);

gmf_status gmf_input_open(const char *path, int *fd, gmf_error *err);

/*
 * The lines of a plain file that begin in bytes [begin, end). is_line_start: byte `begin` is known to start one. Of
 * a line beyond max_line bytes only a piece too long to be valid is read. Thread-safe.
 */
gmf_status gmf_input_read_range(int fd, const char *path, int64_t n_file_bytes, int64_t begin, int64_t end,
                                bool is_line_start, int64_t max_line, gmf_input_block *block, gmf_error *err);

/* A file decoded from its start, whatever its compression. */
typedef struct gmf_stream gmf_stream;
gmf_status gmf_stream_open(const char *path, gmf_compression compression, gmf_stream **out, gmf_error *err);
void gmf_stream_close(gmf_stream **stream);

/* Up to `capacity` bytes of text; *n < capacity only at the end. */
gmf_status gmf_stream_read(gmf_stream *stream, char *out, int64_t capacity, int64_t *n, gmf_error *err);

/* The next block of about `target` bytes of whole lines; empty at the end. */
gmf_status gmf_stream_next_block(gmf_stream *stream, int64_t target, int64_t max_line, gmf_input_block *block,
                                 gmf_error *err);

/* Newlines in bytes [begin, end) of the text of a file. */
gmf_status gmf_input_count_newlines(const char *path, gmf_compression compression, int64_t begin, int64_t end,
                                    int64_t *n, gmf_error *err);

#endif
