/* The versions of dense.h's kernels, one set for each instruction set; see isa.h. Included by dense_isa.c, dense.c. */
#include "kernel/dense.h"
#include "kernel/isa.h"

#define GMF_DENSE_VERSIONS(isa)                                                                                        \
  void gmf_gram_f4_##isa(const float *, int64_t, const gmf_ratings *, gmf_loss, int, float *, float *, float *);       \
  void gmf_gram_f8_##isa(const float *, int64_t, const gmf_ratings *, gmf_loss, int, double *, double *, double *);    \
  void gmf_gram_exact_##isa(const float *, int64_t, int, const float *, const double *, int, double *, double *);      \
  int gmf_cholesky_f4_##isa(float *, int, int, float, float *);                                                        \
  int gmf_cholesky_f8_##isa(double *, int, int, double, double *);                                                     \
  void gmf_cholesky_solve_f4_##isa(const float *, int, int, float *);                                                  \
  void gmf_cholesky_solve_f8_##isa(const double *, int, int, double *);                                                \
  void gmf_fix_coordinate_f4_##isa(float *, float *, int, int, int);                                                   \
  void gmf_fix_coordinate_f8_##isa(double *, double *, int, int, int);                                                 \
  double gmf_row_residual_##isa(const float *, int64_t, const gmf_ratings *, gmf_loss, int, const double *, double *,  \
                                double *);                                                                             \
  double gmf_row_residual_f4_##isa(const float *, int64_t, const gmf_ratings *, gmf_loss, int, const float *, float *, \
                                   double *);                                                                          \
  void gmf_row_product_##isa(const float *, int64_t, const gmf_ratings *, gmf_loss, int, const float *, float *);      \
  void gmf_subtract_product_##isa(const double *, const double *, int, int, double *);                                 \
  double gmf_sum_of_squares_##isa(const float *, int);                                                                 \
  void gmf_rotate_rows_##isa(const float *, int64_t, int, const double *, double *, float *);                          \
  void gmf_rotate_rows_f4_##isa(const float *, int64_t, int, const double *, float *, float *);

GMF_DENSE_VERSIONS(generic)
#ifdef GMF_HAVE_X86_KERNELS
GMF_DENSE_VERSIONS(avx2)
GMF_DENSE_VERSIONS(avx512)
#endif
