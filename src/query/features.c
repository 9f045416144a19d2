/*
 * What features say: factors of things that the model has no row of, and of rows without ratings (algo/features.c).
 */
#include "gridmf/features.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "kernel/topn.h"
#include "query/search.h"

static gmf_side side_of(gmf_feature_side side) { return side == GMF_FEATURES_OF_USERS ? GMF_USERS : GMF_ITEMS; }

/* Reads a side's features at the first call; they do not change afterwards. */
static gmf_status prepare(gmf_model *model, gmf_side side, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_file_lock();
  if (model->features[side].weights == NULL)
    status = gmf_model_file_features(model->file, side, &model->features[side], err);
  gmf_file_unlock();
  return status;
}

static bool has_features(gmf_model *model, gmf_side side)
{
  gmf_file_lock();
  bool has = gmf_model_file_has_features(model->file, side);
  gmf_file_unlock();
  return has;
}

gmf_status gmf_model_include_cold(gmf_model *model, bool include, gmf_error *err)
{
  gmf_status status = GMF_OK;
  bool any = false;
  for (int s = 0; s < GMF_N_SIDES && include; s++) {
    if (!has_features(model, (gmf_side)s)) continue;
    any = true;
    GMF_TRY(prepare(model, (gmf_side)s, err));
  }
  if (include && !any)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                     "%s: was trained without features, by which rows without ratings could be known; see gridmf train "
                     "--item-features",
                     model->info.path));
  model->include_cold = include;
cleanup:
  return status;
}

void gmf_warm_cold_rows(const gmf_model *model, gmf_side side, int64_t begin, int64_t n, float *offsets)
{
  const bool *has = model->features[side].has;
  double mean = side == GMF_USERS ? model->info.global_mean : 0;
  for (int64_t r = 0; r < n && has != NULL; r++)
    if (isnan(offsets[r]) && has[begin + r]) offsets[r] = (float)mean;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

gmf_status gmf_model_n_features(gmf_model *model, gmf_feature_side side, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *n = 0;
  if (!has_features(model, side_of(side))) return GMF_OK;
  GMF_TRY(prepare(model, side_of(side), err));
  *n = model->features[side_of(side)].names.n;
cleanup:
  return status;
}

/* "year:1995": the column "year" and its number. */
static bool find_number(const gmf_feature_names *names, const char *name, gmf_feature *out)
{
  const char *colon = strrchr(name, ':');
  char *end = NULL;
  if (colon == NULL || colon[1] == '\0') return false;
  double value = strtod(colon + 1, &end);
  int64_t column = gmf_feature_find(names, name, colon - name);
  if (*end != '\0' || !isfinite(value) || column < 0) return false;
  *out = (gmf_feature){column, (float)((value - names->mean[column]) / names->scale[column])};
  return true;
}

gmf_status gmf_model_find_feature(gmf_model *model, gmf_feature_side side, const char *name, gmf_feature *out,
                                  gmf_error *err)
{
  gmf_status status = GMF_OK;
  *out = (gmf_feature){-1, 0};
  GMF_TRY(prepare(model, side_of(side), err));
  const gmf_feature_names *names = &model->features[side_of(side)].names;
  int64_t column = gmf_feature_find(names, name, (int64_t)strlen(name));
  if (column >= 0)
    *out = (gmf_feature){column, 1};
  else
    find_number(names, name, out);
cleanup:
  return status;
}

gmf_status gmf_model_feature_name(gmf_model *model, gmf_feature_side side, int64_t column, char *out, size_t size,
                                  gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(prepare(model, side_of(side), err));
  const gmf_feature_names *names = &model->features[side_of(side)].names;
  if (column < 0 || column >= names->n)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: there is no feature %" PRId64, model->info.path, column));
  snprintf(out, size, "%.*s", (int)names->size, names->text + column * names->size);
cleanup:
  return status;
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

gmf_status gmf_features_vector(gmf_model *model, gmf_feature_side side, int64_t n, const gmf_feature *features,
                               float *factors, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int k = model->info.n_factors;
  double *sum = NULL;
  const char *nonnegative = gmf_model_file_attribute_text(model->file, "nonnegative");
  bool bounded = nonnegative != NULL && strcmp(nonnegative, "yes") == 0;

  GMF_TRY(prepare(model, side_of(side), err));
  const gmf_model_features *f = &model->features[side_of(side)];
  GMF_TRY(GMF_NEW_ZERO(sum, k, err));
  for (int64_t j = 0; j < n; j++) {
    if (features[j].column >= f->names.n || !isfinite(features[j].value))
      GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: there is no feature %" PRId64 ", or its value is not finite",
                       model->info.path, features[j].column));
    for (int c = 0; c < k && features[j].column >= 0; c++)
      sum[c] += (double)features[j].value * f->weights[features[j].column * k + c];
  }
  for (int c = 0; c < k; c++) factors[c] = (float)(bounded && sum[c] < 0 ? 0 : sum[c]);
cleanup:
  gmf_free(sum);
  return status;
}

/* Makes n vectors the queries of a search, which leave nothing out. */
static gmf_status add_vectors(gmf_search *s, int64_t n, const float *vectors, double offset,
                              const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t q = 0; q < n; q++) {
    out->counts[q] = 0;
    out->states[q] = GMF_ROW_KNOWN;
    memcpy(s->x + q * s->k, vectors + q * s->k, (size_t)s->k * sizeof *s->x);
    if (s->options.kind == GMF_SEARCH_COSINES) gmf_normalise(s->x + q * s->k, s->k);
    s->offset[q] = (float)offset;
    s->index[q] = q;
    GMF_TRY(gmf_search_exclude(s, q, NULL, 0, err));
    s->n++;
  }
cleanup:
  return status;
}

static gmf_status search(gmf_model *model, const gmf_search_options *what, int64_t n, const float *vectors,
                         double offset, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_search s = {0};
  if (model->info.n_factors == 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: an item-based model has no factors", model->info.path));
  GMF_TRY(gmf_search_open(&s, model, what, n, err));
  GMF_TRY(add_vectors(&s, n, vectors, offset, out, err));
  GMF_TRY(gmf_search_run(&s, out, err));
cleanup:
  gmf_search_close(&s);
  return status;
}

gmf_status gmf_similar_to(gmf_model *model, gmf_feature_side side, const gmf_similar_options *options, int64_t n,
                          const float *vectors, const gmf_recommendations *out, gmf_error *err)
{
  gmf_search_options what = gmf_search_for_similar(side_of(side), options);
  return search(model, &what, n, vectors, 0, out, err);
}

gmf_status gmf_recommend_to(gmf_model *model, const gmf_recommend_options *options, int64_t n, const float *vectors,
                            const gmf_recommendations *out, gmf_error *err)
{
  gmf_search_options what = gmf_search_of(options);
  return search(model, &what, n, vectors, model->info.global_mean, out, err);
}

static bool is_denied(const gmf_similar_options *options, int64_t column)
{
  for (int64_t j = 0; j < options->n_deny && options->deny != NULL; j++)
    if (options->deny[j] == column) return true;
  return false;
}

gmf_status gmf_similar_features(gmf_model *model, gmf_feature_side side, const gmf_similar_options *options, int64_t n,
                                const float *vectors, const gmf_recommendations *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t k = model->info.n_factors;
  gmf_topn best = {0};
  float *feature = NULL, *vector = NULL;

  GMF_TRY(prepare(model, side_of(side), err));
  const gmf_model_features *f = &model->features[side_of(side)];
  GMF_TRY(gmf_topn_create(&best, options->top_n, err));
  GMF_TRY(GMF_NEW(feature, k, err));
  GMF_TRY(GMF_NEW(vector, k, err));
  for (int64_t q = 0; q < n; q++) {
    memcpy(vector, vectors + q * k, (size_t)k * sizeof *vector);
    gmf_normalise(vector, k);
    gmf_topn_reset(&best);
    for (int64_t j = 0; j < f->names.n; j++) {
      double product = 0;
      for (int64_t c = 0; c < k; c++) feature[c] = (float)f->weights[j * k + c];
      if (is_denied(options, j) || !gmf_normalise(feature, k)) continue;
      for (int64_t c = 0; c < k; c++) product += (double)feature[c] * (double)vector[c];
      gmf_topn_push(&best, (float)product, j);
    }
    gmf_topn_sort(&best);
    out->states[q] = GMF_ROW_KNOWN;
    out->counts[q] = best.n;
    memcpy(out->items + q * options->top_n, best.row, sizeof *out->items * (size_t)best.n);
    memcpy(out->scores + q * options->top_n, best.score, sizeof *out->scores * (size_t)best.n);
  }
cleanup:
  gmf_topn_destroy(&best);
  gmf_free(feature);
  gmf_free(vector);
  return status;
}

gmf_status gmf_score_vector(gmf_model *model, int64_t n, const int64_t *users, const float *vector, float *scores,
                            gmf_row_state *states, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int k = model->info.n_factors;
  float *x = NULL;
  GMF_TRY(GMF_NEW(x, k, err));
  for (int64_t p = 0; p < n; p++) {
    float offset = NAN, dot = 0;
    int64_t count = 0;
    if (users[p] < -1 || users[p] >= model->info.n_users)
      GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s: there is no user row %" PRId64, model->info.path, users[p]));
    if (users[p] >= 0) {
      GMF_TRY(gmf_side_rows(model, GMF_USERS, users[p], 1, x, &offset, &count, err));
      gmf_scores(x, 1, k, vector, 1, k, k, &dot, 1);
    }
    scores[p] = gmf_score_of(dot, offset, 0);
    states[p] = users[p] < 0 ? GMF_ROW_UNKNOWN : isnan(offset) ? GMF_ROW_COLD : GMF_ROW_KNOWN;
  }
cleanup:
  gmf_free(x);
  return status;
}
