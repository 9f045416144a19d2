#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

int gmf_utf8_decode(const char *p, uint32_t *code)
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
  for (; *text != '\0' && n > 0; text += n) n = gmf_utf8_decode(text, &code);
  return n > 0;
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

void gmf_put_csv(FILE *out, const char *text)
{
  if (text[strcspn(text, ",\"\r\n")] == '\0') {
    fputs_unlocked(text, out);
    return;
  }
  fputc_unlocked('"', out);
  for (; *text != '\0'; text++) {
    if (*text == '"') fputc_unlocked('"', out);
    fputc_unlocked(*text, out);
  }
  fputc_unlocked('"', out);
}

void gmf_i64_text(int64_t value, char *out)
{
  char digits[GMF_I64_TEXT];
  int n = 0;
  uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
  do {
    digits[n++] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  if (value < 0) *out++ = '-';
  while (n > 0) *out++ = digits[--n];
  *out = '\0';
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

char *gmf_text_next_part(char **at, char *end, const char *separator, int64_t *length, bool *broken)
{
  char *p = *at, *to = NULL;
  size_t width = strlen(separator);
  if (p == NULL) return NULL;
  while (p < end && is_blank(*p) && *p != separator[0]) p++;
  char *begin = p, *next = width > 0 && p < end ? memmem(p, (size_t)(end - p), separator, width) : NULL;
  *broken = false;
  if (p < end && *p == '"' && width > 0) {
    to = begin = p++;
    while (p < end && (*p != '"' || (p + 1 < end && p[1] == '"'))) {
      p += *p == '"';
      *to++ = *p++;
    }
    *broken = p == end;
    if (!*broken) p++;
    while (p < end && is_blank(*p)) p++;
    *broken = *broken || (p < end && ((size_t)(end - p) < width || memcmp(p, separator, width) != 0));
    next = p < end ? p : NULL;
  }
  if (to == NULL) to = next != NULL ? next : end;
  while (to > begin && is_blank(to[-1])) to--;
  *length = to - begin;
  *at = next != NULL ? next + width : NULL;
  return begin;
}

int gmf_terminal_width(void)
{
  struct winsize size = {0};
  if (!isatty(STDOUT_FILENO)) return 0;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0; /* as of mpirun's */
  return size.ws_col > 20 ? size.ws_col : 80;
}
