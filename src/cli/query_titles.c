#include "cli/query_titles.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "cli/query_text.h"

enum { MAX_FIELDS = 64 };

struct gmf_titles {
  char *text;         /* owned */
  gmf_title *entries; /* [n] owned, into text; ascending ids, the first of equal ones in the file first */
  int64_t n, capacity;
  bool have_notes;
};

typedef struct layout {
  const char *delimiter;
  bool quotes;
  int title, note; /* columns from 0; note < 0: none */
} layout;

/* Which of the delimiters the first line has. */
static const char *find_delimiter(const char *text)
{
  static const char *const delimiters[] = {"::", "\t", ",", "|"};
  size_t length = strcspn(text, "\n");
  for (size_t d = 0; d < sizeof delimiters / sizeof *delimiters; d++) {
    const char *found = strstr(text, delimiters[d]);
    if (found != NULL && (size_t)(found - text) < length) return delimiters[d];
  }
  return ",";
}

/* Cuts the next field off *at, in place, and moves *at behind it. True when the record goes on. */
static bool next_field(char **at, const layout *l, const char **field)
{
  char *in = *at, *out = in;
  size_t width = strlen(l->delimiter);
  bool inside = l->quotes && *in == '"';

  *field = out;
  if (inside) in++;
  while (*in != '\0' && (inside || (*in != '\n' && strncmp(in, l->delimiter, width) != 0))) {
    if (inside && *in == '"' && in[1] != '"') {
      inside = false;
      in++;
      continue;
    }
    if (inside && *in == '"') in++;
    if (!inside && *in == '\r' && (in[1] == '\n' || in[1] == '\0'))
      in++;
    else
      *out++ = *in++;
  }
  bool more = *in != '\0' && *in != '\n';
  *at = in + (more ? width : *in == '\n' ? 1 : 0);
  *out = '\0';
  return more;
}

/* The fields of the next record; further ones are passed over. */
static int next_record(char **at, const layout *l, const char **fields)
{
  int n = 0;
  bool more = true;
  const char *field = NULL;
  while (more) {
    more = next_field(at, l, &field);
    if (n < MAX_FIELDS) fields[n++] = field;
  }
  return n;
}

static int column_named(const char *const *fields, int n, const char *a, const char *b)
{
  for (int f = 0; f < n; f++)
    if (strcasecmp(fields[f], a) == 0 || strcasecmp(fields[f], b) == 0) return f;
  return -1;
}

static gmf_status add_entry(gmf_titles *t, const layout *l, const char *const *fields, int n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (l->title >= n) return GMF_OK;
  GMF_TRY(GMF_RESERVE(t->entries, t->capacity, t->n + 1, err));
  const char *note = l->note >= 0 && l->note < n ? fields[l->note] : "";
  t->entries[t->n++] = (gmf_title){fields[0], fields[l->title], note};
  t->have_notes = t->have_notes || note[0] != '\0';
cleanup:
  return status;
}

static int by_id(const void *a, const void *b)
{
  const gmf_title *x = a, *y = b;
  int order = strcmp(x->id, y->id);
  return order != 0 ? order : x->id < y->id ? -1 : x->id > y->id;
}

/* A header that names other columns than an id, which comes first, and a title. */
static gmf_status check_header(const char *path, const char *const *fields, int n, gmf_error *err)
{
  if (n > 1 && column_named(fields, n, "title", "name") == 0)
    return gmf_fail(err, GMF_ERR_DATA, "%s: the first column is '%.60s', but the id of the item is needed there", path,
                    fields[0]);
  if (column_named(fields, n, "title", "name") < 0 && column_named(fields, n, "rating", "timestamp") > 0)
    return gmf_fail(err, GMF_ERR_DATA, "%s: holds ratings, not titles: its header names no column 'title' or 'name'",
                    path);
  return GMF_OK;
}

static gmf_status parse(const char *path, gmf_titles *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *fields[MAX_FIELDS];
  layout l = {.delimiter = find_delimiter(t->text), .title = 1, .note = 2};
  char *at = t->text;

  l.quotes = l.delimiter[0] == ',';
  for (bool first = true; *at != '\0'; first = false) {
    int n = next_record(&at, &l, fields);
    if (first) GMF_TRY(check_header(path, fields, n, err));
    int title = first ? column_named(fields, n, "title", "name") : -1;
    if (title > 0) {
      int genres = column_named(fields, n, "genres", "genre");
      l.title = title;
      l.note = genres > 0 ? genres : title == 1 ? 2 : -1;
    } else {
      GMF_TRY(add_entry(t, &l, fields, n, err));
    }
  }
  qsort(t->entries, (size_t)t->n, sizeof *t->entries, by_id);
cleanup:
  return status;
}

gmf_status gmf_titles_read(const char *path, gmf_titles **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_titles *t = NULL;

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(t, 1, err));
  GMF_TRY(GMF_RESERVE(t->entries, t->capacity, 1, err));
  GMF_TRY(gmf_read_text(path, &t->text, err));
  GMF_TRY(parse(path, t, err));
  if (t->n == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: no line has an id and a title", path));
  *out = t;
  t = NULL;
cleanup:
  gmf_titles_free(&t);
  return status;
}

void gmf_titles_free(gmf_titles **titles)
{
  if (*titles == NULL) return;
  gmf_free((*titles)->text);
  gmf_free((*titles)->entries);
  GMF_FREE(*titles);
}

gmf_title gmf_titles_find(const gmf_titles *t, const char *id)
{
  int64_t low = 0, high = t != NULL ? t->n : 0;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (strcmp(t->entries[middle].id, id) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  if (t != NULL && low < t->n && strcmp(t->entries[low].id, id) == 0) return t->entries[low];
  return (gmf_title){id, "", ""};
}

int gmf_titles_have_notes(const gmf_titles *t) { return t != NULL && t->have_notes; }
