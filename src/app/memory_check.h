/* Whether a run fits into the memory that it may use, before it takes it. */
#ifndef GMF_APP_MEMORY_CHECK_H
#define GMF_APP_MEMORY_CHECK_H

#include "app/log.h"
#include "app/memory_plan.h"
#include "dist/block.h"
#include "io/dataset.h"

/* What a rank may use, and who says so. */
typedef struct gmf_memory_allowance {
  int64_t bytes;
  const char *source; /* "--memory-limit", "cgroup", "Slurm", "memory of the node", "" for no limit */
} gmf_memory_allowance;

/* Collective. The least of all limits of all ranks. limit: of --memory-limit, 0: not given. */
gmf_memory_allowance gmf_memory_allowed(const gmf_grid *grid, int64_t limit);

/* A training, as far as memory goes. */
typedef struct gmf_train_memory {
  gmf_memory_allowance allowed;
  gmf_train_shape shape;
  bool fits_expanded; /* shape.expand_bytes is chosen here, not by --expand-memory */
  bool hops;          /* two hops are to be considered, or taken */
  int64_t planned;    /* the peak of this rank by exact counts */
} gmf_train_memory;

/*
 * Collective. GMF_ERR_PLAN with a table of the parts when a run does not fit: gmf_train_memory_start by the sizes of
 * the dataset, before anything large, and with the errors of gmf_svd_check; gmf_train_memory_exact when the blocks are
 * there and the solver is not. That one writes the line of the log, and settles memory->shape.expand_bytes, which may
 * be this rank's own, but is above 0 on all ranks or on none.
 */
gmf_status gmf_train_memory_start(const gmf_grid *grid, const gmf_config *config, const gmf_dataset *d,
                                  const gmf_log *log, gmf_train_memory *memory, gmf_error *err);
gmf_status gmf_train_memory_exact(const gmf_grid *grid, gmf_block *const blocks[GMF_N_SIDES], const gmf_log *log,
                                  gmf_train_memory *memory, gmf_error *err);

/* Local. A training of n[users] x n[items] with nnz ratings; program_bytes: what this process holds now. Without
 * --test. */
gmf_train_shape gmf_train_shape_of(const gmf_config *config, const int64_t n[GMF_N_SIDES], int64_t nnz, bool weighted,
                                   int n_grid_rows, int n_grid_cols);

/* Local. expand_bytes of a rank with which a run keeps below the limit, where the program may choose; 0: all rows fit,
 * or nothing helps. */
int64_t gmf_fit_expanded_rows(const gmf_train_shape *shape, const gmf_memory_share shares[GMF_N_SIDES], int64_t limit);

/* Local. Whether a run can be expected to keep below the limit: fits[0] with rows of each rank's own, fits[1] where n
 * ranks of a node share them. */
void gmf_sharing_fits(const gmf_train_shape *shape, int n, int64_t limit, int64_t fits[2]);

/* Local. Whether two hops are considered: in a run whose sizes and options allow them, and unless --hops asks for them
 * only where the rows between them can be expected to keep below the limit too. */
bool gmf_hops_fit(const gmf_config *config, const gmf_train_shape *shape, int64_t limit);

/* Local. Adds the features that the options ask for, as far as the dataset has them. */
void gmf_train_shape_features(const gmf_config *config, const gmf_dataset *dataset, gmf_train_shape *shape);

/* Local. What this rank has of the side of a block and its next. */
gmf_memory_share gmf_memory_share_of(const gmf_grid *grid, const gmf_block *block);

/* Local. The peak of a rank that trains with n_ranks ranks in one column, bytes, by the sizes of the dataset. */
int64_t gmf_train_memory_expected(const gmf_config *config, const gmf_dataset *dataset, int n_ranks);

/* Collective. item-knn and ease, by the sizes of the dataset; writes the line of the log. */
gmf_status gmf_items_memory(const gmf_grid *grid, const gmf_config *config, const gmf_dataset *d, const gmf_log *log,
                            gmf_error *err);

/* Collective. files [n]: the text of an import; a missing one counts nothing, the import says so. */
gmf_status gmf_import_memory(const gmf_grid *grid, const gmf_config *config, const char *const *files, int n,
                             const gmf_log *log, gmf_error *err);

/* Collective. allowed: of gmf_memory_allowed. */
gmf_status gmf_recommend_memory(const gmf_grid *grid, const gmf_recommend_shape *shape,
                                const gmf_memory_allowance *allowed, const gmf_log *log, gmf_error *err);

/* Collective. n_model: rows of the model. Says nothing where the run fits. */
gmf_status gmf_evaluate_memory(const gmf_grid *grid, const gmf_config *config, const int64_t n_model[GMF_N_SIDES],
                               int64_t n_factors, const gmf_dataset *test, gmf_error *err);

#endif
