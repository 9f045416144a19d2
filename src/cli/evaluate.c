#include "app/evaluate.h"

#include <math.h>

#include "cli/verbs.h"

/* The words of the formulas. */
static const char MEANINGS[] =
    "Candidates: the items that the model was trained on and the user did not have in training (or to fold in).\n"
    "L: the K candidates of the highest scores, ties to the lower row. T: the user's test items that the model was\n"
    "trained on. Means are over users with at least one item in T.\n";

static void print_json(const gmf_evaluation *e)
{
  json_t *object = json_object();
  for (int i = 0; i < e->metrics.n; i++) {
    double value = gmf_metrics_value(&e->metrics, i);
    json_object_set_new(object, e->metrics.list[i].name, isnan(value) ? json_null() : json_real(value));
  }
  json_object_set_new(object, "n_users", json_integer(e->metrics.n_users));
  json_object_set_new(object, "n_ratings", json_integer(e->metrics.n_ratings));
  json_object_set_new(object, "n_test", json_integer(e->counts.n_test));
  json_object_set_new(object, "n_cold_users", json_integer(e->counts.n_cold_users));
  json_object_set_new(object, "n_cold_ratings", json_integer(e->counts.n_cold_ratings));
  if (e->folds_in) {
    json_object_set_new(object, "n_folded_in", json_integer(e->counts.n_folded_in));
    json_object_set_new(object, "n_empty_fold_ins", json_integer(e->counts.n_empty_fold_ins));
  }
  json_dumpf(object, stdout, JSON_REAL_PRECISION(12));
  putchar('\n');
  json_decref(object);
}

static void print_table(const gmf_evaluation *e, bool explain)
{
  for (int i = 0; i < e->metrics.n; i++) {
    printf("%-14s %.6f\n", e->metrics.list[i].name, gmf_metrics_value(&e->metrics, i));
    if (explain) printf("    %s\n", gmf_metric_formula(e->metrics.list[i].kind));
  }
  if (e->metrics.longest > 0 || e->metrics.compares) printf("users ranked   %s\n", gmf_thousands(e->metrics.n_users));
  printf("ratings        %s of %s\n", gmf_thousands(e->metrics.n_ratings), gmf_thousands(e->counts.n_test));
  if (e->folds_in)
    printf("folded in      %s users; %s had nothing that the model knows\n", gmf_thousands(e->counts.n_folded_in),
           gmf_thousands(e->counts.n_empty_fold_ins));
  if (e->counts.n_cold_ratings > 0)
    printf("passed over    %s ratings of users or items without training ratings, %s users\n",
           gmf_thousands(e->counts.n_cold_ratings), gmf_thousands(e->counts.n_cold_users));
  if (explain) printf("%s", MEANINGS);
}

/* Without files: the formulas of the metrics that were asked for, or of all. */
static gmf_status print_formulas(const gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_metrics metrics = {0};
  bool all = run->config.metrics[0] == '\0';
  if (!all) GMF_TRY(gmf_metrics_parse(run->config.metrics, &metrics, err));
  for (int kind = 0; kind < GMF_N_METRIC_KINDS && run->grid->rank == 0; kind++) {
    bool asked = all;
    for (int m = 0; m < metrics.n; m++) asked = asked || (int)metrics.list[m].kind == kind;
    if (asked) printf("%s\n", gmf_metric_formula((gmf_metric_kind)kind));
  }
  if (run->grid->rank == 0) printf("%s", MEANINGS);
cleanup:
  return status;
}

gmf_status gmf_verb_evaluate(gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_evaluation evaluation;
  if (run->config.explain && run->arguments.n == 0) return print_formulas(run, err);
  GMF_TRY(gmf_need_arguments(run, 2, "a model and a test set", err));
  GMF_TRY(gmf_evaluate(run->grid, run->arguments.values[0], run->arguments.values[1], &run->config, &evaluation, err));
  if (!evaluation.has_seen && (evaluation.metrics.longest > 0 || evaluation.metrics.compares))
    gmf_log_line(&run->log,
                 "warning: the model was trained with --no-seen, so the lists hold items of the training too");
  if (run->grid->rank == 0 && run->config.json) print_json(&evaluation);
  if (run->grid->rank == 0 && !run->config.json) print_table(&evaluation, run->config.explain);
cleanup:
  return status;
}
