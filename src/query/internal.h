/* Inside libgridmf: the open model and the rows that scoring needs. */
#ifndef GMF_QUERY_INTERNAL_H
#define GMF_QUERY_INTERNAL_H

#include "base/side.h"
#include "gridmf/query.h"
#include "io/model_features.h"
#include "io/model_rule.h"

/* What folding users in needs beside the items' rows; read at the first call, then as it is. */
typedef struct gmf_fold_in_parts {
  bool is_ready;
  gmf_model_rule rule;
  double *shared;             /* owned, see gmf_user_solver; NULL where there is none */
  gmf_projection *projection; /* owned; NULL but for svd */
} gmf_fold_in_parts;
void gmf_fold_in_parts_free(gmf_fold_in_parts *parts);

struct gmf_model {
  gmf_model_file *file; /* owned; every use between gmf_file_lock and gmf_file_unlock */
  gmf_model_info info;
  float *items;   /* [n_items][k] owned; NULL until preloaded */
  float *offsets; /* [n_items] owned; with items */
  gmf_fold_in_parts fold_in;
  gmf_model_features features[GMF_N_SIDES]; /* weights are NULL until they are needed, and then as they are */
  bool include_cold;                        /* rows with features count as known; then they are there */
};

/* One lock for all files of the process, as HDF5 keeps its tables in the process. Not recursive. */
void gmf_file_lock(void);
void gmf_file_unlock(void);

/* Whether scores are those of the most rated items, the same for everybody. */
bool gmf_is_popularity(const gmf_model *model);

/*
 * Rows [begin, begin + n) of a side.
 *
 *   factors  [n][k]
 *   offsets  [n]     b_i of items, global_mean + b_u of users; NaN where the row is cold: then its scores are NaN and
 *                    never enter a list. Not where it is to be included and has features
 *   counts   [n]     scratch
 */
gmf_status gmf_side_rows(gmf_model *model, gmf_side side, int64_t begin, int64_t n, float *factors, float *offsets,
                         int64_t *counts, gmf_error *err);

/* Rows [begin, begin + n) that are cold but have features, by which they are known: their offsets become numbers. */
void gmf_warm_cold_rows(const gmf_model *model, gmf_side side, int64_t begin, int64_t n, float *offsets);

/* counts [n]: training ratings of rows [begin, begin + n). GMF_ERR_DATA where the file does not tell. */
gmf_status gmf_training_counts(gmf_model *model, gmf_side side, int64_t begin, int64_t n, int64_t *counts,
                               gmf_error *err);

/* The score from its parts, in the one order that all calls use. */
static inline float gmf_score_of(float dot, float user_offset, float item_offset)
{
  return (dot + item_offset) + user_offset;
}

#endif
