/*
 * Preconditioned conjugate gradients for many rows at a time, each with its ratings cut among the C ranks of a grid
 * row. With H_r = sum_j w_j y_j y_j' over the ratings that rank r has of a row, its system is
 *
 *   (D + sum_r H_r) x = sum_r t_r + q          D diagonal, in the basis of the half-sweep (als_basis.c)
 *
 * and the owner holds x, the residual, the search direction p and the preconditioner M = D + diag(sum_r H_r):
 *
 *   start   spread x; each rank: t_r - H_r x and diag(H_r); fold; the owner adds q - D x
 *   a step  spread p; each rank: H_r p; fold; the owner: alpha = rho / p'(D p + fold), x += alpha p,
 *           residual -= alpha (D p + fold), z = M^-1 residual, rho' = residual'z, p = z + rho' / rho p
 *
 * (Hestenes, Stiefel, J. Res. NBS 49, 1952.) That moves 2 (s + 1) vectors of n numbers for s steps, and one more for
 * the preconditioner, where the matrix has n (n + 3) / 2 numbers. The rows of a batch take their steps together; one
 * that is done sends p = 0, and when all p of a batch are zero every rank sees that it is.
 *
 * Where rows have to be solved to single precision (exact), x and residuals travel in f8, and a row is done when a
 * residual found anew says so, not the one that steps carry along.
 *
 * cg, whose x need not be better than f4, takes a given number of steps, in f4, and does without two of the vectors:
 *
 *   x           is not spread. Every rank of the grid row has a copy, from one sweep to the next, and takes the owner's
 *               steps itself: it has p, and alpha comes with the next p. All ranks compute a copy alike, from the same
 *               numbers, the owner too; so copies are the owner's rows to the bit. Only where owners got their rows by
 *               other means, at the start or by a matrix, they are spread (refresh).
 *   the last q  has no use but p'q: each rank folds p'H_r p, one number.
 *
 * The objective: each rank keeps its part of a row's loss at the last residual, the owner adds D's part and what each
 * step takes off, alpha rho.
 */
#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <string.h>

#include "algo/als_internal.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/cg.h"

struct gmf_als_fold_cg {
  const gmf_block *block; /* borrowed */
  gmf_als_way way;
  gmf_fold *fold;           /* owned: of two vectors */
  gmf_als_fold_order order; /* owned: of fold */
  double *loss;             /* owned [rows of the block]: my part of each row's */
  /* Of my rows in a batch, owned [batch_rows][n]: */
  double *x, *r, *p, *d;
  double *inverse; /* 1 / M, and 0 where x is fixed */
  double *rho;     /* owned [batch_rows] */
  char *own;       /* owned [batch_rows] vectors, on their way */
  char *all;       /* owned [n_owners * batch_rows] vectors: of the rows of all owners */
  /* Of cg that is not exact; NULL where it is: */
  float *copies; /* owned [rows of the block][ld]: x of all owners */
  char *last;    /* owned: the vectors of `all` in the step before */
  float *alpha;  /* owned [batch_rows]: how far my rows went along them */
  bool stale;    /* the copies are not what owners have; the same on all ranks of the grid row */
};

void gmf_als_fold_cg_destroy(gmf_als_fold_cg **cg)
{
  gmf_als_fold_cg *c = *cg;
  if (c == NULL) return;
  gmf_als_fold_order_destroy(&c->order);
  gmf_fold_destroy(&c->fold);
  void *const arrays[] = {c->loss, c->x,   c->r,   c->p,      c->d,    c->inverse,
                          c->rho,  c->own, c->all, c->copies, c->last, c->alpha};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
  gmf_free(c);
  *cg = NULL;
}

gmf_status gmf_als_fold_cg_create(const gmf_als *als, const gmf_block *block, gmf_als_way way, gmf_als_fold_cg **out,
                                  gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_als_fold_cg *c = NULL;
  int64_t n = als->n, vector = gmf_als_cg_vector(way, als->n);

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(c, 1, err));
  c->block = block;
  c->way = way;
  GMF_TRY(gmf_fold_create(block->grid, block, gmf_als_cg_words(way, als->n), GMF_ALS_CG_BATCH, &c->fold, err));
  GMF_TRY(gmf_als_fold_order_create(block, c->fold, als->n_threads, &c->order, err));
  int64_t rows = c->fold->batch_rows;
  GMF_TRY(GMF_NEW_ZERO(c->loss, block->n_rows, err));
  double **const vectors[] = {&c->x, &c->r, &c->p, &c->d, &c->inverse};
  for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) GMF_TRY(GMF_NEW_ZERO(*vectors[v], rows * n, err));
  GMF_TRY(GMF_NEW_ZERO(c->rho, rows, err));
  GMF_TRY(GMF_NEW_ZERO(c->own, rows * vector, err));
  GMF_TRY(GMF_NEW_ZERO(c->all, rows * c->fold->n_owners * vector, err));
  if (gmf_als_way_copies(way)) {
    c->stale = true;
    GMF_TRY(GMF_NEW_ZERO(c->copies, block->n_rows * als->ld, err));
    GMF_TRY(GMF_NEW_ZERO(c->last, rows * c->fold->n_owners * vector, err));
    GMF_TRY(GMF_NEW_ZERO(c->alpha, rows, err));
  }
  *out = c;
  c = NULL;
cleanup:
  gmf_als_fold_cg_destroy(&c);
  return status;
}

/* ---- what every rank does for the rows of all owners ------------------------------------------------------------- */

/* The numbers of a vector, in either width, from and to doubles. */
static void widen(const char *from, int64_t bytes, int n, double *to)
{
  if (bytes == (int64_t)sizeof(double)) {
    memcpy(to, from, (size_t)n * sizeof *to);
    return;
  }
  for (int c = 0; c < n; c++) {
    float value = 0;
    memcpy(&value, from + (size_t)c * sizeof value, sizeof value);
    to[c] = (double)value;
  }
}

static void narrow(const double *from, int64_t bytes, int n, char *to)
{
  if (bytes == (int64_t)sizeof(double)) {
    memcpy(to, from, (size_t)n * sizeof *from);
    return;
  }
  for (int c = 0; c < n; c++) {
    float value = (float)from[c];
    memcpy(to + (size_t)c * sizeof value, &value, sizeof value);
  }
}

/* Bytes of a row's direction on its way, and the length of the step before where copies follow. */
static int64_t direction_bytes(const gmf_als *als, const gmf_als_fold_cg *c)
{
  return (als->n + (c->copies != NULL)) * (int64_t)sizeof(float);
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

static float *copy_of(const gmf_als *als, const gmf_als_fold_cg *c, int64_t r) { return c->copies + r * als->ld; }

float *gmf_als_fold_cg_copies(const gmf_als_fold_cg *c) { return c->copies; }

void gmf_als_fold_cg_forget(gmf_als_fold_cg *c) { c->stale = c->copies != NULL; }

void gmf_als_fold_cg_refresh(const gmf_als *als, gmf_als_fold_cg *c)
{
  const gmf_block *b = c->block;
  size_t bytes = (size_t)als->n * sizeof(float);
  for (int64_t batch = 0; c->stale && batch < c->fold->n_batches; batch++) {
    int64_t begin = 0, end = 0, own = c->fold->first[b->grid->col_index];
    gmf_fold_range(c->fold, batch, b->grid->col_index, &begin, &end);
    for (int64_t r = begin; r < end; r++)
      memcpy(c->own + (size_t)(r - begin) * bytes, als->factors[b->side]->rows + gmf_block_own(b, r - own) * als->ld,
             bytes);
    gmf_fold_spread(b->grid, c->fold, batch, (int64_t)bytes, c->own, c->all);
    for (int64_t j = 0; j < gmf_fold_rows(c->fold, batch); j++)
      memcpy(copy_of(als, c, gmf_als_fold_row(c->fold, batch, j)), c->all + (size_t)j * bytes, bytes);
  }
  c->stale = false;
}

/* Local. Takes the copies of a batch along their directions: p [rows][stride], alpha [rows][alpha_stride] floats. */
static void follow(const gmf_als *als, gmf_als_fold_cg *c, int64_t batch, const char *directions, int64_t stride,
                   const char *lengths, int64_t length_stride)
{
  int64_t n_rows = gmf_fold_rows(c->fold, batch);
#pragma omp parallel for schedule(static) num_threads(als->n_threads)
  for (int64_t j = 0; j < n_rows; j++) {
    const float *p = (const float *)(const void *)(directions + j * stride);
    float *x = copy_of(als, c, gmf_als_fold_row(c->fold, batch, j)), alpha = 0;
    memcpy(&alpha, lengths + j * length_stride, sizeof alpha);
    for (int k = 0; alpha != 0 && k < als->n; k++) x[k] = (float)((double)x[k] + (double)alpha * (double)p[k]);
  }
}

/* A batch that is being formed. */
typedef struct forming {
  gmf_als_fold_cg *cg;
  int64_t batch;
  bool first, last; /* with preconditioners; p'q alone */
  atomic_bool any;  /* some row is not done */
} forming;

/* The row at a place of a batch's order: *j in the batch, *r in the block. Returns its ratings here. */
static gmf_ratings ratings_at(const forming *at, int64_t place, int64_t *j, int64_t *r)
{
  const gmf_als_fold_cg *c = at->cg;
  *j = c->order.rows[c->order.first[at->batch] + place];
  *r = gmf_als_fold_row(c->fold, at->batch, *j);
  return gmf_block_row(c->block, *r);
}

static gmf_rated_row rated(const gmf_als *als, const gmf_ratings *ratings)
{
  return (gmf_rated_row){als->panel, als->ld, ratings, als->options.row.loss, als->ld};
}

/* My parts of a row's residual and, `first`, of its preconditioner. */
static void form_residual(gmf_als *als, void *context, int64_t place, gmf_row_solver *s)
{
  const forming *at = context;
  gmf_als_fold_cg *c = at->cg;
  int n = als->n;
  int64_t j = 0, r = 0, bytes = gmf_als_number_bytes(c->way), vector = n * bytes;
  gmf_ratings ratings = ratings_at(at, place, &j, &r);
  gmf_rated_row row = rated(als, &ratings);
  gmf_team team = gmf_row_team(s);
  double *sums = s->work8;
  memset(s->x8, 0, (size_t)als->ld * sizeof *s->x8);
  memset(sums, 0, 2 * (size_t)als->ld * sizeof *sums);
  widen(c->copies != NULL ? (const char *)copy_of(als, c, r) : c->all + j * vector, bytes, n, s->x8);
  c->loss[r] = gmf_sum_residual(&team, &row, s->x8, at->first, sums);
  char *to = (char *)c->fold->partial + j * vector * (at->first ? 2 : 1);
  narrow(sums, bytes, n, to);
  if (at->first) narrow(sums + als->ld, bytes, n, to + vector);
  if (omp_get_thread_num() == 0) gmf_beat();
}

/* Local. My parts of the residuals of a batch and, `first`, of its preconditioners, at x: the copies, or c->all. */
static void form_residuals(gmf_als *als, gmf_als_fold_cg *c, int64_t batch, bool first)
{
  gmf_als_rows_each(als, c->block->side, &c->order.schedules[batch], form_residual, NULL,
                    &(forming){.cg = c, .batch = batch, .first = first});
}

/* p'q */
static float product_of(const float *p, const float *q, int n)
{
  double sum = 0;
  for (int k = 0; k < n; k++) sum += (double)p[k] * (double)q[k];
  return (float)sum;
}

/* My part of a row's product with its p, or, `last`, of p's product with that. */
static void form_product(gmf_als *als, void *context, int64_t place, gmf_row_solver *s)
{
  forming *at = context;
  gmf_als_fold_cg *c = at->cg;
  int n = als->n;
  int64_t j = 0, r = 0;
  size_t vector = (size_t)n * sizeof(float);
  gmf_ratings ratings = ratings_at(at, place, &j, &r);
  gmf_rated_row row = rated(als, &ratings);
  gmf_team team = gmf_row_team(s);
  float *p = (float *)(void *)s->work8, *q = s->b, *partial = (float *)(void *)c->fold->partial;
  bool zero = true;
  memset(p, 0, (size_t)als->ld * sizeof *p);
  memset(q, 0, (size_t)als->ld * sizeof *q);
  memcpy(p, c->all + j * direction_bytes(als, c), vector);
  for (int k = 0; k < n && zero; k++) zero = p[k] == 0;
  if (!zero) {
    atomic_store(&at->any, true);
    gmf_sum_product(&team, &row, p, q);
  }
  if (at->last)
    partial[j] = product_of(p, q, n);
  else
    memcpy(partial + j * n, q, vector);
  if (omp_get_thread_num() == 0) gmf_beat();
}

/* Local. My parts of the products with the p of c->all, or, `last`, of p's products with those; false when all p are
 * zero. */
static bool form_products(gmf_als *als, gmf_als_fold_cg *c, int64_t batch, bool last)
{
  forming at = {.cg = c, .batch = batch, .last = last};
  gmf_als_rows_each(als, c->block->side, &c->order.schedules[batch], form_product, NULL, &at);
  return at.any;
}

/* ---- what the owner does ----------------------------------------------------------------------------------------- */

/* A row of mine in a batch. */
typedef struct cg_row {
  int64_t in_block; /* among the rows of the block */
  int64_t place;    /* among all mine of the side */
  double *x, *r, *p, *d, *inverse, *rho;
  float *alpha; /* NULL where x is spread */
} cg_row;

static cg_row row_at(const gmf_als *als, const gmf_als_fold_cg *c, int64_t begin, int64_t j)
{
  int64_t at = j * als->n, r = begin + j;
  return (cg_row){.in_block = r,
                  .place = gmf_block_own(c->block, r - c->fold->first[c->block->grid->col_index]),
                  .x = c->x + at,
                  .r = c->r + at,
                  .p = c->p + at,
                  .d = c->d + at,
                  .inverse = c->inverse + at,
                  .rho = c->rho + j,
                  .alpha = c->alpha != NULL ? c->alpha + j : NULL};
}

static void stop(const gmf_als *als, const cg_row *w) { memset(w->p, 0, (size_t)als->n * sizeof *w->p); }

/* The rho at which what is left of the error is below single precision, both in the norm of the preconditioner. */
static double goal(const gmf_als *als, const cg_row *w)
{
  double size = 0;
  for (int k = 0; k < als->n; k++)
    if (w->inverse[k] > 0) size += w->x[k] * w->x[k] / w->inverse[k];
  return GMF_CG_STEP * GMF_CG_STEP * size;
}

/* z = M^-1 r into p with beta of the old p; rho = r'z. */
static void turn(const gmf_als *als, const cg_row *w, bool anew)
{
  double before = *w->rho;
  *w->rho = 0;
  for (int k = 0; k < als->n; k++) *w->rho += w->inverse[k] * w->r[k] * w->r[k];
  double beta = anew ? 0 : *w->rho / before;
  for (int k = 0; k < als->n; k++) w->p[k] = w->inverse[k] * w->r[k] + beta * w->p[k];
  if (*w->rho <= goal(als, w)) stop(als, w);
}

/*
 * Local. A row's residual from its folded parts, and the direction to take; sums: that of the ratings, behind it the
 * diagonal. False where the matrix is singular, as far as can be told (row_solver.c, solve_cg).
 */
static bool start_row(gmf_als *als, const gmf_als_fold_cg *c, const cg_row *w, const char *sums, bool first)
{
  gmf_row_solver *s = &als->solvers[omp_get_thread_num()];
  gmf_side side = c->block->side;
  int n = als->n;
  int64_t bytes = gmf_als_number_bytes(c->way), count = c->block->counts[w->in_block];
  gmf_row row = gmf_als_row_system(als, side, w->place, count); /* with no ratings: what is the owner's alone */
  double least = INFINITY;
  memset(s->x8, 0, (size_t)als->ld * sizeof *s->x8);
  memcpy(s->x8, w->x, (size_t)n * sizeof *w->x);
  als->row_objective[w->place] = gmf_row_find_residual(s, &row);
  memcpy(w->r, s->r8, (size_t)n * sizeof *w->r);
  widen(sums, bytes, n, s->x8);
  for (int k = 0; k < n; k++) w->r[k] += k != row.fixed ? s->x8[k] : 0;
  if (!first) return true;
  widen(sums + n * bytes, bytes, n, s->x8);
  for (int k = 0; k < n; k++) {
    bool solved = k != row.fixed;
    double whole = solved ? row.diagonal[k] + s->x8[k] : 0;
    w->d[k] = solved ? row.diagonal[k] : 0;
    if (solved) least = fmin(least, w->d[k]);
    if (solved && !(whole > 0)) return false;
    w->inverse[k] = solved ? 1 / whole : 0;
  }
  return least > 0 || count >= n - (row.fixed >= 0);
}

/* Local. One step of a row; q: the folded product, NULL in the last step, of which p'q is enough. False where the
 * matrix is not positive along p. The others that follow have the length of the step in f4. */
static bool step_row(gmf_als *als, const cg_row *w, const float *q, double curvature)
{
  for (int k = 0; k < als->n; k++)
    if (w->inverse[k] > 0) curvature += w->p[k] * ((q != NULL ? (double)q[k] : 0) + w->d[k] * w->p[k]);
  if (!(curvature > 0)) return false;
  double alpha = *w->rho / curvature;
  if (w->alpha != NULL) alpha = (double)(*w->alpha = (float)alpha);
  als->row_objective[w->place] -= alpha * *w->rho;
  if (q == NULL) return isfinite(alpha);
  for (int k = 0; k < als->n; k++) {
    if (!(w->inverse[k] > 0)) continue;
    w->x[k] += alpha * w->p[k];
    w->r[k] -= alpha * ((double)q[k] + w->d[k] * w->p[k]);
  }
  turn(als, w, false);
  return true;
}

static bool is_moving(const gmf_als *als, const cg_row *w)
{
  for (int k = 0; k < als->n; k++)
    if (w->p[k] != 0) return true;
  return false;
}

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

/* Collective over the grid row. Residuals and directions of a batch, at its x. moving: out, my rows that are not done.
 */
static void start_batch(gmf_als *als, gmf_als_fold_cg *c, int64_t batch, bool first, uint8_t *failed)
{
  const gmf_grid *grid = c->block->grid;
  int64_t begin = 0, end = 0, vector = als->n * gmf_als_number_bytes(c->way);
  gmf_fold_range(c->fold, batch, grid->col_index, &begin, &end);
  for (int64_t j = 0; j < end - begin && c->copies == NULL; j++) {
    cg_row w = row_at(als, c, begin, j);
    narrow(w.x, gmf_als_number_bytes(c->way), als->n, c->own + j * vector);
    widen(c->own + j * vector, gmf_als_number_bytes(c->way), als->n, w.x); /* x is what the others see */
  }
  if (c->copies == NULL) {
    gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
    gmf_fold_spread(grid, c->fold, batch, vector, c->own, c->all);
    gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  }
  form_residuals(als, c, batch, first);
  int64_t numbers = (first ? 2 : 1) * als->n;
  gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
  if (c->way.exact)
    gmf_fold_run_f8(grid, c->fold, batch, numbers);
  else
    gmf_fold_run_f4(grid, c->fold, batch, numbers);
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  const char *sums = (const char *)c->fold->sums;
#pragma omp parallel for schedule(static) num_threads(als->n_threads)
  for (int64_t j = 0; j < end - begin; j++) {
    cg_row w = row_at(als, c, begin, j);
    if (c->block->counts[w.in_block] == 0 || failed[w.in_block]) {
      stop(als, &w);
      continue;
    }
    if (start_row(als, c, &w, sums + j * vector * (first ? 2 : 1), first)) {
      turn(als, &w, true);
      continue;
    }
    failed[w.in_block] = 1;
    stop(als, &w);
  }
}

/* Collective over the grid row. The directions of a batch into c->all; copies take the step before this one. */
static void spread_directions(gmf_als *als, gmf_als_fold_cg *c, int64_t batch)
{
  const gmf_grid *grid = c->block->grid;
  int64_t begin = 0, end = 0, vector = als->n * (int64_t)sizeof(float), stride = direction_bytes(als, c);
  gmf_fold_range(c->fold, batch, grid->col_index, &begin, &end);
  for (int64_t j = 0; j < end - begin; j++) {
    cg_row w = row_at(als, c, begin, j);
    char *to = c->own + j * stride;
    narrow(w.p, (int64_t)sizeof(float), als->n, to);
    widen(to, (int64_t)sizeof(float), als->n, w.p);
    if (w.alpha == NULL) continue;
    memcpy(to + vector, w.alpha, sizeof *w.alpha);
    *w.alpha = 0;
  }
  if (c->copies != NULL) {
    char *all = c->all;
    c->all = c->last;
    c->last = all;
  }
  gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
  gmf_fold_spread(grid, c->fold, batch, stride, c->own, c->all);
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  if (c->copies != NULL) follow(als, c, batch, c->last, stride, c->all + vector, stride);
}

/* Collective over the grid row. Copies take the last step of a batch. */
static void settle(gmf_als *als, gmf_als_fold_cg *c, int64_t batch)
{
  const gmf_grid *grid = c->block->grid;
  int64_t length = (int64_t)sizeof *c->alpha;
  gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
  gmf_fold_spread(grid, c->fold, batch, length, c->alpha, c->last);
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  follow(als, c, batch, c->all, direction_bytes(als, c), c->last, length);
  memset(c->alpha, 0, (size_t)c->fold->batch_rows * sizeof *c->alpha);
}

/* Local. x of my rows of a batch as all ranks have them. */
static void take_copies(const gmf_als *als, gmf_als_fold_cg *c, int64_t batch)
{
  int64_t begin = 0, end = 0;
  gmf_fold_range(c->fold, batch, c->block->grid->col_index, &begin, &end);
  for (int64_t j = 0; j < end - begin; j++)
    widen((const char *)copy_of(als, c, begin + j), (int64_t)sizeof(float), als->n, row_at(als, c, begin, j).x);
}

/* Collective over the grid row. One step of all rows of a batch that are not done; false when none is left. last: no
 * step follows, nor a residual. */
static bool step_batch(gmf_als *als, gmf_als_fold_cg *c, int64_t batch, bool last, uint8_t *failed)
{
  const gmf_grid *grid = c->block->grid;
  int64_t begin = 0, end = 0, numbers = last ? 1 : als->n;
  gmf_fold_range(c->fold, batch, grid->col_index, &begin, &end);
  spread_directions(als, c, batch);
  if (!form_products(als, c, batch, last)) return false;
  gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
  gmf_fold_run_f4(grid, c->fold, batch, numbers);
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  const float *sums = (const float *)(const void *)c->fold->sums;
#pragma omp parallel for schedule(static) num_threads(als->n_threads)
  for (int64_t j = 0; j < end - begin; j++) {
    cg_row w = row_at(als, c, begin, j);
    const float *of_row = sums + j * numbers;
    if (!is_moving(als, &w) || step_row(als, &w, last ? NULL : of_row, last ? (double)*of_row : 0)) continue;
    failed[w.in_block] = 1;
    stop(als, &w);
  }
  return true;
}

/* Local. My solutions of a batch into the factor; those that are not what they should be fail. */
static void finish_batch(gmf_als *als, const gmf_als_fold_cg *c, int64_t batch, uint8_t *failed)
{
  gmf_side side = c->block->side;
  int64_t begin = 0, end = 0;
  gmf_fold_range(c->fold, batch, c->block->grid->col_index, &begin, &end);
  for (int64_t j = 0; j < end - begin; j++) {
    gmf_row_solver *s = &als->solvers[0];
    cg_row w = row_at(als, c, begin, j);
    float *to = als->factors[side]->rows + w.place * als->ld;
    if (c->block->counts[w.in_block] == 0) {
      als->row_objective[w.place] = 0;
      gmf_als_clear_row(als, side, to);
      continue;
    }
    if (c->way.exact && is_moving(als, &w)) failed[w.in_block] = 1;
    gmf_row row = gmf_als_row_system(als, side, w.place, c->block->counts[w.in_block]);
    memset(s->x8, 0, (size_t)als->ld * sizeof *s->x8);
    memcpy(s->x8, w.x, (size_t)als->n * sizeof *w.x);
    if (!gmf_row_round(s, &row, to)) failed[w.in_block] = 1;
  }
}

/* Collective over the grid row. */
static void solve_batch(gmf_als *als, gmf_als_fold_cg *c, int64_t batch, uint8_t *failed)
{
  int64_t begin = 0, end = 0;
  int steps = 0, before = 0;
  gmf_fold_range(c->fold, batch, c->block->grid->col_index, &begin, &end);
  for (int64_t j = 0; j < end - begin; j++) {
    cg_row w = row_at(als, c, begin, j);
    const float *from = als->factors[c->block->side]->rows + w.place * als->ld;
    for (int k = 0; k < als->n; k++) w.x[k] = (double)from[k];
  }
  do {
    start_batch(als, c, batch, steps == 0, failed);
    before = steps;
    bool moving = true;
    while (moving && steps < c->way.cg_steps && steps < before + GMF_CG_RENEW) {
      moving = step_batch(als, c, batch, !c->way.exact && steps + 1 == c->way.cg_steps, failed);
      steps += moving;
    }
    if (c->copies != NULL && moving) settle(als, c, batch);
    if (c->copies != NULL) take_copies(als, c, batch);
  } while (steps < c->way.cg_steps && (c->way.exact ? steps > before : steps == before + GMF_CG_RENEW));
  if (c->way.exact && steps > before) start_batch(als, c, batch, false, failed);
  finish_batch(als, c, batch, failed);
}

bool gmf_als_fold_cg_solve(gmf_als *als, gmf_als_fold_cg *c, uint8_t *failed)
{
  const gmf_block *b = c->block;
  memset(failed, 0, (size_t)b->n_rows);
  for (int64_t batch = 0; batch < c->fold->n_batches; batch++) {
    if (als->options.progress != NULL)
      als->options.progress(als->options.context, b->side, (double)batch / (double)c->fold->n_batches);
    solve_batch(als, c, batch, failed);
  }
  bool any = gmf_unite_row_flags(b->grid, failed, b->n_rows);
  if (any) gmf_als_fold_cg_forget(c); /* what is solved by matrices then, the owner has alone */
  for (int64_t r = 0; r < b->n_rows; r++)
    if (!failed[r]) als->folded_loss += c->loss[r];
  return any;
}
