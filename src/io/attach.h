/* Puts features beside the ids of a dataset, and ids without ratings among them. */
#ifndef GMF_IO_ATTACH_H
#define GMF_IO_ATTACH_H

#include "io/feature_text.h"

/* Of all ranks. */
typedef struct gmf_attach_report {
  int64_t n_matched;           /* ids of the table that the dataset has */
  int64_t n_added;             /* that it has not: rows without ratings */
  int64_t n_without;           /* rows of the dataset that the table does not name */
  int64_t n[GMF_N_SIDES], nnz; /* of the new dataset */
} gmf_attach_report;

/*
 * Collective. Writes the dataset with the features of a table, which all ranks have (gmf_feature_table_share), by an
 * opened writer, to which the caller may have added attributes and which the caller then commits. Ids of both stand in
 * one ascending order, and ratings keep their rows by it. Features of the other side are kept, those of this one
 * replaced. GMF_ERR_DATA where the ids of the dataset do not ascend.
 *
 * Memory: this rank's part of the dataset, and 8 bytes for each id of the table.
 */
gmf_status gmf_attach(const gmf_grid *grid, const gmf_dataset *dataset, gmf_side side, const gmf_feature_table *table,
                      gmf_writer *w, gmf_attach_report *report, gmf_error *err);

#endif
