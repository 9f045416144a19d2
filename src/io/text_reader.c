#include "io/text_reader.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/narrow.h"

static const int64_t MAX_LINE_BYTES = 1 << 20, MAX_LIST_BYTES = 1 << 26;

/* Powers of ten that a double holds exactly. */
static const double POWER_OF_TEN[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const int64_t INTEGER_POWER_OF_TEN[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

static inline unsigned digit_of(char c) { return (unsigned)(unsigned char)c - '0'; }

/* ---- the usual line: one pass, no diagnosis ---------------------------------------------------------------------- */
/* Each of these returns where the field ends, or NULL to leave the line to the careful path. A newline stops them. */

/* Eight bytes at p, the first the lowest: a digit is its value, another byte 10 or more. */
static inline uint64_t digits_in(const char *p)
{
  uint64_t x;
  memcpy(&x, p, 8);
  return le64toh(x) ^ UINT64_C(0x3030303030303030);
}

/* The top bit of each byte that is 10 or more: it, or 0x76 more, has that bit. What carries over goes to later bytes,
 * so that the first bit set is true. */
static inline uint64_t has_others(uint64_t x)
{
  return ((x + UINT64_C(0x7676767676767676)) | x) & UINT64_C(0x8080808080808080);
}

/* The number of eight digits: neighbours become 10 a + b, then pairs and fours (Lemire, "Quickly parsing eight digits",
 * 2018). */
static inline int64_t number_of_eight(uint64_t x)
{
  x = x * 2561 >> 8;
  x = (x & UINT64_C(0x00ff00ff00ff00ff)) * 6553601 >> 16;
  return (int64_t)((x & UINT64_C(0x0000ffff0000ffff)) * UINT64_C(42949672960001) >> 32);
}

/* The number that up to eight digits at p are, and how many there are. */
static inline int eight_digits(const char *p, int64_t *value)
{
  uint64_t x = digits_in(p), others = has_others(x);
  int n = 8;
  if (others != 0) { /* the digits move to the end */
    n = __builtin_ctzll(others) >> 3;
    x = x << (56 - 8 * n) << 8;
  }
  *value = number_of_eight(x);
  return n;
}

/* The digits at p, 18 at most, as a number. Returns where they end. */
enum { MOST_DIGITS = 18 };
static inline char *usual_digits(char *p, const char *end, int64_t *out)
{
  char *begin = p;
  int64_t value = 0;
  unsigned d;
  if (end - p >= 16) {
    int n = eight_digits(p, &value);
    p += n;
    if (n == 8) {
      int64_t low;
      n = eight_digits(p, &low);
      value = value * INTEGER_POWER_OF_TEN[n] + low;
      p += n;
    }
    *out = value;
    if (n < 8) return p;
  }
  while ((d = digit_of(*p)) <= 9 && p - begin < MOST_DIGITS) {
    value = value * 10 + (int64_t)d;
    p++;
  }
  *out = value;
  return p;
}

/* An id of letters, digits and punctuation that does not begin as a number. */
static inline char *usual_text(char *p, char separator, gmf_text_id *id)
{
  char *begin = p;
  while ((unsigned char)*p > ' ' && (unsigned char)*p < 0x7f && *p != separator && *p != '"') p++;
  int64_t n = p - begin;
  if (n == 0 || n > GMF_TEXT_MAX_ID_BYTES) return NULL;
  *id = (gmf_text_id){.text = begin, .length = (int32_t)n, .kind = GMF_ID_TEXT};
  return p;
}

static inline char *usual_id(char *p, const char *end, char separator, gmf_text_id *id)
{
  char *begin = p;
  bool negative = *p == '-';
  p += negative;
  char *digits = p;
  int64_t value;
  p = usual_digits(p, end, &value);
  if (*p != separator && *p != '\n' && *p != '\r')
    return digit_of(*p) > 9 ? usual_text(begin, separator, id) : NULL; /* NULL: more than 18 digits */
  if (p == digits || (*digits == '0' && (p - digits > 1 || negative))) return NULL;
  id->integer = negative ? -value : value;
  id->kind = GMF_ID_INTEGER;
  return p;
}

/* At most 15 digits and no exponent: an integer below 2^53 divided by a power of ten, which rounds correctly. */
static inline char *usual_decimal(char *p, const char *end, float *out)
{
  if (digit_of(p[0]) <= 9 && p[1] == '.' && digit_of(p[2]) <= 9 && digit_of(p[3]) > 9) { /* half stars */
    *out = (float)((double)(10 * digit_of(p[0]) + digit_of(p[2])) / 10);
    return p + 3;
  }
  bool negative = *p == '-';
  p += negative;
  char *begin = p;
  int64_t value, fraction, n_places = 0;
  p = usual_digits(p, end, &value);
  int64_t n_digits = p - begin;
  double exact = (double)value;
  if (*p == '.') {
    char *places = ++p;
    p = usual_digits(p, end, &fraction);
    n_places = p - places;
    n_digits += n_places;
    if (n_digits > 15) return NULL;
    exact = (exact * POWER_OF_TEN[n_places] + (double)fraction) / POWER_OF_TEN[n_places];
  }
  if (n_digits == 0 || n_digits > 15) return NULL;
  *out = (float)(negative ? -exact : exact);
  return p;
}

static inline char *usual_weight(char *p, const char *end, float *out)
{
  return *p == '-' ? NULL : usual_decimal(p, end, out);
}

static inline char *usual_integer(char *p, const char *end, int64_t *out)
{
  bool negative = *p == '-';
  p += negative;
  char *begin = p;
  int64_t value;
  p = usual_digits(p, end, &value);
  if (p == begin) return NULL;
  *out = negative ? -value : value;
  return p;
}

static inline char *usual_skip(char *p, char separator)
{
  while (*p != separator && *p != '\n' && *p != '"') p++;
  return *p == '"' ? NULL : p;
}

/* After the last column of use: the newline, or columns that nobody asked for. */
static inline char *usual_end(char *p, char *end, char separator)
{
  if (*p == '\n') return p + 1;
  if (*p == '\r' && p[1] == '\n') return p + 2;
  if (*p != separator) return NULL;
  char *newline = memchr(p, '\n', (size_t)(end - p));
  return memchr(p, '"', (size_t)(newline - p)) == NULL ? newline + 1 : NULL;
}

static inline __attribute__((always_inline)) char *usual_fields(const gmf_text_layout *layout, char *line, char *end,
                                                                char separator, gmf_text_rating *out)
{
  char *p = line;
  int last = layout->n_columns - 1;
  out->value = out->weight = 1;
  out->time = 0;
  for (int c = 0;; c++) {
    switch (layout->role[c]) {
      case GMF_ROLE_USER: p = usual_id(p, end, separator, &out->id[GMF_USERS]); break;
      case GMF_ROLE_ITEM: p = usual_id(p, end, separator, &out->id[GMF_ITEMS]); break;
      case GMF_ROLE_RATING: p = usual_decimal(p, end, &out->value); break;
      case GMF_ROLE_TIME: p = usual_integer(p, end, &out->time); break;
      case GMF_ROLE_WEIGHT: p = usual_weight(p, end, &out->weight); break;
      default: p = usual_skip(p, separator); break;
    }
    if (p == NULL) return NULL;
    if (c == last) break;
    if (*p != separator) return NULL;
    p++;
    if (separator == ':' && *p++ != ':') return NULL;
  }
  p = usual_end(p, end, separator);
  return p != NULL && p - line <= MAX_LINE_BYTES ? p : NULL;
}

/* ---- the short line: fields at once ------------------------------------------------------------------------------ */

/*
 * The usual line leaves its reader waiting: where a field begins is known when the one before has been read. A line of
 * at most 32 bytes is looked at as a whole first: bits say where its separators and its newline are. Then its fields,
 * and the next line, do not wait for each other.
 */
#ifdef __SSE2__
enum { SHORT_BYTES = 32, LONGEST_NUMBER = 16 };

static inline uint32_t places_of(const char *p, char c)
{
  __m128i wanted = _mm_set1_epi8(c);
  __m128i low = _mm_loadu_si128((const __m128i *)(const void *)p);
  __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + 16));
  return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(low, wanted)) |
         (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(high, wanted)) << 16;
}

/* The number that the n digits before `end` are, n up to 8; -1 when they are no digits. */
static inline int64_t digits_before(const char *end, int n)
{
  int others = 64 - 8 * n; /* bits of the bytes before them */
  uint64_t x = digits_in(end - 8) >> others << others;
  return has_others(x) ? -1 : number_of_eight(x);
}

/* The number in [begin, end), of 1 to LONGEST_NUMBER digits; -1 when it is anything else. */
static inline int64_t number_between(const char *begin, const char *end)
{
  int n = (int)(end - begin);
  if (n <= 0 || n > LONGEST_NUMBER) return -1;
  if (n <= 8) return digits_before(end, n);
  int64_t low = digits_before(end, 8), high = digits_before(end - 8, n - 8);
  return low < 0 || high < 0 ? -1 : high * INTEGER_POWER_OF_TEN[8] + low;
}

static inline bool short_id(const char *begin, const char *end, gmf_text_id *id)
{
  int64_t value = number_between(begin, end);
  if (value < 0 || (*begin == '0' && end - begin > 1)) return false;
  id->integer = value;
  id->kind = GMF_ID_INTEGER;
  return true;
}

static inline bool short_field(unsigned char role, char *begin, const char *end, const char *buffer_end,
                               gmf_text_rating *out)
{
  switch (role) {
    case GMF_ROLE_USER: return short_id(begin, end, &out->id[GMF_USERS]);
    case GMF_ROLE_ITEM: return short_id(begin, end, &out->id[GMF_ITEMS]);
    case GMF_ROLE_RATING: return usual_decimal(begin, buffer_end, &out->value) == end;
    case GMF_ROLE_TIME: return (out->time = number_between(begin, end)) >= 0;
    default: return false;
  }
}

/* As usual_fields; NULL also for usual lines that are longer, or hold other things than integer ids and columns of use.
 */
static inline __attribute__((always_inline)) char *short_line(const gmf_text_reader *r, char separator,
                                                              gmf_text_rating *out)
{
  const gmf_text_layout *layout = r->layout;
  char *line = r->at, *begin = line;
  if (r->end - line < SHORT_BYTES || line - r->begin < LONGEST_NUMBER) return NULL;
  uint32_t newlines = places_of(line, '\n'), separators = places_of(line, separator);
  if (newlines == 0) return NULL;
  int length = __builtin_ctz(newlines), last = layout->n_columns - 1;
  separators &= (newlines & -newlines) - 1;
  out->value = out->weight = 1;
  out->time = 0;
  for (int c = 0; c < last; c++) {
    if (separators == 0) return NULL;
    char *end = line + __builtin_ctz(separators);
    separators &= separators - 1;
    if (!short_field(layout->role[c], begin, end, r->end, out)) return NULL;
    begin = end + 1;
  }
  const char *end = line + length - (length > 0 && line[length - 1] == '\r');
  if (separators != 0 || !short_field(layout->role[last], begin, end, r->end, out)) return NULL;
  return line + length + 1;
}
#else
static inline char *short_line(const gmf_text_reader *r, char separator, gmf_text_rating *out)
{
  (void)r;
  (void)separator;
  (void)out;
  return NULL;
}
#endif

static inline __attribute__((always_inline)) char *short_or_usual(const gmf_text_reader *r, char separator,
                                                                  gmf_text_rating *out)
{
  char *next = short_line(r, separator, out);
  return next != NULL ? next : usual_fields(r->layout, r->at, r->end, separator, out);
}

static inline bool in_matrix(const gmf_text_layout *layout, gmf_side side, const gmf_text_id *id)
{
  return id->kind == GMF_ID_INTEGER && id->integer >= 1 && id->integer <= layout->mtx_size[side];
}

/* The line at r->at into *out; returns the start of the next one, or NULL when the line needs care. */
static inline char *usual_line(const gmf_text_reader *r, gmf_text_rating *out)
{
  const gmf_text_layout *layout = r->layout;
  char *next = NULL;
  switch (layout->format) {
    case GMF_TEXT_CSV: return short_or_usual(r, ',', out);
    case GMF_TEXT_TSV: return short_or_usual(r, '\t', out);
    case GMF_TEXT_DAT: return usual_fields(layout, r->at, r->end, ':', out);
    case GMF_TEXT_MTX:
      next = short_or_usual(r, ' ', out);
      if (next == NULL || !in_matrix(layout, GMF_USERS, &out->id[GMF_USERS]) ||
          !in_matrix(layout, GMF_ITEMS, &out->id[GMF_ITEMS]))
        return NULL;
      return next;
    default: return NULL;
  }
}

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
    unsigned d = digit_of(*p);
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
    if (*p == end || digit_of(**p) > 9) return -1;
    value = value * 10 + (int)digit_of(**p);
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
      for (p++; p < end && digit_of(*p) <= 9;) p++;
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
      if (reason == NULL && layout->format == GMF_TEXT_MTX && !in_matrix(layout, (gmf_side)role, &out->id[role]))
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
      set_bad(&r->first_bad, line - r->begin, f.column, "%d column%s, expected at least %d", c + 1, c == 0 ? "" : "s",
              layout->n_columns);
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
  return format == GMF_TEXT_ADJACENCY ? MAX_LIST_BYTES : MAX_LINE_BYTES;
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
    char *next = usual_line(r, &out[n]);
    if (next != NULL) {
      r->at = next;
      r->n_lines++;
      n++;
      continue;
    }
    int m = careful_line(r, &out[n]);
    if (m < 0 && !r->skip_bad_lines) r->at = r->end;
    n += m > 0;
  }
  return n;
}
