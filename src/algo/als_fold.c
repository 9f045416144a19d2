/*
 * The rows of a half-sweep whose ratings are cut among the ranks of a grid row: each rank forms its part of a row's
 * normal equations, the parts are summed at the row's owner, in batches of bounded size, and solved there.
 */
#include <omp.h>
#include <string.h>

#include "algo/als_internal.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "dist/fold.h"

struct gmf_als_fold {
  const gmf_block *block; /* borrowed */
  gmf_fold *gram;         /* owned: of the packed normal equations */
};

/* Doubles that a row folds: the upper triangle of its matrix and its right-hand side. */
static int64_t gram_words(int n) { return (int64_t)n * (n + 1) / 2 + n; }

gmf_status gmf_als_fold_create(const gmf_als *als, const gmf_block *block, gmf_als_fold **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_als_fold *fold = NULL;

  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(fold, 1, err));
  fold->block = block;
  GMF_TRY(gmf_fold_create(block->grid, block, gram_words(als->n), &fold->gram, err));
  *out = fold;
  fold = NULL;
cleanup:
  gmf_als_fold_destroy(&fold);
  return status;
}

void gmf_als_fold_destroy(gmf_als_fold **fold)
{
  if (*fold == NULL) return;
  gmf_fold_destroy(&(*fold)->gram);
  gmf_free(*fold);
  *fold = NULL;
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

/* Local. My part of the systems of a batch, for all owners of the grid row, into the fold's buffer. */
static void form_batch(gmf_als *als, gmf_als_fold *fold, int64_t batch)
{
  const gmf_block *b = fold->block;
  gmf_fold *f = fold->gram;
  double *to = f->partial;
  for (int owner = 0; owner < f->n_owners; owner++) {
    int64_t first = 0, end = 0;
    gmf_fold_range(f, batch, owner, &first, &end);
#pragma omp parallel for schedule(dynamic, 8) num_threads(als->n_threads)
    for (int64_t r = first; r < end; r++) {
      gmf_row_solver *s = &als->solvers[omp_get_thread_num()];
      int64_t begin = b->row_ptr[r];
      gmf_ratings ratings = {b->cols + begin, b->values + begin, b->weights != NULL ? b->weights + begin : NULL,
                             b->row_ptr[r + 1] - begin};
      memset(s->a8, 0, (size_t)als->ld * (size_t)als->ld * sizeof *s->a8);
      memset(s->b8, 0, (size_t)als->ld * sizeof *s->b8);
      gmf_gram_f8(als->panel, als->ld, &ratings, als->options.row.loss, als->ld, s->work8, s->a8, s->b8);
      pack(s, to + (r - first) * f->row_words);
    }
    to += (end - first) * f->row_words;
  }
}

/* Where row j of my rows of the block stands among all mine of the side. */
static int64_t own_place(const gmf_block *b, int64_t j) { return b->own_rows != NULL ? b->own_rows[j] : j; }

/* Local. Solves my rows of a batch from the folded sums. */
static void solve_batch(gmf_als *als, const gmf_als_fold *fold, int64_t batch, int64_t *first_singular)
{
  const gmf_block *b = fold->block;
  const gmf_fold *f = fold->gram;
  gmf_side side = b->side;
  gmf_factor *x = als->factors[side];
  int64_t first = *first_singular, begin = 0, end = 0, own = f->first[b->grid->col_index];
  gmf_fold_range(f, batch, b->grid->col_index, &begin, &end);
#pragma omp parallel for schedule(dynamic, 8) reduction(min : first) num_threads(als->n_threads)
  for (int64_t r = begin; r < end; r++) {
    gmf_row_solver *s = &als->solvers[omp_get_thread_num()];
    int64_t mine = own_place(b, r - own);
    float *to = x->rows + mine * als->ld;
    als->row_objective[mine] = 0;
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

void gmf_als_fold_solve(gmf_als *als, gmf_als_fold *fold, int64_t *first_singular)
{
  for (int64_t batch = 0; batch < fold->gram->n_batches; batch++) {
    if (als->options.progress != NULL)
      als->options.progress(als->options.context, fold->block->side, (double)batch / (double)fold->gram->n_batches);
    form_batch(als, fold, batch);
    gmf_trace_phase(als->grid->trace, GMF_PHASE_FOLD);
    gmf_fold_run(fold->block->grid, fold->gram, batch);
    gmf_trace_phase(als->grid->trace, GMF_PHASE_SOLVE);
    solve_batch(als, fold, batch, first_singular);
  }
}
