/*
 * The rows of a half-sweep on a rank: their systems, and which threads solve them (row_schedule.h).
 */
#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <string.h>

#include "algo/als_internal.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/process.h"
#include "kernel/row_operations.h"

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

/* Local. Each thread makes its solver, whose memory it is then the first to touch. */
static gmf_status create_team(gmf_als *als, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(als->solvers, als->n_threads, err));
  GMF_TRY(GMF_NEW_ZERO(als->rooms, als->n_threads, err));
  GMF_TRY(GMF_NEW_ZERO(als->work, als->n_threads, err));
#pragma omp parallel for schedule(static, 1) num_threads(als->n_threads)
  for (int t = 0; t < als->n_threads; t++) {
    gmf_error mine = {0};
    gmf_status made = gmf_row_solver_create(&als->solvers[t], &als->options.row, &mine);
    als->rooms[t] = als->solvers[t].copy8;
    als->work[t] = als->solvers[t].work;
    if (made == GMF_OK) continue;
#pragma omp critical(create_team)
    {
      status = made;
      *err = mine;
    }
  }
  als->team = (gmf_team){.n_threads = als->n_threads, .rooms = als->rooms, .work = als->work};
cleanup:
  return status;
}

/* What a row takes beside its ratings: it is found, and written. */
static double cost_of_row(const void *options, int64_t n_ratings)
{
  const gmf_row_options *row = options;
  return gmf_row_operations(row, (double)n_ratings) + 16.0 * row->k;
}

/* Local. One for each panel that the fixed rows come in. */
static gmf_status create_schedules(gmf_als *als, gmf_side side, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_block *b = als->blocks[side];
  const gmf_panels *cut = als->panels[side];
  int n = gmf_als_n_panels(als, side);
  GMF_TRY(GMF_NEW_ZERO(als->seconds[side], als->n_threads, err));
  if (als->grid->n_cols > 1) return GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(als->schedules[side], n, err));
  for (int p = 0; p < n; p++)
    GMF_TRY(gmf_row_schedule_create(b->row_ptr, b->by_work, cut != NULL ? cut->begin[p] : 0,
                                    cut != NULL ? cut->begin[p + 1] : b->n_rows, cost_of_row, &als->options.row,
                                    als->n_threads, &als->schedules[side][p], err));
cleanup:
  return status;
}

gmf_status gmf_als_rows_create(gmf_als *als, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(als->diagonals, (int64_t)als->n_threads * als->ld, err));
  GMF_TRY(GMF_NEW_ZERO(als->rights, (int64_t)als->n_threads * als->ld, err));
  GMF_TRY(create_team(als, err));
  GMF_TRY(GMF_NEW_ZERO(als->batches, als->n_threads, err));
  for (int t = 0; t < als->n_threads; t++) GMF_TRY(gmf_als_batch_create(als->ld, &als->batches[t], err));
  for (int s = 0; s < GMF_N_SIDES; s++) GMF_TRY(create_schedules(als, (gmf_side)s, err));
cleanup:
  return status;
}

void gmf_als_rows_destroy(gmf_als *als)
{
  for (int t = 0; als->solvers != NULL && t < als->n_threads; t++) gmf_row_solver_destroy(&als->solvers[t]);
  for (int t = 0; als->batches != NULL && t < als->n_threads; t++) gmf_als_batch_destroy(&als->batches[t]);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    for (int p = 0; als->schedules[s] != NULL && p < gmf_als_n_panels(als, (gmf_side)s); p++)
      gmf_row_schedule_destroy(&als->schedules[s][p]);
    gmf_free(als->schedules[s]);
    gmf_free(als->seconds[s]);
  }
  gmf_free(als->solvers);
  gmf_free(als->batches);
  gmf_free(als->rooms);
  gmf_free(als->work);
  gmf_free(als->diagonals);
  gmf_free(als->rights);
}

/* ---- systems ----------------------------------------------------------------------------------------------------- */

gmf_row gmf_als_row_system(const gmf_als *als, gmf_side side, int64_t j, int64_t count)
{
  const gmf_regularisation *reg = &als->options.regularisation;
  double *diagonal = als->diagonals + (int64_t)omp_get_thread_num() * als->ld;
  double scale = gmf_als_lambda_factor(als, side, count), shared = gmf_loss_shared(als->options.row.loss);
  for (int c = 0; c < als->k; c++) diagonal[c] = als->shared_diagonal[c] + reg->lambda * scale;
  if (als->options.row.bias) diagonal[gmf_als_own_bias(als, side)] = reg->lambda_bias * scale;
  double *right = NULL;
  if (als->priors[side] != NULL) {
    right = als->rights + (int64_t)omp_get_thread_num() * als->ld;
    gmf_prior_right(als->priors[side], j, right);
  }
  return (gmf_row){.y = als->panel,
                   .stride = als->ld,
                   .diagonal = diagonal,
                   .shared = shared > 0 && als->basis == NULL ? als->gram : NULL,
                   .prior = right,
                   .fixed = gmf_als_fixed_column(als, side),
                   .has_lambda = scale * reg->lambda > 0 && (!als->options.row.bias || reg->lambda_bias > 0)};
}

void gmf_als_clear_row(const gmf_als *als, gmf_side side, float *row)
{
  int one = gmf_als_fixed_column(als, side);
  memset(row, 0, (size_t)als->ld * sizeof *row);
  if (one >= 0) row[one] = 1;
}

int64_t gmf_als_own_row(const gmf_als *als, gmf_side side, int64_t j)
{
  const gmf_axis *axis = als->factors[side]->axis;
  return gmf_axis_row(axis, axis->prefix[als->grid->rank] + j);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

void gmf_als_rows_each(gmf_als *als, gmf_side side, const gmf_row_schedule *schedule, gmf_als_row_task *task,
                       gmf_als_thread_end *end, void *context)
{
  als->team.seconds = als->seconds[side];
  als->solvers[0].team = &als->team;
  for (int64_t j = schedule->first; j < schedule->first + schedule->n_long; j++)
    task(als, context, j, &als->solvers[0]);
  als->team.seconds = NULL;
  als->solvers[0].team = NULL;
#pragma omp parallel num_threads(als->n_threads)
  {
    int t = omp_get_thread_num();
    double since = gmf_thread_seconds();
#pragma omp for schedule(dynamic, 1) nowait
    for (int64_t c = 0; c < schedule->n_chunks; c++)
      for (int64_t j = schedule->begin[c]; j < schedule->begin[c + 1]; j++) task(als, context, j, &als->solvers[t]);
    if (end != NULL) end(als, context);
    als->seconds[side][t] += gmf_thread_seconds() - since;
  }
}

/* Local. Tells how far a loop over n things has come. Things are handed out in order, so one thread's place stands for
 * all, and thread 0 comes by often enough. */
static void report_progress(const gmf_als *als, gmf_side side, int64_t at, int64_t n)
{
  if (at % 64 != 0) return;
  gmf_beat();
  if (als->options.progress == NULL || omp_get_thread_num() != 0) return;
  als->options.progress(als->options.context, side, (double)at / (double)n);
}

/* *least = value, where that is less. */
static void lower(_Atomic int64_t *least, int64_t value)
{
  int64_t before = atomic_load(least);
  while (value < before && !atomic_compare_exchange_weak(least, &before, value)) continue;
}

/* A half-sweep's rows. */
typedef struct half_sweep {
  gmf_side side;
  _Atomic int64_t first_singular; /* in dataset order */
} half_sweep;

/* Forms and solves my row at a place of by_work, or leaves it with the thread's batch. */
static void solve_row(gmf_als *als, void *context, int64_t place, gmf_row_solver *solver)
{
  half_sweep *half = context;
  gmf_side side = half->side;
  const gmf_block *b = als->blocks[side];
  int64_t r = b->by_work[place], n = b->row_ptr[r + 1] - b->row_ptr[r];
  float *to = als->factors[side]->rows + r * als->ld;
  report_progress(als, side, place, b->n_rows);
  if (omp_get_thread_num() == 0) gmf_expand_poll(als->space);
  if (place + 1 < b->n_rows) gmf_block_fetch_row(b, b->by_work[place + 1]);
  if (n == 0 && b->counts[r] > 0) return;
  als->row_objective[r] = 0;
  if (n == 0) {
    gmf_als_clear_row(als, side, to);
    return;
  }
  if (gmf_row_is_batched(&als->options.row, n)) {
    lower(&half->first_singular, gmf_als_batch_add(als, side, als->batches[omp_get_thread_num()], r, n));
    return;
  }
  gmf_row row = gmf_als_row_system(als, side, r, n);
  row.ratings = gmf_block_row(b, r);
  if (!gmf_row_solve(solver, &row, to, &als->row_objective[r]))
    lower(&half->first_singular, gmf_als_own_row(als, side, r));
}

/* What a thread's batch still has. */
static void finish_batch(gmf_als *als, void *context)
{
  half_sweep *half = context;
  lower(&half->first_singular, gmf_als_batch_finish(als, half->side, als->batches[omp_get_thread_num()]));
}

void gmf_als_rows_solve(gmf_als *als, gmf_side side, int panel, int64_t *first_singular)
{
  half_sweep half = {.side = side, .first_singular = *first_singular};
  gmf_als_rows_each(als, side, &als->schedules[side][panel], solve_row, finish_batch, &half);
  *first_singular = half.first_singular;
}

double gmf_als_thread_balance(const gmf_als *als, gmf_side side)
{
  double most = 0, sum = 0;
  for (int t = 0; t < als->n_threads; t++) {
    most = fmax(most, als->seconds[side][t]);
    sum += als->seconds[side][t];
  }
  return sum > 0 ? most * als->n_threads / sum : 1;
}
