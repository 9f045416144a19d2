#include "io/dataset.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "gridmf/model.h"
#include "io/checksum.h"
#include "io/csr_write.h"
#include "io/layout.h"

#define RATINGS(member) GMF_GROUP_RATINGS "/" member

void gmf_ids_free(gmf_ids *ids) { GMF_FREE(ids->values); }

void gmf_id_text(const gmf_ids *ids, int64_t index, char *out, size_t size)
{
  if (ids->type.kind == GMF_I8)
    snprintf(out, size, "%" PRId64, ((const int64_t *)ids->values)[index]);
  else
    snprintf(out, size, "%.*s", gmf_int(ids->type.size), (const char *)ids->values + index * ids->type.size);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The first row whose ratings begin at or after position `target`: binary search in the file. */
static gmf_status find_row(const gmf_h5_array *indptr, int64_t n_rows, int64_t target, int64_t *row, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t low = 0, high = n_rows;
  while (low < high) {
    int64_t middle = low + (high - low) / 2, position = 0;
    GMF_TRY(gmf_h5_array_read(indptr, middle, 1, GMF_I8, &position, err));
    if (position < target)
      low = middle + 1;
    else
      high = middle;
  }
  *row = low;
cleanup:
  return status;
}

static gmf_status check_indptr(const gmf_dataset *d, gmf_error *err)
{
  int64_t n = d->row_end - d->row_begin;
  bool good = d->indptr[0] >= 0 && d->indptr[n] <= d->nnz && (d->row_begin > 0 || d->indptr[0] == 0) &&
              (d->row_end < d->n[GMF_USERS] || d->indptr[n] == d->nnz);
  for (int64_t r = 0; r < n && good; r++) good = d->indptr[r] <= d->indptr[r + 1];
  return good ? GMF_OK
              : gmf_fail(err, GMF_ERR_DATA,
                         "%s: /%s is damaged: it does not ascend from 0 to %" PRId64 "; run 'gridmf verify'", d->path,
                         RATINGS(GMF_CSR_INDPTR), d->nnz);
}

static gmf_status open_arrays(gmf_dataset *d, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_h5_array_open(d->file, d->path, RATINGS(GMF_CSR_INDICES), 1, &d->items, err));
  GMF_TRY(gmf_h5_array_open(d->file, d->path, RATINGS(GMF_CSR_DATA), 1, &d->values, err));
  d->has_time = gmf_h5_exists(d->file, RATINGS(GMF_CSR_TIME));
  if (d->has_time) GMF_TRY(gmf_h5_array_open(d->file, d->path, RATINGS(GMF_CSR_TIME), 1, &d->times, err));
  d->nnz = d->items.dims[0];
  d->has_weight = gmf_h5_exists(d->file, RATINGS(GMF_CSR_WEIGHT));
  if (d->has_weight) GMF_TRY(gmf_h5_array_open(d->file, d->path, RATINGS(GMF_CSR_WEIGHT), 1, &d->weights, err));
  if (d->values.dims[0] != d->nnz || (d->has_time && d->times.dims[0] != d->nnz) ||
      (d->has_weight && d->weights.dims[0] != d->nnz))
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: the arrays of /%s differ in length", d->path, GMF_GROUP_RATINGS));
  for (int s = 0; s < GMF_N_SIDES; s++) {
    char name[64];
    gmf_h5_array ids = {.id = H5I_INVALID_HID};
    snprintf(name, sizeof name, "%s/%s", gmf_side_name((gmf_side)s), GMF_NAME_ID);
    GMF_TRY(gmf_h5_array_open(d->file, d->path, name, 1, &ids, err));
    d->n[s] = ids.dims[0];
    d->has_features[s] = gmf_features_exist(d->file, (gmf_side)s);
    GMF_TRY(gmf_features_measure(d->file, d->path, (gmf_side)s, &d->n_features[s], &d->nnz_features[s], err));
    gmf_h5_array_close(&ids);
  }
cleanup:
  return status;
}

static gmf_status read_rows(gmf_dataset *d, int n_ranks, int rank, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array indptr = {.id = H5I_INVALID_HID};

  GMF_TRY(gmf_h5_array_open(d->file, d->path, RATINGS(GMF_CSR_INDPTR), 1, &indptr, err));
  if (indptr.dims[0] != d->n[GMF_USERS] + 1)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s has %" PRId64 " entries for %" PRId64 " users", d->path,
                     RATINGS(GMF_CSR_INDPTR), indptr.dims[0], d->n[GMF_USERS]));
  d->row_end = d->n[GMF_USERS];
  if (rank > 0) GMF_TRY(find_row(&indptr, d->n[GMF_USERS], gmf_slice_begin(d->nnz, n_ranks, rank), &d->row_begin, err));
  if (rank < n_ranks - 1)
    GMF_TRY(find_row(&indptr, d->n[GMF_USERS], gmf_slice_begin(d->nnz, n_ranks, rank + 1), &d->row_end, err));
  /* A damaged indptr can make the searches disagree; check_indptr of the ranks then reports it. */
  d->row_end = gmf_max64(d->row_end, d->row_begin);
  GMF_TRY(GMF_NEW(d->indptr, d->row_end - d->row_begin + 1, err));
  GMF_TRY(gmf_h5_array_read(&indptr, d->row_begin, d->row_end - d->row_begin + 1, GMF_I8, d->indptr, err));
  GMF_TRY(check_indptr(d, err));

cleanup:
  gmf_h5_array_close(&indptr);
  return status;
}

static gmf_status open_local(const gmf_grid *grid, const char *path, gmf_dataset **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_dataset *d = NULL;
  GMF_TRY(GMF_NEW_ZERO(d, 1, err));
  d->items.id = d->values.id = d->times.id = d->weights.id = H5I_INVALID_HID;
  snprintf(d->path, sizeof d->path, "%s", path);
  GMF_TRY(gmf_h5_open(path, GMF_FORMAT_DATASET, &d->file, err));
  GMF_TRY(open_arrays(d, err));
  GMF_TRY(read_rows(d, grid->size, grid->rank, err));
  *out = d;
  d = NULL;
cleanup:
  if (d != NULL) gmf_dataset_close(&d);
  return status;
}

/* Local. A checksum of the checksums of an array into *out, which stays where the file has none: others' files do. */
static gmf_status sum_array(const gmf_dataset *d, const char *array, int64_t *out, gmf_error *err)
{
  char name[96];
  uint64_t *sums = NULL;
  int64_t dims[2];
  gmf_error missing = {0};
  snprintf(name, sizeof name, "%s/%s", GMF_GROUP_INTEGRITY, array);
  gmf_status status = gmf_h5_read_new(d->file, d->path, name, GMF_U8, (void **)&sums, dims, &missing);
  if (status == GMF_OK) *out = (int64_t)gmf_checksum(sums, dims[0] * (int64_t)sizeof *sums);
  gmf_free(sums);
  return status == GMF_ERR_MEMORY ? gmf_fail(err, status, "%s", missing.text) : GMF_OK;
}

/* Collective. A node with a copy of its own, perhaps of last week, would train on other ratings, or hang. */
static gmf_status check_same_file(const gmf_grid *grid, const gmf_dataset *d, gmf_error *err)
{
  static const char *const names[] = {RATINGS(GMF_CSR_INDPTR), RATINGS(GMF_CSR_INDICES), RATINGS(GMF_CSR_DATA),
                                      RATINGS(GMF_CSR_WEIGHT)};
  enum { N_NAMES = (int)(sizeof names / sizeof *names) };
  gmf_status status = GMF_OK;
  int64_t mine[4 + N_NAMES] = {d->n[GMF_USERS], d->n[GMF_ITEMS], d->nnz, d->has_time + 2 * d->has_weight};
  int64_t root[4 + N_NAMES];
  for (int i = 0; i < N_NAMES && status == GMF_OK; i++) status = sum_array(d, names[i], &mine[4 + i], err);
  GMF_TRY(gmf_agree(grid, status, err));
  memcpy(root, mine, sizeof root);
  gmf_broadcast(grid, root, sizeof root);
  if (memcmp(root, mine, sizeof root) != 0)
    status = gmf_fail(err, GMF_ERR_DATA,
                      "%s: is another file for this rank than for rank 0; put it on a file system that all nodes share",
                      d->path);
  GMF_TRY(gmf_agree(grid, status, err));
cleanup:
  return status;
}

gmf_status gmf_dataset_open(const gmf_grid *grid, const char *path, gmf_dataset **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_READ);
  *out = NULL;
  GMF_TRY(gmf_agree(grid, open_local(grid, path, out, err), err));
  GMF_TRY(check_same_file(grid, *out, err));
cleanup:
  if (status != GMF_OK) gmf_dataset_close(out);
  gmf_trace_phase(grid->trace, before);
  return status;
}

void gmf_dataset_close(gmf_dataset **dataset)
{
  gmf_dataset *d = *dataset;
  if (d == NULL) return;
  gmf_h5_array_close(&d->items);
  gmf_h5_array_close(&d->values);
  gmf_h5_array_close(&d->times);
  gmf_h5_array_close(&d->weights);
  if (d->file > 0) H5Fclose(d->file);
  gmf_free(d->indptr);
  gmf_free(d->held_items);
  gmf_free(d->held_values);
  gmf_free(d->held_weights);
  gmf_free(d);
  *dataset = NULL;
}

static gmf_status read_weights(const gmf_dataset *d, int64_t begin, int64_t n, float *weights, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (d->has_weight) GMF_TRY(gmf_h5_array_read(&d->weights, begin, n, GMF_F4, weights, err));
  for (int64_t j = 0; j < n; j++) {
    if (!d->has_weight) weights[j] = 1;
    if (!isfinite(weights[j]) || weights[j] < 0)
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s[%" PRId64 "] is not a finite number of 0 or more", d->path,
                       RATINGS(GMF_CSR_WEIGHT), begin + j));
  }
cleanup:
  return status;
}

/* What was held has been checked when it was read. */
static void copy_held(const gmf_dataset *d, int64_t at, int64_t n, int64_t *items, float *values, float *weights)
{
  memcpy(items, d->held_items + at, (size_t)n * sizeof *items);
  memcpy(values, d->held_values + at, (size_t)n * sizeof *values);
  if (weights != NULL && d->has_weight) memcpy(weights, d->held_weights + at, (size_t)n * sizeof *weights);
  for (int64_t j = 0; j < n && weights != NULL && !d->has_weight; j++) weights[j] = 1;
}

gmf_status gmf_dataset_read(const gmf_dataset *d, int64_t begin, int64_t n, int64_t *items, float *values,
                            int64_t *times, float *weights, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_beat();
  if (d->held_items != NULL && times == NULL && begin >= d->indptr[0] &&
      begin + n <= d->indptr[d->row_end - d->row_begin]) {
    copy_held(d, begin - d->indptr[0], n, items, values, weights);
    return GMF_OK;
  }
  GMF_TRY(gmf_h5_array_read(&d->items, begin, n, GMF_I8, items, err));
  GMF_TRY(gmf_h5_array_read(&d->values, begin, n, GMF_F4, values, err));
  if (times != NULL) GMF_TRY(gmf_h5_array_read(&d->times, begin, n, GMF_I8, times, err));
  if (weights != NULL) GMF_TRY(read_weights(d, begin, n, weights, err));
  for (int64_t j = 0; j < n; j++) {
    if (items[j] < 0 || items[j] >= d->n[GMF_ITEMS])
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                       "%s: /%s[%" PRId64 "] = %" PRId64 ", but there are %" PRId64 " items; the file is damaged",
                       d->path, RATINGS(GMF_CSR_INDICES), begin + j, items[j], d->n[GMF_ITEMS]));
    if (!isfinite(values[j]))
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s[%" PRId64 "] is not a finite number", d->path, RATINGS(GMF_CSR_DATA),
                       begin + j));
  }
cleanup:
  return status;
}

gmf_status gmf_dataset_hold(const gmf_grid *peers, gmf_dataset *d, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *items = NULL, first = d->indptr[0], n = d->indptr[d->row_end - d->row_begin] - first;
  float *values = NULL, *weights = NULL;
  gmf_phase before = gmf_trace_phase(peers->trace, GMF_PHASE_READ);

  status = GMF_NEW(items, n, err);
  if (status == GMF_OK) status = GMF_NEW(values, n, err);
  if (status == GMF_OK && d->has_weight) status = GMF_NEW(weights, n, err);
  if (status == GMF_OK && peers->rank == 0) status = gmf_dataset_read(d, first, n, items, values, NULL, weights, err);
  GMF_TRY(gmf_agree(peers, status, err));
  gmf_broadcast(peers, items, n * (int64_t)sizeof *items);
  gmf_broadcast(peers, values, n * (int64_t)sizeof *values);
  if (d->has_weight) gmf_broadcast(peers, weights, n * (int64_t)sizeof *weights);
  d->held_items = items;
  d->held_values = values;
  d->held_weights = weights;
  items = NULL;
  values = weights = NULL;
cleanup:
  gmf_free(items);
  gmf_free(values);
  gmf_free(weights);
  gmf_trace_phase(peers->trace, before);
  return status;
}

gmf_status gmf_dataset_read_rows(const gmf_dataset *d, gmf_rating_rows *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_rows = d->row_end - d->row_begin, first = d->indptr[0], n = d->indptr[n_rows] - first;
  GMF_TRY(gmf_rating_rows_new(n_rows, n, d->has_time, d->has_weight, rows, err));
  rows->row_begin = d->row_begin;
  for (int64_t r = 0; r <= n_rows; r++) rows->indptr[r] = d->indptr[r] - first;
  GMF_TRY(gmf_dataset_read(d, first, n, rows->items, rows->values, rows->times, rows->weights, err));
cleanup:
  return status;
}

gmf_status gmf_dataset_read_ids(const gmf_dataset *d, gmf_side side, int64_t begin, int64_t n, gmf_ids *ids,
                                gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array array = {.id = H5I_INVALID_HID};
  char name[64];

  *ids = (gmf_ids){.begin = begin, .n = n};
  snprintf(name, sizeof name, "%s/%s", gmf_side_name(side), GMF_NAME_ID);
  GMF_TRY(gmf_h5_array_open(d->file, d->path, name, 1, &array, err));
  ids->type = array.type;
  if ((ids->type.kind != GMF_TEXT && ids->type.kind != GMF_I8) || ids->type.size >= GMF_ID_SIZE)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s is neither int64 nor text of less than %d bytes", d->path, name,
                     GMF_ID_SIZE));
  ids->values = gmf_malloc(n, (size_t)ids->type.size);
  if (ids->values == NULL) GMF_TRY(gmf_out_of_memory(err, n, (size_t)ids->type.size, "ids"));
  GMF_TRY(gmf_h5_array_read(&array, begin, n, ids->type.kind, ids->values, err));
cleanup:
  gmf_h5_array_close(&array);
  if (status != GMF_OK) gmf_ids_free(ids);
  return status;
}

gmf_status gmf_dataset_read_features(const gmf_grid *grid, const gmf_dataset *d, gmf_side side, int64_t begin,
                                     int64_t n, gmf_side_features *out, gmf_error *err)
{
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_READ);
  gmf_status status = gmf_side_features_read(grid, d->file, d->path, side, begin, n, out, err);
  gmf_trace_phase(grid->trace, before);
  return status;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Collective. Attributes of the root with the least and the largest of all ranks' values, my n among them. */
static void declare_range(const gmf_grid *grid, gmf_writer *w, const char *least, const char *largest,
                          const float *values, int64_t n)
{
  float low = FLT_MAX, high = -FLT_MAX;
  for (int64_t j = 0; j < n; j++) {
    low = values[j] < low ? values[j] : low;
    high = values[j] > high ? values[j] : high;
  }
  GMF_COLLECTIVE(grid->all, MPI_Allreduce(MPI_IN_PLACE, &low, 1, MPI_FLOAT, MPI_MIN, grid->all));
  GMF_COLLECTIVE(grid->all, MPI_Allreduce(MPI_IN_PLACE, &high, 1, MPI_FLOAT, MPI_MAX, grid->all));
  bool is_empty = low > high;
  gmf_writer_attr_f64(w, "/", least, is_empty ? 0 : (double)low);
  gmf_writer_attr_f64(w, "/", largest, is_empty ? 0 : (double)high);
}

/* Collective. */
static void declare_statistics(const gmf_grid *grid, gmf_writer *w, const gmf_dataset_part *part, int64_t nnz)
{
  int64_t n = part->rows.indptr[part->rows.n_rows];
  gmf_writer_attr_i64(w, "/", "n_users", part->n[GMF_USERS]);
  gmf_writer_attr_i64(w, "/", "n_items", part->n[GMF_ITEMS]);
  gmf_writer_attr_i64(w, "/", "nnz", nnz);
  declare_range(grid, w, "min_rating", "max_rating", part->rows.values, n);
  if (part->rows.weights != NULL) declare_range(grid, w, "min_weight", "max_weight", part->rows.weights, n);
}

/*
 * Local. The sum of n ratings in units of 2^-20, to which each is rounded: integers of 128 bits add exactly, in any
 * order. Ratings of common size go through 64 bits, which hold 2^20 of them.
 */
static __int128 exact_sum(const float *values, int64_t n)
{
  __int128 sum = 0;
  for (int64_t begin = 0; begin < n; begin += 1 << 20) {
    int64_t end = gmf_min64(begin + (1 << 20), n), part = 0;
    for (int64_t j = begin; j < end; j++) {
      double x = (double)values[j] * 0x1p20;
      if (fabs(x) < 0x1p40)
        part += (int64_t)(x + copysign(0.5, x));
      else
        sum += (__int128)fmax(fmin(x, 0x1p80), -0x1p80); /* beyond that a mean means nothing, but must not overflow */
    }
    sum += part;
  }
  return sum;
}

/* Collective. The mean of all ratings, the same bits for any number of ranks. The sums travel in limbs of 40 bits. */
static double exact_mean(const gmf_grid *grid, const gmf_dataset_part *part, int64_t nnz)
{
  __int128 sum = exact_sum(part->rows.values, part->rows.indptr[part->rows.n_rows]);
  bool negative = sum < 0;
  unsigned __int128 rest = (unsigned __int128)(negative ? -sum : sum);
  int64_t limbs[4];
  for (int l = 0; l < 4; l++, rest >>= 40) {
    limbs[l] = (int64_t)(rest & (((unsigned __int128)1 << 40) - 1));
    if (negative) limbs[l] = -limbs[l];
  }
  gmf_sum_i64(grid, limbs, 4);
  long double total = 0;
  for (int l = 3; l >= 0; l--) total = total * 0x1p40L + (long double)limbs[l];
  return nnz > 0 ? (double)(total * 0x1p-20L / (long double)nnz) : 0;
}

static void declare_ids(gmf_writer *w, const gmf_dataset_part *part)
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    char name[64];
    snprintf(name, sizeof name, "%s/%s", gmf_side_name((gmf_side)s), GMF_NAME_ID);
    gmf_writer_add(w, name, part->ids[s].type, part->n[s], 0);
    gmf_writer_attr_i64(w, name, GMF_ATTR_SORTED, 1);
  }
}

gmf_status gmf_dataset_write(const gmf_grid *grid, gmf_writer *w, const gmf_dataset_part *part, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_rating_rows *mine = &part->rows;
  int64_t nnz = mine->indptr[mine->n_rows];
  gmf_csr_rows rows = {.row_begin = mine->row_begin,
                       .n_rows = mine->n_rows,
                       .indptr = mine->indptr,
                       .indices = mine->items,
                       .data = mine->values,
                       .times = mine->times,
                       .weights = mine->weights};
  unsigned extras = (mine->times != NULL ? GMF_CSR_WITH_TIME : 0u) | (mine->weights != NULL ? GMF_CSR_WITH_WEIGHT : 0u);

  gmf_sum_i64(grid, &nnz, 1);
  declare_ids(w, part);
  gmf_csr_declare(w, GMF_GROUP_RATINGS, part->n[GMF_USERS], part->n[GMF_ITEMS], nnz, extras);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    if (part->features[s] == NULL) continue;
    int64_t nnz_features = part->features[s]->rows.indptr[part->features[s]->rows.n];
    gmf_sum_i64(grid, &nnz_features, 1);
    gmf_features_declare(w, (gmf_side)s, part->n[s], nnz_features, &part->features[s]->names);
  }
  declare_statistics(grid, w, part, nnz);
  gmf_writer_attr_f64(w, "/", "mean_rating", exact_mean(grid, part, nnz));
  GMF_TRY(gmf_writer_create(w, err));
  for (int s = 0; s < GMF_N_SIDES; s++) {
    char name[64];
    snprintf(name, sizeof name, "%s/%s", gmf_side_name((gmf_side)s), GMF_NAME_ID);
    GMF_TRY(gmf_writer_write(w, name, part->ids[s].begin, part->ids[s].n, part->ids[s].values, err));
    if (part->features[s] != NULL) GMF_TRY(gmf_features_write(grid, w, (gmf_side)s, part->features[s], err));
  }
  GMF_TRY(gmf_csr_write(grid, w, GMF_GROUP_RATINGS, part->n[GMF_ITEMS], &rows, err));
cleanup:
  return status;
}
