#include "app/cost_model.h"

#include "app/roofline.h"
#include "base/narrow.h"
#include "dist/fold.h"
#include "kernel/dense.h"
#include "linalg/exact.h"

enum { F4 = 4, F8 = 8, I8 = 8, I4 = 4, AGREEMENT_BYTES = 4, TOTALS = 5 /* numbers that a half-sweep sums */ };

const char *gmf_move_name(gmf_move move)
{
  static const char *const NAMES[] = {"gram", "agree", "basis", "expand", "fold", "totals"};
  return NAMES[move];
}

const char *gmf_move_function(gmf_move move)
{
  static const char *const FUNCTIONS[] = {"MPI_Allreduce", "MPI_Allreduce",      "MPI_Bcast",
                                          "MPI_Isend",     "MPI_Reduce_scatter", "MPI_Allreduce"};
  return FUNCTIONS[move];
}

static int order_of(const gmf_train_shape *s) { return gmf_row_order(s->n_factors, s->bias); }

/* ---- between ranks ----------------------------------------------------------------------------------------------- */

/* Adds a reduction of so many bytes to all ranks. What a rank must receive: of a reduce-scatter and then an all-gather,
 * its share of the summands of all others, and the sums of all others (Rabenseifner, ICCS 2004). */
static void add_reduction(gmf_traffic *t, int64_t bytes, int n_ranks)
{
  t->calls++;
  t->bytes += bytes;
  t->received += 2 * (bytes - bytes / n_ranks);
}

/* gmf_exact_sum: the largest summand and their number, then the sums. */
static void add_exact_sum(gmf_traffic *t, int n_ranks)
{
  add_reduction(t, F8, n_ranks);
  add_reduction(t, I8, n_ranks);
  add_reduction(t, 2 * F8, n_ranks);
}

static void add_gram(const gmf_train_shape *s, int64_t n_fixed, gmf_traffic *t)
{
  int64_t square = (int64_t)gmf_pad(order_of(s)) * gmf_pad(order_of(s)), n_pieces = 1;
  if (s->deterministic) { /* gmf_exact_gram_run */
    n_pieces = gmf_exact_gram_pieces(n_fixed);
    add_reduction(t, F8, s->n_ranks);
    add_reduction(t, I8, s->n_ranks);
  }
  add_reduction(t, n_pieces * (n_pieces + 1) / 2 * square * F8, s->n_ranks);
}

/* From rank 0, which has it: the others count. */
static gmf_traffic basis(const gmf_train_shape *s)
{
  int64_t ld = gmf_pad(order_of(s)), bytes = (ld * ld + ld) * F8;
  return (gmf_traffic){.calls = 2, .bytes = bytes, .received = s->n_ranks > 1 ? bytes : 0};
}

static void add_fold(const gmf_train_shape *s, const gmf_rank_cost *b, gmf_traffic *t)
{
  int64_t n = order_of(s), words = n * (n + 1) / 2 + n,
          rows = gmf_fold_batch_rows(b->n_cols, words, GMF_FOLD_BYTES, b->longest);
  t->calls += (b->longest + rows - 1) / rows;
  t->bytes += b->folded * words * F8;
  t->received += (b->n_cols - 1) * b->fold_own * words * F8;
}

void gmf_cost_traffic(const gmf_train_shape *s, gmf_side side, const gmf_rank_cost *b, gmf_traffic *out)
{
  int64_t row_bytes = gmf_pad(order_of(s)) * F4;
  for (int m = 0; m < GMF_N_MOVES; m++) out[m] = (gmf_traffic){0};
  if (s->basis || s->all_pairs) add_gram(s, s->n[gmf_other_side(side)], &out[GMF_MOVE_GRAM]);
  if (s->basis) add_reduction(&out[GMF_MOVE_AGREE], AGREEMENT_BYTES, s->n_ranks);
  if (s->basis) out[GMF_MOVE_BASIS] = basis(s);
  out[GMF_MOVE_EXPAND] =
      (gmf_traffic){.calls = b->share.n_targets, b->share.given * row_bytes, b->share.fetched * row_bytes};
  if (b->n_cols > 1) add_fold(s, b, &out[GMF_MOVE_FOLD]);
  add_reduction(&out[GMF_MOVE_TOTALS], TOTALS * F8, s->n_ranks);
  for (int sum = 0; s->deterministic && sum < 2; sum++) add_exact_sum(&out[GMF_MOVE_TOTALS], s->n_ranks);
}

/* ---- in a rank --------------------------------------------------------------------------------------------------- */

static double whole_row(const void *context, int64_t n_ratings)
{
  return n_ratings > 0 ? gmf_row_operations(context, (double)n_ratings) : 0;
}

static double nothing(const void *context, int64_t n_ratings)
{
  (void)context;
  (void)n_ratings;
  return 0;
}

/* Systems that are folded are formed and solved in f8. */
static double folded_forming(const void *context, int64_t n_ratings)
{
  const gmf_row_options *row = context;
  double n = gmf_row_order(row->k, row->bias), d = (double)n_ratings;
  return 2 * (d * n * (n + 1) + 2 * d * n);
}

static double folded_solving(const void *context, int64_t n_ratings)
{
  const gmf_row_options *row = context;
  double n = gmf_row_order(row->k, row->bias);
  return n_ratings > 0 ? 2 * (n * n * n / 3 + 2 * n * n) : 0;
}

gmf_row_work gmf_cost_row_work(const gmf_row_options *row, bool folded)
{
  return (gmf_row_work){folded ? folded_forming : whole_row, folded ? folded_solving : nothing, row};
}

int64_t gmf_cost_shared_work(const gmf_train_shape *s, gmf_side side, const int64_t own[GMF_N_SIDES])
{
  int64_t n = order_of(s), fixed = own[gmf_other_side(side)], work = 0;
  if (s->basis || s->all_pairs) work += 2 * fixed * n * (n + 1);
  if (s->basis) work += 2 * 2 * (fixed + own[side]) * n * n;
  return work;
}

int64_t gmf_cost_memory_bytes(const gmf_train_shape *s, const gmf_share *b)
{
  int64_t row = gmf_pad(order_of(s)) * F4;
  return b->ratings * (s->weighted ? 3 : 2) * F4 + (b->slots + 2 * b->own) * row;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

int64_t gmf_cost_model_bytes(const gmf_train_shape *s, bool checkpoint, int64_t n_sweeps, int n_metrics,
                             const int64_t id_bytes[GMF_N_SIDES])
{
  enum { HISTORY = 4 /* iteration, objective, loss, seconds */ };
  int64_t bytes = (HISTORY + n_metrics) * n_sweeps * I8, columns = order_of(s);
  for (int side = 0; side < GMF_N_SIDES; side++) {
    bytes += s->n[side] * (id_bytes[side] + s->n_factors * F4 + (s->bias ? F4 : 0) + I8);
    if (checkpoint && s->early_stop) bytes += s->n[side] * columns * F4;
  }
  if (s->all_pairs) bytes += (int64_t)s->n_factors * s->n_factors * F8;
  if (s->seen && !checkpoint)
    bytes +=
        (s->n[GMF_USERS] + 1) * I8 + s->nnz * ((s->n[GMF_ITEMS] <= INT32_MAX ? I4 : I8) + (s->weighted ? 2 : 1) * F4);
  return bytes;
}
