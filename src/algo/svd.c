/*
 * Truncated singular value decomposition: the three methods, and what they have in common.
 *
 * randomized and gram bring an orthonormal V that spans the wanted right singular vectors; Rayleigh-Ritz makes triplets
 * of it, A V = U R by orthogonalisation, R = P S Q', U <- U P, V <- V Q.
 *
 * randomized is Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 53 (2011), algorithm 4.4:
 * V = orth(A'orth(A V)) from a random V of k + max(10, k / 4) columns, as often as there are power steps.
 */
#include "algo/svd.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "algo/svd_internal.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "linalg/scalapack.h"

void gmf_svd_destroy(gmf_svd **result)
{
  gmf_svd *svd = *result;
  if (svd == NULL) return;
  gmf_operator_destroy(&svd->op);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_tall_destroy(&svd->vectors[s]);
    gmf_free(svd->certificates.residuals[s]);
  }
  gmf_free(svd->values);
  gmf_free(svd->spectrum);
  gmf_free(svd);
  *result = NULL;
}

gmf_status gmf_svd_check(const gmf_svd_options *options, int64_t n_users, int64_t n_items, gmf_error *err)
{
  int64_t shorter = gmf_min64(n_users, n_items);
  if (options->k > shorter)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--factors %d: a matrix of %" PRId64 " x %" PRId64 " has %" PRId64
                    " singular values; use "
                    "--factors %" PRId64 " or less",
                    options->k, n_users, n_items, shorter, shorter);
  if (options->method == GMF_SVD_GRAM && n_items > GMF_GRAM_MAX_ORDER)
    return gmf_fail(err, GMF_ERR_PLAN,
                    "--svd-method gram makes a dense matrix of the items' order, and takes up to %d items, not %" PRId64
                    "; use --svd-method krylov",
                    GMF_GRAM_MAX_ORDER, n_items);
  return GMF_OK;
}

/* Vectors that randomized goes on with. */
static int randomized_columns(const gmf_svd_options *options, int64_t n_users, int64_t n_items)
{
  return gmf_int(gmf_min64(gmf_min64(n_users, n_items), options->k + gmf_max64(10, options->k / 4)));
}

gmf_svd_sizes gmf_svd_measure(const gmf_svd_options *options, int64_t n_users, int64_t n_items)
{
  int n = options->method == GMF_SVD_RANDOMIZED ? randomized_columns(options, n_users, n_items) : options->k;
  gmf_svd_sizes sizes = {gmf_svd_block(options, n_users, n_items), n, {n, n}, {0, 0}, 0};
  if (options->method == GMF_SVD_RANDOMIZED) sizes.of_state[GMF_ITEMS] = sizes.of_copies = n;
  if (options->method != GMF_SVD_KRYLOV) return sizes;
  gmf_krylov_sizes m = gmf_krylov_measure(options, n_users, n_items, options->tolerance >= GMF_SVD_NORMAL_TOLERANCE);
  gmf_side right_side = gmf_other_side(m.left_side);
  sizes.order = m.capacity;
  sizes.columns[m.left_side] = m.n_left;
  sizes.columns[right_side] = m.n_right;
  sizes.of_state[m.left_side] = m.normal ? 0 : m.kept;
  sizes.of_state[right_side] = m.kept + m.block;
  return sizes;
}

void gmf_svd_apply(gmf_operator *op, gmf_side updated, gmf_columns x, gmf_columns y)
{
  for (int done = 0, n = 0; done < x.n; done += n) {
    n = gmf_int(gmf_min64(op->width, x.n - done));
    gmf_operator_apply(op, updated, (gmf_columns){x.tall, x.begin + done, n}, (gmf_columns){y.tall, y.begin + done, n});
  }
}

/* ---- from a basis to triplets ------------------------------------------------------------------------------------ */

/* Scratch of the methods that are not krylov. */
typedef struct workspace {
  int n; /* columns of the basis */
  gmf_extension extension;
  gmf_basis_options basis;
  gmf_small_svd *small;
  uint32_t n_random;
} workspace;

static gmf_status open_workspace(gmf_svd *svd, const gmf_svd_options *options, int n, workspace *w, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_grid *grid = svd->op->grid;
  *w = (workspace){.n = n};
  for (int s = 0; s < GMF_N_SIDES && local == GMF_OK; s++)
    if (svd->vectors[s] == NULL) local = gmf_tall_create(grid, svd->op->axes[s], n, &svd->vectors[s], err);
  if (local == GMF_OK) local = gmf_extension_create(0, n, &w->extension, err);
  GMF_TRY(gmf_agree(grid, local, err));
  GMF_TRY(gmf_small_svd_create(grid, n, &w->small, err));
  w->basis = (gmf_basis_options){options->seed, NULL, gmf_svd_negligible(svd->op)};
cleanup:
  return status;
}

static void close_workspace(workspace *w)
{
  gmf_extension_free(&w->extension);
  gmf_small_svd_destroy(&w->small);
}

/* Collective. All columns of one side's basis orthonormal. */
static gmf_status orthonormalize(gmf_svd *svd, gmf_side side, workspace *w, gmf_error *err)
{
  gmf_phase before = gmf_trace_phase(svd->op->grid->trace, GMF_PHASE_GRAM);
  w->basis.n_random = &w->n_random;
  gmf_status status =
      gmf_tall_extend(svd->op->grid, svd->vectors[side], 0, w->n, (gmf_expected){0, 0}, &w->basis, &w->extension, err);
  gmf_trace_phase(svd->op->grid->trace, before);
  return status;
}

/* Collective. Rayleigh-Ritz from the orthonormal basis of one side. */
static gmf_status triplets_of_basis(gmf_svd *svd, gmf_side basis, workspace *w, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_side other = gmf_other_side(basis);
  gmf_columns u = {svd->vectors[other], 0, w->n}, v = {svd->vectors[basis], 0, w->n};
  gmf_svd_apply(svd->op, other, v, u);
  GMF_TRY(orthonormalize(svd, other, w, err));
  GMF_TRY(gmf_small_svd_run(svd->op->grid, w->extension.r, w->n, w->n, w->small, err));
  if (!gmf_tall_rotate(u, w->small->left, w->n) || !gmf_tall_rotate(v, w->small->right, w->n))
    local = gmf_out_of_memory(err, w->n, sizeof(double), "a panel of a basis");
  GMF_TRY(gmf_agree(svd->op->grid, local, err));
  memcpy(svd->values, w->small->values, (size_t)svd->k * sizeof *svd->values);
cleanup:
  return status;
}

/* What randomized needs to go on with columns `v` of the items' basis. */
static gmf_svd_state randomized_state(const gmf_svd *svd, const workspace *w, gmf_columns v)
{
  gmf_svd_state state = {.n_steps = svd->n_steps, .n_products = svd->op->n_products, .n_random = w->n_random};
  state.basis[GMF_ITEMS] = v;
  return state;
}

/* Collective. After a pass: a chance to save the basis v, which triplets are made of in its place, and which is put
 * back. */
static gmf_status save_pass(gmf_svd *svd, const gmf_svd_options *options, gmf_columns v, workspace *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_svd_saver *saver = options->saver;
  gmf_tall *basis = svd->vectors[GMF_ITEMS], *copy = NULL;
  svd->n_steps++;
  if (saver == NULL || svd->n_steps >= options->power_steps || !saver->due(saver->context)) return GMF_OK;
  GMF_TRY(gmf_agree(svd->op->grid, gmf_tall_create(svd->op->grid, basis->axis, basis->ld, &copy, err), err));
  size_t bytes = (size_t)(basis->n * basis->ld) * sizeof *basis->rows;
  if (bytes > 0) memcpy(copy->rows, basis->rows, bytes);
  gmf_svd_state state = randomized_state(svd, w, (gmf_columns){copy, 0, v.n});
  GMF_TRY(triplets_of_basis(svd, GMF_ITEMS, w, err));
  GMF_TRY(saver->save(saver->context, svd, &state, err));
  if (bytes > 0) memcpy(basis->rows, copy->rows, bytes);
  svd->op->n_products = state.n_products;
  w->n_random = (uint32_t)state.n_random;
cleanup:
  gmf_tall_destroy(&copy);
  return status;
}

/* Collective. The orthonormal basis that passes go on from: random, or as it was saved. */
static gmf_status first_basis(gmf_svd *svd, const gmf_svd_options *options, gmf_columns v, workspace *w, gmf_error *err)
{
  const gmf_svd_saver *saver = options->saver;
  if (saver != NULL && saver->resumed != NULL) {
    svd->n_steps = saver->resumed->n_steps;
    svd->op->n_products = saver->resumed->n_products;
    w->n_random = (uint32_t)saver->resumed->n_random;
    gmf_svd_state state = randomized_state(svd, w, v);
    return saver->load(saver->context, &state, err);
  }
  gmf_tall_randomize(v, options->seed, w->n_random);
  w->n_random += (uint32_t)v.n;
  return orthonormalize(svd, GMF_ITEMS, w, err);
}

static gmf_status randomized(gmf_svd *svd, const gmf_svd_options *options, gmf_error *err)
{
  gmf_status status = GMF_OK;
  workspace w = {0};
  int n = randomized_columns(options, svd->op->axes[GMF_USERS]->n, svd->op->axes[GMF_ITEMS]->n);
  GMF_TRY(open_workspace(svd, options, n, &w, err));
  gmf_columns u = {svd->vectors[GMF_USERS], 0, n}, v = {svd->vectors[GMF_ITEMS], 0, n};
  GMF_TRY(first_basis(svd, options, v, &w, err));
  while (svd->n_steps < options->power_steps) {
    gmf_svd_apply(svd->op, GMF_USERS, v, u);
    GMF_TRY(orthonormalize(svd, GMF_USERS, &w, err));
    gmf_svd_apply(svd->op, GMF_ITEMS, u, v);
    GMF_TRY(orthonormalize(svd, GMF_ITEMS, &w, err));
    GMF_TRY(save_pass(svd, options, v, &w, err));
  }
  GMF_TRY(triplets_of_basis(svd, GMF_ITEMS, &w, err));
cleanup:
  close_workspace(&w);
  return status;
}

/* ---- krylov ------------------------------------------------------------------------------------------------------ */

/* Forgets triplets, so that others can be sought. */
static void clear(gmf_svd *svd)
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_tall_destroy(&svd->vectors[s]);
    GMF_FREE(svd->certificates.residuals[s]);
  }
  svd->certificates = (gmf_svd_certificates){0};
}

/* Collective. *normal: whether to try the normal equations; afterwards, whether they were used. */
static gmf_status krylov(gmf_svd *svd, const gmf_svd_options *options, bool *normal, gmf_error *err)
{
  gmf_status status = GMF_OK;
  workspace w = {0};
  gmf_svd_outcome outcome;
  GMF_TRY(gmf_svd_krylov(svd, options, *normal, &outcome, err));
  *normal = outcome.normal && !outcome.given_up;
  if (outcome.given_up) {
    clear(svd);
    GMF_TRY(gmf_svd_krylov(svd, options, false, &outcome, err));
  } else if (outcome.normal) {
    GMF_TRY(open_workspace(svd, options, svd->k, &w, err));
    GMF_TRY(orthonormalize(svd, outcome.basis, &w, err)); /* to the last digit */
    GMF_TRY(triplets_of_basis(svd, outcome.basis, &w, err));
  }
cleanup:
  close_workspace(&w);
  return status;
}

/* Whether a residual is larger than what was asked for. */
static bool is_poor(const gmf_svd *svd, const gmf_svd_options *options)
{
  double worst = 0;
  for (int s = 0; s < GMF_N_SIDES; s++)
    for (int i = 0; i < svd->k; i++) worst = fmax(worst, svd->certificates.residuals[s][i]);
  return worst > options->tolerance * svd->values[0];
}

/* ---- the dense Gram matrix --------------------------------------------------------------------------------------- */

/* Collective. My ratings as (user, item, value), by positions. */
static gmf_status list_entries(const gmf_operator *op, gmf_entry **entries, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_block *b = op->blocks[GMF_USERS];
  const gmf_axis *items = op->axes[GMF_ITEMS];
  int64_t n_own = gmf_axis_n_own(items, op->grid->rank), *own = NULL;
  *n = b->row_ptr[b->n_rows];
  local = GMF_NEW(own, n_own, err);
  if (local == GMF_OK) local = GMF_NEW(*entries, *n, err);
  GMF_TRY(gmf_agree(op->grid, local, err));
  for (int64_t j = 0; j < n_own; j++) own[j] = items->prefix[op->grid->rank] + j;
  gmf_expand_run(op->grid, b->expand, own, sizeof *own, op->space);
  const int64_t *fetched =
      (const int64_t *)(const void *)op->space->panel; /* where my panel's rows stand on the axis */
  for (int64_t r = 0; r < b->n_rows; r++)
    for (int64_t j = b->row_ptr[r]; j < b->row_ptr[r + 1]; j++)
      (*entries)[j] = (gmf_entry){b->row_begin + r, gmf_i32(fetched[b->cols[j]]), b->values[j]};
cleanup:
  gmf_free(own);
  return status;
}

/*
 * Collective. What centring adds to the Gram matrix of the ratings: with a = b_u, c = mean + b_i,
 *     A'A = R'R - p 1' - 1 p' - q c' - c q' + a'a 11' + 1'a (1 c' + c 1') + m c c',   p = R'a, q = R'1.
 * vectors [3][n]: p, q, c by position of the item.
 */
static gmf_status center_gram(gmf_svd *svd, double **vectors, gmf_gram_centers *out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_operator *op = svd->op;
  int64_t n = op->axes[GMF_ITEMS]->n;
  gmf_tall *x = NULL, *y = NULL;
  double sums[2] = {0};
  local = gmf_tall_create(op->grid, op->axes[GMF_USERS], 1, &x, err);
  if (local == GMF_OK) local = gmf_tall_create(op->grid, op->axes[GMF_ITEMS], 1, &y, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(*vectors, 3 * n, err);
  GMF_TRY(gmf_agree(op->grid, local, err));
  const double *offsets[] = {op->offsets[GMF_USERS], op->offsets[GMF_ITEMS]};
  for (int part = 0; part < 2; part++) {
    for (int64_t r = 0; r < x->n; r++)
      x->rows[r] = part == 1 ? 1 : offsets[GMF_USERS] != NULL ? offsets[GMF_USERS][r] : 0;
    for (int64_t r = 0; part == 0 && r < x->n; r++) {
      sums[0] += x->rows[r] * x->rows[r];
      sums[1] += x->rows[r];
    }
    gmf_operator_apply_ratings(op, GMF_ITEMS, (gmf_columns){x, 0, 1}, (gmf_columns){y, 0, 1});
    memcpy(*vectors + part * n + y->begin, y->rows, (size_t)y->n * sizeof *y->rows);
  }
  for (int64_t r = 0; r < y->n; r++)
    (*vectors)[2 * n + y->begin + r] = op->mean + (offsets[GMF_ITEMS] != NULL ? offsets[GMF_ITEMS][r] : 0);
  gmf_sum_f64(op->grid, *vectors, 3 * n);
  gmf_sum_f64(op->grid, sums, 2);
  *out = (gmf_gram_centers){*vectors, *vectors + n, *vectors + 2 * n, sums[0], sums[1], (double)op->axes[GMF_USERS]->n};
cleanup:
  gmf_tall_destroy(&x);
  gmf_tall_destroy(&y);
  return status;
}

static gmf_status from_gram(gmf_svd *svd, const gmf_svd_options *options, gmf_error *err)
{
  gmf_status status = GMF_OK;
  workspace w = {0};
  gmf_entry *entries = NULL;
  double *vectors = NULL;
  gmf_gram_centers centers = {0};
  gmf_operator *op = svd->op;
  gmf_gram_problem problem = {.n_users = op->axes[GMF_USERS]->n, .n = gmf_int(op->axes[GMF_ITEMS]->n)};
  gmf_phase before = gmf_trace_phase(op->grid->trace, GMF_PHASE_GRAM);

  GMF_TRY(open_workspace(svd, options, svd->k, &w, err));
  GMF_TRY(list_entries(op, &entries, &problem.n_entries, err));
  problem.entries = entries;
  if (op->centered) GMF_TRY(center_gram(svd, &vectors, &centers, err));
  problem.centers = op->centered ? &centers : NULL;
  svd->n_spectrum = problem.n;
  GMF_TRY(gmf_agree(op->grid, GMF_NEW(svd->spectrum, problem.n, err), err));
  GMF_TRY(gmf_gram_eigen(op->grid, &problem, svd->vectors[GMF_ITEMS], svd->spectrum, err));
  for (int64_t j = 0; j < problem.n; j++) svd->spectrum[j] = sqrt(fmax(svd->spectrum[j], 0));
  GMF_TRY(orthonormalize(svd, GMF_ITEMS, &w, err)); /* to the last digit */
  GMF_TRY(triplets_of_basis(svd, GMF_ITEMS, &w, err));
cleanup:
  close_workspace(&w);
  gmf_free(entries);
  gmf_free(vectors);
  gmf_trace_phase(op->grid->trace, before);
  return status;
}

/* ---- signs, and all of it ---------------------------------------------------------------------------------------- */

/* Collective. Turns triplets so that the largest entry of v is positive. */
static gmf_status fix_signs(gmf_svd *svd, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_grid *grid = svd->op->grid;
  const gmf_tall *v = svd->vectors[GMF_ITEMS];
  double *largest = NULL;
  int64_t *first = NULL; /* twice the first row with an entry as large, odd where the entry is negative */
  local = GMF_NEW_ZERO(largest, svd->k, err);
  if (local == GMF_OK) local = GMF_NEW(first, svd->k, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int64_t r = 0; r < v->n; r++)
    for (int c = 0; c < svd->k; c++) largest[c] = fmax(largest[c], fabs(v->rows[r * v->ld + c]));
  gmf_max_f64(grid, largest, svd->k);
  for (int c = 0; c < svd->k; c++) first[c] = INT64_MAX;
  for (int64_t r = 0; r < v->n; r++) {
    int64_t row = gmf_axis_row(v->axis, v->begin + r);
    for (int c = 0; c < svd->k; c++) {
      double x = v->rows[r * v->ld + c];
      if (fabs(x) >= (1 - 1e-8) * largest[c]) first[c] = gmf_min64(first[c], 2 * row + (x < 0));
    }
  }
  gmf_min_i64(grid, first, svd->k);
  for (int s = 0; s < GMF_N_SIDES; s++)
    for (int64_t r = 0; r < svd->vectors[s]->n; r++)
      for (int c = 0; c < svd->k; c++)
        if (first[c] % 2 == 1) svd->vectors[s]->rows[r * svd->vectors[s]->ld + c] *= -1;
cleanup:
  gmf_free(largest);
  gmf_free(first);
  return status;
}

gmf_status gmf_svd_create(const gmf_grid *grid, const gmf_svd_options *options, gmf_axis *const axes[GMF_N_SIDES],
                          gmf_block *const blocks[GMF_N_SIDES], gmf_svd **out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_svd *svd = NULL;
  double begin = MPI_Wtime();
  *out = NULL;
  GMF_CHECK(options->k <= axes[GMF_USERS]->n && options->k <= axes[GMF_ITEMS]->n);
  local = GMF_NEW_ZERO(svd, 1, err);
  if (local == GMF_OK) {
    svd->k = options->k;
    local = GMF_NEW_ZERO(svd->values, svd->k, err);
  }
  GMF_TRY(gmf_agree(grid, local, err));
  int width = gmf_svd_block(options, axes[GMF_USERS]->n, axes[GMF_ITEMS]->n);
  GMF_TRY(gmf_operator_create(grid, axes, blocks, width, options->centering, &svd->op, err));
  if (!isfinite(svd->op->square))
    GMF_TRY(gmf_fail(err, GMF_ERR_NUMERIC, "the squares of the ratings have no finite sum: ratings are too large"));
  bool resumed = options->saver != NULL && options->saver->resumed != NULL;
  bool normal = resumed ? options->saver->resumed->normal : true, again = false;
  do { /* again, with two bases, where the normal equations promised more than they kept */
    clear(svd);
    switch (options->method) {
      case GMF_SVD_KRYLOV: GMF_TRY(krylov(svd, options, &normal, err)); break;
      case GMF_SVD_RANDOMIZED: GMF_TRY(randomized(svd, options, err)); break;
      case GMF_SVD_GRAM: GMF_TRY(from_gram(svd, options, err)); break;
    }
    GMF_TRY(fix_signs(svd, err));
    svd->n_products = svd->op->n_products;
    svd->seconds = MPI_Wtime() - begin;
    GMF_TRY(gmf_svd_certify(svd, options, err));
    again = options->method == GMF_SVD_KRYLOV && normal && is_poor(svd, options);
    normal = false;
  } while (again);
  *out = svd;
  svd = NULL;
cleanup:
  gmf_svd_destroy(&svd);
  return status;
}
