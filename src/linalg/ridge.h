/*
 * Solves M B = G for a symmetric positive definite M of order n that stays the same over many right-hand sides: a
 * ridge regression's normal equations. Small matrices are factored by every rank, large ones inverted over all of them
 * by ScaLAPACK.
 */
#ifndef GMF_LINALG_RIDGE_H
#define GMF_LINALG_RIDGE_H

#include "linalg/gram.h"

/* The largest order whose matrix stands on every rank: 32 MiB. The largest of all: a rank keeps n^2 / ranks doubles. */
enum { GMF_RIDGE_REPLICATED = 2048, GMF_RIDGE_MAX_ORDER = 60000 };

typedef struct gmf_ridge gmf_ridge;

/*
 * Collective. matrix [ld][ld], ld = gmf_pad(n): its upper triangle, the same on all ranks; owned by the solver from now
 * on, also on failure, and *matrix becomes NULL. n is at most GMF_RIDGE_REPLICATED. GMF_ERR_NUMERIC, without a text,
 * where it is singular to f8, and *singular is the row whose pivot vanished.
 */
gmf_status gmf_ridge_replicated(const gmf_grid *grid, int n, double **matrix, gmf_ridge **out, int *singular,
                                gmf_error *err);

/* Collective. M = the Gram matrix of the problem + lambda I; otherwise as gmf_spd_create and gmf_spd_invert. */
gmf_status gmf_ridge_distributed(const gmf_grid *grid, const gmf_gram_problem *problem, gmf_entry **entries,
                                 double lambda, gmf_ridge **out, int *singular, gmf_error *err);
void gmf_ridge_destroy(gmf_ridge **ridge);

/* Collective. b [n][k] += M^-1 g [n][k]; g the same on all ranks, b comes out the same on all. scratch [n][k].
 * Allocates nothing. */
void gmf_ridge_add(const gmf_ridge *ridge, const double *g, int k, double *scratch, double *b);

#endif
