/*
 * Each rating, each id and each feature is hashed together with its place (XXH3-64), and the hashes are added modulo
 * 2^64: a sum that does not depend on who adds what.
 */
#include "io/fingerprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/memory.h"
#include "base/narrow.h"

enum { BATCH = 1 << 16 };

/* A rating as it is hashed, without padding. */
typedef struct hashed_rating {
  int64_t place, item;
  float value, weight;
} hashed_rating;

/* Local. */
static gmf_status hash_ratings(const gmf_dataset *d, uint64_t *sum, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *items = NULL, end = d->indptr[d->row_end - d->row_begin];
  float *values = NULL, *weights = NULL;
  GMF_TRY(GMF_NEW(items, BATCH, err));
  GMF_TRY(GMF_NEW(values, BATCH, err));
  GMF_TRY(GMF_NEW(weights, BATCH, err));
  for (int64_t begin = d->indptr[0]; begin < end; begin += BATCH) {
    int64_t n = gmf_min64(BATCH, end - begin);
    GMF_TRY(gmf_dataset_read(d, begin, n, items, values, NULL, weights, err));
    for (int64_t j = 0; j < n; j++) {
      hashed_rating r = {begin + j, items[j], values[j], weights[j]};
      *sum += XXH3_64bits(&r, sizeof r);
    }
  }
  for (int64_t u = d->row_begin; u < d->row_end; u++) { /* where rows begin */
    int64_t row[2] = {u, d->indptr[u - d->row_begin]};
    *sum += XXH3_64bits_withSeed(row, sizeof row, 1);
  }
cleanup:
  gmf_free(items);
  gmf_free(values);
  gmf_free(weights);
  return status;
}

/* Local. My slice of a side's ids, as text: 42 and "42" are the same id. */
static gmf_status hash_ids(const gmf_grid *grid, const gmf_dataset *d, gmf_side side, uint64_t *sum, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_ids ids = {0};
  char text[1100];
  int64_t end = gmf_slice_begin(d->n[side], grid->size, grid->rank + 1);
  for (int64_t begin = gmf_slice_begin(d->n[side], grid->size, grid->rank); begin < end; begin += BATCH) {
    int64_t n = gmf_min64(BATCH, end - begin);
    GMF_TRY(gmf_dataset_read_ids(d, side, begin, n, &ids, err));
    for (int64_t j = 0; j < n; j++) {
      gmf_id_text(&ids, j, text, sizeof text);
      uint64_t place = ((uint64_t)(begin + j) << 1) + (side == GMF_ITEMS);
      *sum += XXH3_64bits_withSeed(text, strlen(text), XXH3_64bits(&place, sizeof place));
    }
    gmf_ids_free(&ids);
  }
cleanup:
  gmf_ids_free(&ids);
  return status;
}

/* A feature of a row as it is hashed, without padding. */
typedef struct hashed_feature {
  int64_t row;
  int32_t column;
  float value;
} hashed_feature;

/* Local. My slice of a side's features, where it has some, and rank 0 their names. */
static gmf_status hash_features(const gmf_grid *grid, const gmf_dataset *d, gmf_side side, uint64_t *sum,
                                gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_feature_names names = {0};
  gmf_feature_rows rows = {0};
  int64_t end = gmf_slice_begin(d->n[side], grid->size, grid->rank + 1);
  uint64_t seed = 2 + (uint64_t)side;
  if (!d->has_features[side]) return GMF_OK;
  GMF_TRY(gmf_features_read_names(d->file, d->path, side, &names, err));
  for (int64_t j = 0; j < names.n && grid->rank == 0; j++)
    *sum += XXH3_64bits_withSeed(names.text + j * names.size, strnlen(names.text + j * names.size, (size_t)names.size),
                                 seed + (uint64_t)j);
  for (int64_t begin = gmf_slice_begin(d->n[side], grid->size, grid->rank); begin < end; begin += BATCH) {
    GMF_TRY(gmf_features_read_rows(d->file, d->path, side, names.n, begin, gmf_min64(BATCH, end - begin), &rows, err));
    for (int64_t r = 0; r < rows.n; r++)
      for (int64_t j = rows.indptr[r]; j < rows.indptr[r + 1]; j++) {
        hashed_feature f = {begin + r, rows.columns[j], rows.values[j]};
        *sum += XXH3_64bits_withSeed(&f, sizeof f, seed);
      }
    gmf_feature_rows_free(&rows);
  }
cleanup:
  gmf_feature_names_free(&names);
  gmf_feature_rows_free(&rows);
  return status;
}

gmf_status gmf_dataset_fingerprint(const gmf_grid *grid, const gmf_dataset *d, char text[GMF_FINGERPRINT_BYTES],
                                   gmf_error *err)
{
  gmf_status status = GMF_OK;
  uint64_t sum = 0;
  int64_t sizes[3] = {d->n[GMF_USERS], d->n[GMF_ITEMS], d->nnz}, total = 0;
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_READ);
  status = hash_ratings(d, &sum, err);
  for (int s = 0; s < GMF_N_SIDES && status == GMF_OK; s++) status = hash_ids(grid, d, (gmf_side)s, &sum, err);
  for (int s = 0; s < GMF_N_SIDES && status == GMF_OK; s++) status = hash_features(grid, d, (gmf_side)s, &sum, err);
  GMF_TRY(gmf_agree(grid, status, err));
  memcpy(&total, &sum, sizeof total); /* MPI adds integers modulo 2^64 whatever their sign */
  gmf_sum_i64(grid, &total, 1);
  memcpy(&sum, &total, sizeof sum);
  sum += XXH3_64bits(sizes, sizeof sizes);
  snprintf(text, GMF_FINGERPRINT_BYTES, "%016" PRIx64, sum);
cleanup:
  gmf_trace_phase(grid->trace, before);
  return status;
}
