/* The features of a model's side: what gridmf-query needs of them. Local, like model_read.h. */
#ifndef GMF_IO_MODEL_FEATURES_H
#define GMF_IO_MODEL_FEATURES_H

#include "io/features.h"
#include "io/model_read.h"

/* Fit for {0}. */
typedef struct gmf_model_features {
  gmf_feature_names names; /* owned */
  double *weights;         /* owned [features][k] */
  bool *has;               /* owned [rows of the side]: the row has a feature */
} gmf_model_features;

void gmf_model_features_free(gmf_model_features *features);

bool gmf_model_file_has_features(const gmf_model_file *file, gmf_side side);

/* GMF_ERR_DATA where the file has none, or they are damaged. */
gmf_status gmf_model_file_features(gmf_model_file *file, gmf_side side, gmf_model_features *out, gmf_error *err);

#endif
