/* Scores and top-N selection of every instruction set against plain references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "kernel/isa.h"
#include "kernel/scores.h"
#include "kernel/toplists.h"

static float random_value(uint64_t row, uint32_t column)
{
  return (float)gmf_random_normal(7, GMF_STREAM_USERS_INIT, row, column);
}

/* rows [n][k], `stride` floats apart. */
static float *random_rows(int64_t n, int k, int64_t stride, uint64_t seed)
{
  float *rows = gmf_calloc(n * stride + 1, sizeof *rows);
  assert_non_null(rows);
  for (int64_t r = 0; r < n; r++)
    for (int f = 0; f < k; f++) rows[r * stride + f] = random_value(seed + (uint64_t)r, (uint32_t)f);
  return rows;
}

static gmf_scores_fn *scores_of(gmf_isa_level level) { return GMF_ISA_PICK(level, gmf_scores); }

static void compare_scores(gmf_scores_fn *scores, int64_t n_users, int64_t n_items, int k, int64_t pad)
{
  int64_t stride = k + pad, out_stride = n_items + pad;
  float *x = random_rows(n_users, k, stride, 1), *y = random_rows(n_items, k, stride, 100000);
  float *out = gmf_calloc(n_users * out_stride + 1, sizeof *out), single = 0;

  scores(x, n_users, stride, y, n_items, stride, k, out, out_stride);
  for (int64_t u = 0; u < n_users; u++)
    for (int64_t i = 0; i < out_stride; i++) {
      double sum = 0, size = 0;
      for (int f = 0; f < k && i < n_items; f++) {
        double term = (double)x[u * stride + f] * (double)y[i * stride + f];
        sum += term;
        size += fabs(term);
      }
      assert_true(fabs((double)out[u * out_stride + i] - sum) <= 1e-6 * (size + 1e-30));
      if (i >= n_items) continue;
      scores(x + u * stride, 1, stride, y + i * stride, 1, stride, k, &single, 1);
      assert_memory_equal(&single, out + u * out_stride + i, sizeof single);
    }
  gmf_free(x);
  gmf_free(y);
  gmf_free(out);
}

static void test_scores(void **state)
{
  (void)state;
  static const int64_t shapes[][3] = {{1, 1, 1},    {0, 5, 3},     {5, 0, 3},     {3, 47, 2},
                                      {4, 48, 8},   {7, 49, 16},   {13, 100, 64}, {9, 25, 127},
                                      {8, 13, 128}, {17, 97, 129}, {5, 31, 300},  {64, 24, 32}};
  for (int level = 0; level <= (int)gmf_kernel_level(); level++)
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
      for (int64_t pad = 0; pad < 6; pad += 5)
        compare_scores(scores_of((gmf_isa_level)level), shapes[s][0], shapes[s][1], (int)shapes[s][2], pad);
}

static void test_first_at_least(void **state)
{
  (void)state;
  float scores[300];
  for (int level = 0; level <= (int)gmf_kernel_level(); level++) {
    gmf_first_at_least_fn *first = GMF_ISA_PICK((gmf_isa_level)level, gmf_first_at_least);
    for (int64_t n = 0; n < 300; n += 7)
      for (int64_t at = 0; at <= n; at += 3) {
        for (int64_t j = 0; j < n; j++) scores[j] = j % 5 == 0 ? NAN : -1.0F;
        if (at < n) scores[at] = 2.0F;
        assert_int_equal(first(scores, n, 2.0F), at);
        assert_int_equal(first(scores, n, 2.5F), n);
      }
    assert_int_equal(first(scores, 0, -INFINITY), 0);
  }
}

static void test_count_worse(void **state)
{
  (void)state;
  static const float thresholds[] = {-INFINITY, -1, 0, 0.5F, 2, INFINITY, NAN};
  float scores[300];
  for (int64_t j = 0; j < 300; j++) {
    scores[j] = floorf(random_value(3, (uint32_t)j) * 4.0F);
    if (j % 7 == 2) scores[j] = NAN;
    if (j % 31 == 5) scores[j] = j % 2 == 0 ? INFINITY : -INFINITY;
  }
  for (int level = 0; level <= (int)gmf_kernel_level(); level++) {
    gmf_count_worse_fn *count = GMF_ISA_PICK((gmf_isa_level)level, gmf_count_worse);
    for (size_t t = 0; t < sizeof thresholds / sizeof *thresholds; t++)
      for (int64_t n = 0, expected = 0; n < 300; n++) {
        assert_int_equal(count(scores, n, thresholds[t]), expected);
        expected += scores[n] < thresholds[t] ? 2 : scores[n] == thresholds[t];
      }
  }
}

/* ---- selection --------------------------------------------------------------------------------------------------- */

typedef struct entry {
  float score;
  int64_t row;
} entry;

static int by_rank(const void *a, const void *b)
{
  const entry *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return x->row < y->row ? -1 : x->row > y->row;
}

static void compare_with_sort(const gmf_topn *t, const entry *all, int64_t n_all)
{
  entry *sorted = gmf_calloc(n_all, sizeof *sorted);
  int64_t n = 0;
  for (int64_t j = 0; j < n_all; j++)
    if (!isnan(all[j].score)) sorted[n++] = all[j];
  qsort(sorted, (size_t)n, sizeof *sorted, by_rank);
  assert_int_equal(t->n, n < t->capacity ? n : t->capacity);
  for (int64_t j = 0; j < t->n; j++) {
    assert_int_equal(t->row[j], sorted[j].row);
    assert_true(t->score[j] == sorted[j].score);
  }
  gmf_free(sorted);
}

/* n scores of few different values, some NaN, some infinite. */
static void make_entries(entry *all, int64_t n, uint64_t seed)
{
  for (int64_t j = 0; j < n; j++) {
    float score = floorf(random_value(seed, (uint32_t)j) * 4.0F);
    if (j % 11 == 3) score = NAN;
    if (j % 97 == 5) score = j % 2 == 0 ? INFINITY : -INFINITY;
    all[j] = (entry){score, j};
  }
}

static void push_in_panels(gmf_topn *t, const entry *all, int64_t n, int64_t panel, const int64_t *excluded,
                           int64_t n_excluded, bool backwards)
{
  float scores[64];
  int64_t n_panels = (n + panel - 1) / panel;
  for (int64_t p = 0; p < n_panels; p++) {
    int64_t begin = (backwards ? n_panels - 1 - p : p) * panel, size = n - begin < panel ? n - begin : panel;
    for (int64_t j = 0; j < size; j++) scores[j] = all[begin + j].score;
    gmf_topn_push_panel(t, scores, begin, size, excluded, n_excluded);
  }
}

static void test_selection(void **state)
{
  (void)state;
  entry all[500];
  const int64_t capacities[] = {0, 1, 2, 10, 100, 499, 1000};
  for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++)
    for (int64_t n = 0; n <= 500; n += 125) {
      gmf_topn t;
      assert_int_equal(gmf_topn_create(&t, capacities[c], NULL), GMF_OK);
      make_entries(all, n, (uint64_t)n);
      for (int64_t j = 0; j < n; j++) gmf_topn_push(&t, all[(j * 7) % n].score, all[(j * 7) % n].row);
      gmf_topn_sort(&t);
      compare_with_sort(&t, all, n);
      for (int backwards = 0; backwards < 2; backwards++) {
        gmf_topn_reset(&t);
        push_in_panels(&t, all, n, 61, NULL, 0, backwards == 1);
        gmf_topn_sort(&t);
        compare_with_sort(&t, all, n);
      }
      gmf_topn_destroy(&t);
    }
}

static void test_excluded(void **state)
{
  (void)state;
  entry all[300];
  const int64_t excluded[] = {0, 1, 59, 60, 61, 128, 129, 200, 299, 300, 5000};
  gmf_topn t;
  assert_int_equal(gmf_topn_create(&t, 40, NULL), GMF_OK);
  make_entries(all, 300, 3);
  push_in_panels(&t, all, 300, 60, excluded, sizeof excluded / sizeof *excluded, false);
  gmf_topn_sort(&t);
  for (int e = 0; e < 9; e++) all[excluded[e]].score = NAN;
  compare_with_sort(&t, all, 300);
  gmf_topn_destroy(&t);
}

/* Many equal scores, in panels of falling rows: what ties keep goes by the row alone. */
static void test_ties(void **state)
{
  (void)state;
  enum { N = 3000 };
  entry *all = gmf_calloc(N, sizeof *all);
  for (int n_values = 1; n_values < 4; n_values++)
    for (int backwards = 0; backwards < 2; backwards++) {
      gmf_topn t;
      assert_int_equal(gmf_topn_create(&t, 150, NULL), GMF_OK);
      for (int64_t j = 0; j < N; j++) all[j] = (entry){j % n_values == 0 ? 0.0F : -0.0F + (float)(j % n_values), j};
      push_in_panels(&t, all, N, 64, NULL, 0, backwards == 1);
      gmf_topn_sort(&t);
      compare_with_sort(&t, all, N);
      gmf_topn_destroy(&t);
    }
  gmf_free(all);
}

/* ---- many users -------------------------------------------------------------------------------------------------- */

typedef struct users_and_items {
  int64_t n_users, n_items, top_n;
  int k, n_threads;
} users_and_items;

/* Lists of all users by gmf_toplists, against all scores of gmf_scores, sorted. Item i is no candidate where i % 13 is
 * 5; user u has every (u + 2)-th item excluded. Equal items make ties. */
static void compare_lists(const users_and_items *c, int64_t panel_items)
{
  float *x = random_rows(c->n_users, c->k, c->k + 3, 1), *y = random_rows(c->n_items, c->k, c->k, 100000);
  float *of_user = gmf_calloc(c->n_users + 1, sizeof *of_user), *of_item = gmf_calloc(c->n_items + 1, sizeof *of_item);
  float *scores = gmf_calloc(c->n_items + 1, sizeof *scores);
  int64_t *begin = gmf_calloc(c->n_users + 1, sizeof *begin),
          *excluded = gmf_calloc(c->n_users * c->n_items + 1, sizeof *excluded);
  entry *all = gmf_calloc(c->n_items + 1, sizeof *all);
  gmf_toplists lists;
  gmf_toplists_shape shape = {c->n_users + 1, c->top_n, panel_items, c->k, c->n_threads};

  for (int64_t i = 0; i < c->n_items; i++) {
    of_item[i] = i % 13 == 5 ? NAN : random_value(8, (uint32_t)i);
    if (i % 7 == 6) memcpy(y + i * c->k, y + (i - 1) * c->k, (size_t)c->k * sizeof *y);
    if (i % 7 == 6 && !isnan(of_item[i])) of_item[i] = of_item[i - 1];
  }
  for (int64_t u = 0; u < c->n_users; u++) {
    of_user[u] = random_value(9, (uint32_t)u);
    begin[u + 1] = begin[u];
    for (int64_t i = 0; i < c->n_items; i += u + 2) excluded[begin[u + 1]++] = i;
  }
  assert_int_equal(gmf_toplists_create(&lists, &shape, NULL), GMF_OK);
  for (int round = 0; round < 2; round++) { /* the second one finds lists that were used */
    gmf_toplists_start(&lists, c->n_users, x, c->k + 3, of_user, begin, excluded);
    for (int64_t i = 0; i < c->n_items; i += panel_items)
      gmf_toplists_push(&lists, y + i * c->k, c->k, of_item + i,
                        c->n_items - i < panel_items ? c->n_items - i : panel_items, i);
    gmf_toplists_finish(&lists);
  }
  for (int64_t u = 0; u < c->n_users; u++) {
    gmf_scores(x + u * (c->k + 3), 1, c->k + 3, y, c->n_items, c->k, c->k, scores, c->n_items);
    for (int64_t i = 0; i < c->n_items; i++)
      all[i] = (entry){i % (u + 2) == 0 ? NAN : (scores[i] + of_item[i]) + of_user[u], i};
    compare_with_sort(&lists.users.lists[u], all, c->n_items);
  }
  gmf_toplists_destroy(&lists);
  void *const arrays[] = {x, y, of_user, of_item, scores, begin, excluded, all};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

static void test_lists(void **state)
{
  (void)state;
  static const users_and_items cases[] = {{1, 1000, 10, 5, 1},  {3, 2000, 25, 16, 2}, {17, 777, 100, 33, 1},
                                          {130, 600, 30, 8, 1}, {9, 500, 600, 3, 3},  {5, 300, 1, 200, 1},
                                          {2, 0, 4, 3, 1},      {0, 50, 4, 3, 2},     {4, 100, 0, 3, 1}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    compare_lists(&cases[c], 4096);
    compare_lists(&cases[c], 97);
  }
}

static void test_nothing_leaks(void **state)
{
  (void)state;
  assert_int_equal(gmf_memory_live_count(), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scores),    cmocka_unit_test(test_first_at_least), cmocka_unit_test(test_count_worse),
      cmocka_unit_test(test_selection), cmocka_unit_test(test_excluded),       cmocka_unit_test(test_ties),
      cmocka_unit_test(test_lists),     cmocka_unit_test(test_nothing_leaks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
