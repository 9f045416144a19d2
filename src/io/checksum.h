/* Checksums of the files' blocks: XXH3-64. Local. */
#ifndef GMF_IO_CHECKSUM_H
#define GMF_IO_CHECKSUM_H

#include <stdint.h>

#include "base/narrow.h"

uint64_t gmf_checksum(const void *data, int64_t n_bytes);

/* Rows in a block of a dataset with rows of row_bytes bytes: about 1 MiB, at least one row. */
static inline int64_t gmf_checksum_block_rows(int64_t row_bytes) { return gmf_max64(1, (1 << 20) / row_bytes); }

#endif
