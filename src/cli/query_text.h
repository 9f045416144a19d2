/* What gridmf-query prints: fields of JSON and CSV, aligned tables. All Local. */
#ifndef GMF_CLI_QUERY_TEXT_H
#define GMF_CLI_QUERY_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/text.h"

/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void gmf_put_json(FILE *out, const char *text);
/* A JSON number that reads back as the same float; null for NaN and infinity. */
void gmf_put_json_score(FILE *out, float score);
/* A JSON number with 12 digits; null for NaN and infinity. */
void gmf_put_json_number(FILE *out, double number);
/* The score with the 9 digits that bring back the same float. out: 32 bytes. Much faster than printf. */
void gmf_score_text(float score, char *out);

/* Rows of cells, printed in aligned columns. */
typedef struct gmf_table {
  int n_columns;
  unsigned right; /* bit c: column c is aligned to the right */
  unsigned cut;   /* bit c: column c may be cut when the terminal is narrow; the last ones are cut first */
  char *text;     /* owned: cells, each with a closing NUL, control characters replaced */
  int64_t n_text, text_capacity;
  int64_t n_cells;
} gmf_table;

gmf_status gmf_table_add(gmf_table *table, const char *cell, gmf_error *err);
/* The same with 4 significant digits; "-" for NaN. */
gmf_status gmf_table_add_score(gmf_table *table, float score, gmf_error *err);
/* Prints the rows, each after two blanks, and empties the table. width: columns of the terminal, 0: no limit. */
void gmf_table_print(gmf_table *table, int width, FILE *out);
void gmf_table_free(gmf_table *table);

#endif
