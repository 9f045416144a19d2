/*
 * Binary relevance.  With rank r = 1 ... K in the list, hit_r = 1 where the item is in T, hits_r = hit_1 + ... + hit_r:
 *
 *   recall@K = hits_K / |T|     recall-min@K = hits_K / min(K, |T|)     precision@K = hits_K / K
 *   hit@K = 1 if hits_K > 0, else 0     mrr@K = 1 / the lowest r with hit_r = 1, 0 where there is none
 *   ndcg@K = sum hit_r / log2(r + 1)  /  sum_{r <= min(K, |T|)} 1 / log2(r + 1)
 *   map@K = sum hit_r hits_r / r  /  min(K, |T|)
 *   auc = (pairs (t in T, c not in T) of candidates with score t > score c  +  ties / 2)  /  pairs
 *
 * Jarvelin, Kekalainen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002, for ndcg; Liang,
 * Krishnan, Hoffman, Jebara, "Variational autoencoders for collaborative filtering", WWW 2018, for recall-min, which
 * they call recall; Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR: Bayesian personalized ranking from implicit
 * feedback", UAI 2009, for auc.
 */
#include "algo/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/narrow.h"
#include "base/options.h"

/* What a metric is made of. */
typedef enum metric_base { OF_RATINGS, OF_LISTS, OF_PAIRS } metric_base;

typedef struct kind_entry {
  const char *name;
  metric_base base;
  const char *formula;
} kind_entry;

static const kind_entry KINDS[GMF_N_METRIC_KINDS] = {
    [GMF_METRIC_RMSE] = {"rmse", OF_RATINGS, "rmse: sqrt(sum (predicted - actual)^2 / number of ratings)"},
    [GMF_METRIC_MAE] = {"mae", OF_RATINGS, "mae: sum |predicted - actual| / number of ratings"},
    [GMF_METRIC_RECALL] = {"recall", OF_LISTS, "recall@K: mean over users of |L and T| / |T|"},
    [GMF_METRIC_RECALL_MIN] = {"recall-min", OF_LISTS, "recall-min@K: mean over users of |L and T| / min(K,|T|)"},
    [GMF_METRIC_NDCG] = {"ndcg", OF_LISTS,
                         "ndcg@K: mean over users of (sum over hits at rank r of 1/log2(r+1)) / (sum for r = 1 ... "
                         "min(K,|T|) of 1/log2(r+1))"},
    [GMF_METRIC_PRECISION] = {"precision", OF_LISTS, "precision@K: mean over users of |L and T| / K"},
    [GMF_METRIC_MAP] = {"map", OF_LISTS,
                        "map@K: mean over users of (sum over hits at rank r of (hits up to r)/r) / min(K,|T|)"},
    [GMF_METRIC_MRR] = {"mrr", OF_LISTS, "mrr@K: mean over users of 1 / rank of the first hit, 0 without a hit in L"},
    [GMF_METRIC_HIT] = {"hit", OF_LISTS, "hit@K: share of users with at least one item of T in L"},
    [GMF_METRIC_COVERAGE] = {"coverage", OF_LISTS,
                             "coverage@K: share of the trained items that stand in the L of at least one user"},
    [GMF_METRIC_AUC] = {"auc", OF_PAIRS,
                        "auc: mean over users of the share of pairs, of a candidate in T and one that is not, in which "
                        "that in T has the higher score; ties count 1/2; users without a pair are left out"},
};

const char *gmf_metric_formula(gmf_metric_kind kind) { return KINDS[kind].formula; }

bool gmf_metric_is_error(gmf_metric_kind kind) { return kind == GMF_METRIC_RMSE || kind == GMF_METRIC_MAE; }

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* All kinds in one line: "rmse|mae|recall", or with separator ", " and suffix "@K" behind those with lists. */
static void list_kinds(const char *separator, const char *suffix, char *out, size_t size)
{
  size_t used = 0;
  for (int i = 0; i < GMF_N_METRIC_KINDS && used < size; i++)
    used += (size_t)snprintf(out + used, size - used, "%s%s%s", i > 0 ? separator : "", KINDS[i].name,
                             KINDS[i].base == OF_LISTS ? suffix : "");
}

static gmf_status unknown_kind(const char *word, const char *kind, gmf_error *err)
{
  char near[32] = "", words[256], all[256];
  list_kinds("|", "", words, sizeof words);
  list_kinds(", ", "@K", all, sizeof all);
  bool found = gmf_nearest_word(words, kind, near, sizeof near);
  return gmf_fail(err, GMF_ERR_USAGE, "--metrics %s: unknown%s%s%s; there are %s", word, found ? "; did you mean " : "",
                  near, found ? "?" : "", all);
}

static gmf_status parse_one(const char *word, gmf_metric *m, gmf_error *err)
{
  char kind[32], canonical[64];
  int i = 0;
  const char *at = strchr(word, '@');
  snprintf(m->name, sizeof m->name, "%s", word);
  snprintf(kind, sizeof kind, "%.*s", (int)strcspn(word, "@"), word);
  while (i < GMF_N_METRIC_KINDS && strcmp(kind, KINDS[i].name) != 0) i++;
  if (i == GMF_N_METRIC_KINDS) return unknown_kind(word, kind, err);
  m->kind = (gmf_metric_kind)i;
  m->k = at != NULL ? strtoll(at + 1, NULL, 10) : 0;
  if (KINDS[i].base != OF_LISTS)
    return at == NULL ? GMF_OK : gmf_fail(err, GMF_ERR_USAGE, "--metrics %s: takes no @K", word);
  snprintf(canonical, sizeof canonical, "%s@%lld", kind, (long long)m->k);
  if (m->k < 1 || m->k > 1000000 || strcmp(word, canonical) != 0)
    return gmf_fail(err, GMF_ERR_USAGE, "--metrics %s: needs a list length from 1 to 1000000, as in %s@20", word, kind);
  return GMF_OK;
}

gmf_status gmf_metrics_parse(const char *text, gmf_metrics *metrics, gmf_error *err)
{
  memset(metrics, 0, sizeof *metrics);
  while (*text != '\0') {
    char word[32];
    size_t length = strcspn(text, ",");
    if (length == 0 || length >= sizeof word)
      return gmf_fail(err, GMF_ERR_USAGE, "--metrics: a name is needed at '%.40s'", text);
    if (metrics->n == GMF_METRICS_MAX)
      return gmf_fail(err, GMF_ERR_USAGE, "--metrics: more than %d are named; ask for the rest in another run",
                      GMF_METRICS_MAX);
    snprintf(word, sizeof word, "%.*s", (int)length, text);
    gmf_metric *m = &metrics->list[metrics->n];
    if (parse_one(word, m, err) != GMF_OK) return GMF_ERR_USAGE;
    for (int i = 0; i < metrics->n; i++)
      if (strcmp(metrics->list[i].name, word) == 0)
        return gmf_fail(err, GMF_ERR_USAGE, "--metrics: %s is named twice", word);
    metrics->longest = gmf_max64(metrics->longest, m->k);
    metrics->predicts = metrics->predicts || KINDS[m->kind].base == OF_RATINGS;
    metrics->compares = metrics->compares || KINDS[m->kind].base == OF_PAIRS;
    metrics->n++;
    text += length + (text[length] == ',');
  }
  return metrics->n > 0 ? GMF_OK : gmf_fail(err, GMF_ERR_USAGE, "--metrics: at least one is needed");
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* What the first k entries of a list come to. */
typedef struct list_sums {
  int64_t hits, first; /* rank of the first hit, 0: none */
  double gain;         /* sum of 1 / log2(r + 1) over hits */
  double precision;    /* sum of (hits up to r) / r over hits */
} list_sums;

static list_sums sum_list(const bool *is_hit, int64_t n)
{
  list_sums s = {0};
  for (int64_t r = 1; r <= n; r++) {
    if (!is_hit[r - 1]) continue;
    s.hits++;
    if (s.first == 0) s.first = r;
    s.gain += 1 / log2((double)(r + 1));
    s.precision += (double)s.hits / (double)r;
  }
  return s;
}

static double list_metric(const gmf_metric *m, const list_sums *s, int64_t n_relevant)
{
  int64_t most = gmf_min64(m->k, n_relevant);
  double ideal = 0;
  switch (m->kind) {
    case GMF_METRIC_RECALL: return (double)s->hits / (double)n_relevant;
    case GMF_METRIC_RECALL_MIN: return (double)s->hits / (double)most;
    case GMF_METRIC_PRECISION: return (double)s->hits / (double)m->k;
    case GMF_METRIC_HIT: return s->hits > 0;
    case GMF_METRIC_MRR: return s->first > 0 ? 1 / (double)s->first : 0;
    case GMF_METRIC_MAP: return s->precision / (double)most;
    case GMF_METRIC_NDCG:
      for (int64_t r = 1; r <= most; r++) ideal += 1 / log2((double)(r + 1));
      return s->gain / ideal;
    default: return 0; /* coverage has no value for one user */
  }
}

void gmf_metrics_add_user(gmf_metrics *metrics, const bool *is_hit, int64_t n_listed, int64_t n_relevant)
{
  metrics->n_users++;
  metrics->n_ratings += n_relevant;
  for (int i = 0; i < metrics->n; i++) {
    const gmf_metric *m = &metrics->list[i];
    if (KINDS[m->kind].base != OF_LISTS) continue;
    list_sums s = sum_list(is_hit, gmf_min64(m->k, n_listed));
    gmf_accumulator_add(&metrics->sum[i], list_metric(m, &s, n_relevant));
  }
}

void gmf_metrics_add_rating(gmf_metrics *metrics, double predicted, double actual)
{
  double difference = predicted - actual;
  for (int i = 0; i < metrics->n; i++) {
    if (metrics->list[i].kind == GMF_METRIC_RMSE) gmf_accumulator_add(&metrics->sum[i], difference * difference);
    if (metrics->list[i].kind == GMF_METRIC_MAE) gmf_accumulator_add(&metrics->sum[i], fabs(difference));
  }
}

void gmf_metrics_add_pairs(gmf_metrics *metrics, int64_t right, int64_t n_pairs)
{
  if (n_pairs == 0) return;
  metrics->n_compared++;
  for (int i = 0; i < metrics->n; i++)
    if (metrics->list[i].kind == GMF_METRIC_AUC)
      gmf_accumulator_add(&metrics->sum[i], (double)right / 2 / (double)n_pairs);
}

void gmf_metrics_add_covered(gmf_metrics *metrics, int i, int64_t n_covered)
{
  gmf_accumulator_add(&metrics->sum[i], (double)n_covered);
}

void gmf_metrics_reduce(const gmf_grid *grid, gmf_metrics *metrics)
{
  int64_t counts[3] = {metrics->n_users, metrics->n_ratings, metrics->n_compared};
  gmf_sum_i64(grid, counts, 3);
  for (int i = 0; i < metrics->n; i++) {
    gmf_accumulator_carry(&metrics->sum[i]);
    gmf_sum_i64(grid, metrics->sum[i].words, GMF_ACCUMULATOR_WORDS);
  }
  metrics->n_users = counts[0];
  metrics->n_ratings = counts[1];
  metrics->n_compared = counts[2];
}

double gmf_metrics_value(const gmf_metrics *metrics, int i)
{
  gmf_metric_kind kind = metrics->list[i].kind;
  int64_t n = kind == GMF_METRIC_COVERAGE      ? metrics->n_items
              : KINDS[kind].base == OF_RATINGS ? metrics->n_ratings
              : KINDS[kind].base == OF_PAIRS   ? metrics->n_compared
                                               : metrics->n_users;
  if (n == 0) return NAN;
  double mean = gmf_accumulator_value(&metrics->sum[i]) / (double)n;
  return kind == GMF_METRIC_RMSE ? sqrt(mean) : mean;
}
