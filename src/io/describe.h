/* What one of our files holds, as JSON. Local. */
#ifndef GMF_IO_DESCRIBE_H
#define GMF_IO_DESCRIBE_H

#include <jansson.h>

#include "base/error.h"

/*
 * *out (json_decref) = the scalar attributes of the root, and two objects: "arrays", the datasets with type and shape
 * ("float32 [610, 64]"), and "provenance", the attributes of that group. Checksums are left out.
 */
gmf_status gmf_describe(const char *path, json_t **out, gmf_error *err);

#endif
