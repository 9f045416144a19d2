/* gridmf-query: its options and its verbs. */
#ifndef GMF_CLI_QUERY_CLI_H
#define GMF_CLI_QUERY_CLI_H

#include "base/options.h"
#include "cli/query_titles.h"
#include "gridmf/query.h"

typedef enum gmf_query_format { GMF_FORMAT_TABLE, GMF_FORMAT_JSON, GMF_FORMAT_CSV } gmf_query_format;

typedef struct gmf_query_config {
  gmf_text_list users, items;
  char users_file[4096];
  bool all;
  int64_t top;
  bool include_seen;
  char allow[4096], deny[4096];
  char ratings[65536], ratings_file[4096];
  int fallback, measure; /* gmf_fallback, gmf_measure */
  char titles[4096];
  char item_features[16384], user_features[16384];
  gmf_text_list features;
  int of; /* gmf_feature_side: of items where not given */
  bool include_cold;
  int format; /* gmf_query_format */
  int64_t threads;
} gmf_query_config;

/* What a verb works with. */
typedef struct gmf_query {
  gmf_query_config config;
  gmf_model *model;   /* owned by main */
  gmf_titles *titles; /* owned by main; NULL without --titles */
  int width;          /* of the terminal, 0: no limit */
} gmf_query;

/* The verbs. Results go to stdout; notes that are no errors ("user 'x' is not in the model") to stderr. */
gmf_status gmf_query_recommend(gmf_query *query, gmf_error *err);
gmf_status gmf_query_similar_items(gmf_query *query, gmf_error *err);
gmf_status gmf_query_similar_users(gmf_query *query, gmf_error *err);
gmf_status gmf_query_score(gmf_query *query, gmf_error *err);
gmf_status gmf_query_fold_in(gmf_query *query, gmf_error *err);
gmf_status gmf_query_explain(gmf_query *query, gmf_error *err);
gmf_status gmf_query_describe(gmf_query *query, gmf_error *err);
gmf_status gmf_query_features(gmf_query *query, gmf_error *err);
gmf_status gmf_query_stream(gmf_query *query, gmf_error *err);
gmf_status gmf_query_info(gmf_query *query, gmf_error *err);

/* Prints "gridmf-query: ..." on stderr. */
void gmf_query_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
