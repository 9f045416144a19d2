/*
 * gridmf-query MODEL stream: one JSON request a line on standard input, one JSON answer a line on standard output, in
 * the same order, each written out at once.
 *
 *     {"id": 7, "verb": "recommend", "user": "42", "top": 3}      {"id": 7, "user": "42", "items": [...]}
 *
 * Answers are those of --format json. What cannot be answered gets {"id": ..., "error": {"code": ..., "text": ...}},
 * with the code that a run of its own would have ended with, and the next line is read.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "cli/query_features.h"
#include "cli/query_ratings.h"

enum { NUMBER_BYTES = 24 };

typedef struct request {
  const gmf_query *query;
  const json_t *json; /* an object */
  FILE *out;          /* takes the members of the answer */
} request;

/* Ids of a request, as text and as rows of the model. */
typedef struct id_list {
  int64_t n;
  bool is_list;     /* given as an array: so is the answer */
  const char **ids; /* [n] owned array; the texts belong to the request, or to numbers */
  char *numbers;    /* [n][NUMBER_BYTES] owned: ids that came as numbers */
  int64_t *rows;    /* [n] owned; -1: unknown */
} id_list;

static void id_list_free(id_list *list)
{
  gmf_free(list->ids);
  gmf_free(list->numbers);
  gmf_free(list->rows);
}

/* ---- reading requests -------------------------------------------------------------------------------------------- */

/* An id as text: a string, or a whole number, which is written to `number`. */
static gmf_status id_text(const json_t *value, const char *key, char *number, const char **out, gmf_error *err)
{
  *out = json_string_value(value);
  if (json_is_integer(value)) {
    snprintf(number, NUMBER_BYTES, "%" PRId64, (int64_t)json_integer_value(value));
    *out = number;
  }
  return *out != NULL ? GMF_OK : gmf_fail(err, GMF_ERR_USAGE, "\"%s\" is no id: a string or a whole number", key);
}

/* The ids under "user" or "users" (of_users), "item" or "items"; or, with a key, those under it. */
static gmf_status read_ids(const request *r, const char *key, bool of_users, id_list *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *one = of_users ? "user" : "item", *many = of_users ? "users" : "items";
  const json_t *array = json_object_get(r->json, key != NULL ? key : many);
  const json_t *single = key != NULL ? NULL : json_object_get(r->json, one);

  if (key == NULL && (array != NULL) == (single != NULL))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "the request needs \"%s\" or \"%s\"", one, many));
  if (array != NULL && !json_is_array(array))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "\"%s\" is no array of ids", key != NULL ? key : many));
  out->is_list = array != NULL;
  out->n = array != NULL ? (int64_t)json_array_size(array) : 1;
  GMF_TRY(GMF_NEW(out->ids, out->n, err));
  GMF_TRY(GMF_NEW(out->numbers, out->n * NUMBER_BYTES, err));
  GMF_TRY(GMF_NEW(out->rows, out->n, err));
  for (int64_t j = 0; j < out->n; j++)
    GMF_TRY(id_text(array != NULL ? json_array_get(array, (size_t)j) : single, array != NULL ? many : one,
                    out->numbers + j * NUMBER_BYTES, &out->ids[j], err));
  GMF_TRY(gmf_find_rows(r->query->model, of_users, out->ids, out->n, out->rows, NULL, err));
cleanup:
  return status;
}

/* The length of a list: "top", else --top. */
static gmf_status read_top(const request *r, int64_t most, int64_t *top, gmf_error *err)
{
  const json_t *value = json_object_get(r->json, "top");
  *top = r->query->config.top;
  if (value != NULL && (!json_is_integer(value) || json_integer_value(value) < 1))
    return gmf_fail(err, GMF_ERR_USAGE, "\"top\" is no whole number from 1 on");
  if (value != NULL) *top = (int64_t)json_integer_value(value);
  *top = gmf_max64(1, gmf_min64(*top, most));
  return GMF_OK;
}

static gmf_status read_flag(const request *r, const char *key, bool *out, gmf_error *err)
{
  const json_t *value = json_object_get(r->json, key);
  if (value == NULL) return GMF_OK;
  if (!json_is_boolean(value)) return gmf_fail(err, GMF_ERR_USAGE, "\"%s\" is neither true nor false", key);
  *out = json_is_true(value);
  return GMF_OK;
}

/* The index of a word among "a|b"; *out stays where the request does not have it. */
static gmf_status read_choice(const request *r, const char *key, const char *first, const char *second, int *out,
                              gmf_error *err)
{
  const json_t *value = json_object_get(r->json, key);
  const char *text = json_string_value(value);
  if (value == NULL) return GMF_OK;
  if (text != NULL && strcmp(text, first) == 0)
    *out = 0;
  else if (text != NULL && strcmp(text, second) == 0)
    *out = 1;
  else
    return gmf_fail(err, GMF_ERR_USAGE, "\"%s\" is neither \"%s\" nor \"%s\"", key, first, second);
  return GMF_OK;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

/* What a request for lists asks for. */
typedef struct list_request {
  id_list allow, deny;
  gmf_recommend_options recommend;
  gmf_similar_options similar;
} list_request;

static void list_request_free(list_request *l)
{
  id_list_free(&l->allow);
  id_list_free(&l->deny);
}

/* of_users: what is listed. */
static gmf_status read_list_request(const request *r, bool of_users, list_request *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_query_config *c = &r->query->config;
  gmf_model_info info;
  int64_t top = 0;
  bool include_seen = c->include_seen;
  int fallback = c->fallback, measure = c->measure;

  gmf_model_get_info(r->query->model, &info);
  GMF_TRY(read_top(r, of_users ? info.n_users : info.n_items, &top, err));
  GMF_TRY(read_flag(r, "include_seen", &include_seen, err));
  GMF_TRY(read_choice(r, "fallback", "none", "popular", &fallback, err));
  GMF_TRY(read_choice(r, "measure", "cosine", "dot", &measure, err));
  bool allows = json_object_get(r->json, "allow") != NULL;
  if (allows) GMF_TRY(read_ids(r, "allow", of_users, &out->allow, err));
  if (json_object_get(r->json, "deny") != NULL) GMF_TRY(read_ids(r, "deny", of_users, &out->deny, err));
  out->recommend = (gmf_recommend_options){.top_n = top,
                                           .include_seen = include_seen,
                                           .allow = allows ? out->allow.rows : NULL,
                                           .n_allow = out->allow.n,
                                           .deny = out->deny.rows,
                                           .n_deny = out->deny.n,
                                           .n_threads = gmf_int(c->threads),
                                           .fallback = (gmf_fallback)fallback};
  out->similar = (gmf_similar_options){.top_n = top,
                                       .measure = (gmf_measure)measure,
                                       .allow = out->recommend.allow,
                                       .n_allow = out->allow.n,
                                       .deny = out->deny.rows,
                                       .n_deny = out->deny.n,
                                       .n_threads = gmf_int(c->threads)};
cleanup:
  return status;
}

/* The lists of all ids: one object's members, or "answers": [...]. */
static gmf_status put_lists(const request *r, const id_list *ids, bool users, bool of_users, int64_t top_n,
                            const gmf_recommendations *lists, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (ids->is_list) fputs("\"answers\": [", r->out);
  for (int64_t j = 0; j < ids->n; j++) {
    gmf_answer a = {.subject_key = users ? "user" : "item",
                    .subject = ids->ids[j],
                    .of_users = of_users,
                    .n = lists->counts[j],
                    .rows = lists->items + j * top_n,
                    .scores = lists->scores + j * top_n,
                    .state = lists->states[j]};
    if (ids->is_list) fputs(j > 0 ? ", {" : "{", r->out);
    GMF_TRY(gmf_answer_json(r->query, &a, r->out, err));
    if (ids->is_list) fputc('}', r->out);
  }
  if (ids->is_list) fputc(']', r->out);
cleanup:
  return status;
}

typedef enum list_kind { RECOMMEND, SIMILAR_ITEMS, SIMILAR_USERS } list_kind;

static gmf_status answer_lists(const request *r, list_kind kind, gmf_error *err)
{
  gmf_status status = GMF_OK;
  list_request l = {0};
  id_list ids = {0};
  gmf_recommendations lists = {0};
  gmf_model *model = r->query->model;
  bool users = kind != SIMILAR_ITEMS, of_users = kind == SIMILAR_USERS;

  GMF_TRY(read_list_request(r, of_users, &l, err));
  GMF_TRY(read_ids(r, NULL, users, &ids, err));
  GMF_TRY(gmf_lists_create(&lists, ids.n, l.recommend.top_n, err));
  switch (kind) {
    case RECOMMEND: GMF_TRY(gmf_recommend(model, &l.recommend, ids.n, ids.rows, &lists, err)); break;
    case SIMILAR_ITEMS: GMF_TRY(gmf_similar_items(model, &l.similar, ids.n, ids.rows, &lists, err)); break;
    case SIMILAR_USERS: GMF_TRY(gmf_similar_users(model, &l.similar, ids.n, ids.rows, &lists, err)); break;
  }
  GMF_TRY(put_lists(r, &ids, users, of_users, l.recommend.top_n, &lists, err));
cleanup:
  gmf_lists_free(&lists);
  id_list_free(&ids);
  list_request_free(&l);
  return status;
}

static gmf_status recommend(const request *r, gmf_error *err) { return answer_lists(r, RECOMMEND, err); }
static gmf_status similar_items(const request *r, gmf_error *err) { return answer_lists(r, SIMILAR_ITEMS, err); }
static gmf_status similar_users(const request *r, gmf_error *err) { return answer_lists(r, SIMILAR_USERS, err); }

/* ---- folding in -------------------------------------------------------------------------------------------------- */

/* "ratings": {"ITEM": VALUE, ...} or [{"item": ITEM, "value": VALUE}, ...]. numbers: owned by the caller. */
static gmf_status read_ratings(const request *r, gmf_rating_list *list, char **numbers, gmf_error *err)
{
  gmf_status status = GMF_OK;
  json_t *ratings = json_object_get(r->json, "ratings"), *value = NULL;
  const char *id = NULL;
  size_t j = 0;

  if (!json_is_object(ratings) && !json_is_array(ratings))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "the request needs \"ratings\": {\"ITEM\": VALUE, ...}"));
  GMF_TRY(GMF_NEW(*numbers, (int64_t)json_array_size(ratings) * NUMBER_BYTES, err));
  json_object_foreach(ratings, id, value)
  {
    if (!json_is_number(value)) GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "the rating of \"%.100s\" is no number", id));
    GMF_TRY(gmf_rating_list_add(list, id, (float)json_number_value(value), err));
  }
  json_array_foreach(ratings, j, value)
  {
    const json_t *rating = json_object_get(value, "value");
    if (rating != NULL && !json_is_number(rating))
      GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "the value of rating %zu is no number", j + 1));
    GMF_TRY(id_text(json_object_get(value, "item"), "item", *numbers + (int64_t)j * NUMBER_BYTES, &id, err));
    GMF_TRY(gmf_rating_list_add(list, id, rating != NULL ? (float)json_number_value(rating) : 1, err));
  }
  if (list->n == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "there is no rating to fold in"));
cleanup:
  return status;
}

static gmf_status fold_in(const request *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  list_request l = {0};
  gmf_rating_list ratings = {0};
  gmf_recommendations lists = {0};
  char *numbers = NULL;

  GMF_TRY(read_list_request(r, false, &l, err));
  GMF_TRY(read_ratings(r, &ratings, &numbers, err));
  GMF_TRY(gmf_rating_list_find(&ratings, r->query->model, NULL, err));
  gmf_new_user user = {ratings.n, ratings.rows, ratings.values, NULL};
  GMF_TRY(gmf_lists_create(&lists, 1, l.recommend.top_n, err));
  GMF_TRY(gmf_recommend_new(r->query->model, &l.recommend, 1, &user, &lists, err));
  gmf_answer a = {.n = lists.counts[0], .rows = lists.items, .scores = lists.scores, .state = lists.states[0]};
  GMF_TRY(gmf_answer_json(r->query, &a, r->out, err));
cleanup:
  gmf_lists_free(&lists);
  gmf_rating_list_free(&ratings);
  gmf_free(numbers);
  list_request_free(&l);
  return status;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

/* One user, and one item or several. */
static gmf_status read_pairs(const request *r, id_list *user, id_list *items, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(read_ids(r, NULL, true, user, err));
  GMF_TRY(read_ids(r, NULL, false, items, err));
  if (user->is_list) GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "the request takes one \"user\""));
cleanup:
  return status;
}

static gmf_status score(const request *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  id_list user = {0}, items = {0};
  int64_t *users = NULL;
  float *scores = NULL;
  gmf_row_state *states = NULL;

  GMF_TRY(read_pairs(r, &user, &items, err));
  GMF_TRY(GMF_NEW(users, items.n, err));
  GMF_TRY(GMF_NEW(scores, items.n, err));
  GMF_TRY(GMF_NEW(states, items.n, err));
  for (int64_t j = 0; j < items.n; j++) users[j] = user.rows[0];
  GMF_TRY(gmf_score_pairs(r->query->model, items.n, users, items.rows, scores, states, err));
  if (items.is_list) fputs("\"answers\": [", r->out);
  for (int64_t j = 0; j < items.n; j++) {
    if (items.is_list) fputs(j > 0 ? ", {" : "{", r->out);
    gmf_pair_json(r->query, user.ids[0], items.ids[j], scores[j], states[j], r->out);
    if (items.is_list) fputc('}', r->out);
  }
  if (items.is_list) fputc(']', r->out);
cleanup:
  gmf_free(users);
  gmf_free(scores);
  gmf_free(states);
  id_list_free(&user);
  id_list_free(&items);
  return status;
}

static gmf_status explain(const request *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  id_list user = {0}, items = {0};
  gmf_explanation e = {0};
  int64_t top = 0;

  GMF_TRY(read_top(r, INT64_MAX, &top, err));
  GMF_TRY(read_pairs(r, &user, &items, err));
  if (items.is_list) GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "explain takes one \"item\""));
  GMF_TRY(gmf_explain(r->query->model, user.rows[0], items.rows[0], &e, err));
  GMF_TRY(gmf_explanation_json(r->query, user.ids[0], items.ids[0], &e, top, r->out, err));
cleanup:
  gmf_explanation_free(&e);
  id_list_free(&user);
  id_list_free(&items);
  return status;
}

/* ---- features ---------------------------------------------------------------------------------------------------- */

/* The names under a key, borrowed from the request; an array of texts, or one text. */
static gmf_status read_names(const request *r, const char *key, gmf_text_list *names, gmf_error *err)
{
  const json_t *value = json_object_get(r->json, key);
  bool is_array = json_is_array(value);
  size_t n = is_array ? json_array_size(value) : 1;
  if (n > GMF_LIST_MAX) return gmf_fail(err, GMF_ERR_USAGE, "\"%s\" has more than %d names", key, GMF_LIST_MAX);
  for (size_t j = 0; j < n; j++) {
    const char *name = json_string_value(is_array ? json_array_get(value, j) : value);
    if (name == NULL) return gmf_fail(err, GMF_ERR_USAGE, "\"%s\" is no array of names of features", key);
    names->values[names->n++] = name;
  }
  return GMF_OK;
}

/* One description by the names under a key, into the members of the answer. */
static gmf_status put_description(const request *r, const char *key, gmf_description *d, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_text_list names = {0};
  gmf_model_info about;
  gmf_feature feature = {0};
  char *subject = NULL;
  size_t size = 0;
  float *vector = NULL;

  gmf_model_get_info(r->query->model, &about);
  GMF_TRY(read_top(r, gmf_max64(about.n_users, about.n_items), &d->top_n, err));
  GMF_TRY(read_names(r, key, &names, err));
  GMF_TRY(GMF_NEW(vector, about.n_factors, err));
  GMF_TRY(gmf_describe_names(r->query->model, d->side, names.values, names.n, !d->with_features, vector, err));
  GMF_TRY(gmf_model_find_feature(r->query->model, d->side, names.values[0], &feature, err));
  FILE *text = open_memstream(&subject, &size);
  if (text == NULL) GMF_TRY(gmf_fail(err, GMF_ERR_MEMORY, "out of memory for an answer"));
  for (int j = 0; j < names.n; j++) fprintf(text, "%s%s", j > 0 ? "," : "", names.values[j]);
  fclose(text);
  d->subject_key = key;
  d->subject = subject;
  d->vector = vector;
  d->column = d->with_features ? feature.column : -1;
  GMF_TRY(gmf_description_json(r->query, d, r->out, err));
cleanup:
  free(subject);
  gmf_free(vector);
  return status;
}

static gmf_status describe(const request *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  bool item = json_object_get(r->json, "item_features") != NULL;
  id_list users = {0};
  gmf_description d = {.side = item ? GMF_FEATURES_OF_ITEMS : GMF_FEATURES_OF_USERS, .recommends = !item};
  bool asks = json_object_get(r->json, "user") != NULL || json_object_get(r->json, "users") != NULL;
  if (item == (json_object_get(r->json, "user_features") != NULL) || (asks && !item))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE,
                     "the request needs \"item_features\", which \"user\" may go with, or \"user_features\""));
  if (asks) GMF_TRY(read_ids(r, NULL, true, &users, err));
  d.users = users.ids;
  d.n_users = users.n;
  GMF_TRY(put_description(r, item ? "item_features" : "user_features", &d, err));
cleanup:
  id_list_free(&users);
  return status;
}

static gmf_status features(const request *r, gmf_error *err)
{
  int of = GMF_FEATURES_OF_ITEMS;
  gmf_status status = read_choice(r, "of", "users", "items", &of, err);
  gmf_description d = {.side = (gmf_feature_side)of, .with_features = true};
  return status != GMF_OK ? status : put_description(r, "feature", &d, err);
}

static gmf_status info(const request *r, gmf_error *err)
{
  (void)err;
  gmf_info_json(r->query->model, r->out);
  return GMF_OK;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

/* Keys besides "id" and "verb", parted and enclosed by bars. */
#define LIST_KEYS "|top|allow|deny|include_cold|"
static const struct verb {
  const char *name;
  gmf_status (*run)(const request *r, gmf_error *err);
  const char *keys;
} VERBS[] = {{"recommend", recommend, LIST_KEYS "user|users|include_seen|fallback|"},
             {"similar-items", similar_items, LIST_KEYS "item|items|measure|"},
             {"similar-users", similar_users, LIST_KEYS "user|users|measure|"},
             {"fold-in", fold_in, LIST_KEYS "ratings|include_seen|fallback|"},
             {"score", score, "|user|item|items|include_cold|"},
             {"explain", explain, "|user|item|top|include_cold|"},
             {"describe", describe, "|item_features|user_features|user|users|top|include_cold|"},
             {"features", features, "|feature|of|top|include_cold|"},
             {"info", info, "|"}};

static gmf_status find_verb(const json_t *json, const struct verb **out, gmf_error *err)
{
  const char *name = json_string_value(json_object_get(json, "verb"));
  *out = NULL;
  for (size_t v = 0; v < sizeof VERBS / sizeof *VERBS && name != NULL; v++)
    if (strcmp(VERBS[v].name, name) == 0) *out = &VERBS[v];
  if (*out != NULL) return GMF_OK;
  return gmf_fail(
      err, GMF_ERR_USAGE,
      "\"verb\" is none of recommend, similar-items, similar-users, fold-in, score, explain, describe, features, info");
}

static gmf_status check_keys(const request *r, const struct verb *verb, gmf_error *err)
{
  const char *key = NULL;
  json_t *value = NULL;
  char enclosed[64];
  json_object_foreach((json_t *)(uintptr_t)r->json, key, value)
  {
    (void)value;
    if (strcmp(key, "id") == 0 || strcmp(key, "verb") == 0) continue;
    int n = snprintf(enclosed, sizeof enclosed, "|%s|", key);
    if (n >= (int)sizeof enclosed || strstr(verb->keys, enclosed) == NULL)
      return gmf_fail(err, GMF_ERR_USAGE, "%s has no \"%.60s\"", verb->name, key);
  }
  return GMF_OK;
}

/* The members of the answer into *members, which the caller frees with free. */
static gmf_status answer(const gmf_query *q, const json_t *json, char **members, size_t *size, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const struct verb *verb = NULL;
  request r = {.query = q, .json = json, .out = open_memstream(members, size)};

  if (r.out == NULL) return gmf_fail(err, GMF_ERR_MEMORY, "out of memory for an answer");
  if (!json_is_object(json)) GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "a request is a JSON object"));
  GMF_TRY(find_verb(json, &verb, err));
  GMF_TRY(check_keys(&r, verb, err));
  bool include_cold = q->config.include_cold;
  GMF_TRY(read_flag(&r, "include_cold", &include_cold, err));
  GMF_TRY(gmf_model_include_cold(q->model, include_cold, err));
  GMF_TRY(verb->run(&r, err));
cleanup:
  if (fclose(r.out) != 0 && status == GMF_OK) status = gmf_fail(err, GMF_ERR_MEMORY, "out of memory for an answer");
  return status;
}

static void put_error(const gmf_error *err)
{
  printf("\"error\": {\"code\": %d, \"text\": ", (int)err->status);
  gmf_put_json(stdout, err->text);
  fputc('}', stdout);
}

static void answer_line(const gmf_query *q, const char *line, size_t length)
{
  gmf_error err = {0};
  json_error_t why;
  char *members = NULL;
  size_t size = 0;
  json_t *json = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
  const json_t *id = json_object_get(json, "id");

  fputc('{', stdout);
  if (id != NULL) {
    fputs("\"id\": ", stdout);
    json_dumpf(id, stdout, JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
    fputs(", ", stdout);
  }
  if (json == NULL)
    gmf_fail(&err, GMF_ERR_USAGE, "the line is no JSON: %.200s, at byte %d", why.text, why.position);
  else
    answer(q, json, &members, &size, &err);
  if (err.status != GMF_OK)
    put_error(&err);
  else
    fwrite(members, 1, size, stdout);
  fputs("}\n", stdout);
  fflush(stdout);
  free(members);
  json_decref(json);
}

/* Whoever asks twice asks often: keeps the item factors in memory, if there is room. */
static void keep_items(const gmf_query *q)
{
  gmf_error err = {0};
  if (gmf_model_preload(q->model, &err) == GMF_ERR_MEMORY)
    gmf_query_note("%s; item factors are read again for each request", err.text);
}

gmf_status gmf_query_stream(gmf_query *query, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *line = NULL;
  size_t capacity = 0;
  int64_t n = 0;

  for (ssize_t length = 0; (length = getline(&line, &capacity, stdin)) >= 0 && !ferror(stdout);) {
    if (line[strspn(line, " \t\r\n")] == '\0' && strlen(line) == (size_t)length) continue;
    if (++n == 2) keep_items(query);
    answer_line(query, line, (size_t)length);
  }
  if (ferror(stdin)) status = gmf_fail(err, GMF_ERR_IO, "reading requests failed: %s", strerror(errno));
  free(line);
  return status;
}
