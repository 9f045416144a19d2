#include "io/h5_make.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 192 };

hid_t gmf_h5_make_access(void)
{
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
  return access;
}

/* Level by level: groups that HDF5 makes on the way would hold the time. */
gmf_status gmf_h5_make_group(hid_t file, const char *name, gmf_error *err)
{
  char path[NAME_BYTES];
  snprintf(path, sizeof path, "%s", name);
  char *slash = path;
  while (slash != NULL && strcmp(path, "/") != 0) {
    slash = strchr(slash + 1, '/');
    if (slash != NULL) *slash = '\0';
    if (!gmf_h5_exists(file, path)) {
      hid_t create = H5Pcreate(H5P_GROUP_CREATE);
      H5Pset_obj_track_times(create, 0);
      hid_t group = H5Gcreate2(file, path, H5P_DEFAULT, create, H5P_DEFAULT);
      H5Pclose(create);
      if (group < 0 || H5Gclose(group) < 0)
        return gmf_fail(err, GMF_ERR_IO, "group /%s cannot be made: %s", path, gmf_h5_reason());
    }
    if (slash != NULL) *slash = '/';
  }
  return GMF_OK;
}

/* Makes the groups above an object. */
static gmf_status make_parents(hid_t file, const char *name, gmf_error *err)
{
  char path[NAME_BYTES];
  snprintf(path, sizeof path, "%s", name);
  char *slash = strrchr(path, '/');
  if (slash == NULL) return GMF_OK;
  *slash = '\0';
  return gmf_h5_make_group(file, path, err);
}

gmf_status gmf_h5_make_array(hid_t file, const char *name, gmf_type type, int64_t n_rows, int64_t n_cols,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  hsize_t dims[2] = {(hsize_t)n_rows, (hsize_t)n_cols};
  hid_t element = gmf_type_h5(type), space = H5Screate_simple(n_cols > 0 ? 2 : 1, dims, NULL);
  hid_t create = H5Pcreate(H5P_DATASET_CREATE), id = H5I_INVALID_HID;

  H5Pset_layout(create, H5D_CONTIGUOUS);
  H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(create, H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(create, 0);
  GMF_TRY(make_parents(file, name, err));
  id = H5Dcreate2(file, name, element, space, H5P_DEFAULT, create, H5P_DEFAULT);
  if (id < 0 || H5Dclose(id) < 0)
    status = gmf_fail(err, GMF_ERR_IO, "dataset /%s cannot be made: %s", name, gmf_h5_reason());
cleanup:
  H5Pclose(create);
  H5Sclose(space);
  H5Tclose(element);
  return status;
}
