/* gridmf-query MODEL recommend: top-N lists, printed user by user as batches of them are done. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "cli/query_cli.h"
#include "cli/query_text.h"

enum { BATCH_USERS = 1024, BATCH_ENTRIES = 1 << 22, NAMES_BYTES = 200 };

/* Users that got no list, for the notes at the end. */
typedef struct missing {
  int64_t n;
  char names[NAMES_BYTES]; /* of the first ones */
} missing;

typedef struct run {
  gmf_query *query;
  gmf_lines lines;        /* of --users-file; owned */
  const char *const *ids; /* [n] borrowed; NULL with --all */
  int64_t n;              /* users asked for */
  int64_t *allow, *deny;  /* owned item rows */
  gmf_recommend_options options;
  int64_t batch;
  int64_t *rows;             /* [batch] owned */
  gmf_recommendations lists; /* owned arrays for `batch` users */
  missing unknown, cold;
  gmf_table table; /* owned */
} run;

static void run_free(run *r)
{
  gmf_lines_free(&r->lines);
  gmf_free(r->allow);
  gmf_free(r->deny);
  gmf_free(r->rows);
  gmf_free(r->lists.items);
  gmf_free(r->lists.scores);
  gmf_free(r->lists.counts);
  gmf_free(r->lists.states);
  gmf_table_free(&r->table);
}

static void add_missing(missing *m, const char *id)
{
  size_t used = strlen(m->names);
  if (used + strlen(id) + 10 < sizeof m->names)
    snprintf(m->names + used, sizeof m->names - used, "%s'%s'", m->n > 0 ? ", " : "", id);
  else if (used > 0 && m->names[used - 1] != '.')
    snprintf(m->names + used, sizeof m->names - used, ", ...");
  m->n++;
}

/* ---- what is asked ----------------------------------------------------------------------------------------------- */

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

/* Item rows of the ids in a file; ids that the model does not have are -1, and are told. */
static gmf_status read_items(run *r, const char *path, int64_t **rows, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_lines lines = {0};
  missing unknown = {0};

  if (path[0] == '\0') return GMF_OK;
  GMF_TRY(gmf_lines_read(path, &lines, err));
  GMF_TRY(GMF_NEW(*rows, lines.n, err));
  for (int64_t j = 0; j < lines.n; j++) {
    GMF_TRY(gmf_model_find_item(r->query->model, lines.lines[j], &(*rows)[j], err));
    if ((*rows)[j] < 0) add_missing(&unknown, lines.lines[j]);
  }
  *n = lines.n;
  if (unknown.n > 0)
    gmf_query_note("%s: %" PRId64 " of %" PRId64 " items are not in the model: %s", path, unknown.n, lines.n,
                   unknown.names);
cleanup:
  gmf_lines_free(&lines);
  return status;
}

static gmf_status prepare(run *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_query_config *c = &r->query->config;
  gmf_model_info info;

  gmf_model_get_info(r->query->model, &info);
  GMF_TRY(choose_users(r, err));
  r->options.top_n = gmf_max64(1, gmf_min64(c->top, info.n_items));
  r->options.include_seen = c->include_seen;
  r->options.n_threads = gmf_int(c->threads);
  GMF_TRY(read_items(r, c->allow, &r->allow, &r->options.n_allow, err));
  GMF_TRY(read_items(r, c->deny, &r->deny, &r->options.n_deny, err));
  r->options.allow = r->allow;
  r->options.deny = r->deny;
  if (!info.has_seen && !c->include_seen)
    gmf_query_note("%s: holds no list of seen items; they are not left out", info.path);

  r->batch = gmf_max64(1, gmf_min64(gmf_min64(BATCH_USERS, r->n), BATCH_ENTRIES / r->options.top_n));
  GMF_TRY(GMF_NEW(r->rows, r->batch, err));
  GMF_TRY(GMF_NEW(r->lists.items, r->batch * r->options.top_n, err));
  GMF_TRY(GMF_NEW(r->lists.scores, r->batch * r->options.top_n, err));
  GMF_TRY(GMF_NEW(r->lists.counts, r->batch, err));
  GMF_TRY(GMF_NEW(r->lists.states, r->batch, err));
cleanup:
  return status;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

/* One user's answer. */
typedef struct answer {
  const char *user;
  int64_t n;
  const int64_t *items;
  const float *scores;
  gmf_row_state state;
} answer;

static gmf_status print_json(run *r, const answer *a, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE];
  fputs("{\"user\": ", stdout);
  gmf_put_json(stdout, a->user);
  if (a->state != GMF_ROW_KNOWN) printf(", \"status\": \"%s\"", a->state == GMF_ROW_COLD ? "cold" : "unknown");
  fputs(", \"items\": [", stdout);
  for (int64_t j = 0; j < a->n; j++) {
    GMF_TRY(gmf_model_item_id(r->query->model, a->items[j], id, sizeof id, err));
    fputs_unlocked(j > 0 ? ", {\"item\": " : "{\"item\": ", stdout);
    gmf_put_json(stdout, id);
    fputs_unlocked(", \"score\": ", stdout);
    gmf_put_json_score(stdout, a->scores[j]);
    if (r->query->titles != NULL) {
      fputs(", \"title\": ", stdout);
      gmf_put_json(stdout, gmf_titles_find(r->query->titles, id).title);
    }
    fputc_unlocked('}', stdout);
  }
  fputs_unlocked("]}\n", stdout);
cleanup:
  return status;
}

static gmf_status print_csv(run *r, const answer *a, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE], score[32];
  for (int64_t j = 0; j < a->n; j++) {
    GMF_TRY(gmf_model_item_id(r->query->model, a->items[j], id, sizeof id, err));
    gmf_score_text(a->scores[j], score);
    gmf_put_csv(stdout, a->user);
    printf(",%" PRId64 ",", j + 1);
    gmf_put_csv(stdout, id);
    printf(",%s", score);
    if (r->query->titles != NULL) {
      fputc(',', stdout);
      gmf_put_csv(stdout, gmf_titles_find(r->query->titles, id).title);
    }
    fputc('\n', stdout);
  }
cleanup:
  return status;
}

static gmf_status add_heading(run *r, gmf_error *err)
{
  static const char *const headings[] = {"rank", "score", "item", "title", ""};
  gmf_status status = GMF_OK;
  r->table.n_columns = r->query->titles == NULL ? 3 : gmf_titles_have_notes(r->query->titles) ? 5 : 4;
  r->table.right = 1 << 0 | 1 << 1;
  r->table.cut = 1 << 3 | 1 << 4;
  for (int c = 0; c < r->table.n_columns; c++) GMF_TRY(gmf_table_add(&r->table, headings[c], err));
cleanup:
  return status;
}

static gmf_status print_table(run *r, const answer *a, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE], rank[24];
  const char *why = a->state == GMF_ROW_COLD      ? ": no ratings in training"
                    : a->state == GMF_ROW_UNKNOWN ? ": not in the model"
                    : a->n == 0                   ? ": nothing left to recommend"
                                                  : "";
  gmf_table heading = {.n_columns = 1};
  char *line = NULL;

  GMF_TRY(GMF_NEW(line, (int64_t)strlen(a->user) + 64, err));
  sprintf(line, "user %s%s", a->user, why);
  GMF_TRY(gmf_table_add(&heading, line, err)); /* makes it fit for a terminal */
  printf("%s\n", heading.text);
  if (a->n > 0) GMF_TRY(add_heading(r, err));
  for (int64_t j = 0; j < a->n; j++) {
    GMF_TRY(gmf_model_item_id(r->query->model, a->items[j], id, sizeof id, err));
    gmf_title title = gmf_titles_find(r->query->titles, id);
    snprintf(rank, sizeof rank, "%" PRId64, j + 1);
    GMF_TRY(gmf_table_add(&r->table, rank, err));
    GMF_TRY(gmf_table_add_score(&r->table, a->scores[j], err));
    GMF_TRY(gmf_table_add(&r->table, id, err));
    if (r->table.n_columns > 3) GMF_TRY(gmf_table_add(&r->table, title.title, err));
    if (r->table.n_columns > 4) GMF_TRY(gmf_table_add(&r->table, title.note, err));
  }
  if (a->n > 0) gmf_table_print(&r->table, r->query->width, stdout);
cleanup:
  gmf_table_free(&heading);
  gmf_free(line);
  return status;
}

static gmf_status print_answer(run *r, const answer *a, bool first, gmf_error *err)
{
  switch ((gmf_query_format)r->query->config.format) {
    case GMF_FORMAT_JSON: return print_json(r, a, err);
    case GMF_FORMAT_CSV: return print_csv(r, a, err);
    case GMF_FORMAT_TABLE: break;
  }
  if (!first) fputc('\n', stdout);
  return print_table(r, a, err);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

/* Users [begin, begin + n) of those asked for. */
static gmf_status answer_batch(run *r, int64_t begin, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char id[GMF_ID_SIZE];

  for (int64_t u = 0; u < n; u++) {
    r->rows[u] = begin + u;
    if (r->ids != NULL) GMF_TRY(gmf_model_find_user(r->query->model, r->ids[begin + u], &r->rows[u], err));
  }
  GMF_TRY(gmf_recommend(r->query->model, &r->options, n, r->rows, &r->lists, err));
  for (int64_t u = 0; u < n; u++) {
    int64_t at = u * r->options.top_n;
    answer a = {NULL, r->lists.counts[u], r->lists.items + at, r->lists.scores + at, r->lists.states[u]};
    if (r->ids == NULL) GMF_TRY(gmf_model_user_id(r->query->model, begin + u, id, sizeof id, err));
    a.user = r->ids != NULL ? r->ids[begin + u] : id;
    if (a.state == GMF_ROW_UNKNOWN) add_missing(&r->unknown, a.user);
    if (a.state == GMF_ROW_COLD) add_missing(&r->cold, a.user);
    GMF_TRY(print_answer(r, &a, begin + u == 0, err));
  }
cleanup:
  return status;
}

static gmf_status report_missing(const run *r, gmf_error *err)
{
  const char *path = r->query->config.users_file;
  if (r->cold.n == 1) gmf_query_note("user %s has no ratings in training: nothing to recommend", r->cold.names);
  if (r->cold.n > 1) gmf_query_note("%" PRId64 " users have no ratings in training: %s", r->cold.n, r->cold.names);
  if (r->unknown.n == 1 && r->n == 1)
    return gmf_fail(err, GMF_ERR_DATA, "user %s is not in the model", r->unknown.names);
  if (r->unknown.n > 0 && r->unknown.n == r->n)
    return gmf_fail(err, GMF_ERR_DATA, "%s%snone of the %" PRId64 " users is in the model: %s", path,
                    path[0] != '\0' ? ": " : "", r->n, r->unknown.names);
  if (r->unknown.n > 0)
    gmf_query_note("%s%s%" PRId64 " of %" PRId64 " users are not in the model: %s", path, path[0] != '\0' ? ": " : "",
                   r->unknown.n, r->n, r->unknown.names);
  return GMF_OK;
}

gmf_status gmf_query_recommend(gmf_query *query, gmf_error *err)
{
  gmf_status status = GMF_OK;
  run r = {.query = query};

  GMF_TRY(prepare(&r, err));
  if (query->config.format == GMF_FORMAT_CSV) printf("user,rank,item,score%s\n", query->titles != NULL ? ",title" : "");
  for (int64_t begin = 0; begin < r.n && !ferror(stdout); begin += r.batch)
    GMF_TRY(answer_batch(&r, begin, gmf_min64(r.batch, r.n - begin), err));
  fflush(stdout);
  GMF_TRY(report_missing(&r, err));
cleanup:
  run_free(&r);
  return status;
}
