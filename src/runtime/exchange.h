/*
 * Everybody sends rows to everybody: the one primitive under expand, routing of ratings, id tables and the writer's
 * slices. Counts are 64-bit; a message longer than MPI's int count travels in pieces.
 */
#ifndef GMF_RUNTIME_EXCHANGE_H
#define GMF_RUNTIME_EXCHANGE_H

#include <stdbool.h>

#include "runtime/grid.h"

/* Collective. recv_counts[s] = what rank s has in send_counts[me]. Both have grid->size entries. */
void gmf_exchange_counts(const gmf_grid *grid, const int64_t *send_counts, int64_t *recv_counts);

/*
 * Collective. Rows of row_bytes bytes, grouped by destination in `send` and by source in `recv`, without gaps.
 * Allocates nothing. The buffers must not overlap. Counts are in rows; ranks with nothing to say to each other exchange
 * no message.
 */
void gmf_exchange(const gmf_grid *grid, int64_t row_bytes, const void *send, const int64_t *send_counts, void *recv,
                  const int64_t *recv_counts);

/*
 * An exchange that is under way, so that a rank can work meanwhile. Until it is finished its buffers belong to it, and
 * no other with the same tag may begin.
 */
typedef struct gmf_exchange_job {
  const gmf_grid *grid;
  MPI_Request *requests; /* borrowed [2 * grid->size] */
  int tag;
  int64_t row_bytes; /* as in gmf_exchange, like the next four */
  const char *send;
  const int64_t *send_counts;
  char *recv;
  const int64_t *recv_counts;
  /* of exchange.c */
  int n_requests;
  int64_t round;
  bool more;
} gmf_exchange_job;

/* Collective, but waits for nobody: the first pieces of all messages are on their way. */
void gmf_exchange_start(gmf_exchange_job *job);
/* Local, of the thread that MPI was begun by: lets messages move along, which MPI does only while it is called. */
void gmf_exchange_poll(gmf_exchange_job *job);
/* Collective. Everything has arrived. */
void gmf_exchange_finish(gmf_exchange_job *job);

/*
 * Collective. Both of the above: counts first, then rows into a new array *recv (owned by the caller, gmf_free) of
 * *n_recv rows; recv_counts (grid->size entries) is filled unless NULL.
 */
gmf_status gmf_exchange_new(const gmf_grid *grid, int64_t row_bytes, const void *send, const int64_t *send_counts,
                            void **recv, int64_t *recv_counts, int64_t *n_recv, gmf_error *err);

#if defined GMF_CHECK_COLLECTIVES && !defined GMF_IN_RUNTIME
#define gmf_exchange_counts(...) GMF_FROM_HERE(gmf_exchange_counts, __VA_ARGS__)
#define gmf_exchange(...) GMF_FROM_HERE(gmf_exchange, __VA_ARGS__)
#define gmf_exchange_finish(...) GMF_FROM_HERE(gmf_exchange_finish, __VA_ARGS__)
#define gmf_exchange_new(...) GMF_FROM_HERE(gmf_exchange_new, __VA_ARGS__)
#endif

#endif
