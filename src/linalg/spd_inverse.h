/* The inverse of a dense symmetric positive definite matrix in block-cyclic layout, in f8 or f4, by ScaLAPACK. */
#ifndef GMF_LINALG_SPD_INVERSE_H
#define GMF_LINALG_SPD_INVERSE_H

#include "linalg/gram.h"

typedef struct gmf_spd {
  const gmf_grid *grid; /* borrowed */
  gmf_block_cyclic layout;
  bool single; /* elements are f4 */
  void *a;     /* owned: my part of the lower triangle, by columns; what stands above it means nothing */
} gmf_spd;

/* Collective. The Gram matrix of the problem, whose centers are not looked at, plus lambda on the diagonal. *entries,
 * which are those of the problem, are given back (gmf_free) as soon as they are not needed, and become NULL.
 * GMF_ERR_PLAN where a rank's part is longer than ScaLAPACK can count. */
gmf_status gmf_spd_create(const gmf_grid *grid, const gmf_gram_problem *problem, gmf_entry **entries, double lambda,
                          bool single, gmf_spd **out, gmf_error *err);
/* Collective. */
void gmf_spd_destroy(gmf_spd **spd);

/*
 * Collective. The matrix becomes its inverse. Where it is singular to the precision: GMF_ERR_NUMERIC, without a text,
 * and *singular is the row whose pivot vanished; the matrix is lost then. progress, which may be NULL, hears what share
 * of the work is done.
 */
gmf_status gmf_spd_invert(gmf_spd *spd, void (*progress)(void *context, double share), void *context, int *singular,
                          gmf_error *err);

/* Collective. diagonal [n], on every rank. */
void gmf_spd_diagonal(const gmf_spd *spd, double *diagonal);

/* Collective. out [n][order]: rows [begin, begin + n), each rank its own, or none. Takes twice their memory. */
gmf_status gmf_spd_rows(const gmf_spd *spd, int begin, int n, double *out, gmf_error *err);

/* Local. Operations of gmf_spd_invert on a matrix of order n: n^3. */
double gmf_spd_operations(int n);

/* Local. What matrix products come to on this process and its threads, operations a second; takes some hundredths of a
 * second. */
double gmf_product_rate(bool single);

#endif
