/* The importer from its files to its dataset; import_read.c and import_sort.c do the work. */
#include "io/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/build_info.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/dataset.h"
#include "io/import_read.h"
#include "io/import_sort.h"
#include "io/layout.h"

/* HDF5 keeps at most 64 KiB in an attribute. */
enum { SOURCES_BYTES = 32768 };

static const char *const DUPLICATES_NAME[] = {"last", "sum", "max", "mean", "error"};

/* The names as given, one a line; a list that is too long ends with how many there are. */
static void list_sources(const gmf_import_share *share, char *out)
{
  size_t at = 0;
  out[0] = 0;
  for (int f = 0; f < share->n_files; f++) {
    size_t n = strlen(share->paths[f]) + 1;
    if (at + n > SOURCES_BYTES - 64) {
      snprintf(out + at, SOURCES_BYTES - at, "\n... (%d files)", share->n_files);
      return;
    }
    at += (size_t)snprintf(out + at, SOURCES_BYTES - at, "%s%s", f > 0 ? "\n" : "", share->paths[f]);
  }
}

/* Which columns of the first file were read, counted from 1. */
static void describe_columns(const gmf_import_share *share, char *out, size_t size)
{
  out[0] = '\0';
  for (int role = 0; role < GMF_N_ROLES; role++) {
    int column = share->layouts[0].column[role];
    size_t at = strlen(out);
    if (column < 0) continue;
    snprintf(out + at, size - at, "%s%s %d", at > 0 ? ", " : "", gmf_text_role_name((gmf_text_role)role), column + 1);
  }
}

/* Local, the same on all ranks: how to make this file again. Nothing here depends on ranks, threads, date or host. */
static gmf_status describe_run(gmf_writer *w, const gmf_import_options *options, const gmf_import_share *share,
                               const gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const char *group = GMF_GROUP_PROVENANCE;
  char *sources = NULL;
  GMF_TRY(GMF_NEW(sources, SOURCES_BYTES, err));
  list_sources(share, sources);
  gmf_writer_attr_text(w, group, "software", "gridmf");
  gmf_writer_attr_text(w, group, "softwareVersion", GMF_BUILD.version);
  gmf_writer_attr_text(w, group, "sources", sources);
  gmf_writer_attr_i64(w, group, "source_bytes", report->n_bytes);
  gmf_writer_attr_text(w, group, "format", options->format);
  gmf_writer_attr_text(w, group, "columns", report->columns);
  gmf_writer_attr_text(w, group, "duplicates", DUPLICATES_NAME[options->duplicates]);
  gmf_writer_attr_text(w, group, "on_bad_line", options->skip_bad_lines ? "skip" : "error");
  if (options->has_min_rating) gmf_writer_attr_f64(w, group, "min_rating", options->min_rating);
  gmf_writer_attr_i64(w, group, "binarize", options->binarize);
  gmf_writer_attr_i64(w, group, "min_user_count", options->min_user_count);
  gmf_writer_attr_i64(w, group, "min_item_count", options->min_item_count);
  gmf_writer_attr_i64(w, group, "k_core", options->k_core);
  if (options->k_core) gmf_writer_attr_i64(w, group, "k_core_rounds", report->n_rounds);
  gmf_writer_attr_i64(w, group, "n_lines", report->n_lines);
  gmf_writer_attr_i64(w, group, "n_records", report->n_records);
  gmf_writer_attr_i64(w, group, "n_bad_lines", report->n_bad_lines);
  gmf_writer_attr_i64(w, group, "n_duplicates", report->n_duplicates);
cleanup:
  gmf_free(sources);
  return status;
}

/* Collective. */
static gmf_status write_dataset(const gmf_grid *grid, gmf_writer *w, const gmf_import_options *options,
                                const gmf_import_share *share, const gmf_id_space space[GMF_N_SIDES],
                                const gmf_rating_rows *rows, const gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_dataset_part part = {
      .n = {report->n_users, report->n_items}, .ids = {space[GMF_USERS].ids, space[GMF_ITEMS].ids}, .rows = *rows};
  GMF_TRY(gmf_agree(grid, describe_run(w, options, share, report, err), err));
  GMF_TRY(gmf_dataset_write(grid, w, &part, err));
  GMF_TRY(gmf_writer_commit(w, err));
cleanup:
  return status;
}

/* Local, the same on all ranks. */
static gmf_status fail_empty(const gmf_import_options *options, const gmf_import_report *report, gmf_error *err)
{
  if (!options->k_core)
    return gmf_fail(err, GMF_ERR_DATA,
                    "no rating of %" PRId64
                    " is left after the filters; lower --min-rating, --min-user-count or --min-item-count",
                    report->n_records);
  return gmf_fail(err, GMF_ERR_DATA,
                  "no rating of %" PRId64
                  " is left after the filters: there is no --k-core in which every user has %" PRId64
                  " ratings or more and every item %" PRId64 "; lower --min-user-count or --min-item-count",
                  report->n_records, gmf_max64(1, options->min_user_count), gmf_max64(1, options->min_item_count));
}

/* Collective. Everything between the opened output and the report. */
static gmf_status import(const gmf_grid *grid, gmf_writer *w, const gmf_import_options *options,
                         gmf_import_share *share, gmf_id_space space[GMF_N_SIDES], gmf_rating_rows *rows,
                         gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  report->n_files = share->n_files;
  for (int f = 0; f < share->n_files; f++) report->n_bytes += share->files[f].n_bytes;
  describe_columns(share, report->columns, sizeof report->columns);
  GMF_TRY(gmf_import_read(grid, options, share, report, err));
  GMF_TRY(gmf_import_sort(grid, options, share, space, rows, report, err));
  GMF_TRY(gmf_import_filter(grid, options, space, rows, report, err));
  report->nnz = rows->indptr[rows->n_rows];
  gmf_sum_i64(grid, &report->nnz, 1);
  report->n_users = space[GMF_USERS].n;
  report->n_items = space[GMF_ITEMS].n;
  if (report->nnz == 0) GMF_TRY(fail_empty(options, report, err));
  gmf_trace_phase(grid->trace, GMF_PHASE_WRITE);
  GMF_TRY(write_dataset(grid, w, options, share, space, rows, report, err));
cleanup:
  return status;
}

gmf_status gmf_import(const gmf_grid *grid, const char *const *files, int n_files, const char *output,
                      const gmf_import_options *options, gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_writer *w = NULL;
  gmf_import_share share = {0};
  gmf_id_space space[GMF_N_SIDES] = {{.n = 0}, {.n = 0}};
  gmf_rating_rows rows = {0};
  gmf_import_report counts = {0};
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_READ);

  GMF_TRY(gmf_import_probe(grid, files, n_files, options, &share, err));
  GMF_TRY(gmf_writer_open(grid, output, GMF_FORMAT_DATASET, &w, err));
  if (options->say != NULL) options->say(options->context, gmf_writer_notes(w));
  GMF_TRY(import(grid, w, options, &share, space, &rows, &counts, err));
  if (report != NULL) *report = counts;

cleanup:
  gmf_writer_destroy(&w);
  gmf_import_share_free(&share);
  gmf_rating_rows_free(&rows);
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_id_space_free(&space[s]);
  gmf_trace_phase(grid->trace, before);
  return status;
}
