#include "cli/query_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

const char *gmf_state_text(gmf_row_state state)
{
  return state == GMF_ROW_COLD ? "cold" : state == GMF_ROW_UNKNOWN ? "unknown" : NULL;
}

static const char *entry_key(const gmf_answer *a) { return a->of_users ? "user" : "item"; }

static gmf_status entry_id(const gmf_query *q, const gmf_answer *a, int64_t j, char *id, gmf_error *err)
{
  return a->of_users ? gmf_model_user_id(q->model, a->rows[j], id, GMF_ID_SIZE, err)
                     : gmf_model_item_id(q->model, a->rows[j], id, GMF_ID_SIZE, err);
}

/* The titles are of items. */
static const gmf_titles *titles_of(const gmf_query *q, const gmf_answer *a) { return a->of_users ? NULL : q->titles; }

static bool is_fallback(const gmf_answer *a) { return a->state != GMF_ROW_KNOWN && a->n > 0; }

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

gmf_status gmf_answer_json(const gmf_query *q, const gmf_answer *a, FILE *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE];
  if (a->subject_key != NULL) {
    fprintf(out, "\"%s\": ", a->subject_key);
    gmf_put_json(out, a->subject);
    fputs(", ", out);
  }
  if (a->state != GMF_ROW_KNOWN) fprintf(out, "\"status\": \"%s\", ", gmf_state_text(a->state));
  if (is_fallback(a)) fputs("\"fallback\": \"popular\", ", out);
  fprintf(out, "\"%ss\": [", entry_key(a));
  for (int64_t j = 0; j < a->n; j++) {
    GMF_TRY(entry_id(q, a, j, id, err));
    fputs_unlocked(j > 0 ? ", {\"" : "{\"", out);
    fputs_unlocked(entry_key(a), out);
    fputs_unlocked("\": ", out);
    gmf_put_json(out, id);
    fputs_unlocked(", \"score\": ", out);
    gmf_put_json_score(out, a->scores[j]);
    if (titles_of(q, a) != NULL) {
      fputs(", \"title\": ", out);
      gmf_put_json(out, gmf_titles_find(q->titles, id).title);
    }
    fputc_unlocked('}', out);
  }
  fputc_unlocked(']', out);
cleanup:
  return status;
}

/* ---- CSV --------------------------------------------------------------------------------------------------------- */

static void print_csv_header(const gmf_query *q, const gmf_answer *a)
{
  if (a->subject_key != NULL) printf("%s,", a->subject_key);
  bool same = a->subject_key != NULL && strcmp(a->subject_key, entry_key(a)) == 0;
  printf("rank,%s%s,score%s\n", same ? "similar_" : "", entry_key(a), titles_of(q, a) != NULL ? ",title" : "");
}

static gmf_status print_csv(const gmf_query *q, const gmf_answer *a, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE], score[32], rank[GMF_I64_TEXT];
  for (int64_t j = 0; j < a->n; j++) {
    GMF_TRY(entry_id(q, a, j, id, err));
    gmf_score_text(a->scores[j], score);
    if (a->subject_key != NULL) {
      gmf_put_csv(stdout, a->subject);
      fputc_unlocked(',', stdout);
    }
    gmf_i64_text(j + 1, rank);
    fputs_unlocked(rank, stdout);
    fputc_unlocked(',', stdout);
    gmf_put_csv(stdout, id);
    fputc_unlocked(',', stdout);
    fputs_unlocked(score, stdout);
    if (titles_of(q, a) != NULL) {
      fputc(',', stdout);
      gmf_put_csv(stdout, gmf_titles_find(q->titles, id).title);
    }
    fputc('\n', stdout);
  }
cleanup:
  return status;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static gmf_status add_heading(const gmf_query *q, const gmf_answer *a, gmf_table *table, gmf_error *err)
{
  const char *const headings[] = {"rank", "score", entry_key(a), "title", ""};
  const gmf_titles *titles = titles_of(q, a);
  gmf_status status = GMF_OK;
  table->n_columns = titles == NULL ? 3 : gmf_titles_have_notes(titles) ? 5 : 4;
  table->right = 1 << 0 | 1 << 1;
  table->cut = 1 << 3 | 1 << 4;
  for (int c = 0; c < table->n_columns; c++) GMF_TRY(gmf_table_add(table, headings[c], err));
cleanup:
  return status;
}

/* "user 42: not in the model; the most popular items instead" */
static gmf_status print_subject(const gmf_answer *a, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *why = a->state != GMF_ROW_KNOWN && a->subject_key == NULL ? ": of nothing that the model knows"
                    : a->state == GMF_ROW_COLD                          ? ": no ratings in training"
                    : a->state == GMF_ROW_UNKNOWN                       ? ": not in the model"
                    : a->n == 0                                         ? ": nothing left to list"
                                                                        : "";
  gmf_table heading = {.n_columns = 1};
  char *line = NULL;
  const char *subject = a->subject_key != NULL ? a->subject : "";

  GMF_TRY(GMF_NEW(line, (int64_t)strlen(subject) + 100, err));
  sprintf(line, "%s%s%s%s%s", a->subject_key != NULL ? a->subject_key : "these ratings",
          a->subject_key != NULL ? " " : "", subject, why, is_fallback(a) ? "; the most popular items instead" : "");
  GMF_TRY(gmf_table_add(&heading, line, err)); /* makes it fit for a terminal */
  printf("%s\n", heading.text);
cleanup:
  gmf_table_free(&heading);
  gmf_free(line);
  return status;
}

static gmf_status print_table(const gmf_query *q, const gmf_answer *a, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE], rank[24];
  gmf_table table = {0};

  GMF_TRY(print_subject(a, err));
  if (a->n > 0) GMF_TRY(add_heading(q, a, &table, err));
  for (int64_t j = 0; j < a->n; j++) {
    GMF_TRY(entry_id(q, a, j, id, err));
    gmf_title title = gmf_titles_find(titles_of(q, a), id);
    snprintf(rank, sizeof rank, "%" PRId64, j + 1);
    GMF_TRY(gmf_table_add(&table, rank, err));
    GMF_TRY(gmf_table_add_score(&table, a->scores[j], err));
    GMF_TRY(gmf_table_add(&table, id, err));
    if (table.n_columns > 3) GMF_TRY(gmf_table_add(&table, title.title, err));
    if (table.n_columns > 4) GMF_TRY(gmf_table_add(&table, title.note, err));
  }
  if (a->n > 0) gmf_table_print(&table, q->width, stdout);
cleanup:
  gmf_table_free(&table);
  return status;
}

gmf_status gmf_answer_print(const gmf_query *q, const gmf_answer *a, bool first, gmf_error *err)
{
  gmf_status status = GMF_OK;
  switch ((gmf_query_format)q->config.format) {
    case GMF_FORMAT_JSON:
      fputc_unlocked('{', stdout);
      GMF_TRY(gmf_answer_json(q, a, stdout, err));
      fputs_unlocked("}\n", stdout);
      break;
    case GMF_FORMAT_CSV:
      if (first) print_csv_header(q, a);
      GMF_TRY(print_csv(q, a, err));
      break;
    case GMF_FORMAT_TABLE:
      if (!first) fputc('\n', stdout);
      GMF_TRY(print_table(q, a, err));
      break;
  }
cleanup:
  return status;
}

/* ---- ids and arrays ---------------------------------------------------------------------------------------------- */

void gmf_missing_add(gmf_missing *m, const char *id)
{
  size_t used = strlen(m->names);
  if (used + strlen(id) + 10 < sizeof m->names)
    snprintf(m->names + used, sizeof m->names - used, "%s'%s'", m->n > 0 ? ", " : "", id);
  else if (used > 0 && m->names[used - 1] != '.')
    snprintf(m->names + used, sizeof m->names - used, ", ...");
  m->n++;
}

gmf_status gmf_find_rows(gmf_model *model, bool users, const char *const *ids, int64_t n, int64_t *rows,
                         gmf_missing *missing, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t j = 0; j < n; j++) {
    GMF_TRY(users ? gmf_model_find_user(model, ids[j], &rows[j], err)
                  : gmf_model_find_item(model, ids[j], &rows[j], err));
    if (rows[j] < 0 && missing != NULL) gmf_missing_add(missing, ids[j]);
  }
cleanup:
  return status;
}

gmf_status gmf_read_rows(const gmf_query *q, const char *path, bool users, int64_t **rows, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_lines lines = {0};
  gmf_missing unknown = {0};

  if (path[0] == '\0') return GMF_OK;
  GMF_TRY(gmf_lines_read(path, &lines, err));
  GMF_TRY(GMF_NEW(*rows, lines.n, err));
  GMF_TRY(gmf_find_rows(q->model, users, lines.lines, lines.n, *rows, &unknown, err));
  *n = lines.n;
  if (unknown.n > 0)
    gmf_query_note("%s: %" PRId64 " of %" PRId64 " %ss are not in the model: %s", path, unknown.n, lines.n,
                   users ? "user" : "item", unknown.names);
cleanup:
  gmf_lines_free(&lines);
  return status;
}

gmf_status gmf_lists_create(gmf_recommendations *lists, int64_t n, int64_t top_n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *lists = (gmf_recommendations){0};
  GMF_TRY(GMF_NEW(lists->items, n * top_n, err));
  GMF_TRY(GMF_NEW(lists->scores, n * top_n, err));
  GMF_TRY(GMF_NEW(lists->counts, n, err));
  GMF_TRY(GMF_NEW(lists->states, n, err));
cleanup:
  return status;
}

void gmf_lists_free(gmf_recommendations *lists)
{
  gmf_free(lists->items);
  gmf_free(lists->scores);
  gmf_free(lists->counts);
  gmf_free(lists->states);
  *lists = (gmf_recommendations){0};
}
