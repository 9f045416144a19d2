/* How a text file is to be read, decided from its name, its first bytes and --columns. */
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/text_reader.h"

static const struct {
  const char *name;
  gmf_text_format format;
} FORMATS[] = {{"csv", GMF_TEXT_CSV},
               {"tsv", GMF_TEXT_TSV},
               {"dat", GMF_TEXT_DAT},
               {"mtx", GMF_TEXT_MTX},
               {"adjacency", GMF_TEXT_ADJACENCY}};
enum { N_FORMATS = (int)(sizeof FORMATS / sizeof FORMATS[0]), MAX_NAME = 256 };

static const char *const ROLE_NAME[GMF_N_ROLES] = {"user", "item", "rating", "time", "weight"};

/* Header names in the wild, in lower case without '_', '-', '.' and blanks. */
static const char *const COMMON_NAMES[] = {
    (" user userid uid u users username customer customerid reviewer reviewerid viewer visitor visitorid member memberid "
     "account accountid person personid reader listener client clientid profileid session sessionid "),
    (" item itemid iid i sid sku items movie movieid book bookid isbn product productid asin artist artistid song songid track "
     "trackid parentasin businessid film filmid itemname productname content contentid "),
    " rating ratings r rate score value count plays playcount star stars overall bookrating ",
    " timestamp time t date datetime unixreviewtime ts "};

/* Where no column has a name of a rating, this is what some call it; weights are only taken when --columns says so. */
static const char OTHER_RATING_NAMES[] = " weight ";

const char *gmf_text_role_name(gmf_text_role role) { return ROLE_NAME[role]; }

gmf_text_format gmf_text_format_of(const char *name)
{
  for (int f = 0; f < N_FORMATS; f++)
    if (strcmp(name, FORMATS[f].name) == 0) return FORMATS[f].format;
  return GMF_TEXT_UNKNOWN;
}

const char *gmf_text_format_name(gmf_text_format format)
{
  for (int f = 0; f < N_FORMATS; f++)
    if (FORMATS[f].format == format) return FORMATS[f].name;
  return "auto";
}

/* ---- what the file is -------------------------------------------------------------------------------------------- */

static bool starts_with(const char *head, int64_t n, const char *magic, int64_t length)
{
  return n >= length && memcmp(head, magic, (size_t)length) == 0;
}

/* A name for what is no text of ratings, NULL when it may be. */
static const char *foreign_kind(const char *head, int64_t n)
{
  static const struct {
    const char *magic;
    int64_t length;
    const char *kind;
  } MAGIC[] = {{"\211HDF\r\n", 6, "an HDF5 file"},
               {"PK\003\004", 4, "a zip archive; unpack it first"},
               {"\3757zXZ", 5, "xz-compressed; gzip and zstd are read, unpack it first"},
               {"BZh", 3, "bzip2-compressed; gzip and zstd are read, unpack it first"},
               {"PAR1", 4, "a Parquet file"},
               {"%PDF", 4, "a PDF document"},
               {"SQLite format 3", 15, "a SQLite data base"},
               {"\223NUMPY", 6, "a NumPy file"},
               {"\377\376", 2, "UTF-16 text; convert it to UTF-8"},
               {"\376\377", 2, "UTF-16 text; convert it to UTF-8"}};
  for (size_t m = 0; m < sizeof MAGIC / sizeof MAGIC[0]; m++)
    if (starts_with(head, n, MAGIC[m].magic, MAGIC[m].length)) return MAGIC[m].kind;
  int64_t i = 0;
  while (i < n && isspace((unsigned char)head[i])) i++;
  if ((n - i >= 9 && strncasecmp(head + i, "<!doctype", 9) == 0) ||
      (n - i >= 5 && strncasecmp(head + i, "<html", 5) == 0))
    return "an HTML page: probably the answer of a failed download";
  int64_t n_looked = n < 4096 ? n : 4096, n_control = 0;
  for (i = 0; i < n_looked; i++) n_control += (unsigned char)head[i] < ' ' && !isspace((unsigned char)head[i]);
  return n_control * 20 > n_looked ? "a binary file" : NULL;
}

static gmf_text_format format_of_name(const char *path)
{
  static const struct {
    const char *extension;
    gmf_text_format format;
  } BY_NAME[] = {{".csv", GMF_TEXT_CSV},
                 {".tsv", GMF_TEXT_TSV},
                 {".data", GMF_TEXT_TSV},
                 {".mtx", GMF_TEXT_MTX},
                 {".adj", GMF_TEXT_ADJACENCY}}; /* .dat is used for everything: its content decides */
  size_t n = strlen(path);
  if (n > 3 && strcasecmp(path + n - 3, ".gz") == 0)
    n -= 3;
  else if (n > 4 && strcasecmp(path + n - 4, ".zst") == 0)
    n -= 4;
  for (size_t e = 0; e < sizeof BY_NAME / sizeof BY_NAME[0]; e++) {
    size_t length = strlen(BY_NAME[e].extension);
    if (n > length && strncasecmp(path + n - length, BY_NAME[e].extension, length) == 0) return BY_NAME[e].format;
  }
  return GMF_TEXT_UNKNOWN;
}

static gmf_text_format format_of_line(const char *line, int64_t n)
{
  if (starts_with(line, n, "%%MatrixMarket", 14)) return GMF_TEXT_MTX;
  if (memmem(line, (size_t)n, "::", 2) != NULL) return GMF_TEXT_DAT;
  if (memchr(line, '\t', (size_t)n) != NULL) return GMF_TEXT_TSV;
  if (memchr(line, ',', (size_t)n) != NULL) return GMF_TEXT_CSV;
  return GMF_TEXT_UNKNOWN;
}

/* ---- the head, line by line -------------------------------------------------------------------------------------- */

typedef struct head_lines {
  const char *path, *text;
  int64_t n, at;
  bool is_whole;
} head_lines;

/* The next line without its end into [*begin, *end). False at the end of the file. */
static gmf_status next_line(head_lines *h, const char **begin, const char **end, bool *found, gmf_error *err)
{
  *found = h->at < h->n;
  if (!*found && h->is_whole) return GMF_OK;
  const char *newline = *found ? memchr(h->text + h->at, '\n', (size_t)(h->n - h->at)) : NULL;
  if (newline == NULL && !h->is_whole)
    return gmf_fail(err, GMF_ERR_DATA, "%s: no line of data within its first %d KiB", h->path,
                    GMF_TEXT_HEAD_BYTES >> 10);
  *begin = h->text + h->at;
  *end = newline != NULL ? newline : h->text + h->n;
  h->at = *end - h->text + (newline != NULL);
  if (*end > *begin && (*end)[-1] == '\r') (*end)--;
  return GMF_OK;
}

static bool is_blank_line(const char *begin, const char *end)
{
  while (begin < end && gmf_text_is_blank(*begin)) begin++;
  return begin == end;
}

/* The first line that is not blank. */
static gmf_status first_line(head_lines *h, const char **begin, const char **end, bool *found, gmf_error *err)
{
  gmf_status status = GMF_OK;
  do {
    GMF_TRY(next_line(h, begin, end, found, err));
  } while (*found && is_blank_line(*begin, *end));
cleanup:
  return status;
}

/* ---- MatrixMarket ------------------------------------------------------------------------------------------------ */

static gmf_status mtx_banner(head_lines *h, bool *has_value, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *begin = NULL, *end = NULL;
  char banner[256], object[64] = "", layout[64] = "", field[64] = "", symmetry[64] = "";
  bool found = false;
  GMF_TRY(next_line(h, &begin, &end, &found, err));
  snprintf(banner, sizeof banner, "%.*s", found ? (int)(end - begin < 255 ? end - begin : 255) : 0, found ? begin : "");
  if (sscanf(banner, "%%%%MatrixMarket %63s %63s %63s %63s", object, layout, field, symmetry) != 4)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                     "%s:1:1: a MatrixMarket file begins with '%%%%MatrixMarket matrix coordinate "
                     "real general'",
                     h->path));
  *has_value = strcasecmp(field, "pattern") != 0;
  if (strcasecmp(object, "matrix") != 0 || strcasecmp(layout, "coordinate") != 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s:1:1: '%s %s' is not read; store a 'matrix coordinate'", h->path, object,
                     layout));
  if (*has_value && strcasecmp(field, "real") != 0 && strcasecmp(field, "integer") != 0)
    GMF_TRY(
        gmf_fail(err, GMF_ERR_DATA, "%s:1:1: field '%s' is not read; use real, integer or pattern", h->path, field));
  if (strcasecmp(symmetry, "general") != 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s:1:1: symmetry '%s' is not read; store the matrix as 'general'", h->path,
                     symmetry));
cleanup:
  return status;
}

static void set_column(gmf_text_layout *layout, gmf_text_role role, int column)
{
  layout->column[role] = column;
  layout->role[column] = (unsigned char)role;
  if (column + 1 > layout->n_columns) layout->n_columns = column + 1;
}

static gmf_status resolve_mtx(head_lines *h, gmf_text_layout *layout, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *begin = NULL, *end = NULL;
  char line[256];
  bool has_value = false, found = false;
  int stop = 0;
  GMF_TRY(mtx_banner(h, &has_value, err));
  do {
    GMF_TRY(first_line(h, &begin, &end, &found, err));
  } while (found && *begin == '%');
  snprintf(line, sizeof line, "%.*s", found ? (int)(end - begin < 255 ? end - begin : 255) : 0, found ? begin : "");
  if (sscanf(line, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %n", &layout->mtx_size[0], &layout->mtx_size[1],
             &layout->mtx_entries, &stop) != 3 ||
      line[stop] != 0 || layout->mtx_size[0] < 0 || layout->mtx_size[1] < 0 || layout->mtx_entries < 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: the size line 'ROWS COLUMNS ENTRIES' is missing or wrong: '%.60s'",
                     h->path, line));
  set_column(layout, GMF_ROLE_USER, 0);
  set_column(layout, GMF_ROLE_ITEM, 1);
  if (has_value) set_column(layout, GMF_ROLE_RATING, 2);
  layout->data_begin = h->at;
cleanup:
  return status;
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

/* One ROLE=VALUE of --columns; each value is a name or a number from 1. */
typedef struct wanted {
  char value[GMF_N_ROLES][MAX_NAME]; /* "": not given */
  bool by_name;                      /* some value is a name, so there is a header */
  bool given;
} wanted;

int gmf_text_column_number(const char *text)
{
  if (*text == 0 || strspn(text, "0123456789") != strlen(text) || strlen(text) > 4) return -1;
  return atoi(text);
}

static gmf_status set_wanted(wanted *w, const char *key, size_t key_length, const char *value, size_t length,
                             gmf_error *err)
{
  for (int r = 0; r < GMF_N_ROLES; r++) {
    if (strlen(ROLE_NAME[r]) != key_length || strncmp(key, ROLE_NAME[r], key_length) != 0) continue;
    if (length == 0 || length >= MAX_NAME || w->value[r][0] != 0)
      return gmf_fail(err, GMF_ERR_USAGE, "--columns: %s wants one column, a name or a number from 1", ROLE_NAME[r]);
    memcpy(w->value[r], value, length);
    int number = gmf_text_column_number(w->value[r]);
    if (number == 0 || number > GMF_TEXT_MAX_COLUMNS)
      return gmf_fail(err, GMF_ERR_USAGE, "--columns: %s=%s: columns are counted from 1 to %d", ROLE_NAME[r],
                      w->value[r], GMF_TEXT_MAX_COLUMNS);
    w->by_name = w->by_name || number < 0;
    return GMF_OK;
  }
  return gmf_fail(err, GMF_ERR_USAGE, "--columns: '%.*s' is none of user, item, rating, time, weight", (int)key_length,
                  key);
}

static gmf_status parse_columns(const char *text, wanted *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *w = (wanted){.given = *text != 0};
  for (const char *p = text; *p != 0;) {
    size_t n = strcspn(p, ","), key = strcspn(p, "=,");
    if (key >= n)
      GMF_TRY(
          gmf_fail(err, GMF_ERR_USAGE, "--columns: '%.*s' is not ROLE=COLUMN, as in user=userId,item=2", (int)n, p));
    GMF_TRY(set_wanted(w, p, key, p + key + 1, n - key - 1, err));
    p += n;
    p += *p == ',';
  }
  if (w->given && (w->value[GMF_ROLE_USER][0] == 0 || w->value[GMF_ROLE_ITEM][0] == 0))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "--columns: both user= and item= are needed"));
cleanup:
  return status;
}

/* Whether the field is one of `names`, blank-separated. */
static bool is_name_of(const gmf_text_field *f, const char *names)
{
  char word[64] = " ";
  size_t n = 1;
  for (const char *p = f->begin; p < f->end && n < sizeof word - 2; p++)
    if (strchr("_-. ", *p) == NULL) word[n++] = (char)tolower((unsigned char)*p);
  word[n] = ' ';
  word[n + 1] = 0;
  return n > 1 && strstr(names, word) != NULL;
}

static int find_name_of(const gmf_text_field *fields, int n, const char *names)
{
  for (int c = 0; c < n; c++)
    if (is_name_of(&fields[c], names)) return c;
  return -1;
}

/* Words that stand for a missing number: a line with one is bad data, not a header. */
static bool is_missing_value(const gmf_text_field *f)
{
  static const char *const WORDS[] = {"nan", "+nan", "-nan", "inf", "+inf", "-inf", "infinity", "null", "none", "na"};
  for (size_t w = 0; w < sizeof WORDS / sizeof WORDS[0]; w++)
    if ((size_t)(f->end - f->begin) == strlen(WORDS[w]) && strncasecmp(f->begin, WORDS[w], strlen(WORDS[w])) == 0)
      return true;
  return f->begin == f->end;
}

/*
 * Whether the first line names the columns: always with names in --columns; else when it holds common names for user
 * and item and no number, or when its rating (or weight, without one) starts with a letter, is not a word for a missing
 * number, and its ids are not both integers.
 */
static bool is_header(const gmf_text_field *fields, int n, const wanted *w, const int column[GMF_N_ROLES])
{
  if (w->by_name) return true;
  bool has_number = false; /* then the words beside it are ids, whatever they say */
  for (int c = 0; c < n; c++) has_number = has_number || gmf_text_is_decimal(&fields[c]);
  if (!has_number && find_name_of(fields, n, COMMON_NAMES[GMF_ROLE_USER]) >= 0 &&
      find_name_of(fields, n, COMMON_NAMES[GMF_ROLE_ITEM]) >= 0)
    return true;
  int rating = column[column[GMF_ROLE_RATING] >= 0 ? GMF_ROLE_RATING : GMF_ROLE_WEIGHT], time = column[GMF_ROLE_TIME];
  int user = column[GMF_ROLE_USER], item = column[GMF_ROLE_ITEM];
  if (rating < 0 || rating >= n || user >= n || item >= n || is_missing_value(&fields[rating])) return false;
  if (gmf_text_is_integer(&fields[user]) && gmf_text_is_integer(&fields[item])) return false;
  if (time >= 0 && time < n && gmf_text_is_decimal(&fields[time])) return false;
  return isalpha((unsigned char)*fields[rating].begin) != 0;
}

/* Columns by number: those of --columns, else user, item, rating, time in this order as far as the line goes. */
static void columns_by_position(const wanted *w, int n_fields, int column[GMF_N_ROLES])
{
  for (int r = 0; r < GMF_N_ROLES; r++) {
    int by_place = r <= GMF_ROLE_TIME && r < n_fields ? r : -1;
    column[r] = !w->given ? by_place : w->value[r][0] == 0 ? -1 : gmf_text_column_number(w->value[r]) - 1;
  }
}

static bool same_text(const gmf_text_field *f, const char *text, bool any_case)
{
  size_t n = strlen(text);
  return (size_t)(f->end - f->begin) == n &&
         (any_case ? strncasecmp(f->begin, text, n) : strncmp(f->begin, text, n)) == 0;
}

int gmf_text_find_column(const gmf_text_field *fields, int n, const char *name)
{
  for (int any_case = 0; any_case < 2; any_case++)
    for (int c = 0; c < n; c++)
      if (same_text(&fields[c], name, any_case != 0)) return c;
  return -1;
}

static gmf_status find_named(const char *path, const gmf_text_field *fields, int n, const char *name, int *column,
                             gmf_error *err)
{
  *column = gmf_text_find_column(fields, n, name);
  if (*column >= 0) return GMF_OK;
  return gmf_fail(err, GMF_ERR_DATA, "%s:1: --columns names '%s', but the header has no such column", path, name);
}

/* A header that does not say which column is which must not be guessed at: users and items would trade places. */
static gmf_status refuse_header(const char *path, const gmf_text_field *fields, int n, gmf_error *err)
{
  char names[160] = "";
  for (int c = 0, at = 0; c < n && at < (int)sizeof names; c++)
    at += snprintf(names + at, sizeof names - (size_t)at, "%s%.*s", c > 0 ? "," : "",
                   (int)(fields[c].end - fields[c].begin), fields[c].begin);
  return gmf_fail(err, GMF_ERR_DATA,
                  "%s:1: the header '%s' does not tell the user column and the item column; give "
                  "--columns user=NAME,item=NAME,rating=NAME, or numbers from 1 instead of names",
                  path, names);
}

/* Columns of a file with a header: those of --columns, else by the common names of user, item, rating and time. */
static gmf_status columns_by_header(const char *path, const gmf_text_field *fields, int n, const wanted *w,
                                    int column[GMF_N_ROLES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (w->given) {
    for (int r = 0; r < GMF_N_ROLES; r++)
      if (w->value[r][0] != 0 && gmf_text_column_number(w->value[r]) < 0)
        GMF_TRY(find_named(path, fields, n, w->value[r], &column[r], err));
    return GMF_OK;
  }
  int named[GMF_N_ROLES];
  for (int r = 0; r <= GMF_ROLE_TIME; r++) named[r] = find_name_of(fields, n, COMMON_NAMES[r]);
  if (named[GMF_ROLE_RATING] < 0) named[GMF_ROLE_RATING] = find_name_of(fields, n, OTHER_RATING_NAMES);
  named[GMF_ROLE_WEIGHT] = -1;
  if (named[GMF_ROLE_USER] < 0 || named[GMF_ROLE_ITEM] < 0) return refuse_header(path, fields, n, err);
  /* A third column with an unknown name is still taken for the rating: it is never dropped silently. */
  bool free_third = n > 2 && named[0] != 2 && named[1] != 2 && named[GMF_ROLE_TIME] != 2;
  if (named[GMF_ROLE_RATING] < 0 && free_third) named[GMF_ROLE_RATING] = 2;
  memcpy(column, named, sizeof named);
cleanup:
  return status;
}

static gmf_status resolve_columns(head_lines *h, const char *columns, gmf_text_layout *layout, gmf_error *err)
{
  gmf_status status = GMF_OK;
  wanted w;
  const char *begin = NULL, *end = NULL;
  char *copy = NULL;
  int column[GMF_N_ROLES] = {-1, -1, -1, -1, -1};
  gmf_text_field fields[GMF_TEXT_MAX_COLUMNS];
  bool found = false;

  GMF_TRY(parse_columns(columns, &w, err));
  int64_t data_begin = h->at;
  GMF_TRY(first_line(h, &begin, &end, &found, err));
  if (!found) begin = end = "";
  copy = strndup(begin, (size_t)(end - begin)); /* fields are unquoted in place */
  if (copy == NULL) GMF_TRY(gmf_fail(err, GMF_ERR_MEMORY, "out of memory for the first line of %s", h->path));
  int n = gmf_text_split(layout->format, copy, copy + strlen(copy), fields, GMF_TEXT_MAX_COLUMNS);
  if (n < 0) n = 0;
  columns_by_position(&w, n, column);
  if (found && is_header(fields, n, &w, column)) {
    GMF_TRY(columns_by_header(h->path, fields, n, &w, column, err));
    data_begin = h->at;
  }
  if (!w.given && column[GMF_ROLE_ITEM] < 0) column[GMF_ROLE_USER] = 0, column[GMF_ROLE_ITEM] = 1;
  for (int r = 0; r < GMF_N_ROLES; r++) {
    if (column[r] < 0) continue;
    if (layout->role[column[r]] != GMF_ROLE_NONE)
      GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "--columns: column %d has two meanings", column[r] + 1));
    set_column(layout, (gmf_text_role)r, column[r]);
  }
  layout->data_begin = data_begin;
cleanup:
  free(copy);
  return status;
}

static gmf_status resolve_format(const char *path, const char *head, int64_t n, bool is_whole, gmf_text_format *format,
                                 gmf_error *err)
{
  gmf_status status = GMF_OK;
  head_lines lines = {.path = path, .text = head, .n = n, .is_whole = is_whole};
  const char *begin = NULL, *end = NULL;
  bool found = false;
  if (*format != GMF_TEXT_UNKNOWN) return GMF_OK;
  *format = format_of_name(path);
  if (*format != GMF_TEXT_UNKNOWN) return GMF_OK;
  GMF_TRY(first_line(&lines, &begin, &end, &found, err));
  *format = found ? format_of_line(begin, end - begin) : GMF_TEXT_UNKNOWN;
  if (*format == GMF_TEXT_UNKNOWN)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                     "%s: its format cannot be told from its name or first line; give --format csv, "
                     "tsv, dat, mtx or adjacency",
                     path));
cleanup:
  return status;
}

gmf_status gmf_text_sniff(const char *path, const char *what, const char *head, int64_t n, bool is_whole,
                          gmf_text_format *format, int64_t *begin, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *foreign = foreign_kind(head, n);
  if (n == 0 && is_whole) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: is empty", path));
  if (foreign != NULL) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: is not a text of %s but %s", path, what, foreign));
  *begin = starts_with(head, n, "\357\273\277", 3) ? 3 : 0;
  GMF_TRY(resolve_format(path, head + *begin, n - *begin, is_whole, format, err));
cleanup:
  return status;
}

gmf_status gmf_text_resolve(const char *path, const char *head, int64_t n, bool is_whole, gmf_text_format format,
                            const char *columns, gmf_text_layout *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *out = (gmf_text_layout){.column = {-1, -1, -1, -1, -1}, .mtx_entries = -1};
  memset(out->role, GMF_ROLE_NONE, sizeof out->role);
  int64_t bom = 0;
  GMF_TRY(gmf_text_sniff(path, "ratings", head, n, is_whole, &format, &bom, err));
  out->format = format;
  out->data_begin = bom;
  if (*columns != 0 && (format == GMF_TEXT_MTX || format == GMF_TEXT_ADJACENCY))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "--columns does not apply to %s, whose format is %s", path,
                     gmf_text_format_name(format)));
  head_lines lines = {.path = path, .text = head, .n = n, .at = bom, .is_whole = is_whole};
  if (format == GMF_TEXT_MTX)
    GMF_TRY(resolve_mtx(&lines, out, err));
  else if (format != GMF_TEXT_ADJACENCY)
    GMF_TRY(resolve_columns(&lines, columns, out, err));
cleanup:
  return status;
}
