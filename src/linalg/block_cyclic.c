#include "linalg/block_cyclic.h"

#include <math.h>

#include "base/narrow.h"

/* BLACS has no header. */
int Csys2blacs_handle(MPI_Comm comm);
void Cfree_blacs_system_handle(int handle);
void Cblacs_gridinit(int *context, const char *order, int rows, int columns);
void Cblacs_gridexit(int context);
int numroc_(const int *n, const int *nb, const int *process, const int *source, const int *n_processes);
void descinit_(int *desc, const int *m, const int *n, const int *mb, const int *nb, const int *row_source,
               const int *column_source, const int *context, const int *ld, int *info);

static void shape_of(int n_ranks, int *rows, int *columns)
{
  *rows = (int)sqrt((double)n_ranks);
  while (n_ranks % *rows != 0) --*rows;
  *columns = n_ranks / *rows;
}

void gmf_block_cyclic_open(const gmf_grid *grid, int n, gmf_block_cyclic *l)
{
  const int zero = 0;
  int rows = 0, columns = 0, info = 0;
  shape_of(grid->size, &rows, &columns);
  int nb = gmf_int(gmf_max64(1, gmf_min64(64, n / columns)));
  l->n = n;
  l->handle = l->context = Csys2blacs_handle(grid->all);
  Cblacs_gridinit(&l->context, "Row", rows, columns);
  l->open = true;
  l->rows = (gmf_cycle){nb, rows, grid->rank / columns, 0};
  l->columns = (gmf_cycle){nb, columns, grid->rank % columns, 0};
  l->rows.n_mine = numroc_(&n, &nb, &l->rows.me, &zero, &rows);
  l->columns.n_mine = numroc_(&n, &nb, &l->columns.me, &zero, &columns);
  int ld = gmf_int(gmf_max64(1, l->rows.n_mine));
  descinit_(l->desc, &n, &n, &nb, &nb, &zero, &zero, &l->context, &ld, &info);
  GMF_CHECK(info == 0);
}

void gmf_block_cyclic_close(gmf_block_cyclic *l)
{
  if (!l->open) return;
  Cblacs_gridexit(l->context);
  Cfree_blacs_system_handle(l->handle);
  l->open = false;
}

int64_t gmf_block_cyclic_words(const gmf_block_cyclic *l)
{
  return (int64_t)l->desc[8] * gmf_max64(1, l->columns.n_mine) + GMF_BLOCK_CYCLIC_SLACK;
}
