/* New groups and datasets of an HDF5 file that is open for writing; the same bytes whenever they are made. Local. */
#ifndef GMF_IO_H5_MAKE_H
#define GMF_IO_H5_MAKE_H

#include "io/h5.h"

/* How files are opened for writing: in the format of HDF5 1.8, which every reader knows. Close with H5Pclose. */
hid_t gmf_h5_make_access(void);

/* Makes the group `name` and those above it, where they are not there yet. GMF_ERR_IO. */
gmf_status gmf_h5_make_group(hid_t file, const char *name, gmf_error *err);

/* Makes a contiguous dataset, its space allocated and not filled, and the groups above it; n_cols = 0: 1-D. GMF_ERR_IO.
 */
gmf_status gmf_h5_make_array(hid_t file, const char *name, gmf_type type, int64_t n_rows, int64_t n_cols,
                             gmf_error *err);

#endif
