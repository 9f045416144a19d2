#include "app/attach.h"

#include <inttypes.h>

#include "app/provenance.h"
#include "io/attach.h"
#include "io/layout.h"

/* Local, the same on all ranks. How to make this file again. */
static void describe_run(gmf_writer *w, const gmf_dataset *d, const gmf_config *c, gmf_side side,
                         const gmf_feature_text_report *text)
{
  const char *group = GMF_GROUP_PROVENANCE;
  gmf_provenance_add_software(w);
  gmf_writer_attr_text(w, group, "dataset", d->path);
  gmf_writer_attr_text(w, group, "side", gmf_side_name(side));
  gmf_writer_attr_text(w, group, "features", c->features_file[side]);
  gmf_writer_attr_text(w, group, "id", c->id_column);
  gmf_writer_attr_text(w, group, "categories", c->categories);
  gmf_writer_attr_text(w, group, "numbers", c->numbers);
  gmf_writer_attr_i64(w, group, "intercept", c->intercept);
  gmf_writer_attr_i64(w, group, "n_lines", text->n_lines);
  gmf_writer_attr_i64(w, group, "n_bad_lines", text->n_bad_lines);
}

static void log_text(const gmf_log *log, const gmf_feature_text_report *text)
{
  if (text->n_bad_lines > 0)
    gmf_log_line(log, "skipped %s bad lines, the first: %s", gmf_thousands(text->n_bad_lines), text->first_bad_line);
  if (text->n_missing > 0)
    gmf_log_line(log, "%s empty fields of numbers, taken as the mean of their column", gmf_thousands(text->n_missing));
  if (text->n_constant > 0)
    gmf_log_line(log, "note: %s columns of numbers have one value only, and say nothing",
                 gmf_thousands(text->n_constant));
}

static void log_report(const gmf_log *log, const gmf_config *c, gmf_side side, const gmf_feature_text_report *text,
                       const gmf_attach_report *r, int64_t n_features)
{
  const char *noun = gmf_side_name(side);
  gmf_log_line(log,
               "%s %s have features and ratings; %s have features only, and rows of their own; %s have no features",
               gmf_thousands(r->n_matched), noun, gmf_thousands(r->n_added), gmf_thousands(r->n_without));
  gmf_log_line(log, "wrote %s: %s users, %s items, %s ratings, %s features of %s", c->output,
               gmf_thousands(r->n[GMF_USERS]), gmf_thousands(r->n[GMF_ITEMS]), gmf_thousands(r->nnz),
               gmf_thousands(n_features), noun);
  gmf_log_event(
      log, "attach",
      json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "side", noun, "file", c->output, "lines",
                (json_int_t)text->n_lines, "bad_lines", (json_int_t)text->n_bad_lines, "missing",
                (json_int_t)text->n_missing, "features", (json_int_t)n_features, "matched", (json_int_t)r->n_matched,
                "added", (json_int_t)r->n_added, "without", (json_int_t)r->n_without));
}

static gmf_status check_options(const gmf_config *c, gmf_error *err)
{
  bool users = c->features_file[GMF_USERS][0] != '\0', items = c->features_file[GMF_ITEMS][0] != '\0';
  if (c->output[0] == '\0') return gmf_fail(err, GMF_ERR_USAGE, "-o OUT.h5 is needed");
  if (users == items)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--items FILE or --users FILE is needed, and only one of them: for both, attach the second to the "
                    "file that the first has made");
  return GMF_OK;
}

/* Collective. Rank 0 reads the text; all get what it says. */
static gmf_status read_table(const gmf_grid *grid, const gmf_dataset *d, const gmf_config *c, gmf_side side,
                             gmf_feature_table *table, gmf_feature_text_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_ids none = {0};
  status = gmf_dataset_read_ids(d, side, 0, 0, &none, err); /* for their type */
  gmf_feature_text_options options = {.id_type = none.type,
                                      .id = c->id_column,
                                      .categories = c->categories,
                                      .numbers = c->numbers,
                                      .intercept = c->intercept,
                                      .skip_bad_lines = c->on_bad_line == 1};
  gmf_ids_free(&none);
  if (status == GMF_OK && grid->rank == 0)
    status = gmf_feature_text_read(c->features_file[side], &options, table, report, err);
  GMF_TRY(gmf_agree(grid, status, err));
  gmf_broadcast(grid, report, sizeof *report);
  GMF_TRY(gmf_feature_table_share(grid, table, err));
cleanup:
  return status;
}

gmf_status gmf_attach_run(const gmf_grid *grid, const char *dataset, const gmf_config *c, const gmf_log *log,
                          gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_side side = c->features_file[GMF_USERS][0] != '\0' ? GMF_USERS : GMF_ITEMS;
  gmf_dataset *d = NULL;
  gmf_writer *w = NULL;
  gmf_feature_table table = {0};
  gmf_feature_text_report text = {0};
  gmf_attach_report report = {0};

  GMF_TRY(check_options(c, err));
  GMF_TRY(gmf_dataset_open(grid, dataset, &d, err));
  GMF_TRY(gmf_writer_open(grid, c->output, GMF_FORMAT_DATASET, &w, err));
  gmf_log_lines(log, gmf_writer_notes(w));
  GMF_TRY(read_table(grid, d, c, side, &table, &text, err));
  log_text(log, &text);
  if (d->has_features[side]) gmf_log_line(log, "note: the features that %s had are replaced", gmf_side_name(side));
  describe_run(w, d, c, side, &text);
  GMF_TRY(gmf_attach(grid, d, side, &table, w, &report, err));
  GMF_TRY(gmf_writer_commit(w, err));
  log_report(log, c, side, &text, &report, table.features.names.n);
cleanup:
  gmf_feature_table_free(&table);
  gmf_writer_destroy(&w);
  gmf_dataset_close(&d);
  return status;
}
