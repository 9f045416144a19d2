/*
 * Reading model files with the serial driver: for the query library and, on each rank by itself, for `evaluate`.
 * Everything here is Local and not thread-safe. Nothing is read that was not asked for, and every count, offset and
 * shape is checked before it is used: a damaged or hostile file gives GMF_ERR_DATA.
 */
#ifndef GMF_IO_MODEL_READ_H
#define GMF_IO_MODEL_READ_H

#include "base/side.h"
#include "gridmf/model.h"
#include "io/h5.h"
#include "io/item_weights.h"

typedef struct gmf_model_file gmf_model_file;

gmf_status gmf_model_file_open(const char *path, gmf_model_file **out, gmf_error *err);
/* NULL-safe; sets *file to NULL. */
void gmf_model_file_close(gmf_model_file **file);

/* Belongs to the file. */
const gmf_model_info *gmf_model_file_info(const gmf_model_file *file);
/* For other readers of the same file. */
hid_t gmf_model_file_handle(const gmf_model_file *file);
/* Rows of a side: n_users or n_items. */
int64_t gmf_model_file_rows(const gmf_model_file *file, gmf_side side);

int64_t gmf_model_file_n_attributes(const gmf_model_file *file);
gmf_model_attribute gmf_model_file_attribute(const gmf_model_file *file, int64_t index);

/* The text of an attribute ("lambda", "state/sweep"), NULL where there is none. Belongs to the file. */
const char *gmf_model_file_attribute_text(const gmf_model_file *file, const char *name);

/* A numeric attribute of the root; false where there is none, and *out stays. */
bool gmf_model_file_number(const gmf_model_file *file, const char *name, double *out);

/* out [n]: the first n values of /history/<name>; NaN where the file has no such history. */
gmf_status gmf_model_file_history(gmf_model_file *file, const char *name, int64_t n, double *out, gmf_error *err);

/* out [n][n_cols], of the type that is asked for: rows [begin, begin + n) of an array of a checkpoint,
 * [n_rows][n_cols].
 */
gmf_status gmf_model_file_extra(gmf_model_file *file, const char *name, int64_t n_rows, int64_t n_cols,
                                gmf_type_kind type, int64_t begin, int64_t n, void *out, gmf_error *err);

/* out [n][k]: factors of rows [begin, begin + n); nothing where k is 0. Each is below 1e15 in size, so no score can
 * overflow. */
gmf_status gmf_model_file_factors(gmf_model_file *file, gmf_side side, int64_t begin, int64_t n, float *out,
                                  gmf_error *err);

/* out [n]: biases, 0 where the model has none. */
gmf_status gmf_model_file_bias(gmf_model_file *file, gmf_side side, int64_t begin, int64_t n, float *out,
                               gmf_error *err);

/* out [k][k]: Y'Y of all item rows, as training stored it; GMF_ERR_DATA where it did not. */
gmf_status gmf_model_file_gram(gmf_model_file *file, double *out, gmf_error *err);

/* out [k]: of an SVD, descending; GMF_ERR_DATA where the model is of none. */
gmf_status gmf_model_file_singular_values(gmf_model_file *file, double *out, gmf_error *err);

/* What tells this model from another: sizes, and checksums of the checksums of its rows, 0 where it has none. Where
 * ranks differ in it, they have opened different files. */
enum { GMF_FINGERPRINT = 6 };
gmf_status gmf_model_file_fingerprint(const gmf_model_file *file, int64_t out[GMF_FINGERPRINT], gmf_error *err);

/* out [n]: training ratings of the rows; 1 where the file does not tell, so that no such row counts as cold. */
gmf_status gmf_model_file_counts(gmf_model_file *file, gmf_side side, int64_t begin, int64_t n, int64_t *out,
                                 gmf_error *err);

/* Whether the file tells them. */
bool gmf_model_file_has_counts(const gmf_model_file *file, gmf_side side);

/* The items seen by some users in training: those of user begin + r are items[indptr[r]] .. items[indptr[r + 1] - 1],
 * ascending. Fit for {0}; may be used again for other users. */
typedef struct gmf_seen {
  int64_t *indptr; /* [n + 1] owned, from 0 */
  int64_t *items;  /* [indptr[n]] owned */
  float *values;   /* [indptr[n]] owned: the ratings; gmf_model_file_ratings sets them */
  float *weights;  /* [indptr[n]] owned; 1 where the file has none; likewise */
  int64_t indptr_capacity, items_capacity, values_capacity, weights_capacity;
} gmf_seen;

/* All lists are empty where the file has no /seen. */
gmf_status gmf_model_file_seen(gmf_model_file *file, int64_t begin, int64_t n, gmf_seen *out, gmf_error *err);
/* The same with the ratings, which are 1 in item-based models of binary values. GMF_ERR_DATA where the file does not
 * have them. */
gmf_status gmf_model_file_ratings(gmf_model_file *file, int64_t begin, int64_t n, gmf_seen *out, gmf_error *err);
void gmf_seen_free(gmf_seen *seen);

/* Whether an item-based model takes every rating as 1. */
bool gmf_model_file_is_binary(const gmf_model_file *file);

/* Rows of the weights of an item-based model, as gmf_item_weights_read. */
gmf_status gmf_model_file_weights(gmf_model_file *file, int64_t begin, int64_t n, gmf_weight_rows *out, gmf_error *err);

/* Type of a side's ids (GMF_I8 or GMF_TEXT), and the ids of rows [begin, begin + n) in that type. */
gmf_type gmf_model_file_id_type(const gmf_model_file *file, gmf_side side);
gmf_status gmf_model_file_ids(gmf_model_file *file, gmf_side side, int64_t begin, int64_t n, void *out, gmf_error *err);

/* As gmf_model_find_user and gmf_model_user_id of gridmf/model.h. */
gmf_status gmf_model_file_find(gmf_model_file *file, gmf_side side, const char *id, int64_t *row, gmf_error *err);
gmf_status gmf_model_file_id_text(gmf_model_file *file, gmf_side side, int64_t row, char *out, size_t size,
                                  gmf_error *err);

#endif
