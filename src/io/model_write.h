/* Model files: factors in dataset order with ids, counts, the training ratings, history. */
#ifndef GMF_IO_MODEL_WRITE_H
#define GMF_IO_MODEL_WRITE_H

#include "io/csr_write.h"
#include "io/dataset.h"

/* A rank's part of one side: rows [begin, begin + n) of the whole. */
typedef struct gmf_model_side {
  int64_t begin, n;
  const void *factors;   /* [n][k], of the model's type */
  const void *bias;      /* [n], the same; with_bias */
  const int64_t *counts; /* [n] training ratings of each row */
} gmf_model_side;

/* One value a sweep; rank 0's are written. */
typedef struct gmf_model_history {
  const char *name; /* "objective" */
  const double *values;
} gmf_model_history;

/* Another array of a checkpoint: [n_rows][n_cols], of which a rank brings rows [begin, begin + n). */
typedef struct gmf_model_extra {
  const char *name; /* "state/best_users" */
  int64_t n_rows, n_cols, begin, n;
  gmf_type_kind type; /* GMF_F4 or GMF_F8 */
  void *owned;        /* [n][n_cols], the caller's */
} gmf_model_extra;

/* Numbers of the model as a whole; rank 0's are written. */
typedef struct gmf_model_array {
  const char *name; /* "singular_values" */
  const double *values;
  int64_t n;
} gmf_model_array;

/* The weights of an item-based model, [n_items][n_items]. */
typedef struct gmf_model_weights {
  gmf_type_kind type;       /* in the file: GMF_F4 or GMF_F8 */
  int64_t n_sparse;         /* their number on all ranks where they are sparse; -1: dense */
  const gmf_csr_rows *rows; /* sparse: mine, of the type */
  /* Dense, Collective: out [n][n_items], rows [begin, begin + n); each rank asks for its own, or none. */
  gmf_status (*make)(void *context, int64_t begin, int64_t n, double *out, gmf_error *err);
  void (*release)(void *context); /* dense, Collective: after the last row, to give memory back */
  void *context;
} gmf_model_weights;

typedef struct gmf_model_parts {
  int k;                            /* 0: an item-based model, without factors */
  const gmf_model_weights *weights; /* item-based models; NULL for others */
  gmf_type_kind type;               /* of factors and biases: GMF_F4 or GMF_F8 */
  gmf_model_side sides[GMF_N_SIDES];
  const gmf_side_features *features[GMF_N_SIDES]; /* my slices; NULL on all ranks for sides without */
  const double *feature_weights[GMF_N_SIDES];     /* [features][k] on rank 0, where there are features */
  bool with_bias;
  double global_mean;
  const double *items_gram; /* [k][k] on rank 0; NULL on all ranks for models without one */
  bool with_seen;
  int64_t n_sweeps;
  const gmf_model_history *history;
  int n_history;
  const gmf_model_extra *extras;
  int n_extras;
  const gmf_model_array *arrays;
  int n_arrays;
} gmf_model_parts;

/*
 * Collective. Declares, creates, writes and commits a model with an opened writer, to which the caller has added the
 * attributes of the run. Ids and training ratings come from the dataset.
 */
gmf_status gmf_model_write(const gmf_grid *grid, gmf_writer *w, const gmf_dataset *dataset,
                           const gmf_model_parts *parts, gmf_error *err);

#endif
