/*
 * Features from text: a csv, tsv or '::' file with a line for each user or item. Local; the file is read and kept as a
 * whole by one rank.
 */
#ifndef GMF_IO_FEATURE_TEXT_H
#define GMF_IO_FEATURE_TEXT_H

#include "io/dataset.h"
#include "io/feature_write.h"

typedef struct gmf_feature_text_options {
  gmf_type id_type;       /* of the dataset's ids: GMF_I8, or GMF_TEXT of any length */
  const char *id;         /* column; "3": by number */
  const char *categories; /* lines of COLUMN[,SEPARATOR] */
  const char *numbers;    /* COLUMN,... */
  bool intercept;         /* the last feature is 1 in each row */
  bool skip_bad_lines;
} gmf_feature_text_options;

/* What was read. Fit for {0}. */
typedef struct gmf_feature_table {
  gmf_ids ids;                /* owned: ascending; text as long as the longest */
  gmf_side_features features; /* owned: a row for each id */
} gmf_feature_table;

typedef struct gmf_feature_text_report {
  int64_t n_lines; /* of data */
  int64_t n_bad_lines;
  char first_bad_line[400]; /* what, where */
  int64_t n_missing;        /* empty fields of numbers */
  int64_t n_constant;       /* columns of numbers that are all the same */
} gmf_feature_text_report;

void gmf_feature_table_free(gmf_feature_table *table);

/*
 * Errors: GMF_ERR_NO_INPUT; GMF_ERR_USAGE an option is wrong; GMF_ERR_DATA a column that is not there, a line that
 * cannot be read, an id twice, each with the place in the file.
 */
gmf_status gmf_feature_text_read(const char *path, const gmf_feature_text_options *options, gmf_feature_table *out,
                                 gmf_feature_text_report *report, gmf_error *err);

/* Collective. Rank 0's table on all ranks. */
gmf_status gmf_feature_table_share(const gmf_grid *grid, gmf_feature_table *table, gmf_error *err);

#endif
