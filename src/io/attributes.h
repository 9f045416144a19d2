/* One checksum of all attributes of a file: HDF5 itself protects numbers, but not the text of variable length. */
#ifndef GMF_IO_ATTRIBUTES_H
#define GMF_IO_ATTRIBUTES_H

#include "io/h5.h"

/*
 * Local. XXH3-64 over objects and attributes in the order of their names, but for the one that is written last
 * (GMF_ATTR_COMPLETE). GMF_ERR_DATA where one cannot be read.
 */
gmf_status gmf_attributes_checksum(hid_t file, const char *path, uint64_t *sum, gmf_error *err);

#endif
