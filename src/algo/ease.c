/*
 * Weights B, n x n with a zero diagonal, that reproduce each user's row x from itself, scores x B:
 *
 *     min |X - X B|_F^2 + lambda |B|_F^2,   diag B = 0          G = X'X,   P = (G + lambda I)^-1
 *     B = I - P diag(1 / diag P),     B_ij = -P_ij / P_jj  for i != j
 *
 * Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, eqs. 5-8. G is formed and inverted where it
 * lies, block-cyclic over the ranks (linalg/spd_inverse.c); rows of B are made as they are asked for.
 */
#include "algo/ease.h"

#include <math.h>

#include "algo/best_lists.h"
#include "base/memory.h"
#include "base/narrow.h"

static const int64_t KEEP_BYTES = 4 << 20; /* of columns that are looked at at once */

void gmf_ease_destroy(gmf_ease **ease)
{
  gmf_ease *e = *ease;
  if (e == NULL) return;
  gmf_spd_destroy(&e->inverse);
  gmf_free(e->diagonal);
  gmf_free(e);
  *ease = NULL;
}

gmf_status gmf_ease_create(const gmf_grid *grid, const gmf_ease_options *options, const gmf_gram_problem *ratings,
                           gmf_entry **entries, gmf_ease **out, int *singular, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_ease *e = NULL;
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_GRAM);

  *out = NULL;
  *singular = -1;
  local = GMF_NEW_ZERO(e, 1, err);
  if (local == GMF_OK) local = GMF_NEW(e->diagonal, ratings->n, err);
  GMF_TRY(gmf_agree(grid, local, err));
  GMF_TRY(gmf_spd_create(grid, ratings, entries, options->lambda, options->single, &e->inverse, err));
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  GMF_TRY(gmf_spd_invert(e->inverse, options->progress, options->context, singular, err));
  gmf_spd_diagonal(e->inverse, e->diagonal);
  *out = e;
  e = NULL;
cleanup:
  gmf_ease_destroy(&e);
  gmf_trace_phase(grid->trace, before);
  return status;
}

gmf_status gmf_ease_rows(const gmf_ease *e, int64_t begin, int64_t count, double *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = e->inverse->layout.n;
  GMF_TRY(gmf_spd_rows(e->inverse, gmf_int(begin), gmf_int(count), out, err));
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; i++) {
    for (int64_t j = 0; j < n; j++) out[i * n + j] /= -e->diagonal[j];
    out[i * n + begin + i] = 0;
  }
cleanup:
  return status;
}

/* ---- the largest weights ----------------------------------------------------------------------------------------- */

/* Local. The best of column `item` of B, from the same row of P. */
static void choose(const gmf_ease *e, int64_t item, const double *row, gmf_best_lists *lists, gmf_weight *out,
                   int64_t *n_out)
{
  gmf_best_lists_reset(lists, 1);
  for (int64_t j = 0; j < e->inverse->layout.n; j++)
    if (j != item) gmf_best_lists_push(lists, 0, fabs(row[j]), gmf_i32(j));
  int64_t n = gmf_best_lists_finish(lists, 0);
  for (int64_t c = 0; c < n; c++)
    out[(*n_out)++] = (gmf_weight){-row[lists->rows[c]] / e->diagonal[item], lists->rows[c], gmf_i32(item)};
}

gmf_status gmf_ease_keep(const gmf_ease *e, int64_t n_keep, gmf_weight_slice *out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_grid *grid = e->inverse->grid;
  int64_t n = e->inverse->layout.n, begin = gmf_slice_begin(n, grid->size, grid->rank), n_out = 0;
  int64_t end = gmf_slice_begin(n, grid->size, grid->rank + 1), most = end - begin;
  int64_t step = gmf_max64(1, KEEP_BYTES / (n * (int64_t)sizeof(double)));
  gmf_best_lists lists = {0};
  gmf_weight *weights = NULL;
  double *rows = NULL;

  gmf_max_i64(grid, &most, 1);
  n_keep = gmf_min64(n_keep, gmf_max64(1, n - 1));
  local = gmf_best_lists_create(&lists, 1, n_keep, err);
  if (local == GMF_OK) local = GMF_NEW(rows, step * n, err);
  if (local == GMF_OK) local = GMF_NEW(weights, (end - begin) * n_keep, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int64_t done = 0; done < most; done += step) {
    int64_t first = gmf_min64(begin + done, end), count = gmf_min64(step, end - first);
    GMF_TRY(gmf_spd_rows(e->inverse, gmf_int(first), gmf_int(count), rows, err));
    for (int64_t i = 0; i < count; i++) choose(e, first + i, rows + i * n, &lists, weights, &n_out);
  }
  GMF_FREE(rows);
  GMF_TRY(gmf_weights_to_slices(grid, n, &weights, n_out, out, err));
cleanup:
  gmf_best_lists_destroy(&lists);
  gmf_free(rows);
  gmf_free(weights);
  return status;
}
