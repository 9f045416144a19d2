/*
 * The weights W of item-based models, n x n, and products with them: users whose ratings are the rows of A have the
 * scores A W. Local. With the serial driver; the products need no file.
 *
 *   /items/weights    [n][n]                       dense
 *   /items/similarity {indptr, indices, data}      sparse
 */
#ifndef GMF_IO_ITEM_WEIGHTS_H
#define GMF_IO_ITEM_WEIGHTS_H

#include "io/h5.h"

typedef struct gmf_item_weights gmf_item_weights;

/* Whether an open file has weights. */
bool gmf_item_weights_exist(hid_t file);

/* path: for messages, borrowed. GMF_ERR_DATA where shapes or types are not those of n_items items. */
gmf_status gmf_item_weights_open(hid_t file, const char *path, int64_t n_items, gmf_item_weights **out, gmf_error *err);
void gmf_item_weights_close(gmf_item_weights **weights);

/* Some rows of W in memory. Fit for {0}; may be used again for others. */
typedef struct gmf_weight_rows {
  int64_t begin, n;
  bool is_dense;
  int64_t *indptr; /* owned [n + 1], from 0; sparse */
  int64_t *items;  /* owned [indptr[n]]: ascending within a row; sparse */
  float *values;   /* owned [indptr[n]], dense [n][n_items]; below 1e15 in size */
  int64_t indptr_capacity, items_capacity, values_capacity;
} gmf_weight_rows;

/* Rows from `begin` on, up to n of them: as many as may be in memory at a time, at least one. */
gmf_status gmf_item_weights_read(const gmf_item_weights *weights, int64_t begin, int64_t n, gmf_weight_rows *out,
                                 gmf_error *err);
void gmf_weight_rows_free(gmf_weight_rows *rows);

/* Ratings of some users: those of user u are [begin[u], begin[u + 1]). All borrowed. */
typedef struct gmf_item_users {
  int64_t n;
  const int64_t *begin; /* [n + 1] */
  const int64_t *items; /* rows of W, ascending within a user */
  const float *values;  /* what W is multiplied with */
} gmf_item_users;

/* As gmf_item_weights_read: by which a caller reads in its own way, under a lock or from memory. */
typedef gmf_status gmf_read_weights_fn(void *context, int64_t begin, int64_t n, gmf_weight_rows *out, gmf_error *err);

/*
 * scores [users->n][n_items]: A W, each summed in f4 over the user's items in their order, so that a user's scores do
 * not depend on who else is asked for. Reads the rows of W that some user has rated, and few between.
 */
gmf_status gmf_item_scores(const gmf_item_users *users, int64_t n_items, gmf_read_weights_fn *read, void *context,
                           int n_threads, float *scores, gmf_error *err);

#endif
