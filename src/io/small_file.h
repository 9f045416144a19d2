/* Small texts as whole files: results, tables. All Local. */
#ifndef GMF_IO_SMALL_FILE_H
#define GMF_IO_SMALL_FILE_H

#include <stddef.h>

#include "base/error.h"

/*
 * Replaces the file by n bytes of text, so that its name is at any time that of the old file or of the whole new one:
 * written as PATH.tmp, synced, renamed. GMF_ERR_CREATE, GMF_ERR_IO.
 */
gmf_status gmf_small_file_write(const char *path, const char *text, size_t n, gmf_error *err);

/* Renames a file, replacing what has the name, and syncs the folder. GMF_ERR_IO. */
gmf_status gmf_small_file_rename(const char *from, const char *to, gmf_error *err);

#endif
