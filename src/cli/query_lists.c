/*
 * gridmf-query MODEL recommend, similar-items, similar-users: a list for each id asked about, printed one by one as
 * batches of them are done.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "cli/query_answer.h"

enum { BATCH_SUBJECTS = 4096, BATCH_ENTRIES = 1 << 22 };

/* A verb: whose ids are asked about, and what is listed. */
typedef struct kind {
  const char *verb, *subject; /* "user", "item" */
  bool of_users;              /* it lists users */
  bool is_similar;
} kind;

typedef struct run {
  gmf_query *query;
  const kind *kind;
  gmf_lines lines;        /* of --users-file; owned */
  const char *const *ids; /* [n] borrowed; NULL with --all */
  int64_t n;              /* ids asked about */
  int64_t *allow, *deny;  /* owned rows */
  int64_t n_allow, n_deny;
  int64_t top_n, batch;
  int64_t *rows;             /* [batch] owned */
  gmf_recommendations lists; /* owned arrays for `batch` subjects */
  gmf_missing unknown, cold;
} run;

static void run_free(run *r)
{
  gmf_lines_free(&r->lines);
  gmf_free(r->allow);
  gmf_free(r->deny);
  gmf_free(r->rows);
  gmf_lists_free(&r->lists);
}

/* ---- what is asked ----------------------------------------------------------------------------------------------- */

static gmf_status choose_similar(run *r, gmf_error *err)
{
  const gmf_query_config *c = &r->query->config;
  const gmf_text_list *list = r->kind->of_users ? &c->users : &c->items;
  if (list->n == 0) return gmf_fail(err, GMF_ERR_USAGE, "%s needs --%s ID", r->kind->verb, r->kind->subject);
  r->ids = list->values;
  r->n = list->n;
  return GMF_OK;
}

static gmf_status choose_users(run *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_query_config *c = &r->query->config;
  gmf_model_info info;

  if ((c->users.n > 0) + (c->users_file[0] != '\0') + c->all != 1)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "recommend needs one of --user ID, --users-file FILE, --all"));
  gmf_model_get_info(r->query->model, &info);
  r->ids = c->users.values;
  r->n = c->users.n;
  if (c->all) {
    r->ids = NULL;
    r->n = info.n_users;
  }
  if (c->users_file[0] != '\0') {
    GMF_TRY(gmf_lines_read(c->users_file, &r->lines, err));
    if (r->lines.n == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: holds no user id", c->users_file));
    r->ids = r->lines.lines;
    r->n = r->lines.n;
  }
cleanup:
  return status;
}

static gmf_status prepare(run *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_query_config *c = &r->query->config;
  gmf_model_info info;

  gmf_model_get_info(r->query->model, &info);
  GMF_TRY(r->kind->is_similar ? choose_similar(r, err) : choose_users(r, err));
  r->top_n = gmf_max64(1, gmf_min64(c->top, r->kind->of_users ? info.n_users : info.n_items));
  GMF_TRY(gmf_read_rows(r->query, c->allow, r->kind->of_users, &r->allow, &r->n_allow, err));
  GMF_TRY(gmf_read_rows(r->query, c->deny, r->kind->of_users, &r->deny, &r->n_deny, err));
  if (!r->kind->is_similar && !info.has_seen && !c->include_seen)
    gmf_query_note("%s: holds no list of seen items; they are not left out", info.path);

  r->batch = gmf_max64(1, gmf_min64(gmf_min64(BATCH_SUBJECTS, r->n), BATCH_ENTRIES / r->top_n));
  GMF_TRY(GMF_NEW(r->rows, r->batch, err));
  GMF_TRY(gmf_lists_create(&r->lists, r->batch, r->top_n, err));
cleanup:
  return status;
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static gmf_status ask(run *r, int64_t n, gmf_error *err)
{
  const gmf_query_config *c = &r->query->config;
  gmf_similar_options similar = {.top_n = r->top_n,
                                 .measure = (gmf_measure)c->measure,
                                 .allow = r->allow,
                                 .n_allow = r->n_allow,
                                 .deny = r->deny,
                                 .n_deny = r->n_deny,
                                 .n_threads = gmf_int(c->threads)};
  gmf_recommend_options recommend = {.top_n = r->top_n,
                                     .include_seen = c->include_seen,
                                     .allow = r->allow,
                                     .n_allow = r->n_allow,
                                     .deny = r->deny,
                                     .n_deny = r->n_deny,
                                     .n_threads = gmf_int(c->threads),
                                     .fallback = (gmf_fallback)c->fallback};
  if (!r->kind->is_similar) return gmf_recommend(r->query->model, &recommend, n, r->rows, &r->lists, err);
  return r->kind->of_users ? gmf_similar_users(r->query->model, &similar, n, r->rows, &r->lists, err)
                           : gmf_similar_items(r->query->model, &similar, n, r->rows, &r->lists, err);
}

/* Ids [begin, begin + n) of those asked about. */
static gmf_status answer_batch(run *r, int64_t begin, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE];
  bool users = r->kind->subject[0] == 'u';

  for (int64_t u = 0; u < n; u++) r->rows[u] = begin + u;
  if (r->ids != NULL) GMF_TRY(gmf_find_rows(r->query->model, users, r->ids + begin, n, r->rows, NULL, err));
  GMF_TRY(ask(r, n, err));
  for (int64_t u = 0; u < n; u++) {
    int64_t at = u * r->top_n;
    gmf_answer a = {.subject_key = r->kind->subject,
                    .of_users = r->kind->of_users,
                    .n = r->lists.counts[u],
                    .rows = r->lists.items + at,
                    .scores = r->lists.scores + at,
                    .state = r->lists.states[u]};
    if (r->ids == NULL) GMF_TRY(gmf_model_user_id(r->query->model, begin + u, id, sizeof id, err));
    a.subject = r->ids != NULL ? r->ids[begin + u] : id;
    if (a.state == GMF_ROW_UNKNOWN) gmf_missing_add(&r->unknown, a.subject);
    if (a.state == GMF_ROW_COLD) gmf_missing_add(&r->cold, a.subject);
    GMF_TRY(gmf_answer_print(r->query, &a, begin + u == 0, err));
  }
cleanup:
  return status;
}

static gmf_status report_missing(const run *r, gmf_error *err)
{
  const char *path = r->query->config.users_file, *noun = r->kind->subject;
  const char *colon = path[0] != '\0' ? ": " : "";
  bool served = r->query->config.fallback == GMF_FALLBACK_POPULAR && !r->kind->is_similar;
  const char *instead = served ? "; the most popular items stand in" : "";
  if (r->cold.n == 1) gmf_query_note("%s %s has no ratings in training%s", noun, r->cold.names, instead);
  if (r->cold.n > 1)
    gmf_query_note("%" PRId64 " %ss have no ratings in training: %s%s", r->cold.n, noun, r->cold.names, instead);
  if (r->unknown.n == 0) return GMF_OK;
  if (r->unknown.n < r->n || served) {
    gmf_query_note("%s%s%" PRId64 " of %" PRId64 " %ss are not in the model: %s%s", path, colon, r->unknown.n, r->n,
                   noun, r->unknown.names, instead);
    return GMF_OK;
  }
  if (r->n == 1) return gmf_fail(err, GMF_ERR_DATA, "%s %s is not in the model", noun, r->unknown.names);
  return gmf_fail(err, GMF_ERR_DATA, "%s%snone of the %" PRId64 " %ss is in the model: %s", path, colon, r->n, noun,
                  r->unknown.names);
}

static gmf_status answer(gmf_query *query, const kind *k, gmf_error *err)
{
  gmf_status status = GMF_OK;
  run r = {.query = query, .kind = k};

  GMF_TRY(prepare(&r, err));
  for (int64_t begin = 0; begin < r.n && !ferror(stdout); begin += r.batch)
    GMF_TRY(answer_batch(&r, begin, gmf_min64(r.batch, r.n - begin), err));
  fflush(stdout);
  GMF_TRY(report_missing(&r, err));
cleanup:
  run_free(&r);
  return status;
}

gmf_status gmf_query_recommend(gmf_query *query, gmf_error *err)
{
  static const kind KIND = {"recommend", "user", false, false};
  return answer(query, &KIND, err);
}

gmf_status gmf_query_similar_items(gmf_query *query, gmf_error *err)
{
  static const kind KIND = {"similar-items", "item", false, true};
  return answer(query, &KIND, err);
}

gmf_status gmf_query_similar_users(gmf_query *query, gmf_error *err)
{
  static const kind KIND = {"similar-users", "user", true, true};
  return answer(query, &KIND, err);
}
