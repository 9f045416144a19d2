/* `gridmf plan`: prints what app/plan.c finds. */
#include "app/plan.h"

#include <math.h>

#include "app/ways.h"
#include "base/narrow.h"
#include "cli/verbs.h"
#include "kernel/isa.h"

static const double MEGA = 1e6, GIGA = 1e9;

enum { MOST_OF_TABLE = 4096 /* ranks */ };
/* At this efficiency the table ends. */
static const double USELESS = 0.02;

/* The most over the mean. */
static double balance(gmf_plan_spread s) { return s.mean > 0 ? s.most / s.mean : 1; }

static double sum_received(const gmf_plan *p, bool most)
{
  double sum = 0;
  for (int s = 0; s < GMF_N_SIDES; s++) sum += most ? p->halves[s].received.most : p->halves[s].received.mean;
  return sum;
}

/* What a sweep sends in messages of its own. */
static double sum_messages(const gmf_plan *p)
{
  double sum = 0;
  for (int s = 0; s < GMF_N_SIDES; s++) sum += p->halves[s].moves[GMF_MOVE_EXPAND].calls.most;
  return sum;
}

/* Of work, of the half where it is worse. */
static double work_balance(const gmf_plan *p)
{
  return fmax(balance(p->halves[GMF_USERS].work), balance(p->halves[GMF_ITEMS].work));
}

/* ---- for machines ------------------------------------------------------------------------------------------------ */

static json_t *json_of_spread(gmf_plan_spread s) { return json_pack("{s:f, s:f}", "mean", s.mean, "max", s.most); }

static json_t *json_of_traffic(const gmf_plan *p, int side, int move)
{
  const gmf_plan_move *m = &p->halves[side].moves[move];
  json_t *object = json_pack("{s:s, s:s, s:o, s:o, s:o}", "move", gmf_move_name((gmf_move)move), "function",
                             gmf_move_function((gmf_move)move), "calls", json_of_spread(m->calls), "bytes",
                             json_of_spread(m->bytes), "received_bytes", json_of_spread(m->received));
  if (p->by_rank == NULL) return object;
  json_t *ranks = json_array();
  for (int r = 0; r < p->n_by_rank; r++) {
    const gmf_traffic *t = &p->by_rank[((int64_t)side * p->n_by_rank + r) * GMF_N_MOVES + move];
    json_array_append_new(ranks, json_pack("{s:I, s:I, s:I}", "calls", (json_int_t)t->calls, "bytes",
                                           (json_int_t)t->bytes, "received_bytes", (json_int_t)t->received));
  }
  json_object_set_new(object, "ranks", ranks);
  return object;
}

static json_t *json_of_hops(const gmf_hops_choice *c)
{
  json_t *object = json_pack("{s:i}", "taken", c->taken ? 2 : 1);
  for (int way = 0; way < GMF_N_HOP_WAYS; way++)
    json_object_set_new(object, way == GMF_STRAIGHT ? "straight" : "two_hops",
                        json_pack("{s:f, s:f, s:f}", "messages", c->most[way].messages, "received_bytes",
                                  c->most[way].bytes, "seconds", c->most[way].seconds));
  return object;
}

static json_t *json_of_half(const gmf_plan *p, int side)
{
  const gmf_plan_half *h = &p->halves[side];
  json_t *moves = json_array();
  for (int m = 0; m < GMF_N_MOVES; m++)
    if (h->moves[m].calls.most > 0) json_array_append_new(moves, json_of_traffic(p, side, m));
  json_t *object = json_pack("{s:o, s:o, s:o, s:o, s:f, s:f, s:f, s:o}", "ratings", json_of_spread(h->ratings),
                             "operations", json_of_spread(h->work), "expanded_rows", json_of_spread(h->slots),
                             "received_bytes", json_of_spread(h->received), "compute_seconds", h->compute,
                             "memory_seconds", h->memory, "network_seconds", h->network, "moves", moves);
  if (h->n_panels > 0) json_object_set_new(object, "panels", json_integer(h->n_panels));
  if (p->shares) json_object_set_new(object, "shared_bytes", json_of_spread(h->shared));
  if (p->hops[side].considered) json_object_set_new(object, "hops", json_of_hops(&p->hops[side]));
  const gmf_layout *l = &p->layouts[side];
  const gmf_layout_choice *choice = &p->choices[side];
  if (choice->considered)
    json_object_set_new(
        object, "choice",
        json_pack("{s:f, s:f, s:f, s:f, s:I}", "received_bytes", choice->received, "received_bytes_without_heavy",
                  choice->of_light, "balance", choice->balance, "balance_without_heavy", choice->light_balance,
                  "sampled_one_in", (json_int_t)choice->sampled));
  if (gmf_layout_has_heavy(l)) {
    char grid[32];
    snprintf(grid, sizeof grid, "%dx%d", l->n_rows, l->n_cols);
    json_object_set_new(object, "heavy",
                        json_pack("{s:I, s:s}", "from_ratings", (json_int_t)l->heavy_from, "grid", grid));
  }
  return object;
}

static json_t *json_of_memory(const gmf_plan *p, const gmf_config *c)
{
  json_t *parts = json_object();
  for (int part = 0; part < GMF_N_MEMORY_PARTS; part++)
    if (p->memory.parts[part] > 0)
      json_object_set_new(parts, gmf_memory_part_name((gmf_memory_part)part), json_integer(p->memory.parts[part]));
  json_t *object = json_pack("{s:o, s:o, s:b}", "parts", parts, "peak_bytes", json_of_spread(p->peak), "fits", p->fits);
  if (c->memory_limit > 0) json_object_set_new(object, "limit_bytes", json_integer(c->memory_limit));
  return object;
}

static json_t *json_of_plan(const gmf_plan *p, const gmf_config *c)
{
  char grid[32];
  snprintf(grid, sizeof grid, "%dx%d", p->n_grid_rows, p->n_grid_cols);
  json_t *object = json_pack("{s:i, s:s, s:b, s:o, s:{s:I, s:I}}", "ranks", p->n_ranks, "grid", grid, "counted",
                             p->counted, "memory", json_of_memory(p, c), "files", "model_bytes",
                             (json_int_t)p->model_bytes, "checkpoint_bytes", (json_int_t)p->checkpoint_bytes);
  for (int s = 0; s < GMF_N_SIDES && p->has_sweep; s++)
    json_object_set_new(object, gmf_side_name((gmf_side)s), json_of_half(p, s));
  if (!p->has_sweep) return object;
  json_object_set_new(object, "sweep_seconds", json_real(p->seconds));
  json_object_set_new(
      object, "balance",
      json_pack("{s:o, s:o, s:o, s:o}", "ratings", json_of_spread(p->ratings), "operations", json_of_spread(p->work),
                "received_bytes", json_of_spread(p->received), "memory_bytes", json_of_spread(p->peak)));
  return object;
}

static json_t *json_of_rate(double rate, const char *source)
{
  return json_pack("{s:f, s:s}", "value", rate, "source", source);
}

/* Takes the plans. */
static void print_json(const gmf_planner *planner, const gmf_config *c, json_t *plans)
{
  int64_t nnz = 0;
  const int64_t *n = gmf_planner_sizes(planner, &nnz);
  const gmf_plan_rates *r = gmf_planner_rates(planner);
  json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:{s:o, s:o, s:o, s:o}, s:o}", "users", (json_int_t)n[GMF_USERS],
                             "items", (json_int_t)n[GMF_ITEMS], "ratings", (json_int_t)nnz, "factors",
                             (json_int_t)c->factors, "rates", "flops", json_of_rate(r->flops, r->flops_source),
                             "memory_bandwidth", json_of_rate(r->bandwidth, r->bandwidth_source), "network_bandwidth",
                             json_of_rate(r->network, r->network_source), "latency",
                             json_of_rate(r->latency, r->latency_source), "plans", plans);
  json_dumpf(object, stdout, JSON_REAL_PRECISION(12));
  putchar('\n');
  json_decref(object);
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

static void print_rates(const gmf_planner *planner)
{
  const gmf_plan_rates *r = gmf_planner_rates(planner);
  printf("a rank: %.1f GFLOP/s (%s), memory %.1f GB/s (%s), network %.1f GB/s (%s), %.1f us a message (%s)\n",
         r->flops / GIGA, r->flops_source, r->bandwidth / GIGA, r->bandwidth_source, r->network / GIGA,
         r->network_source, r->latency * MEGA, r->latency_source);
}

static void print_memory(const gmf_plan *p, const gmf_config *c)
{
  char table[1200];
  gmf_memory_table(&p->memory, table, sizeof table);
  printf("memory of the rank that needs most%s\n", table);
  printf("  %-22s %10.1f MB, on average %.1f MB\n", "peak", p->peak.most / MEGA, p->peak.mean / MEGA);
  if (c->memory_limit > 0)
    printf("  %s into the %.1f MB of --memory-limit\n", p->fits ? "fits" : "DOES NOT FIT",
           (double)c->memory_limit / MEGA);
}

static void print_half(const gmf_plan *p, int side)
{
  const gmf_plan_half *h = &p->halves[side];
  printf("\n%-22s %14s %14s %10s\n", side == GMF_USERS ? "user half-sweep" : "item half-sweep", "mean", "most",
         "most/mean");
  printf("  %-20s %14s %14s %10.2f\n", "ratings", gmf_thousands(llround(h->ratings.mean)),
         gmf_thousands(llround(h->ratings.most)), balance(h->ratings));
  printf("  %-20s %14.3f %14.3f %10.2f\n", "operations, G", h->work.mean / GIGA, h->work.most / GIGA, balance(h->work));
  printf("  %-20s %14s %14s %10.2f\n", "expanded rows", gmf_thousands(llround(h->slots.mean)),
         gmf_thousands(llround(h->slots.most)), balance(h->slots));
  for (int m = 0; m < GMF_N_MOVES; m++) {
    const gmf_plan_move *move = &h->moves[m];
    if (move->calls.most == 0) continue;
    char name[40];
    snprintf(name, sizeof name, "%s, MB received", gmf_move_name((gmf_move)m));
    printf("  %-20s %14.3f %14.3f %10.2f  %.0f x %s\n", name, move->received.mean / MEGA, move->received.most / MEGA,
           balance(move->received), move->calls.most, gmf_move_function((gmf_move)m));
  }
  if (p->shares)
    printf("  %-20s %14.3f %14.3f %10.2f  through a node's memory\n", "shared, MB", h->shared.mean / MEGA,
           h->shared.most / MEGA, balance(h->shared));
  if (h->n_panels > 0) printf("  %-20s %14lld\n", "panels", (long long)h->n_panels);
  printf("  %-20s %14.4f: %.4f operations, %.4f memory, %.4f messages\n", "seconds",
         fmax(h->compute, h->memory) + h->network, h->compute, h->memory, h->network);
}

static void print_plan(const gmf_planner *planner, const gmf_plan *p, const gmf_config *c)
{
  printf("%d ranks x %d threads, grid %dx%d, %s\n", p->n_ranks, gmf_planner_threads(planner), p->n_grid_rows,
         p->n_grid_cols, p->counted ? "counted from the ratings" : "about, as expected of such degrees");
  for (int s = 0; s < GMF_N_SIDES; s++) {
    char why[300] = "as given", hops[300];
    if (p->hops[s].considered) {
      gmf_hops_reason(&p->hops[s], p->n_ranks, hops, sizeof hops);
      printf("%s: %s\n", gmf_side_name((gmf_side)s), hops);
    }
    if (p->choices[s].considered) gmf_layout_reason(&p->choices[s], (gmf_side)s, why, sizeof why);
    if (p->choices[s].considered)
      printf("%s: %s\n", gmf_side_name((gmf_side)s), why);
    else if (gmf_layout_has_heavy(&p->layouts[s]))
      printf("%s: those of at least %s ratings on %dx%d, %s\n", gmf_side_name((gmf_side)s),
             gmf_thousands(p->layouts[s].heavy_from), p->layouts[s].n_rows, p->layouts[s].n_cols, why);
  }
  print_memory(p, c);
  if (p->has_sweep) {
    for (int s = 0; s < GMF_N_SIDES; s++) print_half(p, s);
    printf("\nbalance of a sweep, most/mean: ratings %.2f, work %.2f, bytes received %.2f, memory %.2f\n",
           balance(p->ratings), balance(p->work), balance(p->received), balance(p->peak));
    printf("a sweep takes %.4g s, %lld sweeps %.4g s\n", p->seconds, (long long)c->iterations,
           p->seconds * (double)c->iterations);
    print_rates(planner);
  }
  printf("files: model %.1f MB, checkpoint %.1f MB\n", (double)p->model_bytes / MEGA,
         (double)p->checkpoint_bytes / MEGA);
}

/* ---- several numbers of ranks ------------------------------------------------------------------------------------ */

static void print_head(const gmf_planner *planner, const gmf_plan *p)
{
  if (!p->has_sweep) {
    printf("%7s %9s %14s\n", "ranks", "grid", "memory, MB");
    return;
  }
  print_rates(planner);
  printf("%7s %9s %14s %12s %14s %12s %10s %10s\n", "ranks", "grid", "memory, MB", "MB received", "messages sent",
         "work balance", "s a sweep", "efficiency");
}

static void print_line(const gmf_plan *p, double alone)
{
  char grid[32];
  snprintf(grid, sizeof grid, "%dx%d", p->n_grid_rows, p->n_grid_cols);
  printf("%7d %9s %13.1f%s", p->n_ranks, grid, p->peak.most / MEGA, p->fits ? " " : "!");
  if (p->has_sweep)
    printf(" %12.3f %14.0f %12.2f %10.4g %9.0f%%", sum_received(p, true) / MEGA, sum_messages(p), work_balance(p),
           p->seconds, 100 * alone / (p->seconds * p->n_ranks));
  putchar('\n');
}

/* What the lines come to: the fewest ranks that fit, and the most that are at work for half of their time at least. */
typedef struct advice {
  int fewest, most;
  double alone; /* seconds of a sweep of one rank */
} advice;

static void print_advice(const advice *a, const gmf_config *c)
{
  if (c->memory_limit > 0 && a->fewest == 0)
    printf("! does not fit into the %.1f MB of --memory-limit\n", (double)c->memory_limit / MEGA);
  else if (c->memory_limit > 0)
    printf("%d ranks are the fewest that fit into the %.1f MB of --memory-limit\n", a->fewest,
           (double)c->memory_limit / MEGA);
  if (a->most > 0) printf("up to %d ranks a sweep is at least half as fast as that many would be alone\n", a->most);
}

/* Collective. plans: NULL, or an array for machines. */
static gmf_status plan_several(const gmf_grid *grid, gmf_planner *planner, const gmf_config *c, json_t *plans,
                               advice *a, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_plan plan = {0};
  for (int n = 1; n <= MOST_OF_TABLE; n *= 2) {
    GMF_TRY(gmf_planner_run(planner, n, &plan, err));
    if (n == 1) a->alone = plan.seconds;
    if (plan.fits && a->fewest == 0) a->fewest = n;
    if (plan.has_sweep && a->alone >= plan.seconds * n / 2) a->most = n;
    if (grid->rank == 0 && plans != NULL) json_array_append_new(plans, json_of_plan(&plan, c));
    if (grid->rank == 0 && plans == NULL && n == 1) print_head(planner, &plan);
    if (grid->rank == 0 && plans == NULL) print_line(&plan, a->alone);
    bool goes_on = !plan.has_sweep || a->alone >= USELESS * plan.seconds * n;
    gmf_plan_free(&plan);
    if (!goes_on) break;
  }
cleanup:
  gmf_plan_free(&plan);
  return status;
}

/* Collective. */
static gmf_status plan_one(const gmf_grid *grid, gmf_planner *planner, const gmf_config *c, json_t *plans, advice *a,
                           gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_plan plan = {0};
  GMF_TRY(gmf_planner_run(planner, (int)c->planned_ranks, &plan, err));
  if (plan.fits) a->fewest = plan.n_ranks;
  if (grid->rank == 0 && plans != NULL) json_array_append_new(plans, json_of_plan(&plan, c));
  if (grid->rank == 0 && plans == NULL) print_plan(planner, &plan, c);
cleanup:
  gmf_plan_free(&plan);
  return status;
}

gmf_status gmf_verb_plan(gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_config *c = &run->config;
  gmf_planner *planner = NULL;
  json_t *plans = c->json ? json_array() : NULL;
  advice a = {0};

  if (run->arguments.n > 0) GMF_TRY(gmf_need_arguments(run, 1, "one dataset, or its sizes", err));
  GMF_TRY(gmf_config_resolve_train(&run->config, err));
  GMF_TRY(
      gmf_planner_open(run->grid, c, run->arguments.n > 0 ? run->arguments.values[0] : NULL, &run->log, &planner, err));
  GMF_TRY((c->planned_ranks > 0 ? plan_one : plan_several)(run->grid, planner, c, plans, &a, err));
  if (run->grid->rank == 0 && plans == NULL && c->planned_ranks == 0) print_advice(&a, c);
  if (run->grid->rank == 0 && plans != NULL) print_json(planner, c, json_incref(plans));
  if (a.fewest == 0)
    status = gmf_fail(err, GMF_ERR_PLAN, "does not fit into the %.1f MB of --memory-limit; use more ranks or nodes",
                      (double)c->memory_limit / MEGA);
cleanup:
  json_decref(plans);
  gmf_planner_close(&planner);
  return status;
}
