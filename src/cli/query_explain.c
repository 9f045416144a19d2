/* gridmf-query MODEL explain: what each of a user's ratings does for a score. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "cli/query_ratings.h"

enum { N_TERMS = 5 };

/* What a score is made of besides the ratings that are listed. */
typedef struct term {
  const char *name, *text;
  double value;
} term;

/* An explanation in the order of the sizes of its contributions. */
typedef struct ranked {
  int64_t n, *order; /* [n] owned: the ratings that are listed */
  term terms[N_TERMS];
} ranked;

static int compare_sizes(const void *a, const void *b, void *data)
{
  const double *contributions = data;
  int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
  double x = fabs(contributions[i]), y = fabs(contributions[j]);
  if (x != y) return x > y ? -1 : 1;
  return i < j ? -1 : i > j;
}

static gmf_status rank_ratings(const gmf_explanation *e, int64_t top, ranked *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  double others = 0;
  GMF_TRY(GMF_NEW(r->order, e->n, err));
  for (int64_t j = 0; j < e->n; j++) r->order[j] = j;
  qsort_r(r->order, (size_t)e->n, sizeof *r->order, compare_sizes, e->contributions);
  r->n = gmf_min64(e->n, top);
  for (int64_t j = r->n; j < e->n; j++) others += e->contributions[r->order[j]];
  const term terms[N_TERMS] = {{"global_mean", "mean of all ratings", e->global_mean},
                               {"item_bias", "bias of the item", e->item_bias},
                               {"centring", "centring", e->centring},
                               {"others", "other ratings", others},
                               {"rest", "rest", e->rest}};
  for (int t = 0; t < N_TERMS; t++) r->terms[t] = terms[t];
cleanup:
  return status;
}

gmf_status gmf_explanation_json(const gmf_query *q, const char *user, const char *item, const gmf_explanation *e,
                                int64_t top, FILE *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE];
  ranked r = {0};

  GMF_TRY(rank_ratings(e, top, &r, err));
  fputs("\"user\": ", out);
  gmf_put_json(out, user);
  fputs(", \"item\": ", out);
  gmf_put_json(out, item);
  if (e->state != GMF_ROW_KNOWN) {
    fprintf(out, ", \"status\": \"%s\", \"score\": null, \"ratings\": []", gmf_state_text(e->state));
    goto cleanup;
  }
  fputs(", \"score\": ", out);
  gmf_put_json_score(out, e->score);
  for (int t = 0; t < N_TERMS; t++) {
    fprintf(out, ", \"%s\": ", r.terms[t].name);
    gmf_put_json_number(out, r.terms[t].value);
  }
  fprintf(out, ", \"n_ratings\": %" PRId64 ", \"ratings\": [", e->n);
  for (int64_t j = 0; j < r.n; j++) {
    GMF_TRY(gmf_model_item_id(q->model, e->items[r.order[j]], id, sizeof id, err));
    fputs(j > 0 ? ", {\"item\": " : "{\"item\": ", out);
    gmf_put_json(out, id);
    fputs(", \"rating\": ", out);
    gmf_put_json_score(out, e->ratings[r.order[j]]);
    fputs(", \"contribution\": ", out);
    gmf_put_json_number(out, e->contributions[r.order[j]]);
    if (q->titles != NULL) {
      fputs(", \"title\": ", out);
      gmf_put_json(out, gmf_titles_find(q->titles, id).title);
    }
    fputc('}', out);
  }
  fputc(']', out);
cleanup:
  gmf_free(r.order);
  return status;
}

/* One line of CSV: a term, or a rating. */
static void put_csv_line(const gmf_query *q, const char *user, const char *item, const char *what, const char *rated,
                         const char *rating, double value)
{
  gmf_put_csv(stdout, user);
  fputc(',', stdout);
  gmf_put_csv(stdout, item);
  printf(",%s,", what);
  gmf_put_csv(stdout, rated);
  printf(",%s,%.9g", rating, value);
  if (q->titles != NULL) {
    fputc(',', stdout);
    gmf_put_csv(stdout, rated[0] != '\0' ? gmf_titles_find(q->titles, rated).title : "");
  }
  fputc('\n', stdout);
}

static gmf_status print_csv(const gmf_query *q, const char *user, const char *item, const gmf_explanation *e,
                            const ranked *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE], rating[32];
  for (int t = 0; t < N_TERMS; t++) put_csv_line(q, user, item, r->terms[t].name, "", "", r->terms[t].value);
  for (int64_t j = 0; j < r->n; j++) {
    GMF_TRY(gmf_model_item_id(q->model, e->items[r->order[j]], id, sizeof id, err));
    gmf_score_text(e->ratings[r->order[j]], rating);
    put_csv_line(q, user, item, "rating", id, rating, e->contributions[r->order[j]]);
  }
cleanup:
  return status;
}

static gmf_status add_term(gmf_table *table, double value, const char *rating, const char *what, const char *title,
                           gmf_error *err)
{
  gmf_status status = GMF_OK;
  char number[40];
  snprintf(number, sizeof number, "%+.4f", value);
  GMF_TRY(gmf_table_add(table, number, err));
  GMF_TRY(gmf_table_add(table, rating, err));
  GMF_TRY(gmf_table_add(table, what, err));
  if (table->n_columns > 3) GMF_TRY(gmf_table_add(table, title, err));
cleanup:
  return status;
}

static gmf_status print_table(const gmf_query *q, const char *user, const char *item, const gmf_explanation *e,
                              const ranked *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_table heading = {.n_columns = 4}, table = {.right = 1 << 0 | 1 << 1, .cut = 1 << 3};
  char id[GMF_ID_SIZE], rating[32];

  table.n_columns = q->titles != NULL ? 4 : 3;
  GMF_TRY(gmf_table_add(&heading, user, err)); /* makes ids fit for a terminal */
  GMF_TRY(gmf_table_add(&heading, item, err));
  const char *item_text = heading.text + strlen(heading.text) + 1;
  if (e->state != GMF_ROW_KNOWN) {
    printf("user %s, item %s: %s\n", heading.text, item_text,
           e->state == GMF_ROW_COLD ? "no ratings in training" : "not in the model");
    goto cleanup;
  }
  printf("user %s, item %s: score %.4f, from %" PRId64 " ratings\n", heading.text, item_text, (double)e->score, e->n);
  GMF_TRY(gmf_table_add(&table, "adds", err));
  GMF_TRY(gmf_table_add(&table, "rating", err));
  GMF_TRY(gmf_table_add(&table, "item", err));
  if (table.n_columns > 3) GMF_TRY(gmf_table_add(&table, "title", err));
  for (int64_t j = 0; j < r->n; j++) {
    GMF_TRY(gmf_model_item_id(q->model, e->items[r->order[j]], id, sizeof id, err));
    snprintf(rating, sizeof rating, "%g", (double)e->ratings[r->order[j]]);
    GMF_TRY(add_term(&table, e->contributions[r->order[j]], rating, id, gmf_titles_find(q->titles, id).title, err));
  }
  for (int t = 0; t < N_TERMS; t++)
    if (r->terms[t].value != 0) GMF_TRY(add_term(&table, r->terms[t].value, "", r->terms[t].text, "", err));
  gmf_table_print(&table, q->width, stdout);
cleanup:
  gmf_table_free(&heading);
  gmf_table_free(&table);
  return status;
}

static gmf_status print(const gmf_query *q, const char *user, const char *item, const gmf_explanation *e, bool first,
                        gmf_error *err)
{
  gmf_status status = GMF_OK;
  ranked r = {0};
  GMF_TRY(rank_ratings(e, q->config.top, &r, err));
  switch ((gmf_query_format)q->config.format) {
    case GMF_FORMAT_JSON:
      fputc('{', stdout);
      GMF_TRY(gmf_explanation_json(q, user, item, e, q->config.top, stdout, err));
      fputs("}\n", stdout);
      break;
    case GMF_FORMAT_CSV:
      if (first) printf("user,item,term,rated_item,rating,value%s\n", q->titles != NULL ? ",title" : "");
      GMF_TRY(print_csv(q, user, item, e, &r, err));
      break;
    case GMF_FORMAT_TABLE:
      if (!first) fputc('\n', stdout);
      GMF_TRY(print_table(q, user, item, e, &r, err));
      break;
  }
cleanup:
  gmf_free(r.order);
  return status;
}

gmf_status gmf_query_explain(gmf_query *query, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_query_config *c = &query->config;
  gmf_explanation e = {0};
  gmf_missing missing = {0};
  int64_t user = -1, item = -1;

  if (c->users.n != 1 || c->items.n == 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "explain needs one --user ID, and --item ID once or more"));
  GMF_TRY(gmf_model_find_user(query->model, c->users.values[0], &user, err));
  if (user < 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "user '%.200s' is not in the model", c->users.values[0]));
  for (int j = 0; j < c->items.n; j++) {
    gmf_explanation_free(&e);
    GMF_TRY(gmf_find_rows(query->model, false, &c->items.values[j], 1, &item, &missing, err));
    GMF_TRY(gmf_explain(query->model, user, item, &e, err));
    GMF_TRY(print(query, c->users.values[0], c->items.values[j], &e, j == 0, err));
  }
  fflush(stdout);
  if (missing.n == c->items.n) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "item %s is not in the model", missing.names));
  if (missing.n > 0) gmf_query_note("items that are not in the model: %s", missing.names);
cleanup:
  gmf_explanation_free(&e);
  return status;
}
