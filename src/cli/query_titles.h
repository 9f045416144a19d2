/* Titles of items, from files like MovieLens' movies.csv and movies.dat. Local. */
#ifndef GMF_CLI_QUERY_TITLES_H
#define GMF_CLI_QUERY_TITLES_H

#include "base/error.h"

typedef struct gmf_title {
  const char *id, *title;
  const char *note; /* a third column such as genres, or "" */
} gmf_title;

typedef struct gmf_titles gmf_titles;

/*
 * Reads id, title and perhaps a third column, separated by "::", tabs, commas (quoted fields may hold any character)
 * or bars, whichever the first line has. A header that names a column "title" or "name" may have it anywhere; else the
 * title is the second column. Latin-1 is understood. The first line of an id counts.
 * Errors: GMF_ERR_NO_INPUT, GMF_ERR_IO; GMF_ERR_DATA no line has two columns.
 */
gmf_status gmf_titles_read(const char *path, gmf_titles **out, gmf_error *err);
void gmf_titles_free(gmf_titles **titles);

/* titles may be NULL. The answer is {id, "", ""} for an unknown id. */
gmf_title gmf_titles_find(const gmf_titles *titles, const char *id);
/* Whether any item has a third column. */
int gmf_titles_have_notes(const gmf_titles *titles);

#endif
