/* gridmf-query MODEL describe, features: what features say of things that no file has, and what they are near to. */
#include "cli/query_features.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/text.h"

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* The lists of one description. */
typedef struct answer {
  gmf_recommendations near, features; /* owned: rows of items or users; columns */
  bool of_users;                      /* near: users */
  float *scores;                      /* owned [n_users] */
  gmf_row_state *states;              /* owned [n_users] */
} answer;

static void answer_free(answer *a)
{
  gmf_lists_free(&a->near);
  gmf_lists_free(&a->features);
  gmf_free(a->scores);
  gmf_free(a->states);
}

static gmf_status ask_near(const gmf_query *q, const gmf_description *d, answer *a, gmf_error *err)
{
  gmf_recommend_options recommend = {.top_n = d->top_n, .n_threads = gmf_int(q->config.threads)};
  gmf_similar_options similar = {.top_n = d->top_n, .n_threads = gmf_int(q->config.threads)};
  a->of_users = !d->recommends && d->side == GMF_FEATURES_OF_USERS;
  return d->recommends ? gmf_recommend_to(q->model, &recommend, 1, d->vector, &a->near, err)
                       : gmf_similar_to(q->model, d->side, &similar, 1, d->vector, &a->near, err);
}

static gmf_status ask(const gmf_query *q, const gmf_description *d, answer *a, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_similar_options similar = {.top_n = d->top_n, .deny = &d->column, .n_deny = 1};
  int64_t *rows = NULL;
  GMF_TRY(gmf_lists_create(&a->near, 1, d->top_n, err));
  GMF_TRY(ask_near(q, d, a, err));
  if (d->with_features) {
    GMF_TRY(gmf_lists_create(&a->features, 1, d->top_n, err));
    GMF_TRY(gmf_similar_features(q->model, d->side, &similar, 1, d->vector, &a->features, err));
  }
  GMF_TRY(GMF_NEW(rows, d->n_users, err));
  GMF_TRY(GMF_NEW(a->scores, d->n_users, err));
  GMF_TRY(GMF_NEW(a->states, d->n_users, err));
  GMF_TRY(gmf_find_rows(q->model, true, d->users, d->n_users, rows, NULL, err));
  GMF_TRY(gmf_score_vector(q->model, d->n_users, rows, d->vector, a->scores, a->states, err));
cleanup:
  gmf_free(rows);
  return status;
}

/* An entry of a list as people and programs name it. */
typedef struct entry {
  const char *kind; /* "item", "user", "feature" */
  int64_t rank;     /* 0: has none */
  char id[GMF_ID_SIZE];
  float score;
  gmf_row_state state;
} entry;

/* Entry j of all lists of an answer, one list after the other; false after the last. */
static gmf_status entry_at(const gmf_query *q, const gmf_description *d, const answer *a, int64_t j, entry *e,
                           bool *found, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_near = a->near.counts[0], n_features = a->features.counts != NULL ? a->features.counts[0] : 0;
  *found = true;
  e->state = GMF_ROW_KNOWN;
  if (j < n_near) {
    e->kind = a->of_users ? "user" : "item";
    e->rank = j + 1;
    e->score = a->near.scores[j];
    GMF_TRY(a->of_users ? gmf_model_user_id(q->model, a->near.items[j], e->id, sizeof e->id, err)
                        : gmf_model_item_id(q->model, a->near.items[j], e->id, sizeof e->id, err));
  } else if (j < n_near + n_features) {
    j -= n_near;
    e->kind = "feature";
    e->rank = j + 1;
    e->score = a->features.scores[j];
    GMF_TRY(gmf_model_feature_name(q->model, d->side, a->features.items[j], e->id, sizeof e->id, err));
  } else if (j < n_near + n_features + d->n_users) {
    j -= n_near + n_features;
    e->kind = "user";
    e->rank = 0;
    e->score = a->scores[j];
    e->state = a->states[j];
    snprintf(e->id, sizeof e->id, "%s", d->users[j]);
  } else {
    *found = false;
  }
cleanup:
  return status;
}

static const char *title_of(const gmf_query *q, const entry *e)
{
  return q->titles != NULL && e->kind[0] == 'i' ? gmf_titles_find(q->titles, e->id).title : "";
}

/* ---- as text ----------------------------------------------------------------------------------------------------- */

/* "items": [...], "features": [...], "scores": [...]: entries of one list follow each other. */
static gmf_status put_json(const gmf_query *q, const gmf_description *d, const answer *a, FILE *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *list = NULL;
  bool found = true;
  entry e;
  fprintf(out, "\"%s\": ", d->subject_key);
  gmf_put_json(out, d->subject);
  for (int64_t j = 0; found; j++) {
    GMF_TRY(entry_at(q, d, a, j, &e, &found, err));
    if (!found) break;
    const char *in = e.rank == 0 ? "scores" : e.kind[0] == 'i' ? "items" : e.kind[0] == 'u' ? "users" : "features";
    if (list == NULL || strcmp(list, in) != 0)
      fprintf(out, "%s, \"%s\": [", list != NULL ? "]" : "", in);
    else
      fputs(", ", out);
    list = in;
    fprintf(out, "{\"%s\": ", e.kind);
    gmf_put_json(out, e.id);
    fputs(", \"score\": ", out);
    gmf_put_json_score(out, e.score);
    if (e.state != GMF_ROW_KNOWN) fprintf(out, ", \"status\": \"%s\"", gmf_state_text(e.state));
    if (q->titles != NULL && e.kind[0] == 'i') {
      fputs(", \"title\": ", out);
      gmf_put_json(out, title_of(q, &e));
    }
    fputc('}', out);
  }
  if (list != NULL) fputc(']', out);
cleanup:
  return status;
}

gmf_status gmf_description_json(const gmf_query *q, const gmf_description *d, FILE *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  answer a = {.of_users = false};
  GMF_TRY(ask(q, d, &a, err));
  GMF_TRY(put_json(q, d, &a, out, err));
cleanup:
  answer_free(&a);
  return status;
}

static gmf_status print_csv(const gmf_query *q, const gmf_description *d, const answer *a, bool first, gmf_error *err)
{
  gmf_status status = GMF_OK;
  bool found = true;
  entry e;
  char score[32];
  if (first) printf("%s,kind,rank,id,score%s\n", d->subject_key, q->titles != NULL ? ",title" : "");
  for (int64_t j = 0; found; j++) {
    GMF_TRY(entry_at(q, d, a, j, &e, &found, err));
    if (!found) break;
    gmf_put_csv(stdout, d->subject);
    printf(",%s,", e.kind);
    if (e.rank > 0) printf("%" PRId64, e.rank);
    fputc(',', stdout);
    gmf_put_csv(stdout, e.id);
    snprintf(score, sizeof score, "NaN");
    if (e.state == GMF_ROW_KNOWN) gmf_score_text(e.score, score);
    printf(",%s", score);
    if (q->titles != NULL) {
      fputc(',', stdout);
      gmf_put_csv(stdout, title_of(q, &e));
    }
    fputc('\n', stdout);
  }
cleanup:
  return status;
}

static gmf_status print_table(const gmf_query *q, const gmf_description *d, const answer *a, bool first, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *const headings[] = {"rank", "score", "", "id", "title"};
  gmf_table table = {.n_columns = q->titles != NULL ? 5 : 4, .right = 1 << 0 | 1 << 1, .cut = 1 << 3 | 1 << 4};
  gmf_table heading = {.n_columns = 1};
  bool found = true;
  entry e;
  char rank[24];
  GMF_TRY(gmf_table_add(&heading, d->subject, err)); /* makes it fit for a terminal */
  printf("%s%s\n", first ? "" : "\n", heading.text);
  for (int c = 0; c < table.n_columns; c++) GMF_TRY(gmf_table_add(&table, headings[c], err));
  for (int64_t j = 0; found; j++) {
    GMF_TRY(entry_at(q, d, a, j, &e, &found, err));
    if (!found) break;
    snprintf(rank, sizeof rank, "%" PRId64, e.rank);
    GMF_TRY(gmf_table_add(&table, e.rank > 0 ? rank : "", err));
    GMF_TRY(gmf_table_add_score(&table, e.score, err));
    GMF_TRY(gmf_table_add(&table, e.kind, err));
    GMF_TRY(gmf_table_add(&table, e.id, err));
    if (table.n_columns > 4) GMF_TRY(gmf_table_add(&table, title_of(q, &e), err));
  }
  gmf_table_print(&table, q->width, stdout);
cleanup:
  gmf_table_free(&heading);
  gmf_table_free(&table);
  return status;
}

static gmf_status print(const gmf_query *q, const gmf_description *d, bool first, gmf_error *err)
{
  gmf_status status = GMF_OK;
  answer a = {.of_users = false};
  GMF_TRY(ask(q, d, &a, err));
  switch ((gmf_query_format)q->config.format) {
    case GMF_FORMAT_JSON:
      fputc('{', stdout);
      GMF_TRY(put_json(q, d, &a, stdout, err));
      fputs("}\n", stdout);
      break;
    case GMF_FORMAT_CSV: GMF_TRY(print_csv(q, d, &a, first, err)); break;
    case GMF_FORMAT_TABLE: GMF_TRY(print_table(q, d, &a, first, err)); break;
  }
  fflush(stdout);
cleanup:
  answer_free(&a);
  return status;
}

/* ---- the verbs --------------------------------------------------------------------------------------------------- */

gmf_status gmf_describe_names(gmf_model *model, gmf_feature_side side, const char *const *names, int64_t n, bool whole,
                              float *vector, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_feature *features = NULL;
  int64_t used = n;
  if (n == 0) GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "no feature is given"));
  GMF_TRY(GMF_NEW(features, n + 1, err));
  for (int64_t j = 0; j < n; j++) {
    GMF_TRY(gmf_model_find_feature(model, side, names[j], &features[j], err));
    if (features[j].column < 0)
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "the model has no feature '%.200s'; the verb features lists them", names[j]));
    if (strcmp(names[j], GMF_FEATURE_INTERCEPT) == 0) whole = false; /* is there already */
  }
  if (whole) GMF_TRY(gmf_model_find_feature(model, side, GMF_FEATURE_INTERCEPT, &features[used++], err));
  GMF_TRY(gmf_features_vector(model, side, used, features, vector, err));
cleanup:
  gmf_free(features);
  return status;
}

/* The longest list there can be for a side. */
static int64_t list_length(const gmf_query *q, gmf_feature_side side)
{
  gmf_model_info info;
  gmf_model_get_info(q->model, &info);
  int64_t most = side == GMF_FEATURES_OF_USERS ? gmf_max64(info.n_users, info.n_items) : info.n_items;
  return gmf_max64(1, gmf_min64(q->config.top, most));
}

/* "A,B" cut in place into names, which point into it. */
static gmf_status cut_names(char *text, gmf_text_list *names, gmf_error *err)
{
  char *at = text, *end = text + strlen(text);
  int64_t length = 0;
  bool broken = false;
  for (char *name = gmf_text_next_part(&at, end, ",", &length, &broken); name != NULL;
       name = gmf_text_next_part(&at, end, ",", &length, &broken)) {
    if (broken || names->n == GMF_LIST_MAX)
      return gmf_fail(err, GMF_ERR_USAGE, "quotes around a feature do not end, or there are more than %d features",
                      GMF_LIST_MAX);
    name[length] = '\0'; /* where the separator was, or the quote, or the end */
    if (length > 0) names->values[names->n++] = name;
  }
  return GMF_OK;
}

gmf_status gmf_query_describe(gmf_query *query, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_query_config *c = &query->config;
  bool item = c->item_features[0] != '\0', user = c->user_features[0] != '\0';
  gmf_feature_side side = item ? GMF_FEATURES_OF_ITEMS : GMF_FEATURES_OF_USERS;
  const char *given = item ? c->item_features : c->user_features;
  gmf_text_list names = {0};
  gmf_model_info info;
  char *text = NULL;
  float *vector = NULL;

  if (item == user || (user && c->users.n > 0))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE,
                     "describe needs --item-features FEATURE,..., which --user ID may go with, or --user-features"));
  gmf_model_get_info(query->model, &info);
  GMF_TRY(GMF_NEW(text, (int64_t)strlen(given) + 1, err));
  strcpy(text, given);
  GMF_TRY(cut_names(text, &names, err));
  GMF_TRY(GMF_NEW(vector, info.n_factors, err));
  GMF_TRY(gmf_describe_names(query->model, side, names.values, names.n, true, vector, err));
  gmf_description d = {.side = side,
                       .subject_key = item ? "item_features" : "user_features",
                       .subject = given,
                       .vector = vector,
                       .recommends = user,
                       .users = c->users.values,
                       .n_users = c->users.n,
                       .top_n = list_length(query, side)};
  GMF_TRY(print(query, &d, true, err));
cleanup:
  gmf_free(text);
  gmf_free(vector);
  return status;
}

static gmf_status print_feature(gmf_query *query, const char *name, float *vector, bool first, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_feature_side side = (gmf_feature_side)query->config.of;
  gmf_feature feature = {0};
  GMF_TRY(gmf_describe_names(query->model, side, &name, 1, false, vector, err));
  GMF_TRY(gmf_model_find_feature(query->model, side, name, &feature, err));
  gmf_description d = {.side = side,
                       .subject_key = "feature",
                       .subject = name,
                       .vector = vector,
                       .with_features = true,
                       .column = feature.column,
                       .top_n = list_length(query, side)};
  GMF_TRY(print(query, &d, first, err));
cleanup:
  return status;
}

gmf_status gmf_query_features(gmf_query *query, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_query_config *c = &query->config;
  gmf_feature_side side = (gmf_feature_side)c->of;
  gmf_model_info info;
  char name[GMF_ID_SIZE];
  float *vector = NULL;
  int64_t n = 0;

  gmf_model_get_info(query->model, &info);
  GMF_TRY(GMF_NEW(vector, info.n_factors, err));
  GMF_TRY(gmf_model_n_features(query->model, side, &n, err));
  if (n == 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: was trained without features of %s", info.path,
                     side == GMF_FEATURES_OF_USERS ? "users" : "items"));
  for (int f = 0; f < c->features.n; f++) GMF_TRY(print_feature(query, c->features.values[f], vector, f == 0, err));
  for (int64_t f = 0; f < n && c->features.n == 0 && !ferror(stdout); f++) {
    GMF_TRY(gmf_model_feature_name(query->model, side, f, name, sizeof name, err));
    GMF_TRY(print_feature(query, name, vector, f == 0, err));
  }
cleanup:
  gmf_free(vector);
  return status;
}
