/*
 * Orthonormal bases: block Gram-Schmidt with Cholesky QR, each pass by one reduction. A pass over the block W is
 *
 *     [h; g] = [X W]'W        W <- W - X h        R'R = g - h'h        W <- W R^-1
 *
 * Block Gram-Schmidt with the Pythagorean inner product: Carson, Lund, Rozloznik, Thomas, "Block Gram-Schmidt
 * algorithms and their stability properties", Linear Algebra Appl. 638 (2022); two passes of it are BCGS2 with
 * CholeskyQR2: Yamamoto, Nakatsukasa, Yanagisawa, Fukaya, "Roundoff error analysis of the CholeskyQR2 algorithm", ETNA
 * 44 (2015).
 *
 * A pass is the last one when it took little away: every column kept at least half of its square, and the columns were
 * far from dependent on each other.  Then the errors of h, g and R are a small multiple of rounding, and so is what is
 * missing to orthogonality.  Any other pass only has to make the next one better.  So where g - h'h has no Cholesky
 * factor, a multiple of the identity is added (shifted CholeskyQR: Fukaya, Kannan, Nakatsukasa, Yamamoto, Yanagisawa,
 * SIAM J. Sci. Comput. 42 (2020)), and where it has lost all its digits, columns are only scaled.  Columns are scaled
 * to length 1 before the factorisation, so that their sizes do not matter.
 *
 * Where the caller knows h but for rounding, as a Lanczos recurrence does, that is subtracted first and a Cholesky QR
 * of the block by itself follows: then one pass against X is mostly the last.
 *
 * A column of which nothing is left but rounding is replaced by a random one; what W had there is at most `negligible`
 * and is dropped from r.
 */
#include "linalg/tall.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

/* BLAS. Debian's OpenBLAS has no header of its own. Matrices by rows are LAPACK's transposed ones. */
void dgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const double *alpha,
            const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
            const int *ldc, size_t transa_length, size_t transb_length);
void dtrsm_(const char *side, const char *uplo, const char *transa, const char *diag, const int *m, const int *n,
            const double *alpha, const double *a, const int *lda, double *b, const int *ldb, size_t side_length,
            size_t uplo_length, size_t transa_length, size_t diag_length);

enum { MAX_PASSES = 12, PANEL_ROWS = 512 };

static const double LOST = 1e-10; /* of a column's square: less than this is not known to five digits */

gmf_status gmf_tall_create(const gmf_grid *grid, const gmf_axis *axis, int n_columns, gmf_tall **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_tall *t = NULL;
  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(t, 1, err));
  *t = (gmf_tall){
      .axis = axis, .begin = axis->prefix[grid->rank], .n = gmf_axis_n_own(axis, grid->rank), .ld = n_columns};
  GMF_TRY(GMF_NEW_ZERO(t->rows, t->n * n_columns, err));
  *out = t;
  t = NULL;
cleanup:
  gmf_tall_destroy(&t);
  return status;
}

void gmf_tall_destroy(gmf_tall **tall)
{
  if (*tall == NULL) return;
  gmf_free((*tall)->rows);
  gmf_free(*tall);
  *tall = NULL;
}

void gmf_tall_product(const gmf_grid *grid, gmf_columns x, gmf_columns y, double *c)
{
  const double one = 1, zero = 0;
  int rows = gmf_int(x.tall->n);
  if (x.n == 0 || y.n == 0) return;
  if (rows > 0)
    dgemm_("N", "T", &y.n, &x.n, &rows, &one, y.tall->rows + y.begin, &y.tall->ld, x.tall->rows + x.begin, &x.tall->ld,
           &zero, c, &y.n, 1, 1);
  else
    memset(c, 0, (size_t)x.n * (size_t)y.n * sizeof *c);
  gmf_sum_f64(grid, c, (int64_t)x.n * y.n);
}

void gmf_tall_add(gmf_columns x, const double *c, double scale, gmf_columns y)
{
  const double one = 1;
  int rows = gmf_int(x.tall->n);
  if (rows > 0 && x.n > 0 && y.n > 0)
    dgemm_("N", "N", &y.n, &rows, &x.n, &scale, c, &y.n, x.tall->rows + x.begin, &x.tall->ld, &one,
           y.tall->rows + y.begin, &y.tall->ld, 1, 1);
}

bool gmf_tall_rotate(gmf_columns x, const double *q, int q_columns)
{
  const double one = 1, zero = 0;
  double *panel = gmf_malloc((int64_t)PANEL_ROWS * q_columns, sizeof *panel);
  if (panel == NULL) return false;
  for (int64_t done = 0; done < x.tall->n; done += PANEL_ROWS) {
    int rows = gmf_int(gmf_min64(PANEL_ROWS, x.tall->n - done));
    double *from = x.tall->rows + done * x.tall->ld;
    dgemm_("N", "N", &q_columns, &rows, &x.n, &one, q, &q_columns, from, &x.tall->ld, &zero, panel, &q_columns, 1, 1);
    for (int r = 0; r < rows; r++)
      memcpy(from + (int64_t)r * x.tall->ld, panel + (int64_t)r * q_columns, (size_t)q_columns * sizeof *panel);
  }
  gmf_free(panel);
  return true;
}

void gmf_tall_randomize(gmf_columns x, uint64_t seed, uint32_t first)
{
  const gmf_axis *axis = x.tall->axis;
  double scale = 1 / sqrt((double)axis->n);
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < x.tall->n; j++) {
    uint64_t row = (uint64_t)gmf_axis_row(axis, x.tall->begin + j);
    for (int c = 0; c < x.n; c++)
      x.tall->rows[j * x.tall->ld + x.begin + c] =
          scale * gmf_random_normal(seed, GMF_STREAM_SVD, row, first + (uint32_t)c);
  }
}

/* ---- growing a basis --------------------------------------------------------------------------------------------- */

gmf_status gmf_extension_create(int max_old, int max_new, gmf_extension *e, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t both = max_old + max_new, square = (int64_t)max_new * max_new;
  *e = (gmf_extension){0};
  GMF_TRY(GMF_NEW_ZERO(e->h, (int64_t)max_old * max_new, err));
  GMF_TRY(GMF_NEW_ZERO(e->r, square, err));
  GMF_TRY(GMF_NEW_ZERO(e->product, both * max_new, err));
  GMF_TRY(GMF_NEW_ZERO(e->decision, square + max_new + 1, err));
  GMF_TRY(GMF_NEW_ZERO(e->work, both * max_new + square, err));
cleanup:
  return status;
}

void gmf_extension_free(gmf_extension *e)
{
  gmf_free(e->h);
  gmf_free(e->r);
  gmf_free(e->product);
  gmf_free(e->decision);
  gmf_free(e->work);
  *e = (gmf_extension){0};
}

/*
 * r [n][n] = the upper triangular factor of g + shift, g scaled to a diagonal of 1 by d; columns with d = 0 are left
 * out. Returns the least pivot, and stops at the first that is below 1e-11.
 */
static double scaled_cholesky(const double *g, const double *d, int n, double shift, double *r)
{
  double least = 1;
  memset(r, 0, (size_t)n * (size_t)n * sizeof *r);
  for (int i = 0; i < n; i++) {
    if (d[i] == 0) continue;
    for (int j = i; j < n; j++) {
      if (d[j] == 0) continue;
      double s = g[i * n + j] / (d[i] * d[j]) + (i == j ? shift : 0);
      for (int l = 0; l < i; l++) s -= r[l * n + i] * r[l * n + j];
      if (i == j) {
        least = fmin(least, s);
        if (!(s > 1e-11)) return least;
        r[i * n + i] = sqrt(s);
      } else {
        r[i * n + j] = s / r[i * n + i];
      }
    }
  }
  return least;
}

/* g [n][n] = what is left of the squares: the lower part of the product less h'h. */
static void remaining_squares(const double *product, int n_old, int n, double *g)
{
  memcpy(g, product + (size_t)n_old * (size_t)n, (size_t)n * (size_t)n * sizeof *g);
  for (int l = 0; l < n_old; l++)
    for (int i = 0; i < n; i++)
      for (int j = i; j < n; j++) g[i * n + j] -= product[l * n + i] * product[l * n + j];
}

/* The length of row j of r: how much of W one unit of the current column j stands for. */
static double stands_for(const double *r, int n, int j)
{
  double square = 0;
  for (int c = 0; c < n; c++) square += r[j * n + c] * r[j * n + c];
  return sqrt(square);
}

/* A pass, as rank 0 decides it. */
typedef struct decision {
  double *factor;  /* [n][n] upper triangular: W <- W factor^-1 */
  double *replace; /* [n]: 1 where the column becomes a random one */
  double *verdict; /* 1: the last pass; -1: not finite; 0: more are needed */
} decision;

static decision parts_of(double *values, int n)
{
  return (decision){values, values + (size_t)n * (size_t)n, values + (size_t)n * (size_t)n + n};
}

/* Lengths d of what is left of the columns, 0 for those to be replaced. Returns how much the pass kept at least of a
 * column's square, negative where something is not finite. */
static double measure(const double *product, const double *g, int n_old, int n, const double *r, double negligible,
                      double *d, double *replace)
{
  const double *before = product + (size_t)n_old * (size_t)n;
  double least = 1;
  for (int j = 0; j < n; j++) {
    double square = before[j * n + j], kept = g[j * n + j], weight = stands_for(r, n, j);
    if (!isfinite(square) || !isfinite(kept)) return -1;
    replace[j] = square == 0 || (weight > 0 && sqrt(square) * weight <= negligible);
    d[j] = replace[j] != 0 ? 0 : sqrt(fmax(kept, LOST * square));
    least = fmin(least, replace[j] != 0 ? 0 : fmax(kept, 0) / square);
  }
  return least;
}

/* Local. What rank 0 makes of the products of a pass. work: as of gmf_extension. */
static void decide(const double *product, int n_old, int n, const double *r, double negligible, double *work,
                   decision out)
{
  double *g = work, *d = work + (size_t)n * (size_t)n, pivot = 0;
  remaining_squares(product, n_old, n, g);
  double kept = measure(product, g, n_old, n, r, negligible, d, out.replace);
  *out.verdict = kept < 0 ? -1 : 0;
  if (kept < 0) return;
  bool lost = false;
  for (int j = 0; j < n; j++) lost = lost || (d[j] > 0 && g[j * n + j] <= LOST * product[(n_old + j) * n + j]);
  if (lost)
    memset(out.factor, 0, (size_t)n * (size_t)n * sizeof *out.factor);
  else
    for (double shift = 0; (pivot = scaled_cholesky(g, d, n, shift, out.factor)) <= 1e-11;
         shift = shift == 0 ? 1e-11 : 1e3 * shift)
      kept = 0;
  for (int i = 0; i < n; i++)
    for (int j = i; j < n; j++) {
      double one = i == j && (lost || d[i] == 0) ? 1 : out.factor[i * n + j];
      out.factor[i * n + j] = one * (d[j] > 0 ? d[j] : 1);
    }
  if (kept >= 0.5 && pivot >= 0.1) *out.verdict = 1;
}

/* Local. h += H r, then r = factor r: what the columns are made of after a pass; rows of replaced columns are zero. */
static void note_pass(const double *product, int n_old, int n, decision pass, double *work, double *h, double *r)
{
  for (int j = 0; j < n; j++)
    if (pass.replace[j] != 0) memset(r + (size_t)j * (size_t)n, 0, (size_t)n * sizeof *r);
  const double one = 1, zero = 0;
  if (n_old > 0) dgemm_("N", "N", &n, &n_old, &n, &one, r, &n, product, &n, &one, h, &n, 1, 1);
  dgemm_("N", "N", &n, &n, &n, &one, r, &n, pass.factor, &n, &zero, work, &n, 1, 1);
  memcpy(r, work, (size_t)n * (size_t)n * sizeof *r);
}

/* Local. W <- (W - X h) factor^-1, and random columns where they are asked for. */
static void apply_pass(gmf_tall *x, int skip, int n_old, int n, const double *product, decision pass,
                       const gmf_basis_options *options)
{
  const double one = 1;
  int rows = gmf_int(x->n);
  gmf_columns w = {x, n_old, n};
  gmf_tall_add((gmf_columns){x, skip, n_old - skip}, product, -1, w);
  if (rows > 0) dtrsm_("L", "L", "N", "N", &n, &rows, &one, pass.factor, &n, x->rows + n_old, &x->ld, 1, 1, 1, 1);
  for (int j = 0; j < n; j++)
    if (pass.replace[j] != 0) gmf_tall_randomize((gmf_columns){x, n_old + j, 1}, options->seed, (*options->n_random)++);
}

/* Collective. One pass against columns [skip, n_old), skip = 0 or n_old; its verdict. */
static double run_pass(const gmf_grid *grid, gmf_tall *x, int skip, int n_old, int n, const gmf_basis_options *options,
                       gmf_extension *e)
{
  decision pass = parts_of(e->decision, n);
  int n_against = n_old - skip;
  gmf_tall_product(grid, (gmf_columns){x, skip, n_against + n}, (gmf_columns){x, n_old, n}, e->product);
  if (grid->rank == 0) decide(e->product, n_against, n, e->r, options->negligible, e->work, pass);
  gmf_broadcast(grid, e->decision, ((int64_t)n * n + n + 1) * (int64_t)sizeof *e->decision);
  if (*pass.verdict < 0) return -1;
  note_pass(e->product, n_against, n, pass, e->work, e->h, e->r);
  apply_pass(x, skip, n_old, n, e->product, pass, options);
  return *pass.verdict;
}

gmf_status gmf_tall_extend(const gmf_grid *grid, gmf_tall *x, int n_old, int n, gmf_expected expected,
                           const gmf_basis_options *options, gmf_extension *e, gmf_error *err)
{
  double verdict = 0, *h = e->h;
  int expected_end = expected.begin + expected.n;
  GMF_CHECK(n_old + n <= x->axis->n && n_old + n <= x->ld && expected_end <= n_old);
  memset(h, 0, (size_t)expected.begin * (size_t)n * sizeof *h);
  memset(h + expected_end * n, 0, (size_t)(n_old - expected_end) * (size_t)n * sizeof *h);
  memset(e->r, 0, (size_t)n * (size_t)n * sizeof *e->r);
  for (int j = 0; j < n; j++) e->r[j * n + j] = 1;
  if (expected.n > 0) { /* what is left is small against the columns: they are made orthogonal among themselves first */
    gmf_tall_add((gmf_columns){x, expected.begin, expected.n}, h + expected.begin * n, -1, (gmf_columns){x, n_old, n});
    verdict = run_pass(grid, x, n_old, n_old, n, options, e);
    if (verdict > 0) verdict = 0;
  }
  for (int passes = 0; passes < MAX_PASSES && verdict == 0; passes++)
    verdict = run_pass(grid, x, 0, n_old, n, options, e);
  if (verdict > 0) return GMF_OK;
  return gmf_fail(err, GMF_ERR_NUMERIC,
                  verdict < 0 ? "a product of the ratings with a vector is not finite: ratings are too large"
                              : "a basis of singular vectors did not become orthogonal in %d passes",
                  MAX_PASSES);
}
