/* Uses every part of libgridmf once: example MODEL USER ITEM. One line a fact, for test_library.py to read. */
#include <gridmf/query.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOP = 5 };

static gmf_error err;

static void must(gmf_status status)
{
  if (status == GMF_OK) return;
  fprintf(stderr, "example: %s\n", err.text);
  exit((int)status);
}

/* "NAME ID SCORE" for each entry. */
static void print_list(const char *name, gmf_model *model, int users, const gmf_recommendations *list)
{
  char id[GMF_ID_SIZE];
  for (int64_t j = 0; j < list->counts[0]; j++) {
    must(users ? gmf_model_user_id(model, list->items[j], id, sizeof id, &err)
               : gmf_model_item_id(model, list->items[j], id, sizeof id, &err));
    printf("%s %s %.9g\n", name, id, (double)list->scores[j]);
  }
}

static void fold_in(gmf_model *model, const gmf_model_info *info, int64_t item, const gmf_recommendations *list)
{
  float value = 4, bias = 0, *factors = malloc((size_t)info->n_factors * sizeof *factors);
  gmf_new_user somebody = {.n = 1, .items = &item, .values = &value};
  gmf_recommend_options options = {.top_n = TOP};
  gmf_row_state state;
  if (factors == NULL) exit(GMF_ERR_MEMORY);
  must(gmf_fold_in_user(model, &somebody, factors, &bias, &state, &err));
  printf("row %.9g %.9g\n", (double)factors[0], (double)bias);
  must(gmf_recommend_new(model, &options, 1, &somebody, list, &err));
  print_list("new", model, 0, list);
  free(factors);
}

static void explain(gmf_model *model, int64_t user, int64_t item)
{
  gmf_explanation why = {0};
  must(gmf_explain(model, user, item, &why, &err));
  double sum = why.global_mean + why.item_bias + why.centring + why.rest;
  for (int64_t j = 0; j < why.n; j++) sum += why.contributions[j];
  printf("explained %" PRId64 " %.9g\n", why.n, sum);
  gmf_explanation_free(&why);
}

int main(int argc, char **argv)
{
  gmf_model *model = NULL;
  gmf_model_info info;
  gmf_model_attribute lambda = {0};
  gmf_row_state state;
  int64_t user = -1, item = -1, items[TOP], count = 0;
  float scores[TOP], score = 0;
  gmf_recommendations list = {items, scores, &count, &state};
  gmf_recommend_options options = {.top_n = TOP, .n_threads = 1};
  gmf_similar_options similar = {.top_n = TOP, .n_threads = 1};
  char text[200];

  if (argc != 4) return GMF_ERR_USAGE;
  must(gmf_model_open(argv[1], &model, &err));
  gmf_model_get_info(model, &info);
  gmf_library_describe(text, sizeof text);
  for (int64_t a = 0; a < gmf_model_n_attributes(model) && lambda.name == NULL; a++) {
    gmf_model_attribute one;
    gmf_model_get_attribute(model, a, &one);
    if (one.name[0] == 'l') lambda = one;
  }
  printf("library %s\nmodel %s %" PRId64 " %" PRId64 " %d\n%s %s\n", text, info.algorithm, info.n_users, info.n_items,
         info.n_factors, lambda.name, lambda.text);
  must(gmf_model_preload(model, &err));
  must(gmf_model_find_user(model, argv[2], &user, &err));
  must(gmf_model_find_item(model, argv[3], &item, &err));
  must(gmf_score_pairs(model, 1, &user, &item, &score, &state, &err));
  printf("score %.9g\n", (double)score);
  must(gmf_recommend(model, &options, 1, &user, &list, &err));
  print_list("recommend", model, 0, &list);
  must(gmf_similar_items(model, &similar, 1, &item, &list, &err));
  print_list("similar-items", model, 0, &list);
  must(gmf_similar_users(model, &similar, 1, &user, &list, &err));
  print_list("similar-users", model, 1, &list);
  fold_in(model, &info, item, &list);
  explain(model, user, item);
  gmf_model_close(&model);
  return gmf_model_open("nowhere.h5", &model, &err) == GMF_ERR_NO_INPUT ? 0 : 1;
}
