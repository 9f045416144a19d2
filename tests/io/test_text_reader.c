/* The text reader: every format, every reason why a line is bad, and the sort and sets under the importer. Serial. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/key_sort.h"
#include "base/memory.h"
#include "io/id_table.h"
#include "io/text_reader.h"

enum { MAX_RATINGS = 64 };

typedef struct result {
  gmf_text_layout layout;
  gmf_text_reader reader;
  gmf_text_rating ratings[MAX_RATINGS];
  int64_t n;
  char *text; /* owned: ids point into it */
} result;

/* Resolves and reads a whole text; a newline is added as the input layer does. */
static gmf_status read_text(const char *path, const char *text, int64_t n, const char *columns, bool skip, result *out,
                            gmf_error *err)
{
  *out = (result){.n = 0};
  gmf_text_format format = gmf_text_format_of(path);
  gmf_status status = gmf_text_resolve(path, text, n, true, format, columns, &out->layout, err);
  if (status != GMF_OK) return status;
  out->text = malloc((size_t)n + 1);
  memcpy(out->text, text, (size_t)n);
  char *end = out->text + n;
  if (n > 0 && end[-1] != '\n') *end++ = '\n';
  char *begin = out->text + out->layout.data_begin;
  gmf_text_open(&out->reader, &out->layout, begin > end ? end : begin, end, skip);
  int64_t m;
  while ((m = gmf_text_next(&out->reader, out->ratings + out->n, 3)) > 0) {
    out->n += m;
    assert_in_range(out->n, 0, MAX_RATINGS - 3);
  }
  return GMF_OK;
}

static result read_good(const char *path, const char *text, const char *columns)
{
  result r;
  gmf_error err = {0};
  assert_int_equal(read_text(path, text, (int64_t)strlen(text), columns, false, &r, &err), GMF_OK);
  assert_int_equal(r.reader.first_bad.offset, -1);
  return r;
}

static void assert_id(const gmf_text_id *id, const char *expected)
{
  char text[GMF_TEXT_MAX_ID_BYTES + 1];
  if (id->kind == GMF_ID_INTEGER)
    snprintf(text, sizeof text, "%lld", (long long)id->integer);
  else
    snprintf(text, sizeof text, "%.*s", id->length, id->text);
  assert_string_equal(text, expected);
}

static void assert_rating(const result *r, int64_t index, const char *user, const char *item, float value, int64_t time)
{
  assert_in_range(index, 0, r->n - 1);
  assert_id(&r->ratings[index].id[GMF_USERS], user);
  assert_id(&r->ratings[index].id[GMF_ITEMS], item);
  assert_true(r->ratings[index].value == value);
  assert_int_equal(r->ratings[index].time, time);
}

static void test_csv(void **state)
{
  (void)state;
  result r = read_good("r.csv",
                       "\357\273\277userId,movieId,rating,timestamp\r\n1,2,3.5,10\r\n\r\n  \n-4,\"a \"\"b\"\", c\", "
                       "+1e1 ,-7,x,\"y\"\n5,6,7,8",
                       "");
  assert_int_equal(r.n, 3);
  assert_int_equal(r.reader.n_lines, 3);
  assert_rating(&r, 0, "1", "2", 3.5f, 10);
  assert_rating(&r, 1, "-4", "a \"b\", c", 10.0f, -7);
  assert_rating(&r, 2, "5", "6", 7.0f, 8);
  free(r.text);
}

static void test_headers_and_columns(void **state)
{
  (void)state;
  static const struct {
    const char *text, *columns;
    int64_t n;
    int rating, time; /* columns, -1: none */
  } CASES[] = {{"1,2,3,4\n", "", 1, 2, 3},
               {"a,b,3,4\n", "", 1, 2, 3},
               {"u,i,r,t\n1,2,3,4\n", "", 1, 2, 3},
               {"user,item,when\n1,2,3\n", "", 1, 2, -1},
               {"user_id,item_id,date\n1,2,3\n", "", 1, -1, 2},
               {"uid,iid\n1,2\n", "", 1, -1, -1},
               {"1,2\n3,4\n", "", 2, -1, -1},
               {"x,y,z\n1,2,3\n", "user=y,item=x", 1, -1, -1},
               {"x,y,z\n1,2,3\n", "user=Y,item=1,rating=z", 1, 2, -1},
               {"1,2,3\n1,2,3\n", "user=3,item=2,time=1", 2, -1, 0}};
  for (size_t c = 0; c < sizeof CASES / sizeof CASES[0]; c++) {
    result r = read_good("r.csv", CASES[c].text, CASES[c].columns);
    assert_int_equal(r.n, CASES[c].n);
    assert_int_equal(r.layout.column[GMF_ROLE_RATING], CASES[c].rating);
    assert_int_equal(r.layout.column[GMF_ROLE_TIME], CASES[c].time);
    free(r.text);
  }
}

/* Weights are read where --columns names them, and nowhere else. */
static void test_weights(void **state)
{
  (void)state;
  static const struct {
    const char *text, *columns;
    int rating, weight; /* columns, -1: none */
  } HEADERS[] = {{"user,item,rating,time,weight\n1,2,3,4,5\n", "", 2, -1},
                 {"user,item,weight\n1,2,3\n", "", 2, -1},
                 {"user,item,weight,rating\n1,2,3,4\n", "", 3, -1},
                 {"user,item,rating,weight\n1,2,3,4\n", "user=user,item=item,weight=weight", -1, 3},
                 {"u,i,w\n1,2,3\n", "user=1,item=2,weight=3", -1, 2},
                 {"a,b,w\nc,d,3\n", "user=1,item=2,weight=3", -1, 2},
                 {"1,2,3,4,5\n", "", 2, -1}};
  for (size_t c = 0; c < sizeof HEADERS / sizeof HEADERS[0]; c++) {
    result r = read_good("r.csv", HEADERS[c].text, HEADERS[c].columns);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.layout.column[GMF_ROLE_RATING], HEADERS[c].rating);
    assert_int_equal(r.layout.column[GMF_ROLE_WEIGHT], HEADERS[c].weight);
    assert_true(HEADERS[c].weight >= 0 || r.ratings[0].weight == 1);
    free(r.text);
  }
  static const char *const GOOD[] = {"0", "0.25", "-0", "1e-3", "3e38", " 2 ", "\"7\""};
  for (size_t k = 0; k < sizeof GOOD / sizeof GOOD[0]; k++) {
    char text[64];
    snprintf(text, sizeof text, "1,2,%s,5\n", GOOD[k]);
    result r = read_good("r.csv", text, "user=1,item=2,weight=3,rating=4");
    assert_rating(&r, 0, "1", "2", 5, 0);
    assert_true(r.ratings[0].weight == strtof(GOOD[k] + (*GOOD[k] == '"'), NULL));
    assert_false(signbit(r.ratings[0].weight));
    free(r.text);
  }
}

static void test_other_formats(void **state)
{
  (void)state;
  result r = read_good("u.data", "1\t2\t3\t4\n a \tb c\t0.1 \t-5\n", "");
  assert_rating(&r, 0, "1", "2", 3, 4);
  assert_rating(&r, 1, "a", "b c", 0.1f, -5);
  free(r.text);
  r = read_good("ratings.dat", "1::2::3::4\na:b::c:d::5::6\n", "");
  assert_rating(&r, 0, "1", "2", 3, 4);
  assert_int_equal(r.n, 1 + 1);
  assert_rating(&r, 1, "a:b", "c:d", 5, 6);
  free(r.text);
  r = read_good("m.mtx", "%%MatrixMarket matrix coordinate integer general\n%c\n\n 3 4  2 \n%d\n 3\t4  -7 \n1 1 2\n",
                "");
  assert_int_equal(r.layout.mtx_entries, 2);
  assert_rating(&r, 0, "3", "4", -7, 0);
  assert_rating(&r, 1, "1", "1", 2, 0);
  free(r.text);
  r = read_good("a.adj", "u 1 2\t3\r\n\n v\nw  x y z 4 5 6 \n", "");
  assert_int_equal(r.n, 9);
  assert_int_equal(r.reader.n_lines, 3);
  assert_rating(&r, 2, "u", "3", 1, 0);
  assert_rating(&r, 8, "w", "6", 1, 0);
  free(r.text);
}

static void test_numbers_round_as_strtod(void **state)
{
  (void)state;
  static const char *const NUMBERS[] = {"0",
                                        "-0",
                                        "3.5",
                                        ".5",
                                        "5.",
                                        "0.1",
                                        "1e-5",
                                        "123456789012345",
                                        "0.000000000000001",
                                        "99999999999999.9",
                                        "1234567890123456",
                                        "0.1234567890123456789",
                                        "16777217",
                                        "3.4028234e38",
                                        "-1E+10",
                                        "4.35",
                                        "2.675",
                                        "00012.50"};
  for (size_t k = 0; k < sizeof NUMBERS / sizeof NUMBERS[0]; k++) {
    char text[128];
    snprintf(text, sizeof text, "1,2,%s\n", NUMBERS[k]);
    result r = read_good("r.csv", text, "");
    assert_rating(&r, 0, "1", "2", (float)strtod(NUMBERS[k], NULL), 0);
    free(r.text);
  }
}

static void test_kinds_of_ids(void **state)
{
  (void)state;
  static const struct {
    const char *id;
    gmf_text_id_kind kind;
  } CASES[] = {{"0", GMF_ID_INTEGER},
               {"-1", GMF_ID_INTEGER},
               {"9223372036854775807", GMF_ID_INTEGER},
               {"-9223372036854775808", GMF_ID_INTEGER},
               {"9223372036854775808", GMF_ID_HUGE},
               {"-9223372036854775809", GMF_ID_HUGE},
               {"007", GMF_ID_TEXT},
               {"-0", GMF_ID_TEXT},
               {"+1", GMF_ID_TEXT},
               {"1.0", GMF_ID_TEXT},
               {"1e3", GMF_ID_TEXT},
               {"--1", GMF_ID_TEXT},
               {"-", GMF_ID_TEXT},
               {"12345678901234567890x", GMF_ID_TEXT},
               {"\303\251", GMF_ID_TEXT},
               {"a b", GMF_ID_TEXT}};
  for (size_t k = 0; k < sizeof CASES / sizeof CASES[0]; k++) {
    char text[128];
    snprintf(text, sizeof text, "%s,%s,1\n", CASES[k].id, CASES[k].id);
    result r = read_good("r.csv", text, "");
    assert_int_equal(r.ratings[0].id[GMF_USERS].kind, CASES[k].kind);
    assert_rating(&r, 0, CASES[k].id, CASES[k].id, 1, 0);
    assert_int_equal(r.reader.first_huge[GMF_ITEMS].offset, CASES[k].kind == GMF_ID_HUGE ? 0 : -1);
    free(r.text);
  }
}

static void test_dates(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    int64_t seconds;
  } CASES[] = {{"1970-01-01", 0},
               {"2000-02-29", 951782400},
               {"1969-12-31T23:59:59Z", -1},
               {"2024-12-31 23:59:60", 1735689600},
               {"1600-01-01 00:00:01.75", -11676095999},
               {"1e3", 1000},
               {"-1.9", -1},
               {"9223372036854775807", INT64_MAX}};
  for (size_t k = 0; k < sizeof CASES / sizeof CASES[0]; k++) {
    char text[128];
    snprintf(text, sizeof text, "1,2,3,%s\n", CASES[k].text);
    result r = read_good("r.csv", text, "");
    assert_rating(&r, 0, "1", "2", 3, CASES[k].seconds);
    free(r.text);
  }
}

#define BAD(text_, column_, reason_)          \
  {                                           \
    text_, sizeof text_ - 1, column_, reason_ \
  }

static void test_bad_lines(void **state)
{
  (void)state;
  static const struct {
    const char *line;
    size_t n;
    int64_t column;
    const char *reason;
  } CASES[] = {BAD("1,2,NaN,4", 5, "rating is not a number: 'NaN'"),
               BAD("1,2,inf,4", 5, "rating is not a number"),
               BAD("1,2,1e400,4", 5, "too large"),
               BAD("1,2,-1e39,4", 5, "too large"),
               BAD("1,2,,4", 5, "rating is empty"),
               BAD("1,2,\"1,2\",4", 5, "rating is not a number"),
               BAD("1,2,0x10,4", 5, "rating is not a number"),
               BAD("1,2,3 4,4", 5, "rating is not a number"),
               BAD("1,2,1.2.3,4", 5, "rating is not a number"),
               BAD("1,2,-,4", 5, "rating is not a number"),
               BAD("1,2,3", 5, "3 columns, expected at least 4"),
               BAD("1", 1, "1 column, expected at least 4"),
               BAD(",2,3,4", 1, "user id is empty"),
               BAD("1, ,3,4", 4, "item id is empty"),
               BAD("1,2,3,", 7, "time is empty"),
               BAD("1,2,3,today", 7, "time is neither"),
               BAD("1,2,3,2001-02-29", 7, "time is neither"),
               BAD("1,2,3,2001-02-28 24:00:00", 7, "time is neither"),
               BAD("1,2,3,9223372036854775808", 7, "time does not fit"),
               BAD("1,2,3,1e19", 7, "time does not fit"),
               BAD("1,\"2,3,4", 3, "a quoted field does not end on its line"),
               BAD("1,\"2\"x,3,4", 3, "text after a closing quote"),
               BAD("1,a\0b,3,4", 3, "item id is not valid UTF-8"),
               BAD("1,\xff\xfe,3,4", 3, "UTF-8"),
               BAD("1,\xc0\x80,3,4", 3, "UTF-8"),
               BAD("1,\xed\xa0\x80,3,4", 3, "UTF-8"),
               BAD("1,\xe2\x82,3,4", 3, "UTF-8"),
               BAD("1,\xf4\x90\x80\x80,3,4", 3, "UTF-8")};
  for (size_t k = 0; k < sizeof CASES / sizeof CASES[0]; k++) {
    char text[256] = "1,2,3,4\n\n5,6,7,8\n";
    size_t n = strlen(text);
    memcpy(text + n, CASES[k].line, CASES[k].n);
    memcpy(text + n + CASES[k].n, "\n9,9,9,9\n", 9);
    for (int skip = 0; skip < 2; skip++) {
      result r;
      gmf_error err = {0};
      assert_int_equal(read_text("r.csv", text, (int64_t)(n + CASES[k].n + 9), "", skip, &r, &err), GMF_OK);
      assert_int_equal(r.n, skip ? 3 : 2);
      assert_int_equal(r.reader.n_bad_lines, 1);
      assert_int_equal(r.reader.first_bad.offset, n);
      assert_int_equal(r.reader.first_bad.column, CASES[k].column);
      if (strstr(r.reader.first_bad.reason, CASES[k].reason) == NULL)
        fail_msg("case %zu: '%s' instead of '%s'", k, r.reader.first_bad.reason, CASES[k].reason);
      free(r.text);
    }
  }
}

static void test_bad_weights(void **state)
{
  (void)state;
  static const struct {
    const char *weight, *reason;
  } CASES[] = {{"-1", "weight is below 0: '-1'"}, {"-1e-30", "weight is below 0"},
               {"nan", "weight is not a number"}, {"inf", "weight is not a number"},
               {"1e39", "weight is too large"},   {"", "weight is empty"},
               {"x", "weight is not a number"},   {"\"-2\"", "weight is below 0: '-2'"}};
  for (size_t k = 0; k < sizeof CASES / sizeof CASES[0]; k++) {
    char text[64];
    result r;
    gmf_error err = {0};
    snprintf(text, sizeof text, "1,2,3,4\n1,2,%s,5\n", CASES[k].weight);
    assert_int_equal(read_text("r.csv", text, (int64_t)strlen(text), "user=1,item=2,weight=3", false, &r, &err),
                     GMF_OK);
    assert_int_equal(r.reader.first_bad.offset, 8);
    assert_int_equal(r.reader.first_bad.column, 5);
    if (strstr(r.reader.first_bad.reason, CASES[k].reason) == NULL) fail_msg("%s", r.reader.first_bad.reason);
    free(r.text);
  }
}

static void test_files_that_are_refused(void **state)
{
  (void)state;
  static const struct {
    const char *path, *text, *columns, *reason;
    gmf_status status;
  } CASES[] = {
      {"r.csv", "", "", "is empty", GMF_ERR_DATA},
      {"r.csv", "\v\n", "user=a,item=b", "'a'",
       GMF_ERR_DATA}, /* no blank line: it was taken for the header of nothing */
      {"r.csv", " <html>", "", "HTML", GMF_ERR_DATA},
      {"r.csv", "PK\003\004", "", "zip", GMF_ERR_DATA},
      {"r.csv", "\211HDF\r\n\032\n", "", "HDF5", GMF_ERR_DATA},
      {"r.txt", "1 2 3\n", "", "--format", GMF_ERR_DATA},
      {"r.csv", "a,b\n", "user=a", "item=", GMF_ERR_USAGE},
      {"r.csv", "a,b\n", "user=a,item", "ROLE=COLUMN", GMF_ERR_USAGE},
      {"r.csv", "a,b\n", "user=a,item=b,item=b", "one column", GMF_ERR_USAGE},
      {"r.csv", "a,b\n", "user=1,item=300", "counted from 1", GMF_ERR_USAGE},
      {"r.csv", "a,b\n", "user=a,item=c", "'c'", GMF_ERR_DATA},
      {"r.mtx", "1 2 3\n", "", "%%MatrixMarket", GMF_ERR_DATA},
      {"r.mtx", "%%MatrixMarket matrix array real general\n2 2\n", "", "array", GMF_ERR_DATA},
      {"r.mtx", "%%MatrixMarket matrix coordinate complex general\n2 2 1\n", "", "complex", GMF_ERR_DATA},
      {"r.mtx", "%%MatrixMarket matrix coordinate real general\n2 2 1\n", "user=1,item=2", "--columns", GMF_ERR_USAGE}};
  for (size_t k = 0; k < sizeof CASES / sizeof CASES[0]; k++) {
    result r;
    gmf_error err = {0};
    assert_int_equal(
        read_text(CASES[k].path, CASES[k].text, (int64_t)strlen(CASES[k].text), CASES[k].columns, false, &r, &err),
        CASES[k].status);
    if (strstr(err.text, CASES[k].reason) == NULL) fail_msg("case %zu: '%s'", k, err.text);
  }
}

/* One line among `before` and `after`, lines of "1,2,3,4" that are left out of what is returned. format: "r.csv", or
 * "r.dat" for lines of "::". */
static result read_among(const char *format, const char *line, int before, int after)
{
  const char *usual = strcmp(format, "r.dat") == 0 ? "1::2::3::4\n" : "1,2,3,4\n";
  char text[1024] = "";
  result r;
  gmf_error err = {0};
  for (int j = 0; j < before; j++) strcat(text, usual);
  strcat(strcat(text, line), "\n");
  for (int j = 0; j < after; j++) strcat(text, usual);
  assert_int_equal(read_text(format, text, (int64_t)strlen(text), "user=1,item=2,rating=3,time=4", true, &r, &err),
                   GMF_OK);
  assert_in_range(r.n, before + after, before + after + 1);
  assert_int_equal(r.reader.n_bad_lines, before + after + 1 - r.n);
  r.n -= before + after;
  r.ratings[0] = r.ratings[before];
  return r;
}

static void assert_same_id(const gmf_text_id *a, const gmf_text_id *b)
{
  assert_int_equal(a->kind, b->kind);
  if (a->kind == GMF_ID_INTEGER) {
    assert_int_equal(a->integer, b->integer);
    return;
  }
  assert_int_equal(a->length, b->length);
  assert_memory_equal(a->text, b->text, (size_t)a->length);
}

static void assert_same_line(const char *format, const char *line, const char *quoted, int before, int after)
{
  result a = read_among(format, line, before, after), b = read_among("r.csv", quoted, before, after);
  assert_int_equal(a.n, b.n);
  for (int s = 0; s < GMF_N_SIDES && a.n > 0; s++) assert_same_id(&a.ratings[0].id[s], &b.ratings[0].id[s]);
  if (a.n > 0) assert_memory_equal(&a.ratings[0].value, &b.ratings[0].value, sizeof(float));
  if (a.n > 0) assert_int_equal(a.ratings[0].time, b.ratings[0].time);
  free(a.text);
  free(b.text);
}

/*
 * The quick ways to read a line give what the careful one does, which quotes lead to: at the end of the
 * buffer, where bytes come one by one; between other lines, where a short one is seen as a whole; and with a column
 * behind it that makes it long.
 */
static void test_quick_ways_agree(void **state)
{
  (void)state;
  static const char *const FIELDS[] = {"",
                                       "0",
                                       "7",
                                       "42",
                                       "007",
                                       "1234567",
                                       "12345678",
                                       "123456789",
                                       "1234567890123456",
                                       "-5",
                                       "-0",
                                       "3.5",
                                       "0.5",
                                       "10.25",
                                       ".5",
                                       "5.",
                                       "12345678901234567",
                                       "123456789012345678",
                                       "-",
                                       "x",
                                       "12x4",
                                       "1/2",
                                       "1:2",
                                       "4.5e1",
                                       "999999999999999",
                                       "99999999.9999999",
                                       "1234567890123456789",
                                       "1.",
                                       "00",
                                       "-3.5",
                                       "u1",
                                       "12345678x",
                                       "8.25",
                                       "2009-02-13",
                                       "1234567.12345678",
                                       "9223372036854775808"};
  enum { N_FIELDS = sizeof FIELDS / sizeof FIELDS[0] };
  uint32_t seed = 99;
  for (int round = 0; round < 6000; round++) {
    const char *f[4] = {"1", "2", "3", "4"};
    for (int c = 0; c < 4; c++) {
      seed = seed * 1664525 + 1013904223;
      if (round < 4 * N_FIELDS ? round % 4 == c : (seed >> 8) % 4 != 0) /* first one odd field, each, then several */
        f[c] = FIELDS[round < 4 * N_FIELDS ? (uint32_t)round / 4 : (seed >> 16) % N_FIELDS];
    }
    char line[256], quoted[256], wide[320], windows[320];
    snprintf(line, sizeof line, "%s,%s,%s,%s", f[0], f[1], f[2], f[3]);
    snprintf(quoted, sizeof quoted, "\"%s\",\"%s\",\"%s\",\"%s\"", f[0], f[1], f[2], f[3]);
    snprintf(wide, sizeof wide, "%s,a column that nobody asked for", line);
    snprintf(windows, sizeof windows, "%s\r", line);
    for (int after = 0; after < 12; after += 3)
      assert_same_line("r.csv", line, quoted, 1 + round % 4, after); /* the first may be a header */
    assert_same_line("r.csv", wide, quoted, 4, 12);
    assert_same_line("r.csv", windows, quoted, 4, 12);
    snprintf(line, sizeof line, "%s::%s::%s::%s", f[0], f[1], f[2], f[3]);
    snprintf(windows, sizeof windows, "%s\r", line);
    assert_same_line("r.dat", line, quoted, 4, 12);
    assert_same_line("r.dat", windows, quoted, 4, 12);
  }
}

/* Any bytes: the reader ends, stays in the buffer (sanitizers) and counts what it gives. */
static void test_random_bytes(void **state)
{
  (void)state;
  static const char ALPHABET[] = "0123456789,,,\"\"\n\n\r\t :-.eENa\303\251\377%";
  static const char *const PATHS[] = {"r.csv", "r.tsv", "r.adj"};
  uint32_t seed = 12345;
  for (int round = 0; round < 20000; round++) {
    char text[96] = "1,2,3\n";
    int64_t n = 6;
    for (int64_t more = round % 80; more > 0; more--) {
      seed = seed * 1664525 + 1013904223;
      text[n++] = ALPHABET[(seed >> 16) % (sizeof ALPHABET - 1)];
    }
    result r;
    gmf_error err = {0};
    if (read_text(PATHS[round % 3], text, n, "", round % 2 == 0, &r, &err) != GMF_OK) continue;
    for (int64_t j = 0; j < r.n; j++)
      for (int s = 0; s < GMF_N_SIDES; s++)
        if (r.ratings[j].id[s].kind != GMF_ID_INTEGER) assert_in_range(r.ratings[j].id[s].length, 1, 96);
    free(r.text);
  }
}

static void test_key_sort_is_stable(void **state)
{
  (void)state;
  enum { N = 5000 };
  gmf_keyed *pairs = malloc(N * sizeof *pairs), *scratch = malloc(N * sizeof *scratch);
  static const uint64_t MASKS[] = {0, 1, 0xff, 0xffff00, 0x8000000000000001, ~UINT64_C(0), 0x1fffff};
  static const int64_t SIZES[] = {0, 1, 2, 40, 41, 300, N};
  uint64_t seed = 7;
  for (size_t m = 0; m < sizeof MASKS / sizeof MASKS[0]; m++)
    for (size_t s = 0; s < sizeof SIZES / sizeof SIZES[0]; s++) {
      for (int64_t i = 0; i < SIZES[s]; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        pairs[i] = (gmf_keyed){(seed ^ seed >> 29) & MASKS[m], i};
      }
      gmf_sort_keyed(pairs, scratch, SIZES[s]);
      for (int64_t i = 1; i < SIZES[s]; i++)
        assert_true(pairs[i - 1].key < pairs[i].key ||
                    (pairs[i - 1].key == pairs[i].key && pairs[i - 1].value < pairs[i].value));
    }
  free(pairs);
  free(scratch);
}

/* Words whose lowest 13 bits are places, and of which these bits are no part of the key. */
static void test_sort_of_words_is_stable(void **state)
{
  (void)state;
  enum { N = 5000, PLACE_BITS = 13 };
  uint64_t *words = malloc(N * sizeof *words), *scratch = malloc(N * sizeof *scratch);
  static const uint64_t MASKS[] = {0, 1, 0xff, 0xffff00, ~UINT64_C(0), 0x1fffff};
  static const int64_t SIZES[] = {0, 1, 2, 40, 41, 300, N};
  uint64_t seed = 7, low = (UINT64_C(1) << PLACE_BITS) - 1;
  for (size_t m = 0; m < sizeof MASKS / sizeof MASKS[0]; m++)
    for (size_t s = 0; s < sizeof SIZES / sizeof SIZES[0]; s++) {
      int64_t n = SIZES[s];
      for (int64_t i = 0; i < n; i++) { /* places fall, so that an order by all bits would not be stable */
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        words[i] = ((seed ^ seed >> 29) & MASKS[m]) << PLACE_BITS | (uint64_t)(n - i);
      }
      gmf_sort_words(words, scratch, n, PLACE_BITS);
      for (int64_t i = 1; i < n; i++) {
        uint64_t before = words[i - 1] >> PLACE_BITS, here = words[i] >> PLACE_BITS;
        assert_true(before < here || (before == here && (words[i - 1] & low) > (words[i] & low)));
      }
    }
  free(words);
  free(scratch);
}

/* Sets of integers of every kind, as batches bring them: ids that count from 0, with gaps, far apart, below 0; an id
 * has one index, that of its first meeting, and its count. */
static void test_sets_of_integers(void **state)
{
  (void)state;
  enum { N = 60000, DISTINCT = 5000 };
  static const int64_t STEPS[] = {1, 7, 8, 100, -1, INT64_C(1) << 40, 17179869184};
  int64_t *values = malloc(N * sizeof *values), *counts = malloc(DISTINCT * sizeof *counts);
  uint32_t *index = malloc(N * sizeof *index), *seen = malloc(DISTINCT * sizeof *seen),
           *joined = malloc(2 * DISTINCT * 4);
  for (size_t k = 0; k < sizeof STEPS / sizeof STEPS[0]; k++)
    for (int far = 0; far < 2; far++) { /* far: every 50th id is, so that both ways to look one up are in use */
      gmf_id_set set = {0}, half = {0};
      gmf_error err = {0};
      uint64_t seed = 11 + k;
      for (int64_t j = 0; j < N; j++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        int64_t most = 1 + (DISTINCT - 1) * j / N,
                which = (int64_t)(seed >> 33) % most; /* they come little by little */
        values[j] = which;
      }
      memset(counts, 0, DISTINCT * sizeof *counts);
      memset(seen, 0, DISTINCT * sizeof *seen);
      int64_t *ids = malloc(N * sizeof *ids), n_distinct = 0;
      for (int64_t j = 0; j < N; j++)
        ids[j] = far && values[j] % 50 == 49 ? INT64_MAX - values[j] : values[j] * STEPS[k];
      assert_int_equal(gmf_id_set_intern_integers(&set, ids, N, index, &err), GMF_OK);
      for (int64_t j = 0; j < N; j++) {
        if (counts[values[j]]++ == 0) {
          seen[values[j]] = (uint32_t)n_distinct++;
          assert_int_equal(set.keys[index[j]].value, ids[j]);
        }
        assert_int_equal(index[j], seen[values[j]]);
      }
      assert_int_equal(set.n, n_distinct);
      for (int64_t v = 0; v < DISTINCT; v++)
        if (counts[v] > 0) assert_int_equal(set.counts[seen[v]], counts[v]);
      assert_int_equal(gmf_id_set_intern_integers(&half, ids + N / 2, N - N / 2, index, &err), GMF_OK);
      int64_t n_before = set.n;
      assert_int_equal(gmf_id_set_merge(&set, &half, joined, &err), GMF_OK);
      assert_int_equal(set.n, n_before);
      for (int64_t i = 0; i < half.n; i++) assert_int_equal(set.keys[joined[i]].value, half.keys[i].value);
      gmf_id_set_free(&set);
      gmf_id_set_free(&half);
      free(ids);
    }
  free(values);
  free(counts);
  free(index);
  free(seen);
  free(joined);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_csv),
      cmocka_unit_test(test_headers_and_columns),
      cmocka_unit_test(test_other_formats),
      cmocka_unit_test(test_numbers_round_as_strtod),
      cmocka_unit_test(test_kinds_of_ids),
      cmocka_unit_test(test_dates),
      cmocka_unit_test(test_bad_lines),
      cmocka_unit_test(test_files_that_are_refused),
      cmocka_unit_test(test_random_bytes),
      cmocka_unit_test(test_key_sort_is_stable),
      cmocka_unit_test(test_sort_of_words_is_stable),
      cmocka_unit_test(test_sets_of_integers),
      cmocka_unit_test(test_weights),
      cmocka_unit_test(test_bad_weights),
      cmocka_unit_test(test_quick_ways_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
