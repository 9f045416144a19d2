/* Compares a file's data with the checksums written beside it. */
#ifndef GMF_IO_VERIFY_H
#define GMF_IO_VERIFY_H

#include "io/h5.h"
#include "runtime/grid.h"

/*
 * Collective. Checks every block of every dataset of one of our files, blocks divided among the ranks, and that every
 * dataset has checksums. Out: blocks and bytes checked, over all ranks. GMF_ERR_DATA names the first damaged block.
 */
gmf_status gmf_verify(const gmf_grid *grid, const char *path, int64_t *n_blocks, int64_t *n_bytes, gmf_error *err);

#endif
