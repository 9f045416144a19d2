#include "app/recommend.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "app/memory_check.h"
#include "app/model_subject.h"
#include "app/provenance.h"
#include "base/memory.h"
#include "base/memory_limit.h"
#include "base/narrow.h"
#include "base/text.h"
#include "gridmf/features.h"
#include "io/checksum.h"
#include "io/layout.h"
#include "io/user_ratings.h"
#include "io/writer.h"

enum {
  BLOCK_BYTES = 1 << 20, /* of item rows in a block of the file: what ranks are dealt */
  BLOCK_ROWS = 1024,     /* at most, so that there are enough blocks for many ranks */
  BATCH_USERS = 8192,    /* at most */
  BATCH_BYTES = 1 << 28  /* of a batch, about */
};

static const int64_t BATCH_PRODUCTS = (int64_t)1 << 39; /* of factors in a batch, about: some seconds */

static const char USERS_ID[] = "users/" GMF_NAME_ID, ITEMS_ID[] = "items/" GMF_NAME_ID;

typedef struct job {
  const gmf_grid *grid; /* borrowed, like the next two */
  const gmf_config *config;
  gmf_log *log;
  gmf_model *model;     /* owned, like the rest: the library's handle, for lists */
  gmf_model_file *file; /* and ours, for ids */
  gmf_model_info info;
  int64_t fingerprint[GMF_FINGERPRINT];
  int64_t *listed;           /* [n_total]: the users of --users; NULL: all of the model */
  int64_t n_total, begin, n; /* users that are there; those of --users-range: n from `begin` on */
  int64_t *allow, *deny;     /* [n_allow], [n_deny]: item rows */
  int64_t n_allow, n_deny;
  gmf_writer *writer;
  int64_t top_n, block_rows, batch; /* batch: users at a time, whole blocks */
  int64_t *users;                   /* [batch] */
  char *ids;                        /* [batch] of the size of a user's id */
  int32_t *counts;                  /* [batch] */
  gmf_recommendations lists;        /* of a batch */
} job;

static void job_free(job *j)
{
  gmf_writer_destroy(&j->writer);
  gmf_model_close(&j->model);
  gmf_model_file_close(&j->file);
  void *const arrays[] = {j->listed, j->allow,       j->deny,         j->users,        j->ids,
                          j->counts, j->lists.items, j->lists.scores, j->lists.counts, j->lists.states};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

/* ---- whom and what ----------------------------------------------------------------------------------------------- */

static gmf_status open_local(job *j, const char *path, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_model_open(path, &j->model, err));
  GMF_TRY(gmf_model_file_open(path, &j->file, err));
  gmf_model_get_info(j->model, &j->info);
  if (j->config->include_cold) GMF_TRY(gmf_model_include_cold(j->model, true, err));
cleanup:
  return status;
}

/* Rank 0. The rows of the ids in a file; those that the model does not have are left out, and told. */
static gmf_status read_rows(const job *j, gmf_side side, const char *path, int64_t **rows, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_lines lines = {0};
  char first_unknown[100] = "";
  *n = 0;
  GMF_TRY(gmf_lines_read(path, &lines, err));
  GMF_TRY(GMF_NEW(*rows, lines.n, err));
  for (int64_t l = 0; l < lines.n; l++) {
    int64_t row = -1;
    GMF_TRY(gmf_model_file_find(j->file, side, lines.lines[l], &row, err));
    if (row >= 0) (*rows)[(*n)++] = row;
    if (row < 0 && first_unknown[0] == '\0') snprintf(first_unknown, sizeof first_unknown, "%s", lines.lines[l]);
  }
  if (lines.n == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: holds no %s id", path, gmf_side_noun(side)));
  if (*n == 0 && side == GMF_USERS)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: none of its %" PRId64 " users is in the model; the first one is '%s'",
                     path, lines.n, first_unknown));
  if (*n < lines.n)
    gmf_log_line(j->log, "warning: %s: %s of %s %ss are not in the model and left out; the first one is '%s'", path,
                 gmf_thousands(lines.n - *n), gmf_thousands(lines.n), gmf_side_noun(side), first_unknown);
cleanup:
  gmf_lines_free(&lines);
  return status;
}

/* Collective. The same on all ranks; *rows stays NULL without a file. */
static gmf_status share_rows(const job *j, gmf_side side, const char *path, int64_t **rows, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (path[0] == '\0') return GMF_OK;
  bool root = j->grid->rank == 0;
  GMF_TRY(gmf_agree(j->grid, root ? read_rows(j, side, path, rows, n, err) : GMF_OK, err));
  gmf_broadcast(j->grid, n, sizeof *n);
  if (!root) status = GMF_NEW(*rows, *n, err);
  GMF_TRY(gmf_agree(j->grid, status, err));
  gmf_broadcast(j->grid, *rows, *n * (int64_t)sizeof **rows);
cleanup:
  return status;
}

/* "A:B", "A:" or ":B" of n users. */
static gmf_status parse_range(const char *text, int64_t n, int64_t *begin, int64_t *end, gmf_error *err)
{
  const char *colon = strchr(text, ':'), *rest = text;
  char *stop = NULL;
  *begin = 0;
  *end = n;
  bool good = colon != NULL;
  if (good && colon > text) {
    *begin = strtoll(text, &stop, 10);
    good = stop == colon;
  }
  if (good && colon[1] != '\0') {
    rest = colon + 1;
    *end = strtoll(rest, &stop, 10);
    good = *stop == '\0' && *end <= n;
  }
  if (good && *begin >= 0 && *begin <= *end) return GMF_OK;
  return gmf_fail(err, GMF_ERR_USAGE,
                  "--users-range %s: A:B is needed, the users from A to B - 1 of %" PRId64
                  "; A is 0 and B the number of users where they are left out",
                  text, n);
}

/* Collective. */
static gmf_status choose(job *j, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_config *c = j->config;
  j->n_total = j->info.n_users;
  GMF_TRY(share_rows(j, GMF_USERS, c->users_file, &j->listed, &j->n_total, err));
  GMF_TRY(share_rows(j, GMF_ITEMS, c->allow, &j->allow, &j->n_allow, err));
  GMF_TRY(share_rows(j, GMF_ITEMS, c->deny, &j->deny, &j->n_deny, err));
  j->n = j->n_total;
  if (c->users_range[0] != '\0') GMF_TRY(parse_range(c->users_range, j->n_total, &j->begin, &j->n, err));
  j->n -= j->begin;
cleanup:
  return status;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

/* Blocks depend on the model and --top alone, so that the file does not depend on the number of ranks. */
static void choose_sizes(job *j, const gmf_memory_allowance *allowed)
{
  int64_t per_user = gmf_max64(1, j->info.n_items * j->info.n_factors);
  j->top_n = j->config->top;
  j->block_rows = gmf_min64(gmf_min64(BLOCK_ROWS, BLOCK_BYTES / (8 * j->top_n)), BATCH_PRODUCTS / per_user);
  j->block_rows = gmf_max64(1, j->block_rows);
  int64_t bytes = gmf_recommend_user_bytes(j->info.n_factors, j->top_n, j->info.n_seen / gmf_max64(1, j->info.n_users));
  int64_t batch = gmf_min64(gmf_min64(BATCH_BYTES, allowed->bytes / 4) / bytes, BATCH_PRODUCTS / per_user);
  batch = gmf_min64(gmf_min64(batch, BATCH_USERS), gmf_max64(j->n, 1));
  j->batch = (gmf_max64(batch, 1) + j->block_rows - 1) / j->block_rows * j->block_rows;
}

/* Collective. */
static gmf_status plan(job *j, gmf_error *err)
{
  gmf_memory_allowance allowed = gmf_memory_allowed(j->grid, j->config->memory_limit);
  choose_sizes(j, &allowed);
  gmf_recommend_shape shape = {.n_users = j->info.n_users,
                               .n_items = j->info.n_items,
                               .n_seen = j->info.n_seen,
                               .n_listed = j->listed != NULL ? j->n_total : 0,
                               .top_n = j->top_n,
                               .batch = j->batch,
                               .n_factors = j->info.n_factors,
                               .n_threads = omp_get_max_threads(),
                               .program_bytes = gmf_process_resident()};
  return gmf_recommend_memory(j->grid, &shape, &allowed, j->log, err);
}

static gmf_status allocate(job *j, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW(j->users, j->batch, err));
  GMF_TRY(GMF_NEW(j->ids, j->batch * gmf_model_file_id_type(j->file, GMF_USERS).size, err));
  GMF_TRY(GMF_NEW(j->counts, j->batch, err));
  GMF_TRY(GMF_NEW(j->lists.items, j->batch * j->top_n, err));
  GMF_TRY(GMF_NEW(j->lists.scores, j->batch * j->top_n, err));
  GMF_TRY(GMF_NEW(j->lists.counts, j->batch, err));
  GMF_TRY(GMF_NEW(j->lists.states, j->batch, err));
cleanup:
  return status;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* Which items may be listed, in a word. */
static void describe_candidates(const job *j, char *out, size_t size)
{
  uint64_t sums[2] = {gmf_checksum(j->allow, j->n_allow * (int64_t)sizeof *j->allow),
                      gmf_checksum(j->deny, j->n_deny * (int64_t)sizeof *j->deny)};
  if (j->allow == NULL && j->deny == NULL)
    snprintf(out, size, "all");
  else
    snprintf(out, size, "%016" PRIx64 "%016" PRIx64, j->allow != NULL ? sums[0] : 0, j->deny != NULL ? sums[1] : 0);
}

static void declare(job *j, int argc, char *const *argv)
{
  gmf_writer *w = j->writer;
  char text[GMF_FINGERPRINT * 16 + 1];
  for (int f = 0; f < GMF_FINGERPRINT; f++) snprintf(text + 16 * f, 17, "%016" PRIx64, (uint64_t)j->fingerprint[f]);
  gmf_writer_attr_text(w, "/", GMF_ATTR_ALGORITHM, j->info.algorithm);
  gmf_writer_attr_text(w, "/", GMF_ATTR_MODEL, j->info.path);
  gmf_writer_attr_text(w, "/", GMF_ATTR_MODEL_FINGERPRINT, text);
  describe_candidates(j, text, sizeof text);
  gmf_writer_attr_text(w, "/", GMF_ATTR_CANDIDATES, text);
  gmf_writer_attr_i64(w, "/", "n_users", j->n);
  gmf_writer_attr_i64(w, "/", "n_items", j->info.n_items);
  gmf_writer_attr_i64(w, "/", GMF_ATTR_USERS_BEGIN, j->begin);
  gmf_writer_attr_i64(w, "/", GMF_ATTR_USERS_TOTAL, j->n_total);
  gmf_provenance_add_options(w, GMF_VERB_RECOMMEND, j->config);
  gmf_provenance_add(w, j->grid, argc, argv, omp_get_max_threads());
  gmf_writer_add_blocks(w, USERS_ID, gmf_model_file_id_type(j->file, GMF_USERS), j->n, 0, j->block_rows);
  gmf_writer_add(w, ITEMS_ID, gmf_model_file_id_type(j->file, GMF_ITEMS), j->info.n_items, 0);
  gmf_writer_add_blocks(w, GMF_TOP_ITEM, gmf_type_of(GMF_I8), j->n, j->top_n, j->block_rows);
  gmf_writer_add_blocks(w, GMF_TOP_SCORE, gmf_type_of(GMF_F4), j->n, j->top_n, j->block_rows);
  gmf_writer_add_blocks(w, GMF_TOP_COUNT, gmf_type_of(GMF_I4), j->n, 0, j->block_rows);
}

/* Collective. Each rank its slice. */
static gmf_status write_item_ids(job *j, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *ids = NULL;
  int64_t begin = 0, end = 0, size = gmf_model_file_id_type(j->file, GMF_ITEMS).size;
  gmf_writer_slice(j->writer, ITEMS_ID, &begin, &end);
  status = GMF_NEW(ids, (end - begin) * size, err);
  if (status == GMF_OK) status = gmf_model_file_ids(j->file, GMF_ITEMS, begin, end - begin, ids, err);
  GMF_TRY(gmf_agree(j->grid, status, err));
  GMF_TRY(gmf_writer_write_part(j->writer, ITEMS_ID, end - begin, ids, err));
cleanup:
  gmf_free(ids);
  return status;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

/* The ids of the batch; rows that follow each other are read at once. */
static gmf_status read_user_ids(job *j, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t size = gmf_model_file_id_type(j->file, GMF_USERS).size;
  for (int64_t u = 0, length = 0; u < n; u += length) {
    length = gmf_run_length(j->users + u, n - u);
    GMF_TRY(gmf_model_file_ids(j->file, GMF_USERS, j->users[u], length, j->ids + u * size, err));
  }
cleanup:
  return status;
}

/* Local. The lists of users first ... first + n - 1 of the run, short ones padded. */
static gmf_status answer(job *j, int64_t first, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_recommend_options options = {.top_n = j->top_n,
                                   .include_seen = j->config->include_seen,
                                   .allow = j->allow,
                                   .n_allow = j->n_allow,
                                   .deny = j->deny,
                                   .n_deny = j->n_deny};
  for (int64_t u = 0; u < n; u++) {
    int64_t at = j->begin + first + u;
    j->users[u] = j->listed != NULL ? j->listed[at] : at;
  }
  GMF_TRY(read_user_ids(j, n, err));
  GMF_TRY(gmf_recommend(j->model, &options, n, j->users, &j->lists, err));
  for (int64_t u = 0; u < n; u++) {
    j->counts[u] = gmf_i32(j->lists.counts[u]);
    for (int64_t e = u * j->top_n + j->counts[u]; e < (u + 1) * j->top_n; e++) {
      j->lists.items[e] = -1;
      j->lists.scores[e] = NAN;
    }
  }
cleanup:
  return status;
}

/* Collective. All lists, each rank those of its rows. */
static gmf_status write_lists(job *j, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_writer *w = j->writer;
  int64_t begin = 0, end = 0, done = 0;
  gmf_writer_slice(w, GMF_TOP_ITEM, &begin, &end);
  for (int64_t at = begin;;) {
    int64_t n = gmf_min64(j->batch, end - at), most = n, sum = n;
    gmf_max_i64(j->grid, &most, 1);
    if (most == 0) break;
    gmf_beat();
    GMF_TRY(gmf_agree(j->grid, n > 0 ? answer(j, at, n, err) : GMF_OK, err));
    gmf_trace_work(j->grid->trace, GMF_PHASE_SCORE, n * j->info.n_items);
    GMF_TRY(gmf_writer_write_part(w, USERS_ID, n, j->ids, err));
    GMF_TRY(gmf_writer_write_part(w, GMF_TOP_ITEM, n, j->lists.items, err));
    GMF_TRY(gmf_writer_write_part(w, GMF_TOP_SCORE, n, j->lists.scores, err));
    GMF_TRY(gmf_writer_write_part(w, GMF_TOP_COUNT, n, j->counts, err));
    at += n;
    gmf_sum_i64(j->grid, &sum, 1);
    done += sum;
    gmf_log_live(j->log, "lists of %s users of %s", gmf_thousands(done), gmf_thousands(j->n));
  }
cleanup:
  return status;
}

/* Collective. What people should know before they wait. */
static void describe(const job *j)
{
  gmf_log_line(j->log, "recommend: %s, %s, %s users x %s items, %d factors; top %" PRId64 " of %s users", j->info.path,
               j->info.algorithm, gmf_thousands(j->info.n_users), gmf_thousands(j->info.n_items), j->info.n_factors,
               j->top_n, gmf_thousands(j->n));
  if (!j->info.has_seen && !j->config->include_seen)
    gmf_log_line(j->log, "warning: the model was trained with --no-seen, so the lists hold items of the training too");
}

gmf_status gmf_recommend_users(const gmf_grid *grid, const char *model, const gmf_config *config, int argc,
                               char *const *argv, gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK;
  job j = {.grid = grid, .config = config, .log = log};
  double start = MPI_Wtime();

  if (config->output[0] == '\0') GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "-o RECS.h5 is needed"));
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_READ);
  GMF_TRY(gmf_agree(grid, open_local(&j, model, err), err));
  GMF_TRY(gmf_check_same_model(grid, j.file, j.fingerprint, err));
  GMF_TRY(choose(&j, err));
  GMF_TRY(plan(&j, err));
  describe(&j);
  GMF_TRY(gmf_agree(grid, allocate(&j, err), err));
  GMF_TRY(gmf_writer_open(grid, config->output, GMF_FORMAT_RECS, &j.writer, err));
  gmf_log_lines(log, gmf_writer_notes(j.writer));
  declare(&j, argc, argv);
  GMF_TRY(gmf_writer_create(j.writer, err));
  gmf_trace_phase(grid->trace, GMF_PHASE_SCORE);
  GMF_TRY(write_item_ids(&j, err));
  GMF_TRY(write_lists(&j, err));
  GMF_TRY(gmf_writer_commit(j.writer, err));
  gmf_trace_phase(grid->trace, before);
  double seconds = MPI_Wtime() - start;
  gmf_log_line(log, "wrote %s: %s lists, %.1f MB, verified by reading back; %.3f s, %s users/s", config->output,
               gmf_thousands(j.n), (double)gmf_writer_bytes(j.writer) / 1e6, seconds,
               gmf_thousands((int64_t)((double)j.n / seconds)));
  gmf_log_event(log, "recommendations",
                json_pack("{s:s, s:I, s:I, s:f}", "path", config->output, "users", (json_int_t)j.n, "bytes",
                          (json_int_t)gmf_writer_bytes(j.writer), "seconds", seconds));
cleanup:
  job_free(&j);
  return status;
}
