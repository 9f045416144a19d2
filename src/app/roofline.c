/*
 * The bound of a half-sweep, from a rank's actual rows ("What it must do" below); d_i ratings in row i, k coordinates,
 * s steps of cg, and for the systems whichever is less of forming k x k and d x d matrices:
 *
 *   solve    sum_i min(d k (k + 1) + 2 d k + k^3 / 3 + 2 k^2,  d (d + 1) k + d^3 / 3 + 2 d^2 + 4 d k)       exactly
 *            sum_i (s + 1) 4 d k + 2 d k + 10 s k                                                             by cg
 *            memory: the ratings once, each fixed row that they touch once, and x in and out
 *   gram     rows_fixed k (k + 1) + 9 k^3 (eigenvectors), and 2 k^2 a rotated row
 *   expand   4 k bytes (bf16: 2 k) of each row that others own, and a message from each such owner
 *   fold     what the other ranks of a grid row have of my rows (cost_model.h)
 *
 *   limit  = max(operations / peak, memory / triad, bytes / bandwidth + messages latency)     perfect overlap
 *   serial = max(operations / peak, memory / triad) + bytes / bandwidth + messages latency    none
 *
 * The roofline of Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore
 * architectures", Communications of the ACM 52(4), 2009, with the network as one more roof. A phase may be above 100 %:
 * arithmetic where kernels use units that the multiply-add of the instruction set does not (AMX), memory where things
 * stay in caches between phases.
 */
#include "app/roofline.h"

#include <math.h>
#include <string.h>

#include "app/cost_model.h"
#include "base/narrow.h"

static const double START_SECONDS = 0.1;

/* ---- what it must do --------------------------------------------------------------------------------------------- */

/* My part of the rows of a block, and what their solution takes. */
static void count_rows(const gmf_block *b, const gmf_row_options *row, gmf_load *solve, gmf_load *fold)
{
  double k = gmf_row_order(row->k, row->bias);
  gmf_folding folding = gmf_cost_folding(b);
  gmf_row_work work = gmf_cost_row_work(row, folding);
  int64_t begin = b->axis->prefix[b->grid->rank] - b->row_begin, end = begin + gmf_axis_n_own(b->axis, b->grid->rank);
  for (int64_t r = 0; r < b->n_rows; r++) {
    solve->operations_f4 += work.shared(work.context, b->row_ptr[r + 1] - b->row_ptr[r]);
    if (r < begin || r >= end || b->counts[r] == 0) continue;
    solve->memory += 8 * k;
    if (folding == GMF_FOLDS_NOTHING) continue;
    solve->operations_f4 += work.alone(work.context, b->counts[r]);
    fold->received += (double)gmf_cost_fold_bytes(row, folding) * (b->grid->n_cols - 1);
  }
  if (folding != GMF_FOLDS_NOTHING) fold->messages += b->grid->n_cols - 1;
}

/* Whether all rows share a matrix, and whether they are solved in the basis that makes it diagonal: als.c. */
static bool has_shared(const gmf_row_options *row) { return gmf_loss_shared(row->loss) > 0; }
static bool has_basis(const gmf_row_options *row)
{
  return !row->nonnegative && (has_shared(row) || row->solver == GMF_SOLVER_CG);
}

void gmf_half_load_count(const gmf_grid *grid, const gmf_block *block, const gmf_axis *fixed,
                         const gmf_row_options *row, gmf_wire wire, gmf_half_load *out)
{
  gmf_load *gram = &out->phases[GMF_PHASE_GRAM], *solve = &out->phases[GMF_PHASE_SOLVE];
  gmf_load *expand = &out->phases[GMF_PHASE_EXPAND];
  double k = row->k, word = sizeof(float), nnz = (double)gmf_block_ratings(block);
  double n_fixed = (double)gmf_axis_n_own(fixed, grid->rank), n_own = (double)gmf_axis_n_own(block->axis, grid->rank);

  *out = (gmf_half_load){0};
  if (has_shared(row) || has_basis(row)) {
    gram->operations_f8 += n_fixed * k * (k + 1);
    gram->memory += word * k * n_fixed;
  }
  if (has_basis(row)) { /* x goes back to the old basis as a part of solving */
    gram->operations_f8 += 2 * n_fixed * k * k + 9 * k * k * k;
    gram->memory += word * k * n_fixed;
    solve->operations_f8 += 2 * n_own * k * k;
  }
  for (const gmf_expand *hop = block->expand; hop != NULL; hop = hop->before)
    for (int r = 0; r < hop->grid->size; r++) {
      if (hop->recv_counts[r] == 0) continue; /* as of myself */
      expand->received += (double)gmf_wire_bytes(wire, row->k) * (double)hop->recv_counts[r];
      expand->messages++;
    }
  double rating = sizeof *block->cols + sizeof *block->values + (block->weights != NULL ? sizeof *block->weights : 0);
  solve->memory += nnz * rating + word * k * (double)block->expand->n_slots;
  for (const gmf_block *b = block; b != NULL; b = b->next) count_rows(b, row, solve, &out->phases[GMF_PHASE_FOLD]);
}

/* ---- how long that takes ----------------------------------------------------------------------------------------- */

/* The parts of a load, seconds each. */
typedef struct roofs {
  double operations, memory, network;
} roofs;

static roofs roofs_of(const gmf_load *load, const gmf_machine *m)
{
  roofs r = {.operations = load->operations_f4 / m->multiply_add_f4 + load->operations_f8 / m->multiply_add_f8,
             .memory = load->memory / m->triad};
  if (load->messages > 0)
    r.network = load->received / fmax(m->network.pair_bandwidth, m->network.exchange_bandwidth) +
                load->messages * m->network.latency;
  return r;
}

double gmf_load_seconds(const gmf_load *load, const gmf_machine *machine)
{
  roofs r = roofs_of(load, machine);
  return fmax(r.operations, fmax(r.memory, r.network));
}

static gmf_load add_up(const gmf_half_load *half)
{
  gmf_load sum = {0};
  for (int p = 0; p < GMF_N_PHASES; p++) {
    const gmf_load *l = &half->phases[p];
    sum.operations_f4 += l->operations_f4;
    sum.operations_f8 += l->operations_f8;
    sum.memory += l->memory;
    sum.received += l->received;
    sum.messages += l->messages;
  }
  return sum;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

gmf_status gmf_roofline_start(const gmf_grid *grid, int64_t memory_limit, const gmf_log *log, gmf_roofline *out,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_machine *m = &out->machine;
  char network[80] = "";
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_START);
  *out = (gmf_roofline){0};
  GMF_TRY(gmf_machine_measure(grid, memory_limit, START_SECONDS, &out->machine, err));
  if (grid->size > 1)
    snprintf(network, sizeof network, ", messages %.2f GB/s after %.1f us",
             fmax(m->network.pair_bandwidth, m->network.exchange_bandwidth) / 1e9, m->network.latency * 1e6);
  gmf_log_line(log, "a rank at most: %.0f GFLOP/s in f4, %.0f in f8, memory %.1f GB/s%s", m->multiply_add_f4 / 1e9,
               m->multiply_add_f8 / 1e9, m->triad / 1e9, network);
cleanup:
  gmf_trace_phase(grid->trace, before);
  return status;
}

void gmf_roofline_begin(const gmf_grid *grid, gmf_roofline *roofline)
{
  gmf_trace_seconds(grid->trace, roofline->before);
}

/* Seconds of a sweep. */
typedef struct sweep_limits {
  double limit, serial; /* of the slowest rank in each half, with and without overlap */
  double balance;       /* the mean rank's part of that limit */
} sweep_limits;

/* Collective. On rank 0. */
static sweep_limits limits_of(const gmf_grid *grid, const gmf_half_load *halves, const gmf_machine *m)
{
  enum { LIMIT, SERIAL, N };
  sweep_limits sum = {0};
  double mean = 0;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_load load = add_up(&halves[s]);
    roofs r = roofs_of(&load, m);
    double mine[N] = {[LIMIT] = gmf_load_seconds(&load, m), [SERIAL] = fmax(r.operations, r.memory) + r.network};
    gmf_spread spread[N];
    gmf_trace_spread(grid->all, mine, N, spread);
    sum.limit += spread[LIMIT].max;
    sum.serial += spread[SERIAL].max;
    mean += spread[LIMIT].mean;
  }
  sum.balance = sum.limit > 0 ? mean / sum.limit : 1;
  return sum;
}

/* Collective. {phase: {bound, seconds, share}} of a sweep on rank 0, and the whole run's bounds into the trace. */
static json_t *bound_phases(const gmf_grid *grid, const gmf_roofline *roofline, const gmf_half_load *halves,
                            double n_sweeps)
{
  double bounds[GMF_N_PHASES] = {0}, now[GMF_N_PHASES];
  gmf_spread bound[GMF_N_PHASES], took[GMF_N_PHASES];
  gmf_trace_seconds(grid->trace, now);
  for (int p = 0; p < GMF_N_PHASES; p++) {
    for (int s = 0; s < GMF_N_SIDES; s++) bounds[p] += gmf_load_seconds(&halves[s].phases[p], &roofline->machine);
    now[p] = (now[p] - roofline->before[p]) / n_sweeps;
    if (grid->trace != NULL) grid->trace->bounds[p] += bounds[p] * n_sweeps;
  }
  gmf_trace_spread(grid->all, bounds, GMF_N_PHASES, bound);
  gmf_trace_spread(grid->all, now, GMF_N_PHASES, took);
  json_t *phases = json_object();
  for (int p = 0; p < GMF_N_PHASES && grid->rank == 0; p++)
    if (bound[p].max > 0)
      json_object_set_new(phases, gmf_phase_name((gmf_phase)p),
                          json_pack("{s:f, s:f, s:f}", "bound", bound[p].max, "seconds", took[p].max, "share",
                                    bound[p].max / fmax(took[p].max, 1e-9)));
  return phases;
}

void gmf_roofline_end(const gmf_grid *grid, const gmf_roofline *roofline, const gmf_half_load *halves, int64_t n_sweeps,
                      double seconds, const gmf_log *log)
{
  const gmf_machine *m = &roofline->machine;
  if (n_sweeps == 0) return;
  double measured = seconds / (double)n_sweeps;
  sweep_limits limits = limits_of(grid, halves, m);
  json_t *phases = bound_phases(grid, roofline, halves, (double)n_sweeps);
  gmf_log_line(
      log,
      "a sweep takes %.2f ms at least, %.2f ms if nothing overlaps (balance %.2f); it took %.2f ms, of which that "
      "is %.0f %%",
      limits.limit * 1e3, limits.serial * 1e3, limits.balance, measured * 1e3, 100 * limits.limit / measured);
  gmf_log_event(
      log, "roofline",
      json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:o, s:f, s:f, s:f, s:f, s:f}", "sweeps", (json_int_t)n_sweeps,
                "seconds", measured, "limit", limits.limit, "serial", limits.serial, "share", limits.limit / measured,
                "balance", limits.balance, "phases", phases, "multiply_add_f4", m->multiply_add_f4, "multiply_add_f8",
                m->multiply_add_f8, "triad", m->triad, "bandwidth",
                fmax(m->network.pair_bandwidth, m->network.exchange_bandwidth), "latency", m->network.latency));
}
