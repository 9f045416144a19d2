#include "io/text_reader.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/narrow.h"
#include "io/text_usual.h"

static const int64_t MAX_LIST_BYTES = 1 << 26;

/* ---- the careful path -------------------------------------------------------------------------------------------- */

/* At most 40 bytes of a field for a message, unprintable ones as '?'. */
static const char *excerpt(const char *begin, const char *end, char out[48])
{
  int n = 0;
  for (; begin + n < end && n < 40; n++) out[n] = isprint((unsigned char)begin[n]) ? begin[n] : '?';
  snprintf(out + n, 48 - (size_t)n, "%s", begin + n < end ? "..." : "");
  return out;
}

static void set_bad(gmf_text_bad *bad, int64_t offset, int64_t column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void set_bad(gmf_text_bad *bad, int64_t offset, int64_t column, const char *format, ...)
{
  if (bad->offset >= 0) return;
  va_list args;
  va_start(args, format);
  vsnprintf(bad->reason, sizeof bad->reason, format, args);
  va_end(args);
  bad->offset = offset;
  bad->column = column;
}

/* Length of the UTF-8 character at p (RFC 3629: no surrogates, no overlong forms, no NUL), 0 when it is none. */
static int utf8_length(const unsigned char *p, const unsigned char *end)
{
  if (*p < 0x80) return *p != 0;
  int n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
  if (*p < 0xc2 || *p > 0xf4 || end - p < n) return 0;
  for (int i = 1; i < n; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f)) return 0;
  if ((*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)) return 0;
  return n;
}

bool gmf_text_is_utf8(const char *begin, const char *end)
{
  const unsigned char *p = (const unsigned char *)begin, *stop = (const unsigned char *)end;
  while (p < stop) {
    int n = utf8_length(p, stop);
    if (n == 0) return false;
    p += n;
  }
  return true;
}

static gmf_text_id classify(const char *begin, const char *end)
{
  gmf_text_id id = {.text = begin, .length = (int32_t)(end - begin), .kind = GMF_ID_TEXT};
  bool negative = *begin == '-', fits = true;
  const char *digits = begin + negative;
  uint64_t value = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
  if (digits == end || (*digits == '0' && (negative || digits + 1 < end))) return id;
  for (const char *p = digits; p < end; p++) {
    unsigned d = gmf_text_digit(*p);
    if (d > 9) return id;
    fits = fits && (value < limit / 10 || (value == limit / 10 && d <= limit % 10));
    if (fits) value = value * 10 + d;
  }
  id.kind = fits ? GMF_ID_INTEGER : GMF_ID_HUGE;
  if (fits) id.integer = negative ? (int64_t)(0 - value) : (int64_t)value;
  return id;
}

/* NULL, or why the field is no id. */
const char *gmf_text_read_id(const gmf_text_field *f, gmf_text_id *out)
{
  if (f->begin == f->end) return "id is empty";
  if (f->end - f->begin > GMF_TEXT_MAX_ID_BYTES) return "id is longer than 1024 bytes";
  if (!gmf_text_is_utf8(f->begin, f->end)) return "id is not valid UTF-8";
  *out = classify(f->begin, f->end);
  return NULL;
}

/* strtod on a copy, for its correct rounding; the locale is "C" in our programs. Hexadecimal, nan and inf are not
 * numbers here. */
const char *gmf_text_read_number(const gmf_text_field *f, float *out)
{
  char copy[256], *stop = NULL;
  size_t n = (size_t)(f->end - f->begin);
  if (n == 0) return "is empty";
  if (n >= sizeof copy) return "is longer than 255 bytes";
  memcpy(copy, f->begin, n);
  copy[n] = 0;
  if (strspn(copy, "0123456789+-.eE") != n) return "is not a number";
  double value = strtod(copy, &stop);
  if (stop == copy || *stop != 0) return "is not a number";
  if (!isfinite(value) || !isfinite((float)value)) return "is too large for a 32-bit float";
  *out = (float)value;
  return NULL;
}

static const char *careful_weight(const gmf_text_field *f, float *out)
{
  const char *reason = gmf_text_read_number(f, out);
  if (reason != NULL) return reason;
  if (*out < 0) return "is below 0";
  *out = fabsf(*out); /* -0 is 0 */
  return NULL;
}

/* `n` digits at *p as a number; moves *p, or returns -1. */
static int take_digits(const char **p, const char *end, int n)
{
  int value = 0;
  for (int i = 0; i < n; i++, (*p)++) {
    if (*p == end || gmf_text_digit(**p) > 9) return -1;
    value = value * 10 + (int)gmf_text_digit(**p);
  }
  return value;
}

/* Days from 1970-01-01 of a date of the Gregorian calendar; years begin in March so that leap days come last. */
static int64_t days_of_date(int year, int month, int day)
{
  int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719468;
}

static int days_in_month(int year, int month)
{
  static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : DAYS[month - 1];
}

/* YYYY-MM-DD, then nothing or [ T]HH:MM:SS[.digits][Z], in UTC. */
static bool read_date(const char *p, const char *end, int64_t *out)
{
  int hour = 0, minute = 0, second = 0, year = take_digits(&p, end, 4);
  if (year < 0 || p == end || *p++ != '-') return false;
  int month = take_digits(&p, end, 2);
  if (month < 1 || month > 12 || p == end || *p++ != '-') return false;
  int day = take_digits(&p, end, 2);
  if (day < 1 || day > days_in_month(year, month)) return false;
  if (p < end) {
    if (*p != ' ' && *p != 'T') return false;
    p++;
    hour = take_digits(&p, end, 2);
    if (hour < 0 || hour > 23 || p == end || *p++ != ':') return false;
    minute = take_digits(&p, end, 2);
    if (minute < 0 || minute > 59 || p == end || *p++ != ':') return false;
    second = take_digits(&p, end, 2);
    if (second < 0 || second > 60) return false;
    if (p < end && *p == '.')
      for (p++; p < end && gmf_text_digit(*p) <= 9;) p++;
    if (p < end && *p == 'Z') p++;
  }
  *out = days_of_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
  return p == end;
}

/* Whole seconds; decimals and exponents ("1.26e9") are cut towards zero. */
static const char *careful_time(const gmf_text_field *f, int64_t *out)
{
  if (f->begin == f->end) return "is empty";
  gmf_text_id integer = classify(f->begin, f->end);
  if (integer.kind == GMF_ID_HUGE) return "does not fit 64 bits";
  *out = integer.integer;
  if (integer.kind == GMF_ID_INTEGER || read_date(f->begin, f->end, out)) return NULL;
  char copy[64], *stop = NULL;
  size_t n = (size_t)(f->end - f->begin);
  const char *reason = "is neither a number of seconds nor a date (YYYY-MM-DD HH:MM:SS)";
  if (n >= sizeof copy) return reason;
  memcpy(copy, f->begin, n);
  copy[n] = 0;
  double value = strtod(copy, &stop);
  if (strspn(copy, "0123456789+-.eE") != n || stop == copy || *stop != 0) return reason;
  if (!(fabs(value) < 0x1p63)) return "does not fit 64 bits";
  *out = (int64_t)value;
  return NULL;
}

/* Undoes the quotes of the field that begins at p with one. *next is where the line goes on. */
static const char *take_quoted(char *p, char *end, gmf_text_field *f, char **next)
{
  char *to = p++;
  f->begin = to;
  while (p < end && (*p != '"' || (p + 1 < end && p[1] == '"'))) {
    p += *p == '"';
    *to++ = *p++;
  }
  if (p == end) return "a quoted field does not end on its line";
  f->end = to;
  p++;
  while (p < end && gmf_text_is_blank(*p)) p++;
  if (p < end && *p != ',') return "there is text after a closing quote";
  *next = p;
  return NULL;
}

/*
 * The field at *at of a line that ends at `end`; *at moves behind its separator, to NULL after the last field.
 * Returns NULL or what is wrong.
 */
static const char *take_field(gmf_text_format format, char *line, char **at, char *end, gmf_text_field *f)
{
  bool by_blanks = format == GMF_TEXT_MTX || format == GMF_TEXT_ADJACENCY;
  char *p = *at, *next = NULL;
  while (p < end && (*p == ' ' || (*p == '\t' && format != GMF_TEXT_TSV))) p++;
  f->column = p - line + 1;
  if (format == GMF_TEXT_CSV && p < end && *p == '"') {
    const char *reason = take_quoted(p, end, f, &next);
    *at = reason == NULL && next < end ? next + 1 : NULL;
    return reason;
  }
  f->begin = p;
  if (by_blanks) {
    while (p < end && !gmf_text_is_blank(*p)) p++;
    next = p;
    while (next < end && gmf_text_is_blank(*next)) next++;
    f->end = p;
    *at = next < end ? next : NULL;
    return NULL;
  }
  if (format == GMF_TEXT_DAT)
    next = memmem(p, (size_t)(end - p), "::", 2);
  else
    next = memchr(p, format == GMF_TEXT_CSV ? ',' : '\t', (size_t)(end - p));
  *at = next == NULL ? NULL : next + (format == GMF_TEXT_DAT ? 2 : 1);
  f->end = next == NULL ? end : next;
  while (f->end > f->begin && gmf_text_is_blank(f->end[-1])) f->end--;
  return NULL;
}

int gmf_text_split(gmf_text_format format, char *line, char *end, gmf_text_field *out, int capacity)
{
  char *at = line;
  int n = 0;
  while (at != NULL && n < capacity)
    if (take_field(format, line, &at, end, &out[n++]) != NULL) return -1;
  return n;
}

bool gmf_text_is_decimal(const gmf_text_field *f)
{
  float value = 0;
  return gmf_text_read_number(f, &value) == NULL;
}

bool gmf_text_is_integer(const gmf_text_field *f)
{
  return f->begin < f->end && classify(f->begin, f->end).kind != GMF_ID_TEXT;
}

/* NULL, or what is wrong with the field; the role's name comes before it in messages. */
static const char *careful_field(const gmf_text_layout *layout, gmf_text_role role, const gmf_text_field *f,
                                 gmf_text_rating *out)
{
  const char *reason = NULL;
  switch (role) {
    case GMF_ROLE_USER:
    case GMF_ROLE_ITEM:
      reason = gmf_text_read_id(f, &out->id[role]);
      if (reason == NULL && layout->format == GMF_TEXT_MTX &&
          !gmf_text_in_matrix(layout, (gmf_side)role, &out->id[role]))
        reason = role == GMF_ROLE_USER ? "is not a row of the matrix" : "is not a column of the matrix";
      return reason;
    case GMF_ROLE_RATING: return gmf_text_read_number(f, &out->value);
    case GMF_ROLE_TIME: return careful_time(f, &out->time);
    case GMF_ROLE_WEIGHT: return careful_weight(f, &out->weight);
    default: return NULL;
  }
}

static void note_huge(gmf_text_reader *r, const char *line, gmf_side side, const gmf_text_id *id, int64_t column)
{
  char text[48];
  if (id->kind == GMF_ID_HUGE && r->first_huge[side].offset < 0)
    set_bad(&r->first_huge[side], line - r->begin, column, "%s id '%s' does not fit 64 bits", gmf_side_noun(side),
            excerpt(id->text, id->text + id->length, text));
}

/* Of a line that is one column: what stands between its words instead of the format's separator; "" for nothing. */
static const char *other_separator(gmf_text_format format, const char *begin, const char *end, char out[100])
{
  static const struct {
    const char *text, *shown;
    gmf_text_format format; /* that has it between columns */
  } SEPARATORS[] = {{"::", "'::'", GMF_TEXT_DAT},   {",", "','", GMF_TEXT_CSV},     {"\t", "tabs", GMF_TEXT_TSV},
                    {";", "';'", GMF_TEXT_UNKNOWN}, {"|", "'|'", GMF_TEXT_UNKNOWN}, {" ", "blanks", GMF_TEXT_UNKNOWN}};
  const char *own = NULL, *other = NULL, *name = gmf_text_format_name(format), *better = NULL;
  for (size_t s = 0; s < sizeof SEPARATORS / sizeof *SEPARATORS; s++) {
    bool found = memmem(begin, (size_t)(end - begin), SEPARATORS[s].text, strlen(SEPARATORS[s].text)) != NULL;
    if (SEPARATORS[s].format == format) {
      own = SEPARATORS[s].shown;
    } else if (found && other == NULL) {
      other = SEPARATORS[s].shown;
      if (SEPARATORS[s].format != GMF_TEXT_UNKNOWN) better = gmf_text_format_name(SEPARATORS[s].format);
    }
  }
  out[0] = '\0';
  if (own != NULL && other != NULL)
    snprintf(out, 100, ": %s has %s between columns, and this line has %s%s%s", name, own, other,
             better != NULL ? "; --format " : "", better != NULL ? better : "");
  return out;
}

/* A line of columns. False: it is bad, r->first_bad knows why. */
static bool careful_columns(gmf_text_reader *r, char *line, char *end, gmf_text_rating *out)
{
  const gmf_text_layout *layout = r->layout;
  int64_t column[GMF_N_SIDES] = {0};
  char *at = line, text[48];
  out->value = out->weight = 1;
  out->time = 0;
  for (int c = 0; at != NULL; c++) {
    gmf_text_field f = {0};
    gmf_text_role role = c < layout->n_columns ? (gmf_text_role)layout->role[c] : GMF_ROLE_NONE;
    const char *reason = take_field(layout->format, line, &at, end, &f);
    bool whole = reason == NULL;
    if (whole) reason = careful_field(layout, role, &f, out);
    if (reason != NULL) {
      bool quote = whole && f.begin < f.end;
      const char *noun = whole && role != GMF_ROLE_NONE ? gmf_text_role_name(role) : "";
      set_bad(&r->first_bad, line - r->begin, f.column, quote ? "%s%s%s: '%s'" : "%s%s%s", noun, *noun != 0 ? " " : "",
              reason, quote ? excerpt(f.begin, f.end, text) : "");
      return false;
    }
    if (role <= GMF_ROLE_ITEM) column[role] = f.column;
    if (at == NULL && c + 1 < layout->n_columns) {
      char hint[100] = "";
      set_bad(&r->first_bad, line - r->begin, f.column, "%d column%s, expected at least %d%s", c + 1, c == 0 ? "" : "s",
              layout->n_columns, c == 0 ? other_separator(layout->format, line, end, hint) : hint);
      return false;
    }
  }
  for (int s = 0; s < GMF_N_SIDES; s++) note_huge(r, line, (gmf_side)s, &out->id[s], column[s]);
  return true;
}

/* An adjacency line: checks all of it, then leaves its items to take_list. */
static bool careful_list(gmf_text_reader *r, char *line, char *end)
{
  char *at = line, *items = NULL, text[48];
  gmf_text_id user = {0};
  for (int64_t c = 0; at != NULL; c++) {
    gmf_text_field f = {0};
    gmf_text_id id = {0};
    take_field(GMF_TEXT_ADJACENCY, line, &at, end, &f);
    if (f.begin == f.end) break;
    const char *reason = gmf_text_read_id(&f, &id);
    if (reason != NULL) {
      set_bad(&r->first_bad, line - r->begin, f.column, "%s %s: '%s'", c == 0 ? "user" : "item", reason,
              excerpt(f.begin, f.end, text));
      return false;
    }
    if (c == 0) {
      user = id;
      items = at;
    }
    note_huge(r, line, c == 0 ? GMF_USERS : GMF_ITEMS, &id, f.column);
  }
  r->list_user = user;
  r->list_at = items;
  r->list_end = end;
  return true;
}

/* Items of the adjacency line in work. */
static int64_t take_list(gmf_text_reader *r, gmf_text_rating *out, int64_t capacity)
{
  int64_t n = 0;
  while (r->list_at != NULL && n < capacity) {
    char *end = NULL, *begin = r->list_at;
    for (end = begin; end < r->list_end && !gmf_text_is_blank(*end);) end++;
    out[n].id[GMF_USERS] = r->list_user;
    out[n].id[GMF_ITEMS] = classify(begin, end);
    out[n].value = out[n].weight = 1;
    out[n++].time = 0;
    while (end < r->list_end && gmf_text_is_blank(*end)) end++;
    r->list_at = end < r->list_end ? end : NULL;
  }
  return n;
}

int64_t gmf_text_max_line(gmf_text_format format)
{
  return format == GMF_TEXT_ADJACENCY ? MAX_LIST_BYTES : GMF_TEXT_MAX_LINE_BYTES;
}

/* Reads the line at r->at, whatever it is. Returns how many ratings stand in *out (0 or 1); -1 at a bad line. */
static int careful_line(gmf_text_reader *r, gmf_text_rating *out)
{
  char *line = r->at, *newline = memchr(line, '\n', (size_t)(r->end - line)), *end = newline;
  bool is_list = r->layout->format == GMF_TEXT_ADJACENCY, good = false;
  int64_t limit = gmf_text_max_line(r->layout->format);
  r->at = newline + 1;
  if (end > line && end[-1] == '\r') end--;
  char *p = line;
  while (p < end && gmf_text_is_blank(*p)) p++;
  if (p == end || (r->layout->format == GMF_TEXT_MTX && *p == '%')) return 0;
  r->n_lines++;
  if (newline - line >= limit)
    set_bad(&r->first_bad, line - r->begin, 1, "the line is longer than %" PRId64 " MiB", limit >> 20);
  else
    good = is_list ? careful_list(r, line, end) : careful_columns(r, line, end, out);
  if (good) return !is_list;
  r->n_bad_lines++;
  return -1;
}

void gmf_text_open(gmf_text_reader *reader, const gmf_text_layout *layout, char *begin, char *end, bool skip_bad_lines)
{
  GMF_CHECK(begin == end || end[-1] == '\n');
  *reader =
      (gmf_text_reader){.layout = layout, .begin = begin, .at = begin, .end = end, .skip_bad_lines = skip_bad_lines};
  reader->first_bad.offset = reader->first_huge[GMF_USERS].offset = reader->first_huge[GMF_ITEMS].offset = -1;
}

int64_t gmf_text_next(gmf_text_reader *r, gmf_text_rating *out, int64_t capacity)
{
  int64_t n = 0;
  while (n < capacity) {
    n += take_list(r, out + n, capacity - n);
    if (n == capacity || r->at == r->end) break;
    n += gmf_text_usual_lines(r, out + n, capacity - n);
    if (n == capacity || r->at == r->end) break;
    int m = careful_line(r, &out[n]);
    if (m < 0 && !r->skip_bad_lines) r->at = r->end;
    n += m > 0;
  }
  return n;
}
