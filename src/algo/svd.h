/*
 * The k largest singular triplets of the rating matrix, A v = s u, A'u = s v, with certificates. All in f8.
 *
 *   krylov      thick-restart block Golub-Kahan-Lanczos (svd_krylov.c), to a tolerance
 *   randomized  subspace iteration from a random block, a stated number of passes
 *   gram        all eigenpairs of the dense n x n matrix A'A by ScaLAPACK, for up to 60,000 items
 */
#ifndef GMF_ALGO_SVD_H
#define GMF_ALGO_SVD_H

#include "algo/svd_operator.h"

typedef enum gmf_svd_method { GMF_SVD_KRYLOV, GMF_SVD_RANDOMIZED, GMF_SVD_GRAM } gmf_svd_method;

/* How far a restart of krylov has come. */
typedef struct gmf_svd_restart {
  int64_t n_restarts, n_products;
  int n_converged;
  double worst;   /* residual of the first k, relative to the largest singular value */
  double largest; /* singular value */
} gmf_svd_restart;

typedef struct gmf_svd gmf_svd;

/*
 * What a run needs to go on from where it is, beside its options: between two restarts of krylov, or between two passes
 * of randomized.
 */
typedef struct gmf_svd_state {
  int64_t n_steps;    /* restarts of all searches so far, or passes */
  int64_t n_restarts; /* krylov: of this search */
  int64_t n_products; /* as in gmf_svd */
  int64_t n_random;   /* columns drawn */
  bool normal;        /* krylov: the normal equations, without a basis of the longer side */
  int n_kept, n_next; /* krylov: triplets of the basis, and columns of the next block; 0 else */
  double *kept;       /* [n_kept][1 + n_next]: the singular value of each (normal: its square), and how it is coupled
                         to the next block; rank 0's counts */
  gmf_columns basis[GMF_N_SIDES]; /* from column 0; n = 0: none */
} gmf_svd_state;

/* Who keeps states. NULL for none; gram has none. */
typedef struct gmf_svd_saver {
  bool (*due)(void *context); /* Collective. Whether to save now */
  /* Collective. svd: with triplets as they are so far, and without certificates. What it returns ends the run unless it
   * is GMF_OK. */
  gmf_status (*save)(void *context, const gmf_svd *svd, const gmf_svd_state *state, gmf_error *err);
  const gmf_svd_state *resumed; /* to go on from: its numbers; NULL: from the start */
  /* Collective. Fills what the pointers of a state with the numbers of `resumed` stand for. */
  gmf_status (*load)(void *context, const gmf_svd_state *state, gmf_error *err);
  void *context; /* borrowed */
} gmf_svd_saver;

typedef struct gmf_svd_options {
  int k;
  gmf_svd_method method;
  double tolerance; /* krylov: of residuals, relative to the largest singular value */
  int block;        /* vectors that A is applied to at a time */
  int64_t max_restarts;
  int64_t power_steps; /* randomized */
  uint64_t seed;
  gmf_centering centering;
  void (*progress)(void *context, const gmf_svd_restart *restart); /* after each restart; may be NULL */
  void *context;
  const gmf_svd_saver *saver; /* borrowed; may be NULL */
} gmf_svd_options;

/* What is known of a result, from products with A itself. */
typedef struct gmf_svd_certificates {
  double *residuals[GMF_N_SIDES];    /* owned [k]: |A v - s u|, on the users' side; |A'u - s v|, on the items' */
  double orthogonality[GMF_N_SIDES]; /* |U'U - I|, |V'V - I|: Frobenius norms */
  double square;                     /* |A|_F^2 */
  double captured;                   /* sum s^2 / |A|_F^2; 1 where A is zero */
  double bound;                      /* |A - U U'A| in the spectral norm is at most this */
  double miss_probability;           /* but for this probability */
} gmf_svd_certificates;

struct gmf_svd {
  int k;
  gmf_operator *op;               /* owned: what centring took off is there */
  gmf_tall *vectors[GMF_N_SIDES]; /* owned: columns [0, k) are U and V */
  double *values;                 /* owned [k], descending */
  gmf_svd_certificates certificates;
  int64_t n_restarts;
  int64_t n_steps;    /* restarts of all searches, or passes */
  int64_t n_products; /* vectors that A or A' was applied to before the certificates */
  double seconds;     /* until then */
  double *spectrum;   /* owned [n_spectrum]: gram: all singular values, descending; NULL otherwise */
  int64_t n_spectrum;
};

/* Local. GMF_ERR_USAGE where a matrix of such a size has fewer than k singular values, GMF_ERR_PLAN where gram takes no
 * such order. */
gmf_status gmf_svd_check(const gmf_svd_options *options, int64_t n_users, int64_t n_items, gmf_error *err);

/* What a run holds, in columns of doubles. */
typedef struct gmf_svd_sizes {
  int width;                 /* vectors in one product, at most: what the blocks' expansion is to carry */
  int order;                 /* of the projected matrix */
  int columns[GMF_N_SIDES];  /* of the vectors of each side */
  int of_state[GMF_N_SIDES]; /* those that a state has of them */
  int of_copies;             /* randomized: further columns of the items' side while a state is saved */
} gmf_svd_sizes;

/* Local. For k that gmf_svd_check lets pass. krylov: by the normal equations where they are likely to do. */
gmf_svd_sizes gmf_svd_measure(const gmf_svd_options *options, int64_t n_users, int64_t n_items);

/*
 * Collective. For options that gmf_svd_check lets pass. axes and blocks must outlive the result; the blocks' expansion
 * carries rows of gmf_svd_sizes.width doubles. GMF_ERR_NUMERIC where the tolerance was not reached; GMF_ERR_PLAN where
 * A'A is too large.
 *
 * The sign of a triplet is the one that makes the largest entry of v positive; of entries that are equal to 1e-8, the
 * first in dataset order counts.
 */
gmf_status gmf_svd_create(const gmf_grid *grid, const gmf_svd_options *options, gmf_axis *const axes[GMF_N_SIDES],
                          gmf_block *const blocks[GMF_N_SIDES], gmf_svd **out, gmf_error *err);
void gmf_svd_destroy(gmf_svd **svd);

#endif
