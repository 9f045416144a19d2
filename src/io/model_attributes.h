/*
 * What `info` shows of a model file: attributes of the root, of /provenance and of /state, and the last entry of each
 * column of /history. Local; with the serial driver.
 */
#ifndef GMF_IO_MODEL_ATTRIBUTES_H
#define GMF_IO_MODEL_ATTRIBUTES_H

#include "gridmf/model.h"
#include "io/h5.h"

typedef struct gmf_attribute_text {
  char *name, *text; /* owned; of the root "lambda", of groups "state/sweep" */
  gmf_value_kind kind;
} gmf_attribute_text;

/* Fit for {0}. */
typedef struct gmf_model_attributes {
  gmf_attribute_text *values; /* [n] owned */
  int64_t n, capacity;
} gmf_model_attributes;

/* Adds those of an open file. path: the file's, for messages. Values of kinds that gridmf does not write are left out.
 */
gmf_status gmf_model_attributes_read(hid_t file, const char *path, gmf_model_attributes *out, gmf_error *err);
void gmf_model_attributes_free(gmf_model_attributes *attributes);

#endif
