/* Between the files of io/export*.c. */
#ifndef GMF_IO_EXPORT_INTERNAL_H
#define GMF_IO_EXPORT_INTERNAL_H

#include "io/export.h"

enum { GMF_EXPORT_PIECE = 1 << 20 /* bytes of an array that are held, about */ };

/* Rows of an array in a piece, at least one. */
int64_t gmf_export_piece(const gmf_h5_array *array);

/* The file that is exported. */
typedef struct gmf_export_source {
  hid_t file; /* owned */
  const char *path, *format;
} gmf_export_source;

/* Rows of a side, with their ids. */
typedef struct gmf_id_reader {
  gmf_h5_array array; /* owned */
  char *ids;          /* owned: some of them, as they are stored */
  int64_t begin, n;   /* rows begin ... begin + n - 1 are there */
} gmf_id_reader;

gmf_status gmf_id_reader_open(const gmf_export_source *source, gmf_side side, gmf_id_reader *out, gmf_error *err);
void gmf_id_reader_close(gmf_id_reader *reader);
/* The id of a row as text into out [GMF_EXPORT_ID]. Rows that follow each other are read in pieces; whole: all at the
 * first call, for rows in any order. */
enum { GMF_EXPORT_ID = 4096 };
gmf_status gmf_id_reader_text(gmf_id_reader *reader, int64_t row, bool whole, char *out, gmf_error *err);

gmf_status gmf_export_npz(const gmf_export_source *source, const char *out, gmf_error *err);
gmf_status gmf_export_csv(const gmf_export_source *source, const char *out, gmf_error *err);
gmf_status gmf_export_mtx(const gmf_export_source *source, const char *out, gmf_error *err);
gmf_status gmf_export_h5ad(const gmf_export_source *source, const char *out, gmf_error *err);

#endif
