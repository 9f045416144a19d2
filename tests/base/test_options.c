/* The option table's machinery, and the random numbers' properties that files rely on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"
#include "base/random.h"

typedef struct settings {
  bool fast;
  int64_t count, bytes;
  double rate, limit;
  int colour;
  char name[8];
  gmf_text_list user;
} settings;

#define FIELD(m) offsetof(settings, m), sizeof(((settings *)0)->m)
static const gmf_option OPTIONS[] = {
    {"fast", GMF_OPT_FLAG, FIELD(fast), 1, false, NULL, 0, 0, NULL, "no", "speed"},
    {"count", GMF_OPT_INT, FIELD(count), 1, false, "N", 1, 100, NULL, "5", "how many"},
    {"memory", GMF_OPT_SIZE, FIELD(bytes), 1, false, "SIZE", 0, 0, NULL, "0", "limit"},
    {"rate", GMF_OPT_REAL, FIELD(rate), 1, false, "R", 0, 1, NULL, "", "share"},
    {"max-time", GMF_OPT_DURATION, FIELD(limit), 1, false, "TIME", 0, 0, NULL, "0s", "limit"},
    {"colour", GMF_OPT_CHOICE, FIELD(colour), 1, false, NULL, 0, 0, "red|green|blue", "green", "paint"},
    {"name", GMF_OPT_TEXT, FIELD(name), 1, false, "NAME", 0, 0, NULL, "", "label"},
    {"user", GMF_OPT_LIST, FIELD(user), 1, false, "ID", 0, 0, NULL, "", "whom"},
    {"other", GMF_OPT_FLAG, FIELD(fast), 2, false, NULL, 0, 0, NULL, "no", "of another verb"},
};
static const gmf_option_table TABLE = {OPTIONS, sizeof OPTIONS / sizeof *OPTIONS};

static gmf_status parse(settings *s, gmf_text_list *arguments, gmf_error *err, int n, char *const *words)
{
  gmf_options_defaults(&TABLE, s);
  memset(err, 0, sizeof *err);
  return gmf_options_parse(&TABLE, 1, n, words, 0, s, arguments, NULL, err);
}

#define PARSE(...) \
  parse(&s, &arguments, &err, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *), (char *[]){__VA_ARGS__})

static void test_good(void **state)
{
  (void)state;
  settings s;
  gmf_text_list arguments;
  gmf_error err;
  assert_int_equal(PARSE("a.h5", "--fast", "--count=7", "--memory", "2G", "--max-time", "1h30m", "--colour", "blue",
                         "--user", "x", "--user", "-1", "--", "--count"),
                   GMF_OK);
  assert_true(s.fast && s.count == 7 && s.bytes == (int64_t)2 << 30 && s.limit == 5400 && s.colour == 2);
  assert_true(s.user.n == 2 && strcmp(s.user.values[1], "-1") == 0);
  assert_true(arguments.n == 2 && strcmp(arguments.values[1], "--count") == 0);
  assert_true(s.rate != s.rate); /* not given, no default: NaN */
  assert_int_equal(PARSE("--fast", "--no-fast"), GMF_OK);
  assert_false(s.fast);
}

static void expect(gmf_status status, gmf_error *err, const char *part)
{
  assert_int_equal(status, GMF_ERR_USAGE);
  if (strstr(err->text, part) == NULL) fail_msg("'%s' is not in '%s'", part, err->text);
}

static void test_bad(void **state)
{
  (void)state;
  settings s;
  gmf_text_list arguments;
  gmf_error err;
  expect(PARSE("--cuont", "3"), &err, "did you mean --count?");
  expect(PARSE("--col", "red"), &err, "did you mean --colour?");
  expect(PARSE("--qqqqqqqq"), &err, "unknown option --qqqqqqqq");
  expect(PARSE("--other"), &err, "unknown option --other");
  expect(PARSE("--count", "32x"), &err, "whole number from 1 to 100");
  expect(PARSE("--count", "0"), &err, "from 1 to 100");
  expect(PARSE("--count", "1e1"), &err, "from 1 to 100");
  expect(PARSE("--count"), &err, "needs a value");
  expect(PARSE("--rate", "nan"), &err, "number from 0 to 1");
  expect(PARSE("--rate", "2"), &err, "number from 0 to 1");
  expect(PARSE("--colour", "geen"), &err, "did you mean green?");
  expect(PARSE("--memory", "5Q"), &err, "a size such as");
  expect(PARSE("--max-time", "5 parsecs"), &err, "a time such as");
  expect(PARSE("--name", "12345678"), &err, "too long");
  expect(PARSE("--fast=perhaps"), &err, "yes or no");
  expect(PARSE("-x"), &err, "unknown option -x");
}

static void test_round_trip(void **state)
{
  (void)state;
  settings s;
  gmf_text_list arguments;
  gmf_error err;
  assert_int_equal(PARSE("--count", "9", "--rate", "0.1", "--colour", "red", "--max-time", "90"), GMF_OK);
  for (int i = 0; i < TABLE.n; i++) {
    char before[64], after[64];
    if (OPTIONS[i].kind == GMF_OPT_LIST || OPTIONS[i].verbs != 1) continue;
    gmf_option_text(&OPTIONS[i], &s, before, sizeof before);
    if (before[0] == '\0') continue;
    assert_int_equal(gmf_options_set(&TABLE, 1, &s, OPTIONS[i].name, before, GMF_ERR_CONFIG, &err), GMF_OK);
    gmf_option_text(&OPTIONS[i], &s, after, sizeof after);
    assert_string_equal(before, after);
  }
}

static void test_permutation(void **state)
{
  (void)state;
  static const uint64_t lengths[] = {1, 2, 3, 7, 64, 1000, 65537};
  for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
    gmf_permutation p = gmf_permutation_make(lengths[l], 42, GMF_STREAM_PLACEMENT);
    uint64_t moved = 0;
    for (uint64_t i = 0; i < lengths[l]; i++) {
      uint64_t image = gmf_permute(&p, i);
      assert_true(image < lengths[l]);
      assert_true(gmf_unpermute(&p, image) == i); /* so that no two meet */
      moved += image != i;
    }
    assert_true(lengths[l] < 64 || moved > lengths[l] / 2);
  }
}

static void test_random(void **state)
{
  (void)state;
  /* Known answer of Random123's Philox4x32-10 for counter and key zero (kat_vectors of the distribution). */
  uint32_t w[4];
  gmf_random_words(0, (gmf_stream)0, 0, 0, w);
  assert_int_equal(w[0], 0x6627e8d5);
  assert_int_equal(w[3], 0x9b00dbd8);
  double sum = 0, squares = 0;
  enum { N = 100000 };
  for (uint32_t i = 0; i < N; i++) {
    double x = gmf_random_normal(3, GMF_STREAM_USERS_INIT, i / 10, i % 10);
    sum += x;
    squares += x * x;
  }
  assert_true(sum / N < 0.01 && sum / N > -0.01 && squares / N < 1.02 && squares / N > 0.98);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                     cmocka_unit_test(test_round_trip), cmocka_unit_test(test_permutation),
                                     cmocka_unit_test(test_random)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
