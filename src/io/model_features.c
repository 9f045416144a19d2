#include "io/model_features.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/layout.h"

enum { NAME_BYTES = 96, PIECE_ROWS = 1 << 16 };

void gmf_model_features_free(gmf_model_features *features)
{
  gmf_feature_names_free(&features->names);
  gmf_free(features->weights);
  gmf_free(features->has);
  *features = (gmf_model_features){0};
}

bool gmf_model_file_has_features(const gmf_model_file *m, gmf_side side)
{
  char name[NAME_BYTES];
  snprintf(name, sizeof name, "%s/%s", gmf_side_name(side), GMF_NAME_FEATURE_WEIGHTS);
  return gmf_features_exist(gmf_model_file_handle(m), side) && gmf_h5_exists(gmf_model_file_handle(m), name);
}

static gmf_status read_weights(gmf_model_file *m, gmf_side side, int64_t n, double **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_model_info *info = gmf_model_file_info(m);
  gmf_h5_array array = {.id = H5I_INVALID_HID};
  char name[NAME_BYTES];
  snprintf(name, sizeof name, "%s/%s", gmf_side_name(side), GMF_NAME_FEATURE_WEIGHTS);
  GMF_TRY(gmf_h5_array_open(gmf_model_file_handle(m), info->path, name, 2, &array, err));
  if (array.dims[0] != n || array.dims[1] != info->n_factors)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s is [%" PRId64 ", %" PRId64 "], not [%" PRId64 ", %d]", info->path,
                     name, array.dims[0], array.dims[1], n, info->n_factors));
  GMF_TRY(GMF_NEW(*out, n * info->n_factors, err));
  GMF_TRY(gmf_h5_array_read(&array, 0, n, GMF_F8, *out, err));
  for (int64_t j = 0; j < n * info->n_factors; j++)
    if (!(fabs((*out)[j]) < (double)GMF_VALUE_LIMIT))
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s holds a value that is not a finite number below 1e15", info->path,
                       name));
cleanup:
  gmf_h5_array_close(&array);
  return status;
}

gmf_status gmf_model_file_features(gmf_model_file *m, gmf_side side, gmf_model_features *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *path = gmf_model_file_info(m)->path;
  int64_t n = gmf_model_file_rows(m, side);
  gmf_feature_rows rows = {0};

  *out = (gmf_model_features){0};
  if (!gmf_model_file_has_features(m, side))
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: was trained without features of %s; see gridmf train --%s-features", path,
                     gmf_side_name(side), gmf_side_noun(side)));
  GMF_TRY(gmf_features_read_names(gmf_model_file_handle(m), path, side, &out->names, err));
  GMF_TRY(read_weights(m, side, out->names.n, &out->weights, err));
  GMF_TRY(GMF_NEW(out->has, n, err));
  for (int64_t begin = 0; begin < n; begin += PIECE_ROWS) {
    int64_t count = gmf_min64(PIECE_ROWS, n - begin);
    GMF_TRY(gmf_features_read_rows(gmf_model_file_handle(m), path, side, out->names.n, begin, count, &rows, err));
    for (int64_t r = 0; r < count; r++) out->has[begin + r] = rows.indptr[r + 1] > rows.indptr[r];
    gmf_feature_rows_free(&rows);
  }
cleanup:
  if (status != GMF_OK) gmf_model_features_free(out);
  return status;
}
