/*
 * What the points of a sweep came to: one JSON object a point, which is a file of its own as soon as the point is done
 * (DIR/points/ID.json), and all of them in the order of the metric as DIR/results.jsonl and DIR/results.csv. Local.
 *
 *   schema 1, id, point (number in the grid), name (of its section), status "ok" | "failed", exit_code, error,
 *   options {name: value}, metrics {name: value}, sweeps, model_sweep, objective, seconds, ranks, grid, threads
 */
#ifndef GMF_APP_SWEEP_RESULTS_H
#define GMF_APP_SWEEP_RESULTS_H

#include <jansson.h>
#include <stdio.h>

#include "algo/metrics.h"
#include "app/config.h"

enum { GMF_SWEEP_ID_BYTES = 17, GMF_SWEEP_MAX_VARIED = 64 };

typedef struct gmf_sweep_results {
  const gmf_metrics *metrics; /* borrowed: the first of them ranks */
  const gmf_option **varied;  /* borrowed [n_varied]: the options in which points differ */
  int n_varied;
  json_t *points; /* owned: array of objects */
} gmf_sweep_results;

/* Whether `value` of the first metric is better than `other`; a number is better than none. */
bool gmf_sweep_is_better(const gmf_metrics *metrics, double value, double other);

/* The first metric of a point; NaN where it failed. */
double gmf_sweep_value(const gmf_sweep_results *results, const json_t *point);

/* An option's value as JSON: a number, a truth or a word. */
json_t *gmf_sweep_option_json(const gmf_option *option, const gmf_config *config);

/* "factors 64, lambda 0.1": the varied options of a point. */
void gmf_sweep_describe(const gmf_sweep_results *results, const json_t *point, char *out, size_t size);

/* Puts the points in order: the best first, then what failed. */
gmf_status gmf_sweep_rank(gmf_sweep_results *results, gmf_error *err);

/* Writes results.jsonl and results.csv of ranked points into a folder. */
gmf_status gmf_sweep_write(const gmf_sweep_results *results, const char *folder, gmf_error *err);

/* The table for people, ranked points. */
void gmf_sweep_print(const gmf_sweep_results *results, FILE *out);

void gmf_sweep_results_free(gmf_sweep_results *results);

#endif
