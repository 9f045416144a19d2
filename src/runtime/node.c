#define GMF_IN_RUNTIME
#include "runtime/node.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/memory.h"
#include "runtime/heartbeat.h"

void *gmf_node_map(MPI_Comm node, size_t bytes)
{
  int rank = 0, fd = -1;
  char name[64] = "";
  MPI_Comm_rank(node, &rank);
  if (rank == 0) {
    snprintf(name, sizeof name, "/gridmf-%ld-%.0f", (long)getpid(), 1e9 * MPI_Wtime());
    fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0 && posix_fallocate(fd, 0, (off_t)bytes) != 0) { /* else a full /dev/shm would show as SIGBUS */
      close(fd);
      fd = -1;
    }
  }
  GMF_COLLECTIVE(node, MPI_Bcast(name, (int)sizeof name, MPI_CHAR, 0, node));
  if (rank != 0) fd = shm_open(name, O_RDWR, 0);
  void *at = fd >= 0 ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (fd >= 0) close(fd);
  int is_good = at != MAP_FAILED;
  GMF_COLLECTIVE(node, MPI_Allreduce(MPI_IN_PLACE, &is_good, 1, MPI_INT, MPI_MIN, node));
  if (rank == 0) shm_unlink(name);
  if (!is_good && at != MAP_FAILED) munmap(at, bytes);
  return is_good ? at : NULL;
}

void gmf_node_unmap(void *memory, size_t bytes)
{
  if (memory != NULL) munmap(memory, bytes);
}

bool gmf_node_copies_twice(void)
{
  const char *told = getenv("OMPI_MCA_btl_vader_single_copy_mechanism");
  char from = 1, to = 0, scope = '0';
  struct iovec local = {&to, 1}, remote = {&from, 1};
  if (told != NULL && strcmp(told, "none") == 0) return true;
  FILE *yama = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
  if (yama != NULL && fread(&scope, 1, 1, yama) != 1) scope = '0';
  if (yama != NULL) fclose(yama);
  return scope != '0' || process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1;
}

gmf_status gmf_node_create(const gmf_grid *grid, gmf_node **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_node *node = NULL;
  int *ranks = NULL;
  MPI_Comm comm = MPI_COMM_NULL;

  *out = NULL;
  status = GMF_NEW_ZERO(node, 1, err);
  if (status == GMF_OK) status = GMF_NEW(node->member_of, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW(ranks, grid->size, err);
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_COLLECTIVE(grid->all, MPI_Comm_split_type(grid->all, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &comm));
  int first = grid->rank; /* of the node */
  GMF_COLLECTIVE(comm, MPI_Bcast(&first, 1, MPI_INT, 0, comm));
  MPI_Comm_free(&comm);
  GMF_TRY(gmf_agree(grid, gmf_grid_split(grid, first, &node->grid, err), err));
  GMF_COLLECTIVE(node->grid->all, MPI_Allgather(&grid->rank, 1, MPI_INT, ranks, 1, MPI_INT, node->grid->all));
  for (int r = 0; r < grid->size; r++) node->member_of[r] = -1;
  for (int m = 0; m < node->grid->size; m++) node->member_of[ranks[m]] = m;
  *out = node;
  node = NULL;

cleanup:
  gmf_free(ranks);
  gmf_node_destroy(&node);
  return status;
}

void gmf_node_destroy(gmf_node **node)
{
  if (*node == NULL) return;
  gmf_grid_destroy(&(*node)->grid);
  gmf_free((*node)->member_of);
  gmf_free(*node);
  *node = NULL;
}

void gmf_node_barrier(const gmf_node *node)
{
  atomic_thread_fence(memory_order_seq_cst);
  GMF_COLLECTIVE(node->grid->all, MPI_Barrier(node->grid->all));
  atomic_thread_fence(memory_order_seq_cst);
}
