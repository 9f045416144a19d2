#define GMF_IN_RUNTIME
#include "runtime/grid.h"

#include <limits.h>
#include <sched.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/limits.h"

gmf_status gmf_grid_create(MPI_Comm comm, int n_rows, int n_cols, gmf_trace *trace, gmf_grid **out, gmf_error *err)
{
  *out = NULL;
  gmf_grid *grid = gmf_calloc(1, sizeof *grid);
  int size = 0;
  MPI_Comm_size(comm, &size);
  if (grid != NULL) grid->requests = gmf_malloc(2 * (int64_t)size, sizeof *grid->requests);
  int first = INT_MAX; /* the lowest rank that has no memory */
  if (grid == NULL || grid->requests == NULL) MPI_Comm_rank(comm, &first);
  MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm);
  if (first != INT_MAX) {
    if (grid != NULL) gmf_free(grid->requests);
    gmf_free(grid);
    gmf_fail(err, GMF_ERR_MEMORY, "out of memory for the process grid of %d ranks", size);
    if (err != NULL) err->rank_plus_1 = first + 1;
    return GMF_ERR_MEMORY;
  }
  MPI_Comm_dup(comm, &grid->all);
  MPI_Comm_rank(grid->all, &grid->rank);
  grid->size = size;
  atomic_store(&gmf_heart->rank, grid->rank);
  GMF_CHECK(n_rows >= 1 && n_cols >= 1 && n_rows * n_cols == grid->size);
  grid->n_rows = n_rows;
  grid->n_cols = n_cols;
  grid->row_index = grid->rank / n_cols;
  grid->col_index = grid->rank % n_cols;
  grid->trace = trace;
  MPI_Comm_split(grid->all, grid->row_index, grid->col_index, &grid->row);
  *out = grid;
  return GMF_OK;
}

gmf_status gmf_grid_split(const gmf_grid *grid, int color, gmf_grid **out, gmf_error *err)
{
  MPI_Comm part = MPI_COMM_NULL;
  int size = 0;
  GMF_COLLECTIVE(grid->all, MPI_Comm_split(grid->all, color, grid->rank, &part));
  MPI_Comm_size(part, &size);
  int whole = atomic_load(&gmf_heart->rank);
  gmf_error why = {0};
  gmf_status status = gmf_grid_create(part, size, 1, grid->trace, out, &why);
  atomic_store(&gmf_heart->rank, whole);
  if (status != GMF_OK) {
    GMF_COLLECTIVE(part, MPI_Bcast(&whole, 1, MPI_INT, why.rank_plus_1 - 1, part));
    why.rank_plus_1 = whole + 1;
    if (err != NULL) *err = why;
  }
  MPI_Comm_free(&part);
  return status;
}

void gmf_grid_destroy(gmf_grid **grid)
{
  if (*grid == NULL) return;
  gmf_free((*grid)->requests);
  MPI_Comm_free(&(*grid)->row);
  MPI_Comm_free(&(*grid)->all);
  gmf_free(*grid);
  *grid = NULL;
}

gmf_status gmf_agree(const gmf_grid *grid, gmf_status local, gmf_error *err)
{
  int first = local == GMF_OK ? INT_MAX : grid->rank;
  GMF_COLLECTIVE(grid->all, MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, grid->all));
  gmf_trace_collective(grid->trace, (int64_t)sizeof first);
  if (first == INT_MAX) return GMF_OK;

  gmf_error told = {0};
  if (grid->rank == first) {
    if (err != NULL) told = *err;
    told.status = local;
    if (told.rank_plus_1 == 0)
      told.rank_plus_1 = atomic_load(&gmf_heart->rank) + 1; /* of a part, what it is in the whole */
  }
  GMF_COLLECTIVE(grid->all, MPI_Bcast(&told, (int)sizeof told, MPI_BYTE, first, grid->all));
  int must_abort = err != NULL && err->must_abort;
  GMF_COLLECTIVE(grid->all, MPI_Allreduce(MPI_IN_PLACE, &must_abort, 1, MPI_INT, MPI_MAX, grid->all));
  if (err != NULL) {
    *err = told;
    err->must_abort = must_abort != 0;
  }
  return told.status;
}

#ifdef GMF_CHECK_COLLECTIVES
gmf_status gmf_agree_from(const char *file, int line, const gmf_grid *grid, gmf_status local, gmf_error *err)
{
  gmf_collective_site(file, line, "gmf_agree");
  return gmf_agree(grid, local, err);
}
#endif

void gmf_node_share(const gmf_grid *grid, int *n_ranks, int *n_cores)
{
  MPI_Comm node;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof cores, &cores);
  GMF_COLLECTIVE(grid->all, MPI_Comm_split_type(grid->all, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node));
  MPI_Comm_size(node, n_ranks);
  /* Ranks may be bound to cores of their own, or share all: the union counts. */
  GMF_COLLECTIVE(node, MPI_Allreduce(MPI_IN_PLACE, &cores, sizeof cores, MPI_BYTE, MPI_BOR, node));
  *n_cores = CPU_COUNT(&cores);
  MPI_Comm_free(&node);
}

int64_t gmf_node_sum(const gmf_grid *grid, int color, int64_t value)
{
  MPI_Comm node, group;
  GMF_COLLECTIVE(grid->all, MPI_Comm_split_type(grid->all, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node));
  MPI_Comm_split(node, color, 0, &group);
  GMF_COLLECTIVE(group, MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT64_T, MPI_SUM, group));
  MPI_Comm_free(&group);
  MPI_Comm_free(&node);
  return value;
}

/* Collective. One reduction of n values of 8 bytes each, in place, in as many calls as they need. */
static void reduce(const gmf_grid *grid, void *values, int64_t n, MPI_Datatype type, MPI_Op operation)
{
  for (int64_t done = 0, piece = 0; done < n; done += piece) {
    piece = gmf_limit_piece(n - done, 8);
    char *from = (char *)values + 8 * done;
    GMF_COLLECTIVE(grid->all, MPI_Allreduce(MPI_IN_PLACE, from, gmf_int(piece), type, operation, grid->all));
  }
  gmf_trace_collective(grid->trace, n * 8);
}

void gmf_sum_i64(const gmf_grid *grid, int64_t *values, int64_t n) { reduce(grid, values, n, MPI_INT64_T, MPI_SUM); }

void gmf_max_i64(const gmf_grid *grid, int64_t *values, int64_t n) { reduce(grid, values, n, MPI_INT64_T, MPI_MAX); }

void gmf_min_i64(const gmf_grid *grid, int64_t *values, int64_t n) { reduce(grid, values, n, MPI_INT64_T, MPI_MIN); }

void gmf_max_f64(const gmf_grid *grid, double *values, int64_t n) { reduce(grid, values, n, MPI_DOUBLE, MPI_MAX); }

void gmf_sum_f64(const gmf_grid *grid, double *values, int64_t n) { reduce(grid, values, n, MPI_DOUBLE, MPI_SUM); }

void gmf_unite_bits(const gmf_grid *grid, uint64_t *words, int64_t n_words)
{
  reduce(grid, words, n_words, MPI_UINT64_T, MPI_BOR);
}

bool gmf_unite_row_flags(const gmf_grid *grid, uint8_t *flags, int64_t n)
{
  int any = n > 0 && memchr(flags, 1, (size_t)n) != NULL;
  GMF_COLLECTIVE(grid->row, MPI_Allreduce(MPI_IN_PLACE, &any, 1, MPI_INT, MPI_MAX, grid->row));
  gmf_trace_collective(grid->trace, (int64_t)sizeof any);
  for (int64_t done = 0, piece = 0; any && done < n; done += piece) {
    piece = gmf_limit_piece(n - done, 1);
    GMF_COLLECTIVE(grid->row,
                   MPI_Allreduce(MPI_IN_PLACE, flags + done, gmf_int(piece), MPI_UINT8_T, MPI_MAX, grid->row));
    gmf_trace_collective(grid->trace, piece);
  }
  return any != 0;
}

int64_t gmf_prefix_i64(const gmf_grid *grid, int64_t value)
{
  int64_t before = 0;
  GMF_COLLECTIVE(grid->all, MPI_Exscan(&value, &before, 1, MPI_INT64_T, MPI_SUM, grid->all));
  return grid->rank == 0 ? 0 : before; /* MPI leaves rank 0's result undefined */
}

void gmf_broadcast(const gmf_grid *grid, void *data, int64_t n_bytes)
{
  for (int64_t done = 0, piece = 0; done < n_bytes; done += piece) {
    piece = gmf_limit_piece(n_bytes - done, 1);
    GMF_COLLECTIVE(grid->all, MPI_Bcast((char *)data + done, gmf_int(piece), MPI_BYTE, 0, grid->all));
  }
  gmf_trace_collective(grid->trace, n_bytes);
}

void gmf_all_gather_i64(const gmf_grid *grid, int64_t value, int64_t *all)
{
  GMF_COLLECTIVE(grid->all, MPI_Allgather(&value, 1, MPI_INT64_T, all, 1, MPI_INT64_T, grid->all));
  gmf_trace_collective(grid->trace, (int64_t)grid->size * 8);
}
