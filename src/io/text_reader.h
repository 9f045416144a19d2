/*
 * Ratings from text: csv, tsv, '::', MatrixMarket and adjacency lines, over a buffer in memory. All Local, no MPI, no
 * files, no allocation.
 *
 * A line that is well-formed in the usual way is read in one pass over its bytes; every other line is read again by a
 * careful path that knows quotes, blanks, odd numbers and the reason why a line is bad.
 */
#ifndef GMF_IO_TEXT_READER_H
#define GMF_IO_TEXT_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/side.h"

typedef enum gmf_text_format {
  GMF_TEXT_UNKNOWN,
  GMF_TEXT_CSV,      /* ',' with RFC 4180 quotes; an optional header */
  GMF_TEXT_TSV,      /* tab; an optional header */
  GMF_TEXT_DAT,      /* '::'; an optional header */
  GMF_TEXT_MTX,      /* MatrixMarket coordinate real|integer|pattern general: row = user, column = item, from 1 */
  GMF_TEXT_ADJACENCY /* "user item item ...", split by blanks; every rating is 1 */
} gmf_text_format;

/* What a column means. The first two are gmf_side. */
typedef enum gmf_text_role {
  GMF_ROLE_USER = GMF_USERS,
  GMF_ROLE_ITEM = GMF_ITEMS,
  GMF_ROLE_RATING,
  GMF_ROLE_TIME,
  GMF_ROLE_WEIGHT,
  GMF_N_ROLES,
  GMF_ROLE_NONE = GMF_N_ROLES
} gmf_text_role;

/* "user" ... "weight": the words of --columns and of messages. */
const char *gmf_text_role_name(gmf_text_role role);

enum {
  GMF_TEXT_MAX_COLUMNS = 256,
  GMF_TEXT_MAX_ID_BYTES = 1024,
  GMF_TEXT_MAX_LINE_BYTES = 1 << 20, /* of a line of columns */
  GMF_TEXT_HEAD_BYTES = 1 << 18      /* what gmf_text_resolve wants to see of a file */
};

/* How one file is to be read. Plain data. */
typedef struct gmf_text_layout {
  gmf_text_format format;
  int column[GMF_N_ROLES];                  /* from 0; -1: the file has none */
  unsigned char role[GMF_TEXT_MAX_COLUMNS]; /* [n_columns] gmf_text_role of each column */
  int n_columns;                            /* that a line must have: up to the last one used */
  int64_t data_begin;                       /* bytes before the first line of data: BOM, header, mtx preamble */
  int64_t mtx_size[GMF_N_SIDES];            /* mtx: rows and columns */
  int64_t mtx_entries;                      /* mtx: -1 for other formats */
} gmf_text_layout;

/* "csv" ... "adjacency"; GMF_TEXT_UNKNOWN for anything else ("auto"). */
gmf_text_format gmf_text_format_of(const char *name);
const char *gmf_text_format_name(gmf_text_format format);
/* A line of that many bytes or more is bad: 1 MiB, adjacency 64 MiB. */
int64_t gmf_text_max_line(gmf_text_format format);

/*
 * Decides from the first bytes of a file (head [n], is_whole: there are no more) how to read it.
 * format: GMF_TEXT_UNKNOWN decides by the file's name, then by its first line. columns: the text of --columns, "" for
 * the default. Errors: GMF_ERR_DATA with the file's name; GMF_ERR_USAGE when `columns` is wrong.
 */
gmf_status gmf_text_resolve(const char *path, const char *head, int64_t n, bool is_whole, gmf_text_format format,
                            const char *columns, gmf_text_layout *out, gmf_error *err);

/*
 * The format of a file by its name, else its first line, and where its text begins behind a byte-order mark. format:
 * in, GMF_TEXT_UNKNOWN or what it is known to be. what: "ratings", for messages.
 */
gmf_status gmf_text_sniff(const char *path, const char *what, const char *head, int64_t n, bool is_whole,
                          gmf_text_format *format, int64_t *begin, gmf_error *err);

/* A column by its number from 1; -1 where the text is no number of up to 4 digits. */
int gmf_text_column_number(const char *text);

/* What lines may be empty but for, and what may stand around fields. */
static inline bool gmf_text_is_blank(char c) { return c == ' ' || c == '\t'; }

/* A field of a line: blanks around it cut off, quotes undone. */
typedef struct gmf_text_field {
  char *begin, *end;
  int64_t column; /* in the line, bytes from 1 */
} gmf_text_field;

/* The first `capacity` fields of a line [line, end) without its line end; -1 when a quoted field is broken. */
int gmf_text_split(gmf_text_format format, char *line, char *end, gmf_text_field *out, int capacity);
/* The field of a header that is `name`, in any case where none is it exactly; -1. */
int gmf_text_find_column(const gmf_text_field *fields, int n, const char *name);
bool gmf_text_is_decimal(const gmf_text_field *field);
bool gmf_text_is_integer(const gmf_text_field *field);

typedef enum gmf_text_id_kind {
  GMF_ID_INTEGER, /* "0" or "-?[1-9][0-9]*" that fits 64 bits: `integer` stands for it */
  GMF_ID_HUGE,    /* the same, but beyond 64 bits */
  GMF_ID_TEXT
} gmf_text_id_kind;

typedef struct gmf_text_id {
  const char *text; /* borrowed from the buffer; not set for integers */
  int64_t integer;
  int32_t length; /* bytes of text */
  gmf_text_id_kind kind;
} gmf_text_id;

/* NULL, or what is wrong with an id, or with a finite number: "id is empty", "is not a number". */
const char *gmf_text_read_id(const gmf_text_field *field, gmf_text_id *out);
const char *gmf_text_read_number(const gmf_text_field *field, float *out);
bool gmf_text_is_utf8(const char *begin, const char *end);

typedef struct gmf_text_rating {
  gmf_text_id id[GMF_N_SIDES];
  int64_t time; /* seconds; 0 where the file has none */
  float value;
  float weight; /* finite and not below 0; 1 where the file has none */
} gmf_text_rating;

/* A line that cannot be read, or one with an id beyond 64 bits. */
typedef struct gmf_text_bad {
  int64_t offset; /* of the line in the buffer; -1: there is none */
  int64_t column; /* of the field, bytes from 1 */
  char reason[240];
} gmf_text_bad;

typedef struct gmf_text_reader {
  const gmf_text_layout *layout; /* borrowed */
  char *begin, *at, *end;        /* borrowed; quoted fields are unescaped in place */
  bool skip_bad_lines;
  char *list_at, *list_end; /* adjacency: the items of the line in work that are still to come */
  gmf_text_id list_user;
  int64_t n_lines; /* of data: blank lines and comments do not count */
  int64_t n_bad_lines;
  gmf_text_bad first_bad;
  gmf_text_bad first_huge[GMF_N_SIDES]; /* the first id beyond 64 bits; bad if its side has integers only */
} gmf_text_reader;

/* Reads whole lines: either nothing, or text whose last byte is a newline. Byte `begin` starts a line. */
void gmf_text_open(gmf_text_reader *reader, const gmf_text_layout *layout, char *begin, char *end, bool skip_bad_lines);

/*
 * The next ratings, at most `capacity`; 0 at the end or, without skip_bad_lines, at the first bad line
 * (reader->first_bad.offset >= 0). Ratings of bad lines are never given.
 */
int64_t gmf_text_next(gmf_text_reader *reader, gmf_text_rating *out, int64_t capacity);

#endif
