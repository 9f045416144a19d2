/* Finds the rows of one file's ids in another file: how a test set meets a model. Local. */
#ifndef GMF_IO_ID_MATCH_H
#define GMF_IO_ID_MATCH_H

#include "io/dataset.h"

/* One side of what is searched: a model, or a dataset. */
typedef struct gmf_id_source {
  gmf_side side;
  gmf_type type; /* of its ids: GMF_I8 or GMF_TEXT */
  int64_t n;     /* rows */
  /* Local. The ids of rows [begin, begin + n), and their numbers of ratings. */
  gmf_status (*ids)(void *context, gmf_side side, int64_t begin, int64_t n, void *out, gmf_error *err);
  gmf_status (*counts)(void *context, gmf_side side, int64_t begin, int64_t n, int64_t *out, gmf_error *err);
  void *context; /* borrowed */
} gmf_id_source;

/*
 * rows [wanted->n]: the source's row of each wanted id; -1 where it has none, or the row has no ratings (count 0). Ids
 * are compared as numbers where both sides hold integers, else as text. Reads all ids of the source once, in pieces;
 * `wanted` must be free of repetitions.
 */
gmf_status gmf_match_ids(const gmf_id_source *source, const gmf_ids *wanted, int64_t *rows, gmf_error *err);

#endif
