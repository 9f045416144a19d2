/* Finds the rows of one file's ids in another file: how a test set meets a model. Local. */
#ifndef GMF_IO_ID_MATCH_H
#define GMF_IO_ID_MATCH_H

#include "io/dataset.h"
#include "io/model_read.h"

/*
 * rows [wanted->n]: the model's row of each wanted id; -1 where it has none, or has not trained on it (count 0). Ids
 * are compared as numbers where both files hold integers, else as text. Reads all ids of that side of the model once,
 * in pieces; `wanted` must be free of repetitions.
 */
gmf_status gmf_match_ids(gmf_model_file *model, gmf_side side, const gmf_ids *wanted, int64_t *rows, gmf_error *err);

#endif
