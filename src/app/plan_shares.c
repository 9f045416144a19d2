/* Of a plan what each rank has: counted from the ratings, or expected from their number. */
#include "app/plan_internal.h"

#include <math.h>

#include "app/memory_check.h"
#include "app/placement.h"
#include "app/ways.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/hops.h"

void gmf_plan_shares_free(gmf_plan_shares *s)
{
  gmf_free(s->alike);
  for (int side = 0; side < GMF_N_SIDES; side++) gmf_free(s->side[side]);
}

/* ---- layouts ----------------------------------------------------------------------------------------------------- */

gmf_status gmf_plan_choose_layouts(gmf_planner *p, gmf_plan *plan, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (p->dataset != NULL)
    GMF_TRY(gmf_choose_layouts(p->grid, p->config, &p->source, plan->n_ranks, plan->n_grid_cols, p->degrees,
                               plan->choices, err));
  for (int s = 0; s < GMF_N_SIDES && p->dataset == NULL; s++) {
    gmf_fetch_table table;
    bool is_free = false;
    gmf_layout *given = &plan->choices[s].layout;
    GMF_TRY(gmf_layout_given(p->config, (gmf_side)s, plan->n_ranks, plan->n_grid_cols, given, &is_free, err));
    if (!is_free || (s == GMF_ITEMS && !gmf_axis_has_table(p->shape.n[s]))) continue;
    gmf_degree_model_table(p->models, (gmf_side)s, plan->n_ranks, &table);
    gmf_layout_best(&table, &p->row, p->shape.wire, &plan->choices[s]);
  }
  for (int s = 0; s < GMF_N_SIDES; s++) {
    int64_t longest = 0; /* what is as long as no row makes none heavy */
    for (int64_t r = 0; p->dataset != NULL && r < p->shape.n[s]; r++) longest = gmf_max64(longest, p->degrees[s][r]);
    plan->layouts[s] = plan->choices[s].layout;
    if (p->dataset != NULL && longest < plan->layouts[s].heavy_from) plan->layouts[s] = gmf_layout_light(plan->n_ranks);
  }
cleanup:
  return status;
}

gmf_folding gmf_plan_folding(const gmf_plan *plan, gmf_side side)
{
  if (gmf_layout_has_heavy(&plan->layouts[side])) return GMF_FOLDS_HEAVY;
  return plan->n_grid_cols > 1 ? GMF_FOLDS_ALL : GMF_FOLDS_NOTHING;
}

/* Which rows of a side are folded, on a grid of how many rows and columns; and for those that are, the most that a rank
 * of each grid row owns. */
static void set_folds(const gmf_plan *plan, gmf_side side, gmf_rank_cost *ranks, int n)
{
  const gmf_layout *layout = &plan->layouts[side];
  bool heavy = gmf_layout_has_heavy(layout);
  int n_cols = heavy ? layout->n_cols : plan->n_grid_cols;
  for (int r = 0; r < n; r++) {
    const gmf_share *s = &ranks[r].share;
    ranks[r].folding = gmf_plan_folding(plan, side);
    ranks[r].n_cols = n_cols;
    ranks[r].folded = heavy ? s->heavy_rows : s->rows;
    ranks[r].fold_own = heavy ? s->heavy_own : s->own;
  }
  for (int first = 0; first < n; first += n_cols) {
    int64_t longest = 0;
    int end = first + n_cols < n ? first + n_cols : n;
    for (int r = first; r < end; r++) longest = gmf_max64(longest, ranks[r].fold_own);
    for (int r = first; r < end; r++) ranks[r].longest = longest;
  }
}

/* Local. The heavy rows of a side's layout, *rows (owned by the caller), as placement takes them. */
static gmf_status list_heavy(const gmf_planner *p, gmf_side side, const gmf_layout *layout, int64_t **rows,
                             gmf_shared_rows *shared, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *shared = (gmf_shared_rows){.n_cols = layout->n_cols};
  if (!gmf_layout_has_heavy(layout)) return GMF_OK;
  GMF_TRY(GMF_NEW(*rows, p->shape.n[side], err));
  for (int64_t r = 0; r < p->shape.n[side]; r++)
    if (p->degrees[side][r] >= layout->heavy_from) (*rows)[shared->n++] = r;
  shared->rows = *rows;
cleanup:
  return status;
}

/* Local. */
static gmf_status place_rows(const gmf_planner *p, const gmf_plan *plan, gmf_axis *axes[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *rows[GMF_N_SIDES] = {NULL};
  gmf_shared_rows heavy[GMF_N_SIDES];
  for (int s = 0; s < GMF_N_SIDES; s++)
    GMF_TRY(list_heavy(p, (gmf_side)s, &plan->layouts[s], &rows[s], &heavy[s], err));
  GMF_TRY(gmf_place_rows(plan->n_ranks, p->shape.n, p->config, p->degrees, heavy, axes, err));
cleanup:
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_free(rows[s]);
  return status;
}

/* ---- how fixed rows come to the ranks ---------------------------------------------------------------------------- */

static int64_t limit_of(const gmf_config *c) { return c->memory_limit > 0 ? c->memory_limit : INT64_MAX; }

void gmf_plan_choose_sharing(const gmf_planner *p, gmf_train_shape *shape, gmf_plan *plan)
{
  const gmf_config *c = p->config;
  int64_t fits[2], most = c->ranks_per_node > 0 ? c->ranks_per_node : GMF_PLAN_NODE_RANKS;
  plan->node_ranks = shape->n_here = gmf_int(gmf_min64(most, plan->n_ranks));
  if (!plan->has_sweep || plan->node_ranks == 1 || c->share_node == GMF_SHARE_OFF || c->hops == GMF_HOPS_2 ||
      c->expand_memory > 0)
    return;
  gmf_sharing_fits(shape, plan->node_ranks, limit_of(c), fits);
  if (c->share_node == GMF_SHARE_ON || (!fits[0] && fits[1])) shape->node_ranks = plan->node_ranks;
  plan->shares = shape->node_ranks > 1;
}

/* Local. By the entries of a side. */
static void choose_hops(const gmf_planner *p, const gmf_train_shape *shape, gmf_side side, gmf_plan *plan,
                        gmf_plan_shares *s)
{
  gmf_hops_choice *choice = &plan->hops[side];
  int64_t row_bytes = (int64_t)gmf_wire_bytes(shape->wire, gmf_als_ld(&p->row));
  *choice = (gmf_hops_choice){.considered = p->config->hops == GMF_HOPS_AUTO, .taken = true};
  for (int e = 0; e < s->n; e++) {
    const gmf_share *b = &s->side[side][e].share;
    gmf_hops_add(choice, GMF_STRAIGHT, b->n_targets, b->fetched, row_bytes);
    gmf_hops_add(choice, GMF_TWO_HOPS, b->hops[0].n_targets + b->hops[1].n_targets,
                 b->hops[0].fetched + b->hops[1].fetched, row_bytes);
  }
  if (choice->considered) gmf_hops_choose(choice);
  for (int e = 0; e < s->n; e++) {
    gmf_share *b = &s->side[side][e].share;
    if (choice->taken)
      gmf_share_take_hops(b);
    else
      b->between = 0;
  }
}

/* Local. Of an entry, the most fixed rows of a panel: as train would have it, by --expand-memory or for the run to fit.
 * Whether there are panels at all. */
static bool set_panels(const gmf_planner *p, const gmf_train_shape *shape, const gmf_plan *plan,
                       const gmf_plan_shares *s, int64_t *most_slots)
{
  const gmf_config *c = p->config;
  int64_t row_bytes = gmf_als_ld(&p->row) * (int64_t)sizeof(float);
  bool any = false;
  if (!plan->has_sweep || plan->n_grid_cols > 1 || shape->node_ranks > 1 || plan->hops[GMF_USERS].taken ||
      plan->hops[GMF_ITEMS].taken)
    return false;
  for (int e = 0; e < s->n; e++) {
    gmf_memory_share memory[GMF_N_SIDES];
    int64_t bytes = c->expand_memory;
    gmf_plan_memory_shares(s, e, memory);
    if (bytes == 0) bytes = gmf_fit_expanded_rows(shape, memory, limit_of(c));
    most_slots[e] = bytes > 0 ? bytes / 3 / row_bytes : INT64_MAX;
    any = any || bytes > 0;
  }
  return any;
}

/* Collective. */
static gmf_status cut_panels(gmf_planner *p, const gmf_census_side sides[GMF_N_SIDES], const int64_t *most_slots,
                             gmf_plan_shares *out, gmf_share *counted, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    for (int r = 0; r < out->n; r++) counted[r] = out->side[s][r].share;
    GMF_TRY(gmf_census_panels(p->grid, &p->source, &sides[s], most_slots, counted, err));
    for (int r = 0; r < out->n; r++) out->side[s][r].share = counted[r];
  }
cleanup:
  return status;
}

void gmf_plan_memory_shares(const gmf_plan_shares *shares, int entry, gmf_memory_share memory[GMF_N_SIDES])
{
  for (int side = 0; side < GMF_N_SIDES; side++) {
    const gmf_rank_cost *cost = &shares->side[side][entry];
    const gmf_share *b = &cost->share;
    bool is_cut = b->n_panels > 1, hops = b->between > 0;
    memory[side] = (gmf_memory_share){.ratings = b->ratings,
                                      .rows = b->rows,
                                      .own = b->own,
                                      .slots = b->slots,
                                      .sent = b->given,
                                      .at_once = is_cut ? b->panel_slots : b->slots,
                                      .leaving = is_cut ? b->panel_sent : b->given,
                                      .between = b->between,
                                      .is_cut = is_cut,
                                      .heavy_rows = b->heavy_rows,
                                      .heavy_ratings = b->heavy_ratings,
                                      .fold_cols = cost->folding != GMF_FOLDS_NOTHING ? cost->n_cols : 1,
                                      .longest = cost->longest};
    if (hops) memory[side].leaving = gmf_max64(b->hops[0].given, b->hops[1].given);
  }
}

/* ---- shares ------------------------------------------------------------------------------------------------------ */

/* A fixed side's layout, where ranks have copies of its heavy rows. */
static gmf_layout copied_of(const gmf_planner *p, const gmf_plan *plan, gmf_side fixed)
{
  return gmf_layout_copied(&p->row, &plan->layouts[fixed]);
}

gmf_status gmf_plan_count_shares(gmf_planner *p, const gmf_train_shape *shape, gmf_plan *plan, gmf_plan_shares *out,
                                 gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int n_ranks = plan->n_ranks;
  gmf_axis *axes[GMF_N_SIDES] = {NULL};
  gmf_share *counted = NULL;
  int64_t *most_slots = NULL;
  gmf_census_side sides[GMF_N_SIDES];
  bool hops = gmf_hops_fit(p->config, shape, limit_of(p->config));
  gmf_row_work light = gmf_cost_row_work(&p->row, plan->n_grid_cols > 1 ? GMF_FOLDS_ALL : GMF_FOLDS_NOTHING);
  gmf_row_work heavy = gmf_cost_row_work(&p->row, GMF_FOLDS_HEAVY);

  out->n = n_ranks;
  local = place_rows(p, plan, axes, err);
  if (local == GMF_OK) local = GMF_NEW(counted, n_ranks, err);
  if (local == GMF_OK) local = GMF_NEW(most_slots, n_ranks, err);
  if (local == GMF_OK) local = GMF_NEW(out->alike, n_ranks, err);
  for (int s = 0; s < GMF_N_SIDES && local == GMF_OK; s++) local = GMF_NEW_ZERO(out->side[s], n_ranks, err);
  GMF_TRY(gmf_agree(p->grid, local, err));
  for (int r = 0; r < n_ranks; r++) out->alike[r] = 1;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    sides[s] = (gmf_census_side){.side = (gmf_side)s,
                                 .n_rows = plan->n_grid_rows,
                                 .n_cols = plan->n_grid_cols,
                                 .layout = plan->layouts[s],
                                 .axes = axes,
                                 .degrees = p->degrees[s],
                                 .node_ranks = shape->node_ranks,
                                 .hop_cols = hops ? gmf_hops_cols(n_ranks) : 0,
                                 .copied = copied_of(p, plan, gmf_other_side((gmf_side)s)),
                                 .fixed_degrees = p->degrees[gmf_other_side((gmf_side)s)]};
    GMF_TRY(gmf_census_run(p->grid, &p->source, &sides[s], &light, &heavy, counted, err));
    for (int r = 0; r < n_ranks; r++) out->side[s][r].share = counted[r];
    set_folds(plan, (gmf_side)s, out->side[s], n_ranks);
    if (hops) choose_hops(p, shape, (gmf_side)s, plan, out);
  }
  if (set_panels(p, shape, plan, out, most_slots)) GMF_TRY(cut_panels(p, sides, most_slots, out, counted, err));
cleanup:
  gmf_free(counted);
  gmf_free(most_slots);
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_axis_destroy(&axes[s]);
  return status;
}

gmf_status gmf_plan_expect_shares(gmf_planner *p, const gmf_train_shape *shape, gmf_plan *plan, gmf_plan_shares *out,
                                  gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_row_work light = gmf_cost_row_work(&p->row, plan->n_grid_cols > 1 ? GMF_FOLDS_ALL : GMF_FOLDS_NOTHING);
  gmf_row_work heavy = gmf_cost_row_work(&p->row, GMF_FOLDS_HEAVY);
  int64_t most_slots[2];
  bool hops = gmf_hops_fit(p->config, shape, limit_of(p->config));
  out->n = 2;
  GMF_TRY(GMF_NEW(out->alike, out->n, err));
  out->alike[0] = plan->n_ranks;
  out->alike[1] = 0;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    GMF_TRY(GMF_NEW_ZERO(out->side[s], out->n, err));
    gmf_rank_cost *b = out->side[s];
    gmf_expected_ways ways = {.node_ranks = shape->node_ranks,
                              .hop_cols = hops ? gmf_hops_cols(plan->n_ranks) : 0,
                              .copied = copied_of(p, plan, gmf_other_side((gmf_side)s))};
    gmf_degree_model_share(p->models, (gmf_side)s, plan->n_grid_rows, plan->n_grid_cols, &plan->layouts[s], &ways,
                           &light, &heavy, &b[0].share, &b[1].share);
    set_folds(plan, (gmf_side)s, b, out->n);
    if (hops) choose_hops(p, shape, (gmf_side)s, plan, out);
  }
  if (!set_panels(p, shape, plan, out, most_slots)) return GMF_OK;
  for (int s = 0; s < GMF_N_SIDES; s++)
    for (int e = 0; e < out->n; e++)
      gmf_degree_model_cut(p->models, (gmf_side)s, plan->n_ranks, &plan->layouts[s], most_slots[e],
                           &out->side[s][e].share);
cleanup:
  return status;
}
