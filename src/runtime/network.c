#define GMF_IN_RUNTIME
#include "runtime/network.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

enum {
  NETWORK_TAG = 18,
  WORD_BYTES = 8,
  MESSAGE_BYTES = 1 << 20, /* past what networks need to reach their bandwidth */
  BATCH = 8,               /* messages between two looks at the clock */
  ROW_BYTES = 256,         /* 64 factors */
  EXCHANGE_BYTES = 1 << 24 /* that a rank sends in all */
};

typedef struct buffers {
  char *send, *recv;      /* owned [MESSAGE_BYTES or more] */
  int64_t *n_to, *n_from; /* owned [size] */
} buffers;

/* Collective. Seconds since `begin` on the slowest rank, the same on all: decides whether there is another round. */
static double slowest(const gmf_grid *grid, double begin)
{
  double elapsed = MPI_Wtime() - begin;
  gmf_max_f64(grid, &elapsed, 1);
  return elapsed;
}

/* Sends a message to the rank `shift` behind me, takes one from the rank as far before. */
static void pass(const gmf_grid *grid, const buffers *b, int shift, int n_bytes)
{
  int to = (grid->rank + shift) % grid->size, from = (grid->rank - shift + grid->size) % grid->size;
  MPI_Sendrecv(b->send, n_bytes, MPI_BYTE, to, NETWORK_TAG, b->recv, n_bytes, MPI_BYTE, from, NETWORK_TAG, grid->all,
               MPI_STATUS_IGNORE);
}

/* Collective. The least seconds that a message of n_bytes takes on the slowest rank. */
static double time_pass(const gmf_grid *grid, const buffers *b, int shift, int n_bytes, double seconds)
{
  double least = INFINITY, total = 0;
  for (int round = 0; round < 3 || total < seconds; round++) {
    GMF_COLLECTIVE(grid->all, MPI_Barrier(grid->all));
    double begin = MPI_Wtime();
    for (int i = 0; i < BATCH; i++) pass(grid, b, shift, n_bytes);
    double elapsed = slowest(grid, begin);
    least = fmin(least, elapsed / BATCH);
    total += elapsed;
  }
  return least;
}

/* Collective. The same for an exchange of n rows between each two ranks. */
static double time_exchange(const gmf_grid *grid, const buffers *b, int64_t n, double seconds)
{
  double least = INFINITY, total = 0;
  for (int r = 0; r < grid->size; r++) b->n_to[r] = b->n_from[r] = r == grid->rank ? 0 : n;
  for (int round = 0; round < 3 || total < seconds; round++) {
    GMF_COLLECTIVE(grid->all, MPI_Barrier(grid->all));
    double begin = MPI_Wtime();
    gmf_exchange(grid, ROW_BYTES, b->send, b->n_to, b->recv, b->n_from);
    double elapsed = slowest(grid, begin);
    least = fmin(least, elapsed);
    total += elapsed;
  }
  return least;
}

gmf_status gmf_network_measure(const gmf_grid *grid, double seconds, gmf_network *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  buffers b = {0};
  int64_t others = grid->size - 1, n_rows = gmf_max64(1, EXCHANGE_BYTES / ROW_BYTES / gmf_max64(1, others));
  int64_t n_bytes = gmf_max64(MESSAGE_BYTES, n_rows * ROW_BYTES * others);

  *out = (gmf_network){0};
  if (others == 0) return GMF_OK;
  status = GMF_NEW_ZERO(b.send, n_bytes, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(b.recv, n_bytes, err);
  if (status == GMF_OK) status = GMF_NEW(b.n_to, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW(b.n_from, grid->size, err);
  GMF_TRY(gmf_agree(grid, status, err));
  int n_shifts = 0;
  for (int shift = 1; shift < grid->size; shift *= 2) n_shifts++;
  double each = seconds / (2 * n_shifts + 2), slowest_message = 0;
  for (int shift = 1; shift < grid->size; shift *= 2) {
    out->latency = fmax(out->latency, time_pass(grid, &b, shift, WORD_BYTES, each));
    slowest_message = fmax(slowest_message, time_pass(grid, &b, shift, MESSAGE_BYTES, each));
  }
  out->pair_bandwidth = MESSAGE_BYTES / slowest_message;
  out->exchange_latency = time_exchange(grid, &b, 1, each);
  out->exchange_bandwidth = (double)(n_rows * ROW_BYTES * others) / time_exchange(grid, &b, n_rows, each);

cleanup:
  gmf_free(b.send);
  gmf_free(b.recv);
  gmf_free(b.n_to);
  gmf_free(b.n_from);
  return status;
}
