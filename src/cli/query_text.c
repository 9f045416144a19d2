#include "cli/query_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/memory.h"

/* ---- UTF-8 ------------------------------------------------------------------------------------------------------- */

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

/* Columns that a character takes on a terminal. */
static int columns_of(uint32_t code)
{
  int width = wcwidth((wchar_t)code);
  return width < 0 ? 1 : width;
}

static int text_width(const char *text)
{
  int width = 0;
  uint32_t code = 0;
  for (int n = 1; *text != '\0'; text += n) {
    n = gmf_utf8_decode(text, &code);
    if (n == 0) n = 1;
    width += columns_of(code);
  }
  return width;
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

/* How many bytes of text stand for themselves in a JSON string. */
static size_t plain_span(const char *text)
{
  size_t n = 0;
  while (text[n] >= 0x20 && text[n] < 0x7f && text[n] != '"' && text[n] != '\\') n++;
  return n;
}

static void put_json_char(FILE *out, uint32_t code, const char *text, int n)
{
  if (n == 0)
    fputs(REPLACEMENT, out);
  else if (code == '"' || code == '\\')
    fprintf(out, "\\%c", (int)code);
  else if (code < 0x20 || code == 0x7f)
    fprintf(out, "\\u%04x", (unsigned)code);
  else
    fwrite(text, 1, (size_t)n, out);
}

void gmf_put_json(FILE *out, const char *text)
{
  uint32_t code = 0;
  fputc_unlocked('"', out);
  while (*text != '\0') {
    size_t plain = plain_span(text);
    fwrite_unlocked(text, 1, plain, out);
    text += plain;
    if (*text == '\0') break;
    int n = gmf_utf8_decode(text, &code);
    put_json_char(out, code, text, n);
    text += n == 0 ? 1 : n;
  }
  fputc_unlocked('"', out);
}

/* 123456789 with exponent 2 is 123.456789; trailing zeros are left out. */
static void place_point(int64_t digits, int exponent, bool negative, char *out)
{
  char all[GMF_I64_TEXT];
  int n = 9, whole = exponent + 1;
  gmf_i64_text(digits, all); /* nine digits, as those of all numbers but 0 */
  while (n > 1 && n > whole && all[n - 1] == '0') all[--n] = '\0';
  if (negative) *out++ = '-';
  if (whole <= 0) {
    out += sprintf(out, "0.");
    for (; whole < 0; whole++) *out++ = '0';
  }
  for (int d = 0; d < n; d++) {
    if (d > 0 && d == whole) *out++ = '.';
    *out++ = all[d];
  }
  *out = '\0';
}

void gmf_score_text(float score, char *out)
{
  static const double powers[] = {1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
  double size = fabs((double)score);
  if (!(size >= powers[0] && size < 1e8)) {
    snprintf(out, 32, "%.9g", (double)score);
    return;
  }
  int exponent = -4;
  while (size >= powers[exponent + 5]) exponent++;
  double scaled = exponent >= 4 ? size / powers[exponent - 4] : size * (1e8 / powers[exponent + 4]);
  int64_t digits = llround(scaled);
  if (digits >= 1000000000) {
    digits /= 10;
    exponent++;
  }
  place_point(digits, exponent, score < 0, out);
}

void gmf_put_json_score(FILE *out, float score)
{
  char text[32] = "null";
  if (isfinite(score)) gmf_score_text(score, text);
  fputs_unlocked(text, out);
}

void gmf_put_json_number(FILE *out, double number)
{
  if (isfinite(number))
    fprintf(out, "%.12g", number);
  else
    fputs("null", out);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

gmf_status gmf_table_add(gmf_table *table, const char *cell, gmf_error *err)
{
  gmf_status status = GMF_OK;
  uint32_t code = 0;
  GMF_TRY(GMF_RESERVE(table->text, table->text_capacity, table->n_text + (int64_t)strlen(cell) * 3 + 1, err));
  char *to = table->text + table->n_text;
  for (int n = 1; *cell != '\0'; cell += n) {
    n = gmf_utf8_decode(cell, &code);
    bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const char *from = n == 0 ? REPLACEMENT : control ? "?" : cell;
    size_t length = n == 0 ? 3 : control ? 1 : (size_t)n;
    memcpy(to, from, length);
    to += length;
    if (n == 0) n = 1;
  }
  *to++ = '\0';
  table->n_text = to - table->text;
  table->n_cells++;
cleanup:
  return status;
}

gmf_status gmf_table_add_score(gmf_table *table, float score, gmf_error *err)
{
  char text[40];
  snprintf(text, sizeof text, "%#.4g", (double)score);
  size_t length = strlen(text);
  if (text[length - 1] == '.') text[length - 1] = '\0';
  return gmf_table_add(table, isnan(score) ? "-" : text, err);
}

enum { MAX_COLUMNS = 8, LEAST_CUT = 8, GAP = 2 };

/* Widths of the columns, cut to fit: the last ones first. */
static void measure(const gmf_table *table, int width, int *widths)
{
  const char *cell = table->text;
  memset(widths, 0, MAX_COLUMNS * sizeof *widths);
  for (int64_t c = 0; c < table->n_cells; c++, cell += strlen(cell) + 1) {
    int w = text_width(cell), column = (int)(c % table->n_columns);
    if (w > widths[column]) widths[column] = w;
  }
  int over = -width;
  for (int c = 0; c < table->n_columns; c++) over += GAP + widths[c];
  for (int c = table->n_columns - 1; c >= 0 && over > 0 && width > 0; c--) {
    if ((table->cut >> c & 1) == 0 || widths[c] <= LEAST_CUT) continue;
    int less = widths[c] - LEAST_CUT < over ? widths[c] - LEAST_CUT : over;
    widths[c] -= less;
    over -= less;
  }
}

/* As much of a cell as fits, and an ellipsis. Returns the columns used. */
static int put_cut(const char *cell, int width, FILE *out)
{
  int used = 0;
  uint32_t code = 0;
  for (int n = gmf_utf8_decode(cell, &code); used + columns_of(code) < width; n = gmf_utf8_decode(cell, &code)) {
    fwrite(cell, 1, (size_t)n, out);
    used += columns_of(code);
    cell += n;
  }
  fputs("\xe2\x80\xa6", out);
  return used + 1;
}

/* One cell in `width` columns. *blanks are due before it; those behind it wait for the next cell with a text. */
static void put_cell(const char *cell, int width, bool right, int *blanks, FILE *out)
{
  int used = text_width(cell);
  if (used == 0) {
    *blanks += width;
    return;
  }
  fprintf(out, "%*s", *blanks + (right && used < width ? width - used : 0), "");
  if (used <= width)
    fputs(cell, out);
  else
    used = put_cut(cell, width, out);
  *blanks = right ? 0 : width - used;
}

void gmf_table_print(gmf_table *table, int width, FILE *out)
{
  int widths[MAX_COLUMNS], blanks = 0;
  const char *cell = table->text;
  measure(table, width, widths);
  for (int64_t c = 0; c < table->n_cells; c++, cell += strlen(cell) + 1) {
    int column = (int)(c % table->n_columns);
    blanks += GAP;
    put_cell(cell, widths[column], table->right >> column & 1, &blanks, out);
    if (column < table->n_columns - 1) continue;
    fputc('\n', out);
    blanks = 0;
  }
  table->n_cells = table->n_text = 0;
}

void gmf_table_free(gmf_table *table) { GMF_FREE(table->text); }
