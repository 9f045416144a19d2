/*
 * With threshold tau and a heavy grid of R x C ranks, of P in all, a half-sweep takes about
 *
 *   max(work of all rows / P, work of the longest row at one rank) + bytes received / P / network + calls latency
 *
 * seconds.  Bytes are those of the fixed rows that travel (fetch_table.h) and, for each heavy row, C - 1 times what is
 * folded.  The first maximum is what longest-work-first placement cannot pass: a light row is one rank's work, however
 * long it is, and a heavy one that of the C ranks of its grid row. Where these have copies of it (als_fold_cg.c), it
 * does not travel to them in the other half-sweep, which counts as bytes less in this one.
 *
 * The rates are those of a usual machine and not of this one, so that layouts, and with them the last bits of a model,
 * depend on the data, the options and the number of ranks alone.
 */
#include "app/layout_choice.h"

#include <math.h>
#include <string.h>

#include "algo/als.h"
#include "app/placement.h"
#include "base/memory.h"

static const double FLOPS = 1e12, CG_FLOPS = 200e9 /* it gathers as much as it multiplies */;
static const double NETWORK = 12.5e9, LATENCY = 2e-6;
/* A layout with heavy rows has to be better by so much: the model is not that good. */
static const double GAIN = 0.02;
/* More than so uneven work counts as so much time more: ranks that are slower than usual ones wait longer for it, where
 * what messages take stays as it is. */
static const double EVEN = 1.1, UNEVEN = 1.25;

/* Of a candidate. */
typedef struct candidate {
  double seconds, received, balance;
} candidate;

/* A way of solving rows: what they cost, and how fast that is done. */
typedef struct way {
  gmf_row_work work;
  double flops;
} way;

static way way_of(const gmf_row_options *row, gmf_folding folding)
{
  bool cg = row->solver == GMF_SOLVER_CG ||
            (folding != GMF_FOLDS_NOTHING && gmf_als_fold_way(row, folding == GMF_FOLDS_HEAVY).cg_steps > 0);
  return (way){gmf_cost_row_work(row, folding), cg ? CG_FLOPS : FLOPS};
}

/* Seconds of a row whose ratings n_ranks share: of one of them that owns it. */
static double row_seconds(const way *w, int64_t n_ratings, double n_ranks)
{
  const gmf_row_work *work = &w->work;
  return (work->shared(work->context, n_ratings) / n_ranks + work->alone(work->context, n_ratings)) / w->flops;
}

/* Seconds of the rows of a class, all alike. */
static double class_seconds(const gmf_fetch_table *t, int class, const way *w)
{
  if (t->rows[class] == 0) return 0;
  return t->rows[class] * row_seconds(w, llround(t->ratings[class] / t->rows[class]), 1);
}

gmf_layout gmf_layout_copied(const gmf_row_options *row, const gmf_layout *layout)
{
  return gmf_als_way_copies(gmf_als_fold_way(row, true)) ? *layout : gmf_layout_light(layout->n_rows * layout->n_cols);
}

/* The ranks that need a row of a class when it is fixed, as a share of all: its ratings lie with them by chance. */
static double needed_by(const gmf_fetch_table *t, int class)
{
  return t->rows[class] > 0 ? -expm1(t->ratings[class] / t->rows[class] * log1p(-1.0 / t->n_ranks)) : 0;
}

/* Threshold k, n_least for none, on the heavy grid `shape`. */
static candidate weigh(const gmf_fetch_table *t, int k, int shape, const gmf_row_options *row, gmf_wire wire)
{
  way light = way_of(row, GMF_FOLDS_NOTHING), heavy = way_of(row, GMF_FOLDS_HEAVY);
  double work = 0, n_heavy = 0, n_needed = 0, longest = 0, n_cols = t->n_cols[shape];
  for (int c = 0; c <= t->n_least; c++) {
    bool is_heavy = c > k;
    work += class_seconds(t, c, is_heavy ? &heavy : &light);
    n_heavy += is_heavy ? t->rows[c] : 0;
    n_needed += is_heavy ? t->rows[c] * needed_by(t, c) : 0;
    if (t->rows[c] > 0)
      longest = fmax(longest, row_seconds(is_heavy ? &heavy : &light, t->longest[c], is_heavy ? n_cols : 1));
  }
  double row_bytes = (double)gmf_wire_bytes(wire, gmf_als_ld(row)), fetched = t->light[k];
  double folded = 0, saved = 0, calls = t->n_ranks - 1;
  if (n_heavy > 0) {
    fetched += t->heavy[shape][k];
    folded = n_heavy * (n_cols - 1) * (double)gmf_cost_fold_bytes(row, GMF_FOLDS_HEAVY);
    if (gmf_als_way_copies(gmf_als_fold_way(row, true))) saved = n_needed * (n_cols - 1) * row_bytes;
    calls += 2 * log2(n_cols) *
             (double)gmf_cost_fold_calls(row, GMF_FOLDS_HEAVY, (int64_t)ceil(n_heavy / t->n_ranks), t->n_cols[shape]);
  }
  candidate c = {.received = (fetched * row_bytes + folded) / t->n_ranks};
  double mean = work / t->n_ranks, most = fmax(mean, longest);
  c.balance = mean > 0 ? most / mean : 1;
  c.seconds = most + (c.received - saved / t->n_ranks) / NETWORK + calls * LATENCY;
  if (c.balance > EVEN) c.seconds *= UNEVEN;
  return c;
}

/*
 * Whether rows of n ratings are solved alike light and heavy. With cg, short light rows are solved exactly
 * (row_solver.h) and heavy ones are not: such a layout would have another loss after as many sweeps.
 */
static bool is_solved_alike(const gmf_row_options *row, int64_t n_ratings)
{
  return row->solver != GMF_SOLVER_CG || gmf_row_choose(row, n_ratings) == GMF_ROW_CG;
}

void gmf_layout_best(const gmf_fetch_table *t, const gmf_row_options *row, gmf_wire wire, gmf_layout_choice *out)
{
  candidate none = weigh(t, t->n_least, 0, row, wire), best = none;
  int threshold = t->n_least, shape = 0;
  for (int j = 0; j < t->n_shapes; j++)
    for (int k = 0; k < t->n_least; k++) {
      if (!is_solved_alike(row, t->least[k])) continue;
      candidate c = weigh(t, k, j, row, wire);
      if (c.seconds >= best.seconds || c.seconds >= (1 - GAIN) * none.seconds) continue;
      best = c;
      threshold = k;
      shape = j;
    }
  *out = (gmf_layout_choice){.layout = gmf_layout_light(t->n_ranks),
                             .considered = true,
                             .received = best.received,
                             .of_light = none.received,
                             .balance = best.balance,
                             .light_balance = none.balance,
                             .sampled = t->sampled};
  double ratings = 0;
  for (int c = 0; c <= t->n_least; c++) {
    ratings += t->ratings[c];
    out->n_heavy += c > threshold ? t->rows[c] : 0;
    out->heavy_share += c > threshold ? t->ratings[c] : 0;
  }
  if (ratings > 0) out->heavy_share /= ratings;
  if (threshold < t->n_least)
    out->layout = (gmf_layout){t->least[threshold], t->n_ranks / t->n_cols[shape], t->n_cols[shape]};
}

static bool is_by_degree(const gmf_config *config)
{
  return config->algorithm == GMF_ALGORITHM_ALS || config->algorithm == GMF_ALGORITHM_IALS;
}

bool gmf_layout_is_free(const gmf_config *config, gmf_side side, int n_ranks, int n_cols)
{
  return is_by_degree(config) && n_ranks > 1 && n_cols == 1 && strcmp(config->grid, "auto") == 0 &&
         !config->deterministic && gmf_config_layout_is_auto(config, side);
}

gmf_status gmf_layout_given(const gmf_config *config, gmf_side side, int n_ranks, int n_cols, gmf_layout *layout,
                            bool *is_free, gmf_error *err)
{
  gmf_grid grid = {.size = n_ranks, .n_rows = n_ranks / n_cols, .n_cols = n_cols};
  *layout = gmf_layout_light(n_ranks);
  *is_free = gmf_layout_is_free(config, side, n_ranks, n_cols);
  return is_by_degree(config) && !*is_free ? gmf_config_layout(config, side, &grid, layout, err) : GMF_OK;
}

gmf_status gmf_choose_layouts(const gmf_grid *grid, const gmf_config *config, const gmf_rating_source *source,
                              int n_ranks, int n_cols, int64_t *const counts[GMF_N_SIDES],
                              gmf_layout_choice out[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_axis *axes[GMF_N_SIDES] = {NULL};
  gmf_row_options row = gmf_config_row(config);
  bool is_free[GMF_N_SIDES];
  const int64_t *item_counts = gmf_axis_has_table(source->n[GMF_ITEMS]) ? counts[GMF_ITEMS] : NULL;

  for (int s = 0; s < GMF_N_SIDES; s++) {
    out[s] = (gmf_layout_choice){.considered = false};
    GMF_TRY(gmf_layout_given(config, (gmf_side)s, n_ranks, n_cols, &out[s].layout, &is_free[s], err));
  }
  if (item_counts == NULL) is_free[GMF_ITEMS] = false;
  if (!is_free[GMF_USERS] && !is_free[GMF_ITEMS]) return GMF_OK;
  /* Owners as they are without heavy rows; which rows are heavy changes them little. */
  status = gmf_place_rows(n_ranks, source->n, config, counts, NULL, axes, err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int s = GMF_N_SIDES - 1; s >= 0; s--) { /* items first, of which some are heavy more often */
    gmf_fetch_table table;
    gmf_layout copied = gmf_layout_copied(&row, &out[gmf_other_side((gmf_side)s)].layout);
    if (!is_free[s]) continue;
    GMF_TRY(gmf_fetch_table_count(grid, source, (gmf_side)s, axes, n_ranks, item_counts, &copied, &table, err));
    gmf_layout_best(&table, &row, (gmf_wire)config->wire, &out[s]);
  }
cleanup:
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_axis_destroy(&axes[s]);
  return status;
}

void gmf_layout_reason(const gmf_layout_choice *c, gmf_side side, char *out, size_t size)
{
  char sample[64] = "";
  if (c->sampled > 1) snprintf(sample, sizeof sample, ", by one row in %lld", (long long)c->sampled);
  if (gmf_layout_has_heavy(&c->layout))
    snprintf(
        out, size,
        "those of at least %s ratings on %dx%d: %.3f MB a rank received instead of %.3f, the most work %.2f of the "
        "mean instead of %.2f%s",
        gmf_thousands(c->layout.heavy_from), c->layout.n_rows, c->layout.n_cols, c->received / 1e6, c->of_light / 1e6,
        c->balance, c->light_balance, sample);
  else
    snprintf(out, size, "all in one column: %.3f MB a rank received, and no heavy %s make it %.0f %% faster%s",
             c->of_light / 1e6, gmf_side_name(side), 100 * GAIN, sample);
}

void gmf_layout_log(const gmf_log *log, const gmf_layout_choice choices[GMF_N_SIDES])
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    char why[300];
    if (!choices[s].considered) continue;
    gmf_layout_reason(&choices[s], (gmf_side)s, why, sizeof why);
    gmf_log_line(log, "%-5s half-sweep: %s", gmf_side_noun((gmf_side)s), why);
  }
}
