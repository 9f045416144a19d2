#include "app/evaluate.h"

#include <string.h>

#include "app/memory_check.h"
#include "app/model_subject.h"

/* ials and popularity predict no ratings, so that rmse would mean nothing. */
#define RANKING_METRICS "recall@20,ndcg@10,precision@10,hit@10"

gmf_status gmf_parse_metrics(const char *asked, gmf_algorithm algorithm, gmf_metrics *metrics, gmf_error *err)
{
  const char *usual = algorithm == GMF_ALGORITHM_ALS ? "rmse,mae," RANKING_METRICS : RANKING_METRICS;
  return gmf_metrics_parse(asked[0] != '\0' ? asked : usual, metrics, err);
}

gmf_status gmf_evaluate(const gmf_grid *grid, const char *model, const char *test, const gmf_config *config,
                        gmf_evaluation *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_model_subject *subject = NULL;
  gmf_held_out *held_out = NULL;

  memset(out, 0, sizeof *out);
  GMF_TRY(gmf_model_subject_open(grid, model, &subject, err));
  gmf_algorithm algorithm = (gmf_algorithm)gmf_model_subject_training(subject)->algorithm;
  GMF_TRY(gmf_parse_metrics(config->metrics, algorithm, &out->metrics, err));
  if (config->fold_in[0] != '\0') GMF_TRY(gmf_model_subject_can_fold_in(subject, err));
  GMF_TRY(gmf_held_out_open(grid, gmf_model_subject_view(subject), test, config->fold_in, &held_out, err));
  const gmf_model_info *info = gmf_model_subject_info(subject);
  GMF_TRY(gmf_evaluate_memory(grid, config, (const int64_t[]){info->n_users, info->n_items}, info->n_factors,
                              held_out->test, err));
  GMF_TRY(gmf_held_out_score(held_out, &out->metrics, err));
  out->has_seen = info->has_seen;
  out->folds_in = config->fold_in[0] != '\0';
  out->counts = held_out->counts;
cleanup:
  gmf_held_out_close(&held_out);
  gmf_model_subject_close(&subject);
  return status;
}
