#include "io/id_match.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

enum { PIECE = 1 << 16, INTEGER_TEXT = 24 };

/* A wanted id with its place; text is borrowed and padded to a common length. */
typedef struct key {
  int64_t number;
  const char *text;
  int64_t place;
} key;

typedef struct matcher {
  bool numbers;   /* both sides are integers */
  int64_t length; /* of the texts */
  key *keys;      /* owned [n], sorted */
  int64_t n;
  char *texts; /* owned: integer ids written out, where text is needed */
} matcher;

static int by_number(const void *a, const void *b, void *length)
{
  (void)length;
  int64_t x = ((const key *)a)->number, y = ((const key *)b)->number;
  return (x > y) - (x < y);
}

static int by_text(const void *a, const void *b, void *length)
{
  return strncmp(((const key *)a)->text, ((const key *)b)->text, *(const size_t *)length);
}

/* n ids as texts of `length` bytes padded with NUL: the stored ones, or integers written out into `buffer`. */
static const char *as_text(gmf_type type, const void *values, int64_t n, char *buffer)
{
  if (type.kind == GMF_TEXT) return values;
  memset(buffer, 0, (size_t)n * INTEGER_TEXT);
  for (int64_t j = 0; j < n; j++)
    snprintf(buffer + j * INTEGER_TEXT, INTEGER_TEXT, "%" PRId64, ((const int64_t *)values)[j]);
  return buffer;
}

static gmf_status make_matcher(const gmf_ids *wanted, gmf_type source_type, matcher *m, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *m = (matcher){.numbers = wanted->type.kind == GMF_I8 && source_type.kind == GMF_I8, .n = wanted->n};
  GMF_TRY(GMF_NEW(m->keys, m->n, err));
  const char *texts = NULL;
  int64_t stride = wanted->type.kind == GMF_TEXT ? wanted->type.size : INTEGER_TEXT;
  if (!m->numbers) {
    GMF_TRY(GMF_NEW(m->texts, m->n * INTEGER_TEXT, err));
    texts = as_text(wanted->type, wanted->values, m->n, m->texts);
    m->length = stride;
  }
  for (int64_t j = 0; j < m->n; j++)
    m->keys[j] =
        (key){m->numbers ? ((const int64_t *)wanted->values)[j] : 0, texts != NULL ? texts + j * stride : NULL, j};
  size_t length = (size_t)m->length;
  qsort_r(m->keys, (size_t)m->n, sizeof *m->keys, m->numbers ? by_number : by_text, &length);
cleanup:
  return status;
}

/* The place of a wanted text equal to `text` of at most `length` bytes, or -1. */
static int64_t find_text(const matcher *m, const char *text, int64_t length)
{
  size_t n = strnlen(text, (size_t)length);
  if ((int64_t)n > m->length) return -1;
  int64_t low = 0, high = m->n - 1;
  while (low <= high) {
    int64_t middle = low + (high - low) / 2;
    int order = strncmp(m->keys[middle].text, text, n);
    if (order == 0 && strnlen(m->keys[middle].text, (size_t)m->length) > n) order = 1;
    if (order == 0) return m->keys[middle].place;
    if (order < 0)
      low = middle + 1;
    else
      high = middle - 1;
  }
  return -1;
}

static int64_t find_number(const matcher *m, int64_t number)
{
  int64_t low = 0, high = m->n - 1;
  while (low <= high) {
    int64_t middle = low + (high - low) / 2;
    if (m->keys[middle].number == number) return m->keys[middle].place;
    if (m->keys[middle].number < number)
      low = middle + 1;
    else
      high = middle - 1;
  }
  return -1;
}

/* Sets the rows of the wanted ids among the n ids of rows begin ... begin + n - 1 that have ratings. */
static void match_piece(const matcher *m, gmf_type type, const char *ids, char *buffer, const int64_t *counts,
                        int64_t begin, int64_t n, int64_t *rows)
{
  int64_t stride = type.kind == GMF_TEXT ? type.size : INTEGER_TEXT;
  const char *texts = m->numbers ? NULL : as_text(type, ids, n, buffer);
  for (int64_t j = 0; j < n; j++) {
    if (counts[j] == 0) continue;
    int64_t place =
        m->numbers ? find_number(m, ((const int64_t *)(const void *)ids)[j]) : find_text(m, texts + j * stride, stride);
    if (place >= 0) rows[place] = begin + j;
  }
}

gmf_status gmf_match_ids(const gmf_id_source *source, const gmf_ids *wanted, int64_t *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *counts = NULL;
  matcher m = {0};
  char *ids = NULL, *buffer = NULL;

  for (int64_t j = 0; j < wanted->n; j++) rows[j] = -1;
  GMF_TRY(make_matcher(wanted, source->type, &m, err));
  GMF_TRY(GMF_NEW(ids, PIECE * source->type.size, err));
  GMF_TRY(GMF_NEW(buffer, PIECE * INTEGER_TEXT, err));
  GMF_TRY(GMF_NEW(counts, PIECE, err));
  for (int64_t begin = 0; begin < source->n && m.n > 0; begin += PIECE) {
    int64_t n = gmf_min64(PIECE, source->n - begin);
    GMF_TRY(source->ids(source->context, source->side, begin, n, ids, err));
    GMF_TRY(source->counts(source->context, source->side, begin, n, counts, err));
    match_piece(&m, source->type, ids, buffer, counts, begin, n, rows);
  }
cleanup:
  gmf_free(counts);
  gmf_free(buffer);
  gmf_free(ids);
  gmf_free(m.keys);
  gmf_free(m.texts);
  return status;
}
