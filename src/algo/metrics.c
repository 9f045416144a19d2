/*
 * Binary relevance.  With rank r = 1 ... K in the list and hit_r = 1 where the item is in T:
 *
 *   recall@K = sum hit_r / |T|        precision@K = sum hit_r / K        hit@K = 1 if any hit_r, else 0
 *   ndcg@K   = sum hit_r / log2(r + 1)  /  sum_{r <= min(K, |T|)} 1 / log2(r + 1)
 *
 * Jarvelin, Kekalainen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002, for ndcg.
 */
#include "algo/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/narrow.h"
#include "base/options.h"

typedef struct kind_entry {
  const char *name;
  bool ranks;
  const char *formula;
} kind_entry;

static const kind_entry KINDS[GMF_N_METRIC_KINDS] = {
    [GMF_METRIC_RMSE] = {"rmse", false, "rmse: sqrt(sum (predicted - actual)^2 / number of ratings)"},
    [GMF_METRIC_MAE] = {"mae", false, "mae: sum |predicted - actual| / number of ratings"},
    [GMF_METRIC_RECALL] = {"recall", true, "recall@K: mean over users of |L and T| / |T|"},
    [GMF_METRIC_NDCG] = {"ndcg", true,
                         "ndcg@K: mean over users of (sum over hits at rank r of 1/log2(r+1)) / (sum for r = 1 ... "
                         "min(K,|T|) of 1/log2(r+1))"},
    [GMF_METRIC_PRECISION] = {"precision", true, "precision@K: mean over users of |L and T| / K"},
    [GMF_METRIC_HIT] = {"hit", true, "hit@K: share of users with at least one item of T in L"},
};
static const char KIND_WORDS[] = "rmse|mae|recall|ndcg|precision|hit";

const char *gmf_metric_formula(gmf_metric_kind kind) { return KINDS[kind].formula; }

static gmf_status parse_one(const char *word, gmf_metric *m, gmf_error *err)
{
  char near[32] = "", kind[32];
  snprintf(m->name, sizeof m->name, "%s", word);
  snprintf(kind, sizeof kind, "%.*s", (int)strcspn(word, "@"), word);
  for (int i = 0; i < GMF_N_METRIC_KINDS; i++) {
    if (strcmp(kind, KINDS[i].name) != 0) continue;
    const char *at = strchr(word, '@');
    char *end = NULL;
    long long k = at != NULL ? strtoll(at + 1, &end, 10) : 0;
    bool good = KINDS[i].ranks ? at != NULL && *end == '\0' && k >= 1 && k <= 1000000 : at == NULL;
    if (!good)
      return gmf_fail(err, GMF_ERR_USAGE, "--metrics %s: %s", word,
                      KINDS[i].ranks ? "needs a list length from 1 to 1000000, as in recall@20" : "takes no @K");
    m->kind = (gmf_metric_kind)i;
    m->k = k;
    return GMF_OK;
  }
  bool found = gmf_nearest_word(KIND_WORDS, kind, near, sizeof near);
  return gmf_fail(err, GMF_ERR_USAGE,
                  "--metrics %s: unknown%s%s%s; there are rmse, mae, recall@K, ndcg@K, precision@K "
                  "and hit@K",
                  word, found ? "; did you mean " : "", near, found ? "?" : "");
}

gmf_status gmf_metrics_parse(const char *text, gmf_metrics *metrics, gmf_error *err)
{
  memset(metrics, 0, sizeof *metrics);
  while (*text != '\0') {
    char word[32];
    size_t length = strcspn(text, ",");
    if (length == 0 || length >= sizeof word)
      return gmf_fail(err, GMF_ERR_USAGE, "--metrics: a name is needed at '%.40s'", text);
    if (metrics->n == GMF_METRICS_MAX) return gmf_fail(err, GMF_ERR_USAGE, "--metrics: more than %d", GMF_METRICS_MAX);
    snprintf(word, sizeof word, "%.*s", (int)length, text);
    gmf_metric *m = &metrics->list[metrics->n];
    if (parse_one(word, m, err) != GMF_OK) return GMF_ERR_USAGE;
    metrics->longest = gmf_max64(metrics->longest, m->k);
    metrics->n++;
    text += length + (text[length] == ',');
  }
  return metrics->n > 0 ? GMF_OK : gmf_fail(err, GMF_ERR_USAGE, "--metrics: at least one is needed");
}

void gmf_metrics_add_list(gmf_metrics *metrics, const bool *is_hit, int64_t n_listed, int64_t n_relevant)
{
  metrics->n_users++;
  for (int i = 0; i < metrics->n; i++) {
    const gmf_metric *m = &metrics->list[i];
    int64_t hits = 0;
    double gain = 0, ideal = 0;
    if (!KINDS[m->kind].ranks) continue;
    for (int64_t r = 0; r < m->k && r < n_listed; r++) {
      hits += is_hit[r];
      if (is_hit[r]) gain += 1 / log2((double)(r + 2));
    }
    for (int64_t r = 0; m->kind == GMF_METRIC_NDCG && r < m->k && r < n_relevant; r++)
      ideal += 1 / log2((double)(r + 2));
    switch (m->kind) {
      case GMF_METRIC_RECALL: metrics->sum[i] += (double)hits / (double)n_relevant; break;
      case GMF_METRIC_PRECISION: metrics->sum[i] += (double)hits / (double)m->k; break;
      case GMF_METRIC_HIT: metrics->sum[i] += hits > 0; break;
      case GMF_METRIC_NDCG: metrics->sum[i] += gain / ideal; break;
      default: break;
    }
  }
}

void gmf_metrics_add_rating(gmf_metrics *metrics, double predicted, double actual)
{
  double difference = predicted - actual;
  metrics->n_ratings++;
  for (int i = 0; i < metrics->n; i++) {
    if (metrics->list[i].kind == GMF_METRIC_RMSE) metrics->sum[i] += difference * difference;
    if (metrics->list[i].kind == GMF_METRIC_MAE) metrics->sum[i] += fabs(difference);
  }
}

void gmf_metrics_reduce(const gmf_grid *grid, gmf_metrics *metrics)
{
  int64_t counts[2] = {metrics->n_users, metrics->n_ratings};
  gmf_sum_i64(grid, counts, 2);
  gmf_sum_f64(grid, metrics->sum, metrics->n);
  metrics->n_users = counts[0];
  metrics->n_ratings = counts[1];
}

double gmf_metrics_value(const gmf_metrics *metrics, int i)
{
  const gmf_metric *m = &metrics->list[i];
  int64_t n = KINDS[m->kind].ranks ? metrics->n_users : metrics->n_ratings;
  if (n == 0) return NAN;
  double mean = metrics->sum[i] / (double)n;
  return m->kind == GMF_METRIC_RMSE ? sqrt(mean) : mean;
}
