#include "runtime/exchange.h"

#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

#ifndef GMF_MAX_MESSAGE_BYTES
#define GMF_MAX_MESSAGE_BYTES (1 << 30) /* a build may lower it so that tests cross it cheaply */
#endif

enum { EXCHANGE_TAG = 17 };

void gmf_exchange_counts(const gmf_grid *grid, const int64_t *send_counts, int64_t *recv_counts)
{
  MPI_Alltoall(send_counts, 1, MPI_INT64_T, recv_counts, 1, MPI_INT64_T, grid->all);
  gmf_trace_collective(grid->trace, (int64_t)grid->size * 8);
}

static int64_t n_pieces(int64_t bytes) { return (bytes + GMF_MAX_MESSAGE_BYTES - 1) / GMF_MAX_MESSAGE_BYTES; }

static int64_t all_pieces(const gmf_grid *grid, const int64_t *counts, int64_t row_bytes)
{
  int64_t n = 0;
  for (int r = 0; r < grid->size; r++)
    if (r != grid->rank) n += n_pieces(counts[r] * row_bytes);
  return n;
}

/* Posts the pieces of one buffer; exactly one of recv and send is not NULL. Returns the requests made. */
static int post(const gmf_grid *grid, char *recv, const char *send, int64_t bytes, int peer, MPI_Request *requests)
{
  int n = 0;
  for (int64_t done = 0; done < bytes; n++) {
    int64_t piece = gmf_min64(bytes - done, GMF_MAX_MESSAGE_BYTES);
    if (recv != NULL)
      MPI_Irecv(recv + done, gmf_int(piece), MPI_BYTE, peer, EXCHANGE_TAG, grid->all, &requests[n]);
    else
      MPI_Isend(send + done, gmf_int(piece), MPI_BYTE, peer, EXCHANGE_TAG, grid->all, &requests[n]);
    done += piece;
  }
  return n;
}

void gmf_exchange(const gmf_grid *grid, int64_t row_bytes, const void *send, const int64_t *send_counts, void *recv,
                  const int64_t *recv_counts)
{
  int64_t n_requests = all_pieces(grid, send_counts, row_bytes) + all_pieces(grid, recv_counts, row_bytes);
  MPI_Request *requests = gmf_malloc(n_requests, sizeof *requests);
  GMF_CHECK(requests != NULL); /* some kilobytes: nothing could go on without them */
  int n = 0;
  char *to = recv;
  char *own_to = NULL;
  for (int r = 0; r < grid->size; r++) {
    int64_t bytes = recv_counts[r] * row_bytes;
    if (r == grid->rank)
      own_to = to;
    else
      n += post(grid, to, NULL, bytes, r, requests + n);
    to += bytes;
  }
  const char *from = send;
  int64_t sent = 0;
  for (int r = 0; r < grid->size; r++) {
    int64_t bytes = send_counts[r] * row_bytes;
    if (r == grid->rank) {
      if (bytes > 0) memcpy(own_to, from, (size_t)bytes);
    } else {
      n += post(grid, NULL, from, bytes, r, requests + n);
      sent += bytes;
    }
    from += bytes;
  }
  MPI_Waitall(n, requests, MPI_STATUSES_IGNORE);
  gmf_free(requests);
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
