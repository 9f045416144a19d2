/*
 * Fold: sum the partial results of a row at its owner, inside a grid row, in batches of bounded size. Each batch takes
 * the same number of rows from every owner, so that all of them have work when it has been summed. The way back,
 * spread, brings what owners have of their rows to all ranks of the grid row.
 */
#ifndef GMF_DIST_FOLD_H
#define GMF_DIST_FOLD_H

#include "dist/block.h"

typedef struct gmf_fold {
  int64_t row_words;  /* doubles that a row folds */
  int64_t batch_rows; /* rows of one owner in a batch, at most */
  int64_t n_batches;
  int n_owners;    /* the ranks of my grid row */
  int64_t *first;  /* owned [n_owners + 1]: local row (in the block) where each owner's rows begin */
  int *counts;     /* owned [n_owners]: words or bytes of each owner's rows in the current batch */
  int *begins;     /* owned [n_owners]: of these, where each owner's begin */
  double *partial; /* owned [n_owners * batch_rows][row_words] */
  double *sums;    /* owned [batch_rows][row_words]: of my rows, after gmf_fold_run */
} gmf_fold;

/* Bytes of fold->partial that serve most. */
static const int64_t GMF_FOLD_BYTES = 32 << 20;

/* Local. Rows of one owner in a batch, where the owner that has most rows has `longest`. */
int64_t gmf_fold_batch_rows(int n_owners, int64_t row_words, int64_t batch_bytes, int64_t longest);

/* Local; the arguments lead to the same batches on all ranks of a grid row. batch_bytes: of fold->partial at most, but
 * for one row of each owner. */
gmf_status gmf_fold_create(const gmf_grid *grid, const gmf_block *block, int64_t row_words, int64_t batch_bytes,
                           gmf_fold **out, gmf_error *err);
void gmf_fold_destroy(gmf_fold **fold);

/* Local. The rows [*begin, *end) of owner o in a batch, as local rows of the block. */
void gmf_fold_range(const gmf_fold *fold, int64_t batch, int owner, int64_t *begin, int64_t *end);

/* Local. The rows of all owners in a batch. */
int64_t gmf_fold_rows(const gmf_fold *fold, int64_t batch);

/* Collective over the grid row. fold->partial, filled owner by owner without gaps, is summed into fold->sums. */
void gmf_fold_run(const gmf_grid *grid, gmf_fold *fold, int64_t batch);

/* Collective over the grid row. The same with fewer numbers a row, n doubles, or n floats in both buffers. */
void gmf_fold_run_f8(const gmf_grid *grid, gmf_fold *fold, int64_t batch, int64_t n);
void gmf_fold_run_f4(const gmf_grid *grid, gmf_fold *fold, int64_t batch, int64_t n);

/* Collective over the grid row. own: what I have of my rows in a batch, row_bytes each; all: out, that of all owners'
 * rows, owner by owner without gaps. row_bytes: no more than row_words doubles have. */
void gmf_fold_spread(const gmf_grid *grid, gmf_fold *fold, int64_t batch, int64_t row_bytes, const void *own,
                     void *all);

#endif
