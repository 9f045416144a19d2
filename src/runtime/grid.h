/*
 * The ranks of a run as a grid of R rows and C columns, and the agreement that stands between a local step which can
 * fail and the next collective. Communicators are made here and nowhere else.
 */
#ifndef GMF_RUNTIME_GRID_H
#define GMF_RUNTIME_GRID_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/collective.h"
#include "runtime/trace.h"

/* Rank r of `all` stands in row r / n_cols, column r % n_cols. */
typedef struct gmf_grid {
  MPI_Comm all; /* owned: all ranks */
  MPI_Comm row; /* owned: the ranks of my row, ordered by column */
  int rank, size;
  int n_rows, n_cols;
  int row_index, col_index;
  MPI_Request *requests; /* owned [2 * size]: of gmf_exchange */
  gmf_trace *trace;      /* borrowed, must outlive this; may be NULL. Counts what collectives on this grid move. */
} gmf_grid;

/* Collective. n_rows * n_cols must be the size of comm. */
gmf_status gmf_grid_create(MPI_Comm comm, int n_rows, int n_cols, gmf_trace *trace, gmf_grid **out, gmf_error *err);
/*
 * Collective. The ranks of the grid that give the same color, in their order, as a grid of one column. In messages a
 * rank goes on to be what it is in the whole. Fails alike on the ranks of a color; the caller agrees.
 */
gmf_status gmf_grid_split(const gmf_grid *grid, int color, gmf_grid **out, gmf_error *err);
/* Collective. */
void gmf_grid_destroy(gmf_grid **grid);

/*
 * Collective. All ranks get the status and the text of the lowest rank that failed (GMF_OK when none did). A rank
 * whose own status was good then holds that text too, with the failing rank named.
 */
gmf_status gmf_agree(const gmf_grid *grid, gmf_status local, gmf_error *err);

/* Collective. How many ranks of the grid share this rank's node, and how many cores they may use together. */
void gmf_node_share(const gmf_grid *grid, int *n_ranks, int *n_cores);

/* Collective. The sum of `value` over the ranks of this rank's node that have the same color, which is not below 0. */
int64_t gmf_node_sum(const gmf_grid *grid, int color, int64_t value);

/* Collective. Sum, maximum and minimum over ranks, in place. */
void gmf_sum_i64(const gmf_grid *grid, int64_t *values, int64_t n);
void gmf_max_i64(const gmf_grid *grid, int64_t *values, int64_t n);
void gmf_min_i64(const gmf_grid *grid, int64_t *values, int64_t n);
void gmf_max_f64(const gmf_grid *grid, double *values, int64_t n);
void gmf_sum_f64(const gmf_grid *grid, double *values, int64_t n);

/* Collective. The union of sets (base/bits.h) of n_words words each, in place. */
void gmf_unite_bits(const gmf_grid *grid, uint64_t *words, int64_t n_words);

/* Collective over the grid row. The union of sets of one byte, 0 or 1, for each of n members, in place; returns whether
 * it has any. */
bool gmf_unite_row_flags(const gmf_grid *grid, uint8_t *flags, int64_t n);

/* Collective. The sum of `value` over the ranks before mine. */
int64_t gmf_prefix_i64(const gmf_grid *grid, int64_t value);

/* Collective. Copies n bytes of rank 0 to all. */
void gmf_broadcast(const gmf_grid *grid, void *data, int64_t n_bytes);

/* Collective. all[r] = value of rank r, on every rank; `all` has grid->size entries. */
void gmf_all_gather_i64(const gmf_grid *grid, int64_t value, int64_t *all);

#ifdef GMF_CHECK_COLLECTIVES
/* The same. A function: arguments may call collectives of other communicators, and the place is named after those. */
gmf_status gmf_agree_from(const char *file, int line, const gmf_grid *grid, gmf_status local, gmf_error *err);
#endif

#if defined GMF_CHECK_COLLECTIVES && !defined GMF_IN_RUNTIME
#define gmf_agree(...) gmf_agree_from(__FILE__, __LINE__, __VA_ARGS__)
#define gmf_sum_i64(...) GMF_FROM_HERE(gmf_sum_i64, __VA_ARGS__)
#define gmf_max_i64(...) GMF_FROM_HERE(gmf_max_i64, __VA_ARGS__)
#define gmf_min_i64(...) GMF_FROM_HERE(gmf_min_i64, __VA_ARGS__)
#define gmf_max_f64(...) GMF_FROM_HERE(gmf_max_f64, __VA_ARGS__)
#define gmf_sum_f64(...) GMF_FROM_HERE(gmf_sum_f64, __VA_ARGS__)
#define gmf_unite_bits(...) GMF_FROM_HERE(gmf_unite_bits, __VA_ARGS__)
#define gmf_unite_row_flags(...) GMF_FROM_HERE(gmf_unite_row_flags, __VA_ARGS__)
#define gmf_node_sum(...) GMF_FROM_HERE(gmf_node_sum, __VA_ARGS__)
#define gmf_prefix_i64(...) GMF_FROM_HERE(gmf_prefix_i64, __VA_ARGS__)
#define gmf_broadcast(...) GMF_FROM_HERE(gmf_broadcast, __VA_ARGS__)
#define gmf_all_gather_i64(...) GMF_FROM_HERE(gmf_all_gather_i64, __VA_ARGS__)
#endif

#endif
