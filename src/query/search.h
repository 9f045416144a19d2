/* Inside libgridmf: the best rows of one side for a batch of queries, in one pass over that side's factors. */
#ifndef GMF_QUERY_SEARCH_H
#define GMF_QUERY_SEARCH_H

#include "base/side.h"
#include "kernel/toplists.h"
#include "query/internal.h"

typedef enum gmf_search_kind {
  GMF_SEARCH_SCORES, /* x . y + offset of the query + offset of the row */
  GMF_SEARCH_DOTS,   /* x . y */
  GMF_SEARCH_COSINES /* x . y / (|x| |y|); queries come with |x| = 1; rows of length 0 are never found */
} gmf_search_kind;

typedef struct gmf_search_options {
  gmf_side side; /* whose rows are found */
  gmf_search_kind kind;
  int64_t top_n;        /* at least 1 */
  const int64_t *allow; /* [n_allow] rows, borrowed: only these; NULL: all. -1 is skipped */
  int64_t n_allow;
  const int64_t *deny; /* [n_deny] rows, borrowed: not these, even when allowed */
  int64_t n_deny;
  int n_threads; /* 0: OpenMP's default */
} gmf_search_options;

typedef struct gmf_search {
  gmf_model *model; /* borrowed */
  gmf_search_options options;
  int64_t k, n_rows; /* of the model, and of the side */

  /* The queries, in the order of the call. */
  int64_t n, capacity;
  int64_t *index;         /* [capacity] place in the call's answers */
  int64_t *row;           /* [capacity] of queries that are rows of the model */
  float *x;               /* [capacity][k] */
  float *offset;          /* [capacity] */
  int64_t *exclude_begin; /* [capacity + 1] */
  int64_t *exclude;       /* [exclude_begin[n]] positions among the candidates, ascending for each query */
  int64_t exclude_capacity;

  int64_t *candidate; /* [n_candidates] rows, ascending; NULL: every row is its own position */
  int64_t n_candidates;

  /* The panel: candidates panel_begin .. panel_begin + panel_n - 1. */
  float *y;          /* [panel_capacity][k] */
  float *row_offset; /* [panel_capacity] */
  int64_t *counts;   /* [panel_capacity] scratch */
  int64_t panel_capacity, panel_begin, panel_n;

  gmf_toplists lists; /* owned */
} gmf_search;

/* Scores of items, or likeness to rows of a side, as a call asks for them. */
gmf_search_options gmf_search_of(const gmf_recommend_options *options);
gmf_search_options gmf_search_for_similar(gmf_side side, const gmf_similar_options *options);

/* Room for `capacity` queries; none is there yet. Errors: GMF_ERR_USAGE top_n < 1, a row that the model does not have;
 * GMF_ERR_MEMORY. */
gmf_status gmf_search_open(gmf_search *s, gmf_model *model, const gmf_search_options *options, int64_t capacity,
                           gmf_error *err);
void gmf_search_close(gmf_search *s);

/*
 * Queries that are rows of a side: sets every count and state of the answers, and adds those that are known and not
 * cold, with their factors, offsets and rows. rows [n], n <= capacity, -1: unknown.
 */
gmf_status gmf_search_add_rows(gmf_search *s, gmf_side side, int64_t n, const int64_t *rows,
                               const gmf_recommendations *out, gmf_error *err);

/* Leaves n ascending rows out of the answer to query q. To be called for all queries in their order, or for none. */
gmf_status gmf_search_exclude(gmf_search *s, int64_t q, const int64_t *rows, int64_t n, gmf_error *err);

/* The lists of all queries into the answers that their index says. */
gmf_status gmf_search_run(gmf_search *s, const gmf_recommendations *out, gmf_error *err);

/* The most rated candidates, ties to the lower row, for those of n subjects whose state is not known, with the numbers
 * of ratings as scores. GMF_ERR_DATA where the model has no counts. */
gmf_status gmf_search_fall_back(gmf_search *s, int64_t n, const gmf_recommendations *out, gmf_error *err);

/* Queries q .. q + n - 1 are rows that follow each other in the file: n. */
int64_t gmf_search_run_length(const gmf_search *s, int64_t q);

/* Makes |x| = 1; false where it is 0, and x stays. */
bool gmf_normalise(float *x, int64_t k);

#endif
