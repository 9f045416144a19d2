/* Compiled once for each instruction set; see isa.h and peak.h. */
#include "kernel/peak_versions.h"

typedef float vector_f4 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));
typedef double vector_f8 __attribute__((vector_size(GMF_VECTOR_FLOATS * 4)));

/* Chains at a time: two units of latency 4 or 5 need 10, and 16 registers hold 12 chains, a and b. */
enum { CHAINS = 12 };

/* x a + b, which converges whatever x is: b / (1 - a). Read where the compiler cannot look. */
static volatile const float FACTOR = 0.5f, ADDEND = 1.0f;

#define DEFINE_MULTIPLY_ADD(name, VECTOR, REAL)                                       \
  double GMF_ISA_NAME(name)(int64_t n, double *sink)                                  \
  {                                                                                   \
    enum { LANES = sizeof(VECTOR) / sizeof(REAL) };                                   \
    VECTOR a = (VECTOR){0} + (REAL)FACTOR, b = (VECTOR){0} + (REAL)ADDEND, x[CHAINS]; \
    for (int c = 0; c < CHAINS; c++) x[c] = b * (REAL)c;                              \
    for (int64_t i = 0; i < n; i++)                                                   \
      for (int c = 0; c < CHAINS; c++) x[c] = x[c] * a + b;                           \
    for (int c = 1; c < CHAINS; c++) x[0] += x[c];                                    \
    *sink = 0;                                                                        \
    for (int l = 0; l < LANES; l++) *sink += (double)x[0][l];                         \
    return 2.0 * CHAINS * LANES * (double)n;                                          \
  }

DEFINE_MULTIPLY_ADD(gmf_peak_multiply_add_f4, vector_f4, float)
DEFINE_MULTIPLY_ADD(gmf_peak_multiply_add_f8, vector_f8, double)

double GMF_ISA_NAME(gmf_peak_triad)(double *restrict a, const double *restrict b, const double *restrict c, double s,
                                    int64_t n)
{
  for (int64_t j = 0; j < n; j++) a[j] = b[j] + s * c[j];
  return 3.0 * sizeof *a * (double)n;
}
