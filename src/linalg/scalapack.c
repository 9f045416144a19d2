/*
 * G = A'A for sparse A, without summing dense matrices over ranks: process (x, y) of the BLACS grid gets all ratings of
 * the items of its rows and of the items of its columns, and makes its own elements of G,
 *
 *     G_ij = sum_u a_ui a_uj        column j by column j: for each rating (u, j), the ratings (u, i) of the same user
 *
 * so nnz (P_r + P_c) / P ratings come to a rank, and no word of G travels. Then pdsyevd: divide and conquer, Tisseur,
 * Dongarra, "A parallel divide and conquer algorithm for the symmetric eigenvalue problem on distributed memory
 * architectures", SIAM J. Sci. Comput. 20 (1999).
 */
#include "linalg/scalapack.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"

/* Doubles behind each matrix: dsymv of OpenBLAS 0.3.21 was once seen reading behind one, under the address sanitizer.
 */
enum { SLACK = 4096 };

/* BLACS and ScaLAPACK have no headers. */
int Csys2blacs_handle(MPI_Comm comm);
void Cfree_blacs_system_handle(int handle);
void Cblacs_gridinit(int *context, const char *order, int rows, int columns);
void Cblacs_gridexit(int context);
int numroc_(const int *n, const int *nb, const int *process, const int *source, const int *n_processes);
void descinit_(int *desc, const int *m, const int *n, const int *mb, const int *nb, const int *row_source,
               const int *column_source, const int *context, const int *ld, int *info);
void pdsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *ia, const int *ja,
              const int *desca, double *w, double *z, const int *iz, const int *jz, const int *descz, double *work,
              const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length, size_t uplo_length);

/* One direction of the layout: blocks of nb go round n_processes; `mine` are the ones of process `me`. */
typedef struct cycle {
  int nb, n_processes, me, n_mine;
} cycle;

static int owner_of(cycle c, int global) { return global / c.nb % c.n_processes; }
static int local_of(cycle c, int global) { return global / c.nb / c.n_processes * c.nb + global % c.nb; }
static int global_of(cycle c, int local) { return (local / c.nb * c.n_processes + c.me) * c.nb + local % c.nb; }

typedef struct layout {
  int handle, context; /* BLACS */
  bool open;
  cycle rows, columns;
  int desc[9];
} layout;

/* Process grid as square as may be; rank r is process (r / columns, r % columns). */
static void shape_of(int n_ranks, int *rows, int *columns)
{
  *rows = (int)sqrt((double)n_ranks);
  while (n_ranks % *rows != 0) --*rows;
  *columns = n_ranks / *rows;
}

/* Collective. Blocks are smaller than 64 where processes would otherwise stay without any. */
static void open_layout(const gmf_grid *grid, int n, layout *l)
{
  const int zero = 0;
  int rows = 0, columns = 0, info = 0;
  shape_of(grid->size, &rows, &columns);
  int nb = gmf_int(gmf_max64(1, gmf_min64(64, n / columns)));
  l->handle = l->context = Csys2blacs_handle(grid->all);
  Cblacs_gridinit(&l->context, "Row", rows, columns);
  l->open = true;
  l->rows = (cycle){nb, rows, grid->rank / columns, 0};
  l->columns = (cycle){nb, columns, grid->rank % columns, 0};
  l->rows.n_mine = numroc_(&n, &nb, &l->rows.me, &zero, &rows);
  l->columns.n_mine = numroc_(&n, &nb, &l->columns.me, &zero, &columns);
  int ld = gmf_int(gmf_max64(1, l->rows.n_mine));
  descinit_(l->desc, &n, &n, &nb, &nb, &zero, &zero, &l->context, &ld, &info);
  GMF_CHECK(info == 0);
}

static void close_layout(layout *l)
{
  if (!l->open) return;
  Cblacs_gridexit(l->context);
  Cfree_blacs_system_handle(l->handle);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Collective. The matrix, its eigenvectors and the workspace of divide and conquer: four times n^2 over the ranks. */
gmf_status gmf_gram_plan(const gmf_grid *grid, int n, gmf_error *err)
{
  int n_ranks = 0, n_cores = 0;
  gmf_status status = GMF_OK;
  if (n > GMF_GRAM_MAX_ORDER)
    return gmf_fail(err, GMF_ERR_PLAN,
                    "--svd-method gram makes a dense matrix of the items' order, and takes up to %d items, not %d; use "
                    "--svd-method krylov",
                    GMF_GRAM_MAX_ORDER, n);
  gmf_node_share(grid, &n_ranks, &n_cores);
  double need = 4.0 * n * n * (double)sizeof(double) * n_ranks / grid->size;
  double have = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
  if (need > 0.9 * have)
    status = gmf_fail(err, GMF_ERR_PLAN,
                      "--svd-method gram of %d items needs %.1f GB on this node of %.1f GB; use more nodes, or "
                      "--svd-method krylov",
                      n, need / 1e9, have / 1e9);
  return gmf_agree(grid, status, err);
}

/* ---- the matrix -------------------------------------------------------------------------------------------------- */

/* Collective. Sends each rating to all processes of its item's process row (by_rows) or process column. */
static gmf_status send_entries(const gmf_grid *grid, const gmf_gram_problem *p, const layout *l, bool by_rows,
                               gmf_entry **received, int64_t *n_received, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  cycle c = by_rows ? l->rows : l->columns;
  int n_copies = by_rows ? l->columns.n_processes : l->rows.n_processes, columns = l->columns.n_processes;
  int64_t *counts = NULL, *next = NULL;
  gmf_entry *send = NULL;
  local = GMF_NEW_ZERO(counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(next, grid->size + 1, err);
  if (local == GMF_OK) local = GMF_NEW(send, p->n_entries * n_copies, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int pass = 0; pass < 2; pass++) {
    for (int64_t j = 0; j < p->n_entries; j++)
      for (int copy = 0; copy < n_copies; copy++) {
        int process = owner_of(c, p->entries[j].item);
        int rank = by_rows ? process * columns + copy : copy * columns + process;
        if (pass == 0)
          counts[rank]++;
        else
          send[next[rank]++] = p->entries[j];
      }
    for (int r = 0; pass == 0 && r < grid->size; r++) next[r + 1] = next[r] + counts[r];
  }
  GMF_TRY(gmf_exchange_new(grid, sizeof *send, send, counts, (void **)received, NULL, n_received, err));
cleanup:
  gmf_free(send);
  gmf_free(next);
  gmf_free(counts);
  return status;
}

/* Local. Orders entries by key (user, or local column): begin [n_keys + 1], sorted. */
static gmf_status sort_entries(const gmf_entry *entries, int64_t n, const cycle *by_column, int64_t n_keys,
                               int64_t **begin, gmf_entry **sorted, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(*begin, n_keys + 2, err));
  GMF_TRY(GMF_NEW(*sorted, n, err));
  int64_t *next = *begin + 1; /* one further than in the end: filling moves it there */
  for (int64_t j = 0; j < n; j++)
    next[(by_column != NULL ? local_of(*by_column, entries[j].item) : entries[j].user) + 1]++;
  for (int64_t key = 0; key < n_keys; key++) next[key + 1] += next[key];
  for (int64_t j = 0; j < n; j++)
    (*sorted)[next[by_column != NULL ? local_of(*by_column, entries[j].item) : entries[j].user]++] = entries[j];
cleanup:
  return status;
}

/* Ratings of one process: those of its rows by user, those of its columns by column. All owned. */
typedef struct pile {
  gmf_entry *of_rows, *of_columns;
  int64_t *user_begin, *column_begin;
} pile;

/* Collective. */
static gmf_status gather_pile(const gmf_grid *grid, const gmf_gram_problem *p, const layout *l, pile *out,
                              gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  gmf_entry *received = NULL;
  int64_t n = 0;
  GMF_TRY(send_entries(grid, p, l, true, &received, &n, err));
  local = sort_entries(received, n, NULL, p->n_users, &out->user_begin, &out->of_rows, err);
  GMF_FREE(received);
  GMF_TRY(gmf_agree(grid, local, err));
  GMF_TRY(send_entries(grid, p, l, false, &received, &n, err));
  local = sort_entries(received, n, &l->columns, l->columns.n_mine, &out->column_begin, &out->of_columns, err);
  GMF_TRY(gmf_agree(grid, local, err));
cleanup:
  gmf_free(received);
  return status;
}

static void free_pile(pile *p)
{
  gmf_free(p->of_rows);
  gmf_free(p->of_columns);
  gmf_free(p->user_begin);
  gmf_free(p->column_begin);
}

/* Local. What centring adds to local column j. */
static void center_column(const layout *l, const gmf_gram_centers *c, int j, double *column)
{
  int gj = global_of(l->columns, j);
  for (int i = 0; i < l->rows.n_mine; i++) {
    int gi = global_of(l->rows, i);
    column[i] += c->aa - c->p[gi] - c->p[gj] - c->q[gi] * c->c[gj] - c->c[gi] * c->q[gj] +
                 c->a1 * (c->c[gi] + c->c[gj]) + c->m * c->c[gi] * c->c[gj];
  }
}

/* Local. g: my part of the matrix by columns, zero at first. */
static void form(const layout *l, const pile *p, const gmf_gram_centers *centers, double *g)
{
#pragma omp parallel for schedule(dynamic, 8)
  for (int j = 0; j < l->columns.n_mine; j++) {
    double *column = g + (int64_t)j * l->desc[8];
    for (int64_t a = p->column_begin[j]; a < p->column_begin[j + 1]; a++) {
      double value = p->of_columns[a].value;
      int64_t user = p->of_columns[a].user;
      for (int64_t b = p->user_begin[user]; b < p->user_begin[user + 1]; b++)
        column[local_of(l->rows, p->of_rows[b].item)] += value * (double)p->of_rows[b].value;
    }
    if (centers != NULL) center_column(l, centers, j, column);
  }
}

/* ---- eigenpairs -------------------------------------------------------------------------------------------------- */

/* Collective. w ascending, z by columns; g is used up. */
static gmf_status call_scalapack(const gmf_grid *grid, const layout *l, int n, double *g, double *w, double *z,
                                 gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const int one = 1;
  double size = 0, *work = NULL;
  int int_size = 0, info = 0, n_work = -1, n_int_work = -1, *int_work = NULL;
  pdsyevd_("V", "L", &n, g, &one, &one, l->desc, w, z, &one, &one, l->desc, &size, &n_work, &int_size, &n_int_work,
           &info, 1, 1);
  /* What pdsyevd asks for lacks the part of pdormtr, which matters for few blocks; pdormtr's refusal would be passed
   * over, and the eigenvectors would be those of the tridiagonal matrix. */
  int64_t nb = l->rows.nb, rotation = nb * (l->rows.n_mine + l->columns.n_mine + 3 * nb) + 4 * (int64_t)n + 1024;
  int64_t words = gmf_max64((int64_t)size, (int64_t)l->rows.n_mine * l->columns.n_mine) + rotation;
  if (words > INT_MAX)
    local =
        gmf_fail(err, GMF_ERR_PLAN,
                 "ScaLAPACK counts with 32 bits, and a Gram matrix of order %d needs %lld words of a rank; use more "
                 "ranks, or --svd-method krylov",
                 n, (long long)words);
  GMF_TRY(gmf_agree(grid, local, err));
  n_work = gmf_int(words);
  n_int_work = gmf_int(int_size + 8 * (int64_t)n + 1024);
  local = GMF_NEW_ZERO(work, n_work + SLACK, err);
  if (local == GMF_OK) local = GMF_NEW(int_work, n_int_work, err);
  GMF_TRY(gmf_agree(grid, local, err));
  pdsyevd_("V", "L", &n, g, &one, &one, l->desc, w, z, &one, &one, l->desc, work, &n_work, int_work, &n_int_work, &info,
           1, 1);
  if (info != 0)
    local = gmf_fail(err, GMF_ERR_NUMERIC,
                     "ScaLAPACK's pdsyevd failed on a Gram matrix of order %d (info %d); use "
                     "--svd-method krylov",
                     n, info);
  GMF_TRY(gmf_agree(grid, local, err));
cleanup:
  gmf_free(work);
  gmf_free(int_work);
  return status;
}

/* An element of an eigenvector on its way to the owner of its row. */
typedef struct element {
  int32_t row, column;
  double value;
} element;

/* Collective. The last columns of z, from the last on, to the rows' owners. */
static gmf_status send_vectors(const gmf_grid *grid, const layout *l, int n, const double *z, gmf_tall *vectors,
                               gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t *counts = NULL, *next = NULL, n_send = 0, n_received = 0;
  element *send = NULL, *received = NULL;
  for (int j = 0; j < l->columns.n_mine; j++)
    if (n - 1 - global_of(l->columns, j) < vectors->ld) n_send += l->rows.n_mine;
  local = GMF_NEW_ZERO(counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(next, grid->size + 1, err);
  if (local == GMF_OK) local = GMF_NEW(send, n_send, err);
  GMF_TRY(gmf_agree(grid, local, err));
  for (int pass = 0; pass < 2; pass++) {
    for (int j = 0; j < l->columns.n_mine; j++) {
      int column = n - 1 - global_of(l->columns, j);
      for (int i = 0; column < vectors->ld && i < l->rows.n_mine; i++) {
        int row = global_of(l->rows, i), rank = gmf_axis_owner(vectors->axis, row);
        if (pass == 0)
          counts[rank]++;
        else
          send[next[rank]++] = (element){row, column, z[i + (int64_t)j * l->desc[8]]};
      }
    }
    for (int r = 0; pass == 0 && r < grid->size; r++) next[r + 1] = next[r] + counts[r];
  }
  GMF_TRY(gmf_exchange_new(grid, sizeof *send, send, counts, (void **)&received, NULL, &n_received, err));
  for (int64_t j = 0; j < n_received; j++)
    vectors->rows[(received[j].row - vectors->begin) * vectors->ld + received[j].column] = received[j].value;
cleanup:
  gmf_free(received);
  gmf_free(send);
  gmf_free(next);
  gmf_free(counts);
  return status;
}

gmf_status gmf_gram_eigen(const gmf_grid *grid, const gmf_gram_problem *problem, gmf_tall *vectors, double *values,
                          gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  layout l = {0};
  pile entries = {0};
  double *g = NULL, *z = NULL;
  int n = problem->n;

  open_layout(grid, n, &l);
  int64_t n_local = (int64_t)l.desc[8] * gmf_max64(1, l.columns.n_mine);
  local = GMF_NEW_ZERO(g, n_local + SLACK, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(z, n_local + SLACK, err);
  GMF_TRY(gmf_agree(grid, local, err));
  GMF_TRY(gather_pile(grid, problem, &l, &entries, err));
  form(&l, &entries, problem->centers, g);
  free_pile(&entries);
  entries = (pile){0};
  GMF_TRY(call_scalapack(grid, &l, n, g, values, z, err));
  gmf_broadcast(grid, values, n * (int64_t)sizeof *values);
  for (int j = 0; j < n / 2; j++) {
    double swapped = values[j];
    values[j] = values[n - 1 - j];
    values[n - 1 - j] = swapped;
  }
  GMF_TRY(send_vectors(grid, &l, n, z, vectors, err));
cleanup:
  free_pile(&entries);
  close_layout(&l);
  gmf_free(g);
  gmf_free(z);
  return status;
}
