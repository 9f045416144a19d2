#define GMF_IN_RUNTIME
#include "runtime/groups.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/narrow.h"

static const int64_t CLOSED = INT64_C(1) << 62; /* numbers from here on are nobody's */

/* A text on its way. */
typedef struct letter {
  struct letter *next; /* owned */
  MPI_Request request;
  char text[];
} letter;

struct gmf_groups {
  const gmf_grid *world; /* borrowed */
  int n, index;
  MPI_Comm mine;                        /* owned: the ranks of my group */
  MPI_Comm post;                        /* owned: all ranks, for texts alone */
  gmf_grid *peers;                      /* owned */
  MPI_Win window;                       /* owned: the next number, on rank 0 of the world */
  letter *sent;                         /* owned: not known to have arrived */
  char received[GMF_GROUPS_TEXT_BYTES]; /* one text; here, so that taking it needs no memory */
};

/* Collective over comm. In messages a rank goes on to be what it is in the world. */
static gmf_status make_grid(const gmf_groups *g, MPI_Comm comm, int n_rows, int n_cols, gmf_grid **out, gmf_error *err)
{
  gmf_status status = gmf_grid_create(comm, n_rows, n_cols, g->world->trace, out, err);
  atomic_store(&gmf_heart->rank, g->world->rank);
  return status;
}

gmf_status gmf_groups_create(const gmf_grid *world, int n, gmf_groups **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_groups *g = NULL;
  MPI_Comm peers = MPI_COMM_NULL;
  int64_t *number = NULL;

  *out = NULL;
  GMF_CHECK(n >= 1 && world->size % n == 0);
  status = GMF_NEW_ZERO(g, 1, err);
  if (g != NULL) { /* whole enough to be destroyed, should another rank have failed */
    g->world = world;
    g->n = n;
    g->mine = g->post = MPI_COMM_NULL;
    g->window = MPI_WIN_NULL;
  }
  GMF_TRY(gmf_agree(world, status, err));
  int size = world->size / n;
  g->index = world->rank / size;
  GMF_COLLECTIVE(world->all, MPI_Comm_split(world->all, g->index, world->rank, &g->mine));
  GMF_COLLECTIVE(world->all, MPI_Comm_dup(world->all, &g->post));
  GMF_COLLECTIVE(world->all, MPI_Comm_split(world->all, world->rank % size, world->rank, &peers));
  GMF_TRY(gmf_agree(world, make_grid(g, peers, n, 1, &g->peers, err), err));
  GMF_COLLECTIVE(world->all, MPI_Win_allocate(world->rank == 0 ? (MPI_Aint)sizeof *number : 0, (int)sizeof *number,
                                              MPI_INFO_NULL, world->all, &number, &g->window));
  if (world->rank == 0) {
    MPI_Win_lock(MPI_LOCK_EXCLUSIVE, 0, 0, g->window);
    *number = 0;
    MPI_Win_unlock(0, g->window);
  }
  GMF_COLLECTIVE(world->all, MPI_Barrier(world->all)); /* nobody asks for a number before there is one */
  *out = g;
  g = NULL;
cleanup:
  if (peers != MPI_COMM_NULL) MPI_Comm_free(&peers);
  gmf_groups_destroy(&g);
  return status;
}

void gmf_groups_destroy(gmf_groups **groups)
{
  gmf_groups *g = *groups;
  if (g == NULL) return;
  GMF_CHECK(g->sent == NULL);
  if (g->window != MPI_WIN_NULL) MPI_Win_free(&g->window);
  gmf_grid_destroy(&g->peers);
  if (g->post != MPI_COMM_NULL) MPI_Comm_free(&g->post);
  if (g->mine != MPI_COMM_NULL) MPI_Comm_free(&g->mine);
  gmf_free(g);
  *groups = NULL;
}

gmf_status gmf_groups_grid(const gmf_groups *g, int n_rows, int n_cols, gmf_grid **out, gmf_error *err)
{
  return make_grid(g, g->mine, n_rows, n_cols, out, err);
}

const gmf_grid *gmf_groups_peers(const gmf_groups *g) { return g->peers; }
int gmf_groups_n(const gmf_groups *g) { return g->n; }
int gmf_groups_index(const gmf_groups *g) { return g->index; }

/* The number of the window, which becomes `operand` by `operation`. Rank 0 need not take part: whatever it does, it
 * comes by MPI now and then. */
static int64_t fetch(gmf_groups *g, int64_t operand, MPI_Op operation)
{
  int64_t before = 0;
  gmf_beat_wait();
  MPI_Win_lock(MPI_LOCK_SHARED, 0, 0, g->window);
  MPI_Fetch_and_op(&operand, &before, MPI_INT64_T, 0, 0, operation, g->window);
  MPI_Win_unlock(0, g->window);
  gmf_beat_resume();
  return before;
}

int64_t gmf_groups_next(gmf_groups *g)
{
  int64_t number = fetch(g, 1, MPI_SUM);
  return number < CLOSED ? number : -1;
}

void gmf_groups_close(gmf_groups *g) { fetch(g, CLOSED, MPI_REPLACE); }

/* Forgets the texts that have arrived. */
static void drop_arrived(gmf_groups *g)
{
  for (letter **at = &g->sent; *at != NULL;) {
    int arrived = 0;
    MPI_Test(&(*at)->request, &arrived, MPI_STATUS_IGNORE);
    letter *l = *at;
    if (!arrived) {
      at = &l->next;
      continue;
    }
    *at = l->next;
    gmf_free(l);
  }
}

gmf_status gmf_groups_post(gmf_groups *g, const char *text, gmf_error *err)
{
  int64_t n = (int64_t)strlen(text) + 1;
  drop_arrived(g);
  if (n > GMF_GROUPS_TEXT_BYTES) return gmf_fail(err, GMF_ERR_INTERNAL, "a result of %" PRId64 " bytes is too long", n);
  letter *l = gmf_malloc((int64_t)sizeof *l + n, 1);
  if (l == NULL) return gmf_out_of_memory(err, n, 1, "a result");
  memcpy(l->text, text, (size_t)n);
  l->next = g->sent;
  g->sent = l;
  /* Synchronous: a send that is complete has been received, so that a barrier of all senders is the end of it. */
  MPI_Issend(l->text, gmf_int(n), MPI_CHAR, 0, 0, g->post, &l->request);
  return GMF_OK;
}

void gmf_groups_collect(gmf_groups *g, gmf_groups_take *take, void *context)
{
  for (int there = g->world->rank == 0; there;) {
    MPI_Status about;
    MPI_Iprobe(MPI_ANY_SOURCE, 0, g->post, &there, &about);
    if (!there) break;
    MPI_Recv(g->received, GMF_GROUPS_TEXT_BYTES, MPI_CHAR, about.MPI_SOURCE, 0, g->post, MPI_STATUS_IGNORE);
    take(context, g->received);
  }
}

void gmf_groups_finish(gmf_groups *g, gmf_groups_take *take, void *context)
{
  const struct timespec moment = {0, 5 * 1000 * 1000};
  MPI_Request all_here = MPI_REQUEST_NULL;
  int done = 0;
  bool is_here = false;
  gmf_beat_wait();
  atomic_store(&gmf_heart->is_idle, 1);
  while (!done) {
    gmf_groups_collect(g, take, context);
    drop_arrived(g);
    if (!is_here && g->sent == NULL) {
      MPI_Ibarrier(g->world->all, &all_here); /* not compared with others' calls, which would wait for them */
      is_here = true;
    }
    if (is_here) MPI_Test(&all_here, &done, MPI_STATUS_IGNORE);
    /* On a node where a rank still works, its beats count and their end is a stall. Where none does, the others' nodes
     * listen for them. */
    if (gmf_beat_node_is_idle()) gmf_beat();
    if (!done) nanosleep(&moment, NULL);
  }
  atomic_store(&gmf_heart->is_idle, 0);
  gmf_beat_resume();
}
