/*
 * Thick-restart block Golub-Kahan-Lanczos.  With orthonormal bases of p columns on both sides, R the side that steps
 * start from (the shorter one) and L the other,
 *
 *     A R_p = L_p B,      A'L_p = R_p B' + R_next C E',      B = L_p'A R_p upper triangular,
 *
 * E' picking the last block.  A step applies A to R_next, orthogonalises against L_p, which gives the new columns of B,
 * and A' to what is new, orthogonalised against R, which gives C and the next R_next.  With B = P S Q' the triplets
 * (L P, S, R Q) have A r = s l, and A'l - s r is R_next C times the last rows of P: its norm needs no product.  At a
 * restart L <- L P, R <- R Q keep the first columns, B <- S, R_next stays, and everything above holds again but for
 * B's new columns, which the next step computes in full, arrow and all.
 *
 * Golub, Luk, Overton, "A block Lanczos method for computing the singular values and corresponding singular vectors of
 * a matrix", ACM TOMS 7 (1981); Baglama, Reichel, "Augmented implicitly restarted Lanczos bidiagonalization methods",
 * SIAM J. Sci. Comput. 27 (2005).  Both bases are fully orthogonalised, and A'A is never formed, so small singular
 * values are as good as large ones, relative to the largest.
 *
 * Where singular values are not needed far below the largest, the same goes faster on the normal equations: L is left
 * out, B is R_p'A'A R_p, and a step applies A and A' and orthogonalises against R alone. A residual of A'A r = s^2 r is
 * s times that of A'l = s r, and rounding leaves it at about 2^-49 s_1^2: once that is more than a quarter of the
 * tolerance for the wanted triplet with the least value, the search is given up, and begins again with both bases.
 *
 * A block of b vectors finds singular values that are repeated up to b times.  More copies would come in by rounding
 * alone, so when all k triplets have converged a block of fresh random vectors is taken through CHECK_STEPS steps:
 * where that makes one of the values grow, something was missed, and the search goes on.
 */
#include <math.h>
#include <string.h>

#include "algo/svd_internal.h"
#include "base/memory.h"
#include "base/narrow.h"

enum { CHECK_STEPS = 2 };

/* Part of the tolerance that residuals are to keep to here: the check moves converged triplets a little. */
static const double SAFE = 0.5;

typedef struct krylov {
  const gmf_grid *grid; /* borrowed, like the next three */
  const gmf_svd_options *options;
  gmf_operator *op;
  gmf_tall *left, *right; /* of the longer and the shorter side */
  gmf_side left_side, right_side;
  int k, block, kept; /* kept: triplets at a restart */
  int capacity;       /* columns of a full basis; `right` has room for the next block besides */
  int p;              /* columns of the basis now */
  int last;           /* columns of the last block */
  double *b;          /* owned [capacity][capacity], row by row */
  double *c;          /* owned [block][block]: coupling of the last block to the next */
  double *coupling;   /* owned [capacity][block]: the next columns of B, as far as c tells: the rows `coupled` */
  gmf_expected coupled;
  double *worst;  /* owned [k]: residuals relative to the largest value */
  double *before; /* owned [k]: values before the check for missed ones */
  bool normal;    /* the normal equations: no basis on the left, where blocks of products are kept */
  bool given_up;  /* normal: rounding is in the way of the tolerance */
  double *square; /* owned [block][block]: W'W of the block of products */
  gmf_extension extension;
  gmf_small_svd *svd;
  gmf_basis_options basis;
  uint32_t n_random;
} krylov;

static void free_krylov(krylov *s)
{
  gmf_free(s->b);
  gmf_free(s->c);
  gmf_free(s->coupling);
  gmf_free(s->worst);
  gmf_free(s->before);
  gmf_free(s->square);
  gmf_extension_free(&s->extension);
  gmf_small_svd_destroy(&s->svd);
}

/* Columns of a full basis: three times the triplets, at least six blocks more than them; all of the shorter side where
 * that is not much longer. On power-law ratings this took the least time of 2 to 4 times as many. */
static int basis_columns(int k, int block, int64_t shorter)
{
  int64_t columns = k + gmf_max64(2 * (int64_t)k, 6 * (int64_t)block);
  columns = k + (columns - k + block - 1) / block * block;
  return gmf_int(columns + block <= shorter ? columns : shorter);
}

gmf_krylov_sizes gmf_krylov_measure(const gmf_svd_options *options, int64_t n_users, int64_t n_items, bool normal)
{
  gmf_krylov_sizes m = {.left_side = n_users >= n_items ? GMF_USERS : GMF_ITEMS};
  int64_t shorter = gmf_min64(n_users, n_items);
  m.block = gmf_svd_block(options, n_users, n_items);
  m.capacity = basis_columns(options->k, m.block, shorter);
  m.kept = options->k + (m.capacity - options->k) / 3 / m.block * m.block;
  m.normal = normal && m.capacity < shorter;
  m.n_left = m.normal ? gmf_int(gmf_max64(options->k, m.block)) : m.capacity;
  m.n_right = m.capacity + m.block;
  return m;
}

static gmf_status start(krylov *s, gmf_svd *svd, const gmf_svd_options *options, bool normal, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_operator *op = svd->op;
  gmf_krylov_sizes m = gmf_krylov_measure(options, op->axes[GMF_USERS]->n, op->axes[GMF_ITEMS]->n, normal);
  *s = (krylov){.grid = op->grid,
                .options = options,
                .op = op,
                .left_side = m.left_side,
                .right_side = gmf_other_side(m.left_side),
                .k = options->k,
                .block = m.block,
                .capacity = m.capacity,
                .kept = m.kept,
                .normal = m.normal};
  s->basis = (gmf_basis_options){options->seed, &s->n_random, gmf_svd_negligible(op)};
  local = gmf_tall_create(s->grid, op->axes[s->left_side], m.n_left, &svd->vectors[s->left_side], err);
  if (local == GMF_OK)
    local = gmf_tall_create(s->grid, op->axes[s->right_side], m.n_right, &svd->vectors[s->right_side], err);
  s->left = svd->vectors[s->left_side];
  s->right = svd->vectors[s->right_side];
  if (local == GMF_OK) local = GMF_NEW_ZERO(s->b, (int64_t)s->capacity * s->capacity, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(s->c, (int64_t)s->block * s->block, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(s->square, (int64_t)s->block * s->block, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(s->coupling, (int64_t)s->capacity * s->block, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(s->worst, s->k, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(s->before, s->k, err);
  if (local == GMF_OK) local = gmf_extension_create(s->capacity, s->block, &s->extension, err);
  GMF_TRY(gmf_agree(s->grid, local, err));
  GMF_TRY(gmf_small_svd_create(s->grid, s->capacity, &s->svd, err));
cleanup:
  return status;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* Collective. Makes the n columns after the first p orthonormal to those and to each other. */
static gmf_status extend(krylov *s, gmf_tall *x, int n, gmf_expected expected, gmf_error *err)
{
  gmf_phase before = gmf_trace_phase(s->grid->trace, GMF_PHASE_GRAM);
  gmf_status status = gmf_tall_extend(s->grid, x, s->p, n, expected, &s->basis, &s->extension, err);
  gmf_trace_phase(s->grid->trace, before);
  return status;
}

/* Collective. The next block of `right` becomes random, orthogonal to its first p columns. */
static gmf_status draw_next(krylov *s, gmf_error *err)
{
  gmf_tall_randomize((gmf_columns){s->right, s->p, s->block}, s->basis.seed, s->n_random);
  s->n_random += (uint32_t)s->block;
  s->coupled = (gmf_expected){0, 0};
  return extend(s, s->right, s->block, (gmf_expected){0, 0}, err);
}

/* Collective. A times the next n columns of `right`, which are orthonormal, gives as many of `left` and of B. */
static gmf_status step_left(krylov *s, int n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_operator_apply(s->op, s->left_side, (gmf_columns){s->right, s->p, n}, (gmf_columns){s->left, s->p, n});
  if (s->coupled.n > 0)
    memcpy(s->extension.h + s->coupled.begin * n, s->coupling, (size_t)s->coupled.n * (size_t)n * sizeof *s->coupling);
  GMF_TRY(extend(s, s->left, n, s->coupled, err));
  for (int i = 0; i < s->p + n; i++)
    memcpy(s->b + (size_t)i * (size_t)s->capacity + s->p,
           i < s->p ? s->extension.h + i * n : s->extension.r + (i - s->p) * n, (size_t)n * sizeof *s->b);
  s->p += n;
  s->last = n;
cleanup:
  return status;
}

/* Local. How the last block is coupled to the next one, which has just been made orthonormal. */
static void note_coupling(krylov *s)
{
  int n = s->last;
  memcpy(s->c, s->extension.r, (size_t)n * (size_t)n * sizeof *s->c);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) s->coupling[i * n + j] = s->c[j * n + i];
  s->coupled = (gmf_expected){s->p - n, n};
}

/* Collective. A' times the last block of `left` gives the next block of `right`, and how it is coupled. */
static gmf_status step_right(krylov *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int n = s->last;
  gmf_operator_apply(s->op, s->right_side, (gmf_columns){s->left, s->p - n, n}, (gmf_columns){s->right, s->p, n});
  double *h = s->extension.h + (s->p - n) * n; /* A'l meets the right block that it came from as in B */
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) h[j * n + i] = s->b[(s->p - n + i) * s->capacity + s->p - n + j];
  GMF_TRY(extend(s, s->right, n, (gmf_expected){s->p - n, n}, err));
  note_coupling(s);
cleanup:
  return status;
}

/* Collective. Normal equations: A'A times the next block of `right` gives the columns of B and the block after it. */
static gmf_status step_normal(krylov *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int n = s->block, known = s->coupled.n;
  gmf_columns w = {s->left, 0, n};
  double *h = s->extension.h + (s->p - known) * n;
  gmf_operator_apply(s->op, s->left_side, (gmf_columns){s->right, s->p, n}, w);
  gmf_tall_product(s->grid, w, w, s->square);
  gmf_operator_apply(s->op, s->right_side, w, (gmf_columns){s->right, s->p + n, n});
  memcpy(h, s->coupling, (size_t)known * (size_t)n * sizeof *h);
  memcpy(h + known * n, s->square, (size_t)n * (size_t)n * sizeof *h);
  s->p += n;
  s->last = n;
  GMF_TRY(extend(s, s->right, n, (gmf_expected){s->p - n - known, known + n}, err));
  for (int i = 0; i < s->p; i++)
    for (int j = 0; j < n; j++)
      s->b[i * s->capacity + s->p - n + j] = s->b[(s->p - n + j) * s->capacity + i] = s->extension.h[i * n + j];
  note_coupling(s);
cleanup:
  return status;
}

/* Collective. Steps until the basis has n_columns. */
static gmf_status grow(krylov *s, int n_columns, gmf_error *err)
{
  gmf_status status = GMF_OK;
  while (s->p + s->block <= n_columns) {
    if (s->normal) {
      GMF_TRY(step_normal(s, err));
    } else {
      GMF_TRY(step_left(s, s->block, err));
      GMF_TRY(step_right(s, err));
    }
  }
cleanup:
  return status;
}

/* What A'l of triplet i has in column `row` of the next block. */
static double coupling_of(const krylov *s, int row, int i)
{
  double x = 0;
  for (int j = 0; j < s->last; j++) x += s->c[row * s->last + j] * s->svd->left[(s->p - s->last + j) * s->p + i];
  return x;
}

/* Collective. Keeps the first n triplets, which small->left and ->right describe, and the next block. */
static gmf_status keep(krylov *s, int n, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const double *rotations[] = {s->svd->right, s->svd->left};
  gmf_tall *bases[] = {s->right, s->left};
  double *columns = NULL;
  local = GMF_NEW(columns, (int64_t)s->p * n, err);
  for (int side = 0; side < (s->normal ? 1 : 2) && local == GMF_OK; side++) {
    for (int i = 0; i < s->p; i++) memcpy(columns + i * n, rotations[side] + i * s->p, (size_t)n * sizeof *columns);
    if (!gmf_tall_rotate((gmf_columns){bases[side], 0, s->p}, columns, n))
      local = gmf_out_of_memory(err, n, sizeof *columns, "a panel of a basis");
  }
  GMF_TRY(gmf_agree(s->grid, local, err));
  for (int64_t r = 0; r < s->right->n; r++)
    memmove(s->right->rows + r * s->right->ld + n, s->right->rows + r * s->right->ld + s->p,
            (size_t)s->block * sizeof *s->right->rows);
  memset(s->b, 0, (size_t)s->capacity * (size_t)s->capacity * sizeof *s->b);
  for (int i = 0; i < n; i++) s->b[i * s->capacity + i] = s->svd->values[i];
  for (int i = 0; i < n; i++)
    for (int row = 0; row < s->block; row++) s->coupling[i * s->block + row] = coupling_of(s, row, i);
  s->coupled = (gmf_expected){0, n};
  s->p = n;
cleanup:
  gmf_free(columns);
  return status;
}

/* ---- what a basis says ------------------------------------------------------------------------------------------- */

/* Singular value i of the basis. */
static double value_of(const krylov *s, int i) { return s->normal ? sqrt(s->svd->values[i]) : s->svd->values[i]; }

/* Collective. Triplets of the basis and their residuals; how many of the first k are within the tolerance. */
static gmf_status project(krylov *s, gmf_svd_restart *restart, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int n = s->last;
  GMF_TRY(gmf_small_svd_run(s->grid, s->b, s->p, s->capacity, s->svd, err));
  *restart = (gmf_svd_restart){.n_restarts = restart->n_restarts, .n_products = s->op->n_products};
  for (int i = 0; i < s->k; i++) {
    double square = 0;
    for (int row = 0; row < n; row++) {
      double x = coupling_of(s, row, i);
      square += x * x;
    }
    double scale = value_of(s, 0) * (s->normal ? value_of(s, i) : 1);
    s->worst[i] = scale > 0 ? sqrt(square) / scale : 0;
  }
  gmf_broadcast(s->grid, s->worst, s->k * (int64_t)sizeof *s->worst); /* c is rank 0's */
  for (int i = 0; i < s->k; i++) {
    restart->n_converged += s->worst[i] <= SAFE * s->options->tolerance;
    restart->worst = fmax(restart->worst, s->worst[i]);
  }
  restart->largest = value_of(s, 0);
  s->given_up = s->normal && !(0x1p-49 * value_of(s, 0) <= 0.5 * SAFE * s->options->tolerance * value_of(s, s->k - 1));
cleanup:
  return status;
}

/* ---- going on later ---------------------------------------------------------------------------------------------- */

/* The numbers of a state; `kept` has room for its values where it is not NULL. */
static gmf_svd_state state_of(const krylov *s, const gmf_svd *svd, int64_t n_restarts, double *kept)
{
  gmf_svd_state state = {.n_steps = svd->n_steps,
                         .n_restarts = n_restarts,
                         .n_products = s->op->n_products,
                         .n_random = s->n_random,
                         .normal = s->normal,
                         .n_kept = s->p,
                         .n_next = s->block,
                         .kept = kept};
  state.basis[s->right_side] = (gmf_columns){s->right, 0, s->p + s->block};
  state.basis[s->left_side] = (gmf_columns){s->left, 0, s->normal ? 0 : s->p};
  return state;
}

/* Collective. The triplets so far into svd, at no cost to the search. Normal: l = A r / s, in the columns on the left,
 * which are scratch. */
static void show_triplets(const krylov *s, gmf_svd *svd)
{
  int64_t n_products = s->op->n_products;
  for (int i = 0; i < s->k; i++) svd->values[i] = value_of(s, i);
  if (!s->normal) return;
  gmf_svd_apply(s->op, s->left_side, (gmf_columns){s->right, 0, s->k}, (gmf_columns){s->left, 0, s->k});
  for (int64_t r = 0; r < s->left->n; r++)
    for (int i = 0; i < s->k; i++) {
      double value = svd->values[i];
      s->left->rows[r * s->left->ld + i] *= value > 0x1p-50 * svd->values[0] ? 1 / value : 0;
    }
  s->op->n_products = n_products;
}

/* Collective. After a restart: a chance to save the state. */
static gmf_status save(const krylov *s, gmf_svd *svd, int64_t n_restarts, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_svd_saver *saver = s->options->saver;
  double *kept = NULL;
  svd->n_steps++;
  if (saver == NULL || !saver->due(saver->context)) return GMF_OK;
  GMF_TRY(gmf_agree(s->grid, GMF_NEW(kept, (int64_t)s->p * (1 + s->block), err), err));
  for (int i = 0; i < s->p; i++) {
    kept[i * (1 + s->block)] = s->b[i * s->capacity + i];
    memcpy(kept + i * (1 + s->block) + 1, s->coupling + i * s->block, (size_t)s->block * sizeof *kept);
  }
  show_triplets(s, svd);
  gmf_svd_state state = state_of(s, svd, n_restarts, kept);
  GMF_TRY(saver->save(saver->context, svd, &state, err));
cleanup:
  gmf_free(kept);
  return status;
}

/* Collective. Takes the search to where the saved state was. */
static gmf_status resume(krylov *s, gmf_svd *svd, int64_t *n_restarts, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_svd_saver *saver = s->options->saver;
  double *kept = NULL;
  GMF_TRY(gmf_agree(s->grid, GMF_NEW(kept, (int64_t)s->kept * (1 + s->block), err), err));
  s->p = s->kept;
  s->n_random = (uint32_t)saver->resumed->n_random;
  s->op->n_products = saver->resumed->n_products;
  svd->n_steps = saver->resumed->n_steps;
  *n_restarts = saver->resumed->n_restarts;
  gmf_svd_state state = state_of(s, svd, *n_restarts, kept);
  GMF_TRY(saver->load(saver->context, &state, err));
  for (int i = 0; i < s->kept; i++) {
    s->b[i * s->capacity + i] = kept[i * (1 + s->block)];
    memcpy(s->coupling + i * s->block, kept + i * (1 + s->block) + 1, (size_t)s->block * sizeof *kept);
  }
  s->coupled = (gmf_expected){0, s->kept};
cleanup:
  gmf_free(kept);
  return status;
}

/* ---- the search -------------------------------------------------------------------------------------------------- */

/* Collective. All have converged: keeps them, and looks with fresh random vectors for any that were missed. */
static gmf_status check(krylov *s, gmf_svd_restart *restart, bool *missed, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *missed = false;
  for (int i = 0; i < s->k; i++) s->before[i] = value_of(s, i);
  GMF_TRY(keep(s, s->k, err));
  GMF_TRY(draw_next(s, err));
  GMF_TRY(grow(s, s->k + CHECK_STEPS * s->block, err));
  GMF_TRY(project(s, restart, err));
  double slack = 4 * fmax(s->options->tolerance, 0x1p-46) * s->before[0];
  for (int i = 0; i < s->k; i++) *missed = *missed || value_of(s, i) > s->before[i] + slack;
cleanup:
  return status;
}

/* Collective. The shorter side is hardly longer than a basis: its unit vectors are one, and B is all of A. */
static gmf_status span_all(krylov *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t r = 0; r < s->right->n; r++) s->right->rows[r * s->right->ld + s->right->begin + r] = 1;
  while (s->p < s->capacity) GMF_TRY(step_left(s, gmf_int(gmf_min64(s->block, s->capacity - s->p)), err));
  GMF_TRY(gmf_small_svd_run(s->grid, s->b, s->p, s->capacity, s->svd, err));
cleanup:
  return status;
}

/* Collective. Restarts until all k triplets are found. */
static gmf_status search(krylov *s, gmf_svd *svd, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_svd_restart restart = {0};
  bool missed = false;
  const gmf_svd_state *resumed = s->options->saver != NULL ? s->options->saver->resumed : NULL;
  if (resumed != NULL && resumed->normal == s->normal) /* else it is of the search that was given up before this one */
    GMF_TRY(resume(s, svd, &restart.n_restarts, err));
  else
    GMF_TRY(draw_next(s, err));
  for (;; restart.n_restarts++) {
    GMF_TRY(grow(s, s->capacity, err));
    GMF_TRY(project(s, &restart, err));
    svd->n_restarts = restart.n_restarts;
    if (s->given_up) break;
    if (s->options->progress != NULL) s->options->progress(s->options->context, &restart);
    if (restart.n_converged == s->k) {
      GMF_TRY(check(s, &restart, &missed, err));
      if (!missed || s->given_up) break;
    } else if (restart.n_restarts >= s->options->max_restarts) {
      GMF_TRY(gmf_fail(
          err, GMF_ERR_NUMERIC,
          "%d of %d singular triplets have residuals safely within --tolerance %g after %lld restarts, the worst is "
          "at %.2g of the largest singular value: use more --max-restarts, a larger --tolerance or other "
          "--factors",
          restart.n_converged, s->k, s->options->tolerance, (long long)restart.n_restarts, restart.worst));
    } else {
      GMF_TRY(keep(s, s->kept, err));
      GMF_TRY(save(s, svd, restart.n_restarts + 1, err));
    }
  }
cleanup:
  return status;
}

gmf_status gmf_svd_krylov(gmf_svd *svd, const gmf_svd_options *options, bool normal, gmf_svd_outcome *outcome,
                          gmf_error *err)
{
  gmf_status status = GMF_OK;
  krylov s = {0};
  GMF_TRY(start(&s, svd, options, normal, err));
  s.basis.n_random = &s.n_random;
  if (s.capacity == s.right->axis->n)
    GMF_TRY(span_all(&s, err));
  else
    GMF_TRY(search(&s, svd, err));
  *outcome = (gmf_svd_outcome){s.right_side, s.normal, s.given_up};
  for (int i = 0; i < s.k; i++) svd->values[i] = value_of(&s, i);
  GMF_TRY(keep(&s, s.k, err));
cleanup:
  free_krylov(&s);
  return status;
}
