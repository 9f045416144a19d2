#include "app/model_subject.h"

#include <math.h>
#include <string.h>

#include "app/provenance.h"
#include "base/bits.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/model_rule.h"

enum {
  STRETCH = 4096, /* rows that are read at once, at most */
  GAP = 16,       /* unwanted rows that are read to save a call */
  PIECE = 1 << 16
};

struct gmf_model_subject {
  gmf_subject view;
  const gmf_grid *grid; /* borrowed */
  gmf_model_file *file; /* owned, like the rest */
  const gmf_model_info *info;
  uint64_t *trained;
  float *factors; /* [STRETCH][k] */
  float *bias;    /* [STRETCH] */
  gmf_seen seen;
  gmf_user_ratings rated; /* item-based: of the users that are scored */
  gmf_config training;
  bool has_lambda; /* the file tells it */
};

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* One row of row_source.h from its parts. */
static void make_row(const gmf_model_subject *m, gmf_side side, const float *factors, float bias, float *out)
{
  int k = m->info->n_factors, ld = m->view.rows.ld;
  memset(out, 0, (size_t)ld * sizeof *out);
  memcpy(out, factors, (size_t)k * sizeof *out);
  if (!m->info->has_bias) return;
  out[gmf_bias_column(k, side)] = bias;
  out[gmf_bias_column(k, gmf_other_side(side))] = 1;
}

static gmf_status fetch_local(gmf_model_subject *m, gmf_side side, const int64_t *rows, int64_t n, float *out,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t j = 0; j < n;) {
    int64_t length = 1, first = rows[j];
    while (j + length < n && rows[j + length] - rows[j + length - 1] <= GAP && rows[j + length] - first < STRETCH)
      length++;
    int64_t n_rows = rows[j + length - 1] - first + 1;
    GMF_TRY(gmf_model_file_factors(m->file, side, first, n_rows, m->factors, err));
    GMF_TRY(gmf_model_file_bias(m->file, side, first, n_rows, m->bias, err));
    for (int64_t end = j + length; j < end; j++)
      make_row(m, side, m->factors + (rows[j] - first) * m->info->n_factors, m->bias[rows[j] - first],
               out + j * m->view.rows.ld);
  }
cleanup:
  return status;
}

/* ---- item-based models: scores in the place of rows ---------------------------------------------------------------
 */

static gmf_status read_weights(void *context, int64_t begin, int64_t n, gmf_weight_rows *out, gmf_error *err)
{
  return gmf_model_file_weights(((gmf_model_subject *)context)->file, begin, n, out, err);
}

/* What n users, by rows of the model, rated in training. */
static gmf_status read_rated(gmf_model_subject *m, const int64_t *rows, int64_t n, gmf_user_ratings *out,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_user_ratings_reserve(out, n, 0, err));
  out->begin[0] = 0;
  for (int64_t j = 0; j < n;) {
    int64_t length = gmf_run_length(rows + j, n - j), at = out->begin[j];
    GMF_TRY(gmf_model_file_ratings(m->file, rows[j], length, &m->seen, err));
    size_t n_rated = (size_t)m->seen.indptr[length];
    GMF_TRY(gmf_user_ratings_reserve(out, n, at + m->seen.indptr[length], err));
    if (n_rated > 0) memcpy(out->items + at, m->seen.items, n_rated * sizeof *out->items);
    if (n_rated > 0) memcpy(out->values + at, m->seen.values, n_rated * sizeof *out->values);
    for (int64_t r = 1; r <= length; r++) out->begin[j + r] = at + m->seen.indptr[r];
    j += length;
  }
cleanup:
  return status;
}

static gmf_status score_rows(gmf_model_subject *m, const int64_t *rows, int64_t n, float *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(read_rated(m, rows, n, &m->rated, err));
  gmf_item_users users = {n, m->rated.begin, m->rated.items, m->rated.values};
  GMF_TRY(gmf_item_scores(&users, m->info->n_items, read_weights, m, 0, out, err));
cleanup:
  return status;
}

static gmf_status score_ratings(void *context, const gmf_user_ratings *ratings, int64_t first, int64_t n, float *out,
                                gmf_error *err)
{
  gmf_model_subject *m = context;
  if (n == 0) return GMF_OK;
  gmf_item_users users = {n, ratings->begin + first, ratings->items, ratings->values};
  for (int64_t j = users.begin[0]; m->training.values == GMF_VALUES_BINARY && j < users.begin[n]; j++)
    ratings->values[j] = 1;
  return gmf_item_scores(&users, m->info->n_items, read_weights, m, 0, out, err);
}

/* ---- any model ----------------------------------------------------------------------------------------------------
 */

/* Collective. */
static gmf_status fetch(void *context, gmf_side side, const int64_t *rows, int64_t n, float *out, gmf_error *err)
{
  gmf_model_subject *m = context;
  gmf_status local =
      m->view.rows.is_scores ? score_rows(m, rows, n, out, err) : fetch_local(m, side, rows, n, out, err);
  return gmf_agree(m->grid, local, err);
}

/* ---- ids and training ratings ------------------------------------------------------------------------------------ */

static gmf_status read_ids(void *context, gmf_side side, int64_t begin, int64_t n, void *out, gmf_error *err)
{
  return gmf_model_file_ids(((gmf_model_subject *)context)->file, side, begin, n, out, err);
}

static gmf_status read_counts(void *context, gmf_side side, int64_t begin, int64_t n, int64_t *out, gmf_error *err)
{
  return gmf_model_file_counts(((gmf_model_subject *)context)->file, side, begin, n, out, err);
}

static gmf_status read_seen(void *context, const int64_t *rows, int64_t n, gmf_user_ratings *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_model_subject *m = context;
  GMF_TRY(gmf_user_ratings_reserve(out, n, 0, err));
  out->begin[0] = 0;
  for (int64_t j = 0; j < n;) {
    int64_t length = gmf_run_length(rows + j, n - j), at = out->begin[j];
    GMF_TRY(gmf_model_file_seen(m->file, rows[j], length, &m->seen, err));
    int64_t n_seen = m->seen.indptr[length];
    GMF_TRY(gmf_user_ratings_reserve(out, n, at + n_seen, err));
    if (n_seen > 0) memcpy(out->items + at, m->seen.items, (size_t)n_seen * sizeof *out->items);
    for (int64_t r = 1; r <= length; r++) out->begin[j + r] = at + m->seen.indptr[r];
    j += length;
  }
cleanup:
  return status;
}

/* Collective. */
static gmf_status read_gram(void *context, double *out, gmf_error *err)
{
  gmf_model_subject *m = context;
  return gmf_agree(m->grid, gmf_model_file_gram(m->file, out, err), err);
}

/* Collective. */
static gmf_status make_projection(void *context, gmf_projection **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_model_subject *m = context;
  gmf_projection *p = NULL;
  *out = NULL;
  gmf_model_rule rule;
  int64_t n = m->info->n_items;
  status = gmf_model_file_rule(m->file, &rule, err);
  if (status == GMF_OK)
    status = gmf_model_file_projection(m->file, &rule.projection, gmf_slice_begin(n, m->grid->size, m->grid->rank),
                                       gmf_slice_begin(n, m->grid->size, m->grid->rank + 1), &p, err);
  GMF_TRY(gmf_agree(m->grid, status, err));
  gmf_sum_f64(m->grid, p->sums, 2 * (int64_t)p->rule.k);
  *out = p;
  p = NULL;
cleanup:
  gmf_projection_destroy(&p);
  return status;
}

/* ---- how it was trained ------------------------------------------------------------------------------------------ */

static bool is_of_training(const gmf_option *option)
{
  static const char *const NAMES[] = {"algorithm",       "loss", "alpha",       "alpha0",      "lambda", "lambda-scale",
                                      "lambda-exponent", "bias", "lambda-bias", "nonnegative", "values", "center",
                                      "scaling"};
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
    if (strcmp(option->name, NAMES[i]) == 0) return true;
  return false;
}

static gmf_status read_training(gmf_model_subject *m, gmf_error *err)
{
  gmf_error why = {0};
  gmf_options_defaults(&GMF_OPTIONS, &m->training);
  for (int i = 0; i < GMF_OPTIONS.n; i++) {
    const gmf_option *o = &GMF_OPTIONS.options[i];
    char name[64];
    gmf_attribute_name(o, name, sizeof name);
    const char *text = is_of_training(o) ? gmf_model_file_attribute_text(m->file, name) : NULL;
    if (text == NULL) continue;
    if (gmf_options_set(&GMF_OPTIONS, GMF_VERB_TRAIN, &m->training, o->name, text, GMF_ERR_DATA, &why) != GMF_OK)
      return gmf_fail(err, GMF_ERR_DATA, "%s: this version cannot evaluate the model: its attribute for %.600s",
                      m->info->path, why.text);
  }
  m->has_lambda = !isnan(m->training.lambda) || m->training.algorithm == GMF_ALGORITHM_POPULARITY;
  if (gmf_config_resolve_train(&m->training, &why) != GMF_OK)
    return gmf_fail(err, GMF_ERR_DATA,
                    "%s: its attributes do not fit together: as options they would be answered with: %.600s",
                    m->info->path, why.text);
  return GMF_OK;
}

const gmf_config *gmf_model_subject_training(const gmf_model_subject *m) { return &m->training; }

gmf_status gmf_model_subject_can_fold_in(const gmf_model_subject *m, gmf_error *err)
{
  if (m->training.algorithm == GMF_ALGORITHM_SVD) return GMF_OK; /* its projection says what is missing */
  if (m->view.score != NULL) return GMF_OK;
  if (!m->has_lambda)
    return gmf_fail(err, GMF_ERR_DATA, "%s: has no attribute @lambda, without which no user can be folded in",
                    m->info->path);
  if (m->info->n_factors > GMF_MAX_FACTORS)
    return gmf_fail(err, GMF_ERR_DATA, "%s: has %d factors; users can be folded in up to %d", m->info->path,
                    m->info->n_factors, GMF_MAX_FACTORS);
  return GMF_OK;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* The trained items of my share of the rows. */
static gmf_status find_trained(gmf_model_subject *m, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = m->info->n_items, *counts = NULL;
  int64_t end = gmf_slice_begin(n, m->grid->size, m->grid->rank + 1);
  GMF_TRY(GMF_NEW(counts, PIECE, err));
  for (int64_t begin = gmf_slice_begin(n, m->grid->size, m->grid->rank); begin < end; begin += PIECE) {
    int64_t n_rows = gmf_min64(PIECE, end - begin);
    GMF_TRY(gmf_model_file_counts(m->file, GMF_ITEMS, begin, n_rows, counts, err));
    for (int64_t i = 0; i < n_rows; i++)
      if (counts[i] > 0) gmf_bits_add(m->trained, begin + i);
  }
cleanup:
  gmf_free(counts);
  return status;
}

static gmf_status open_local(gmf_model_subject *m, const char *path, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_model_file_open(path, &m->file, err));
  m->info = gmf_model_file_info(m->file);
  if (m->info->n_factors == 0 && m->info->n_items > INT_MAX)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: an item-based model has up to %d items", path, INT_MAX));
  GMF_TRY(GMF_NEW(m->factors, (int64_t)STRETCH * m->info->n_factors, err));
  GMF_TRY(GMF_NEW(m->bias, STRETCH, err));
  GMF_TRY(GMF_NEW_ZERO(m->trained, gmf_bits_words(m->info->n_items), err));
  GMF_TRY(find_trained(m, err));
  GMF_TRY(read_training(m, err));
cleanup:
  return status;
}

gmf_status gmf_check_same_model(const gmf_grid *grid, const gmf_model_file *file, int64_t fingerprint[GMF_FINGERPRINT],
                                gmf_error *err)
{
  int64_t root[GMF_FINGERPRINT];
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_agree(grid, gmf_model_file_fingerprint(file, fingerprint, err), err));
  memcpy(root, fingerprint, sizeof root);
  gmf_broadcast(grid, root, sizeof root);
  if (memcmp(root, fingerprint, sizeof root) != 0)
    status = gmf_fail(err, GMF_ERR_DATA,
                      "%s: is another file for this rank than for rank 0; put it on a file system that all nodes share",
                      gmf_model_file_info(file)->path);
  GMF_TRY(gmf_agree(grid, status, err));
cleanup:
  return status;
}

static void make_view(gmf_model_subject *m)
{
  const gmf_model_info *info = m->info;
  m->view = (gmf_subject){.name = info->path,
                          .rows = {.n = {info->n_users, info->n_items},
                                   .ld = gmf_pad(gmf_row_order(info->n_factors, info->has_bias)),
                                   .fetch = fetch,
                                   .context = m},
                          .mean = info->global_mean,
                          .trained = m->trained,
                          .seen = read_seen,
                          .fold_in = gmf_subject_rule(&m->training, info->n_items),
                          .gram = read_gram,
                          .project = m->training.algorithm == GMF_ALGORITHM_SVD ? make_projection : NULL,
                          .context = m};
  if (info->n_factors == 0) {
    m->view.rows.is_scores = true;
    m->view.rows.ld = gmf_int(info->n_items);
    m->view.score = score_ratings;
  }
  m->view.fold_in.row.k = info->n_factors;
  m->view.fold_in.row.bias = info->has_bias;
  for (int s = 0; s < GMF_N_SIDES; s++)
    m->view.ids[s] = (gmf_id_source){.side = (gmf_side)s,
                                     .type = gmf_model_file_id_type(m->file, (gmf_side)s),
                                     .n = m->view.rows.n[s],
                                     .ids = read_ids,
                                     .counts = read_counts,
                                     .context = m};
}

gmf_status gmf_model_subject_open(const gmf_grid *grid, const char *path, gmf_model_subject **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_model_subject *m = NULL;
  int64_t fingerprint[GMF_FINGERPRINT];

  *out = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(m, 1, err), err));
  m->grid = grid;
  GMF_TRY(gmf_agree(grid, open_local(m, path, err), err));
  GMF_TRY(gmf_check_same_model(grid, m->file, fingerprint, err));
  gmf_unite_bits(grid, m->trained, gmf_bits_words(m->info->n_items));
  make_view(m);
  *out = m;
  m = NULL;
cleanup:
  gmf_model_subject_close(&m);
  return status;
}

void gmf_model_subject_close(gmf_model_subject **subject)
{
  gmf_model_subject *m = *subject;
  if (m == NULL) return;
  gmf_model_file_close(&m->file);
  gmf_seen_free(&m->seen);
  gmf_user_ratings_free(&m->rated);
  gmf_free(m->trained);
  gmf_free(m->factors);
  gmf_free(m->bias);
  gmf_free(m);
  *subject = NULL;
}

const gmf_subject *gmf_model_subject_view(const gmf_model_subject *m) { return &m->view; }
const gmf_model_info *gmf_model_subject_info(const gmf_model_subject *m) { return m->info; }
