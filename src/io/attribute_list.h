/* Attributes of a file that is not there yet. Local, HDF5 by its serial driver. */
#ifndef GMF_IO_ATTRIBUTE_LIST_H
#define GMF_IO_ATTRIBUTE_LIST_H

#include "io/h5.h"

typedef struct gmf_attribute gmf_attribute;

/* Fit for {0}. */
typedef struct gmf_attribute_list {
  gmf_attribute *items; /* owned */
  int64_t n, capacity;
  gmf_error error; /* why attributes are missing: memory ran out; GMF_OK where none is */
} gmf_attribute_list;

/* object: a dataset, a group, or "/", the root. Names and values are copied. */
void gmf_attribute_list_text(gmf_attribute_list *list, const char *object, const char *name, const char *value);
void gmf_attribute_list_f64(gmf_attribute_list *list, const char *object, const char *name, double value);
/* n: at most 4; -1: one value, as a scalar. */
void gmf_attribute_list_i64(gmf_attribute_list *list, const char *object, const char *name, const int64_t *values,
                            int n);

/* Writes them to a file whose datasets are made; objects that are not there are made as groups. GMF_ERR_IO. */
gmf_status gmf_attribute_list_write(const gmf_attribute_list *list, hid_t file, gmf_error *err);

void gmf_attribute_list_free(gmf_attribute_list *list);

#endif
