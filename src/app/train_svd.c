/*
 * The model of an SVD scores like any other: x_u . y_i + b_u + b_i + mean, with X Y' = U S V' and the means that
 * centring took off in their place. Users who were not trained on are folded in by projection (kernel/projection.h).
 */
#include "app/train_svd.h"

#include <inttypes.h>
#include <math.h>

#include "app/provenance.h"
#include "app/training_svd.h"
#include "base/memory.h"

/* Called after each restart, on every rank. */
static void note_restart(void *context, const gmf_svd_restart *r)
{
  gmf_svd_training *t = context;
  const gmf_svd_run *run = t->run;
  gmf_svd_history *h = &t->history;
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

static gmf_status open_history(gmf_svd_history *h, const gmf_svd_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *h = (gmf_svd_history){.before = MPI_Wtime(), .capacity = run->config->max_restarts + 1};
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

/* ---- a run ------------------------------------------------------------------------------------------------------- */

/* Collective. */
static bool save_is_due(void *context)
{
  gmf_svd_training *t = context;
  double now = MPI_Wtime(), seconds = now - t->step_began;
  t->step_began = now;
  return gmf_saving_due(t->run->saving, seconds);
}

static void log_result(const gmf_svd_run *run, const gmf_svd *svd)
{
  static const char *const NAMES[] = {
      [GMF_SVD_KRYLOV] = "krylov", [GMF_SVD_RANDOMIZED] = "randomized", [GMF_SVD_GRAM] = "gram"};
  gmf_log_line(run->log, "%s: %d triplets in %.3f s, %" PRId64 " restarts, %s products with a vector",
               NAMES[run->config->svd_method], svd->k, svd->seconds, svd->n_restarts, gmf_thousands(svd->n_products));
  log_table(run->log, svd);
  warn_of_rounding(run, svd);
  log_event(run->log, svd);
}

gmf_status gmf_train_svd(const gmf_svd_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_dataset *d = run->dataset;
  gmf_svd *svd = NULL;
  gmf_svd_training t = {.run = run, .step_began = MPI_Wtime()};
  gmf_svd_state resumed = {0};
  gmf_svd_saver saver = {
      .due = save_is_due, .save = gmf_svd_training_save, .load = gmf_svd_training_load, .context = &t};
  gmf_svd_options options = gmf_config_svd(run->config);

  if (d->has_weight) gmf_log_line(run->log, "warning: the ratings have weights, which play no part in an SVD");
  GMF_TRY(gmf_agree(run->grid, open_history(&t.history, run, err), err));
  if (run->resumed != NULL) GMF_TRY(gmf_svd_training_resume(&t, &resumed, err));
  if (run->resumed != NULL) saver.resumed = &resumed;
  options.progress = note_restart;
  options.context = &t;
  options.saver = &saver;
  GMF_TRY(gmf_svd_create(run->grid, &options, run->axes, run->blocks, &svd, err));
  log_result(run, svd);
  GMF_TRY(gmf_svd_training_write(&t, svd, err));
cleanup:
  gmf_svd_destroy(&svd);
  gmf_free(t.history.residual);
  gmf_free(t.history.products);
  gmf_free(t.history.seconds);
  return status;
}
