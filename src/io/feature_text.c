/*
 * Reads a table of features. A category is interned by sorting: every mention of one is a pair (row, text), and the
 * sorted distinct texts of a column are its features. So the features' order depends on the options and the text alone.
 */
#include "io/feature_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/text.h"
#include "gridmf/features.h"
#include "io/input.h"
#include "io/text_reader.h"

static const char INTERCEPT[] = GMF_FEATURE_INTERCEPT;

enum { MAX_COLUMNS = 64, MAX_NAME = 256, BLOCK_BYTES = 1 << 20 };

/* A column that is read. */
typedef struct column {
  char name[MAX_NAME];      /* as the option has it */
  char separator[MAX_NAME]; /* of categories; "": a field is one */
  int index;                /* from 0 */
} column;

/* A mention of a category in a row. */
typedef struct mention {
  int64_t row, text; /* where the text begins in the arena */
  int32_t column, length;
} mention;

typedef struct number {
  int64_t row;
  int32_t column;
  float value;
} number;

typedef struct row_id {
  int64_t integer, text, line; /* text: in the arena */
  int32_t length;
} row_id;

typedef struct reader {
  const char *path;
  const gmf_feature_text_options *options;
  gmf_feature_text_report *report;
  gmf_text_format format;
  column id, categories[MAX_COLUMNS], numbers[MAX_COLUMNS];
  int n_categories, n_numbers, n_fields; /* fields that a line must have */
  bool wants_header;
  int64_t line;   /* that is read, from 1 */
  char *arena;    /* owned, like the arrays below */
  row_id *rows;   /* [n_rows] in the order of the file */
  int64_t *order; /* [n_rows] rows by ascending id */
  mention *mentions;
  number *found;
  int64_t n_arena, n_rows, n_mentions, n_found;
  int64_t arena_capacity, row_capacity, mention_capacity, found_capacity;
} reader;

static void reader_free(reader *r)
{
  gmf_free(r->arena);
  gmf_free(r->rows);
  gmf_free(r->order);
  gmf_free(r->mentions);
  gmf_free(r->found);
}

void gmf_feature_table_free(gmf_feature_table *table)
{
  gmf_ids_free(&table->ids);
  gmf_side_features_free(&table->features);
}

/* ---- the options ------------------------------------------------------------------------------------------------- */

static gmf_status add_column(const char *option, const char *name, size_t length, const char *separator, size_t width,
                             column *columns, int *n, gmf_error *err)
{
  if (*n == MAX_COLUMNS) return gmf_fail(err, GMF_ERR_USAGE, "--%s: more than %d columns", option, MAX_COLUMNS);
  if (length == 0 || length >= MAX_NAME || width >= MAX_NAME)
    return gmf_fail(err, GMF_ERR_USAGE, "--%s: a column's name is missing, or longer than %d bytes", option,
                    MAX_NAME - 1);
  column *c = &columns[(*n)++];
  *c = (column){.index = -1};
  memcpy(c->name, name, length);
  memcpy(c->separator, separator, width);
  return GMF_OK;
}

static gmf_status parse_options(reader *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int n_id = 0;
  const char *end = NULL;
  GMF_TRY(add_column("id", r->options->id, strlen(r->options->id), "", 0, &r->id, &n_id, err));
  for (const char *p = r->options->categories; *p != '\0'; p = *end == '\0' ? end : end + 1) {
    end = strchrnul(p, '\n');
    const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma != NULL ? comma : end;
    const char *separator = comma != NULL ? comma + 1 : end;
    GMF_TRY(add_column("categories", p, (size_t)(stop - p), separator, (size_t)(end - separator), r->categories,
                       &r->n_categories, err));
  }
  for (const char *p = r->options->numbers; *p != '\0'; p = *end == '\0' ? end : end + 1) {
    end = strchrnul(p, ',');
    GMF_TRY(add_column("numbers", p, (size_t)(end - p), "", 0, r->numbers, &r->n_numbers, err));
  }
  if (r->n_categories + r->n_numbers == 0 && !r->options->intercept)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "--categories COLUMN[,SEPARATOR] or --numbers COLUMN,... is needed"));
cleanup:
  return status;
}

/* All columns that are read, one after the other; NULL after the last. */
static column *nth_column(reader *r, int i)
{
  if (i == 0) return &r->id;
  if (i <= r->n_categories) return &r->categories[i - 1];
  return i <= r->n_categories + r->n_numbers ? &r->numbers[i - 1 - r->n_categories] : NULL;
}

/* Columns by number where all of them are: then there is no header. */
static void number_columns(reader *r)
{
  for (int i = 0; nth_column(r, i) != NULL; i++) {
    column *c = nth_column(r, i);
    int place = gmf_text_column_number(c->name);
    bool is_default = i == 0 && strcmp(c->name, "1") == 0; /* of --id, beside names */
    if ((place < 1 || place > GMF_TEXT_MAX_COLUMNS) && !is_default) r->wants_header = true;
    c->index = place - 1;
    r->n_fields = gmf_int(gmf_max64(r->n_fields, place));
  }
}

static gmf_status read_header(reader *r, const gmf_text_field *fields, int n, gmf_error *err)
{
  char names[200] = "";
  for (int c = 0, at = 0; c < n && at < (int)sizeof names; c++)
    at += snprintf(names + at, sizeof names - (size_t)at, "%s%.*s", c > 0 ? ", " : "",
                   (int)(fields[c].end - fields[c].begin), fields[c].begin);
  r->n_fields = 0;
  for (int i = 0; nth_column(r, i) != NULL; i++) {
    column *c = nth_column(r, i);
    int place = gmf_text_find_column(fields, n, c->name);
    if (place < 0 && i == 0 && strcmp(c->name, "1") == 0) place = 0; /* --id was not given */
    if (place < 0)
      return gmf_fail(err, GMF_ERR_DATA, "%s:%" PRId64 ": there is no column '%s'; the header has: %s", r->path,
                      r->line, c->name, names);
    c->index = place;
    r->n_fields = gmf_int(gmf_max64(r->n_fields, place + 1));
  }
  r->wants_header = false;
  return GMF_OK;
}

/* ---- a line ------------------------------------------------------------------------------------------------------ */

/* A line that cannot be read: an error, or counted. */
static gmf_status bad_line(reader *r, int64_t place, gmf_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static gmf_status bad_line(reader *r, int64_t place, gmf_error *err, const char *format, ...)
{
  char reason[300];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  if (!r->options->skip_bad_lines)
    return gmf_fail(err, GMF_ERR_DATA, "%s:%" PRId64 ":%" PRId64 ": %s; mend it, or use --on-bad-line skip", r->path,
                    r->line, place, reason);
  if (r->report->n_bad_lines++ == 0)
    snprintf(r->report->first_bad_line, sizeof r->report->first_bad_line, "line %" PRId64 ": %s", r->line, reason);
  return GMF_OK;
}

static gmf_status keep_text(reader *r, const char *text, int64_t length, int64_t *at, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_RESERVE(r->arena, r->arena_capacity, r->n_arena + length, err));
  memcpy(r->arena + r->n_arena, text, (size_t)length);
  *at = r->n_arena;
  r->n_arena += length;
cleanup:
  return status;
}

/* The id of a row, NULL or what is wrong with it. */
static const char *take_id(const reader *r, const gmf_text_field *field, gmf_text_id *id)
{
  const char *reason = gmf_text_read_id(field, id);
  if (reason != NULL || r->options->id_type.kind == GMF_TEXT) return reason;
  if (id->kind == GMF_ID_TEXT) return "id is no integer, as all ids of the dataset are";
  return id->kind == GMF_ID_HUGE ? "id does not fit 64 bits" : NULL;
}

/* The categories of a field; *reason: what is wrong. */
static gmf_status take_categories(reader *r, int c, const gmf_text_field *field, const char **reason, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *at = field->begin;
  int64_t length = 0;
  bool broken = false;
  while (*reason == NULL) {
    char *text = gmf_text_next_part(&at, field->end, r->categories[c].separator, &length, &broken);
    if (text == NULL) break;
    if (broken) *reason = "has a category whose quotes do not end, or with text behind them";
    if (length > GMF_TEXT_MAX_ID_BYTES) *reason = "has a category longer than 1024 bytes";
    if (*reason == NULL && !gmf_text_is_utf8(text, text + length)) *reason = "is not valid UTF-8";
    if (*reason != NULL || length == 0) continue;
    mention m = {.row = r->n_rows, .column = c, .length = gmf_i32(length)};
    GMF_TRY(keep_text(r, text, length, &m.text, err));
    GMF_TRY(GMF_RESERVE(r->mentions, r->mention_capacity, r->n_mentions + 1, err));
    r->mentions[r->n_mentions++] = m;
  }
cleanup:
  return status;
}

static gmf_status take_number(reader *r, int c, const gmf_text_field *field, const char **reason, int64_t *n_missing,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  number found = {.row = r->n_rows, .column = c};
  if (field->begin == field->end) {
    (*n_missing)++;
    return GMF_OK;
  }
  *reason = gmf_text_read_number(field, &found.value);
  if (*reason != NULL) return GMF_OK;
  GMF_TRY(GMF_RESERVE(r->found, r->found_capacity, r->n_found + 1, err));
  r->found[r->n_found++] = found;
cleanup:
  return status;
}

/* The features of a line of good fields; *bad: the column that is wrong, NULL for none. */
static gmf_status take_features(reader *r, const gmf_text_field *fields, const column **bad, const char **reason,
                                int64_t *n_missing, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int c = 0; c < r->n_categories && *reason == NULL; c++) {
    *bad = &r->categories[c];
    GMF_TRY(take_categories(r, c, &fields[(*bad)->index], reason, err));
  }
  for (int c = 0; c < r->n_numbers && *reason == NULL; c++) {
    *bad = &r->numbers[c];
    GMF_TRY(take_number(r, c, &fields[(*bad)->index], reason, n_missing, err));
  }
cleanup:
  return status;
}

/* Of a line that is bad nothing is kept. */
static gmf_status read_line(reader *r, char *begin, char *end, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_text_field fields[GMF_TEXT_MAX_COLUMNS];
  gmf_text_id id = {0};
  const column *bad = &r->id;
  const char *reason = NULL;
  int64_t n_arena = r->n_arena, n_mentions = r->n_mentions, n_found = r->n_found, n_missing = 0;
  int n = gmf_text_split(r->format, begin, end, fields, GMF_TEXT_MAX_COLUMNS);

  if (n >= 0 && r->wants_header) return read_header(r, fields, n, err);
  r->report->n_lines++;
  if (n < 0) return bad_line(r, 1, err, "a quoted field does not end on its line, or has text behind its quotes");
  if (n < r->n_fields) return bad_line(r, 1, err, "%d fields, and %d are needed", n, r->n_fields);
  reason = take_id(r, &fields[r->id.index], &id);
  if (reason == NULL) GMF_TRY(take_features(r, fields, &bad, &reason, &n_missing, err));
  if (reason != NULL) {
    const gmf_text_field *field = &fields[bad->index];
    r->n_arena = n_arena;
    r->n_mentions = n_mentions;
    r->n_found = n_found;
    return bad_line(r, field->column, err, "%s '%.*s' %s", bad->name, gmf_int(gmf_min64(60, field->end - field->begin)),
                    field->begin, reason);
  }
  row_id row = {.integer = id.integer, .line = r->line};
  if (r->options->id_type.kind == GMF_TEXT) {
    const gmf_text_field *field = &fields[r->id.index];
    row.length = gmf_i32(field->end - field->begin);
    GMF_TRY(keep_text(r, field->begin, row.length, &row.text, err));
  }
  GMF_TRY(GMF_RESERVE(r->rows, r->row_capacity, r->n_rows + 1, err));
  r->rows[r->n_rows++] = row;
  r->report->n_missing += n_missing;
cleanup:
  return status;
}

static gmf_status read_block(reader *r, char *at, char *end, gmf_error *err)
{
  gmf_status status = GMF_OK;
  while (at < end) {
    char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline;
    r->line++;
    if (stop > at && stop[-1] == '\r') stop--;
    bool blank = true;
    for (const char *p = at; p < stop && blank; p++) blank = gmf_text_is_blank(*p);
    if (!blank) GMF_TRY(read_line(r, at, stop, err));
    at = newline + 1;
  }
cleanup:
  return status;
}

static gmf_status read_file(reader *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_input_file file;
  gmf_stream *stream = NULL;
  gmf_input_block block = {0};
  char *head = NULL;
  int64_t n_head = 0, begin = 0;
  bool is_whole = false;

  GMF_TRY(GMF_NEW(head, GMF_TEXT_HEAD_BYTES, err));
  GMF_TRY(gmf_input_probe(r->path, &file, head, GMF_TEXT_HEAD_BYTES, &n_head, &is_whole, err));
  GMF_TRY(gmf_text_sniff(r->path, "features", head, n_head, is_whole, &r->format, &begin, err));
  if (r->format == GMF_TEXT_MTX || r->format == GMF_TEXT_ADJACENCY)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: features are read from csv, tsv or '::' text, not from %s", r->path,
                     gmf_text_format_name(r->format)));
  GMF_TRY(gmf_stream_open(r->path, file.compression, &stream, err));
  do {
    GMF_TRY(gmf_stream_next_block(stream, BLOCK_BYTES, gmf_text_max_line(r->format), &block, err));
    GMF_TRY(read_block(r, block.begin + (block.offset == 0 && block.begin < block.end ? begin : 0), block.end, err));
  } while (block.begin < block.end);
  if (r->wants_header) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: has no header, by which columns are named", r->path));
  if (r->n_rows == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: no line has features", r->path));
cleanup:
  gmf_stream_close(&stream);
  gmf_input_block_free(&block);
  gmf_free(head);
  return status;
}

/* ---- rows in the order of their ids ------------------------------------------------------------------------------ */

static int compare_bytes(const char *a, int64_t n_a, const char *b, int64_t n_b)
{
  int order = memcmp(a, b, (size_t)gmf_min64(n_a, n_b));
  return order != 0 ? order : (n_a > n_b) - (n_a < n_b);
}

/* Ids alone. */
static int compare_ids(const reader *r, const row_id *x, const row_id *y)
{
  if (r->options->id_type.kind == GMF_I8) return (x->integer > y->integer) - (x->integer < y->integer);
  return compare_bytes(r->arena + x->text, x->length, r->arena + y->text, y->length);
}

static int by_id(const void *a, const void *b, void *context)
{
  const reader *r = context;
  const row_id *x = &r->rows[*(const int64_t *)a], *y = &r->rows[*(const int64_t *)b];
  int order = compare_ids(r, x, y);
  return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

/* place [n_rows]: where each row of the file goes, -1 for the later ones of an id. */
static gmf_status order_rows(reader *r, int64_t *place, int64_t *n_out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = 0;
  GMF_TRY(GMF_NEW(r->order, r->n_rows, err));
  for (int64_t j = 0; j < r->n_rows; j++) r->order[j] = j;
  qsort_r(r->order, (size_t)r->n_rows, sizeof *r->order, by_id, r);
  for (int64_t j = 0; j < r->n_rows; j++) {
    const row_id *row = &r->rows[r->order[j]], *before = n > 0 ? &r->rows[r->order[n - 1]] : NULL;
    place[r->order[j]] = -1;
    if (before != NULL && compare_ids(r, before, row) == 0) {
      char id[64];
      if (r->options->id_type.kind == GMF_I8)
        snprintf(id, sizeof id, "%" PRId64, row->integer);
      else
        snprintf(id, sizeof id, "%.*s", gmf_int(gmf_min64(row->length, 60)), r->arena + row->text);
      r->line = row->line;
      GMF_TRY(bad_line(r, 1, err, "%s '%s' stands on line %" PRId64 " already", r->id.name, id, before->line));
    } else {
      place[r->order[j]] = n;
      r->order[n++] = r->order[j];
    }
  }
  *n_out = n;
cleanup:
  return status;
}

static gmf_status store_ids(const reader *r, int64_t n, gmf_ids *ids, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t longest = 1;
  for (int64_t j = 0; j < n; j++) longest = gmf_max64(longest, r->rows[r->order[j]].length);
  bool integers = r->options->id_type.kind == GMF_I8;
  *ids = (gmf_ids){.type = integers ? gmf_type_of(GMF_I8) : gmf_type_text(longest), .n = n};
  ids->values = gmf_calloc(n, (size_t)ids->type.size);
  if (ids->values == NULL) GMF_TRY(gmf_out_of_memory(err, n, (size_t)ids->type.size, "ids"));
  for (int64_t j = 0; j < n; j++) {
    const row_id *row = &r->rows[r->order[j]];
    if (integers)
      ((int64_t *)ids->values)[j] = row->integer;
    else
      memcpy((char *)ids->values + j * longest, r->arena + row->text, (size_t)row->length);
  }
cleanup:
  return status;
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

static int by_category(const void *a, const void *b, void *context)
{
  const reader *r = context;
  const mention *x = a, *y = b;
  if (x->column != y->column) return x->column < y->column ? -1 : 1;
  int order = compare_bytes(r->arena + x->text, x->length, r->arena + y->text, y->length);
  if (order != 0) return order;
  return (x->row > y->row) - (x->row < y->row);
}

static bool same_category(const reader *r, const mention *x, const mention *y)
{
  return x->column == y->column && x->length == y->length &&
         memcmp(r->arena + x->text, r->arena + y->text, (size_t)x->length) == 0;
}

/* The column of the first number: behind all categories. */
static int64_t first_number(const reader *r, const gmf_feature_names *names)
{
  return names->n - r->n_numbers - r->options->intercept;
}

/* The features: categories in the order of the columns and then of their bytes, and behind them the numbers and the
 * intercept. Mentions get the feature as their column. */
static gmf_status name_features(reader *r, gmf_feature_names *names, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = 0, longest = 1, feature = -1;
  char *text = NULL;
  if (r->n_mentions > 0) qsort_r(r->mentions, (size_t)r->n_mentions, sizeof *r->mentions, by_category, r);
  for (int64_t j = 0; j < r->n_mentions; j++) {
    const mention *m = &r->mentions[j];
    n += j == 0 || !same_category(r, m - 1, m);
    longest = gmf_max64(longest, (int64_t)strlen(r->categories[m->column].name) + 1 + m->length);
  }
  for (int c = 0; c < r->n_numbers; c++) longest = gmf_max64(longest, (int64_t)strlen(r->numbers[c].name));
  if (r->options->intercept) longest = gmf_max64(longest, (int64_t)sizeof INTERCEPT - 1);
  GMF_TRY(gmf_feature_names_new(n + r->n_numbers + r->options->intercept, longest, names, err));
  GMF_TRY(GMF_NEW(text, longest + 1, err));
  mention last = {.column = -1};
  for (int64_t j = 0; j < r->n_mentions; j++) {
    mention *m = &r->mentions[j];
    if (feature < 0 || !same_category(r, &last, m)) {
      feature++;
      int length =
          snprintf(text, (size_t)longest + 1, "%s:%.*s", r->categories[m->column].name, m->length, r->arena + m->text);
      memcpy(names->text + feature * longest, text, (size_t)length);
    }
    last = *m;
    m->column = gmf_i32(feature);
  }
  for (int c = 0; c < r->n_numbers; c++)
    memcpy(names->text + (n + c) * longest, r->numbers[c].name, strlen(r->numbers[c].name));
  if (r->options->intercept) memcpy(names->text + (names->n - 1) * longest, INTERCEPT, sizeof INTERCEPT - 1);
cleanup:
  gmf_free(text);
  return status;
}

/* The mean and standard deviation of each column of numbers; a constant one gets scale 1, and says nothing. */
static void scale_numbers(const reader *r, const int64_t *place, gmf_feature_names *names)
{
  int64_t first = first_number(r, names);
  for (int c = 0; c < r->n_numbers; c++) {
    double sum = 0, squares = 0, n = 0;
    for (int64_t j = 0; j < r->n_found; j++)
      if (r->found[j].column == c && place[r->found[j].row] >= 0) {
        sum += (double)r->found[j].value;
        n++;
      }
    double mean = n > 0 ? sum / n : 0;
    for (int64_t j = 0; j < r->n_found; j++) {
      double d = (double)r->found[j].value - mean;
      if (r->found[j].column == c && place[r->found[j].row] >= 0) squares += d * d;
    }
    double deviation = n > 0 ? sqrt(squares / n) : 0;
    bool varies = deviation > 1e-12 * fabs(mean);
    names->mean[first + c] = mean;
    names->scale[first + c] = varies ? deviation : 1;
    if (!varies) r->report->n_constant++;
  }
}

/* ---- the matrix -------------------------------------------------------------------------------------------------- */

/* An entry on its way into its row. */
typedef struct entry {
  int64_t row;
  int32_t column;
  float value;
} entry;

static int by_place(const void *a, const void *b)
{
  const entry *x = a, *y = b;
  if (x->row != y->row) return x->row < y->row ? -1 : 1;
  return (x->column > y->column) - (x->column < y->column);
}

/* All entries; of a category named twice in a field one. */
static int64_t list_entries(const reader *r, const int64_t *place, const gmf_feature_names *names, entry *entries)
{
  int64_t n = 0, first = first_number(r, names);
  for (int64_t j = 0; j < r->n_mentions; j++) { /* mentions of a category in a row follow each other */
    const mention *m = &r->mentions[j];
    bool again = j > 0 && m[-1].column == m->column && m[-1].row == m->row;
    if (!again && place[m->row] >= 0) entries[n++] = (entry){place[m->row], m->column, 1};
  }
  for (int64_t j = 0; j < r->n_found; j++) {
    const number *f = &r->found[j];
    int64_t feature = first + f->column;
    float value = (float)(((double)f->value - names->mean[feature]) / names->scale[feature]);
    if (value != 0 && place[f->row] >= 0) entries[n++] = (entry){place[f->row], gmf_i32(feature), value};
  }
  for (int64_t row = 0; row < r->n_rows && r->options->intercept; row++)
    if (place[row] >= 0) entries[n++] = (entry){place[row], gmf_i32(names->n - 1), 1};
  return n;
}

static gmf_status make_matrix(const reader *r, const int64_t *place, int64_t n_rows, gmf_side_features *out,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  entry *entries = NULL;
  GMF_TRY(GMF_NEW(entries, r->n_mentions + r->n_found + r->n_rows, err));
  int64_t n = list_entries(r, place, &out->names, entries);
  qsort(entries, (size_t)n, sizeof *entries, by_place);
  GMF_TRY(gmf_feature_rows_new(out->names.n, 0, n_rows, n, &out->rows, err));
  for (int64_t j = 0; j < n; j++) {
    out->rows.indptr[entries[j].row + 1]++;
    out->rows.columns[j] = entries[j].column;
    out->rows.values[j] = entries[j].value;
  }
  for (int64_t row = 0; row < n_rows; row++) out->rows.indptr[row + 1] += out->rows.indptr[row];
cleanup:
  gmf_free(entries);
  return status;
}

gmf_status gmf_feature_text_read(const char *path, const gmf_feature_text_options *options, gmf_feature_table *out,
                                 gmf_feature_text_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  reader r = {.path = path, .options = options, .report = report};
  int64_t *place = NULL, n = 0;

  *out = (gmf_feature_table){0};
  *report = (gmf_feature_text_report){0};
  GMF_TRY(parse_options(&r, err));
  number_columns(&r);
  GMF_TRY(read_file(&r, err));
  GMF_TRY(GMF_NEW(place, r.n_rows, err));
  GMF_TRY(order_rows(&r, place, &n, err));
  GMF_TRY(store_ids(&r, n, &out->ids, err));
  GMF_TRY(name_features(&r, &out->features.names, err));
  scale_numbers(&r, place, &out->features.names);
  GMF_TRY(make_matrix(&r, place, n, &out->features, err));
cleanup:
  if (status != GMF_OK) gmf_feature_table_free(out);
  reader_free(&r);
  gmf_free(place);
  return status;
}

/* ---- on all ranks ------------------------------------------------------------------------------------------------ */

/* Local. Room for what rank 0 has. */
static gmf_status make_room(const int64_t sizes[5], gmf_feature_table *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  t->ids = (gmf_ids){.type = sizes[1] == 0 ? gmf_type_of(GMF_I8) : gmf_type_text(sizes[1]), .n = sizes[0]};
  t->ids.values = gmf_malloc(sizes[0], (size_t)t->ids.type.size);
  if (t->ids.values == NULL) GMF_TRY(gmf_out_of_memory(err, sizes[0], (size_t)t->ids.type.size, "ids"));
  GMF_TRY(gmf_feature_names_new(sizes[2], sizes[3], &t->features.names, err));
  GMF_TRY(gmf_feature_rows_new(sizes[2], 0, sizes[0], sizes[4], &t->features.rows, err));
cleanup:
  return status;
}

gmf_status gmf_feature_table_share(const gmf_grid *grid, gmf_feature_table *t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_feature_names *names = &t->features.names;
  gmf_feature_rows *rows = &t->features.rows;
  int64_t sizes[5] = {t->ids.n, t->ids.type.kind == GMF_TEXT ? t->ids.type.size : 0, names->n, names->size,
                      grid->rank == 0 ? rows->indptr[rows->n] : 0};
  gmf_broadcast(grid, sizes, sizeof sizes);
  GMF_TRY(gmf_agree(grid, grid->rank == 0 ? GMF_OK : make_room(sizes, t, err), err));
  gmf_broadcast(grid, t->ids.values, t->ids.n * t->ids.type.size);
  gmf_broadcast(grid, names->text, names->n * names->size);
  gmf_broadcast(grid, names->mean, names->n * (int64_t)sizeof *names->mean);
  gmf_broadcast(grid, names->scale, names->n * (int64_t)sizeof *names->scale);
  gmf_broadcast(grid, rows->indptr, (rows->n + 1) * (int64_t)sizeof *rows->indptr);
  gmf_broadcast(grid, rows->columns, sizes[4] * (int64_t)sizeof *rows->columns);
  gmf_broadcast(grid, rows->values, sizes[4] * (int64_t)sizeof *rows->values);
cleanup:
  if (status != GMF_OK) gmf_feature_table_free(t);
  return status;
}
