#include "io/model_write.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/checksum.h"
#include "io/layout.h"

enum { NAME_BYTES = 96, DENSE_BYTES = 1 << 20 /* of weights that are made at a time, in f8 */ };

static const char *side_member(gmf_side side, const char *member, char name[NAME_BYTES])
{
  snprintf(name, NAME_BYTES, "%s/%s", gmf_side_name(side), member);
  return name;
}

static const char SIMILARITY[] = "items/" GMF_NAME_SIMILARITY;
static const char WEIGHTS[] = "items/" GMF_NAME_WEIGHTS;

static void declare_weights(gmf_writer *w, int64_t n, const gmf_model_weights *weights)
{
  if (weights->n_sparse < 0)
    gmf_writer_add(w, WEIGHTS, gmf_type_of(weights->type), n, n);
  else
    gmf_csr_declare(w, SIMILARITY, n, n, weights->n_sparse, weights->type == GMF_F8 ? GMF_CSR_F8 : 0);
}

static void declare(gmf_writer *w, const gmf_dataset *d, const gmf_model_parts *parts, const gmf_type id_types[])
{
  char name[NAME_BYTES];
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_side side = (gmf_side)s;
    gmf_writer_add(w, side_member(side, GMF_NAME_ID, name), id_types[s], d->n[s], 0);
    gmf_writer_attr_i64(w, name, GMF_ATTR_SORTED, 1);
    if (parts->k > 0)
      gmf_writer_add(w, side_member(side, GMF_NAME_FACTORS, name), gmf_type_of(parts->type), d->n[s], parts->k);
    if (parts->with_bias)
      gmf_writer_add(w, side_member(side, GMF_NAME_BIAS, name), gmf_type_of(parts->type), d->n[s], 0);
    gmf_writer_add(w, side_member(side, GMF_NAME_COUNT, name), gmf_type_of(GMF_I8), d->n[s], 0);
    if (parts->features[s] == NULL) continue;
    gmf_features_declare(w, side, d->n[s], d->nnz_features[s], &parts->features[s]->names);
    gmf_writer_add(w, side_member(side, GMF_NAME_FEATURE_WEIGHTS, name), gmf_type_of(GMF_F8), d->n_features[s],
                   parts->k);
  }
  gmf_writer_attr_i64(w, "/", "n_users", d->n[GMF_USERS]);
  gmf_writer_attr_i64(w, "/", "n_items", d->n[GMF_ITEMS]);
  gmf_writer_attr_i64(w, "/", "nnz", d->nnz);
  gmf_writer_attr_f64(w, "/", GMF_ATTR_GLOBAL_MEAN, parts->global_mean);
  if (parts->items_gram != NULL)
    gmf_writer_add(w, side_member(GMF_ITEMS, GMF_NAME_GRAM, name), gmf_type_of(GMF_F8), parts->k, parts->k);
  if (parts->weights != NULL) declare_weights(w, d->n[GMF_ITEMS], parts->weights);
  for (int a = 0; a < parts->n_arrays; a++)
    gmf_writer_add(w, parts->arrays[a].name, gmf_type_of(GMF_F8), parts->arrays[a].n, 0);
  if (parts->with_seen)
    gmf_csr_declare(w, GMF_GROUP_SEEN, d->n[GMF_USERS], d->n[GMF_ITEMS], d->nnz,
                    d->has_weight ? GMF_CSR_WITH_WEIGHT : 0);
  for (int e = 0; e < parts->n_extras; e++)
    gmf_writer_add(w, parts->extras[e].name, gmf_type_of(parts->extras[e].type), parts->extras[e].n_rows,
                   parts->extras[e].n_cols);
  gmf_writer_add(w, GMF_GROUP_HISTORY "/iteration", gmf_type_of(GMF_I8), parts->n_sweeps, 0);
  for (int h = 0; h < parts->n_history; h++) {
    snprintf(name, sizeof name, "%s/%s", GMF_GROUP_HISTORY, parts->history[h].name);
    gmf_writer_add(w, name, gmf_type_of(GMF_F8), parts->n_sweeps, 0);
  }
}

/* Collective. Ids of one side, each rank its slice of the dataset's. */
static gmf_status write_ids(const gmf_grid *grid, gmf_writer *w, const gmf_dataset *d, gmf_side side, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[NAME_BYTES];
  gmf_ids ids = {0};
  int64_t begin = gmf_slice_begin(d->n[side], grid->size, grid->rank);
  int64_t end = gmf_slice_begin(d->n[side], grid->size, grid->rank + 1);
  GMF_TRY(gmf_agree(grid, gmf_dataset_read_ids(d, side, begin, end - begin, &ids, err), err));
  GMF_TRY(gmf_writer_write(w, side_member(side, GMF_NAME_ID, name), begin, end - begin, ids.values, err));
cleanup:
  gmf_ids_free(&ids);
  return status;
}

static gmf_status write_side(const gmf_grid *grid, gmf_writer *w, const gmf_dataset *d, gmf_side side,
                             const gmf_model_side *part, const gmf_model_parts *parts, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[NAME_BYTES];
  GMF_TRY(write_ids(grid, w, d, side, err));
  if (parts->k > 0)
    GMF_TRY(gmf_writer_write(w, side_member(side, GMF_NAME_FACTORS, name), part->begin, part->n, part->factors, err));
  if (parts->with_bias)
    GMF_TRY(gmf_writer_write(w, side_member(side, GMF_NAME_BIAS, name), part->begin, part->n, part->bias, err));
  GMF_TRY(gmf_writer_write(w, side_member(side, GMF_NAME_COUNT, name), part->begin, part->n, part->counts, err));
  if (parts->features[side] != NULL) {
    GMF_TRY(gmf_features_write(grid, w, side, parts->features[side], err));
    GMF_TRY(
        gmf_writer_write_root(w, side_member(side, GMF_NAME_FEATURE_WEIGHTS, name), parts->feature_weights[side], err));
  }
cleanup:
  return status;
}

/* Collective. The dense weights, some whole checksum blocks of each rank at a time. */
static gmf_status write_dense(const gmf_grid *grid, gmf_writer *w, int64_t n, const gmf_model_weights *weights,
                              gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t size = gmf_type_of(weights->type).size, block = gmf_checksum_block_rows(n * size), begin = 0, end = 0;
  int64_t step = block * gmf_max64(1, DENSE_BYTES / (block * n * (int64_t)sizeof(double)));
  double *rows = NULL;
  float *narrow = NULL;
  gmf_writer_slice(w, WEIGHTS, &begin, &end);
  int64_t most = end - begin;
  gmf_max_i64(grid, &most, 1);
  step = gmf_min64(step, gmf_max64(most, 1));
  local = GMF_NEW(rows, step * n, err);
  if (local == GMF_OK && weights->type == GMF_F4) local = GMF_NEW(narrow, step * n, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int64_t done = 0; done < most; done += step) {
    int64_t first = gmf_min64(begin + done, end), count = gmf_min64(step, end - first);
    GMF_TRY(weights->make(weights->context, first, count, rows, err));
    for (int64_t e = 0; narrow != NULL && e < count * n; e++) narrow[e] = (float)rows[e];
    GMF_TRY(gmf_writer_write_part(w, WEIGHTS, count, narrow != NULL ? (const void *)narrow : rows, err));
  }
  weights->release(weights->context);
cleanup:
  gmf_free(rows);
  gmf_free(narrow);
  return status;
}

/* Collective. The training ratings, as they stand in the dataset. */
static gmf_status write_seen(const gmf_grid *grid, gmf_writer *w, const gmf_dataset *d, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *items = NULL, n_rows = d->row_end - d->row_begin, n = d->indptr[n_rows] - d->indptr[0];
  float *values = NULL, *weights = NULL;
  status = GMF_NEW(items, n, err);
  if (status == GMF_OK) status = GMF_NEW(values, n, err);
  if (status == GMF_OK && d->has_weight) status = GMF_NEW(weights, n, err);
  if (status == GMF_OK) status = gmf_dataset_read(d, d->indptr[0], n, items, values, NULL, weights, err);
  GMF_TRY(gmf_agree(grid, status, err));
  gmf_csr_rows rows = {.row_begin = d->row_begin,
                       .n_rows = n_rows,
                       .indptr = d->indptr,
                       .indices = items,
                       .data = values,
                       .weights = weights};
  GMF_TRY(gmf_csr_write(grid, w, GMF_GROUP_SEEN, d->n[GMF_ITEMS], &rows, err));
cleanup:
  gmf_free(items);
  gmf_free(values);
  gmf_free(weights);
  return status;
}

static gmf_status write_history(const gmf_grid *grid, gmf_writer *w, const gmf_model_parts *parts, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char name[NAME_BYTES];
  int64_t *iteration = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW(iteration, parts->n_sweeps, err), err));
  for (int64_t i = 0; i < parts->n_sweeps; i++) iteration[i] = i + 1;
  GMF_TRY(gmf_writer_write_root(w, GMF_GROUP_HISTORY "/iteration", iteration, err));
  for (int h = 0; h < parts->n_history; h++) {
    snprintf(name, sizeof name, "%s/%s", GMF_GROUP_HISTORY, parts->history[h].name);
    GMF_TRY(gmf_writer_write_root(w, name, parts->history[h].values, err));
  }
cleanup:
  gmf_free(iteration);
  return status;
}

/* Collective. The types of both sides' ids, without reading any. */
static gmf_status id_types_of(const gmf_grid *grid, const gmf_dataset *d, gmf_type types[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int s = 0; s < GMF_N_SIDES && status == GMF_OK; s++) {
    gmf_ids none = {0};
    status = gmf_dataset_read_ids(d, (gmf_side)s, 0, 0, &none, err);
    types[s] = none.type;
    gmf_ids_free(&none);
  }
  return gmf_agree(grid, status, err);
}

gmf_status gmf_model_write(const gmf_grid *grid, gmf_writer *w, const gmf_dataset *d, const gmf_model_parts *parts,
                           gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_type id_types[GMF_N_SIDES];
  GMF_TRY(id_types_of(grid, d, id_types, err));
  declare(w, d, parts, id_types);
  GMF_TRY(gmf_writer_create(w, err));
  for (int s = 0; s < GMF_N_SIDES; s++) GMF_TRY(write_side(grid, w, d, (gmf_side)s, &parts->sides[s], parts, err));
  if (parts->items_gram != NULL) {
    char name[NAME_BYTES];
    GMF_TRY(gmf_writer_write_root(w, side_member(GMF_ITEMS, GMF_NAME_GRAM, name), parts->items_gram, err));
  }
  for (int a = 0; a < parts->n_arrays; a++)
    GMF_TRY(gmf_writer_write_root(w, parts->arrays[a].name, parts->arrays[a].values, err));
  if (parts->weights != NULL && parts->weights->n_sparse < 0)
    GMF_TRY(write_dense(grid, w, d->n[GMF_ITEMS], parts->weights, err));
  if (parts->weights != NULL && parts->weights->n_sparse >= 0)
    GMF_TRY(gmf_csr_write(grid, w, SIMILARITY, d->n[GMF_ITEMS], parts->weights->rows, err));
  if (parts->with_seen) GMF_TRY(write_seen(grid, w, d, err));
  for (int e = 0; e < parts->n_extras; e++) {
    const gmf_model_extra *extra = &parts->extras[e];
    GMF_TRY(gmf_writer_write(w, extra->name, extra->begin, extra->n, extra->owned, err));
  }
  GMF_TRY(write_history(grid, w, parts, err));
  GMF_TRY(gmf_writer_commit(w, err));
cleanup:
  return status;
}
