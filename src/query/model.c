/* Opening models and finding rows: the public side of io/model_read. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/build_info.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/isa.h"
#include "query/internal.h"

static pthread_mutex_t file_mutex = PTHREAD_MUTEX_INITIALIZER;

void gmf_file_lock(void) { pthread_mutex_lock(&file_mutex); }
void gmf_file_unlock(void) { pthread_mutex_unlock(&file_mutex); }

gmf_status gmf_model_open(const char *path, gmf_model **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_model *model = NULL;

  *out = NULL;
  gmf_file_lock();
  gmf_h5_setup();
  GMF_TRY(GMF_NEW_ZERO(model, 1, err));
  GMF_TRY(gmf_model_file_open(path, &model->file, err));
  model->info = *gmf_model_file_info(model->file);
  *out = model;
  model = NULL;
cleanup:
  gmf_file_unlock();
  gmf_model_close(&model);
  return status;
}

void gmf_model_close(gmf_model **model)
{
  if (*model == NULL) return;
  gmf_file_lock();
  gmf_model_file_close(&(*model)->file);
  gmf_file_unlock();
  gmf_free((*model)->items);
  gmf_free((*model)->offsets);
  gmf_fold_in_parts_free(&(*model)->fold_in);
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_model_features_free(&(*model)->features[s]);
  GMF_FREE(*model);
}

void gmf_model_get_info(const gmf_model *model, gmf_model_info *out) { *out = model->info; }

bool gmf_is_popularity(const gmf_model *model) { return strcmp(model->info.algorithm, "popularity") == 0; }

int64_t gmf_model_n_attributes(const gmf_model *model) { return gmf_model_file_n_attributes(model->file); }

void gmf_model_get_attribute(const gmf_model *model, int64_t index, gmf_model_attribute *out)
{
  *out = gmf_model_file_attribute(model->file, index);
}

static gmf_status find(gmf_model *model, gmf_side side, const char *id, int64_t *row, gmf_error *err)
{
  gmf_file_lock();
  gmf_status status = gmf_model_file_find(model->file, side, id, row, err);
  gmf_file_unlock();
  return status;
}

static gmf_status id_text(gmf_model *model, gmf_side side, int64_t row, char *out, size_t size, gmf_error *err)
{
  gmf_file_lock();
  gmf_status status = gmf_model_file_id_text(model->file, side, row, out, size, err);
  gmf_file_unlock();
  return status;
}

gmf_status gmf_model_find_user(gmf_model *model, const char *id, int64_t *row, gmf_error *err)
{
  return find(model, GMF_USERS, id, row, err);
}

gmf_status gmf_model_find_item(gmf_model *model, const char *id, int64_t *row, gmf_error *err)
{
  return find(model, GMF_ITEMS, id, row, err);
}

gmf_status gmf_model_user_id(gmf_model *model, int64_t row, char *out, size_t size, gmf_error *err)
{
  return id_text(model, GMF_USERS, row, out, size, err);
}

gmf_status gmf_model_item_id(gmf_model *model, int64_t row, char *out, size_t size, gmf_error *err)
{
  return id_text(model, GMF_ITEMS, row, out, size, err);
}

void gmf_library_describe(char *out, size_t size)
{
  char hdf5[64];
  gmf_file_lock();
  gmf_h5_setup();
  gmf_h5_version(hdf5, sizeof hdf5);
  gmf_file_unlock();
  snprintf(out, size, "libgridmf %s, %s, kernels %s", GMF_BUILD.version, hdf5,
           gmf_kernel_level_name(gmf_kernel_level()));
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* Rows from the file: factors [n][k], offsets [n] = mean + bias, NaN where cold. The lock is held. */
static gmf_status read_rows(gmf_model *model, gmf_side side, double mean, int64_t begin, int64_t n, float *factors,
                            float *offsets, int64_t *counts, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_model_file_factors(model->file, side, begin, n, factors, err));
  GMF_TRY(gmf_model_file_bias(model->file, side, begin, n, offsets, err));
  GMF_TRY(gmf_model_file_counts(model->file, side, begin, n, counts, err));
  for (int64_t r = 0; r < n; r++) offsets[r] = counts[r] > 0 ? (float)(mean + (double)offsets[r]) : NAN;
cleanup:
  return status;
}

gmf_status gmf_side_rows(gmf_model *model, gmf_side side, int64_t begin, int64_t n, float *factors, float *offsets,
                         int64_t *counts, gmf_error *err)
{
  gmf_status status = GMF_OK;
  double mean = side == GMF_USERS ? model->info.global_mean : 0;
  gmf_file_lock();
  bool loaded = side == GMF_ITEMS && model->items != NULL;
  if (!loaded) status = read_rows(model, side, mean, begin, n, factors, offsets, counts, err);
  gmf_file_unlock();
  if (loaded) {
    size_t k = (size_t)model->info.n_factors;
    memcpy(factors, model->items + (size_t)begin * k, (size_t)n * k * sizeof *factors);
    memcpy(offsets, model->offsets + begin, (size_t)n * sizeof *offsets);
  }
  if (status == GMF_OK && model->include_cold) gmf_warm_cold_rows(model, side, begin, n, offsets);
  return status;
}

gmf_status gmf_training_counts(gmf_model *model, gmf_side side, int64_t begin, int64_t n, int64_t *counts,
                               gmf_error *err)
{
  if (!gmf_model_file_has_counts(model->file, side))
    return gmf_fail(err, GMF_ERR_DATA, "%s: does not say how many ratings each %s has", model->info.path,
                    gmf_side_noun(side));
  gmf_file_lock();
  gmf_status status = gmf_model_file_counts(model->file, side, begin, n, counts, err);
  gmf_file_unlock();
  return status;
}

gmf_status gmf_model_preload(gmf_model *model, gmf_error *err)
{
  gmf_status status = GMF_OK;
  float *factors = NULL, *offsets = NULL;
  int64_t *counts = NULL;
  int64_t n = model->info.n_items;

  gmf_file_lock();
  if (model->items != NULL) goto cleanup;
  GMF_TRY(GMF_NEW(factors, n * model->info.n_factors, err));
  GMF_TRY(GMF_NEW(offsets, n, err));
  GMF_TRY(GMF_NEW(counts, n, err));
  GMF_TRY(read_rows(model, GMF_ITEMS, 0, 0, n, factors, offsets, counts, err));
  model->items = factors;
  model->offsets = offsets;
  factors = offsets = NULL;
cleanup:
  gmf_file_unlock();
  gmf_free(factors);
  gmf_free(offsets);
  gmf_free(counts);
  return status;
}
