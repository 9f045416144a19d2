/*
 * What the ratings are before the first sweep, summed over all of them: their mean, the loss at zero predictions, and
 * weights below zero.
 */
#include "algo/als_internal.h"

static float weight_of(const gmf_block *b, int64_t j) { return b->weights != NULL ? b->weights[j] : 1.0f; }

/*
 * Collective. The sum over all ratings, each once, of f(als, rating j of the users' block). Rows are summed first:
 * their ratings stand in one order whatever the ranks.
 */
static double sum_over_ratings(const gmf_als *als, double (*f)(const gmf_als *als, const gmf_block *b, int64_t j))
{
  double *rows = als->row_objective, total = 0;
  bool exact = als->options.deterministic; /* and then all ratings are in one block, whose rows are mine */
  for (const gmf_block *b = als->blocks[GMF_USERS]; b != NULL; b = b->next)
    for (int64_t r = 0; r < b->n_rows; r++) {
      double sum = 0;
      for (int64_t j = b->row_ptr[r]; j < b->row_ptr[r + 1]; j++) sum += f(als, b, j);
      if (exact) rows[r] = sum;
      total += sum;
    }
  if (exact) return gmf_exact_sum(als->grid, rows, als->blocks[GMF_USERS]->n_rows);
  gmf_sum_f64(als->grid, &total, 1);
  return total;
}

static double weight_times_value(const gmf_als *als, const gmf_block *b, int64_t j)
{
  (void)als;
  return (double)weight_of(b, j) * (double)b->values[j];
}

static double weight_alone(const gmf_als *als, const gmf_block *b, int64_t j)
{
  (void)als;
  return (double)weight_of(b, j);
}

static double loss_at_zero(const gmf_als *als, const gmf_block *b, int64_t j)
{
  return gmf_loss_constant(als->options.row.loss, b->values[j], weight_of(b, j));
}

void gmf_als_take_off_mean(gmf_als *als)
{
  double weights = sum_over_ratings(als, weight_alone);
  als->mean = weights > 0 ? sum_over_ratings(als, weight_times_value) / weights : 0;
  for (int s = 0; s < GMF_N_SIDES; s++)
    for (gmf_block *b = als->blocks[s]; b != NULL; b = b->next)
      for (int64_t j = 0; j < b->row_ptr[b->n_rows]; j++) b->values[j] = (float)((double)b->values[j] - als->mean);
}

double gmf_als_constant(const gmf_als *als) { return sum_over_ratings(als, loss_at_zero); }

int64_t gmf_als_count_negative(const gmf_als *als)
{
  int64_t n = 0;
  for (const gmf_block *b = als->blocks[GMF_USERS]; b != NULL; b = b->next)
    for (int64_t j = 0; j < b->row_ptr[b->n_rows]; j++)
      n += gmf_loss_weight(als->options.row.loss, b->values[j], weight_of(b, j)) < 0;
  gmf_sum_i64(als->grid, &n, 1);
  return n;
}
