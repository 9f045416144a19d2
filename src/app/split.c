#include "app/split.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "app/provenance.h"
#include "app/split_choose.h"
#include "base/memory.h"
#include "io/layout.h"
#include "io/rating_filter.h"

static const char *const PART_NAME[GMF_N_PARTS] = {"train", "test", "fold-in"};

/* What a split works on. */
typedef struct split {
  const gmf_grid *grid; /* borrowed */
  const gmf_config *c;  /* borrowed */
  gmf_dataset *dataset; /* owned */
  gmf_rating_rows rows; /* owned: my ratings */
  gmf_id_space items;   /* owned: of all files */
  gmf_choice choice;    /* owned */
  int n_parts;          /* the fold-in is written for --method users only */
  const char *paths[GMF_N_PARTS];
  gmf_writer *writers[GMF_N_PARTS]; /* owned */
  /* Of each file, on all ranks. */
  int64_t n_users[GMF_N_PARTS], n_ratings[GMF_N_PARTS];
} split;

static void free_split(split *s)
{
  gmf_rating_rows_free(&s->rows);
  gmf_id_space_free(&s->items);
  gmf_choice_free(&s->choice);
  for (int p = 0; p < GMF_N_PARTS; p++) gmf_writer_destroy(&s->writers[p]);
  gmf_dataset_close(&s->dataset);
}

/* ---- the options ------------------------------------------------------------------------------------------------- */

/* Local, the same on all ranks. */
static gmf_status check_options(const gmf_config *c, const gmf_dataset *d, gmf_error *err)
{
  char method[32];
  gmf_config_text(c, offsetof(gmf_config, method), method, sizeof method);
  if (c->train[0] == '\0' || c->test[0] == '\0')
    return gmf_fail(err, GMF_ERR_USAGE, "--train TRAIN.h5 and --test TEST.h5 are needed");
  if (c->method < 0)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--method random, leave-last, time or users is needed; see gridmf split --help");
  if (isnan(c->fraction) == (c->count == 0))
    return gmf_fail(err, GMF_ERR_USAGE, "--fraction F or --count N is needed, and only one of them");
  if (c->method == GMF_SPLIT_USERS && c->fold_in[0] == '\0')
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--method users needs --fold-in FILE.h5, for the ratings by which the held-out users are known");
  if (c->method != GMF_SPLIT_USERS && c->fold_in[0] != '\0')
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--fold-in is for --method users: with %s every user is in the training set; leave it out", method);
  if ((c->method == GMF_SPLIT_LEAVE_LAST || c->method == GMF_SPLIT_TIME) && !d->has_time)
    return gmf_fail(err, GMF_ERR_DATA,
                    "%s: has no times, which --method %s goes by; import them with --columns time=..., or use --method "
                    "random",
                    d->path, method);
  return GMF_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Local. The ratings of one part, with all users. */
static gmf_status select_part(const split *s, gmf_part part, gmf_rating_rows *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_rating_rows *all = &s->rows;
  int64_t n = 0, to = 0;
  for (int64_t j = 0; j < all->indptr[all->n_rows]; j++) n += s->choice.part[j] == part;
  GMF_TRY(gmf_rating_rows_new(all->n_rows, n, all->times != NULL, all->weights != NULL, out, err));
  out->row_begin = all->row_begin;
  for (int64_t r = 0; r < all->n_rows; r++) {
    for (int64_t j = all->indptr[r]; j < all->indptr[r + 1]; j++)
      if (s->choice.part[j] == part) gmf_rating_rows_copy_one(out, to++, all, j);
    out->indptr[r + 1] = to;
  }
cleanup:
  return status;
}

/* Collective. --method users: the training set has the users that it has ratings of, the others the held-out ones. */
static gmf_status keep_population(const split *s, gmf_part part, gmf_id_space *users, gmf_rating_rows *rows,
                                  gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *counts = NULL;
  if (part == GMF_PART_TRAIN) return gmf_keep_users(s->grid, 1, NULL, users, rows, err);
  GMF_TRY(gmf_agree(s->grid, GMF_NEW(counts, rows->n_rows, err), err));
  for (int64_t r = 0; r < rows->n_rows; r++) counts[r] = s->choice.is_held_out[r];
  GMF_TRY(gmf_keep_users(s->grid, 1, counts, users, rows, err));
cleanup:
  gmf_free(counts);
  return status;
}

/* Local, the same on all ranks. */
static void describe_part(const split *s, gmf_part part)
{
  gmf_writer *w = s->writers[part];
  const gmf_config *c = s->c;
  const char *group = GMF_GROUP_PROVENANCE;
  char method[32];
  gmf_config_text(c, offsetof(gmf_config, method), method, sizeof method);
  gmf_provenance_add_software(w);
  gmf_writer_attr_text(w, group, "dataset", s->dataset->path);
  gmf_writer_attr_text(w, group, "part", PART_NAME[part]);
  gmf_writer_attr_text(w, group, "method", method);
  if (isnan(c->fraction))
    gmf_writer_attr_i64(w, group, "count", c->count);
  else
    gmf_writer_attr_f64(w, group, "fraction", c->fraction);
  gmf_writer_attr_i64(w, group, "seed", c->seed);
  if (s->choice.has_cut) gmf_writer_attr_i64(w, group, "cut_time", s->choice.cut_time);
  if (c->method != GMF_SPLIT_USERS) return;
  gmf_writer_attr_f64(w, group, "test_fraction", c->test_fraction);
  gmf_writer_attr_i64(w, group, "n_held_out_users", s->choice.n_held_out_users);
  gmf_writer_attr_i64(w, group, "n_dropped", s->choice.n_dropped);
}

/* Local. Leaves out rows of features; keeps [rows->n]. */
static void drop_features(gmf_feature_rows *rows, const bool *keeps)
{
  int64_t n = 0, to = 0;
  for (int64_t r = 0; r < rows->n; r++) {
    int64_t begin = rows->indptr[r], end = rows->indptr[r + 1];
    if (!keeps[r]) continue;
    memmove(rows->columns + to, rows->columns + begin, (size_t)(end - begin) * sizeof *rows->columns);
    memmove(rows->values + to, rows->values + begin, (size_t)(end - begin) * sizeof *rows->values);
    to += end - begin;
    rows->indptr[++n] = to; /* n <= r: what is read next is still there */
  }
  rows->n = n;
}

/* Collective. The features of the users that a part has, by the same ranks as their ratings, and of all items. */
static gmf_status read_features(const split *s, gmf_part part, gmf_side_features features[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_rating_rows *all = &s->rows;
  bool *keeps = NULL;
  if (s->dataset->has_features[GMF_ITEMS])
    GMF_TRY(gmf_dataset_read_features(s->grid, s->dataset, GMF_ITEMS, s->items.ids.begin, s->items.ids.n,
                                      &features[GMF_ITEMS], err));
  if (!s->dataset->has_features[GMF_USERS]) return GMF_OK;
  GMF_TRY(gmf_dataset_read_features(s->grid, s->dataset, GMF_USERS, all->row_begin, all->n_rows, &features[GMF_USERS],
                                    err));
  if (s->c->method != GMF_SPLIT_USERS) return GMF_OK;
  GMF_TRY(gmf_agree(s->grid, GMF_NEW_ZERO(keeps, all->n_rows, err), err));
  for (int64_t r = 0; r < all->n_rows; r++) { /* as keep_population does */
    keeps[r] = part != GMF_PART_TRAIN && s->choice.is_held_out[r];
    for (int64_t j = all->indptr[r]; j < all->indptr[r + 1] && part == GMF_PART_TRAIN; j++)
      keeps[r] = keeps[r] || s->choice.part[j] == part;
  }
  drop_features(&features[GMF_USERS].rows, keeps);
  features[GMF_USERS].rows.begin = gmf_prefix_i64(s->grid, features[GMF_USERS].rows.n);
cleanup:
  gmf_free(keeps);
  return status;
}

/* Collective. */
static gmf_status write_part(split *s, gmf_part p, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_id_space users = {.n = 0};
  gmf_rating_rows rows = {.n_rows = 0};
  gmf_side_features features[GMF_N_SIDES] = {{.names = {.n = 0}}, {.names = {.n = 0}}};

  GMF_TRY(read_features(s, p, features, err));
  GMF_TRY(gmf_id_space_read(s->grid, s->dataset, GMF_USERS, &users, err));
  GMF_TRY(gmf_agree(s->grid, select_part(s, p, &rows, err), err));
  if (s->c->method == GMF_SPLIT_USERS) GMF_TRY(keep_population(s, p, &users, &rows, err));
  describe_part(s, p);
  gmf_dataset_part part = {.n = {users.n, s->items.n}, .ids = {users.ids, s->items.ids}, .rows = rows};
  for (int side = 0; side < GMF_N_SIDES; side++)
    if (s->dataset->has_features[side]) part.features[side] = &features[side];
  GMF_TRY(gmf_dataset_write(s->grid, s->writers[p], &part, err));
  GMF_TRY(gmf_writer_seal(s->writers[p], err));
  s->n_users[p] = users.n;
  s->n_ratings[p] = rows.indptr[rows.n_rows];
  gmf_sum_i64(s->grid, &s->n_ratings[p], 1);
cleanup:
  for (int side = 0; side < GMF_N_SIDES; side++) gmf_side_features_free(&features[side]);
  gmf_id_space_free(&users);
  gmf_rating_rows_free(&rows);
  return status;
}

/* ---- the verb ---------------------------------------------------------------------------------------------------- */

static void log_report(const split *s, const gmf_log *log)
{
  const gmf_choice *choice = &s->choice;
  if (choice->has_cut) gmf_log_line(log, "held out: ratings at time %" PRId64 " or later", choice->cut_time);
  if (s->c->method == GMF_SPLIT_TIME && !choice->has_cut)
    gmf_log_line(log, "held out: nothing, as more ratings share the latest time than --%s allows",
                 isnan(s->c->fraction) ? "count" : "fraction");
  if (s->c->method == GMF_SPLIT_USERS) {
    gmf_log_line(log, "held out: %s of %s users; %s of them with fewer than %d ratings, which are not tested",
                 gmf_thousands(choice->n_held_out_users), gmf_thousands(choice->n_users),
                 gmf_thousands(choice->n_untested_users), GMF_LEAST_TESTED_RATINGS);
    gmf_log_line(log, "left out: %s ratings by held-out users of items that no other user has rated",
                 gmf_thousands(choice->n_dropped));
  }
  for (int p = 0; p < s->n_parts; p++) {
    gmf_log_line(log, "wrote %s: %s users, %s items, %s ratings", s->paths[p], gmf_thousands(s->n_users[p]),
                 gmf_thousands(s->items.n), gmf_thousands(s->n_ratings[p]));
    gmf_log_event(
        log, "split",
        json_pack("{s:s, s:s, s:I, s:I, s:I}", "part", PART_NAME[p], "file", s->paths[p], "users",
                  (json_int_t)s->n_users[p], "items", (json_int_t)s->items.n, "ratings", (json_int_t)s->n_ratings[p]));
  }
}

gmf_status gmf_split(const gmf_grid *grid, const char *dataset, const gmf_config *c, const gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK;
  split s = {.grid = grid,
             .c = c,
             .n_parts = c->method == GMF_SPLIT_USERS ? GMF_N_PARTS : GMF_PART_FOLD_IN,
             .paths = {c->train, c->test, c->fold_in}};

  GMF_TRY(gmf_dataset_open(grid, dataset, &s.dataset, err));
  GMF_TRY(check_options(c, s.dataset, err));
  for (int p = 0; p < s.n_parts; p++) {
    GMF_TRY(gmf_writer_open(grid, s.paths[p], GMF_FORMAT_DATASET, &s.writers[p], err));
    gmf_log_lines(log, gmf_writer_notes(s.writers[p]));
  }
  gmf_trace_phase(grid->trace, GMF_PHASE_READ);
  GMF_TRY(gmf_agree(grid, gmf_dataset_read_rows(s.dataset, &s.rows, err), err));
  GMF_TRY(gmf_id_space_read(grid, s.dataset, GMF_ITEMS, &s.items, err));
  gmf_trace_phase(grid->trace, GMF_PHASE_SORT);
  GMF_TRY(gmf_split_choose(grid, c, dataset, &s.rows, &s.items, &s.choice, err));
  gmf_trace_phase(grid->trace, GMF_PHASE_WRITE);
  for (int p = 0; p < s.n_parts; p++) GMF_TRY(write_part(&s, (gmf_part)p, err));
  GMF_TRY(gmf_writer_commit_all(s.writers, s.n_parts, err));
  log_report(&s, log);

cleanup:
  free_split(&s);
  return status;
}
