#include "cli/query_text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "base/memory.h"

/* ---- UTF-8 ------------------------------------------------------------------------------------------------------- */

/* The length of the character at p, 1 to 4 bytes, and its code; 0 when these bytes are not UTF-8. */
static int decode(const char *p, uint32_t *code)
{
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char first = (unsigned char)p[0];
  int n = first < 0x80                    ? 1
          : first >= 0xf0 && first < 0xf8 ? 4
          : first >= 0xe0 && first < 0xf0 ? 3
          : first >= 0xc0 && first < 0xe0 ? 2
                                          : 0;
  if (n <= 1) {
    *code = first;
    return n;
  }
  *code = first & (0x7fU >> n);
  for (int b = 1; b < n; b++) {
    if (((unsigned char)p[b] & 0xc0) != 0x80) return 0;
    *code = *code << 6 | ((unsigned char)p[b] & 0x3f);
  }
  bool good = *code >= least[n] && *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff);
  return good ? n : 0;
}

static bool is_utf8(const char *text)
{
  uint32_t code = 0;
  int n = 1;
  for (; *text != '\0' && n > 0; text += n) n = decode(text, &code);
  return n > 0;
}

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
    n = decode(text, &code);
    if (n == 0) n = 1;
    width += columns_of(code);
  }
  return width;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static gmf_status read_all(FILE *file, const char *path, char **out, int64_t *size, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t capacity = 0;
  *size = 0;
  do {
    GMF_TRY(GMF_RESERVE(*out, capacity, *size + (1 << 16), err));
    *size += (int64_t)fread(*out + *size, 1, (size_t)(capacity - *size - 1), file);
  } while (!feof(file) && !ferror(file));
  if (ferror(file)) GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: reading failed: %s", path, strerror(errno)));
  (*out)[*size] = '\0';
cleanup:
  return status;
}

static gmf_status latin1_to_utf8(char **text, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *wide = NULL, *to = NULL;
  GMF_TRY(GMF_NEW(wide, (int64_t)strlen(*text) * 2 + 1, err));
  to = wide;
  for (const char *from = *text; *from != '\0'; from++) {
    unsigned char c = (unsigned char)*from;
    if (c >= 0x80) *to++ = (char)(0xc0 | c >> 6);
    *to++ = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
  }
  *to = '\0';
  gmf_free(*text);
  *text = wide;
cleanup:
  return status;
}

gmf_status gmf_read_text(const char *path, char **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *text = NULL;
  int64_t size = 0;
  struct stat st;
  FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");

  *out = NULL;
  if (file == NULL) GMF_TRY(gmf_fail(err, GMF_ERR_NO_INPUT, "%s: %s", path, strerror(errno)));
  if (fstat(fileno(file), &st) == 0 && S_ISDIR(st.st_mode))
    GMF_TRY(gmf_fail(err, GMF_ERR_NO_INPUT, "%s: is a folder, not a file", path));
  GMF_TRY(read_all(file, path, &text, &size, err));
  if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) memmove(text, text + 3, (size_t)size - 2);
  if (!is_utf8(text)) GMF_TRY(latin1_to_utf8(&text, err));
  *out = text;
  text = NULL;
cleanup:
  if (file != NULL && file != stdin) fclose(file);
  gmf_free(text);
  return status;
}

gmf_status gmf_lines_read(const char *path, gmf_lines *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *rest = NULL;
  *out = (gmf_lines){0};
  GMF_TRY(gmf_read_text(path, &out->text, err));
  for (char *line = strtok_r(out->text, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
    line += strspn(line, " \t");
    size_t length = strlen(line);
    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t')) line[--length] = '\0';
    if (length == 0) continue;
    GMF_TRY(GMF_RESERVE(out->lines, out->capacity, out->n + 1, err));
    out->lines[out->n++] = line;
  }
cleanup:
  if (status != GMF_OK) gmf_lines_free(out);
  return status;
}

void gmf_lines_free(gmf_lines *lines)
{
  gmf_free(lines->text);
  gmf_free(lines->lines);
  *lines = (gmf_lines){0};
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
    int n = decode(text, &code);
    put_json_char(out, code, text, n);
    text += n == 0 ? 1 : n;
  }
  fputc_unlocked('"', out);
}

/* 123456789 with exponent 2 is 123.456789; trailing zeros are left out. */
static void place_point(int64_t digits, int exponent, bool negative, char *out)
{
  char all[24];
  int n = snprintf(all, sizeof all, "%09" PRId64, digits), whole = exponent + 1;
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

void gmf_put_csv(FILE *out, const char *text)
{
  if (text[strcspn(text, ",\"\r\n")] == '\0') {
    fputs(text, out);
    return;
  }
  fputc('"', out);
  for (; *text != '\0'; text++) {
    if (*text == '"') fputc('"', out);
    fputc(*text, out);
  }
  fputc('"', out);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

gmf_status gmf_table_add(gmf_table *table, const char *cell, gmf_error *err)
{
  gmf_status status = GMF_OK;
  uint32_t code = 0;
  GMF_TRY(GMF_RESERVE(table->text, table->text_capacity, table->n_text + (int64_t)strlen(cell) * 3 + 1, err));
  char *to = table->text + table->n_text;
  for (int n = 1; *cell != '\0'; cell += n) {
    n = decode(cell, &code);
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
  for (int n = decode(cell, &code); used + columns_of(code) < width; n = decode(cell, &code)) {
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

int gmf_terminal_width(void)
{
  struct winsize size = {0};
  if (!isatty(STDOUT_FILENO)) return 0;
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}
