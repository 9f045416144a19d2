#define GMF_IN_RUNTIME
#include "runtime/exchange.h"

#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/limits.h"

enum { EXCHANGE_TAG = 17 };

void gmf_exchange_counts(const gmf_grid *grid, const int64_t *send_counts, int64_t *recv_counts)
{
  GMF_COLLECTIVE(grid->all, MPI_Alltoall(send_counts, 1, MPI_INT64_T, recv_counts, 1, MPI_INT64_T, grid->all));
  gmf_trace_collective(grid->trace, (int64_t)grid->size * 8);
}

/* Bytes of piece `round` of a message. */
static int piece_bytes(int64_t bytes, int64_t round)
{
  return gmf_int(gmf_max64(0, gmf_min64(bytes - round * gmf_limit_call_bytes, gmf_limit_call_bytes)));
}

/*
 * One piece of each message, in both directions; returns whether there are more. Both ends of a message count its
 * pieces alike, so that no rank waits for a piece that the other end has sent or received in another round.
 */
static bool exchange_pieces(const gmf_grid *grid, int64_t row_bytes, const char *send, const int64_t *send_counts,
                            char *recv, const int64_t *recv_counts, int64_t round)
{
  int n = 0;
  bool more = false;
  for (int r = 0; r < grid->size; r++) {
    int64_t in = recv_counts[r] * row_bytes, out = send_counts[r] * row_bytes, at = round * gmf_limit_call_bytes;
    if (r != grid->rank) {
      int n_in = piece_bytes(in, round), n_out = piece_bytes(out, round);
      if (n_in > 0) MPI_Irecv(recv + at, n_in, MPI_BYTE, r, EXCHANGE_TAG, grid->all, &grid->requests[n++]);
      if (n_out > 0) MPI_Isend(send + at, n_out, MPI_BYTE, r, EXCHANGE_TAG, grid->all, &grid->requests[n++]);
      more = more || piece_bytes(in, round + 1) > 0 || piece_bytes(out, round + 1) > 0;
    }
    recv += in;
    send += out;
  }
  MPI_Waitall(n, grid->requests, MPI_STATUSES_IGNORE);
  return more;
}

static void exchange_messages(const gmf_grid *grid, int64_t row_bytes, const char *send, const int64_t *send_counts,
                              char *recv, const int64_t *recv_counts)
{
  for (int64_t round = 0; exchange_pieces(grid, row_bytes, send, send_counts, recv, recv_counts, round); round++)
    gmf_beat();
}

void gmf_exchange(const gmf_grid *grid, int64_t row_bytes, const void *send, const int64_t *send_counts, void *recv,
                  const int64_t *recv_counts)
{
  int64_t from = 0, to = 0, sent = 0;
  for (int r = 0; r < grid->size; r++) {
    from += r < grid->rank ? send_counts[r] * row_bytes : 0;
    to += r < grid->rank ? recv_counts[r] * row_bytes : 0;
    sent += r != grid->rank ? send_counts[r] * row_bytes : 0;
  }
  size_t own = (size_t)(send_counts[grid->rank] * row_bytes);
  if (own > 0) memcpy((char *)recv + to, (const char *)send + from, own);
  GMF_COLLECTIVE(grid->all, exchange_messages(grid, row_bytes, send, send_counts, recv, recv_counts));
  gmf_trace_exchange(grid->trace, sent);
}

gmf_status gmf_exchange_new(const gmf_grid *grid, int64_t row_bytes, const void *send, const int64_t *send_counts,
                            void **recv, int64_t *recv_counts, int64_t *n_recv, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *counts = NULL;

  *recv = NULL;
  *n_recv = 0;
  GMF_TRY(gmf_agree(grid, GMF_NEW(counts, grid->size, err), err));
  gmf_exchange_counts(grid, send_counts, counts);
  for (int r = 0; r < grid->size; r++) *n_recv += counts[r];
  *recv = gmf_malloc(*n_recv, (size_t)row_bytes);
  status = *recv != NULL ? GMF_OK : gmf_out_of_memory(err, *n_recv, (size_t)row_bytes, "received rows");
  GMF_TRY(gmf_agree(grid, status, err));
  gmf_exchange(grid, row_bytes, send, send_counts, *recv, counts);
  if (recv_counts != NULL) memcpy(recv_counts, counts, (size_t)grid->size * sizeof *counts);

cleanup:
  gmf_free(counts);
  if (status != GMF_OK) GMF_FREE(*recv);
  return status;
}
