/*
 * Users by their ratings instead of by a row: folded in (kernel/user_solver.h), then like any other; and what each
 * rating does for a score (Hu, Koren, Volinsky, ICDM 2008, section 5).
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "query/item_model.h"
#include "query/search.h"

enum {
  MAX_GAP = 16, /* rows this near are read together with the rows between them */
  MAX_SPAN = 1024
};

/* ---- what holds for all users ------------------------------------------------------------------------------------ */

static gmf_status read_fold_in(gmf_model *model, gmf_fold_in_parts *f, gmf_error *err)
{
  gmf_status status = GMF_OK;
  double *gram = NULL;
  int64_t k = model->info.n_factors;

  GMF_TRY(gmf_model_file_rule(model->file, &f->rule, err));
  if (f->rule.is_projection)
    GMF_TRY(gmf_model_file_projection(model->file, &f->rule.projection, 0, model->info.n_items, &f->projection, err));
  if (!f->rule.is_projection && !f->rule.row.is_constant && gmf_loss_shared(f->rule.row.row.loss) > 0) {
    GMF_TRY(GMF_NEW(gram, k * k, err));
    GMF_TRY(gmf_model_file_gram(model->file, gram, err));
    GMF_TRY(gmf_user_solver_share(&f->rule.row, gram, &f->shared, err));
  }
cleanup:
  gmf_free(gram);
  return status;
}

void gmf_fold_in_parts_free(gmf_fold_in_parts *f)
{
  GMF_FREE(f->shared);
  gmf_projection_destroy(&f->projection);
}

/* Reads what folding in needs at the first call; it does not change afterwards. */
static gmf_status prepare(gmf_model *model, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_file_lock();
  if (!model->fold_in.is_ready) {
    gmf_fold_in_parts_free(&model->fold_in);
    status = read_fold_in(model, &model->fold_in, err);
    model->fold_in.is_ready = status == GMF_OK;
  }
  gmf_file_unlock();
  return status;
}

/* ---- one user ---------------------------------------------------------------------------------------------------- */

/* A rating on its way into the order of the items' rows. */
typedef struct entry {
  int64_t item, place;
  float value, weight;
} entry;

/* A user who is folded in. */
typedef struct folded {
  int64_t n;      /* ratings of items that the model knows and that are not cold */
  int64_t *items; /* [n] owned, ascending; so are the others */
  float *values;  /* [n] as they were given */
  float *centred; /* [n] as they are solved for */
  float *weights;
  int32_t *cols; /* [n]: 0, 1, ... */
  float *y;      /* [n][ld] the items' rows */
  float *x;      /* [ld] the user's row */
  gmf_user_solver solver;
} folded;

static void folded_free(folded *f)
{
  void *const arrays[] = {f->items, f->values, f->centred, f->weights, f->cols, f->y, f->x};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
  gmf_user_solver_destroy(&f->solver);
  *f = (folded){0};
}

static int compare_entries(const void *a, const void *b)
{
  const entry *x = a, *y = b;
  if (x->item != y->item) return x->item < y->item ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

/* The known ratings in the order of the items; of an item given twice the last counts. */
static gmf_status order_ratings(const gmf_model *model, const gmf_new_user *user, folded *f, gmf_error *err)
{
  gmf_status status = GMF_OK;
  entry *entries = NULL;
  int64_t n = 0;

  GMF_TRY(GMF_NEW(entries, user->n, err));
  for (int64_t j = 0; j < user->n; j++) {
    entry e = {user->items[j], j, user->values != NULL ? user->values[j] : 1,
               user->weights != NULL ? user->weights[j] : 1};
    if (e.item < -1 || e.item >= model->info.n_items)
      GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: there is no item row %" PRId64, model->info.path, e.item));
    if (!(fabsf(e.value) < GMF_VALUE_LIMIT) || !(e.weight >= 0 && e.weight < GMF_VALUE_LIMIT))
      GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "rating %" PRId64 " is %g with weight %g: not finite numbers, or below 0",
                       j + 1, (double)e.value, (double)e.weight));
    if (e.item >= 0) entries[n++] = e;
  }
  qsort(entries, (size_t)n, sizeof *entries, compare_entries);
  GMF_TRY(GMF_NEW(f->items, n, err));
  GMF_TRY(GMF_NEW(f->values, n, err));
  GMF_TRY(GMF_NEW(f->weights, n, err));
  for (int64_t j = 0; j < n; j++) {
    if (j + 1 < n && entries[j + 1].item == entries[j].item) continue;
    f->items[f->n] = entries[j].item;
    f->values[f->n] = entries[j].value;
    f->weights[f->n++] = entries[j].weight;
  }
cleanup:
  gmf_free(entries);
  return status;
}

/* out [ld]: an item's row as systems have it. */
static void make_row(const folded *f, int k, const float *factors, float bias, float *out)
{
  memset(out, 0, (size_t)f->solver.ld * sizeof *out);
  memcpy(out, factors, (size_t)k * sizeof *out);
  if (!f->solver.rule.row.bias) return;
  out[gmf_bias_column(k, GMF_ITEMS)] = bias;
  out[gmf_bias_column(k, GMF_USERS)] = 1;
}

/* The rows of the rated items; cold items leave. */
static gmf_status read_items(gmf_model *model, folded *f, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int k = model->info.n_factors;
  float *factors = NULL, *offsets = NULL;
  int64_t *counts = NULL, n_warm = 0;

  GMF_TRY(GMF_NEW(factors, (int64_t)MAX_SPAN * k, err));
  GMF_TRY(GMF_NEW(offsets, MAX_SPAN, err));
  GMF_TRY(GMF_NEW(counts, MAX_SPAN, err));
  GMF_TRY(GMF_NEW(f->y, f->n * f->solver.ld, err));
  for (int64_t j = 0, end = 0; j < f->n; j = end) {
    int64_t first = f->items[j];
    for (end = j + 1; end < f->n && f->items[end] - f->items[end - 1] <= MAX_GAP && f->items[end] - first < MAX_SPAN;)
      end++;
    GMF_TRY(gmf_side_rows(model, GMF_ITEMS, first, f->items[end - 1] - first + 1, factors, offsets, counts, err));
    for (int64_t r = j; r < end; r++) {
      int64_t at = f->items[r] - first;
      if (isnan(offsets[at])) continue;
      make_row(f, k, factors + at * k, offsets[at], f->y + n_warm * f->solver.ld);
      f->items[n_warm] = f->items[r];
      f->values[n_warm] = f->values[r];
      f->weights[n_warm++] = f->weights[r];
    }
  }
  f->n = n_warm;
cleanup:
  gmf_free(factors);
  gmf_free(offsets);
  gmf_free(counts);
  return status;
}

static gmf_ratings ratings_of(const folded *f)
{
  return (gmf_ratings){.cols = f->cols, .values = f->centred, .weights = f->weights, .n = f->n};
}

/* What an item-based model makes of a user: the known ratings, and no row. */
static gmf_status take_ratings(gmf_model *model, const gmf_new_user *user, folded *f, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(order_ratings(model, user, f, err));
  GMF_TRY(read_items(model, f, err));
  for (int64_t j = 0; j < f->n && gmf_model_file_is_binary(model->file); j++) f->values[j] = 1;
cleanup:
  return status;
}

/* Folds a user in. Without a known rating f->n is 0, and there is no row. */
static gmf_status fold(gmf_model *model, const gmf_new_user *user, folded *f, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_fold_in_parts *parts = &model->fold_in;

  if (gmf_is_item_based(model)) return take_ratings(model, user, f, err);
  GMF_TRY(prepare(model, err));
  double mean = parts->rule.is_projection ? 0 : model->info.global_mean;
  GMF_TRY(gmf_user_solver_create(&f->solver, &parts->rule.row, parts->shared, parts->projection, err));
  GMF_TRY(order_ratings(model, user, f, err));
  GMF_TRY(read_items(model, f, err));
  GMF_TRY(GMF_NEW(f->cols, f->n, err));
  GMF_TRY(GMF_NEW(f->centred, f->n, err));
  GMF_TRY(GMF_NEW_ZERO(f->x, f->solver.ld, err));
  for (int64_t j = 0; j < f->n; j++) {
    f->cols[j] = gmf_i32(j);
    f->centred[j] = (float)((double)f->values[j] - mean);
  }
  gmf_ratings ratings = ratings_of(f);
  if (f->n > 0 && !gmf_user_solver_run(&f->solver, f->y, &ratings, f->x))
    GMF_TRY(gmf_fail(err, GMF_ERR_NUMERIC,
                     "the user cannot be folded in: the normal equations of %" PRId64
                     " ratings are singular at lambda %g; train with a larger --lambda",
                     f->n, parts->rule.row.regularisation.lambda));
cleanup:
  return status;
}

static float bias_of(const folded *f)
{
  return f->solver.rule.row.bias ? f->x[gmf_bias_column(f->solver.rule.row.k, GMF_USERS)] : 0;
}

gmf_status gmf_fold_in_user(gmf_model *model, const gmf_new_user *user, float *factors, float *bias,
                            gmf_row_state *state, gmf_error *err)
{
  gmf_status status = GMF_OK;
  folded f = {0};
  if (gmf_is_item_based(model))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE,
                     "%s: an item-based model has no rows of users; gmf_recommend_new serves new users",
                     model->info.path));
  GMF_TRY(fold(model, user, &f, err));
  memcpy(factors, f.x, (size_t)model->info.n_factors * sizeof *factors);
  *bias = bias_of(&f);
  *state = f.n > 0 ? GMF_ROW_KNOWN : GMF_ROW_COLD;
cleanup:
  folded_free(&f);
  return status;
}

/* ---- lists for new users ----------------------------------------------------------------------------------------- */

/* The next query of a search: one user, without the items rated, unless they are to be included. rated: gets the
 * ratings where the model is item-based. */
static gmf_status add_query(gmf_search *s, const gmf_new_user *user, int64_t place, bool include_seen, gmf_rated *rated,
                            gmf_row_state *state, gmf_error *err)
{
  gmf_status status = GMF_OK;
  folded f = {0};
  GMF_TRY(fold(s->model, user, &f, err));
  *state = f.n > 0 ? GMF_ROW_KNOWN : GMF_ROW_COLD;
  if (f.n == 0) goto cleanup;
  if (gmf_is_item_based(s->model))
    GMF_TRY(gmf_rated_add(rated, f.items, f.values, f.n, err));
  else
    memcpy(s->x + s->n * s->k, f.x, (size_t)s->k * sizeof *s->x);
  s->offset[s->n] = (float)(s->model->info.global_mean + (double)bias_of(&f));
  s->index[s->n] = place;
  GMF_TRY(gmf_search_exclude(s, s->n, f.items, include_seen ? 0 : f.n, err));
  s->n++;
cleanup:
  folded_free(&f);
  return status;
}

gmf_status gmf_recommend_new(gmf_model *model, const gmf_recommend_options *options, int64_t n_users,
                             const gmf_new_user *users, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_search_options what = gmf_search_of(options);
  gmf_search s = {0};
  gmf_rated rated = {0};

  GMF_TRY(gmf_search_open(&s, model, &what, n_users, err));
  for (int64_t u = 0; u < n_users; u++) {
    out->counts[u] = 0;
    GMF_TRY(add_query(&s, &users[u], u, options->include_seen, &rated, &out->states[u], err));
  }
  GMF_TRY(gmf_is_item_based(model) ? gmf_item_search_users(&s, &rated, out, err) : gmf_search_run(&s, out, err));
  if (options->fallback == GMF_FALLBACK_POPULAR) GMF_TRY(gmf_search_fall_back(&s, n_users, out, err));
cleanup:
  gmf_rated_free(&rated);
  gmf_search_close(&s);
  return status;
}

/* ---- explanations ------------------------------------------------------------------------------------------------ */

void gmf_explanation_free(gmf_explanation *e)
{
  gmf_free(e->items);
  gmf_free(e->ratings);
  gmf_free(e->contributions);
  *e = (gmf_explanation){0};
}

/* The explanation of a score by the user folded in from the training ratings; `rest` is what is left of the score. */
static gmf_status explain_folded(gmf_model *model, folded *f, int64_t item, gmf_explanation *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int k = model->info.n_factors;
  float *factors = NULL, *row = NULL, offset = 0;
  int64_t count = 0;
  gmf_ratings ratings = ratings_of(f);

  GMF_TRY(GMF_NEW(factors, k, err));
  GMF_TRY(GMF_NEW(row, f->solver.ld, err));
  GMF_TRY(gmf_side_rows(model, GMF_ITEMS, item, 1, factors, &offset, &count, err));
  make_row(f, k, factors, offset, row);
  GMF_TRY(GMF_NEW(out->contributions, f->n, err));
  if (!gmf_user_solver_explain(&f->solver, f->y, &ratings, f->x, row, out->contributions, &out->centring))
    GMF_TRY(gmf_fail(err, GMF_ERR_NUMERIC, "the score cannot be explained: the user's normal equations are singular"));
  out->item_bias = (double)offset;
  out->global_mean = model->info.global_mean;
  double sum = out->global_mean + out->item_bias + out->centring;
  for (int64_t j = 0; j < f->n; j++) sum += out->contributions[j];
  out->rest = (double)out->score - sum;
  out->n = f->n;
  out->items = f->items;
  out->ratings = f->values;
  f->items = NULL;
  f->values = NULL;
cleanup:
  gmf_free(factors);
  gmf_free(row);
  return status;
}

gmf_status gmf_explain(gmf_model *model, int64_t user, int64_t item, gmf_explanation *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_seen seen = {0};
  folded f = {0};

  *out = (gmf_explanation){0};
  if (gmf_is_popularity(model))
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE,
                     "%s: a popularity model scores an item by its number of ratings, whatever the user rated",
                     model->info.path));
  GMF_TRY(gmf_score_pairs(model, 1, &user, &item, &out->score, &out->state, err));
  if (out->state != GMF_ROW_KNOWN) goto cleanup;
  if (gmf_is_item_based(model)) {
    GMF_TRY(gmf_item_explain(model, user, item, out, err));
    goto cleanup;
  }
  gmf_file_lock();
  status = gmf_model_file_ratings(model->file, user, 1, &seen, err);
  gmf_file_unlock();
  GMF_TRY(status);
  gmf_new_user ratings = {seen.indptr[1], seen.items, seen.values, seen.weights};
  GMF_TRY(fold(model, &ratings, &f, err));
  GMF_TRY(explain_folded(model, &f, item, out, err));
cleanup:
  if (status != GMF_OK) gmf_explanation_free(out);
  gmf_seen_free(&seen);
  folded_free(&f);
  return status;
}
