#include "app/cost_model.h"

#include "algo/als.h"
#include "algo/features.h"
#include "base/narrow.h"
#include "dist/fold.h"
#include "kernel/cg.h"
#include "kernel/dense.h"
#include "kernel/row_operations.h"
#include "linalg/exact.h"

enum { F4 = 4, F8 = 8, I8 = 8, I4 = 4, AGREEMENT_BYTES = 4, TOTALS = 5 /* numbers that a half-sweep sums */ };

const char *gmf_move_name(gmf_move move)
{
  static const char *const NAMES[] = {"gram",   "agree",  "basis",  "expand", "fold",
                                      "spread", "failed", "totals", "ridge",  "meet"};
  return NAMES[move];
}

const char *gmf_move_function(gmf_move move)
{
  static const char *const FUNCTIONS[] = {"MPI_Allreduce",      "MPI_Allreduce",  "MPI_Bcast",     "MPI_Isend",
                                          "MPI_Reduce_scatter", "MPI_Allgatherv", "MPI_Allreduce", "MPI_Allreduce",
                                          "MPI_Allreduce",      "MPI_Barrier"};
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
  int64_t n = order_of(s), square = (int64_t)gmf_pad(order_of(s)) * gmf_pad(order_of(s));
  if (s->deterministic) { /* gmf_exact_gram_run */
    int64_t n_pieces = gmf_exact_gram_pieces(n_fixed);
    add_reduction(t, F8, s->n_ranks);
    add_reduction(t, I8, s->n_ranks);
    add_reduction(t, n_pieces * (n_pieces + 1) / 2 * square * F8, s->n_ranks);
  } else
    add_reduction(t, n * (n + 1) / 2 * F8, s->n_ranks);
}

/* From rank 0, which has it: the others count. */
static gmf_traffic basis(const gmf_train_shape *s)
{
  int64_t ld = gmf_pad(order_of(s)), bytes = (ld * ld + ld) * F8;
  return (gmf_traffic){.calls = 2, .bytes = bytes, .received = s->n_ranks > 1 ? bytes : 0};
}

/*
 * What is folded of rows whose ratings are cut by columns (als_fold.c): their matrices, or the vectors of conjugate
 * gradients. Bytes are those of one row, before they are multiplied by ranks.
 */
typedef struct fold_cost {
  int64_t words;             /* doubles of a row in a fold's buffer, by which batches are cut */
  int64_t n_folds, n_spread; /* calls of each batch */
  int64_t folded, spread;    /* bytes: to the owner, and from it */
} fold_cost;

static fold_cost fold_cost_of(const gmf_row_options *row, gmf_folding folding)
{
  int64_t n = gmf_row_order(row->k, row->bias), words = n * (n + 1) / 2 + n;
  gmf_als_way way = gmf_als_fold_way(row, folding == GMF_FOLDS_HEAVY);
  if (way.cg_steps == 0) return (fold_cost){.words = words, .n_folds = 1, .folded = words * F8};
  int64_t steps = way.exact ? way.usual_steps : way.cg_steps, number = way.exact ? F8 : F4;
  int64_t starts = (steps + GMF_CG_RENEW - 1) / GMF_CG_RENEW + (way.exact ? 1 : 0);
  fold_cost cost = {.words = way.exact ? 2 * n : n,
                    .n_folds = starts + steps,
                    .n_spread = starts + steps,
                    .folded = n * ((starts + 1) * number + steps * F4),
                    .spread = n * (starts * number + steps * F4)};
  if (way.exact) return cost;
  /* Of the last product one number, and no x but the lengths of steps: one with each direction, the last one alone. */
  cost.folded -= (n - 1) * F4;
  cost.spread = (steps * (n + 1) + starts) * F4;
  return cost;
}

int64_t gmf_cost_fold_bytes(const gmf_row_options *row, gmf_folding folding)
{
  fold_cost cost = fold_cost_of(row, folding);
  return cost.folded + cost.spread;
}

static int64_t n_batches(const fold_cost *cost, int64_t longest, int n_cols)
{
  int64_t bytes = cost->n_spread > 0 ? GMF_ALS_CG_BATCH : GMF_FOLD_BYTES;
  int64_t rows = gmf_fold_batch_rows(n_cols, cost->words, bytes, longest);
  return (longest + rows - 1) / rows;
}

int64_t gmf_cost_fold_calls(const gmf_row_options *row, gmf_folding folding, int64_t own, int n_cols)
{
  fold_cost cost = fold_cost_of(row, folding);
  return n_batches(&cost, own, n_cols) * (cost.n_folds + cost.n_spread);
}

static void add_fold(const gmf_row_options *row, const gmf_rank_cost *b, gmf_traffic *out)
{
  fold_cost cost = fold_cost_of(row, b->folding);
  int64_t batches = n_batches(&cost, b->longest, b->n_cols);
  out[GMF_MOVE_FOLD] = (gmf_traffic){.calls = batches * cost.n_folds,
                                     .bytes = b->folded * cost.folded,
                                     .received = (b->n_cols - 1) * b->fold_own * cost.folded};
  if (cost.n_spread == 0) return;
  out[GMF_MOVE_SPREAD] = (gmf_traffic){.calls = batches * cost.n_spread,
                                       .bytes = b->folded * cost.spread,
                                       .received = (b->folded - b->fold_own) * cost.spread};
  add_reduction(&out[GMF_MOVE_FAILED], AGREEMENT_BYTES, b->n_cols);
}

gmf_folding gmf_cost_folding(const gmf_block *b)
{
  if (b->own_rows != NULL) return GMF_FOLDS_HEAVY;
  return b->grid->n_cols > 1 ? GMF_FOLDS_ALL : GMF_FOLDS_NOTHING;
}

bool gmf_cost_has_basis(const gmf_row_options *row, const gmf_folding foldings[GMF_N_SIDES])
{
  if (row->nonnegative) return false;
  bool cg = row->solver == GMF_SOLVER_CG;
  for (int s = 0; s < GMF_N_SIDES; s++)
    cg = cg || (foldings[s] != GMF_FOLDS_NOTHING && gmf_als_fold_way(row, foldings[s] == GMF_FOLDS_HEAVY).cg_steps > 0);
  return cg || gmf_loss_shared(row->loss) > 0;
}

/* gmf_prior_run: of each step two numbers that bound the terms, an exact sum of p x k terms in two levels, and the
 * ranks' parts of the solution. */
static void add_ridge(const gmf_train_shape *s, gmf_side side, gmf_traffic *t)
{
  int64_t words = s->n_features[side] * s->n_factors;
  for (int step = 0; step < gmf_prior_steps(s->n_features[side]); step++) {
    add_reduction(t, F8, s->n_ranks);
    add_reduction(t, I8, s->n_ranks);
    add_reduction(t, 2 * words * F8, s->n_ranks);
    add_reduction(t, words * F8, s->n_ranks);
  }
}

/* Whether a side has a regression: not where no row has a feature. */
static bool has_ridge(const gmf_train_shape *s, gmf_side side)
{
  return s->n_features[side] > 0 && s->nnz_features[side] > 0;
}

void gmf_cost_traffic(const gmf_train_shape *s, const gmf_row_options *row, gmf_side side, const gmf_rank_cost *b,
                      gmf_traffic *out)
{
  int64_t row_bytes = (int64_t)gmf_wire_bytes(s->wire, gmf_pad(order_of(s)));
  for (int m = 0; m < GMF_N_MOVES; m++) out[m] = (gmf_traffic){0};
  if (s->basis || s->all_pairs) add_gram(s, s->n[gmf_other_side(side)], &out[GMF_MOVE_GRAM]);
  if (s->basis) add_reduction(&out[GMF_MOVE_AGREE], AGREEMENT_BYTES, s->n_ranks);
  if (s->basis) out[GMF_MOVE_BASIS] = basis(s);
  out[GMF_MOVE_EXPAND] =
      (gmf_traffic){.calls = b->share.n_targets, b->share.given * row_bytes, b->share.fetched * row_bytes};
  if (s->node_ranks > 1) out[GMF_MOVE_MEET] = (gmf_traffic){.calls = 2};
  if (b->folding != GMF_FOLDS_NOTHING) add_fold(row, b, out);
  add_reduction(&out[GMF_MOVE_TOTALS], TOTALS * F8, s->n_ranks);
  for (int sum = 0; s->deterministic && sum < 2; sum++) add_exact_sum(&out[GMF_MOVE_TOTALS], s->n_ranks);
  if (has_ridge(s, side)) add_ridge(s, side, &out[GMF_MOVE_RIDGE]);
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

/* Of a row that is folded: what its ranks share, matrices in f8, or the steps of conjugate gradients, which wait for
 * their ratings more than for arithmetic; and what its owner does. */
static double folded_shared(const gmf_row_options *row, double d, gmf_folding folding)
{
  double n = gmf_row_order(row->k, row->bias);
  gmf_als_way way = gmf_als_fold_way(row, folding == GMF_FOLDS_HEAVY);
  int steps = way.exact ? way.usual_steps : way.cg_steps;
  if (steps == 0) return 2 * (d * n * (n + 1) + 2 * d * n);
  return (steps + 1) * 4 * d * n + 2 * d * n;
}

static double folded_alone(const gmf_row_options *row, int64_t n_ratings, gmf_folding folding)
{
  double n = gmf_row_order(row->k, row->bias);
  gmf_als_way way = gmf_als_fold_way(row, folding == GMF_FOLDS_HEAVY);
  int steps = way.exact ? way.usual_steps : way.cg_steps;
  if (n_ratings == 0) return 0;
  return steps == 0 ? 2 * (n * n * n / 3 + 2 * n * n) : 20 * steps * n;
}

static double all_shared(const void *row, int64_t n) { return folded_shared(row, (double)n, GMF_FOLDS_ALL); }
static double all_alone(const void *row, int64_t n) { return folded_alone(row, n, GMF_FOLDS_ALL); }
static double heavy_shared(const void *row, int64_t n) { return folded_shared(row, (double)n, GMF_FOLDS_HEAVY); }
static double heavy_alone(const void *row, int64_t n) { return folded_alone(row, n, GMF_FOLDS_HEAVY); }

gmf_row_work gmf_cost_row_work(const gmf_row_options *row, gmf_folding folding)
{
  if (folding == GMF_FOLDS_NOTHING) return (gmf_row_work){whole_row, nothing, row};
  if (folding == GMF_FOLDS_ALL) return (gmf_row_work){all_shared, all_alone, row};
  return (gmf_row_work){heavy_shared, heavy_alone, row};
}

/* Of features, in double precision: their part of rows' right-hand sides, the exact sums of their products, which take
 * six operations for one, a part of the solution's columns, and the weights in the rows' basis. */
static int64_t ridge_work(const gmf_train_shape *s, gmf_side side)
{
  int64_t p = s->n_features[side], k = s->n_factors, nnz = s->nnz_features[side] / s->n_ranks;
  if (!has_ridge(s, side)) return 0;
  int64_t steps = gmf_prior_steps(p), turn = s->basis ? 2 * p * k * k : 0;
  return 2 * (2 * nnz * k + steps * (nnz * k * 8 + 2 * p * p * k / s->n_ranks) + turn);
}

int64_t gmf_cost_turn_work(int n) { return 2 * (int64_t)2 * n * n; }

int64_t gmf_cost_shared_work(const gmf_train_shape *s, gmf_side side, const int64_t own[GMF_N_SIDES])
{
  int64_t n = order_of(s), fixed = own[gmf_other_side(side)], work = 0;
  if (s->basis || s->all_pairs) work += 2 * fixed * n * (n + 1);
  if (s->basis) work += (fixed + own[side]) * gmf_cost_turn_work(order_of(s));
  return work + ridge_work(s, side);
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
