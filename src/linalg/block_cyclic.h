/*
 * A square matrix in ScaLAPACK's block-cyclic layout: blocks of nb x nb go round the processes of a grid that is as
 * square as may be; rank r is process (r / columns, r % columns).
 */
#ifndef GMF_LINALG_BLOCK_CYCLIC_H
#define GMF_LINALG_BLOCK_CYCLIC_H

#include "runtime/grid.h"

/* Elements behind each local matrix: dsymv of OpenBLAS 0.3.21 was once seen reading behind one, under the address
 * sanitizer. */
enum { GMF_BLOCK_CYCLIC_SLACK = 4096 };

/* One direction of the layout: blocks of nb go round n_processes; `mine` are the ones of process `me`. */
typedef struct gmf_cycle {
  int nb, n_processes, me, n_mine;
} gmf_cycle;

static inline int gmf_cycle_owner(gmf_cycle c, int global) { return global / c.nb % c.n_processes; }
static inline int gmf_cycle_local(gmf_cycle c, int global)
{
  return global / c.nb / c.n_processes * c.nb + global % c.nb;
}
static inline int gmf_cycle_global(gmf_cycle c, int local)
{
  return (local / c.nb * c.n_processes + c.me) * c.nb + local % c.nb;
}
/* How many of the indices below `global` process c.me has: the local index of the first one that is not. */
static inline int gmf_cycle_before(gmf_cycle c, int global)
{
  int block = global / c.nb, turns = block / c.n_processes, place = block % c.n_processes;
  return turns * c.nb + (place > c.me ? c.nb : place == c.me ? global % c.nb : 0);
}

/* The same direction as process `me` sees it; n_mine is not set. */
static inline gmf_cycle gmf_cycle_of(gmf_cycle c, int me)
{
  c.me = me;
  return c;
}

typedef struct gmf_block_cyclic {
  int n;               /* order of the matrix */
  int handle, context; /* BLACS */
  bool open;
  gmf_cycle rows, columns;
  int desc[9]; /* desc[8]: the leading dimension of the local part, which stands by columns */
} gmf_block_cyclic;

/* Collective. Blocks are smaller than 64 where processes would otherwise stay without any. */
void gmf_block_cyclic_open(const gmf_grid *grid, int n, gmf_block_cyclic *l);
/* Collective. Fit for {0}. */
void gmf_block_cyclic_close(gmf_block_cyclic *l);

/* Elements to allocate for my part, with the slack behind it. */
int64_t gmf_block_cyclic_words(const gmf_block_cyclic *l);

#endif
