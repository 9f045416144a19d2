/* Text files as a whole, lists of lines, UTF-8. All Local. */
#ifndef GMF_BASE_TEXT_H
#define GMF_BASE_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* The length of the character at p, 1 to 4 bytes, and its code; 0 when these bytes are not UTF-8. */
int gmf_utf8_decode(const char *p, uint32_t *code);

/*
 * The whole of a file ("-": standard input) with a closing NUL; gmf_free. A byte order mark is left out. Latin-1 text,
 * as in MovieLens 1M, is turned into UTF-8. Errors: GMF_ERR_NO_INPUT, GMF_ERR_IO, GMF_ERR_MEMORY.
 */
gmf_status gmf_read_text(const char *path, char **out, gmf_error *err);

/* The lines of a text that are not blank, without blanks around them. */
typedef struct gmf_lines {
  char *text;         /* owned */
  const char **lines; /* [n] owned, into text */
  int64_t n, capacity;
} gmf_lines;

/* Errors as gmf_read_text. */
gmf_status gmf_lines_read(const char *path, gmf_lines *out, gmf_error *err);
void gmf_lines_free(gmf_lines *lines);

/* The number in decimal digits; out has GMF_I64_TEXT bytes. Several times as fast as printf. */
enum { GMF_I64_TEXT = 24 };
void gmf_i64_text(int64_t value, char *out);

/*
 * The next part of a list from *at up to the separator (or to `end`, which is all of it for ""), without blanks around
 * it. A part in quotes may hold the separator; its quotes are undone in place. NULL after the last part. *broken: the
 * quotes do not end, or there is text behind them.
 */
char *gmf_text_next_part(char **at, char *end, const char *separator, int64_t *length, bool *broken);

/* Columns of the terminal on standard output; 0 when it is none, or does not say. */
int gmf_terminal_width(void);

/* A CSV field, quoted where RFC 4180 asks for it. */
void gmf_put_csv(FILE *out, const char *text);

#endif
