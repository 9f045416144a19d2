#include "io/text_usual.h"

#include <endian.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Powers of ten that a double holds exactly. */
static const double POWER_OF_TEN[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const int64_t INTEGER_POWER_OF_TEN[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

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
  while ((d = gmf_text_digit(*p)) <= 9 && p - begin < MOST_DIGITS) {
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
    return gmf_text_digit(*p) > 9 ? usual_text(begin, separator, id) : NULL; /* NULL: more than 18 digits */
  if (p == digits || (*digits == '0' && (p - digits > 1 || negative))) return NULL;
  id->integer = negative ? -value : value;
  id->kind = GMF_ID_INTEGER;
  return p;
}

/* At most 15 digits and no exponent: an integer below 2^53 divided by a power of ten, which rounds correctly. */
static inline char *usual_decimal(char *p, const char *end, float *out)
{
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
  if (*p != separator || (separator == ':' && p[1] != ':')) return NULL;
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
  return p != NULL && p - line <= GMF_TEXT_MAX_LINE_BYTES ? p : NULL;
}

/* The usual line at `line` of any length; its separator and its format are known here. */
static char *usual_line(const gmf_text_layout *layout, char *line, char *end, gmf_text_rating *out)
{
  switch (layout->format) {
    case GMF_TEXT_CSV: return usual_fields(layout, line, end, ',', out);
    case GMF_TEXT_TSV: return usual_fields(layout, line, end, '\t', out);
    case GMF_TEXT_DAT: return usual_fields(layout, line, end, ':', out);
    case GMF_TEXT_MTX: return usual_fields(layout, line, end, ' ', out);
    default: return NULL;
  }
}

/* ---- the short line: fields at once ------------------------------------------------------------------------------ */

/*
 * The usual line leaves its reader waiting: where a field begins is known when the one before has been read. A line of
 * at most 32 bytes is looked at as a whole first: bits say where its separators and its newline are. Then its fields,
 * and the next line, do not wait for each other.
 */
enum { SHORT_BYTES = 32, LONGEST_NUMBER = 16 };

/* Bit i: byte i of the 32 bytes at p is c. */
#ifdef __SSE2__
static inline uint32_t places_of(const char *p, char c)
{
  __m128i wanted = _mm_set1_epi8(c);
  __m128i low = _mm_loadu_si128((const __m128i *)(const void *)p);
  __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + 16));
  return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(low, wanted)) |
         (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(high, wanted)) << 16;
}
#else
/* Eight bytes at a time: the top bit of each byte that becomes 0, gathered by a product. */
static inline uint32_t places_of(const char *p, char c)
{
  const uint64_t low_bits = UINT64_C(0x7f7f7f7f7f7f7f7f), ones = UINT64_C(0x0101010101010101);
  uint32_t places = 0;
  for (int i = 0; i < SHORT_BYTES; i += 8) {
    uint64_t x;
    memcpy(&x, p + i, 8);
    x = le64toh(x) ^ ones * (unsigned char)c;
    uint64_t found = ~(((x & low_bits) + low_bits) | x | low_bits) >> 7;
    places |= (uint32_t)(found * UINT64_C(0x0102040810204080) >> 56) << i;
  }
  return places;
}
#endif

/* The number that the n digits before `end` are, n from 1 to 8; -1 when they are no digits. */
static inline __attribute__((always_inline)) int64_t digits_before(const char *end, int n)
{
  int others = 64 - 8 * n; /* bits of the bytes before them */
  uint64_t x = digits_in(end - 8) >> others << others;
  return has_others(x) ? -1 : number_of_eight(x);
}

/* The number in [begin, end), of 1 to LONGEST_NUMBER digits; -1 when it is anything else. */
static inline __attribute__((always_inline)) int64_t number_between(const char *begin, const char *end)
{
  int n = (int)(end - begin);
  if (n <= 0 || n > LONGEST_NUMBER) return -1;
  if (n <= 8) return digits_before(end, n);
  int64_t low = digits_before(end, 8), high = digits_before(end - 8, n - 8);
  return low < 0 || high < 0 ? -1 : high * INTEGER_POWER_OF_TEN[8] + low;
}

static inline __attribute__((always_inline)) bool short_id(const char *begin, const char *end, gmf_text_id *id)
{
  int64_t value = number_between(begin, end);
  if (value < 0 || (*begin == '0' && end - begin > 1)) return false;
  id->integer = value;
  id->kind = GMF_ID_INTEGER;
  return true;
}

static inline __attribute__((always_inline)) bool short_rating(char *begin, const char *end, const char *buffer_end,
                                                               float *out)
{
  unsigned stars = gmf_text_digit(begin[0]), tenths = gmf_text_digit(begin[2]);
  if (end - begin != 3 || begin[1] != '.' || stars > 9 || tenths > 9)
    return usual_decimal(begin, buffer_end, out) == end;
  *out = (float)((double)(10 * stars + tenths) / 10);
  return true;
}

static inline __attribute__((always_inline)) bool short_field(unsigned char role, char *begin, const char *end,
                                                              const char *buffer_end, gmf_text_rating *out)
{
  switch (role) {
    case GMF_ROLE_USER: return short_id(begin, end, &out->id[GMF_USERS]);
    case GMF_ROLE_ITEM: return short_id(begin, end, &out->id[GMF_ITEMS]);
    case GMF_ROLE_RATING: return short_rating(begin, end, buffer_end, &out->value);
    case GMF_ROLE_TIME: return (out->time = number_between(begin, end)) >= 0;
    default: return false;
  }
}

/*
 * As usual_line; NULL also for usual lines that are longer, or hold other things than integer ids and columns of use.
 * roles [n_columns]: those of the layout; where the compiler knows them nothing is left to choose.
 */
static inline __attribute__((always_inline)) char *short_line(char *line, const char *buffer_end, char separator,
                                                              const unsigned char *roles, int n_columns,
                                                              gmf_text_rating *out)
{
  char *begin = line;
  uint32_t newlines = places_of(line, '\n'), separators = places_of(line, separator);
  if (newlines == 0) return NULL;
  int length = __builtin_ctz(newlines), width = separator == ':' ? 2 : 1;
  separators &= (newlines & -newlines) - 1;
  out->value = out->weight = 1;
  out->time = 0;
#pragma GCC unroll 8
  for (int c = 0; c < n_columns - 1; c++) {
    if (separators == 0) return NULL;
    char *end = line + __builtin_ctz(separators);
    separators &= separators - 1;
    if (width == 2) { /* "::" */
      if (end[1] != ':') return NULL;
      separators &= separators - 1;
    }
    if (!short_field(roles[c], begin, end, buffer_end, out)) return NULL;
    begin = end + width;
  }
  const char *end = line + length - (length > 0 && line[length - 1] == '\r');
  if (separators != 0 || !short_field(roles[n_columns - 1], begin, end, buffer_end, out)) return NULL;
  return line + length + 1;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int64_t lines_of(gmf_text_reader *r, char separator,
                                                              const unsigned char *roles, int n_columns,
                                                              gmf_text_rating *out, int64_t capacity)
{
  const gmf_text_layout *layout = r->layout;
  char *at = r->at, *end = r->end, *first_short = r->begin + LONGEST_NUMBER;
  int64_t n = 0;
  while (n < capacity && at < end) {
    char *next = NULL;
    if (end - at >= SHORT_BYTES && at >= first_short) next = short_line(at, end, separator, roles, n_columns, &out[n]);
    if (next == NULL) next = usual_line(layout, at, end, &out[n]);
    if (next == NULL) break;
    if (separator == ' ' && (!gmf_text_in_matrix(layout, GMF_USERS, &out[n].id[GMF_USERS]) ||
                             !gmf_text_in_matrix(layout, GMF_ITEMS, &out[n].id[GMF_ITEMS])))
      break;
    at = next;
    n++;
  }
  r->at = at;
  r->n_lines += n;
  return n;
}

/* The columns that most files have are compiled as such. */
static inline __attribute__((always_inline)) int64_t lines_between(gmf_text_reader *r, char separator,
                                                                   gmf_text_rating *out, int64_t capacity)
{
  static const unsigned char most[] = {GMF_ROLE_USER, GMF_ROLE_ITEM, GMF_ROLE_RATING, GMF_ROLE_TIME};
  const gmf_text_layout *layout = r->layout;
  bool is_most = memcmp(layout->role, most,
                        (size_t)layout->n_columns < sizeof most ? (size_t)layout->n_columns : sizeof most) == 0;
  if (is_most && layout->n_columns == 4) return lines_of(r, separator, most, 4, out, capacity);
  if (is_most && layout->n_columns == 3) return lines_of(r, separator, most, 3, out, capacity);
  return lines_of(r, separator, layout->role, layout->n_columns, out, capacity);
}

int64_t gmf_text_usual_lines(gmf_text_reader *r, gmf_text_rating *out, int64_t capacity)
{
  switch (r->layout->format) {
    case GMF_TEXT_CSV: return lines_between(r, ',', out, capacity);
    case GMF_TEXT_TSV: return lines_between(r, '\t', out, capacity);
    case GMF_TEXT_DAT: return lines_between(r, ':', out, capacity);
    case GMF_TEXT_MTX: return lines_between(r, ' ', out, capacity);
    default: return 0;
  }
}
