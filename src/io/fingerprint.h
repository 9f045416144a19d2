/* What tells one dataset from another. */
#ifndef GMF_IO_FINGERPRINT_H
#define GMF_IO_FINGERPRINT_H

#include "io/dataset.h"

enum { GMF_FINGERPRINT_BYTES = 17 };

/*
 * Collective. 16 hexadecimal digits and NUL: a hash of ids, ratings, weights and sizes, the same for any number of
 * ranks and whatever else is in the file. Reads the dataset once.
 */
gmf_status gmf_dataset_fingerprint(const gmf_grid *grid, const gmf_dataset *dataset, char text[GMF_FINGERPRINT_BYTES],
                                   gmf_error *err);

#endif
