#include "io/checksum.h"

#include <xxhash.h>

uint64_t gmf_checksum(const void *data, int64_t n_bytes) { return XXH3_64bits(data, (size_t)n_bytes); }
