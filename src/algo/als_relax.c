/*
 * Over-relaxation.  Where x is a row of the side that a half-sweep updates and x* what it is solved to, the row goes to
 *
 *     x + omega (x* - x)          1 <= omega < 2; 1 is plain alternating least squares
 *
 * Alternating least squares is block Gauss-Seidel for the two factors, so this is successive over-relaxation: Young,
 * "Iterative methods for solving partial difference equations of elliptic type", Trans. AMS 76 (1954). For low-rank
 * factors: Wen, Yin, Zhang, "Solving a low-rank factorization model for matrix completion by a nonlinear successive
 * over-relaxation algorithm", Math. Prog. Comp. 4 (2012). Near a minimum, where plain sweeps shrink the error by rho
 * each, the best omega, 2 / (1 + sqrt(1 - rho)), shrinks it by omega - 1: of 0.82 it makes 0.4. Nesterov's
 * extrapolation of the same sweeps (Mitchell, Ye, De Sterck, arXiv 1810.05846) took more of them where it was tried,
 * and needs restarts and last sweep's factors.
 *
 * In x the objective F is quadratic, with its minimum at x*; so on the way there, and beyond,
 *
 *     F(x + omega (x* - x)) = F(x*) + (1 - omega)^2 (F(x) - F(x*)),
 *
 * which is never above F(x), and is the objective without a pass over the ratings. With cg, x* is not the minimum, but
 * still that of the line from x through it.
 *
 * The first sweep is plain, for the start is no place to go away from at length, and the second goes half of the way to
 * omega. Nothing is remembered from sweep to sweep but factors, objective and their number.
 */
#include <string.h>

#include "algo/als_internal.h"

double gmf_als_relaxation(const gmf_als *als)
{
  double omega = als->options.relaxation;
  if (!gmf_als_relaxes(&als->options) || als->n_sweeps == 0) return 1;
  return als->n_sweeps == 1 ? (1 + omega) / 2 : omega;
}

void gmf_als_relax_keep(gmf_als *als, gmf_side side)
{
  float *to = als->kept;
  for (int copies = 0; copies < 2; copies++) {
    int64_t n = 0;
    const float *x = gmf_als_rows(als, side, copies, &n);
    if (n > 0) memcpy(to, x, (size_t)(n * als->ld) * sizeof *x);
    to += n * als->ld;
  }
}

void gmf_als_relax_rows(gmf_als *als, gmf_side side, double omega)
{
  const float *from = als->kept;
  float beyond = (float)(omega - 1); /* x* + (omega - 1) (x* - x): what stays as it is, the 1 of biases, does exactly */
  for (int copies = 0; copies < 2; copies++) {
    int64_t n = 0;
    float *x = gmf_als_rows(als, side, copies, &n);
#pragma omp parallel for simd schedule(static) num_threads(als->n_threads)
    for (int64_t j = 0; j < n * als->ld; j++) x[j] += beyond * (x[j] - from[j]);
    from += n * als->ld;
  }
}

double gmf_als_relaxed_objective(double before, double solved, double omega)
{
  return solved + (1 - omega) * (1 - omega) * (before - solved);
}
