/* gridmf-query MODEL fold-in: recommendations for somebody who is not in the model, from ratings. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "cli/query_answer.h"
#include "cli/query_ratings.h"

/* ---- reading ratings --------------------------------------------------------------------------------------------- */

void gmf_rating_list_free(gmf_rating_list *list)
{
  gmf_free(list->text);
  gmf_free(list->ids);
  gmf_free(list->values);
  gmf_free(list->rows);
  *list = (gmf_rating_list){0};
}

gmf_status gmf_rating_list_add(gmf_rating_list *list, const char *id, float value, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_RESERVE(list->ids, list->ids_capacity, list->n + 1, err));
  GMF_TRY(GMF_RESERVE(list->values, list->values_capacity, list->n + 1, err));
  list->ids[list->n] = id;
  list->values[list->n++] = value;
cleanup:
  return status;
}

gmf_status gmf_rating_list_find(gmf_rating_list *list, gmf_model *model, gmf_missing *missing, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW(list->rows, list->n, err));
  GMF_TRY(gmf_find_rows(model, false, list->ids, list->n, list->rows, missing, err));
cleanup:
  return status;
}

/* "ID<separator>VALUE", or "ID" for a value of 1, cut in place. */
static gmf_status add_text(gmf_rating_list *list, char *text, const char *separators, const char *source,
                           gmf_error *err)
{
  float value = 1;
  text += strspn(text, " \t");
  size_t at = strlen(text);
  while (at > 0 && strchr(separators, text[at - 1]) == NULL) at--; /* the last one: ids may hold them */
  if (at > 0) {
    char *end = NULL;
    value = strtof(text + at, &end);
    if (end == text + at || end[strspn(end, " \t")] != '\0')
      return gmf_fail(err, GMF_ERR_DATA, "%s: '%.100s' is no rating; write ITEM%cVALUE, or ITEM alone for 1", source,
                      text, separators[0]);
    while (at > 0 && strchr(separators, text[at - 1]) != NULL) text[--at] = '\0';
  }
  if (text[0] == '\0') return gmf_fail(err, GMF_ERR_DATA, "%s: a rating without an item", source);
  return gmf_rating_list_add(list, text, value, err);
}

/* "ITEM:VALUE,ITEM:VALUE" */
static gmf_status parse_ratings(const char *ratings, gmf_rating_list *list, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *rest = NULL;
  GMF_TRY(GMF_NEW(list->text, (int64_t)strlen(ratings) + 1, err));
  strcpy(list->text, ratings);
  for (char *one = strtok_r(list->text, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest))
    GMF_TRY(add_text(list, one, ":", "--ratings", err));
cleanup:
  return status;
}

/* A rating a line: item and value, parted by a comma, tab, semicolon, blank or '::'. */
static gmf_status read_ratings(const char *path, gmf_rating_list *list, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char where[300], *next = NULL;
  int64_t number = 1;
  GMF_TRY(gmf_read_text(path, &list->text, err));
  for (char *line = list->text; *line != '\0'; line = next, number++) {
    char *end = line + strcspn(line, "\r\n");
    next = end + (end[0] == '\0' ? 0 : end[0] == '\r' && end[1] == '\n' ? 2 : 1);
    *end = '\0';
    snprintf(where, sizeof where, "%.250s:%" PRId64, path, number);
    if (line[strspn(line, " \t")] != '\0') GMF_TRY(add_text(list, line, ",\t;: ", where, err));
  }
cleanup:
  return status;
}

/* ---- the verb ---------------------------------------------------------------------------------------------------- */

/* Why there is nothing to fold in. */
static gmf_status fail_unknown(const gmf_rating_list *list, const gmf_missing *unknown, gmf_error *err)
{
  if (list->n == 1)
    return gmf_fail(err, GMF_ERR_DATA, "item '%.200s' %s", list->ids[0],
                    unknown->n > 0 ? "is not in the model" : "has no ratings in training");
  return gmf_fail(err, GMF_ERR_DATA, "none of the %" PRId64 " items is in the model and has ratings in training%s%s",
                  list->n, unknown->n > 0 ? "; not in the model: " : "", unknown->names);
}

static gmf_status answer(gmf_query *q, const gmf_rating_list *list, const gmf_missing *unknown, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_query_config *c = &q->config;
  gmf_recommendations lists = {0};
  int64_t *allow = NULL, *deny = NULL;
  gmf_model_info info;
  gmf_model_get_info(q->model, &info);
  gmf_recommend_options options = {.top_n = gmf_max64(1, gmf_min64(c->top, info.n_items)),
                                   .include_seen = c->include_seen,
                                   .n_threads = gmf_int(c->threads),
                                   .fallback = (gmf_fallback)c->fallback};
  gmf_new_user user = {list->n, list->rows, list->values, NULL};

  GMF_TRY(gmf_read_rows(q, c->allow, false, &allow, &options.n_allow, err));
  GMF_TRY(gmf_read_rows(q, c->deny, false, &deny, &options.n_deny, err));
  options.allow = allow;
  options.deny = deny;
  GMF_TRY(gmf_lists_create(&lists, 1, options.top_n, err));
  GMF_TRY(gmf_recommend_new(q->model, &options, 1, &user, &lists, err));
  gmf_answer a = {.n = lists.counts[0], .rows = lists.items, .scores = lists.scores, .state = lists.states[0]};
  GMF_TRY(gmf_answer_print(q, &a, true, err));
  fflush(stdout);
  if (a.state != GMF_ROW_KNOWN && options.fallback == GMF_FALLBACK_NONE) GMF_TRY(fail_unknown(list, unknown, err));
cleanup:
  gmf_lists_free(&lists);
  gmf_free(allow);
  gmf_free(deny);
  return status;
}

gmf_status gmf_query_fold_in(gmf_query *query, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_query_config *c = &query->config;
  gmf_rating_list list = {0};
  gmf_missing unknown = {0};

  if ((c->ratings[0] != '\0') + (c->ratings_file[0] != '\0') != 1)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "fold-in needs one of --ratings ITEM:VALUE,..., --ratings-file FILE"));
  GMF_TRY(c->ratings[0] != '\0' ? parse_ratings(c->ratings, &list, err) : read_ratings(c->ratings_file, &list, err));
  if (list.n == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "there is no rating to fold in"));
  GMF_TRY(gmf_rating_list_find(&list, query->model, &unknown, err));
  if (unknown.n > 0 && unknown.n < list.n)
    gmf_query_note("%" PRId64 " of %" PRId64 " items are not in the model: %s", unknown.n, list.n, unknown.names);
  GMF_TRY(answer(query, &list, &unknown, err));
cleanup:
  gmf_rating_list_free(&list);
  return status;
}
