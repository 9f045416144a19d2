#include "app/validate.h"

#include <math.h>
#include <string.h>

#include "app/evaluate.h"
#include "base/bits.h"
#include "base/memory.h"
#include "base/narrow.h"

struct gmf_validation {
  const gmf_grid *grid;     /* borrowed, like the next three */
  const gmf_config *config; /* */
  gmf_dataset *dataset;     /* */
  gmf_als *als;             /* */
  gmf_metrics metrics;      /* parsed, nothing added */
  gmf_factor_rows rows;
  gmf_subject subject;
  gmf_held_out *held_out; /* owned, like the rest */
  uint64_t *trained;
  double *values[GMF_METRICS_MAX]; /* [iterations] */
  gmf_best_sweep best;
  float *best_rows[GMF_N_SIDES];
};

/* ---- the training as what is evaluated --------------------------------------------------------------------------- */

static gmf_status read_ids(void *context, gmf_side side, int64_t begin, int64_t n, void *out, gmf_error *err)
{
  gmf_id_source source;
  gmf_status status = gmf_dataset_id_source(((gmf_validation *)context)->dataset, side, &source, err);
  return status != GMF_OK ? status : source.ids(source.context, side, begin, n, out, err);
}

/* Items: 1 where there are training ratings. That is all that matching asks. */
static gmf_status read_counts(void *context, gmf_side side, int64_t begin, int64_t n, int64_t *out, gmf_error *err)
{
  const gmf_validation *v = context;
  if (side == GMF_USERS) return gmf_read_user_counts(v->dataset, begin, n, out, err);
  for (int64_t i = 0; i < n; i++) out[i] = gmf_bits_has(v->trained, begin + i);
  return GMF_OK;
}

/* Datasets that gridmf writes have items in ascending order; others are put into it. */
static gmf_status read_seen(void *context, const int64_t *rows, int64_t n, gmf_user_ratings *out, gmf_error *err)
{
  gmf_status status = gmf_read_user_ratings(((gmf_validation *)context)->dataset, rows, n, out, err);
  if (status == GMF_OK) gmf_order_user_items(out, n);
  return status;
}

/* Collective. */
static gmf_status items_gram(void *context, double *out, gmf_error *err)
{
  (void)err;
  gmf_als_gram(((gmf_validation *)context)->als, GMF_ITEMS, out);
  return GMF_OK;
}

/* Collective. The items that have training ratings. */
static void find_trained(gmf_validation *v, const gmf_block *items)
{
  const gmf_factor *f = gmf_als_factor(v->als, GMF_ITEMS);
  int64_t begin = f->axis->prefix[v->grid->rank];
  for (int64_t r = 0; r < f->n; r++)
    if (items->counts[begin - items->row_begin + r] > 0) gmf_bits_add(v->trained, gmf_axis_row(f->axis, begin + r));
  gmf_unite_bits(v->grid, v->trained, gmf_bits_words(f->axis->n));
}

/* Collective. */
static gmf_status make_subject(gmf_validation *v, gmf_error *err)
{
  gmf_status status = GMF_OK;
  v->rows = (gmf_factor_rows){v->grid, {gmf_als_factor(v->als, GMF_USERS), gmf_als_factor(v->als, GMF_ITEMS)}};
  v->subject = (gmf_subject){.name = v->dataset->path,
                             .rows = gmf_row_source_of_factors(&v->rows),
                             .mean = gmf_als_mean(v->als),
                             .trained = v->trained,
                             .seen = read_seen,
                             .fold_in = gmf_subject_rule(v->config, v->dataset->n[GMF_ITEMS]),
                             .gram = items_gram,
                             .context = v};
  for (int s = 0; s < GMF_N_SIDES && status == GMF_OK; s++) {
    status = gmf_dataset_id_source(v->dataset, (gmf_side)s, &v->subject.ids[s], err);
    v->subject.ids[s].ids = read_ids;
    v->subject.ids[s].counts = read_counts;
    v->subject.ids[s].context = v;
  }
  return gmf_agree(v->grid, status, err);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static gmf_status allocate(gmf_validation *v, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(v->trained, gmf_bits_words(v->dataset->n[GMF_ITEMS]), err));
  for (int i = 0; i < v->metrics.n; i++) {
    GMF_TRY(GMF_NEW(v->values[i], v->config->iterations, err));
    for (int64_t j = 0; j < v->config->iterations; j++) v->values[i][j] = NAN;
  }
  for (int s = 0; s < GMF_N_SIDES && v->config->early_stop > 0; s++) {
    const gmf_factor *f = gmf_als_factor(v->als, (gmf_side)s);
    GMF_TRY(GMF_NEW_ZERO(v->best_rows[s], f->n * f->ld, err));
  }
cleanup:
  return status;
}

gmf_status gmf_validation_open(const gmf_grid *grid, const gmf_config *config, gmf_dataset *dataset, gmf_als *als,
                               gmf_block *const blocks[GMF_N_SIDES], gmf_validation **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_validation *v = NULL;

  *out = NULL;
  if (config->test[0] == '\0') return GMF_OK;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(v, 1, err), err));
  v->grid = grid;
  v->config = config;
  v->dataset = dataset;
  v->als = als;
  GMF_TRY(gmf_parse_metrics(config->metrics, (gmf_algorithm)config->algorithm, &v->metrics, err));
  GMF_TRY(gmf_agree(grid, allocate(v, err), err));
  find_trained(v, blocks[GMF_ITEMS]);
  GMF_TRY(make_subject(v, err));
  GMF_TRY(gmf_held_out_open(grid, &v->subject, config->test, config->fold_in, &v->held_out, err));
  *out = v;
  v = NULL;
cleanup:
  gmf_validation_close(&v);
  return status;
}

void gmf_validation_close(gmf_validation **validation)
{
  gmf_validation *v = *validation;
  if (v == NULL) return;
  gmf_held_out_close(&v->held_out);
  for (int i = 0; i < GMF_METRICS_MAX; i++) gmf_free(v->values[i]);
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_free(v->best_rows[s]);
  gmf_free(v->trained);
  gmf_free(v);
  *validation = NULL;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

bool gmf_validation_due(const gmf_validation *v, int64_t sweep)
{
  return v != NULL && (sweep % v->config->validate_every == 0 || sweep == v->config->iterations);
}

static size_t bytes_of(const gmf_factor *f) { return (size_t)(f->n * f->ld) * sizeof *f->rows; }

/* Keeps the rows when the first metric is better than ever. A metric that is not a number never is. */
static void compare_with_best(gmf_validation *v, int64_t sweep)
{
  double value = v->values[0][sweep - 1];
  bool lower = gmf_metric_is_error(v->metrics.list[0].kind);
  bool better = v->best.sweep == 0 || (lower ? value < v->best.value : value > v->best.value);
  v->best.n_worse++;
  if (!better || isnan(value)) return;
  v->best = (gmf_best_sweep){sweep, value, 0};
  for (int s = 0; s < GMF_N_SIDES; s++) {
    const gmf_factor *f = gmf_als_factor(v->als, (gmf_side)s);
    if (f->n > 0) memcpy(v->best_rows[s], f->rows, bytes_of(f));
  }
}

gmf_status gmf_validation_run(gmf_validation *v, int64_t sweep, bool *stop, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_metrics metrics = v->metrics;
  *stop = false;
  GMF_TRY(gmf_held_out_score(v->held_out, &metrics, err));
  double values[GMF_METRICS_MAX];
  for (int i = 0; i < metrics.n; i++) values[i] = gmf_metrics_value(&metrics, i);
  gmf_broadcast(v->grid, values, (int64_t)sizeof values); /* they decide when to stop */
  for (int i = 0; i < metrics.n; i++) v->values[i][sweep - 1] = values[i];
  if (v->config->early_stop == 0) return GMF_OK;
  compare_with_best(v, sweep);
  *stop = v->best.n_worse >= v->config->early_stop;
cleanup:
  return status;
}

int gmf_validation_n(const gmf_validation *v) { return v == NULL ? 0 : v->metrics.n; }
const char *gmf_validation_name(const gmf_validation *v, int i) { return v->metrics.list[i].name; }
double *gmf_validation_values(const gmf_validation *v, int i) { return v->values[i]; }
const gmf_held_out_counts *gmf_validation_counts(const gmf_validation *v) { return &v->held_out->counts; }

gmf_best_sweep *gmf_validation_best(gmf_validation *v) { return v->config->early_stop > 0 ? &v->best : NULL; }
float *gmf_validation_best_rows(const gmf_validation *v, gmf_side side) { return v->best_rows[side]; }

void gmf_validation_restore_best(gmf_validation *v)
{
  for (int s = 0; s < GMF_N_SIDES && v->best.sweep > 0; s++) gmf_als_set_rows(v->als, (gmf_side)s, v->best_rows[s]);
}
