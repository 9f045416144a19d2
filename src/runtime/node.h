/*
 * The ranks that share a node's memory, and memory that they share. It is POSIX shared memory whose name is gone as
 * soon as all have it: a run that is killed leaves nothing behind, and a file system of shared memory that is too small
 * says so at once, where MPI's windows would leave a file and end in SIGBUS.
 */
#ifndef GMF_RUNTIME_NODE_H
#define GMF_RUNTIME_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/grid.h"

typedef struct gmf_node {
  gmf_grid *grid; /* owned: the ranks of my node in their order, in one column */
  int *member_of; /* owned [ranks]: a rank's number in `grid`, -1 where it is on another node */
} gmf_node;

/* Collective. */
gmf_status gmf_node_create(const gmf_grid *grid, gmf_node **out, gmf_error *err);
void gmf_node_destroy(gmf_node **node);

/* Collective over the ranks of a node. `bytes` of zeros that all of them see, the same on all; NULL on all where there
 * can be none. */
void *gmf_node_map(MPI_Comm node, size_t bytes);
/* Local. NULL is allowed. */
void gmf_node_unmap(void *memory, size_t bytes);

/* Local. Whether ranks of a node pass messages through memory that both see, in pieces that are copied twice, because
 * this process may not read another's memory or Open MPI was told so; else the receiver copies what is long once. */
bool gmf_node_copies_twice(void);

/* Collective over the node. What its ranks have written to shared memory before, all of them see after. */
void gmf_node_barrier(const gmf_node *node);

#endif
