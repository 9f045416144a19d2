/* The model reader and everything that libgridmf does with what it read, on hostile models (hostile.h). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "gridmf/query.h"
#include "hostile.h"
#include "promise.h"

enum { M = 5, N = 6, K = 3, TOP = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const hostile_array ARRAYS[] = {{"users/factors", HOSTILE_F4, 2, {M, K}, {0.5, -1, 0.25, 1, 2, -0.5, 0.125}, 0},
                                       {"items/factors", HOSTILE_F4, 2, {N, K}, {1, 0.5, -0.25, -1, 0.75}, 0},
                                       {"users/id", HOSTILE_I8, 1, {M, 1}, {0, 1, 2, 3, 5}, 0},
                                       {"items/id", HOSTILE_I8, 1, {N, 1}, {0, 1, 2, 3, 5, 7}, 0},
                                       {"users/count", HOSTILE_I8, 1, {M, 1}, {2, 1, 2, 1, 1}, 0},
                                       {"items/count", HOSTILE_I8, 1, {N, 1}, {2, 1, 1, 1, 1, 1}, 0},
                                       {"users/bias", HOSTILE_F4, 1, {M, 1}, {0.5, -0.5}, 0},
                                       {"items/bias", HOSTILE_F4, 1, {N, 1}, {0.25, 1}, 0},
                                       {"seen/indptr", HOSTILE_I8, 1, {M + 1, 1}, {0, 2, 3, 5, 6, 7}, 0},
                                       {"seen/indices", HOSTILE_I4, 1, {7, 1}, {0, 1, 2, 3, 4, 5, 0}, 0},
                                       {"seen/data", HOSTILE_F4, 1, {7, 1}, {5, 3, 1, 4, 2}, 0},
                                       {"seen/weight", HOSTILE_F4, 1, {7, 1}, {1, 2, 1, 3, 1, 1, 2}, 0},
                                       {"items/gram", HOSTILE_F8, 2, {K, K}, {4, 0, 0, 0, 4, 0, 0, 0, 4}, 0},
                                       {"singular_values", HOSTILE_F8, 1, {K, 1}, {3, 2, 1}, 0},
                                       {"items/weights", HOSTILE_F4, 2, {N, N}, {0, 0.5, 0.25, 1, -1, 0, 2}, 0},
                                       {"items/similarity/indptr", HOSTILE_I8, 1, {N + 1, 1}, {0, 1, 2, 3, 4, 5, 6}, 0},
                                       {"items/similarity/indices", HOSTILE_I4, 1, {N, 1}, {1, 2, 3, 4, 5, 0}, 0},
                                       {"items/similarity/data", HOSTILE_F4, 1, {N, 1}, {1, 0.5, 0.25, 2, 1, 1}, 0},
                                       {"history/objective", HOSTILE_F8, 1, {3, 1}, {9, 4, 2}, 0}};

static const hostile_attribute ATTRIBUTES[] = {{"/", "format", "gridmf-model", 0, 0},
                                               {"/", "format_version", "1.0", 0, 0},
                                               {"/", "complete", NULL, 1, 1},
                                               {"/", "algorithm", "als", 0, 0},
                                               {"/", "factors", NULL, K, 1},
                                               {"/", "global_mean", NULL, 0.5, 0},
                                               {"/", "lambda", NULL, 0.1, 0},
                                               {"/", "lambda_bias", NULL, 0.1, 0},
                                               {"/", "lambda_scale", "count", 0, 0},
                                               {"/", "lambda_exponent", NULL, 1, 0},
                                               {"/", "nonnegative", "no", 0, 0},
                                               {"/", "loss", "hkv", 0, 0},
                                               {"/", "alpha", NULL, 4, 0},
                                               {"/", "alpha0", NULL, 0.1, 0},
                                               {"/", "center", "none", 0, 0},
                                               {"/", "scaling", "usv", 0, 0},
                                               {"users/id", "sorted", NULL, 1, 1},
                                               {"items/id", "sorted", NULL, 1, 1}};

/* A clear end: success, or a documented status with a text. Never a bug of ours. */
static void check(gmf_status status, gmf_error *err)
{
  PROMISE(status == GMF_OK || (status == err->status && err->text[0] != '\0'));
  PROMISE(status == GMF_OK || status == GMF_ERR_DATA || status == GMF_ERR_NUMERIC || status == GMF_ERR_USAGE ||
          status == GMF_ERR_IO || status == GMF_ERR_MEMORY);
  *err = (gmf_error){0};
}

static void ask_lists(gmf_model *model, int64_t user, int64_t item)
{
  gmf_error err = {0};
  int64_t items[TOP], count = 0;
  float scores[TOP];
  gmf_row_state state;
  gmf_recommendations out = {items, scores, &count, &state};
  gmf_recommend_options recommend = {.top_n = TOP, .n_threads = 1, .fallback = GMF_FALLBACK_POPULAR};
  gmf_similar_options similar = {.top_n = TOP, .n_threads = 1};
  gmf_new_user somebody = {1, &item, NULL, NULL};
  check(gmf_recommend(model, &recommend, 1, &user, &out, &err), &err);
  check(gmf_similar_items(model, &similar, 1, &item, &out, &err), &err);
  check(gmf_similar_users(model, &similar, 1, &user, &out, &err), &err);
  check(gmf_recommend_new(model, &recommend, 1, &somebody, &out, &err), &err);
}

static void ask(gmf_model *model, int64_t user, int64_t item)
{
  gmf_error err = {0};
  char id[GMF_ID_SIZE] = "";
  int64_t row = 0;
  float score = 0;
  gmf_explanation why = {0};
  check(gmf_model_user_id(model, user, id, sizeof id, &err), &err);
  check(gmf_model_find_user(model, id, &row, &err), &err);
  check(gmf_model_item_id(model, item, id, sizeof id, &err), &err);
  check(gmf_model_find_item(model, id, &row, &err), &err);
  check(gmf_score_pairs(model, 1, &user, &item, &score, NULL, &err), &err);
  ask_lists(model, user, item);
  check(gmf_explain(model, user, item, &why, &err), &err);
  gmf_explanation_free(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  gmf_model *model = NULL;
  gmf_model_info info;
  gmf_error err = {0};
  hostile_write(hostile_path(), ARRAYS, sizeof ARRAYS / sizeof *ARRAYS, ATTRIBUTES,
                sizeof ATTRIBUTES / sizeof *ATTRIBUTES, data, size);
  gmf_status status = gmf_model_open(hostile_path(), &model, &err);
  unlink(hostile_path());
  if (size == 0 && status != GMF_OK) fprintf(stderr, "the model without edits: %s\n", err.text);
  PROMISE(size > 0 || status == GMF_OK);
  check(status, &err);
  if (status != GMF_OK) return 0;
  gmf_model_get_info(model, &info);
  if (info.n_users > 0 && info.n_items > 0) {
    ask(model, 0, info.n_items - 1);
    ask(model, info.n_users - 1, 0);
    check(gmf_model_preload(model, &err), &err);
    ask(model, info.n_users / 2, info.n_items / 2);
  }
  gmf_model_close(&model);
  return 0;
}
