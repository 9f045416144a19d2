#include "io/import.h"

#include <math.h>
#include <omp.h>

#include "app/memory_check.h"
#include "cli/verbs.h"

static void say(void *log, const char *lines) { gmf_log_lines(log, lines); }

static gmf_import_options options_of(const gmf_config *c, gmf_log *log)
{
  gmf_import_options o = {.duplicates = (gmf_duplicates)c->duplicates,
                          .skip_bad_lines = c->on_bad_line == 1,
                          .has_min_rating = !isnan(c->min_rating),
                          .min_rating = c->min_rating,
                          .binarize = c->binarize,
                          .min_item_count = c->min_item_count,
                          .min_user_count = c->min_user_count,
                          .k_core = c->k_core,
                          .n_threads = omp_get_max_threads(),
                          .say = say,
                          .context = log};
  gmf_config_text(c, offsetof(gmf_config, format), o.format, sizeof o.format);
  snprintf(o.columns, sizeof o.columns, "%s", c->columns);
  return o;
}

static void log_report(const gmf_run *run, const gmf_import_report *r)
{
  const gmf_log *log = &run->log;
  if (r->columns[0] != '\0') gmf_log_line(log, "columns: %s", r->columns);
  if (r->n_bad_lines > 0)
    gmf_log_line(log, "skipped %s bad lines, the first: %s", gmf_thousands(r->n_bad_lines), r->first_bad_line);
  if (r->n_duplicates > 0) gmf_log_line(log, "merged %s duplicate ratings", gmf_thousands(r->n_duplicates));
  if (r->n_dropped_by_rating + r->n_dropped_by_count > 0)
    gmf_log_line(log, "left out %s ratings below the least rating, %s by the least counts",
                 gmf_thousands(r->n_dropped_by_rating), gmf_thousands(r->n_dropped_by_count));
  if (run->config.k_core) gmf_log_line(log, "k-core after %s rounds", gmf_thousands(r->n_rounds));
  gmf_log_line(log, "wrote %s: %s users, %s items, %s ratings from %s lines", run->config.output,
               gmf_thousands(r->n_users), gmf_thousands(r->n_items), gmf_thousands(r->nnz), gmf_thousands(r->n_lines));
  gmf_log_event(log, "import",
                json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "lines", (json_int_t)r->n_lines, "bad_lines",
                          (json_int_t)r->n_bad_lines, "duplicates", (json_int_t)r->n_duplicates, "users",
                          (json_int_t)r->n_users, "items", (json_int_t)r->n_items, "ratings", (json_int_t)r->nnz,
                          "k_core_rounds", (json_int_t)r->n_rounds));
}

gmf_status gmf_verb_import(gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_import_options options = options_of(&run->config, &run->log);
  gmf_import_report report;
  if (run->arguments.n == 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "at least one text file is needed; see gridmf import --help"));
  if (run->config.output[0] == '\0') GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "-o DATA.h5 is needed"));
  if (options.k_core && options.min_user_count <= 1 && options.min_item_count <= 1)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "--k-core repeats --min-user-count and --min-item-count: give one or both"));
  GMF_TRY(gmf_import_memory(run->grid, &run->config, run->arguments.values, run->arguments.n, &run->log, err));
  GMF_TRY(gmf_import(run->grid, run->arguments.values, run->arguments.n, run->config.output, &options, &report, err));
  log_report(run, &report);
cleanup:
  return status;
}
