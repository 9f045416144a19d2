/*
 * A = L L',  A^-1 = L^-T L^-1: Cholesky factorisation, inverse of the triangle, product, all in the place of A, with
 * the blocked algorithms of LAPACK's potrf, trtri and lauum (Anderson et al., "LAPACK Users' Guide", SIAM 1999).
 * ScaLAPACK's pdpotrf and pdpotri do the same; here their outer loops go over panels of PANEL columns, so that the
 * watchdog hears of every step, and what a step leaves to PBLAS are large products. n^3 / 3 + n^3 / 3 + n^3 / 3
 * operations.
 *
 * A pivot of the factorisation is l_ii^2 = a_ii - sum_j<i l_ij^2; rounding leaves about sqrt(n) eps a_ii of it where
 * the matrix is singular, so that a pivot below 8 sqrt(n) eps a_ii is none.
 */
#include "linalg/spd_inverse.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"
#include "runtime/heartbeat.h"

enum { PANEL = 512 };

/* ScaLAPACK and PBLAS have no header. The same declarations serve both precisions: all arguments are addresses. */
typedef void factor_fn(const char *uplo, const int *n, void *a, const int *ia, const int *ja, const int *desca,
                       int *info, size_t);
typedef void invert_fn(const char *uplo, const char *diag, const int *n, void *a, const int *ia, const int *ja,
                       const int *desca, int *info, size_t, size_t);
typedef void square_fn(const char *uplo, const int *n, void *a, const int *ia, const int *ja, const int *desca, size_t);
typedef void triangle_fn(const char *side, const char *uplo, const char *trans, const char *diag, const int *m,
                         const int *n, const void *alpha, const void *a, const int *ia, const int *ja, const int *desca,
                         void *b, const int *ib, const int *jb, const int *descb);
typedef void syrk_fn(const char *uplo, const char *trans, const int *n, const int *k, const void *alpha, const void *a,
                     const int *ia, const int *ja, const int *desca, const void *beta, void *c, const int *ic,
                     const int *jc, const int *descc);
typedef void product_fn(const char *transa, const char *transb, const int *m, const int *n, const int *k,
                        const void *alpha, const void *a, const int *ia, const int *ja, const int *desca, const void *b,
                        const int *ib, const int *jb, const int *descb, const void *beta, void *c, const int *ic,
                        const int *jc, const int *descc);
factor_fn pdpotrf_, pspotrf_;
invert_fn pdtrtri_, pstrtri_;
square_fn pdlauum_, pslauum_;
triangle_fn pdtrsm_, pstrsm_, pdtrmm_, pstrmm_;
syrk_fn pdsyrk_, pssyrk_;
product_fn pdgemm_, psgemm_;

/* BLAS. */
typedef void gemm_fn(const char *transa, const char *transb, const int *m, const int *n, const int *k,
                     const void *alpha, const void *a, const int *lda, const void *b, const int *ldb, const void *beta,
                     void *c, const int *ldc, size_t, size_t);
gemm_fn dgemm_, sgemm_;

/* One precision. */
typedef struct routines {
  factor_fn *potrf;
  invert_fn *trtri;
  square_fn *lauum;
  triangle_fn *trsm, *trmm;
  syrk_fn *syrk;
  product_fn *gemm;
  const void *one, *minus_one;
} routines;

static const double ONE8 = 1, MINUS8 = -1;
static const float ONE4 = 1, MINUS4 = -1;
static const routines F8 = {pdpotrf_, pdtrtri_, pdlauum_, pdtrsm_, pdtrmm_, pdsyrk_, pdgemm_, &ONE8, &MINUS8};
static const routines F4 = {pspotrf_, pstrtri_, pslauum_, pstrsm_, pstrmm_, pssyrk_, psgemm_, &ONE4, &MINUS4};

/* ---- the matrix -------------------------------------------------------------------------------------------------- */

void gmf_spd_destroy(gmf_spd **spd)
{
  if (*spd == NULL) return;
  gmf_block_cyclic_close(&(*spd)->layout);
  gmf_free((*spd)->a);
  gmf_free(*spd);
  *spd = NULL;
}

static gmf_status allocate(gmf_spd *s, gmf_error *err)
{
  int64_t words = gmf_block_cyclic_words(&s->layout);
  if (words > INT_MAX)
    return gmf_fail(err, GMF_ERR_PLAN,
                    "ScaLAPACK counts with 32 bits, and a dense matrix of %d items is %lld numbers on a rank; use more "
                    "ranks",
                    s->layout.n, (long long)words);
  s->a = gmf_calloc(words, s->single ? sizeof(float) : sizeof(double));
  return s->a != NULL ? GMF_OK : gmf_out_of_memory(err, words, sizeof(double), "the dense matrix of the items");
}

/* Local. Columns of the lower triangle; scratch [threads][local rows]. */
static void form(gmf_spd *s, const gmf_gram_ratings *ratings, double lambda, double *scratch)
{
  const gmf_block_cyclic *l = &s->layout;
#pragma omp parallel for schedule(dynamic, 8)
  for (int j = 0; j < l->columns.n_mine; j++) {
    double *column = scratch + (int64_t)omp_get_thread_num() * l->desc[8];
    int gj = gmf_cycle_global(l->columns, j), first = gmf_cycle_before(l->rows, gj);
    int64_t at = (int64_t)j * l->desc[8];
    gmf_beat();
    gmf_gram_column(l, ratings, NULL, j, first, column);
    if (first < l->rows.n_mine && gmf_cycle_global(l->rows, first) == gj) column[first] += lambda;
    for (int i = first; i < l->rows.n_mine; i++) {
      if (s->single)
        ((float *)s->a)[at + i] = (float)column[i];
      else
        ((double *)s->a)[at + i] = column[i];
    }
  }
}

gmf_status gmf_spd_create(const gmf_grid *grid, const gmf_gram_problem *problem, gmf_entry **entries, double lambda,
                          bool single, gmf_spd **out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_spd *s = NULL;
  gmf_gram_ratings ratings = {0};
  double *scratch = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(s, 1, err), err));
  s->grid = grid;
  s->single = single;
  gmf_block_cyclic_open(grid, problem->n, &s->layout);
  GMF_TRY(gmf_gram_gather(grid, &s->layout, problem, &ratings, err));
  GMF_FREE(*entries);
  local = GMF_NEW(scratch, (int64_t)omp_get_max_threads() * s->layout.desc[8], err);
  if (local == GMF_OK) local = allocate(s, err);
  GMF_TRY(gmf_agree(grid, local, err));
  form(s, &ratings, lambda, scratch);
  *out = s;
  s = NULL;
cleanup:
  gmf_free(scratch);
  gmf_gram_ratings_free(&ratings);
  gmf_spd_destroy(&s);
  return status;
}

/* The diagonal of my part, zero elsewhere, into out [n]. */
static void own_diagonal(const gmf_spd *s, double *out)
{
  const gmf_block_cyclic *l = &s->layout;
  memset(out, 0, (size_t)l->n * sizeof *out);
  for (int j = 0; j < l->columns.n_mine; j++) {
    int g = gmf_cycle_global(l->columns, j);
    if (gmf_cycle_owner(l->rows, g) != l->rows.me) continue;
    int64_t at = gmf_cycle_local(l->rows, g) + (int64_t)j * l->desc[8];
    out[g] = s->single ? (double)((const float *)s->a)[at] : ((const double *)s->a)[at];
  }
}

void gmf_spd_diagonal(const gmf_spd *s, double *diagonal)
{
  own_diagonal(s, diagonal);
  gmf_sum_f64(s->grid, diagonal, s->layout.n); /* of one number and zeros: exact */
}

/* ---- the inverse ------------------------------------------------------------------------------------------------- */

/* What the three loops share. Rows and columns of PBLAS count from 1. */
typedef struct inversion {
  gmf_spd *spd;
  const routines *r;
  int n;
  void (*progress)(void *context, double share);
  void *context;
  double *before, *after; /* [n]: diagonals of the matrix and of its factor */
} inversion;

/* A step of loop 0, 1 or 2 is done, and `done` of n columns with it. */
static void note(const inversion *v, int loop, int done)
{
  double share = (double)done / v->n, left = 1 - share;
  gmf_beat();
  if (v->progress == NULL) return;
  double of_loop = loop == 0 ? 1 - left * left * left : share * share * share;
  v->progress(v->context, (loop + of_loop) / 3);
}

/* Collective. The first pivot of columns [begin, begin + width), counted from 1, that is too small; 0: none. */
static int small_pivot(const inversion *v, int begin, int width)
{
  double limit = 8 * sqrt((double)v->n) * (v->spd->single ? (double)FLT_EPSILON : DBL_EPSILON);
  int64_t first = 0;
  own_diagonal(v->spd, v->after);
  for (int i = begin + width - 1; i >= begin; i--) {
    double root = v->after[i - 1]; /* 0 on ranks that do not have it */
    bool is_mine = gmf_cycle_owner(v->spd->layout.rows, i - 1) == v->spd->layout.rows.me &&
                   gmf_cycle_owner(v->spd->layout.columns, i - 1) == v->spd->layout.columns.me;
    if (is_mine && !(root * root > limit * v->before[i - 1])) first = i;
  }
  int64_t smallest = first > 0 ? first : INT64_MAX;
  gmf_min_i64(v->spd->grid, &smallest, 1);
  return smallest == INT64_MAX ? 0 : gmf_int(smallest);
}

/* Collective. A = L L'. The row, counted from 1, at which it ends for want of a pivot; 0: none. */
static int factorise(const inversion *v)
{
  const routines *r = v->r;
  const int one = 1, *desc = v->spd->layout.desc;
  void *a = v->spd->a;
  for (int k = one; k <= v->n; k += PANEL) {
    int width = k + PANEL <= v->n ? PANEL : v->n - k + 1, next = k + width, rest = v->n - next + 1, info = 0;
    r->potrf("L", &width, a, &k, &k, desc, &info, 1);
    int64_t worst = info;
    gmf_max_i64(v->spd->grid, &worst, 1);
    if (worst > 0) return gmf_int(k - 1 + worst);
    int small = small_pivot(v, k, width);
    if (small > 0) return small;
    if (rest > 0) {
      r->trsm("R", "L", "T", "N", &rest, &width, r->one, a, &k, &k, desc, a, &next, &k, desc);
      r->syrk("L", "N", &rest, &width, r->minus_one, a, &next, &k, desc, r->one, a, &next, &next, desc);
    }
    note(v, 0, next - 1);
  }
  return 0;
}

/* Collective. L becomes its inverse, from the last panel to the first. */
static void invert_triangle(const inversion *v)
{
  const routines *r = v->r;
  const int *desc = v->spd->layout.desc;
  void *a = v->spd->a;
  for (int k = (v->n - 1) / PANEL * PANEL + 1; k >= 1; k -= PANEL) {
    int width = k + PANEL <= v->n ? PANEL : v->n - k + 1, next = k + width, rest = v->n - next + 1, info = 0;
    if (rest > 0) {
      r->trmm("L", "L", "N", "N", &rest, &width, r->one, a, &next, &next, desc, a, &next, &k, desc);
      r->trsm("R", "L", "N", "N", &rest, &width, r->minus_one, a, &k, &k, desc, a, &next, &k, desc);
    }
    r->trtri("L", "N", &width, a, &k, &k, desc, &info, 1, 1);
    note(v, 1, v->n - k + 1);
  }
}

/* Collective. L becomes the lower triangle of L'L. */
static void square_triangle(const inversion *v)
{
  const routines *r = v->r;
  const int one = 1, *desc = v->spd->layout.desc;
  void *a = v->spd->a;
  for (int k = one; k <= v->n; k += PANEL) {
    int width = k + PANEL <= v->n ? PANEL : v->n - k + 1, next = k + width, rest = v->n - next + 1, before = k - 1;
    if (before > 0) r->trmm("L", "L", "T", "N", &width, &before, r->one, a, &k, &k, desc, a, &k, &one, desc);
    r->lauum("L", &width, a, &k, &k, desc, 1);
    if (rest > 0 && before > 0)
      r->gemm("T", "N", &width, &before, &rest, r->one, a, &next, &k, desc, a, &next, &one, desc, r->one, a, &k, &one,
              desc);
    if (rest > 0) r->syrk("L", "T", &width, &rest, r->one, a, &next, &k, desc, r->one, a, &k, &k, desc);
    note(v, 2, next - 1);
  }
}

gmf_status gmf_spd_invert(gmf_spd *s, void (*progress)(void *context, double share), void *context, int *singular,
                          gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  inversion v = {s, s->single ? &F4 : &F8, s->layout.n, progress, context, NULL, NULL};
  *singular = -1;
  local = GMF_NEW(v.before, v.n, err);
  if (local == GMF_OK) local = GMF_NEW(v.after, v.n, err);
  GMF_TRY(gmf_agree(s->grid, local, err));
  own_diagonal(s, v.before);
  *singular = factorise(&v) - 1;
  if (*singular >= 0) {
    status = GMF_ERR_NUMERIC;
    goto cleanup;
  }
  invert_triangle(&v);
  square_triangle(&v);
cleanup:
  gmf_free(v.before);
  gmf_free(v.after);
  return status;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* Rows [begin, end) that a process has elements of, and where the elements go. */
typedef struct walker {
  const gmf_spd *spd;
  int begin, end;
  const void *a; /* the walking process is me: elements are taken from here into buffer */
  double *buffer;
  double *out; /* [end - begin][n]: elements are put there from buffer; NULL: they are taken, or counted */
  int64_t n;
} walker;

/* Elements of local rows [from, to) in local column j, which are elements (row, column) of the matrix; flipped: taken
 * as (column, row). */
static void walk_run(walker *w, gmf_cycle rows, int from, int to, int j, int column, bool flipped)
{
  int64_t order = w->spd->layout.n, at = (int64_t)j * w->spd->layout.desc[8];
  for (int i = from; i < to;) {
    int stop = gmf_int(gmf_min64(to, (int64_t)(i / rows.nb + 1) * rows.nb)), n = stop - i;
    int row = gmf_cycle_global(rows, i);
    double *buffer = w->buffer != NULL ? w->buffer + w->n : NULL;
    for (int e = 0; w->a != NULL && e < n; e++)
      buffer[e] = w->spd->single ? (double)((const float *)w->a)[at + i + e] : ((const double *)w->a)[at + i + e];
    for (int e = 0; w->out != NULL && flipped && e < n; e++) w->out[(column - w->begin) * order + row + e] = buffer[e];
    for (int e = 0; w->out != NULL && !flipped && e < n; e++) w->out[(row + e - w->begin) * order + column] = buffer[e];
    w->n += n;
    i = stop;
  }
}

/* All elements of the rows in the lower triangle of process `rank`, in one order for who sends and who receives. */
static void walk(walker *w, int rank)
{
  const gmf_block_cyclic *l = &w->spd->layout;
  gmf_cycle rows = gmf_cycle_of(l->rows, rank / l->columns.n_processes);
  gmf_cycle columns = gmf_cycle_of(l->columns, rank % l->columns.n_processes);
  int n_rows = gmf_cycle_before(rows, l->n), n_columns = gmf_cycle_before(columns, l->n);
  int from = gmf_cycle_before(rows, w->begin), to = gmf_cycle_before(rows, w->end);
  for (int j = 0; j < n_columns; j++) {
    int column = gmf_cycle_global(columns, j);
    int first = gmf_cycle_before(rows, column), below = gmf_cycle_before(rows, column + 1);
    if (column >= w->end) break;
    walk_run(w, rows, first > from ? first : from, to, j, column, false);
    if (column >= w->begin) walk_run(w, rows, below, n_rows, j, column, true);
  }
}

gmf_status gmf_spd_rows(const gmf_spd *s, int begin, int n, double *out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_grid *grid = s->grid;
  int64_t *begins = NULL, *counts = NULL, *send_counts = NULL, *recv_counts = NULL, n_send = 0, n_recv = 0;
  double *send = NULL, *received = NULL;

  local = GMF_NEW(begins, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW(counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW(send_counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW(recv_counts, grid->size, err);
  GMF_TRY(gmf_agree(grid, local, err));
  gmf_all_gather_i64(grid, begin, begins);
  gmf_all_gather_i64(grid, n, counts);
  for (int r = 0; r < grid->size; r++) {
    walker mine = {.spd = s, .begin = gmf_int(begins[r]), .end = gmf_int(begins[r] + counts[r])};
    walker theirs = {.spd = s, .begin = begin, .end = begin + n};
    walk(&mine, grid->rank);
    walk(&theirs, r);
    n_send += send_counts[r] = mine.n;
    n_recv += recv_counts[r] = theirs.n;
  }
  local = GMF_NEW(send, n_send, err);
  if (local == GMF_OK) local = GMF_NEW(received, n_recv, err);
  GMF_TRY(gmf_agree(grid, local, err));
  double *at = send;
  for (int r = 0; r < grid->size; r++) {
    walker w = {.spd = s, .begin = gmf_int(begins[r]), .end = gmf_int(begins[r] + counts[r]), .a = s->a, .buffer = at};
    walk(&w, grid->rank);
    at += w.n;
  }
  gmf_exchange(grid, (int64_t)sizeof *send, send, send_counts, received, recv_counts);
  at = received;
  for (int r = 0; r < grid->size; r++) {
    walker w = {.spd = s, .begin = begin, .end = begin + n, .buffer = at, .out = out};
    walk(&w, r);
    at += w.n;
  }
cleanup:
  gmf_free(received);
  gmf_free(send);
  gmf_free(recv_counts);
  gmf_free(send_counts);
  gmf_free(counts);
  gmf_free(begins);
  return status;
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

double gmf_spd_operations(int n) { return (double)n * n * n; }

double gmf_product_rate(bool single)
{
  enum { ORDER = 384, TURNS = 4 };
  const int n = ORDER;
  double best = 0;
  size_t size = single ? sizeof(float) : sizeof(double);
  void *work = gmf_calloc((int64_t)3 * n * n, size);
  if (work == NULL) return 0;
  char *a = work;
  char *b = a + size * ORDER * ORDER, *c = b + size * ORDER * ORDER;
  const routines *r = single ? &F4 : &F8;
  for (int turn = 0; turn < TURNS; turn++) {
    double start = MPI_Wtime();
    (single ? sgemm_ : dgemm_)("N", "N", &n, &n, &n, r->one, a, &n, b, &n, r->one, c, &n, 1, 1);
    double seconds = MPI_Wtime() - start;
    if (seconds > 0) best = fmax(best, 2.0 * n * n * n / seconds);
  }
  gmf_free(work);
  return best;
}
