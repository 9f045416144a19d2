/*
 * The text reader on any bytes. The first byte names the format, the second the columns; the rest is the text, as in
 * corpus/text. Whatever it is, the reader ends, gives what it promises and stays inside the buffer.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/text_reader.h"
#include "promise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const gmf_text_rating *r, const gmf_text_layout *layout)
{
  PROMISE(isfinite(r->value) && isfinite(r->weight) && r->weight >= 0);
  PROMISE(layout->column[GMF_ROLE_TIME] >= 0 || r->time == 0);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    const gmf_text_id *id = &r->id[s];
    if (id->kind == GMF_ID_INTEGER) continue;
    PROMISE(id->length >= 1 && id->length <= GMF_TEXT_MAX_ID_BYTES);
    volatile char last = id->text[id->length - 1]; /* the sanitizer looks */
    (void)last;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const char *const NAMES[] = {"x", "x.csv", "x.tsv", "x.dat", "x.mtx", "x.txt"};
  static const char *const COLUMNS[] = {"",
                                        "user=1,item=2",
                                        "user=2,item=1,rating=3",
                                        "user=a,item=b,weight=c",
                                        "user=userId,item=movieId,time=timestamp",
                                        "user=1,item=256"};
  if (size < 2) return 0;
  gmf_text_layout layout;
  gmf_error err = {0};
  gmf_text_format format = (gmf_text_format)(data[0] % 6);
  int64_t n = (int64_t)size - 2, n_ratings = 0;
  const char *head = (const char *)data + 2;
  if (gmf_text_resolve(NAMES[data[0] / 6 % 6], head, n, true, format, COLUMNS[data[1] % 6], &layout, &err) != GMF_OK) {
    PROMISE(err.text[0] != '\0' && (err.status == GMF_ERR_DATA || err.status == GMF_ERR_USAGE));
    return 0;
  }
  PROMISE(layout.data_begin >= 0 && layout.data_begin <= n);
  for (int skip = 0; skip < 2; skip++) {
    char *text = malloc((size_t)n + 1); /* of the exact size, so that any step beyond it is seen */
    if (text == NULL) return 0;
    memcpy(text, head, (size_t)n);
    int64_t length = n;
    if (n > 0 && text[n - 1] != '\n') text[length++] = '\n';
    gmf_text_reader reader;
    gmf_text_rating ratings[7];
    memset(ratings, 0x5a, sizeof ratings); /* what the reader does not set is no id */
    gmf_text_open(&reader, &layout, text + layout.data_begin, text + length, skip == 1);
    for (int64_t m = 1; m > 0;) {
      m = gmf_text_next(&reader, ratings, 7);
      PROMISE(m >= 0 && m <= 7);
      for (int64_t j = 0; j < m; j++) check(&ratings[j], &layout);
      n_ratings += m;
      PROMISE(n_ratings <= 2 * n); /* each takes bytes of the text */
    }
    PROMISE(reader.first_bad.offset < length && (reader.n_bad_lines > 0) == (reader.first_bad.offset >= 0));
    free(text);
  }
  return 0;
}
