/*
 * HDF5 with checked returns and errors that a person can act on. Everything here is Local and uses the serial driver,
 * so it serves the MPI program and the query library alike.
 */
#ifndef GMF_IO_H5_H
#define GMF_IO_H5_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Element types of our files; all little-endian. */
typedef enum gmf_type_kind { GMF_F4, GMF_F8, GMF_I4, GMF_I8, GMF_U8, GMF_TEXT } gmf_type_kind;
typedef struct gmf_type {
  gmf_type_kind kind;
  int64_t size; /* bytes of an element; of GMF_TEXT: the fixed length, padded with NUL */
} gmf_type;

gmf_type gmf_type_of(gmf_type_kind kind); /* not for GMF_TEXT */
gmf_type gmf_type_text(int64_t length);
static inline bool gmf_type_is_real(gmf_type type) { return type.kind == GMF_F4 || type.kind == GMF_F8; }
static inline bool gmf_type_is_whole(gmf_type type) { return type.kind != GMF_TEXT && !gmf_type_is_real(type); }
/* A new HDF5 type; close with H5Tclose. */
hid_t gmf_type_h5(gmf_type type);

/* Silences HDF5's own error printing in this thread and keeps it from cleaning up at exit. Call once at start. */
void gmf_h5_setup(void);

/* "HDF5 1.10.8": the library at run time. */
void gmf_h5_version(char *out, size_t size);

/* The innermost reason on HDF5's error stack, for messages; static storage of the thread. */
const char *gmf_h5_reason(void);

/*
 * Opens a file for reading and checks that it is what `format` says (a GMF_FORMAT_*; NULL: any of ours), complete and
 * of a version this program reads. Says what the file is when it is something else.
 * Errors: GMF_ERR_NO_INPUT missing or unreadable; GMF_ERR_DATA not HDF5, truncated, foreign, incomplete, wrong kind.
 */
gmf_status gmf_h5_open(const char *path, const char *format, hid_t *file, gmf_error *err);

/* Which of ours it is, after gmf_h5_open with NULL: one of the GMF_FORMAT_* strings. */
gmf_status gmf_h5_format(hid_t file, const char *path, const char **format, gmf_error *err);

/* Fails with GMF_ERR_DATA: `what` is wrong in the model at `path`. */
gmf_status gmf_h5_model_damaged(const char *path, const char *what, gmf_error *err);

/* A dataset opened for reading. */
typedef struct gmf_h5_array {
  hid_t id;        /* owned */
  gmf_type type;   /* of the elements in the file */
  int n_dims;      /* 1 or 2 */
  int64_t dims[2]; /* dims[1] is 1 where n_dims is 1 */
} gmf_h5_array;

bool gmf_h5_exists(hid_t file, const char *name);
/*
 * n_dims: 1 or 2, what the caller is made for; 0: either. GMF_ERR_DATA where the dataset is missing, has other
 * dimensions or an element type that is not ours.
 */
gmf_status gmf_h5_array_open(hid_t file, const char *path, const char *name, int n_dims, gmf_h5_array *out,
                             gmf_error *err);
void gmf_h5_array_close(gmf_h5_array *array);

/* Rows [begin, begin + n) of the array into out, converted to `as` (text: as stored, array->type.size bytes each). */
gmf_status gmf_h5_array_read(const gmf_h5_array *array, int64_t begin, int64_t n, gmf_type_kind as, void *out,
                             gmf_error *err);

/* The whole array in one call: opens, allocates (gmf_free), reads, closes. dims may be NULL. */
gmf_status gmf_h5_read_new(hid_t file, const char *path, const char *name, gmf_type_kind as, void **out,
                           int64_t dims[2], gmf_error *err);

/* Attributes of an object ("/" is the root). Missing: GMF_ERR_DATA. Text is cut to size - 1 bytes. */
gmf_status gmf_h5_attr_i64(hid_t file, const char *object, const char *name, int64_t *out, gmf_error *err);
gmf_status gmf_h5_attr_f64(hid_t file, const char *object, const char *name, double *out, gmf_error *err);
gmf_status gmf_h5_attr_text(hid_t file, const char *object, const char *name, char *out, size_t size, gmf_error *err);
bool gmf_h5_attr_exists(hid_t file, const char *object, const char *name);

/* Writing small things with the serial driver. n < 0: a scalar, else a 1-D array of n. */
gmf_status gmf_h5_write_attr_text(hid_t file, const char *object, const char *name, const char *value, gmf_error *err);
gmf_status gmf_h5_write_attr_i64(hid_t file, const char *object, const char *name, const int64_t *values, int64_t n,
                                 gmf_error *err);
gmf_status gmf_h5_write_attr_f64(hid_t file, const char *object, const char *name, const double *values, int64_t n,
                                 gmf_error *err);

#endif
