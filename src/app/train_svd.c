/*
 * The model of an SVD scores like any other: x_u . y_i + b_u + b_i + mean, with X Y' = U S V' and the means that
 * centring took off in their place. Users who were not trained on are folded in by projection (kernel/projection.h).
 */
#include "app/train_svd.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "algo/svd.h"
#include "app/provenance.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/layout.h"
#include "io/model_write.h"

/* One value a restart. */
typedef struct history {
  double *residual, *products, *seconds; /* owned [capacity] */
  int64_t n, capacity;
  double before; /* when the last restart ended */
  const gmf_svd_run *run;
} history;

static gmf_svd_options svd_options(const gmf_config *c)
{
  bool both = c->center == GMF_CENTER_BOTH;
  return (gmf_svd_options){.k = (int)c->factors,
                           .method = (gmf_svd_method)c->svd_method,
                           .tolerance = c->tolerance,
                           .block = (int)c->block,
                           .max_restarts = c->max_restarts,
                           .power_steps = c->power_steps,
                           .seed = (uint64_t)c->seed,
                           .centering = {c->center == GMF_CENTER_GLOBAL,
                                         {both || c->center == GMF_CENTER_USER, both || c->center == GMF_CENTER_ITEM}}};
}

size_t gmf_train_svd_row_bytes(const gmf_config *config, const gmf_dataset *d)
{
  gmf_svd_options options = svd_options(config);
  return (size_t)gmf_svd_width(&options, d->n[GMF_USERS], d->n[GMF_ITEMS]) * sizeof(double);
}

/* Called after each restart, on every rank. */
static void note_restart(void *context, const gmf_svd_restart *r)
{
  history *h = context;
  const gmf_svd_run *run = h->run;
  double now = MPI_Wtime(), seconds = now - h->before;
  gmf_log_line(run->log, "restart %3" PRId64 "  %4d of %d converged  worst residual %.2e s_1  %8.3f s", r->n_restarts,
               r->n_converged, (int)run->config->factors, r->worst, seconds);
  gmf_log_event(
      run->log, "restart",
      json_pack("{s:I, s:i, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "n", (json_int_t)r->n_restarts, "converged",
                r->n_converged, "residual", r->worst, "largest", r->largest, "seconds", seconds, "products",
                (json_int_t)r->n_products, "collectives", (json_int_t)run->grid->trace->n_collectives,
                "collective_bytes", (json_int_t)run->grid->trace->collective_bytes, "exchanges",
                (json_int_t)run->grid->trace->n_exchanges, "exchange_bytes",
                (json_int_t)run->grid->trace->exchange_bytes));
  h->before = now;
  if (h->n == h->capacity) return;
  h->residual[h->n] = r->worst;
  h->products[h->n] = (double)r->n_products;
  h->seconds[h->n++] = gmf_provenance_reproducible() ? 0 : seconds;
}

static gmf_status open_history(history *h, const gmf_svd_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *h = (history){.run = run, .before = MPI_Wtime(), .capacity = run->config->max_restarts + 1};
  GMF_TRY(GMF_NEW_ZERO(h->residual, h->capacity, err));
  GMF_TRY(GMF_NEW_ZERO(h->products, h->capacity, err));
  GMF_TRY(GMF_NEW_ZERO(h->seconds, h->capacity, err));
cleanup:
  return status;
}

/* ---- what is printed --------------------------------------------------------------------------------------------- */

/* The certificates as a table: all triplets where they are few, else the first and the last. */
static void log_table(const gmf_log *log, const gmf_svd *svd)
{
  enum { HEAD = 8, TAIL = 4 };
  const gmf_svd_certificates *c = &svd->certificates;
  gmf_log_line(log, "triplet  singular value  |A v - s u|  |A'u - s v|");
  for (int i = 0; i < svd->k; i++) {
    if (svd->k > HEAD + TAIL && i == HEAD) {
      gmf_log_line(log, "    ...");
      i = svd->k - TAIL;
    }
    gmf_log_line(log, "%7d  %14.8e     %8.2e     %8.2e", i + 1, svd->values[i], c->residuals[GMF_USERS][i],
                 c->residuals[GMF_ITEMS][i]);
  }
  gmf_log_line(log, "orthogonality  |U'U - I| %.2e  |V'V - I| %.2e", c->orthogonality[GMF_USERS],
               c->orthogonality[GMF_ITEMS]);
  gmf_log_line(log, "captured       %.6f of |A|^2 = %.8e", c->captured, c->square);
  gmf_log_line(log, "left           |A - UU'A| at most %.4e in the spectral norm, but for a probability of %.0e",
               c->bound, c->miss_probability);
}

static json_t *json_numbers(const double *values, int64_t n)
{
  json_t *array = json_array();
  for (int64_t i = 0; i < n; i++) json_array_append_new(array, json_real(values[i]));
  return array;
}

static void log_event(const gmf_log *log, const gmf_svd *svd)
{
  const gmf_svd_certificates *c = &svd->certificates;
  if (log->json == NULL) return;
  gmf_log_event(
      log, "svd",
      json_pack("{s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:f}", "singular_values",
                json_numbers(svd->values, svd->k), "residuals_users", json_numbers(c->residuals[GMF_USERS], svd->k),
                "residuals_items", json_numbers(c->residuals[GMF_ITEMS], svd->k), "orthogonality_users",
                c->orthogonality[GMF_USERS], "orthogonality_items", c->orthogonality[GMF_ITEMS], "square", c->square,
                "captured", c->captured, "spectral_bound", c->bound, "spectral_bound_miss", c->miss_probability,
                "restarts", (json_int_t)svd->n_restarts, "products", (json_int_t)svd->n_products, "seconds_solve",
                svd->seconds));
}

/* krylov promises residuals; rounding may keep them above a tolerance that is near it. */
static void warn_of_rounding(const gmf_svd_run *run, const gmf_svd *svd)
{
  double worst = 0;
  for (int s = 0; s < GMF_N_SIDES; s++)
    for (int i = 0; i < svd->k; i++) worst = fmax(worst, svd->certificates.residuals[s][i]);
  if (run->config->svd_method == GMF_SVD_KRYLOV && worst > run->config->tolerance * svd->values[0])
    gmf_log_line(run->log,
                 "warning: rounding keeps residuals at %.1e of the largest singular value, above --tolerance %g",
                 worst / svd->values[0], run->config->tolerance);
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

/* Collective. The same numbers as f8 attributes of the root. */
static void add_attributes(gmf_writer *w, const gmf_svd *svd)
{
  const gmf_svd_certificates *c = &svd->certificates;
  gmf_writer_attr_f64(w, "/", "orthogonality_users", c->orthogonality[GMF_USERS]);
  gmf_writer_attr_f64(w, "/", "orthogonality_items", c->orthogonality[GMF_ITEMS]);
  gmf_writer_attr_f64(w, "/", "frobenius_norm", sqrt(c->square));
  gmf_writer_attr_f64(w, "/", "captured", c->captured);
  gmf_writer_attr_f64(w, "/", "spectral_bound", c->bound);
  gmf_writer_attr_f64(w, "/", "spectral_bound_miss", c->miss_probability);
  gmf_writer_attr_i64(w, "/", "restarts", svd->n_restarts);
  gmf_writer_attr_i64(w, "/", "products", svd->n_products);
}

/* Local. Columns times powers of the singular values: U S and V, or both with half of it. */
static void scale_vectors(gmf_svd *svd, bool halves)
{
  for (int s = 0; s < GMF_N_SIDES; s++)
    for (int64_t r = 0; r < svd->vectors[s]->n; r++)
      for (int c = 0; c < svd->k; c++) {
        double by = halves ? sqrt(svd->values[c]) : s == GMF_USERS ? svd->values[c] : 1;
        svd->vectors[s]->rows[r * svd->vectors[s]->ld + c] *= by;
      }
}

/* One side in dataset order, my slice; all owned. */
typedef struct side_slices {
  double *factors, *bias;
  int64_t *counts;
} side_slices;

/* Collective. */
static gmf_status slice_side(const gmf_svd_run *run, const gmf_svd *svd, gmf_side side, bool with_bias,
                             side_slices *slices, gmf_model_side *part, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_tall *x = svd->vectors[side];
  const gmf_block *b = run->blocks[side];
  const int64_t *counts = b->counts + (x->begin - b->row_begin);
  const double *offsets = svd->op->offsets[side];
  double *zeros = NULL;
  int64_t word = (int64_t)sizeof(double);
  GMF_TRY(gmf_axis_to_slices(run->grid, x->axis, x->rows, x->ld * word, svd->k * word, (void **)&slices->factors,
                             &part->begin, &part->n, err));
  if (with_bias) {
    GMF_TRY(gmf_agree(run->grid, GMF_NEW_ZERO(zeros, x->n, err), err));
    GMF_TRY(gmf_axis_to_slices(run->grid, x->axis, offsets != NULL ? offsets : zeros, word, word,
                               (void **)&slices->bias, &part->begin, &part->n, err));
  }
  GMF_TRY(gmf_axis_to_slices(run->grid, x->axis, counts, sizeof *counts, sizeof *counts, (void **)&slices->counts,
                             &part->begin, &part->n, err));
  part->factors = slices->factors;
  part->bias = slices->bias;
  part->counts = slices->counts;
cleanup:
  gmf_free(zeros);
  return status;
}

static gmf_status write_model(const gmf_svd_run *run, gmf_svd *svd, const history *h, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_svd_certificates *c = &svd->certificates;
  side_slices slices[GMF_N_SIDES] = {{0}};
  double *residuals = NULL;
  gmf_model_history columns[] = {{"residual", h->residual}, {"products", h->products}, {"seconds", h->seconds}};
  gmf_phase before = gmf_trace_phase(run->grid->trace, GMF_PHASE_WRITE);

  GMF_TRY(gmf_agree(run->grid, GMF_NEW(residuals, svd->k, err), err));
  for (int i = 0; i < svd->k; i++) residuals[i] = hypot(c->residuals[GMF_USERS][i], c->residuals[GMF_ITEMS][i]);
  gmf_model_array arrays[] = {{GMF_NAME_SINGULAR_VALUES, svd->values, svd->k},
                              {GMF_NAME_RESIDUALS, residuals, svd->k},
                              {GMF_NAME_USER_RESIDUALS, c->residuals[GMF_USERS], svd->k},
                              {GMF_NAME_ITEM_RESIDUALS, c->residuals[GMF_ITEMS], svd->k},
                              {GMF_NAME_SPECTRUM, svd->spectrum, svd->n_spectrum}};
  gmf_model_parts parts = {.k = svd->k,
                           .type = GMF_F8,
                           .with_bias = run->config->center >= GMF_CENTER_USER,
                           .global_mean = svd->op->mean,
                           .with_seen = run->config->seen,
                           .n_sweeps = h->n,
                           .history = columns,
                           .n_history = 3,
                           .arrays = arrays,
                           .n_arrays = svd->spectrum != NULL ? 5 : 4};
  scale_vectors(svd, run->config->scaling == GMF_SCALING_SQRT);
  for (int s = 0; s < GMF_N_SIDES; s++)
    GMF_TRY(slice_side(run, svd, (gmf_side)s, parts.with_bias, &slices[s], &parts.sides[s], err));
  add_attributes(run->writer, svd);
  GMF_TRY(gmf_model_write(run->grid, run->writer, run->dataset, &parts, err));
  gmf_log_line(run->log, "wrote %s: %.1f MB, verified by reading back", run->config->output,
               (double)gmf_writer_bytes(run->writer) / 1e6);
  gmf_log_event(
      run->log, "model",
      json_pack("{s:s, s:I}", "path", run->config->output, "bytes", (json_int_t)gmf_writer_bytes(run->writer)));
cleanup:
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_free(slices[s].factors);
    gmf_free(slices[s].bias);
    gmf_free(slices[s].counts);
  }
  gmf_free(residuals);
  gmf_trace_phase(run->grid->trace, before);
  return status;
}

gmf_status gmf_train_svd(const gmf_svd_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_dataset *d = run->dataset;
  gmf_svd *svd = NULL;
  history h = {0};
  gmf_svd_options options = svd_options(run->config);
  int64_t shorter = gmf_min64(d->n[GMF_USERS], d->n[GMF_ITEMS]);

  if (options.k > shorter)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE,
                     "--factors %d: a matrix of %" PRId64 " x %" PRId64 " has %" PRId64 " singular values; use "
                     "--factors %" PRId64 " or less",
                     options.k, d->n[GMF_USERS], d->n[GMF_ITEMS], shorter, shorter));
  if (d->has_weight) gmf_log_line(run->log, "warning: the ratings have weights, which play no part in an SVD");
  GMF_TRY(gmf_agree(run->grid, open_history(&h, run, err), err));
  options.progress = note_restart;
  options.context = &h;
  GMF_TRY(gmf_svd_create(run->grid, &options, run->axes, run->blocks, &svd, err));
  gmf_log_line(run->log, "%s: %d triplets in %.3f s, %" PRId64 " restarts, %s products with a vector",
               options.method == GMF_SVD_KRYLOV       ? "krylov"
               : options.method == GMF_SVD_RANDOMIZED ? "randomized"
                                                      : "gram",
               svd->k, svd->seconds, svd->n_restarts, gmf_thousands(svd->n_products));
  log_table(run->log, svd);
  warn_of_rounding(run, svd);
  log_event(run->log, svd);
  GMF_TRY(write_model(run, svd, &h, err));
cleanup:
  gmf_svd_destroy(&svd);
  gmf_free(h.residual);
  gmf_free(h.products);
  gmf_free(h.seconds);
  return status;
}
