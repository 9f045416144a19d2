#include "app/degree_model.h"

#include <math.h>

#include "base/narrow.h"

static int64_t whole(double x) { return (int64_t)llround(fmin(x, 9e18)); }

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

/* Ends of the cells in which rows are taken by their rank: the first ones alone, then cells each longer than the one
 * before. */
static double cell_end(double n, int cell, double begin)
{
  const int ALONE = 128;
  double growth = pow(fmax(n / ALONE, 1), 1.0 / (GMF_DEGREE_CLASSES - ALONE));
  double end = cell < ALONE ? begin + 1 : fmax(begin + 1, round(ALONE * pow(growth, cell + 1 - ALONE)));
  return cell + 1 == GMF_DEGREE_CLASSES || end > n ? n : end;
}

/* Cells of items by their rank r; the first r items have the share (r / n)^(1/3) of the draws. */
static void make_items(double n, double nnz, double n_users, gmf_degree_model *m)
{
  double begin = 0;
  m->n = 0;
  for (int c = 0; c < GMF_DEGREE_CLASSES && begin < n; c++) {
    double end = cell_end(n, c, begin);
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

/* Rows of a side by the curve of shape.c with some bend; the sum of their ratings. */
static double make_like(const gmf_shape *shape, gmf_side side, double bend, gmf_degree_model *m)
{
  double n = (double)shape->n[side], most = (double)shape->n[gmf_other_side(side)], begin = 0;
  m->n = 0;
  for (int cell = 0; cell < GMF_DEGREE_CLASSES && begin < n; cell++) {
    double end = cell_end(n, cell, begin);
    m->rows[m->n] = end - begin;
    m->degrees[m->n++] =
        fmin(gmf_degrees_at(&shape->degrees[side], bend, whole((begin + end - 1) / 2), shape->n[side]), most);
    begin = end;
  }
  return n_ratings_of(m);
}

void gmf_degree_model_like(const gmf_shape *shape, gmf_degree_model models[GMF_N_SIDES])
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    double low = 1e-3, high = 1e3; /* more bend, fewer ratings */
    for (int step = 0; step < 60; step++) {
      double bend = sqrt(low * high);
      if (make_like(shape, (gmf_side)s, bend, &models[s]) > (double)shape->nnz)
        low = bend;
      else
        high = bend;
    }
  }
}

/* The probability that a row of d ratings has one in a certain one of n parts. */
static double is_hit(double d, int n_parts) { return n_parts == 1 ? -expm1(-d) : -expm1(d * log1p(-1.0 / n_parts)); }

/*
 * How much more than the mean the fullest of n bins holds. By hash: the largest of n normal numbers, whose deviation is
 * that of a sum of the degrees over a random n-th of the rows. Longest work first: the mean, or the longest row alone.
 * Rows from `limit` on are cut among many, and do not count.
 */
static double fullest(const gmf_degree_model *m, int n, double limit)
{
  double square = 0, mean = n_ratings_of(m) / n;
  for (int c = 0; c < m->n; c++)
    if (m->degrees[c] < limit) square += m->rows[c] * m->degrees[c] * m->degrees[c];
  bool by_table = n_rows_of(m) <= (double)gmf_limit_table_rows;
  double deviation = sqrt((double)(n - 1) * square) / n_ratings_of(m);
  return fmax(by_table ? 1 : 1 + deviation * sqrt(2 * log((double)n)), largest(m, limit) / mean);
}

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

/* Rows of the fixed side that a rank needs, of those with at least so many ratings. Of the ranks that may have light
 * ratings of a row, all n_rows of a column, some may have heavy ones too. */
static double slots_of(const gmf_degree_model *fixed, double least, int n_rows, int n_ranks, double heavy_share,
                       const gmf_layout *layout)
{
  double slots = 0;
  for (int c = 0; c < fixed->n; c++) {
    if (fixed->degrees[c] < least) continue;
    double d = fixed->degrees[c], light = is_hit(d * (1 - heavy_share), n_rows), both = light;
    if (heavy_share > 0) both = 1 - (1 - light) * (1 - is_hit(d * heavy_share, layout->n_rows));
    int n_both = heavy_share > 0 ? layout->n_rows : 0;
    slots += fixed->rows[c] * (n_both * both + (n_rows - n_both) * light) / n_ranks;
  }
  return slots;
}

/* Fixed rows that n_parts parts of a share of the ratings touch each, divided among n_ranks. */
static double needed_by(const gmf_degree_model *fixed, double share, double n_parts, double n_ranks)
{
  double needed = 0;
  for (int c = 0; c < fixed->n; c++)
    needed += fixed->rows[c] * n_parts / n_ranks *
              (n_parts > 1 ? -expm1(fixed->degrees[c] * share * log1p(-1 / n_parts)) : 1);
  return needed;
}

/* Messages of a rank that exchanges so many rows with some others. */
static double messages_of(double rows, double others) { return others > 0 ? others * -expm1(-rows / others) : 0; }

/* Both hops of a rectangle: a row of it needs what any of its ranks does. n_rows: ranks that may need a fixed row. */
static void expect_hops(const gmf_degree_model *fixed, int n_rows, int n_ranks, int n_cols, gmf_share *typical,
                        gmf_share *most)
{
  int n_rect_rows = n_ranks / n_cols, n_parts = n_rect_rows < n_rows ? n_rect_rows : n_rows;
  double between = needed_by(fixed, 1, n_parts, n_ranks), first = between * (1 - 1.0 / n_rect_rows);
  double second = (double)typical->slots * (1 - 1.0 / n_cols);
  double more = typical->slots > 0 ? (double)most->slots / (double)typical->slots : 1;
  double gives = typical->given > 0 ? (double)most->given / (double)typical->given : 1;
  typical->between = most->between = whole(between);
  typical->hops[0] = (gmf_hop_share){.fetched = whole(first), .given = whole(first)};
  typical->hops[1] = (gmf_hop_share){.fetched = whole(second), .given = whole(second)};
  typical->hops[0].n_sources = typical->hops[0].n_targets = whole(messages_of(first, n_rect_rows - 1));
  typical->hops[1].n_sources = typical->hops[1].n_targets = whole(messages_of(second, n_cols - 1));
  for (int hop = 0; hop < 2; hop++) most->hops[hop] = typical->hops[hop];
  most->hops[0].given = whole(first * gives);
  most->hops[1].fetched = whole(second * more);
}

/* Rows that arrive once at each node. */
static void expect_sharing(const gmf_degree_model *fixed, int n_rows, int n_ranks, int node_ranks, gmf_share *typical,
                           gmf_share *most)
{
  int n_nodes = (n_ranks + node_ranks - 1) / node_ranks, n_parts = n_nodes < n_rows ? n_nodes : n_rows;
  double alone = (double)typical->slots, arrive = fmin(needed_by(fixed, 1, n_parts, n_ranks), alone);
  double share = alone > 0 ? arrive / alone : 1, travels = 1 - 1.0 / n_nodes, direct = 1 - 1.0 / n_ranks;
  gmf_share *const both[2] = {typical, most};
  for (int e = 0; e < 2; e++) {
    gmf_share *s = both[e];
    s->shared = whole((double)s->slots * (1 - 1.0 / node_ranks));
    s->slots = whole((double)s->slots * share);
    s->sent = whole((double)s->sent * share);
    s->fetched = whole((double)s->fetched * share * travels / direct);
    s->given = whole((double)s->given * share * travels / direct);
    s->n_sources = s->n_targets = whole(messages_of((double)s->fetched, n_ranks - node_ranks));
  }
}

void gmf_degree_model_share(const gmf_degree_model models[GMF_N_SIDES], gmf_side side, int n_rows, int n_cols,
                            const gmf_layout *layout, const gmf_expected_ways *ways, const gmf_row_work *light,
                            const gmf_row_work *heavy, gmf_share *typical, gmf_share *most)
{
  const gmf_degree_model *updated = &models[side], *fixed = &models[gmf_other_side(side)];
  int n_ranks = n_rows * n_cols;
  updated_sums sums = sum_updated(updated, n_ranks, layout, light, heavy);
  double share = sums.heavy_ratings / sums.ratings, slots = slots_of(fixed, 0, n_rows, n_ranks, share, layout);
  double remote = 1 - 1.0 / n_ranks, others = n_ranks - 1;
  if (gmf_layout_has_heavy(&ways->copied) && ways->node_ranks <= 1 && slots > 0) /* copies are there, like own rows */
    remote -= slots_of(fixed, (double)ways->copied.heavy_from, n_rows, n_ranks, share, layout) / slots *
              (ways->copied.n_cols - 1) / n_ranks;
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
  double limit = (double)layout->heavy_from, more = fullest(updated, n_rows, limit);
  double gives = fullest(fixed, n_ranks, INFINITY), n_fixed = n_rows_of(fixed);
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
  if (ways->hop_cols > 0) expect_hops(fixed, n_rows, n_ranks, ways->hop_cols, typical, most);
  if (ways->node_ranks > 1) expect_sharing(fixed, n_rows, n_ranks, ways->node_ranks, typical, most);
}

/* Rows of a rank that are panels of their own, having as many ratings as a panel may have fixed rows or more; *ratings:
 * theirs. Heavy rows are in none of these panels. */
static double count_long(const gmf_degree_model *m, int n_ranks, const gmf_layout *layout, double most, double *ratings)
{
  double rows = 0;
  *ratings = 0;
  for (int c = 0; c < m->n; c++) {
    if (m->degrees[c] < most || m->degrees[c] >= (double)layout->heavy_from) continue;
    rows += m->rows[c] / n_ranks;
    *ratings += m->rows[c] * m->degrees[c] / n_ranks;
  }
  return rows;
}

void gmf_degree_model_cut(const gmf_degree_model models[GMF_N_SIDES], gmf_side side, int n_ranks,
                          const gmf_layout *layout, int64_t most_slots, gmf_share *s)
{
  const gmf_degree_model *updated = &models[side], *fixed = &models[gmf_other_side(side)];
  double most = (double)gmf_max64(most_slots, 1), all = (double)s->slots, long_ratings = 0, low = 1, high = 1e9;
  if (all <= most) return;
  double n_long = count_long(updated, n_ranks, layout, most, &long_ratings);
  double rest = fmax((double)(s->ratings - s->heavy_ratings) - long_ratings, 0), share = rest / (double)s->ratings;
  /* A panel touches what a rank of so many times as many ranks would; between two long rows one ends, too. */
  for (int step = 0; step < 100; step++) {
    double middle = sqrt(low * high);
    if (needed_by(fixed, share, n_ranks * middle, n_ranks * middle) > most)
      low = middle;
    else
      high = middle;
  }
  double panels = rest > 0 ? fmin(high + n_long, (double)s->own - n_long) : 0;
  double slots = long_ratings + (double)gmf_min64(s->heavy_ratings, s->slots);
  if (panels > 0) slots += fmin(panels * needed_by(fixed, share, n_ranks * panels, n_ranks * panels), rest);
  double more = slots / all, others = n_ranks - 1;
  panels = ceil(panels + n_long);
  s->sent = whole((double)s->sent * more);
  s->given = whole((double)s->given * more);
  s->fetched = whole((double)s->fetched * more);
  s->n_sources = s->n_targets = whole(panels * messages_of(slots / panels * others / n_ranks, others));
  s->n_panels = whole(panels) + gmf_layout_has_heavy(layout);
  s->panel_slots = whole(fmin(fmax(most, fmin(largest(updated, (double)layout->heavy_from), all)), all));
  s->panel_sent = whole((double)s->given / panels);
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
    t->light[k] = remote * n_ranks * slots_of(fixed, 0, n_ranks, n_ranks, share, &none);
    for (int j = 0; j < t->n_shapes; j++) {
      gmf_layout layout = {0, n_ranks / t->n_cols[j], t->n_cols[j]};
      t->heavy[j][k] = remote * n_ranks * slots_of(fixed, 0, n_ranks, n_ranks, share, &layout) - t->light[k];
    }
  }
}
