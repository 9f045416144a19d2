/* What the file system says of making files, and that it keeps them. All Local. */
#ifndef GMF_IO_DISK_H
#define GMF_IO_DISK_H

#include "base/error.h"

/* Why a file cannot be made, by errno: GMF_ERR_IO where the disk is full or broken, else GMF_ERR_CREATE. */
gmf_status gmf_creation_status(int code);

/* Forces this node's pages of a file to the disk. GMF_ERR_IO. */
gmf_status gmf_sync_file(const char *path, gmf_error *err);

/* The same of the entries of the folder that `path` is in, after its file got its name. GMF_ERR_IO. */
gmf_status gmf_sync_folder_of(const char *path, gmf_error *err);

#endif
