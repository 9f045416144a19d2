#include "app/degree_model.h"

#include <math.h>

#include "base/narrow.h"

static double n_rows_of(const gmf_degree_model *m)
{
  double n = 0;
  for (int c = 0; c < m->n; c++) n += m->rows[c];
  return n;
}

static double n_ratings_of(const gmf_degree_model *m)
{
  double n = 0;
  for (int c = 0; c < m->n; c++) n += m->rows[c] * m->degrees[c];
  return n;
}

/* The most ratings of a row that has less than `limit`. */
static double largest(const gmf_degree_model *m, double limit)
{
  double most = 0;
  for (int c = 0; c < m->n; c++)
    if (m->degrees[c] < limit) most = fmax(most, m->degrees[c]);
  return most;
}

/* Weights, which stand in `degrees`, become degrees f(weight x scale) whose sum is nnz; f rises and is below `most`. */
static void scale_degrees(gmf_degree_model *m, double nnz, double most, double (*f)(double scaled, double most))
{
  double low = 0, high = 1e30;
  for (int step = 0; step < 300; step++) {
    double middle = step < 100 ? sqrt(fmax(low, 1e-30) * high) : (low + high) / 2, sum = 0;
    for (int c = 0; c < m->n; c++) sum += m->rows[c] * f(m->degrees[c] * middle, most);
    if (sum < nnz)
      low = middle;
    else
      high = middle;
  }
  for (int c = 0; c < m->n; c++) m->degrees[c] = f(m->degrees[c] * high, most);
}

static double cut(double scaled, double most) { return fmin(scaled, most); }

/* Distinct ones of `most` among so many drawn. */
static double distinct(double scaled, double most) { return most * -expm1(-scaled / most); }

/* The share v of the users has weights of 1 / sqrt(v) and more: cells of v, each a little smaller than the one before.
 */
static void make_users(double n, double nnz, double n_items, gmf_degree_model *m)
{
  const double LEAST = 1e-8;
  m->n = GMF_DEGREE_CLASSES;
  for (int c = 0; c < m->n; c++) {
    double above = pow(LEAST, (double)c / (m->n - 1)), below = c + 1 < m->n ? pow(LEAST, (c + 1.0) / (m->n - 1)) : 0;
    m->rows[c] = n * (above - below);
    m->degrees[c] = c + 1 < m->n ? 1 / sqrt(sqrt(above * below)) : 1 / sqrt(LEAST);
  }
  scale_degrees(m, nnz, n_items, cut);
}

/* The first items one by one, then cells of their rank r, each longer than the one before; the first r items have the
 * share (r / n)^(1/3) of the draws. */
static void make_items(double n, double nnz, double n_users, gmf_degree_model *m)
{
  const int ALONE = 128;
  double growth = pow(fmax(n / ALONE, 1), 1.0 / (GMF_DEGREE_CLASSES - ALONE)), begin = 0;
  m->n = 0;
  for (int c = 0; c < GMF_DEGREE_CLASSES && begin < n; c++) {
    double end = c < ALONE ? begin + 1 : fmax(begin + 1, round(ALONE * pow(growth, c + 1 - ALONE)));
    if (c + 1 == GMF_DEGREE_CLASSES || end > n) end = n;
    m->rows[m->n] = end - begin;
    m->degrees[m->n++] = nnz * (cbrt(end / n) - cbrt(begin / n)) / (end - begin);
    begin = end;
  }
  scale_degrees(m, nnz, n_users, distinct);
}

void gmf_degree_model_make(const int64_t n[GMF_N_SIDES], int64_t nnz, gmf_degree_model models[GMF_N_SIDES])
{
  double users = (double)n[GMF_USERS], items = (double)n[GMF_ITEMS];
  make_users(users, (double)nnz, items, &models[GMF_USERS]);
  make_items(items, (double)nnz, users, &models[GMF_ITEMS]);
}

/* The probability that a row of d ratings has one in a certain one of n parts. */
static double is_hit(double d, int n_parts) { return n_parts == 1 ? -expm1(-d) : -expm1(d * log1p(-1.0 / n_parts)); }

/*
 * How much more than the mean the fullest of n bins holds. By hash: the largest of n normal numbers, whose deviation is
 * that of a sum of the degrees over a random n-th of the rows. Longest work first: the mean, or the longest row alone.
 * Rows from `limit` on are cut among many, and do not count.
 */
static double fullest(const gmf_degree_model *m, gmf_side side, int n, double limit)
{
  double square = 0, mean = n_ratings_of(m) / n;
  for (int c = 0; c < m->n; c++)
    if (m->degrees[c] < limit) square += m->rows[c] * m->degrees[c] * m->degrees[c];
  bool by_table = side == GMF_ITEMS && n_rows_of(m) <= (double)GMF_AXIS_TABLE_ROWS;
  double deviation = sqrt((double)(n - 1) * square) / n_ratings_of(m);
  return fmax(by_table ? 1 : 1 + deviation * sqrt(2 * log((double)n)), largest(m, limit) / mean);
}

static int64_t whole(double x) { return (int64_t)llround(fmin(x, 9e18)); }

/* Sums over the rows of the updated side, of a rank. */
typedef struct updated_sums {
  double rows, ratings, work, heavy_rows, heavy_ratings;
} updated_sums;

static updated_sums sum_updated(const gmf_degree_model *m, int n_ranks, const gmf_layout *layout,
                                const gmf_row_work *light, const gmf_row_work *heavy)
{
  updated_sums sums = {0};
  for (int c = 0; c < m->n; c++) {
    int64_t d = whole(m->degrees[c]);
    bool is_heavy = d >= layout->heavy_from;
    const gmf_row_work *work = is_heavy ? heavy : light;
    double rows = m->rows[c] / n_ranks;
    sums.rows += rows;
    sums.ratings += rows * m->degrees[c];
    sums.work += rows * (work->shared(work->context, d) + work->alone(work->context, d));
    sums.heavy_rows += is_heavy ? rows : 0;
    sums.heavy_ratings += is_heavy ? rows * m->degrees[c] : 0;
  }
  return sums;
}

/* Rows of the fixed side that a rank needs. Of the ranks that may have light ratings of a row, all n_rows of a column,
 * some may have heavy ones too. */
static double slots_of(const gmf_degree_model *fixed, int n_rows, int n_ranks, double heavy_share,
                       const gmf_layout *layout)
{
  double slots = 0;
  for (int c = 0; c < fixed->n; c++) {
    double d = fixed->degrees[c], light = is_hit(d * (1 - heavy_share), n_rows), both = light;
    if (heavy_share > 0) both = 1 - (1 - light) * (1 - is_hit(d * heavy_share, layout->n_rows));
    int n_both = heavy_share > 0 ? layout->n_rows : 0;
    slots += fixed->rows[c] * (n_both * both + (n_rows - n_both) * light) / n_ranks;
  }
  return slots;
}

void gmf_degree_model_share(const gmf_degree_model models[GMF_N_SIDES], gmf_side side, int n_rows, int n_cols,
                            const gmf_layout *layout, const gmf_row_work *light, const gmf_row_work *heavy,
                            gmf_share *typical, gmf_share *most)
{
  const gmf_degree_model *updated = &models[side], *fixed = &models[gmf_other_side(side)];
  int n_ranks = n_rows * n_cols;
  updated_sums sums = sum_updated(updated, n_ranks, layout, light, heavy);
  double slots = slots_of(fixed, n_rows, n_ranks, sums.heavy_ratings / sums.ratings, layout);
  double remote = 1 - 1.0 / n_ranks, others = n_ranks - 1;
  double pairs = n_ranks > 1 ? others * -expm1(-slots * remote / others) : 0; /* others that a rank exchanges with */
  *typical = (gmf_share){.ratings = whole(sums.ratings),
                         .rows = whole(sums.rows * n_cols),
                         .own = whole(sums.rows),
                         .heavy_rows = whole(sums.heavy_rows * layout->n_cols),
                         .heavy_own = whole(sums.heavy_rows),
                         .heavy_ratings = whole(sums.heavy_ratings),
                         .slots = whole(slots),
                         .sent = whole(slots),
                         .fetched = whole(slots * remote),
                         .given = whole(slots * remote),
                         .n_sources = whole(pairs),
                         .n_targets = whole(pairs),
                         .work = whole(sums.work)};
  *most = *typical;
  double limit = (double)layout->heavy_from, more = fullest(updated, side, n_rows, limit);
  double gives = fullest(fixed, gmf_other_side(side), n_ranks, INFINITY), n_fixed = n_rows_of(fixed);
  /* Of equal light ratings those of few long rows touch most: rows as long as the longest, independent of each other.
   */
  double light_ratings = (sums.ratings - sums.heavy_ratings) * more,
         longest = fmin(largest(updated, limit), light_ratings);
  double missed = 1 - fmin(longest / n_fixed, 1), touched = 0;
  if (longest > 0) touched = n_fixed / n_cols * (1 - pow(missed, light_ratings * n_cols / longest));
  double most_slots = fmax(slots, fmin(fmax(slots * more, touched), n_fixed / n_cols));
  most->ratings = whole(sums.ratings * more);
  most->work = whole(sums.work * more);
  most->slots = whole(most_slots);
  most->fetched = whole(most_slots * remote);
  most->sent = whole(fmin(slots * gives, n_fixed / n_ranks * n_rows));
  most->given = whole((double)most->sent * remote);
}

void gmf_degree_model_table(const gmf_degree_model models[GMF_N_SIDES], gmf_side side, int n_ranks, gmf_fetch_table *t)
{
  const gmf_degree_model *updated = &models[side], *fixed = &models[gmf_other_side(side)];
  double heavy = n_ratings_of(updated), remote = 1 - 1.0 / n_ranks;
  gmf_fetch_table_make(n_ranks, whole(largest(updated, INFINITY)), t);
  for (int c = 0; c < updated->n; c++) {
    int64_t d = whole(updated->degrees[c]);
    int class = gmf_fetch_class(t, d);
    t->rows[class] += updated->rows[c];
    t->ratings[class] += updated->rows[c] * updated->degrees[c];
    t->longest[class] = gmf_max64(t->longest[class], d);
  }
  for (int k = 0; k <= t->n_least; k++) { /* candidate k: classes from k + 1 on are heavy */
    gmf_layout none = gmf_layout_light(n_ranks);
    heavy = fmax(0, heavy - t->ratings[k]);
    double share = k < t->n_least ? heavy / n_ratings_of(updated) : 0;
    t->light[k] = remote * n_ranks * slots_of(fixed, n_ranks, n_ranks, share, &none);
    for (int j = 0; j < t->n_shapes; j++) {
      gmf_layout layout = {0, n_ranks / t->n_cols[j], t->n_cols[j]};
      t->heavy[j][k] = remote * n_ranks * slots_of(fixed, n_ranks, n_ranks, share, &layout) - t->light[k];
    }
  }
}
