/*
 * Many threads with one open model get the answers of one thread: concurrent MODEL N_THREADS N_QUERIES.
 * Query q is a function of q alone; its answer is boiled down to one number, whatever thread and order it ran in.
 */
#include <gridmf/query.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 7, N_KINDS = 7 };

static gmf_model *model;
static gmf_model_info info;
static int64_t n_queries;
static uint64_t *answers;  /* [n_queries] */
static int64_t next_query; /* taken under `mutex` */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* FNV-1a. */
static void mix(uint64_t *hash, const void *bytes, size_t n)
{
  for (size_t b = 0; b < n; b++) *hash = (*hash ^ ((const unsigned char *)bytes)[b]) * 1099511628211u;
}

typedef struct lists {
  int64_t items[2 * TOP], counts[2];
  float scores[2 * TOP];
  gmf_row_state states[2];
} lists;

static void mix_lists(uint64_t *hash, const lists *l)
{
  mix(hash, l->counts, sizeof l->counts);
  for (int u = 0; u < 2; u++) {
    mix(hash, l->items + u * TOP, (size_t)l->counts[u] * sizeof *l->items);
    mix(hash, l->scores + u * TOP, (size_t)l->counts[u] * sizeof *l->scores);
  }
}

static gmf_status ids(int64_t user, int64_t item, uint64_t *hash, gmf_error *err)
{
  char text[GMF_ID_SIZE] = "", other[GMF_ID_SIZE] = "";
  int64_t rows[2] = {-1, -1};
  gmf_status status = gmf_model_user_id(model, user, text, sizeof text, err);
  if (status == GMF_OK) status = gmf_model_item_id(model, item, other, sizeof other, err);
  if (status == GMF_OK) status = gmf_model_find_user(model, text, &rows[0], err);
  if (status == GMF_OK) status = gmf_model_find_item(model, other, &rows[1], err);
  mix(hash, rows, sizeof rows);
  return status;
}

static gmf_status explain(int64_t user, int64_t item, uint64_t *hash, gmf_error *err)
{
  gmf_explanation why = {0};
  gmf_status status = gmf_explain(model, user, item, &why, err);
  mix(hash, &why.score, sizeof why.score);
  mix(hash, why.contributions, (size_t)why.n * sizeof *why.contributions);
  gmf_explanation_free(&why);
  return status;
}

static uint64_t ask(int64_t q)
{
  gmf_error err = {0};
  uint64_t hash = 14695981039346656037u;
  int64_t users[2] = {q * 7919 % info.n_users, q * 104729 % info.n_users};
  int64_t items[2] = {q * 15485863 % info.n_items, q * 32452843 % info.n_items};
  float values[2] = {(float)(q % 5 + 1), (float)(q % 3 + 1)}, scores[2];
  int n_threads = q % 11 == 0 ? 2 : 1;
  gmf_recommend_options recommend = {.top_n = TOP, .n_threads = n_threads, .deny = items, .n_deny = 1};
  gmf_similar_options similar = {.top_n = TOP, .n_threads = n_threads};
  gmf_new_user somebody[2] = {{2, items, values, NULL}, {1, items, NULL, NULL}};
  lists l = {.items = {0}};
  gmf_recommendations out = {l.items, l.scores, l.counts, l.states};
  gmf_status status = GMF_OK;

  switch (q % N_KINDS) {
    case 0: status = gmf_recommend(model, &recommend, 2, users, &out, &err); break;
    case 1: status = gmf_similar_items(model, &similar, 2, items, &out, &err); break;
    case 2: status = gmf_similar_users(model, &similar, 2, users, &out, &err); break;
    case 3: status = gmf_recommend_new(model, &recommend, 2, somebody, &out, &err); break;
    case 4: status = explain(users[0], items[0], &hash, &err); break;
    case 5: status = ids(users[0], items[0], &hash, &err); break;
    default: status = gmf_score_pairs(model, 2, users, items, scores, NULL, &err); mix(&hash, scores, sizeof scores);
  }
  mix_lists(&hash, &l);
  if (status != GMF_OK) {
    fprintf(stderr, "query %" PRId64 ": %s\n", q, err.text);
    exit((int)status);
  }
  if (q == n_queries / 2 && gmf_model_preload(model, &err) != GMF_OK) exit(1); /* in the middle of it all */
  return hash;
}

static void *work(void *unused)
{
  (void)unused;
  for (;;) {
    pthread_mutex_lock(&mutex);
    int64_t q = next_query++;
    pthread_mutex_unlock(&mutex);
    if (q >= n_queries) return NULL;
    answers[q] = ask(q);
  }
}

static void open_model(const char *path)
{
  gmf_error err = {0};
  if (gmf_model_open(path, &model, &err) == GMF_OK) return;
  fprintf(stderr, "%s\n", err.text);
  exit((int)err.status);
}

int main(int argc, char **argv)
{
  if (argc != 4) return GMF_ERR_USAGE;
  int n_threads = atoi(argv[2]);
  n_queries = atoll(argv[3]);
  pthread_t *threads = calloc((size_t)n_threads, sizeof *threads);
  answers = calloc((size_t)n_queries, sizeof *answers);
  if (threads == NULL || answers == NULL) return GMF_ERR_MEMORY;
  open_model(argv[1]);
  gmf_model_get_info(model, &info);
  for (int t = 0; t < n_threads; t++)
    if (pthread_create(&threads[t], NULL, work, NULL) != 0) return 1;
  for (int t = 0; t < n_threads; t++) pthread_join(threads[t], NULL);
  gmf_model_close(&model);

  int64_t n_different = 0;
  open_model(argv[1]);
  for (int64_t q = 0; q < n_queries; q++) n_different += ask(q) != answers[q];
  gmf_model_close(&model);
  free(threads);
  free(answers);
  printf("%" PRId64 " queries from %d threads, %" PRId64 " answers differ from those of one\n", n_queries, n_threads,
         n_different);
  return n_different > 0;
}
