/*
 * Validation inside a training: metrics of held-out ratings after some sweeps, computed from the factors as they are
 * spread over the ranks, and early stopping by the first of them. The same metrics that `gridmf evaluate` finds in the
 * written model.
 */
#ifndef GMF_APP_VALIDATE_H
#define GMF_APP_VALIDATE_H

#include "algo/als.h"
#include "app/config.h"
#include "app/held_out.h"

typedef struct gmf_validation gmf_validation;

/* What early stopping remembers; the same on all ranks. */
typedef struct gmf_best_sweep {
  int64_t sweep;   /* 1-based; 0: nothing was validated yet */
  double value;    /* of the first metric */
  int64_t n_worse; /* validations since */
} gmf_best_sweep;

/*
 * Collective. Opens --test and --fold-in. *out stays NULL without --test. dataset, als and blocks: borrowed, must
 * outlive the validation.
 */
gmf_status gmf_validation_open(const gmf_grid *grid, const gmf_config *config, gmf_dataset *dataset, gmf_als *als,
                               gmf_block *const blocks[GMF_N_SIDES], gmf_validation **out, gmf_error *err);
void gmf_validation_close(gmf_validation **validation);

/* Local. Whether the metrics are due after this sweep, 1-based. */
bool gmf_validation_due(const gmf_validation *validation, int64_t sweep);

/* Collective. Computes the metrics after a sweep; with --early-stop keeps a copy of the factors when they are the best
 * so far. *stop: they have not been better often enough. */
gmf_status gmf_validation_run(gmf_validation *validation, int64_t sweep, bool *stop, gmf_error *err);

/* Local. Metric i of gmf_validation_n: its name as asked for, and its values by sweep [iterations], NaN where there was
 * no validation. */
int gmf_validation_n(const gmf_validation *validation);
const char *gmf_validation_name(const gmf_validation *validation, int i);
double *gmf_validation_values(const gmf_validation *validation, int i);

/* Local. The users and ratings that count, for the log. */
const gmf_held_out_counts *gmf_validation_counts(const gmf_validation *validation);

/*
 * Local. The best sweep, and my copy of its rows [n][ld], in the order of the solver's factor; NULL without
 * --early-stop. For checkpoints both may be set from outside.
 */
gmf_best_sweep *gmf_validation_best(gmf_validation *validation);
float *gmf_validation_best_rows(const gmf_validation *validation, gmf_side side);

/* Local. Puts the best rows back into the solver. */
void gmf_validation_restore_best(gmf_validation *validation);

#endif
