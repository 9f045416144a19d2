#include "io/model_rule.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/layout.h"

enum { PIECE = 4096 /* rows read at once */ };

static const char *path_of(const gmf_model_file *m) { return gmf_model_file_info(m)->path; }

/* A number from 0 to most. missing: what it is where the file does not tell; NaN: that is an error. */
static gmf_status read_number(const gmf_model_file *m, const char *name, double most, double missing, double *out,
                              gmf_error *err)
{
  *out = missing;
  if (!gmf_model_file_number(m, name, out) && isnan(missing))
    return gmf_fail(err, GMF_ERR_DATA, "%s: has no attribute @%s, without which no user can be folded in", path_of(m),
                    name);
  if (!(*out >= 0 && *out <= most))
    return gmf_fail(err, GMF_ERR_DATA, "%s: @%s is %g, not from 0 to %g: no user can be folded in", path_of(m), name,
                    *out, most);
  return GMF_OK;
}

/* The index of a text attribute among n words; *out stays where the file does not tell. */
static gmf_status read_word(const gmf_model_file *m, const char *name, const char *const *words, int n, int *out,
                            gmf_error *err)
{
  const char *text = gmf_model_file_attribute_text(m, name);
  if (text == NULL) return GMF_OK;
  for (int w = 0; w < n; w++)
    if (strcmp(words[w], text) == 0) {
      *out = w;
      return GMF_OK;
    }
  return gmf_fail(err, GMF_ERR_DATA, "%s: @%s is '%.60s', which this version does not know: no user can be folded in",
                  path_of(m), name, text);
}

static gmf_status read_loss(const gmf_model_file *m, gmf_loss *out, gmf_error *err)
{
  static const char *const LOSSES[] = {"hkv", "implicit", "ials"};
  gmf_status status = GMF_OK;
  double number = 0;
  int loss = 0;
  *out = (gmf_loss){.kind = GMF_LOSS_SQUARED};
  if (strcmp(gmf_model_file_info(m)->algorithm, "ials") != 0) return GMF_OK;
  GMF_TRY(read_word(m, "loss", LOSSES, 3, &loss, err));
  out->kind = (gmf_loss_kind)(GMF_LOSS_HKV + loss);
  GMF_TRY(read_number(m, out->kind == GMF_LOSS_IALS ? "alpha0" : "alpha", 1e30, NAN, &number, err));
  if (out->kind == GMF_LOSS_IALS)
    out->alpha0 = (float)number;
  else
    out->alpha = (float)number;
cleanup:
  return status;
}

static gmf_status read_row_rule(const gmf_model_file *m, gmf_fold_in_rule *out, gmf_error *err)
{
  static const char *const SCALES[] = {"none", "count", "ials"}, *const FLAGS[] = {"no", "yes"};
  gmf_status status = GMF_OK;
  const gmf_model_info *info = gmf_model_file_info(m);
  gmf_regularisation *reg = &out->regularisation;
  int nonnegative = 0, scale = strcmp(info->algorithm, "als") == 0 ? GMF_LAMBDA_COUNT : GMF_LAMBDA_NONE;

  if (info->n_factors > GMF_MAX_FACTORS)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: has %d factors; users can be folded in up to %d", info->path,
                     info->n_factors, GMF_MAX_FACTORS));
  GMF_TRY(read_loss(m, &out->row.loss, err));
  GMF_TRY(read_number(m, "lambda", 1e30, NAN, &reg->lambda, err));
  GMF_TRY(read_number(m, "lambda_bias", 1e30, reg->lambda, &reg->lambda_bias, err));
  GMF_TRY(read_number(m, "lambda_exponent", 4, 1, &reg->exponent, err));
  GMF_TRY(read_word(m, "lambda_scale", SCALES, 3, &scale, err));
  GMF_TRY(read_word(m, "nonnegative", FLAGS, 2, &nonnegative, err));
  reg->scale = (gmf_lambda_scale)scale;
  out->row.nonnegative = nonnegative == 1;
cleanup:
  return status;
}

static gmf_status read_projection_rule(const gmf_model_file *m, gmf_projection_rule *out, gmf_error *err)
{
  static const char *const CENTERS[] = {"none", "global", "item", "user", "both"}, *const SCALINGS[] = {"usv", "sqrt"};
  gmf_status status = GMF_OK;
  const gmf_model_info *info = gmf_model_file_info(m);
  int center = 0, scaling = 0;
  GMF_TRY(read_word(m, "center", CENTERS, 5, &center, err));
  GMF_TRY(read_word(m, "scaling", SCALINGS, 2, &scaling, err));
  *out = (gmf_projection_rule){.k = info->n_factors,
                               .n_items = info->n_items,
                               .mean = info->global_mean,
                               .centers_users = center >= 3,
                               .has_half_values = scaling == 1};
cleanup:
  return status;
}

gmf_status gmf_model_file_rule(const gmf_model_file *m, gmf_model_rule *out, gmf_error *err)
{
  const gmf_model_info *info = gmf_model_file_info(m);
  *out = (gmf_model_rule){.row = {.is_constant = strcmp(info->algorithm, "popularity") == 0,
                                  .row = {.k = info->n_factors, .bias = info->has_bias},
                                  .n_items = info->n_items},
                          .is_projection = strcmp(info->algorithm, "svd") == 0};
  if (out->row.is_constant) return GMF_OK;
  return out->is_projection ? read_projection_rule(m, &out->projection, err) : read_row_rule(m, &out->row, err);
}

gmf_status gmf_model_file_projection(gmf_model_file *m, const gmf_projection_rule *rule, int64_t begin, int64_t end,
                                     gmf_projection **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  double *values = NULL;
  float *factors = NULL, *bias = NULL;

  *out = NULL;
  GMF_TRY(GMF_NEW(values, rule->k, err));
  GMF_TRY(GMF_NEW(factors, (int64_t)PIECE * rule->k, err));
  GMF_TRY(GMF_NEW(bias, PIECE, err));
  GMF_TRY(gmf_model_file_singular_values(m, values, err));
  GMF_TRY(gmf_projection_create(rule, values, out, err));
  for (; begin < end; begin += PIECE) {
    int64_t n = gmf_min64(PIECE, end - begin);
    GMF_TRY(gmf_model_file_factors(m, GMF_ITEMS, begin, n, factors, err));
    GMF_TRY(gmf_model_file_bias(m, GMF_ITEMS, begin, n, bias, err));
    gmf_projection_add(*out, factors, rule->k, bias, 1, n);
  }
cleanup:
  if (status != GMF_OK) gmf_projection_destroy(out);
  gmf_free(values);
  gmf_free(factors);
  gmf_free(bias);
  return status;
}
