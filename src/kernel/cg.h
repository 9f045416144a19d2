/*
 * Preconditioned conjugate gradients for one row of an ALS half-sweep: products with the ratings' factor rows in f4, a
 * panel of ratings at a time, and everything of the row's own length in f8. One thread, or a team for the passes over a
 * long row (slices.h); no MPI, no I/O, allocates nothing. Versions for each instruction set (cg_isa.c); the functions
 * without suffix choose at run time.
 */
#ifndef GMF_KERNEL_CG_H
#define GMF_KERNEL_CG_H

#include "kernel/dense.h"
#include "kernel/slices.h"

/* cg stops when its step, relative to x, both in the norm of the diagonal, is below this. */
#define GMF_CG_STEP 1e-7
/* After so many steps the residual, which f4 products have carried along, is found anew from the ratings. */
enum { GMF_CG_RENEW = 32 };

enum {
  GMF_CG_PANEL = 128, /* ratings whose products are summed in f4 before they are added in f8 */
  GMF_CG_PANELS = 16, /* panels that are kept from one pass over the row to the next */
  GMF_CG_VECTORS = 6  /* [ld] f8 of them, and GMF_CG_VECTORS_F4 of f4 behind them: gmf_cg_system's work */
};
enum { GMF_CG_VECTORS_F4 = 4 };

/* Ratings of a row with their w and t, which are zero up to whole vectors, where rows are the last one's. */
typedef struct gmf_cg_panel {
  float w[GMF_CG_PANEL], t[GMF_CG_PANEL];
  const float *rows[GMF_CG_PANEL];
  int n;
} __attribute__((aligned(64))) gmf_cg_panel;

/* (D + sum_j w_j y_j y_j') x = q + sum_j t_j y_j, w and t of loss.h. */
typedef struct gmf_cg_system {
  const float *y; /* rows of `stride` floats, of which ld are read */
  int64_t stride;
  const gmf_ratings *ratings;
  gmf_loss loss;
  const double *diagonal; /* [ld]: D; zero from n on and where x is fixed */
  const double *prior;    /* [ld]: q, NULL: zero; zero likewise */
  int n, ld;              /* coordinates; gmf_pad(n) */
  int fixed;              /* the coordinate of x that is 1; -1: none */
  double *work;           /* [GMF_CG_VECTORS + GMF_CG_VECTORS_F4 / 2][ld] */
  gmf_cg_panel *panels;   /* [GMF_CG_PANELS] */
  const gmf_team *team;   /* for the slices of a long row */
} gmf_cg_system;

/*
 * At most `steps` steps from x [ld], which is zero from n on. *objective: that of the new x before it is rounded to f4,
 * without its constant: sum_j yhat_j (w_j yhat_j - 2 t_j) + x'Dx - 2 q'x. False when the matrix is not positive along a
 * step, or its diagonal is not, or x is too large for a model or not finite.
 */
bool gmf_cg_run(const gmf_cg_system *system, int steps, float *x, double *objective);

#endif
