/*
 * Preconditioned conjugate gradients for many rows at a time, each with its ratings cut among the C ranks of a grid
 * row. With H_r = sum_j w_j y_j y_j' over the ratings that rank r has of a row, its system is
 *
 *   (D + sum_r H_r) x = sum_r t_r + q          D diagonal, in the basis of the half-sweep (als.c)
 *
 * and the owner holds x, the residual, the search direction p and the preconditioner M = D + diag(sum_r H_r):
 *
 *   start   spread x; each rank: t_r - H_r x and diag(H_r); fold; the owner adds q - D x
 *   a step  spread p; each rank: H_r p; fold; the owner: alpha = rho / p'(D p + fold), x += alpha p,
 *           residual -= alpha (D p + fold), z = M^-1 residual, rho' = residual'z, p = z + rho' / rho p
 *
 * (Hestenes, Stiefel, J. Res. NBS 49, 1952.) That moves 2 (s + 1) vectors of n numbers for s steps, and one more for
 * the preconditioner, where the matrix has n (n + 3) / 2 numbers; scalars stay with the owner. The rows of a batch take
 * their steps together; one that is done sends p = 0, and when all p of a batch are zero every rank sees that it is.
 *
 * cg sends all vectors in f4: its x need not be better. Where rows have to be solved to single precision (exact), x and
 * residuals travel in f8, and a row is done when a residual found anew says so, not the one that steps carry along.
 *
 * The objective: each rank keeps its part of a row's loss at the last residual, the owner adds D's part and what each
 * step takes off, alpha rho.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "algo/als_internal.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "dist/fold.h"
#include "kernel/cg.h"

struct gmf_als_fold_cg {
  const gmf_block *block; /* borrowed */
  gmf_als_way way;
  gmf_fold *fold; /* owned: of two vectors */
  double *loss;   /* owned [rows of the block]: my part of each row's */
  /* Of my rows in a batch, owned [batch_rows][n]: */
  double *x, *r, *p, *d;
  double *inverse; /* 1 / M, and 0 where x is fixed */
  double *rho;     /* owned [batch_rows] */
  char *own;       /* owned [batch_rows] vectors, on their way */
  char *all;       /* owned [n_owners * batch_rows] vectors: of the rows of all owners */
};

void gmf_als_fold_cg_destroy(gmf_als_fold_cg **cg)
{
  gmf_als_fold_cg *c = *cg;
  if (c == NULL) return;
  gmf_fold_destroy(&c->fold);
  void *const arrays[] = {c->loss, c->x, c->r, c->p, c->d, c->inverse, c->rho, c->own, c->all};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
  gmf_free(c);
  *cg = NULL;
}

gmf_status gmf_als_fold_cg_create(const gmf_als *als, const gmf_block *block, gmf_als_way way, gmf_als_fold_cg **out,
                                  gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_als_fold_cg *c = NULL;
  int64_t n = als->n, vector = n * gmf_als_number_bytes(way);

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(c, 1, err));
  c->block = block;
  c->way = way;
  GMF_TRY(gmf_fold_create(block->grid, block, gmf_als_cg_words(way, als->n), GMF_ALS_CG_BATCH, &c->fold, err));
  int64_t rows = c->fold->batch_rows;
  GMF_TRY(GMF_NEW_ZERO(c->loss, block->n_rows, err));
  double **const vectors[] = {&c->x, &c->r, &c->p, &c->d, &c->inverse};
  for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) GMF_TRY(GMF_NEW_ZERO(*vectors[v], rows * n, err));
  GMF_TRY(GMF_NEW_ZERO(c->rho, rows, err));
  GMF_TRY(GMF_NEW_ZERO(c->own, rows * vector, err));
  GMF_TRY(GMF_NEW_ZERO(c->all, rows * c->fold->n_owners * vector, err));
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

/* Rows of a batch are counted over all owners; this one as a row of the block. */
static int64_t block_row(const gmf_fold *f, int64_t batch, int64_t j)
{
  for (int o = 0;; o++) {
    int64_t begin = 0, end = 0;
    gmf_fold_range(f, batch, o, &begin, &end);
    if (j < end - begin) return begin + j;
    j -= end - begin;
  }
}

/* Local. My parts of the residuals of a batch and, `first`, of its preconditioners, at the x of c->all. */
static void form_residuals(gmf_als *als, gmf_als_fold_cg *c, int64_t batch, bool first)
{
  const gmf_block *b = c->block;
  int n = als->n;
  int64_t n_rows = gmf_fold_rows(c->fold, batch), bytes = gmf_als_number_bytes(c->way), vector = n * bytes;
  char *partial = (char *)c->fold->partial;
#pragma omp parallel for schedule(dynamic, 1) num_threads(als->n_threads)
  for (int64_t j = 0; j < n_rows; j++) {
    gmf_row_solver *s = &als->solvers[omp_get_thread_num()];
    int64_t r = block_row(c->fold, batch, j);
    gmf_ratings ratings = gmf_block_row(b, r);
    size_t length = (size_t)als->ld * sizeof(double);
    memset(s->x8, 0, length);
    memset(s->r8, 0, length);
    memset(s->b8, 0, length);
    widen(c->all + j * vector, bytes, n, s->x8);
    c->loss[r] = gmf_row_residual(als->panel, als->ld, &ratings, als->options.row.loss, als->ld, s->x8, s->r8,
                                  first ? s->b8 : NULL);
    char *to = partial + j * vector * (first ? 2 : 1);
    narrow(s->r8, bytes, n, to);
    if (first) narrow(s->b8, bytes, n, to + vector);
    if (omp_get_thread_num() == 0) gmf_beat();
  }
}

/* Local. My parts of the products with the p of c->all; false when all of them are zero. */
static bool form_products(gmf_als *als, gmf_als_fold_cg *c, int64_t batch)
{
  const gmf_block *b = c->block;
  int n = als->n;
  int64_t n_rows = gmf_fold_rows(c->fold, batch);
  size_t vector = (size_t)n * sizeof(float);
  float *partial = (float *)(void *)c->fold->partial;
  bool any = false;
#pragma omp parallel for schedule(dynamic, 1) reduction(|| : any) num_threads(als->n_threads)
  for (int64_t j = 0; j < n_rows; j++) {
    gmf_row_solver *s = &als->solvers[omp_get_thread_num()];
    gmf_ratings ratings = gmf_block_row(b, block_row(c->fold, batch, j));
    float *p = s->work, *q = s->b;
    bool zero = true;
    memset(p, 0, (size_t)als->ld * sizeof *p);
    memset(q, 0, (size_t)als->ld * sizeof *q);
    memcpy(p, c->all + (size_t)j * vector, vector);
    for (int k = 0; k < n && zero; k++) zero = p[k] == 0;
    any = any || !zero;
    if (!zero) gmf_row_product(als->panel, als->ld, &ratings, als->options.row.loss, als->ld, p, q);
    memcpy(partial + j * n, q, vector);
    if (omp_get_thread_num() == 0) gmf_beat();
  }
  return any;
}

/* ---- what the owner does ----------------------------------------------------------------------------------------- */

/* A row of mine in a batch. */
typedef struct cg_row {
  int64_t in_block; /* among the rows of the block */
  int64_t place;    /* among all mine of the side */
  double *x, *r, *p, *d, *inverse, *rho;
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
                  .rho = c->rho + j};
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

/* Local. One step of a row, q: the folded product. False where the matrix is not positive along p. */
static bool step_row(gmf_als *als, const cg_row *w, const float *q)
{
  double curvature = 0;
  for (int k = 0; k < als->n; k++)
    if (w->inverse[k] > 0) curvature += w->p[k] * ((double)q[k] + w->d[k] * w->p[k]);
  if (!(curvature > 0)) return false;
  double alpha = *w->rho / curvature;
  for (int k = 0; k < als->n; k++) {
    if (!(w->inverse[k] > 0)) continue;
    w->x[k] += alpha * w->p[k];
    w->r[k] -= alpha * ((double)q[k] + w->d[k] * w->p[k]);
  }
  als->row_objective[w->place] -= alpha * *w->rho;
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
  for (int64_t j = 0; j < end - begin; j++) {
    cg_row w = row_at(als, c, begin, j);
    narrow(w.x, gmf_als_number_bytes(c->way), als->n, c->own + j * vector);
    widen(c->own + j * vector, gmf_als_number_bytes(c->way), als->n, w.x); /* x is what the others see */
  }
  gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
  gmf_fold_spread(grid, c->fold, batch, vector, c->own, c->all);
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
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

/* Collective over the grid row. One step of all rows of a batch that are not done; false when none is left. */
static bool step_batch(gmf_als *als, gmf_als_fold_cg *c, int64_t batch, uint8_t *failed)
{
  const gmf_grid *grid = c->block->grid;
  int64_t begin = 0, end = 0, vector = als->n * (int64_t)sizeof(float);
  gmf_fold_range(c->fold, batch, grid->col_index, &begin, &end);
  for (int64_t j = 0; j < end - begin; j++) {
    cg_row w = row_at(als, c, begin, j);
    narrow(w.p, (int64_t)sizeof(float), als->n, c->own + j * vector);
    widen(c->own + j * vector, (int64_t)sizeof(float), als->n, w.p);
  }
  gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
  gmf_fold_spread(grid, c->fold, batch, vector, c->own, c->all);
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  if (!form_products(als, c, batch)) return false;
  gmf_trace_phase(grid->trace, GMF_PHASE_FOLD);
  gmf_fold_run_f4(grid, c->fold, batch, als->n);
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  const float *sums = (const float *)(const void *)c->fold->sums;
#pragma omp parallel for schedule(static) num_threads(als->n_threads)
  for (int64_t j = 0; j < end - begin; j++) {
    cg_row w = row_at(als, c, begin, j);
    if (!is_moving(als, &w) || step_row(als, &w, sums + j * als->n)) continue;
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
    while (steps < c->way.cg_steps && steps < before + GMF_CG_RENEW && step_batch(als, c, batch, failed)) steps++;
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
  for (int64_t r = 0; r < b->n_rows; r++)
    if (!failed[r]) als->folded_loss += c->loss[r];
  return any;
}
