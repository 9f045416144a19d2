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
 * Begins one piece of each message, in both directions. Both ends of a message count its pieces alike, so that no rank
 * waits for a piece that the other end has sent or received in another round.
 */
static void start_pieces(gmf_exchange_job *job)
{
  const gmf_grid *grid = job->grid;
  const char *send = job->send;
  char *recv = job->recv;
  int n = 0;
  job->more = false;
  for (int r = 0; r < grid->size; r++) {
    int64_t in = job->recv_counts[r] * job->row_bytes, out = job->send_counts[r] * job->row_bytes;
    int64_t at = job->round * gmf_limit_call_bytes;
    if (r != grid->rank) {
      int n_in = piece_bytes(in, job->round), n_out = piece_bytes(out, job->round);
      if (n_in > 0) MPI_Irecv(recv + at, n_in, MPI_BYTE, r, job->tag, grid->all, &job->requests[n++]);
      if (n_out > 0) MPI_Isend(send + at, n_out, MPI_BYTE, r, job->tag, grid->all, &job->requests[n++]);
      job->more = job->more || piece_bytes(in, job->round + 1) > 0 || piece_bytes(out, job->round + 1) > 0;
    }
    recv += in;
    send += out;
  }
  job->n_requests = n;
  job->round++;
}

void gmf_exchange_start(gmf_exchange_job *job)
{
  const gmf_grid *grid = job->grid;
  int64_t from = 0, to = 0, sent = 0;
  for (int r = 0; r < grid->size; r++) {
    from += r < grid->rank ? job->send_counts[r] * job->row_bytes : 0;
    to += r < grid->rank ? job->recv_counts[r] * job->row_bytes : 0;
    sent += r != grid->rank ? job->send_counts[r] * job->row_bytes : 0;
  }
  size_t own = (size_t)(job->send_counts[grid->rank] * job->row_bytes);
  if (own > 0) memcpy(job->recv + to, job->send + from, own);
  gmf_trace_exchange(grid->trace, sent);
  job->round = 0;
  start_pieces(job);
}

void gmf_exchange_poll(gmf_exchange_job *job)
{
  int done = 0;
  if (job->n_requests == 0) return;
  MPI_Testall(job->n_requests, job->requests, &done, MPI_STATUSES_IGNORE);
  if (!done) return;
  job->n_requests = 0;
  if (job->more) start_pieces(job);
}

/* Whether there was anything to wait for. */
static bool wait_for_pieces(gmf_exchange_job *job)
{
  MPI_Waitall(job->n_requests, job->requests, MPI_STATUSES_IGNORE);
  job->n_requests = 0;
  if (!job->more) return false;
  gmf_beat();
  start_pieces(job);
  return true;
}

static void wait_for_all(gmf_exchange_job *job)
{
  while (wait_for_pieces(job)) continue;
}

void gmf_exchange_finish(gmf_exchange_job *job) { GMF_COLLECTIVE(job->grid->all, wait_for_all(job)); }

void gmf_exchange(const gmf_grid *grid, int64_t row_bytes, const void *send, const int64_t *send_counts, void *recv,
                  const int64_t *recv_counts)
{
  gmf_exchange_job job = {.grid = grid,
                          .requests = grid->requests,
                          .tag = EXCHANGE_TAG,
                          .row_bytes = row_bytes,
                          .send = send,
                          .send_counts = send_counts,
                          .recv = recv,
                          .recv_counts = recv_counts};
  gmf_exchange_start(&job);
  gmf_exchange_finish(&job);
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
