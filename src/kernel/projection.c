#include "kernel/projection.h"

#include <string.h>

#include "base/memory.h"

enum { CHUNK = 64 /* columns whose sums are held at a time */ };

/* Of the largest singular value: what lies below it is rounding. */
static const double NOTHING = 0x1p-50;

gmf_status gmf_projection_create(const gmf_projection_rule *rule, const double *values, gmf_projection **out,
                                 gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_projection *p = NULL;
  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(p, 1, err));
  p->rule = *rule;
  GMF_TRY(GMF_NEW_ZERO(p->sums, 2 * (int64_t)rule->k, err));
  GMF_TRY(GMF_NEW(p->scale, rule->k, err));
  for (int c = 0; c < rule->k; c++) {
    p->scale[c] = 1;
    if (rule->has_half_values) p->scale[c] = values[c] > NOTHING * values[0] ? 1 / values[c] : 0;
  }
  *out = p;
  p = NULL;
cleanup:
  gmf_projection_destroy(&p);
  return status;
}

void gmf_projection_destroy(gmf_projection **projection)
{
  gmf_projection *p = *projection;
  if (p == NULL) return;
  gmf_free(p->sums);
  gmf_free(p->scale);
  gmf_free(p);
  *projection = NULL;
}

void gmf_projection_add(gmf_projection *p, const float *y, int64_t stride, const float *bias, int64_t bias_stride,
                        int64_t n)
{
  double *sums = p->sums, *weighted = p->sums + p->rule.k;
  for (int64_t i = 0; i < n; i++) {
    const float *row = y + i * stride;
    double b = bias != NULL ? (double)bias[i * bias_stride] : 0;
    for (int c = 0; c < p->rule.k; c++) {
      sums[c] += (double)row[c];
      weighted[c] += b * (double)row[c];
    }
  }
}

double gmf_project(const gmf_projection *p, const float *y, int64_t stride, const int32_t *items, const float *values,
                   int64_t n, float *x)
{
  const gmf_projection_rule *rule = &p->rule;
  double bias = 0;
  for (int64_t j = 0; rule->centers_users && j < n; j++) bias += (double)values[j];
  if (rule->centers_users) bias = bias / (double)rule->n_items - rule->mean;
  for (int begin = 0; begin < rule->k; begin += CHUNK) {
    int n_here = rule->k - begin < CHUNK ? rule->k - begin : CHUNK;
    double sums[CHUNK] = {0};
    for (int64_t j = 0; j < n; j++) {
      const float *row = y + items[j] * stride + begin;
      double value = (double)values[j];
      for (int c = 0; c < n_here; c++) sums[c] += value * (double)row[c];
    }
    for (int c = 0; c < n_here; c++) {
      double centers = (rule->mean + bias) * p->sums[begin + c] + p->sums[rule->k + begin + c];
      x[begin + c] = (float)((sums[c] - centers) * p->scale[begin + c]);
    }
  }
  return bias;
}

double gmf_projection_explain(const gmf_projection *p, const float *y, int64_t stride, const int32_t *items,
                              const float *values, int64_t n, const float *item, double *contributions)
{
  const gmf_projection_rule *rule = &p->rule;
  double base = rule->centers_users ? -rule->mean : 0, per_bias = rule->centers_users ? 1 : 0;
  for (int c = 0; c < rule->k; c++) {
    double z = (double)item[c] * p->scale[c];
    base -= z * p->sums[rule->k + c] + (rule->centers_users ? 0 : rule->mean * z * p->sums[c]);
    if (rule->centers_users) per_bias -= z * p->sums[c];
  }
  for (int64_t j = 0; j < n; j++) {
    const float *row = y + items[j] * stride;
    double dot = 0;
    for (int c = 0; c < rule->k; c++) dot += (double)row[c] * p->scale[c] * (double)item[c];
    contributions[j] = (double)values[j] * (dot + per_bias / (double)rule->n_items);
  }
  return base;
}
