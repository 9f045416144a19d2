/* Metrics of one list worked out by hand, and their names. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "algo/metrics.h"

/* Held out: 3 items, of which two stand at ranks 2 and 4 of a list of 5. */
static void test_one_user(void **state)
{
  (void)state;
  const bool is_hit[] = {false, true, false, true, false};
  const struct {
    const char *name;
    double value;
  } wanted[] = {
      {"recall@4", 2.0 / 3},
      {"recall@1", 0},
      {"recall-min@2", 1.0 / 2},
      {"recall-min@5", 2.0 / 3},
      {"precision@4", 2.0 / 4},
      {"precision@10", 2.0 / 10},
      {"hit@1", 0},
      {"hit@2", 1},
      {"mrr@1", 0},
      {"mrr@5", 1.0 / 2},
      {"map@2", 0.5 / 2},
      {"map@5", (1.0 / 2 + 2.0 / 4) / 3},
      {"ndcg@2", (1 / log2(3)) / (1 + 1 / log2(3))},
      {"ndcg@9", (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / log2(4))},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    gmf_metrics m;
    assert_int_equal(gmf_metrics_parse(wanted[i].name, &m, NULL), GMF_OK);
    gmf_metrics_add_user(&m, is_hit, 5, 3);
    assert_true(fabs(gmf_metrics_value(&m, 0) - wanted[i].value) < 1e-15);
    gmf_metrics_add_user(&m, is_hit, 0, 1); /* a user without candidates counts, with nothing */
    assert_true(fabs(gmf_metrics_value(&m, 0) - wanted[i].value / 2) < 1e-15);
  }
}

static void test_ratings_and_pairs(void **state)
{
  (void)state;
  gmf_metrics m;
  assert_int_equal(gmf_metrics_parse("rmse,mae,auc,coverage@3", &m, NULL), GMF_OK);
  assert_true(m.predicts && m.compares && m.longest == 3);
  for (int i = 0; i < 4; i++) assert_true(isnan(gmf_metrics_value(&m, i)));
  gmf_metrics_add_user(&m, NULL, 0, 2);
  gmf_metrics_add_rating(&m, 3, 4);
  gmf_metrics_add_rating(&m, 5, 2);
  gmf_metrics_add_pairs(&m, 3, 4); /* one right, one tie, of four */
  gmf_metrics_add_pairs(&m, 0, 0); /* no pair: passed over */
  m.n_items = 8;
  gmf_metrics_add_covered(&m, 3, 2);
  assert_true(fabs(gmf_metrics_value(&m, 0) - sqrt(5)) < 1e-15);
  assert_true(fabs(gmf_metrics_value(&m, 1) - 2) < 1e-15);
  assert_true(gmf_metrics_value(&m, 2) == 3.0 / 8);
  assert_true(gmf_metrics_value(&m, 3) == 2.0 / 8);
}

static void test_names(void **state)
{
  (void)state;
  static const char *const BAD[] = {"",         "rsme",        "recall",    "rmse@3",    "auc@5",
                                    "recall@0", "recall@x",    "recall@",   "recall@ 3", "recall@03",
                                    "hit@-1",   "map@1000001", "rmse,,mae", "rmse,rmse", "hit@5,hit@5"};
  gmf_metrics m;
  for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
    gmf_error err = {0};
    assert_int_equal(gmf_metrics_parse(BAD[i], &m, &err), GMF_ERR_USAGE);
    assert_non_null(strstr(err.text, "--metrics"));
  }
  gmf_error err = {0};
  gmf_metrics_parse("ncdg@10", &m, &err);
  assert_non_null(strstr(err.text, "did you mean ndcg?"));
  assert_non_null(strstr(err.text, "recall-min@K"));
  assert_true(gmf_metric_is_error(GMF_METRIC_RMSE) && !gmf_metric_is_error(GMF_METRIC_AUC));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_user),
      cmocka_unit_test(test_ratings_and_pairs),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
