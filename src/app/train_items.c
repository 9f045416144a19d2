/*
 * Item-based models have no rows of users: a user's scores are made from his training ratings, which the model stores
 * with the weights. What a rating is in that product, --values says, and is the same as in training.
 */
#include "app/train_items.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>

#include "algo/ease.h"
#include "algo/item_knn.h"
#include "app/memory_check.h"
#include "app/placement.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "dist/census.h"
#include "io/model_write.h"

/* ---- ratings ----------------------------------------------------------------------------------------------------- */

/* Local. My ratings as entries: users and items by their rows. */
static gmf_status read_entries(const gmf_items_run *run, gmf_entry **out, int64_t *n, gmf_error *err)
{
  enum { BATCH = 1 << 18 };
  gmf_status status = GMF_OK;
  const gmf_dataset *d = run->dataset;
  int64_t n_users = d->row_end - d->row_begin, first = d->indptr[0], *items = NULL, user = 0;
  bool binary = run->config->values == GMF_VALUES_BINARY;
  float *values = NULL;
  *n = d->indptr[n_users] - first;
  GMF_TRY(GMF_NEW(items, BATCH, err));
  GMF_TRY(GMF_NEW(values, BATCH, err));
  GMF_TRY(GMF_NEW(*out, *n, err));
  for (int64_t begin = 0; begin < *n; begin += BATCH) {
    int64_t n_here = gmf_min64(BATCH, *n - begin);
    GMF_TRY(gmf_dataset_read(d, first + begin, n_here, items, values, NULL, NULL, err));
    for (int64_t j = 0; j < n_here; j++) {
      while (d->indptr[user + 1] - first <= begin + j) user++;
      (*out)[begin + j] = (gmf_entry){d->row_begin + user, gmf_i32(items[j]), binary ? 1 : values[j]};
    }
  }
cleanup:
  gmf_free(items);
  gmf_free(values);
  return status;
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

/* Training ratings of each row, my slices. */
typedef struct row_counts {
  int64_t *users, *all_items; /* owned [my users], [n items] */
} row_counts;

/* Collective. */
static gmf_status count_rows(const gmf_items_run *run, row_counts *counts, gmf_model_parts *parts, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_dataset *d = run->dataset;
  const gmf_grid *grid = run->grid;
  gmf_rating_source source = gmf_dataset_source(d);
  int64_t n_users = d->row_end - d->row_begin, n_items = d->n[GMF_ITEMS];
  local = GMF_NEW(counts->users, n_users, err);
  if (local == GMF_OK) local = GMF_NEW(counts->all_items, n_items, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int64_t u = 0; u < n_users; u++) counts->users[u] = d->indptr[u + 1] - d->indptr[u];
  GMF_TRY(gmf_census_degrees(grid, &source, GMF_ITEMS, 0, n_items, counts->all_items, err));
  int64_t begin = gmf_slice_begin(n_items, grid->size, grid->rank);
  int64_t end = gmf_slice_begin(n_items, grid->size, grid->rank + 1);
  parts->sides[GMF_USERS] = (gmf_model_side){.begin = d->row_begin, .n = n_users, .counts = counts->users};
  parts->sides[GMF_ITEMS] = (gmf_model_side){.begin = begin, .n = end - begin, .counts = counts->all_items + begin};
cleanup:
  return status;
}

/* Collective. */
static gmf_status write_model(const gmf_items_run *run, const gmf_model_weights *weights, gmf_error *err)
{
  gmf_status status = GMF_OK;
  row_counts counts = {0};
  gmf_model_parts parts = {.weights = weights, .with_seen = true};
  gmf_phase before = gmf_trace_phase(run->grid->trace, GMF_PHASE_WRITE);
  GMF_TRY(count_rows(run, &counts, &parts, err));
  GMF_TRY(gmf_model_write(run->grid, run->writer, run->dataset, &parts, err));
  gmf_log_model(run->log, run->config->output, gmf_writer_bytes(run->writer));
cleanup:
  gmf_free(counts.users);
  gmf_free(counts.all_items);
  gmf_trace_phase(run->grid->trace, before);
  return status;
}

/* Collective. */
static gmf_status write_sparse(const gmf_items_run *run, const gmf_weight_slice *slice, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = slice->indptr[slice->n_rows], n_all = n;
  bool narrow = run->config->store == GMF_PRECISION_F4;
  float *values = NULL;
  gmf_sum_i64(run->grid, &n_all, 1);
  GMF_TRY(gmf_agree(run->grid, narrow ? GMF_NEW(values, n, err) : GMF_OK, err));
  for (int64_t e = 0; narrow && e < n; e++) values[e] = (float)slice->values[e];
  gmf_csr_rows rows = {.row_begin = slice->begin,
                       .n_rows = slice->n_rows,
                       .indptr = slice->indptr,
                       .indices = slice->items,
                       .data = narrow ? (const void *)values : slice->values};
  gmf_model_weights weights = {.type = narrow ? GMF_F4 : GMF_F8, .n_sparse = n_all, .rows = &rows};
  GMF_TRY(write_model(run, &weights, err));
cleanup:
  gmf_free(values);
  return status;
}

/* ---- item-knn ---------------------------------------------------------------------------------------------------- */

static void show_pairs(void *context, double share)
{
  const gmf_items_run *run = context;
  gmf_log_live(run->log, "pairs of items %3.0f%%", 100 * share);
}

static gmf_status train_item_knn(const gmf_items_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_config *c = run->config;
  gmf_rating_source source = gmf_dataset_source(run->dataset);
  gmf_weight_slice slice = {0};
  gmf_item_knn_work work = {0};
  gmf_items_run context = *run;
  gmf_item_knn_options options = {.similarity = (gmf_similarity)c->similarity,
                                  .binary = c->values == GMF_VALUES_BINARY,
                                  .n_neighbours = c->neighbours,
                                  .shrinkage = c->shrinkage,
                                  .bm25_k1 = c->bm25_k1,
                                  .bm25_b = c->bm25_b,
                                  .progress = run->log->live ? show_pairs : NULL,
                                  .context = &context};
  double start = MPI_Wtime();
  GMF_TRY(gmf_item_knn_create(run->grid, &options, &source, &slice, &work, err));
  double seconds = MPI_Wtime() - start;
  int64_t n_kept = slice.indptr[slice.n_rows];
  gmf_sum_i64(run->grid, &n_kept, 1);
  gmf_log_line(run->log, "item-knn: %s pairs of items with a common user, %s products, %.1f neighbours an item, %.3f s",
               gmf_thousands(work.n_pairs), gmf_thousands(work.n_products),
               (double)n_kept / (double)run->dataset->n[GMF_ITEMS], seconds);
  gmf_log_event(run->log, "item-knn",
                json_pack("{s:I, s:I, s:I, s:f}", "pairs", (json_int_t)work.n_pairs, "products",
                          (json_int_t)work.n_products, "weights", (json_int_t)n_kept, "seconds", seconds));
  GMF_TRY(write_sparse(run, &slice, err));
cleanup:
  gmf_weight_slice_free(&slice);
  return status;
}

/* ---- ease -------------------------------------------------------------------------------------------------------- */

static void show_inverse(void *context, double share)
{
  const gmf_items_run *run = context;
  gmf_log_live(run->log, "inverse %3.0f%%", 100 * share);
}

/* Collective. What to expect, from the rate of matrix products on the slowest rank. */
static void log_expected(const gmf_items_run *run)
{
  double n = (double)run->dataset->n[GMF_ITEMS], operations = gmf_spd_operations(gmf_int(run->dataset->n[GMF_ITEMS]));
  double slowness = -gmf_product_rate(run->config->precision == GMF_PRECISION_F4);
  gmf_max_f64(run->grid, &slowness, 1);
  if (!(slowness < 0)) return;
  double size = run->config->precision == GMF_PRECISION_F4 ? 4 : 8;
  gmf_log_line(run->log,
               "ease: a matrix of %s x %s items, %.1f MB a rank; %.2e operations, at the measured %.1f GF/s a rank at "
               "least %.1f s",
               gmf_thousands(run->dataset->n[GMF_ITEMS]), gmf_thousands(run->dataset->n[GMF_ITEMS]),
               size * n * n / run->grid->size / 1e6, operations, -slowness / 1e9,
               operations / -slowness / run->grid->size);
}

/* Local. */
static gmf_status name_singular(const gmf_items_run *run, int item, gmf_error *err)
{
  gmf_ids ids = {0};
  char id[1100];
  if (gmf_dataset_read_ids(run->dataset, GMF_ITEMS, item, 1, &ids, err) != GMF_OK) return err->status;
  gmf_id_text(&ids, 0, id, sizeof id);
  gmf_ids_free(&ids);
  return gmf_fail(
      err, GMF_ERR_NUMERIC,
      "X'X + lambda I is singular to %s precision at lambda %g: the ratings of item %.200s are a combination "
      "of those of other items, or it has none; use a larger --lambda%s",
      run->config->precision == GMF_PRECISION_F4 ? "f4" : "f8", run->config->lambda, id,
      run->config->precision == GMF_PRECISION_F4 ? ", or --precision f8" : "");
}

static gmf_status make_rows(void *context, int64_t begin, int64_t n, double *out, gmf_error *err)
{
  gmf_ease **ease = context;
  return gmf_ease_rows(*ease, begin, n, out, err);
}

static void release_ease(void *context)
{
  gmf_ease **ease = context;
  gmf_ease_destroy(ease);
}

/* Collective. */
static gmf_status write_ease(const gmf_items_run *run, gmf_ease **ease, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_config *c = run->config;
  gmf_weight_slice slice = {0};
  if (c->keep_per_item == 0) {
    gmf_model_weights weights = {.type = c->store == GMF_PRECISION_F4 ? GMF_F4 : GMF_F8,
                                 .n_sparse = -1,
                                 .make = make_rows,
                                 .release = release_ease,
                                 .context = ease};
    return write_model(run, &weights, err);
  }
  GMF_TRY(gmf_ease_keep(*ease, c->keep_per_item, &slice, err));
  gmf_ease_destroy(ease);
  GMF_TRY(write_sparse(run, &slice, err));
cleanup:
  gmf_weight_slice_free(&slice);
  return status;
}

static gmf_status train_ease(const gmf_items_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_config *c = run->config;
  gmf_items_run context = *run;
  gmf_ease_options options = {.lambda = c->lambda,
                              .single = c->precision == GMF_PRECISION_F4,
                              .progress = run->log->live ? show_inverse : NULL,
                              .context = &context};
  gmf_gram_problem problem = {.n_users = run->dataset->n[GMF_USERS]};
  gmf_entry *entries = NULL;
  gmf_ease *ease = NULL;
  int singular = -1;

  if (run->dataset->n[GMF_ITEMS] > INT_MAX)
    GMF_TRY(gmf_fail(err, GMF_ERR_PLAN, "--algorithm ease makes a dense matrix of the items; %s are too many",
                     gmf_thousands(run->dataset->n[GMF_ITEMS])));
  problem.n = gmf_int(run->dataset->n[GMF_ITEMS]);
  log_expected(run);
  double start = MPI_Wtime();
  GMF_TRY(gmf_agree(run->grid, read_entries(run, &entries, &problem.n_entries, err), err));
  problem.entries = entries;
  status = gmf_ease_create(run->grid, &options, &problem, &entries, &ease, &singular, err);
  if (status == GMF_ERR_NUMERIC) status = gmf_agree(run->grid, name_singular(run, singular, err), err);
  GMF_TRY(status);
  double seconds = MPI_Wtime() - start;
  gmf_log_line(run->log, "ease: %.3f s, %.1f GF/s a rank", seconds,
               gmf_spd_operations(problem.n) / seconds / run->grid->size / 1e9);
  gmf_log_event(run->log, "ease", json_pack("{s:i, s:f}", "items", problem.n, "seconds", seconds));
  GMF_TRY(write_ease(run, &ease, err));
cleanup:
  gmf_ease_destroy(&ease);
  gmf_free(entries);
  return status;
}

gmf_status gmf_train_items(const gmf_items_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (run->dataset->has_weight)
    gmf_log_line(run->log, "warning: the ratings have weights, which play no part in item-based models");
  GMF_TRY(gmf_items_memory(run->grid, run->config, run->dataset, run->log, err));
  GMF_TRY(run->config->algorithm == GMF_ALGORITHM_EASE ? train_ease(run, err) : train_item_knn(run, err));
cleanup:
  return status;
}
