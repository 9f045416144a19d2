/*
 * Tall matrices on a grid given as arguments. Blocks that are dependent, zero, graded or inside the old basis become
 * orthonormal to the last digit, and what they were made of adds up.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/small_svd.h"
#include "linalg/tall.h"
#include "mpi_check.h"

enum { ROWS = 83, OLD = 9, NEW = 5, COLUMNS = OLD + NEW, SEED = 3 };

typedef struct fixture {
  const gmf_grid *grid;
  gmf_axis *axis;
  gmf_tall *x, *before; /* before: the block as it was, [n][NEW] */
  gmf_extension extension;
  uint32_t n_random;
} fixture;

/* Entry of the block of a kind, a function of the row of the axis; x: the row of the old basis. */
static double entry(int kind, uint64_t row, int c, const double *x)
{
  double random = gmf_random_normal(SEED, GMF_STREAM_SVD, row, 1000 + (uint32_t)c);
  double first = gmf_random_normal(SEED, GMF_STREAM_SVD, row, 1000);
  switch (kind) {
    case 0: return random;
    case 1: return c == 2 ? 0 : random;         /* a zero column */
    case 2: return c % 2 == 0 ? first : random; /* repeated columns */
    case 3: return x[c];                        /* nothing new */
    case 4: return x[c] + 1e-12 * random;       /* hardly anything new */
    case 5: return pow(10, -30 * c) * random;   /* sizes from 1 to 1e-120 */
    case 6: return first + 1e-9 * random;       /* nearly dependent */
    case 7: return 0;
    default: return 1e5 * x[0] + (c == 0 ? 1e-3 : 1e-7) * random; /* much to take away */
  }
}

static void fill_block(fixture *f, int kind)
{
  for (int64_t r = 0; r < f->x->n; r++) {
    double *row = f->x->rows + r * COLUMNS;
    for (int c = 0; c < NEW; c++) row[OLD + c] = entry(kind, (uint64_t)gmf_axis_row(f->axis, f->x->begin + r), c, row);
    memcpy(f->before->rows + r * NEW, row + OLD, NEW * sizeof *row);
  }
}

/* Collective. |X'X - I| over the first n columns. */
static double orthogonality(const fixture *f, int n)
{
  double gram[COLUMNS * COLUMNS], worst = 0;
  gmf_tall_product(f->grid, (gmf_columns){f->x, 0, n}, (gmf_columns){f->x, 0, n}, gram);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) worst = fmax(worst, fabs(gram[i * n + j] - (i == j)));
  return worst;
}

/* Collective. The largest entry of W - X h - Q r, over the largest of W. */
static double mismatch(fixture *f)
{
  double largest[2] = {0, 0};
  gmf_broadcast(f->grid, f->extension.h, OLD * NEW * (int64_t)sizeof(double));
  gmf_broadcast(f->grid, f->extension.r, NEW * NEW * (int64_t)sizeof(double));
  for (int64_t j = 0; j < f->before->n * NEW; j++) largest[1] = fmax(largest[1], fabs(f->before->rows[j]));
  gmf_tall_add((gmf_columns){f->x, 0, OLD}, f->extension.h, -1, (gmf_columns){f->before, 0, NEW});
  gmf_tall_add((gmf_columns){f->x, OLD, NEW}, f->extension.r, -1, (gmf_columns){f->before, 0, NEW});
  for (int64_t j = 0; j < f->before->n * NEW; j++) largest[0] = fmax(largest[0], fabs(f->before->rows[j]));
  gmf_max_f64(f->grid, largest, 2);
  return largest[1] > 0 ? largest[0] / largest[1] : largest[0];
}

static void test_extend(fixture *f, int kind, bool expected)
{
  gmf_basis_options options = {SEED, &f->n_random, 1e-15};
  gmf_expected rows = {2, expected ? 4 : 0};
  fill_block(f, kind);
  if (expected) { /* what the old basis has of the block, to eight digits only */
    double h[OLD * NEW];
    gmf_tall_product(f->grid, (gmf_columns){f->x, 0, OLD}, (gmf_columns){f->before, 0, NEW}, h);
    for (int j = 0; j < OLD * NEW; j++) f->extension.h[j] = h[j] * (1 + 1e-8);
  }
  CHECK(gmf_tall_extend(f->grid, f->x, OLD, NEW, rows, &options, &f->extension, NULL) == GMF_OK);
  CHECK(orthogonality(f, COLUMNS) < 1e-13);
  CHECK(mismatch(f) < 1e-13);
  int zero_columns = 0; /* of r: what the block had no direction for has a random one, and none of it */
  for (int i = 0; i < NEW; i++) {
    double most = 0;
    for (int j = 0; j < NEW; j++) most = fmax(most, fabs(f->extension.r[j * NEW + i]));
    zero_columns += most == 0;
  }
  CHECK(kind != 0 || zero_columns == 0);
  CHECK(kind != 1 || zero_columns == 1);
  CHECK(kind != 7 || zero_columns == NEW);
}

static void test_not_finite(fixture *f)
{
  gmf_basis_options options = {SEED, &f->n_random, 0};
  fill_block(f, 0);
  if (f->x->n > 0) f->x->rows[OLD] = NAN;
  CHECK(gmf_tall_extend(f->grid, f->x, OLD, NEW, (gmf_expected){0, 0}, &options, &f->extension, NULL) ==
        GMF_ERR_NUMERIC);
}

static void test_rotate(fixture *f)
{
  double q[OLD * 2] = {0}, largest = 0;
  q[3 * 2] = 2; /* column 0 becomes twice column 3, column 1 the sum of columns 0 and 8 */
  q[0 * 2 + 1] = q[8 * 2 + 1] = 1;
  gmf_tall *old = NULL;
  CHECK(gmf_tall_create(f->grid, f->axis, COLUMNS, &old, NULL) == GMF_OK);
  memcpy(old->rows, f->x->rows, (size_t)(f->x->n * COLUMNS) * sizeof *old->rows);
  CHECK(gmf_tall_rotate((gmf_columns){f->x, 0, OLD}, q, 2));
  for (int64_t r = 0; r < old->n; r++) {
    const double *was = old->rows + r * COLUMNS, *is = f->x->rows + r * COLUMNS;
    largest = fmax(largest, fabs(is[0] - 2 * was[3]) + fabs(is[1] - was[0] - was[8]) + fabs(is[2] - was[2]));
  }
  CHECK(largest < 1e-14);
  gmf_tall_destroy(&old);
}

static void test_small_svd(const gmf_grid *grid)
{
  enum { N = 6, STRIDE = 8 };
  double a[N * STRIDE] = {0};
  gmf_small_svd *svd = NULL;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) a[i * STRIDE + j] = grid->rank == 0 ? sin(i * 7 + j * j) : -1; /* rank 0's counts */
  CHECK(gmf_small_svd_create(grid, N + 3, &svd, NULL) == GMF_OK);
  CHECK(gmf_small_svd_run(grid, a, N, STRIDE, svd, NULL) == GMF_OK);
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int l = 0; l < N; l++) sum += svd->left[i * N + l] * svd->values[l] * svd->right[j * N + l];
      CHECK(fabs(sum - sin(i * 7 + j * j)) < 1e-14);
    }
  gmf_small_svd_destroy(&svd);
}

int main(int argc, char **argv)
{
  gmf_trace trace;
  gmf_grid *grid = start_checks(argc, argv, &trace);
  fixture f = {0};
  f.grid = grid;
  CHECK(gmf_axis_create_hashed(ROWS, grid->size, 1, &f.axis, NULL) == GMF_OK);
  CHECK(gmf_tall_create(grid, f.axis, COLUMNS, &f.x, NULL) == GMF_OK);
  CHECK(gmf_tall_create(grid, f.axis, NEW, &f.before, NULL) == GMF_OK);
  CHECK(gmf_extension_create(OLD, OLD > NEW ? OLD : NEW, &f.extension, NULL) == GMF_OK);
  gmf_basis_options options = {SEED, &f.n_random, 0};
  gmf_tall_randomize((gmf_columns){f.x, 0, OLD}, SEED, 500);
  CHECK(gmf_tall_extend(grid, f.x, 0, OLD, (gmf_expected){0, 0}, &options, &f.extension, NULL) == GMF_OK);
  CHECK(orthogonality(&f, OLD) < 1e-14);
  for (int kind = 0; kind <= 8; kind++)
    for (int expected = 0; expected < 2; expected++) test_extend(&f, kind, expected == 1);
  test_not_finite(&f);
  test_rotate(&f);
  test_small_svd(grid);
  gmf_extension_free(&f.extension);
  gmf_tall_destroy(&f.x);
  gmf_tall_destroy(&f.before);
  gmf_axis_destroy(&f.axis);
  return finish_checks(&grid);
}
