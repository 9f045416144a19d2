/* gridmf-query MODEL score: scores of pairs. */
#include <stdio.h>

#include "base/memory.h"
#include "cli/query_answer.h"

typedef struct pairs {
  int n;
  const char *users[GMF_LIST_MAX], *items[GMF_LIST_MAX];
  int64_t user_rows[GMF_LIST_MAX], item_rows[GMF_LIST_MAX];
  float scores[GMF_LIST_MAX];
  gmf_row_state states[GMF_LIST_MAX];
} pairs;

/* As many users as items, taken in order; or one of either with all of the other. */
static gmf_status make_pairs(gmf_query *q, pairs *p, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_text_list *users = &q->config.users, *items = &q->config.items;

  if (users->n == 0 || items->n == 0 || (users->n != items->n && users->n != 1 && items->n != 1))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "score needs --user ID and --item ID: as many of both, or one of either"));
  p->n = users->n > items->n ? users->n : items->n;
  for (int j = 0; j < p->n; j++) {
    p->users[j] = users->values[users->n > 1 ? j : 0];
    p->items[j] = items->values[items->n > 1 ? j : 0];
    GMF_TRY(gmf_model_find_user(q->model, p->users[j], &p->user_rows[j], err));
    GMF_TRY(gmf_model_find_item(q->model, p->items[j], &p->item_rows[j], err));
  }
cleanup:
  return status;
}

void gmf_pair_json(const gmf_query *q, const char *user, const char *item, float score, gmf_row_state state, FILE *out)
{
  fputs("\"user\": ", out);
  gmf_put_json(out, user);
  fputs(", \"item\": ", out);
  gmf_put_json(out, item);
  fputs(", \"score\": ", out);
  gmf_put_json_score(out, score);
  if (state != GMF_ROW_KNOWN) fprintf(out, ", \"status\": \"%s\"", gmf_state_text(state));
  if (q->titles == NULL) return;
  fputs(", \"title\": ", out);
  gmf_put_json(out, gmf_titles_find(q->titles, item).title);
}

static void print_json(const gmf_query *q, const pairs *p)
{
  for (int j = 0; j < p->n; j++) {
    fputc('{', stdout);
    gmf_pair_json(q, p->users[j], p->items[j], p->scores[j], p->states[j], stdout);
    fputs("}\n", stdout);
  }
}

static void print_csv(const gmf_query *q, const pairs *p)
{
  printf("user,item,score%s\n", q->titles != NULL ? ",title" : "");
  for (int j = 0; j < p->n; j++) {
    gmf_put_csv(stdout, p->users[j]);
    fputc(',', stdout);
    gmf_put_csv(stdout, p->items[j]);
    char score[32] = "NaN";
    if (p->states[j] == GMF_ROW_KNOWN) gmf_score_text(p->scores[j], score);
    printf(",%s", score);
    if (q->titles != NULL) {
      fputc(',', stdout);
      gmf_put_csv(stdout, gmf_titles_find(q->titles, p->items[j]).title);
    }
    fputc('\n', stdout);
  }
}

static gmf_status print_table(const gmf_query *q, const pairs *p, gmf_error *err)
{
  static const char *const headings[] = {"user", "item", "score", "title"};
  gmf_status status = GMF_OK;
  gmf_table table = {.n_columns = q->titles != NULL ? 4 : 3, .right = 1 << 2, .cut = 1 << 3};

  for (int c = 0; c < table.n_columns; c++) GMF_TRY(gmf_table_add(&table, headings[c], err));
  for (int j = 0; j < p->n; j++) {
    GMF_TRY(gmf_table_add(&table, p->users[j], err));
    GMF_TRY(gmf_table_add(&table, p->items[j], err));
    GMF_TRY(gmf_table_add_score(&table, p->scores[j], err));
    if (q->titles != NULL) GMF_TRY(gmf_table_add(&table, gmf_titles_find(q->titles, p->items[j]).title, err));
  }
  gmf_table_print(&table, q->width, stdout);
cleanup:
  gmf_table_free(&table);
  return status;
}

/* Says what the first pair without a score lacks; fails when no pair is known. */
static gmf_status report_missing(const pairs *p, gmf_error *err)
{
  int n_unknown = 0, first = -1;
  char text[600];
  for (int j = p->n - 1; j >= 0; j--) {
    n_unknown += p->states[j] == GMF_ROW_UNKNOWN;
    if (p->states[j] != GMF_ROW_KNOWN) first = j;
  }
  if (first < 0) return GMF_OK;
  if (p->states[first] == GMF_ROW_COLD)
    snprintf(text, sizeof text, "user '%.200s' or item '%.200s' has no ratings in training", p->users[first],
             p->items[first]);
  else if (p->user_rows[first] < 0)
    snprintf(text, sizeof text, "user '%.200s' is not in the model", p->users[first]);
  else
    snprintf(text, sizeof text, "item '%.200s' is not in the model", p->items[first]);
  if (n_unknown == p->n) return gmf_fail(err, GMF_ERR_DATA, "%s", text);
  gmf_query_note("%s", text);
  return GMF_OK;
}

gmf_status gmf_query_score(gmf_query *query, gmf_error *err)
{
  gmf_status status = GMF_OK;
  pairs *p = NULL;

  GMF_TRY(GMF_NEW_ZERO(p, 1, err));
  GMF_TRY(make_pairs(query, p, err));
  GMF_TRY(gmf_score_pairs(query->model, p->n, p->user_rows, p->item_rows, p->scores, p->states, err));
  switch ((gmf_query_format)query->config.format) {
    case GMF_FORMAT_JSON: print_json(query, p); break;
    case GMF_FORMAT_CSV: print_csv(query, p); break;
    case GMF_FORMAT_TABLE: GMF_TRY(print_table(query, p, err)); break;
  }
  fflush(stdout);
  GMF_TRY(report_missing(p, err));
cleanup:
  gmf_free(p);
  return status;
}
