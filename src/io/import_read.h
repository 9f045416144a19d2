/* First half of the import: files to ratings whose ids are small indices of the thread that read them. */
#ifndef GMF_IO_IMPORT_READ_H
#define GMF_IO_IMPORT_READ_H

#include "io/id_table.h"
#include "io/import.h"
#include "io/input.h"
#include "io/text_reader.h"

/* A rating on its way from the text to its row. Weights, which few inputs have, travel beside it in their own arrays.
 */
typedef struct gmf_raw_rating {
  int64_t time;
  int64_t item;  /* index of the reading thread; after routing: the item's row */
  uint32_t user; /* the same; after routing: the user's row, counted from the first row of the owning rank */
  float value;
} gmf_raw_rating;
_Static_assert(sizeof(gmf_raw_rating) == 24, "a rating on its way takes 24 bytes");

/* Where a thread puts the ratings it reads, those of one block of lines after those of another. Freed with the last of
 * its users: the thread that fills it, and each piece in it. */
typedef struct gmf_slab {
  int n_users;
  int64_t n, capacity;     /* ratings: of finished pieces, and that there is room for */
  gmf_raw_rating *ratings; /* owned [capacity] */
  float *weights;          /* owned [capacity]; NULL where the input has none */
} gmf_slab;

/* The ratings of one block of lines. */
typedef struct gmf_piece {
  int file, thread;
  int64_t n;
  gmf_slab *slab;          /* shared; NULL where the block has no ratings */
  gmf_raw_rating *ratings; /* in the slab [n], in the order of the text */
  float *weights;          /* the same; NULL where the input has none */
} gmf_piece;

/* Where a line begins that is bad; file -1: there is none. */
typedef struct gmf_bad_place {
  int64_t file, offset, column;
  char reason[240];
} gmf_bad_place;

/* A thread that reads. */
typedef struct gmf_import_thread {
  gmf_id_set sets[GMF_N_SIDES];
  gmf_bad_place bad, huge[GMF_N_SIDES];
  int64_t n_lines, n_bad_lines;
  gmf_slab *slab; /* the one it fills; NULL before the first rating */
  gmf_input_block block;
  gmf_error error;
} gmf_import_thread;

/* What a rank has read. */
typedef struct gmf_import_share {
  int n_files;
  const char *const *paths;  /* borrowed [n_files] */
  gmf_input_file *files;     /* owned [n_files], equal on all ranks */
  gmf_text_layout *layouts;  /* owned [n_files], equal on all ranks */
  bool has_time, has_weight; /* the files have such columns: all of them or none */
  int n_threads;
  gmf_import_thread *threads; /* owned [n_threads] */
  gmf_piece *pieces;          /* owned [n_pieces], in the order of the input; those of lower ranks come before */
  int64_t n_pieces, piece_capacity;
  int64_t n_bytes;           /* of the files, as on the disk, that this rank reads */
  bool as_text[GMF_N_SIDES]; /* some id of the side is no integer; equal on all ranks */
} gmf_import_share;

/* Collective. Looks at all files: size, compression, format, columns. */
gmf_status gmf_import_probe(const gmf_grid *grid, const char *const *paths, int n_files,
                            const gmf_import_options *options, gmf_import_share *share, gmf_error *err);

/* Collective. Reads this rank's share; fills the counts of lines, bad lines and records of the report. */
gmf_status gmf_import_read(const gmf_grid *grid, const gmf_import_options *options, gmf_import_share *share,
                           gmf_import_report *report, gmf_error *err);

/* Local. Gives the piece's part of its slab back. */
void gmf_piece_free(gmf_piece *piece);

/* Local. Frees the thread's sets and buffers, the pieces and the rest; NULL-safe. */
void gmf_import_share_free(gmf_import_share *share);

#endif
