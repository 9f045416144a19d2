/*
 * Reading gridmf models: the first half of the C API of libgridmf (query.h has the second). Free of MPI and HDF5 types.
 *
 *     gmf_error err = {0};
 *     gmf_model *model = NULL;
 *     int64_t row;
 *     if (gmf_model_open("model.h5", &model, &err) == GMF_OK && gmf_model_find_user(model, "42", &row, &err) == GMF_OK)
 *       ...
 *     gmf_model_close(&model);
 *
 * Users and items are addressed by their row in the model, 0 to n - 1; external ids are text here, whether the file
 * holds them as integers or as strings.
 *
 * Threads: any number of threads may use one open model, or several, at the same time. HDF5 is not thread-safe, so all
 * access to files happens under one lock of the process; the arithmetic does not. A program that calls HDF5 itself
 * must not do so while another thread is in a function of this library. gmf_model_open and gmf_model_close of a model
 * must not run beside other calls with that model. Opening a model turns off HDF5's own printing of errors.
 */
#ifndef GRIDMF_MODEL_H
#define GRIDMF_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gridmf/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GMF_API __attribute__((visibility("default")))

/* An open model file. */
typedef struct gmf_model gmf_model;

/* What is known of a model once it is open. The texts belong to the model. */
typedef struct gmf_model_info {
  const char *path;
  const char *format_version;
  const char *algorithm; /* "als", "ials", "svd", "popularity", "item-knn", "ease" */
  int64_t n_users, n_items;
  int n_factors;      /* 0 for item-based models, see query.h */
  double global_mean; /* added to every score; 0 where the model has none */
  bool has_bias;      /* of users or items */
  bool has_seen;      /* the training pattern is in the file, so that seen items can be left out */
  int64_t n_seen;     /* training ratings, where has_seen */
} gmf_model_info;

typedef enum gmf_value_kind {
  GMF_VALUE_TEXT,
  GMF_VALUE_NUMBER /* text is a JSON number, or a JSON array of numbers */
} gmf_value_kind;

/* One attribute of the file: "lambda", "provenance/host"; and the last entry of each history column:
 * "history/objective". The texts belong to the model. */
typedef struct gmf_model_attribute {
  const char *name;
  const char *text;
  gmf_value_kind kind;
} gmf_model_attribute;

/*
 * Opens a model for reading and checks its shapes; factors are read when they are needed. *out is NULL on failure.
 * Errors: GMF_ERR_NO_INPUT missing or unreadable; GMF_ERR_DATA not a model, damaged, of a later format version, or of
 * an algorithm that this library cannot score; GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_model_open(const char *path, gmf_model **out, gmf_error *err);

/* Closes and sets *model to NULL; NULL-safe. */
GMF_API void gmf_model_close(gmf_model **model);

GMF_API void gmf_model_get_info(const gmf_model *model, gmf_model_info *out);

/* Attributes in the order of their names, root first. index: 0 to n - 1, else *out is all zero. */
GMF_API int64_t gmf_model_n_attributes(const gmf_model *model);
GMF_API void gmf_model_get_attribute(const gmf_model *model, int64_t index, gmf_model_attribute *out);

/*
 * The row of an external id, or -1 when the model does not have it (that is GMF_OK).
 * The first calls on a large model search in the file; after many the ids are kept in memory (8 bytes a row for
 * integers, the length of the longest id for strings).
 * Errors: GMF_ERR_DATA damaged ids; GMF_ERR_IO; GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_model_find_user(gmf_model *model, const char *id, int64_t *row, gmf_error *err);
GMF_API gmf_status gmf_model_find_item(gmf_model *model, const char *id, int64_t *row, gmf_error *err);

/* No id is longer than this, in bytes with the closing NUL. */
enum { GMF_ID_SIZE = 4096 };

/*
 * The external id of a row as text, cut to size - 1 bytes. UTF-8 in files that gridmf wrote.
 * Errors: GMF_ERR_USAGE no such row; GMF_ERR_IO; GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_model_user_id(gmf_model *model, int64_t row, char *out, size_t size, gmf_error *err);
GMF_API gmf_status gmf_model_item_id(gmf_model *model, int64_t row, char *out, size_t size, gmf_error *err);

/*
 * Keeps all item factors in memory (4 bytes x n_items x (n_factors + 1)), for programs that ask many small questions.
 * Without it every call reads the item factors that it needs. Calling it again does nothing.
 * Errors: GMF_ERR_DATA a factor is not a finite number; GMF_ERR_IO; GMF_ERR_MEMORY.
 */
GMF_API gmf_status gmf_model_preload(gmf_model *model, gmf_error *err);

/* "libgridmf 0.1.0, HDF5 1.10.8, kernels avx2": this library, its HDF5 and the kernels that this CPU gets. */
GMF_API void gmf_library_describe(char *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
