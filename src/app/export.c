#include "app/export.h"

#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "gridmf/query.h"
#include "io/disk.h"
#include "io/export.h"
#include "io/model_read.h"
#include "io/output.h"

enum {
  QUERIES = 10000, /* users that ask, at most */
  NEIGHBORS = 100, /* of each, at most */
  PIECE = 4096     /* rows that are read at once */
};

/* ---- ann-benchmarks ---------------------------------------------------------------------------------------------- */

/* A model as points and queries of a search by inner product: items [y_i, b_i] and users [x_u, 1], without biases just
 * y_i and x_u. Rows without training ratings are none of them. */
typedef struct search {
  gmf_model_file *file; /* owned, like the rest */
  gmf_model *model;
  const gmf_model_info *info; /* of the file */
  float *rows[GMF_N_SIDES];   /* [n][dimension] */
  int64_t *from[GMF_N_SIDES]; /* [n]: the rows of the model */
  int64_t *number;            /* [n_items]: the point of an item */
  int64_t n[GMF_N_SIDES];
  int64_t dimension, k;
  gmf_recommendations lists;
  int32_t *neighbors; /* [n_queries][k] */
  float *distances;   /* [n_queries][k] */
} search;

static void search_free(search *s)
{
  gmf_model_file_close(&s->file);
  gmf_model_close(&s->model);
  void *const arrays[] = {s->rows[0],      s->rows[1],      s->from[0],      s->from[1],   s->number,   s->lists.items,
                          s->lists.scores, s->lists.counts, s->lists.states, s->neighbors, s->distances};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

/* The first `most` rows of a side that have training ratings. */
static gmf_status read_side(search *s, gmf_side side, int64_t most, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_rows = gmf_model_file_rows(s->file, side), k = s->info->n_factors, *counts = NULL;
  float *factors = NULL, *bias = NULL;
  most = gmf_min64(most, n_rows);
  GMF_TRY(GMF_NEW(s->rows[side], most * s->dimension, err));
  GMF_TRY(GMF_NEW(s->from[side], most, err));
  GMF_TRY(GMF_NEW(counts, PIECE, err));
  GMF_TRY(GMF_NEW(factors, PIECE * k, err));
  GMF_TRY(GMF_NEW(bias, PIECE, err));
  for (int64_t begin = 0; begin < n_rows && s->n[side] < most; begin += PIECE) {
    int64_t n = gmf_min64(PIECE, n_rows - begin);
    GMF_TRY(gmf_model_file_counts(s->file, side, begin, n, counts, err));
    GMF_TRY(gmf_model_file_factors(s->file, side, begin, n, factors, err));
    GMF_TRY(gmf_model_file_bias(s->file, side, begin, n, bias, err));
    for (int64_t r = 0; r < n && s->n[side] < most; r++) {
      if (counts[r] == 0) continue;
      float *row = s->rows[side] + s->n[side] * s->dimension;
      memcpy(row, factors + r * k, (size_t)k * sizeof *row);
      if (s->dimension > k) row[k] = side == GMF_ITEMS ? bias[r] : 1;
      s->from[side][s->n[side]++] = begin + r;
    }
  }
cleanup:
  gmf_free(counts);
  gmf_free(factors);
  gmf_free(bias);
  return status;
}

static gmf_status find_neighbors(search *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = s->n[GMF_USERS];
  GMF_TRY(GMF_NEW(s->number, s->info->n_items, err));
  GMF_TRY(GMF_NEW(s->lists.items, n * s->k, err));
  GMF_TRY(GMF_NEW(s->lists.scores, n * s->k, err));
  GMF_TRY(GMF_NEW(s->lists.counts, n, err));
  GMF_TRY(GMF_NEW(s->lists.states, n, err));
  GMF_TRY(GMF_NEW(s->neighbors, n * s->k, err));
  GMF_TRY(GMF_NEW(s->distances, n * s->k, err));
  for (int64_t i = 0; i < s->n[GMF_ITEMS]; i++) s->number[s->from[GMF_ITEMS][i]] = i;
  gmf_recommend_options options = {.top_n = s->k, .include_seen = true};
  GMF_TRY(gmf_recommend(s->model, &options, n, s->from[GMF_USERS], &s->lists, err));
  for (int64_t e = 0; e < n * s->k; e++) {
    const float *x = s->rows[GMF_USERS] + e / s->k * s->dimension;
    int64_t point = s->number[s->lists.items[e]];
    const float *y = s->rows[GMF_ITEMS] + point * s->dimension;
    double dot = 0;
    for (int64_t f = 0; f < s->dimension; f++) dot += (double)x[f] * (double)y[f];
    s->neighbors[e] = gmf_i32(point);
    s->distances[e] = (float)-dot;
  }
cleanup:
  return status;
}

static gmf_status export_neighbors(const char *path, const char *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  search s = {.file = NULL};
  GMF_TRY(gmf_model_file_open(path, &s.file, err));
  GMF_TRY(gmf_model_open(path, &s.model, err));
  s.info = gmf_model_file_info(s.file);
  s.dimension = s.info->n_factors + s.info->has_bias;
  GMF_TRY(read_side(&s, GMF_USERS, QUERIES, err));
  GMF_TRY(read_side(&s, GMF_ITEMS, s.info->n_items, err));
  s.k = gmf_min64(NEIGHBORS, s.n[GMF_ITEMS]);
  if (s.k == 0 || s.n[GMF_USERS] == 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: has no user or no item with training ratings", path));
  GMF_TRY(find_neighbors(&s, err));
  gmf_neighbors found = {.n_points = s.n[GMF_ITEMS],
                         .n_queries = s.n[GMF_USERS],
                         .dimension = s.dimension,
                         .k = s.k,
                         .points = s.rows[GMF_ITEMS],
                         .queries = s.rows[GMF_USERS],
                         .neighbors = s.neighbors,
                         .distances = s.distances};
  GMF_TRY(gmf_export_neighbors(&found, out, err));
cleanup:
  search_free(&s);
  return status;
}

/* ---- the verb ---------------------------------------------------------------------------------------------------- */

static gmf_status export_root(const char *path, const gmf_config *c, const gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_export_format to = (gmf_export_format)c->to;
  const char *format = NULL;
  gmf_output output = {.exists = false}, *const outputs[] = {&output};
  GMF_TRY(gmf_export_check(path, to, &format, err));
  GMF_TRY(gmf_output_open(&output, c->output, err));
  gmf_log_lines(log, output.notes.text != NULL ? output.notes.text : "");
  GMF_TRY(to == GMF_EXPORT_ANN ? export_neighbors(path, output.temporary, err)
                               : gmf_export_write(path, to, output.temporary, err));
  GMF_TRY(gmf_sync_file(output.temporary, err));
  GMF_TRY(gmf_outputs_commit(outputs, 1, err));
  gmf_log_line(log, "wrote %s: the %s as %s", c->output, format, gmf_export_name(to));
cleanup:
  gmf_output_close(&output);
  return status;
}

gmf_status gmf_export(const gmf_grid *grid, const char *path, const gmf_config *c, const gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_WRITE);
  if (c->to < 0) GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "--to npz|mtx|csv|h5ad|ann-benchmarks is needed"));
  if (c->output[0] == '\0') GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "-o OUT is needed"));
  GMF_TRY(gmf_agree(grid, grid->rank == 0 ? export_root(path, c, log, err) : GMF_OK, err));
cleanup:
  gmf_trace_phase(grid->trace, before);
  return status;
}
