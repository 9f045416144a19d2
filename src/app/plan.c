#include "app/plan_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/bench.h"
#include "app/memory_check.h"
#include "app/placement.h"
#include "base/memory.h"
#include "base/memory_limit.h"
#include "base/narrow.h"
#include "io/layout.h"
#include "kernel/isa.h"

enum { BY_RANK = 64 /* plans of so many ranks tell each one's traffic */ };
/* What MPI takes of a rank that has others, beside what those of a node share: its tables of them, and of requests. */
static const int64_t MPI_BYTES = 1 << 20;

/* Where nothing is stated or measured: a network of 100 Gb/s. */
static const double NETWORK = 12.5e9, LATENCY = 2e-6, GIGA = 1e9, MICRO = 1e-6;

void gmf_plan_free(gmf_plan *plan) { GMF_FREE(plan->by_rank); }

void gmf_planner_close(gmf_planner **planner)
{
  gmf_planner *p = *planner;
  if (p == NULL) return;
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_free(p->degrees[s]);
  gmf_dataset_close(&p->dataset);
  gmf_free(p);
  *planner = NULL;
}

const gmf_plan_rates *gmf_planner_rates(const gmf_planner *p) { return &p->rates; }

int gmf_planner_threads(const gmf_planner *p) { return p->shape.n_threads; }

const int64_t *gmf_planner_sizes(const gmf_planner *p, int64_t *nnz)
{
  *nnz = p->shape.nnz;
  return p->shape.n;
}

/* ---- rates ------------------------------------------------------------------------------------------------------- */

static void set_rate(double value, double scale, const char *source, double *rate, const char **rate_source)
{
  if (isnan(value) || !(value > 0)) return;
  *rate = value * scale;
  *rate_source = source;
}

static bool is_known(const gmf_plan_rates *r) { return r->flops_source != NULL && r->bandwidth_source != NULL; }

/* What a row solver of k factors makes of the machine: of the measured sizes the nearest. */
static double kernel_rate(const gmf_config *c, double factors, double exact, double of_cg, double nearest, double *best)
{
  double distance = fabs(log(factors / (double)c->factors));
  if (distance >= *best) return nearest;
  *best = distance;
  return c->solver == GMF_SOLVER_CG ? of_cg : exact;
}

/*
 * What sweeps make of a kernel's rate: bench's rows lie in a near cache, a sweep's are gathered, packed and factored,
 * and refined where tiles are bf16. By instruction set and solver (exact, cg), as measured on ml-1m's shape with 64 and
 * 128 factors by one thread; scripts/bench plan has predicted and measured seconds.
 */
static double share_of_kernel(const gmf_config *c, const char *kernels)
{
  static const double SHARES[GMF_N_LEVELS][2] = {{1, 1}, {0.7, 1}, {0.6, 0.8}, {0.55, 0.95}};
  for (int level = 0; kernels != NULL && level < GMF_N_LEVELS; level++)
    if (strcmp(gmf_kernel_level_name((gmf_isa_level)level), kernels) == 0)
      return SHARES[level][c->solver == GMF_SOLVER_CG];
  return 1;
}

/* Collective. A second of `gridmf bench`. */
static gmf_status measure(const gmf_planner *p, gmf_plan_rates *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_config short_bench = *p->config;
  gmf_bench_report report;
  double rate = 0, best = INFINITY;
  short_bench.seconds = 1;
  GMF_TRY(gmf_bench(p->grid, &short_bench, &report, err));
  for (int i = 0; i < GMF_BENCH_SIZES; i++) {
    const gmf_kernel_rates *k = &report.kernel[i];
    rate = kernel_rate(p->config, k->k, k->gram, k->product, rate, &best);
  }
  rate *= share_of_kernel(p->config, gmf_kernel_level_name(gmf_kernel_level()));
  if (r->flops_source == NULL) set_rate(rate, 1, "measured here", &r->flops, &r->flops_source);
  if (r->bandwidth_source == NULL)
    set_rate(report.machine.triad, 1, "measured here", &r->bandwidth, &r->bandwidth_source);
cleanup:
  return status;
}

static double number_of(const json_t *object, const char *name)
{
  const json_t *value = json_object_get(object, name);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Local. What `gridmf bench --json` said on the machine that is planned for. */
static gmf_status read_bench(const gmf_config *c, gmf_plan_rates *r, gmf_error *err)
{
  json_error_t why;
  json_t *bench = json_load_file(c->bench, 0, &why), *kernel = NULL;
  double rate = NAN, best = INFINITY;
  size_t i = 0;
  if (bench == NULL)
    return gmf_fail(err, access(c->bench, R_OK) == 0 ? GMF_ERR_DATA : GMF_ERR_NO_INPUT, "%s:%d: %s", c->bench, why.line,
                    why.text);
  json_array_foreach(json_object_get(bench, "kernel"), i, kernel) rate = kernel_rate(
      c, number_of(kernel, "factors"), number_of(kernel, "gram_gflops"), number_of(kernel, "cg_gflops"), rate, &best);
  const json_t *network = json_object_get(bench, "network");
  rate *= share_of_kernel(c, json_string_value(json_object_get(bench, "kernels")));
  set_rate(rate, GIGA, c->bench, &r->flops, &r->flops_source);
  set_rate(number_of(bench, "triad_gbs"), GIGA, c->bench, &r->bandwidth, &r->bandwidth_source);
  set_rate(number_of(network, "exchange_gbs"), GIGA, c->bench, &r->network, &r->network_source);
  set_rate(number_of(network, "message_us"), MICRO, c->bench, &r->latency, &r->latency_source);
  json_decref(bench);
  if (is_known(r)) return GMF_OK;
  return gmf_fail(err, GMF_ERR_DATA, "%s: has no kernel rates and triad_gbs; write it by gridmf bench --json",
                  c->bench);
}

/* Collective. Stated, else of a file, else measured; sources are words of this program on every rank. */
static gmf_status find_rates(gmf_planner *p, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_config *c = p->config;
  gmf_plan_rates *r = &p->rates;
  *r = (gmf_plan_rates){
      .network = NETWORK, .latency = LATENCY, .network_source = "assumed", .latency_source = "assumed"};
  if (c->bench[0] != '\0') GMF_TRY(gmf_agree(p->grid, read_bench(c, r, err), err));
  set_rate(c->flops, GIGA, "--flops", &r->flops, &r->flops_source);
  set_rate(c->bandwidth, GIGA, "--bandwidth", &r->bandwidth, &r->bandwidth_source);
  set_rate(c->network, GIGA, "--network", &r->network, &r->network_source);
  set_rate(c->latency, MICRO, "--latency", &r->latency, &r->latency_source);
  if (!is_known(r)) GMF_TRY(measure(p, r, err));
cleanup:
  return status;
}

/* ---- what is planned --------------------------------------------------------------------------------------------- */

/* Collective. */
static gmf_status open_data(gmf_planner *p, const char *path, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  GMF_TRY(gmf_dataset_open(p->grid, path, &p->dataset, err));
  p->source = gmf_dataset_source(p->dataset);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_ids none = {0};
    if (local == GMF_OK) local = gmf_dataset_read_ids(p->dataset, (gmf_side)s, 0, 0, &none, err);
    p->id_bytes[s] = (int64_t)none.type.size;
    gmf_ids_free(&none);
    if (local == GMF_OK) local = GMF_NEW(p->degrees[s], p->dataset->n[s], err);
  }
  GMF_TRY(gmf_agree(p->grid, local, err));
  for (int s = 0; s < GMF_N_SIDES; s++)
    GMF_TRY(gmf_census_degrees(p->grid, &p->source, (gmf_side)s, 0, p->source.n[s], p->degrees[s], err));
cleanup:
  return status;
}

/* Local. The sizes that --like names, and degrees like its own. */
static gmf_status take_shape(gmf_planner *p, int64_t n[GMF_N_SIDES], int64_t *nnz, gmf_error *err)
{
  const gmf_config *c = p->config;
  gmf_shape shape;
  if (c->planned_users > 0 || c->planned_items > 0 || c->planned_ratings > 0)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--like %s says how many users, items and ratings there are: leave out --users, --items, --ratings",
                    c->like);
  if (gmf_shape_named(c->like, &shape, err) != GMF_OK) return GMF_ERR_USAGE;
  for (int s = 0; s < GMF_N_SIDES; s++) n[s] = shape.n[s];
  *nnz = shape.nnz;
  gmf_degree_model_like(&shape, p->models);
  return GMF_OK;
}

/* Local. */
static gmf_status check_sizes(const gmf_config *c, gmf_error *err)
{
  if (c->planned_users < 1 || c->planned_items < 1 || c->planned_ratings < 1)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "a dataset is needed, or its sizes: --users M --items N --ratings NNZ, or --like NAME");
  if ((double)c->planned_users * (double)c->planned_items < (double)c->planned_ratings)
    return gmf_fail(err, GMF_ERR_USAGE, "%lld users x %lld items cannot hold %lld ratings", (long long)c->planned_users,
                    (long long)c->planned_items, (long long)c->planned_ratings);
  return GMF_OK;
}

/* Collective. The sizes of --test, as a training would see them. */
static gmf_status measure_test(gmf_planner *p, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_dataset *test = NULL;
  GMF_TRY(gmf_dataset_open(p->grid, p->config->test, &test, err));
  for (int s = 0; s < GMF_N_SIDES; s++) p->shape.n_test[s] = test->n[s];
  p->shape.nnz_test = test->nnz;
cleanup:
  gmf_dataset_close(&test);
  return status;
}

gmf_status gmf_planner_open(const gmf_grid *grid, const gmf_config *config, const char *path, const gmf_log *log,
                            gmf_planner **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_planner *p = NULL;
  int64_t resident = gmf_process_resident(); /* before there are ratings */

  *out = NULL;
  gmf_max_i64(grid, &resident, 1);
  if (config->algorithm == GMF_ALGORITHM_ITEM_KNN || config->algorithm == GMF_ALGORITHM_EASE)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE,
                     "plans are made for algorithms with factors; item-knn and ease say themselves at their start what "
                     "they need"));
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(p, 1, err), err));
  p->grid = grid;
  p->config = config;
  p->row = gmf_config_row(config);
  int64_t n[GMF_N_SIDES] = {config->planned_users, config->planned_items}, nnz = config->planned_ratings;
  bool weighted = false;
  for (int s = 0; s < GMF_N_SIDES; s++) p->id_bytes[s] = (int64_t)sizeof(int64_t);
  if (path != NULL && config->like[0] != '\0')
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%s is counted as it is: leave out --like %s", path, config->like));
  if (path != NULL) {
    GMF_TRY(open_data(p, path, err));
    for (int s = 0; s < GMF_N_SIDES; s++) n[s] = p->dataset->n[s];
    nnz = p->dataset->nnz;
    weighted = p->dataset->has_weight;
  } else if (config->like[0] != '\0') {
    GMF_TRY(take_shape(p, n, &nnz, err));
  } else {
    GMF_TRY(check_sizes(config, err));
    gmf_degree_model_make(n, nnz, p->models);
  }
  p->shape = gmf_train_shape_of(config, n, nnz, weighted, 1, 1);
  p->shape.program_bytes = resident;
  if (path != NULL) gmf_train_shape_features(config, p->dataset, &p->shape);
  for (int s = 0; s < GMF_N_SIDES; s++)
    if (path == NULL && config->features[s])
      gmf_log_line(
          log,
          "warning: sizes do not say how many features there are: --%s-features is left out of this plan; one of "
          "a dataset counts them",
          gmf_side_noun((gmf_side)s));
  if (config->test[0] != '\0') GMF_TRY(measure_test(p, err));
  gmf_log_line(log, "%s: %s users, %s items, %s ratings", path != NULL ? path : "planned", gmf_thousands(n[GMF_USERS]),
               gmf_thousands(n[GMF_ITEMS]), gmf_thousands(nnz));
  GMF_TRY(find_rates(p, err));
  *out = p;
  p = NULL;
cleanup:
  gmf_planner_close(&p);
  return status;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* Adds an entry that stands for so many of n ranks. */
static void take(gmf_plan_spread *s, double value, double alike, int n_ranks)
{
  s->mean += value * alike / n_ranks;
  s->most = fmax(s->most, value);
}

static void plan_memory(const gmf_planner *p, const gmf_train_shape *shape, const gmf_plan_shares *s, gmf_plan *out)
{
  gmf_train_shape rank_shape = *shape;
  rank_shape.program_bytes += (shape->n[GMF_USERS] / shape->n_ranks + 1) * (int64_t)sizeof(int64_t);
  if (shape->n_ranks > 1) rank_shape.program_bytes += MPI_BYTES;
  for (int e = 0; e < s->n; e++) {
    gmf_memory_share memory[GMF_N_SIDES];
    gmf_plan_memory_shares(s, e, memory);
    rank_shape.expand_bytes = 0; /* panels are cut already */
    gmf_memory_plan of_rank = gmf_plan_train(&rank_shape, memory);
    take(&out->peak, (double)of_rank.peak, s->alike[e], shape->n_ranks);
    out->memory.peak = gmf_max64(out->memory.peak, of_rank.peak);
    for (int part = 0; part < GMF_N_MEMORY_PARTS; part++)
      out->memory.parts[part] = gmf_max64(out->memory.parts[part], of_rank.parts[part]);
  }
  out->fits = p->config->memory_limit == 0 || out->memory.peak <= p->config->memory_limit;
}

/* Seconds of a half-sweep on an entry, into the most of the half. */
static void add_times(const gmf_planner *p, double work, double memory_bytes, const gmf_traffic *traffic, int n_ranks,
                      gmf_plan_half *half)
{
  const gmf_plan_rates *r = &p->rates;
  double received = 0, messages = 0, hops = ceil(log2((double)n_ranks));
  for (int m = 0; m < GMF_N_MOVES; m++) {
    received += (double)traffic[m].received;
    messages += (double)traffic[m].calls * (m == GMF_MOVE_EXPAND ? 1 : 2 * hops);
  }
  half->compute = fmax(half->compute, work / r->flops);
  half->memory = fmax(half->memory, memory_bytes / r->bandwidth);
  if (n_ranks > 1) half->network = fmax(half->network, received / r->network + messages * r->latency);
}

/* Operations of an entry in a half-sweep: its rows', and of what all rows share its part. */
static double entry_work(const gmf_train_shape *shape, const gmf_plan_shares *s, gmf_side side, int e)
{
  int64_t own[GMF_N_SIDES] = {s->side[GMF_USERS][e].share.own, s->side[GMF_ITEMS][e].share.own};
  return (double)s->side[side][e].share.work + (double)gmf_cost_shared_work(shape, side, own);
}

static void plan_half(const gmf_planner *p, const gmf_train_shape *shape, const gmf_plan_shares *s, gmf_side side,
                      gmf_plan *out)
{
  gmf_plan_half *half = &out->halves[side];
  int64_t row_bytes = (int64_t)sizeof(float) * gmf_als_ld(&p->row);
  for (int e = 0; e < s->n; e++) {
    const gmf_rank_cost *b = &s->side[side][e];
    gmf_traffic traffic[GMF_N_MOVES];
    int64_t received = 0;
    double alike = s->alike[e], work = entry_work(shape, s, side, e);
    gmf_cost_traffic(shape, &p->row, side, b, traffic);
    for (int m = 0; m < GMF_N_MOVES; m++) {
      take(&half->moves[m].calls, (double)traffic[m].calls, alike, shape->n_ranks);
      take(&half->moves[m].bytes, (double)traffic[m].bytes, alike, shape->n_ranks);
      take(&half->moves[m].received, (double)traffic[m].received, alike, shape->n_ranks);
      received += traffic[m].received;
    }
    take(&half->ratings, (double)b->share.ratings, alike, shape->n_ranks);
    take(&half->slots, (double)b->share.slots, alike, shape->n_ranks);
    take(&half->work, work, alike, shape->n_ranks);
    take(&half->received, (double)received, alike, shape->n_ranks);
    take(&half->shared, (double)(b->share.shared * row_bytes), alike, shape->n_ranks);
    half->n_panels = b->share.n_panels;
    add_times(p, work, (double)gmf_cost_memory_bytes(shape, &b->share), traffic, shape->n_ranks, half);
    if (out->by_rank != NULL)
      memcpy(out->by_rank + ((int64_t)side * out->n_by_rank + e) * GMF_N_MOVES, traffic, sizeof traffic);
  }
  out->seconds += fmax(half->compute, half->memory) + half->network;
}

/* What an entry receives, works and has in a whole sweep. */
static void add_halves(const gmf_planner *p, const gmf_train_shape *shape, const gmf_plan_shares *s, gmf_plan *out)
{
  for (int e = 0; e < s->n; e++) {
    double ratings = 0, work = 0, received = 0;
    for (int side = 0; side < GMF_N_SIDES; side++) {
      gmf_traffic traffic[GMF_N_MOVES];
      const gmf_rank_cost *b = &s->side[side][e];
      gmf_cost_traffic(shape, &p->row, (gmf_side)side, b, traffic);
      for (int m = 0; m < GMF_N_MOVES; m++) received += (double)traffic[m].received;
      ratings += (double)b->share.ratings;
      work += entry_work(shape, s, (gmf_side)side, e);
    }
    take(&out->ratings, ratings, s->alike[e], shape->n_ranks);
    take(&out->work, work, s->alike[e], shape->n_ranks);
    take(&out->received, received, s->alike[e], shape->n_ranks);
  }
}

gmf_status gmf_planner_run(gmf_planner *p, int n_ranks, gmf_plan *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_train_shape shape = p->shape;
  gmf_plan_shares s = {0};
  *out = (gmf_plan){.n_ranks = n_ranks, .counted = p->dataset != NULL};
  if (out->counted && n_ranks > GMF_PLAN_MAX_COUNTED)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE,
                     "ratings are counted for at most %d ranks; for more, give their sizes instead: --users, --items, "
                     "--ratings",
                     GMF_PLAN_MAX_COUNTED));
  GMF_TRY(gmf_config_grid(p->config, n_ranks, &out->n_grid_rows, &out->n_grid_cols, err));
  shape.n_ranks = n_ranks;
  shape.n_grid_rows = out->n_grid_rows;
  shape.n_grid_cols = out->n_grid_cols;
  shape.chooses = gmf_layout_is_free(p->config, GMF_USERS, n_ranks, out->n_grid_cols);
  if (p->config->mpi_copies != GMF_COPIES_AUTO) shape.mpi_copies = p->config->mpi_copies == GMF_COPIES_TWICE;
  out->has_sweep = p->config->algorithm == GMF_ALGORITHM_ALS || p->config->algorithm == GMF_ALGORITHM_IALS;
  GMF_TRY(gmf_plan_choose_layouts(p, out, err));
  gmf_folding foldings[GMF_N_SIDES] = {gmf_plan_folding(out, GMF_USERS), gmf_plan_folding(out, GMF_ITEMS)};
  if (out->has_sweep) shape.basis = gmf_cost_has_basis(&p->row, foldings);
  gmf_plan_choose_sharing(p, &shape, out);
  if (out->counted)
    GMF_TRY(gmf_plan_count_shares(p, &shape, out, &s, err));
  else
    GMF_TRY(gmf_agree(p->grid, gmf_plan_expect_shares(p, &shape, out, &s, err), err));
  plan_memory(p, &shape, &s, out);
  out->model_bytes = gmf_cost_model_bytes(&shape, false, p->config->iterations, 0, p->id_bytes);
  out->checkpoint_bytes = gmf_cost_model_bytes(&shape, true, p->config->iterations, 0, p->id_bytes);
  if (out->has_sweep && out->counted && n_ranks <= BY_RANK) {
    GMF_TRY(gmf_agree(p->grid, GMF_NEW(out->by_rank, (int64_t)GMF_N_SIDES * n_ranks * GMF_N_MOVES, err), err));
    out->n_by_rank = n_ranks;
  }
  for (int side = 0; side < GMF_N_SIDES && out->has_sweep; side++) plan_half(p, &shape, &s, (gmf_side)side, out);
  if (out->has_sweep) add_halves(p, &shape, &s, out);
cleanup:
  gmf_plan_shares_free(&s);
  return status;
}
