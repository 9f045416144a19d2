/* Answers that are lists of items or users, as people and programs read them. Local. */
#ifndef GMF_CLI_QUERY_ANSWER_H
#define GMF_CLI_QUERY_ANSWER_H

#include "cli/query_cli.h"
#include "cli/query_text.h"

/* One list. */
typedef struct gmf_answer {
  const char *subject_key; /* "user", "item"; NULL: the answer is to ratings */
  const char *subject;     /* the id asked about */
  bool of_users;           /* the list is of users, else of items */
  int64_t n;
  const int64_t *rows; /* [n] */
  const float *scores; /* [n] */
  gmf_row_state state; /* of the subject; where it is not known, a list is the fallback */
} gmf_answer;

/* "cold", "unknown"; NULL for GMF_ROW_KNOWN. */
const char *gmf_state_text(gmf_row_state state);

/* The members of a JSON object, without its braces: "user": "42", "items": [...] */
gmf_status gmf_answer_json(const gmf_query *q, const gmf_answer *a, FILE *out, gmf_error *err);

/* The same of a score, and of what is known of a model. */
void gmf_pair_json(const gmf_query *q, const char *user, const char *item, float score, gmf_row_state state, FILE *out);
void gmf_info_json(const gmf_model *model, FILE *out);

/* Prints the answer in the format asked for. first: no answer stands before it. */
gmf_status gmf_answer_print(const gmf_query *q, const gmf_answer *a, bool first, gmf_error *err);

/* Subjects that got no list of their own, for the notes at the end. {0} to begin with. */
enum { GMF_NAMES_BYTES = 200 };
typedef struct gmf_missing {
  int64_t n;
  char names[GMF_NAMES_BYTES]; /* of the first ones */
} gmf_missing;
void gmf_missing_add(gmf_missing *m, const char *id);

/* Item (or user) rows of n ids; -1 where the model does not have one. missing: may be NULL. */
gmf_status gmf_find_rows(gmf_model *model, bool users, const char *const *ids, int64_t n, int64_t *rows,
                         gmf_missing *missing, gmf_error *err);

/* The rows of the ids in a file, one a line: owned by the caller; -1 for ids that the model does not have, which a note
 * tells of. Without a path nothing is set. */
gmf_status gmf_read_rows(const gmf_query *q, const char *path, bool users, int64_t **rows, int64_t *n, gmf_error *err);

/* The arrays of lists for n subjects; gmf_lists_free. */
gmf_status gmf_lists_create(gmf_recommendations *lists, int64_t n, int64_t top_n, gmf_error *err);
void gmf_lists_free(gmf_recommendations *lists);

#endif
