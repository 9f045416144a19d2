/*
 * The ids of one side of a model file, found by row and rows by id. A few are looked up in the file, by binary search
 * where it is sorted; once that has cost as much as reading all of them, or where it is not sorted, they are kept in
 * memory. Local, not thread-safe; with the serial driver.
 */
#ifndef GMF_IO_MODEL_IDS_H
#define GMF_IO_MODEL_IDS_H

#include "base/side.h"
#include "io/h5.h"

typedef struct gmf_model_ids {
  const char *path; /* of the file, borrowed */
  gmf_side side;
  gmf_h5_array array; /* owned; id < 0 where none was opened; type int64 or text */
  int64_t n;
  bool sorted; /* ascending in the file */
  int64_t n_lookups;
  char *values;   /* [n] of array.type.size bytes, owned; NULL until loaded */
  int64_t *order; /* [n] rows by ascending id, owned; NULL where the file is sorted or nothing is loaded */
} gmf_model_ids;

/* n: rows that the side must have; below 0: any. path is borrowed. GMF_ERR_DATA where the ids are not of ours. */
gmf_status gmf_model_ids_open(hid_t file, const char *path, gmf_side side, int64_t n, gmf_model_ids *out,
                              gmf_error *err);
void gmf_model_ids_close(gmf_model_ids *ids);

/* out [n] of type.size bytes: ids of rows [begin, begin + n). */
gmf_status gmf_model_ids_read(const gmf_model_ids *ids, int64_t begin, int64_t n, void *out, gmf_error *err);

/* *row: that of an id, -1 where there is none such. */
gmf_status gmf_model_ids_find(gmf_model_ids *ids, const char *id, int64_t *row, gmf_error *err);

/* out [size]: the id of a row as text. GMF_ERR_USAGE where there is no such row. */
gmf_status gmf_model_ids_text(gmf_model_ids *ids, int64_t row, char *out, size_t size, gmf_error *err);

#endif
