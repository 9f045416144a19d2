#include "app/balance.h"

#include <string.h>

#include "app/cost_model.h"
#include "base/narrow.h"

enum { RATINGS, OPERATIONS, RECEIVED, MEMORY, N_LOADS };

/* Operations that a rank spends on the rows of a block: its share of each, and for its own what owners do. */
static double block_operations(const gmf_block *b, const gmf_row_options *row)
{
  gmf_row_work work = gmf_cost_row_work(row, gmf_cost_folding(b));
  int64_t begin = b->axis->prefix[b->grid->rank] - b->row_begin, end = begin + gmf_axis_n_own(b->axis, b->grid->rank);
  double sum = 0;
  for (int64_t r = 0; r < b->n_rows; r++) {
    bool own = r >= begin && r < end && gmf_cost_folding(b) != GMF_FOLDS_NOTHING;
    sum += work.shared(work.context, b->row_ptr[r + 1] - b->row_ptr[r]);
    if (own) sum += work.alone(work.context, b->counts[r]);
  }
  return sum;
}

/* Bytes that a rank receives in the half-sweep of a side. */
static double received_bytes(const gmf_grid *grid, const gmf_block *b, const gmf_train_shape *shape,
                             const gmf_row_options *row)
{
  const gmf_block *folded = b->next != NULL ? b->next : b;
  gmf_memory_share share = gmf_memory_share_of(grid, b);
  gmf_rank_cost cost = {.folding = gmf_cost_folding(folded),
                        .n_cols = folded->grid->n_cols,
                        .folded = folded->n_rows,
                        .fold_own = gmf_axis_n_own(folded->axis, grid->rank),
                        .longest = share.longest};
  gmf_traffic moves[GMF_N_MOVES];
  double sum = 0;
  cost.share.fetched = gmf_expand_n_received(b->expand);
  gmf_cost_traffic(shape, row, b->side, &cost, moves);
  for (int m = 0; m < GMF_N_MOVES; m++) sum += (double)moves[m].received;
  return sum;
}

void gmf_balance_log(const gmf_grid *grid, const gmf_config *config, gmf_block *const blocks[GMF_N_SIDES],
                     const gmf_train_memory *memory, const gmf_log *log)
{
  static const char *const NAMES[N_LOADS] = {"ratings", "operations", "received_bytes", "memory_bytes"};
  double most[N_LOADS] = {0}, mean[N_LOADS], ratio[N_LOADS];
  gmf_row_options row = gmf_config_row(config);
  int64_t own[GMF_N_SIDES];
  for (int s = 0; s < GMF_N_SIDES; s++) own[s] = gmf_axis_n_own(blocks[s]->axis, grid->rank);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    most[RATINGS] += (double)gmf_block_ratings(blocks[s]);
    for (const gmf_block *b = blocks[s]; b != NULL; b = b->next) most[OPERATIONS] += block_operations(b, &row);
    most[OPERATIONS] += (double)gmf_cost_shared_work(&memory->shape, (gmf_side)s, own);
    most[RECEIVED] += received_bytes(grid, blocks[s], &memory->shape, &row);
  }
  most[MEMORY] = (double)memory->planned;
  memcpy(mean, most, sizeof mean);
  gmf_max_f64(grid, most, N_LOADS);
  gmf_sum_f64(grid, mean, N_LOADS);
  json_t *event = json_object();
  for (int l = 0; l < N_LOADS; l++) {
    mean[l] /= grid->size;
    ratio[l] = mean[l] > 0 ? most[l] / mean[l] : 1;
    json_object_set_new(event, NAMES[l], json_pack("{s:f, s:f}", "mean", mean[l], "max", most[l]));
  }
  if (grid->size > 1)
    gmf_log_line(log,
                 "balance: the rank that has most has %.2f of the mean ratings, %.2f of the work, %.2f of the bytes "
                 "received and %.2f of the memory",
                 ratio[RATINGS], ratio[OPERATIONS], ratio[RECEIVED], ratio[MEMORY]);
  gmf_log_event(log, "balance", event);
}
