#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/attributes.h"
#include "io/disk.h"
#include "io/h5_make.h"
#include "io/layout.h"
#include "io/writer_internal.h"

static gmf_status make_contents(gmf_writer *w, hid_t file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[2 * GMF_WRITER_NAME_BYTES];
  GMF_TRY(gmf_h5_write_attr_text(file, "/", GMF_ATTR_FORMAT, w->format, err));
  GMF_TRY(gmf_h5_write_attr_text(file, "/", GMF_ATTR_VERSION, GMF_FORMAT_VERSION, err));
  int64_t not_yet = 0;
  GMF_TRY(gmf_h5_write_attr_i64(file, "/", GMF_ATTR_COMPLETE, &not_yet, -1, err));
  for (int a = 0; a < w->n_arrays; a++) {
    const gmf_writer_array *d = &w->arrays[a];
    GMF_TRY(gmf_h5_make_array(file, d->name, d->type, d->blocks.n_rows, d->n_cols, err));
    snprintf(name, sizeof name, "%s/%s", GMF_GROUP_INTEGRITY, d->name);
    GMF_TRY(gmf_h5_make_array(file, name, gmf_type_of(GMF_U8), d->blocks.n_blocks, 0, err));
    GMF_TRY(gmf_h5_write_attr_i64(file, name, GMF_ATTR_BLOCK_ROWS, &d->blocks.block_rows, -1, err));
  }
  GMF_TRY(gmf_h5_make_group(file, GMF_GROUP_INTEGRITY, err));
  GMF_TRY(gmf_h5_write_attr_text(file, GMF_GROUP_INTEGRITY, GMF_ATTR_CHECKSUM, GMF_CHECKSUM_NAME, err));
  GMF_TRY(gmf_h5_make_array(file, GMF_GROUP_INTEGRITY "/" GMF_NAME_ATTRIBUTES, gmf_type_of(GMF_U8), 1, 0, err));
  GMF_TRY(gmf_attribute_list_write(&w->attributes, file, err));
cleanup:
  return status;
}

/* Gives the temporary file its full size on the disk, so that a full disk shows before any data is written. */
static gmf_status reserve_space(gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  struct stat st;
  int fd = open(w->output.temporary, O_RDWR);
  if (fd < 0 || fstat(fd, &st) != 0) GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: %s", w->output.temporary, strerror(errno)));
  /* Early allocation in HDF5 fixes the end of the file in its metadata only; the file grows to it here. */
  int64_t bytes = gmf_max64((int64_t)st.st_size, 1);
  int code = fallocate(fd, 0, 0, bytes) == 0 ? 0 : errno; /* not posix_fallocate, which writes where this cannot */
  if (code != 0 && code != EOPNOTSUPP && code != EINVAL && code != ENOSYS)
    GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: %.3f GB cannot be reserved: %s; free some space or write elsewhere",
                     w->output.path, (double)bytes / 1e9, strerror(code)));
  if (fsync(fd) != 0) GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: sync failed: %s", w->output.path, strerror(errno)));

cleanup:
  if (fd >= 0) close(fd);
  return status;
}

/* Closes rank 0's own handle after work that came to `status`. HDF5 keeps a file whose writing failed half open, and
 * then crashes when MPI_Finalize ends it: the program has to leave by MPI_Abort. */
static gmf_status close_serial(gmf_writer *w, hid_t file, gmf_status status, gmf_error *err)
{
  if (H5Fclose(file) < 0 && status == GMF_OK)
    status = gmf_fail(err, GMF_ERR_IO, "%s: cannot be closed: %s", w->output.path, gmf_h5_reason());
  if (status != GMF_OK && err != NULL) err->must_abort = true;
  return status;
}

gmf_status gmf_writer_make_file(gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t access = gmf_h5_make_access(), create = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_alignment(access, 4096, 4096);
  H5Pset_obj_track_times(create, 0);
  hid_t file = H5Fcreate(w->output.temporary, H5F_ACC_TRUNC, create, access);
  if (file < 0) /* the name was there already: it is the disk that fails */
    status = gmf_fail(err, GMF_ERR_IO, "%s: cannot be written: %s", w->output.path, gmf_h5_reason());
  H5Pclose(access);
  H5Pclose(create);
  GMF_TRY(status);
  status = make_contents(w, file, err);
  GMF_TRY(close_serial(w, file, status, err));
  GMF_TRY(reserve_space(w, err));

cleanup:
  return status;
}

static gmf_status seal_checksums(hid_t file, const char *array_name, const uint64_t *checksums, gmf_error *err)
{
  char name[2 * GMF_WRITER_NAME_BYTES];
  snprintf(name, sizeof name, "%s/%s", GMF_GROUP_INTEGRITY, array_name);
  hid_t id = H5Dopen2(file, name, H5P_DEFAULT);
  gmf_status status = GMF_OK;
  if (id < 0 || H5Dwrite(id, H5T_STD_U64LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, checksums) < 0)
    status = gmf_fail(err, GMF_ERR_IO, "/%s cannot be written: %s", name, gmf_h5_reason());
  if (id >= 0 && H5Dclose(id) < 0 && status == GMF_OK)
    status = gmf_fail(err, GMF_ERR_IO, "/%s cannot be closed: %s", name, gmf_h5_reason());
  return status;
}

static gmf_status seal_contents(const gmf_writer *w, hid_t file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t attr = H5I_INVALID_HID;
  int64_t complete = 1;
  uint64_t of_attributes = 0;
  for (int a = 0; a < w->n_arrays; a++) GMF_TRY(seal_checksums(file, w->arrays[a].name, w->arrays[a].checksums, err));
  GMF_TRY(gmf_attributes_checksum(file, w->output.path, &of_attributes, err));
  GMF_TRY(seal_checksums(file, GMF_NAME_ATTRIBUTES, &of_attributes, err));
  attr = H5Aopen(file, GMF_ATTR_COMPLETE, H5P_DEFAULT);
  if (attr < 0 || H5Awrite(attr, H5T_NATIVE_INT64, &complete) < 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: cannot be marked complete: %s", w->output.path, gmf_h5_reason()));
cleanup:
  if (attr >= 0) H5Aclose(attr);
  return status;
}

gmf_status gmf_writer_seal_file(gmf_writer *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  hid_t access = gmf_h5_make_access();
  hid_t file = H5Fopen(w->output.temporary, H5F_ACC_RDWR, access);
  if (file < 0) status = gmf_fail(err, GMF_ERR_IO, "%s: cannot be reopened: %s", w->output.path, gmf_h5_reason());
  H5Pclose(access);
  GMF_TRY(status);
  status = seal_contents(w, file, err);
  GMF_TRY(close_serial(w, file, status, err));
  GMF_TRY(gmf_sync_file(w->output.temporary, err));
cleanup:
  return status;
}
