/*
 * The rows of a half-sweep whose ratings are cut among the C ranks of a grid row, by one of two ways:
 *
 *   matrices   each rank forms its part of a row's normal equations, n (n + 3) / 2 numbers in f8 for n coordinates; the
 *              parts are summed at the row's owner, in batches of bounded size, and solved there. Exact.
 *   cg         conjugate gradients, of which only vectors of n numbers travel (als_fold_cg.c); a row that fails is left
 *              to its matrix, as with cg at one rank.
 *
 * --solver cholesky takes matrices, and so does --nonnegative; cg takes cg. auto, which is exact, runs cg on heavy rows
 * until they have converged, for they do so in few steps: up to as many as move no more bytes than the matrix would.
 * That is, in units of n bytes: 8 for x and 16 for residual and diagonal, 16 to see by a residual that a row is done,
 * and 8 a step, against 4 (n + 3). What has not converged then is left to its matrix. A whole side on a grid of several
 * columns has light rows too, which converge slowly: there auto takes matrices.
 */
#include <omp.h>
#include <string.h>

#include "algo/als_internal.h"
#include "base/memory.h"
#include "base/narrow.h"

struct gmf_als_fold {
  const gmf_block *block;   /* borrowed */
  gmf_als_fold_cg *cg;      /* owned; NULL where all rows are solved by their matrices */
  gmf_fold *gram;           /* owned: of packed normal equations */
  gmf_als_fold_order order; /* owned: of gram */
  uint8_t *by_gram;         /* owned [rows of the block]: 1 for rows that cg leaves to them; with cg */
};

gmf_als_way gmf_als_fold_way(const gmf_row_options *row, bool heavy)
{
  int fewest = gmf_loss_shared(row->loss) > 0 ? 40 : 12; /* that rows of thousands of ratings need, as measured */
  int n = gmf_row_order(row->k, row->bias), even = (n + 3) / 2 - 8;
  if (row->nonnegative) return (gmf_als_way){0};
  if (row->solver == GMF_SOLVER_CG) return (gmf_als_way){.cg_steps = row->cg_steps};
  if (row->solver == GMF_SOLVER_AUTO && heavy && even >= fewest)
    return (gmf_als_way){.cg_steps = even, .exact = true, .usual_steps = fewest};
  return (gmf_als_way){0};
}

gmf_status gmf_als_fold_create(const gmf_als *als, const gmf_block *block, gmf_als_fold **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_als_fold *fold = NULL;
  gmf_als_way way = gmf_als_fold_way(&als->options.row, block->own_rows != NULL);

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(fold, 1, err));
  fold->block = block;
  GMF_TRY(gmf_fold_create(block->grid, block, gmf_als_gram_words(als->n), gmf_als_gram_batch(way), &fold->gram, err));
  GMF_TRY(gmf_als_fold_order_create(block, fold->gram, als->n_threads, &fold->order, err));
  if (way.cg_steps > 0) {
    GMF_TRY(GMF_NEW_ZERO(fold->by_gram, block->n_rows, err));
    GMF_TRY(gmf_als_fold_cg_create(als, block, way, &fold->cg, err));
  }
  *out = fold;
  fold = NULL;
cleanup:
  gmf_als_fold_destroy(&fold);
  return status;
}

void gmf_als_fold_destroy(gmf_als_fold **fold)
{
  if (*fold == NULL) return;
  gmf_als_fold_cg_destroy(&(*fold)->cg);
  gmf_als_fold_order_destroy(&(*fold)->order);
  gmf_fold_destroy(&(*fold)->gram);
  gmf_free((*fold)->by_gram);
  gmf_free(*fold);
  *fold = NULL;
}

float *gmf_als_fold_copies(const gmf_als_fold *fold, int64_t *n)
{
  float *copies = fold != NULL && fold->cg != NULL ? gmf_als_fold_cg_copies(fold->cg) : NULL;
  *n = copies != NULL ? fold->block->n_rows : 0;
  return copies;
}

void gmf_als_fold_forget(gmf_als_fold *fold)
{
  if (fold != NULL && fold->cg != NULL) gmf_als_fold_cg_forget(fold->cg);
}

void gmf_als_fold_refresh(const gmf_als *als, gmf_als_fold *fold)
{
  if (fold != NULL && fold->cg != NULL) gmf_als_fold_cg_refresh(als, fold->cg);
}

/* The upper triangle and right-hand side of a solver's f8 system, packed, and back. */
static void pack(const gmf_row_solver *s, double *packed)
{
  for (int i = 0; i < s->n; i++) {
    size_t n = (size_t)(s->n - i);
    memcpy(packed, s->a8 + i * s->ld + i, n * sizeof *packed);
    packed += n;
  }
  memcpy(packed, s->b8, (size_t)s->n * sizeof *packed);
}

static void unpack(gmf_row_solver *s, const double *packed)
{
  for (int i = 0; i < s->n; i++) {
    size_t n = (size_t)(s->n - i);
    memcpy(s->a8 + i * s->ld + i, packed, n * sizeof *packed);
    packed += n;
  }
  memcpy(s->b8, packed, (size_t)s->n * sizeof *packed);
}

static bool is_by_gram(const gmf_als_fold *fold, int64_t r) { return fold->cg == NULL || fold->by_gram[r] != 0; }

/* A batch that is being formed. */
typedef struct forming {
  gmf_als_fold *fold;
  int64_t batch;
} forming;

/* My part of a row's system into the fold's buffer. */
static void form_row(gmf_als *als, void *context, int64_t place, gmf_row_solver *s)
{
  const forming *at = context;
  gmf_als_fold *fold = at->fold;
  int64_t j = fold->order.rows[fold->order.first[at->batch] + place];
  int64_t r = gmf_als_fold_row(fold->gram, at->batch, j);
  if (!is_by_gram(fold, r)) return; /* whatever stands there is summed, and not used */
  gmf_row row = {.y = als->panel, .stride = als->ld, .ratings = gmf_block_row(fold->block, r)};
  gmf_row_form(s, &row);
  pack(s, fold->gram->partial + j * fold->gram->row_words);
}

/* Local. My part of the systems of a batch, for all owners of the grid row, into the fold's buffer. */
static void form_batch(gmf_als *als, gmf_als_fold *fold, int64_t batch)
{
  gmf_als_rows_each(als, fold->block->side, &fold->order.schedules[batch], form_row, NULL, &(forming){fold, batch});
}

/* Local. Solves my rows of a batch from the folded sums. */
static void solve_batch(gmf_als *als, const gmf_als_fold *fold, int64_t batch, int64_t *first_singular)
{
  const gmf_block *b = fold->block;
  const gmf_fold *f = fold->gram;
  gmf_side side = b->side;
  gmf_factor *x = als->factors[side];
  int64_t first = *first_singular, begin = 0, end = 0, own = f->first[b->grid->col_index];
  gmf_fold_range(f, batch, b->grid->col_index, &begin, &end);
#pragma omp parallel for schedule(dynamic, 1) reduction(min : first) num_threads(als->n_threads)
  for (int64_t r = begin; r < end; r++) {
    gmf_row_solver *s = &als->solvers[omp_get_thread_num()];
    int64_t mine = gmf_block_own(b, r - own);
    float *to = x->rows + mine * als->ld;
    if (!is_by_gram(fold, r)) continue;
    als->row_objective[mine] = 0;
    if (fold->cg != NULL) s->n_retried++;
    if (b->counts[r] == 0) {
      gmf_als_clear_row(als, side, to);
      continue;
    }
    gmf_row row = gmf_als_row_system(als, side, mine, b->counts[r]);
    memset(s->a8, 0, (size_t)als->ld * (size_t)als->ld * sizeof *s->a8);
    memset(s->b8, 0, (size_t)als->ld * sizeof *s->b8);
    unpack(s, f->sums + (r - begin) * f->row_words);
    if (!gmf_row_solve_sums(s, &row, to, &als->row_objective[mine]))
      first = gmf_min64(first, gmf_als_own_row(als, side, mine));
  }
  *first_singular = first;
}

/* The same on all ranks of the grid row. */
static bool has_by_gram(const gmf_als_fold *fold, int64_t batch)
{
  for (int o = 0; o < fold->gram->n_owners; o++) {
    int64_t begin = 0, end = 0;
    gmf_fold_range(fold->gram, batch, o, &begin, &end);
    for (int64_t r = begin; r < end; r++)
      if (is_by_gram(fold, r)) return true;
  }
  return false;
}

void gmf_als_fold_solve(gmf_als *als, gmf_als_fold *fold, int64_t *first_singular)
{
  if (fold->cg != NULL && !gmf_als_fold_cg_solve(als, fold->cg, fold->by_gram)) return;
  for (int64_t batch = 0; batch < fold->gram->n_batches; batch++) {
    if (!has_by_gram(fold, batch)) continue;
    if (als->options.progress != NULL && fold->cg == NULL)
      als->options.progress(als->options.context, fold->block->side, (double)batch / (double)fold->gram->n_batches);
    form_batch(als, fold, batch);
    gmf_trace_phase(als->grid->trace, GMF_PHASE_FOLD);
    gmf_fold_run(fold->block->grid, fold->gram, batch);
    gmf_trace_phase(als->grid->trace, GMF_PHASE_SOLVE);
    solve_batch(als, fold, batch, first_singular);
  }
}
