/*
 * Block principal pivoting: Portugal, Judice, Vicente, "A comparison of block pivoting and interior-point algorithms
 * for linear least squares problems with nonnegative variables", Math. Comp. 63, 1994; as used for factorisations by
 * Kim, Park, "Fast nonnegative matrix factorization: an active-set-like method and comparisons", SIAM J. Sci. Comput.
 * 33(6), 2011.  With the coordinates split into a passive set F and the rest G,
 *
 *   x_F = A_FF^-1 b_F,  x_G = 0,     g_G = A_GF x_F - b_G,  g_F = 0
 *
 * and x is the solution when no x_F and no g_G is negative.  Otherwise all coordinates that break the rule change
 * sides, as long as their number goes down (or for a few rounds in which it does not); else only the last of them does
 * (Murty's rule), which cannot run in circles.
 */
#include "kernel/nnls.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/dense.h"

enum { PATIENCE = 3 };

/* The passive set, and its system. */
typedef struct passive {
  int index[GMF_MAX_ORDER]; /* ascending */
  int n;
} passive;

/* x_F from the passive set's system. */
static bool solve_passive(const double *a, const double *b, int ld, const passive *f, double *matrix, double *work,
                          double *solution)
{
  int pad = gmf_pad(f->n);
  memset(matrix, 0, (size_t)pad * (size_t)pad * sizeof *matrix);
  memset(solution, 0, (size_t)pad * sizeof *solution);
  for (int i = 0; i < f->n; i++) {
    const double *row = a + (size_t)f->index[i] * (size_t)ld;
    for (int j = i; j < f->n; j++) matrix[(size_t)i * (size_t)pad + (size_t)j] = row[f->index[j]];
    solution[i] = b[f->index[i]];
  }
  if (gmf_cholesky_f8(matrix, f->n, pad, 16 * f->n * DBL_EPSILON, work) >= 0) return false;
  gmf_cholesky_solve_f8(matrix, f->n, pad, solution);
  return true;
}

/* gradient [n] = A x - b, and sizes [n]: that of the numbers it was summed from, to tell what is rounding. */
static void find_gradient(const double *a, const double *b, int n, int ld, const passive *f, const double *solution,
                          double *gradient, double *sizes)
{
  for (int i = 0; i < n; i++) {
    const double *row = a + (size_t)i * (size_t)ld;
    double sum = -b[i], size = fabs(b[i]);
    for (int j = 0; j < f->n; j++) {
      double term = row[f->index[j]] * solution[j];
      sum += term;
      size += fabs(term);
    }
    gradient[i] = sum;
    sizes[i] = size;
  }
}

bool gmf_nnls(const double *a, const double *b, int n, int n_bounded, int ld, double *x, double *scratch,
              double *scratch_rows)
{
  double *solution = scratch_rows, *gradient = solution + ld, *sizes = gradient + ld, *work = sizes + ld;
  bool is_passive[GMF_MAX_ORDER], breaks[GMF_MAX_ORDER];
  int fewest = n + 1, patience = PATIENCE;
  for (int j = 0; j < n; j++) is_passive[j] = j >= n_bounded || x[j] > 0;

  for (int round = 0; round < 20 * n + 100; round++) { /* far more than it takes, but rounding knows no proofs */
    passive f = {.n = 0};
    for (int j = 0; j < n; j++)
      if (is_passive[j]) f.index[f.n++] = j;
    if (f.n > 0 && !solve_passive(a, b, ld, &f, scratch, work, solution)) return false;
    find_gradient(a, b, n, ld, &f, solution, gradient, sizes);
    memset(x, 0, (size_t)ld * sizeof *x);
    for (int j = 0; j < f.n; j++) x[f.index[j]] = solution[j];

    int n_breaks = 0, last = -1;
    for (int j = 0; j < n_bounded; j++) {
      breaks[j] = is_passive[j] ? x[j] < 0 : gradient[j] < -8 * n * DBL_EPSILON * sizes[j];
      if (!breaks[j]) continue;
      n_breaks++;
      last = j;
    }
    if (n_breaks == 0) return true;
    bool all = n_breaks < fewest || patience > 0;
    patience = n_breaks < fewest ? PATIENCE : patience - 1;
    if (n_breaks < fewest) fewest = n_breaks;
    for (int j = 0; j < n_bounded; j++)
      if (breaks[j] && (all || j == last)) is_passive[j] = !is_passive[j];
  }
  return false;
}
