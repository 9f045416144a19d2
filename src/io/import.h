/* Text ratings to a dataset file, in parallel: the same bytes for any number of ranks and threads. */
#ifndef GMF_IO_IMPORT_H
#define GMF_IO_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/grid.h"

/* What becomes of several ratings of one item by one user. Later: by time, then by position in the input. */
typedef enum gmf_duplicates {
  GMF_DUPLICATES_LAST,
  GMF_DUPLICATES_SUM, /* sum, max, mean keep the latest time; a sum has no weight */
  GMF_DUPLICATES_MAX,
  GMF_DUPLICATES_MEAN, /* with weights: their mean by weight, and the weights added up */
  GMF_DUPLICATES_ERROR
} gmf_duplicates;

/* Equal on all ranks. */
typedef struct gmf_import_options {
  char format[16];   /* "auto", "csv", "tsv", "dat", "mtx", "adjacency" */
  char columns[256]; /* "user=NAME|N,item=...,rating=...,time=...,weight=..."; "": by header, else by position */
  gmf_duplicates duplicates;
  bool skip_bad_lines; /* count them instead of failing at the first */
  bool has_min_rating;
  double min_rating;                      /* ratings below it are dropped, after duplicates were settled; weights do
                                             not count here, nor in what follows */
  bool binarize;                          /* then every value becomes 1 */
  int64_t min_item_count, min_user_count; /* then items, then users with fewer ratings are dropped, one pass each */
  bool k_core;                            /* or as many passes as there is something to drop */
  int n_threads;                          /* of this rank; 0: as OpenMP has it */
  void (*say)(void *context, const char *lines); /* gets lines for the log; may be NULL */
  void *context;
} gmf_import_options;

/* Equal on all ranks. */
typedef struct gmf_import_report {
  int64_t n_files, n_bytes;                        /* as on the disk */
  int64_t n_lines;                                 /* of data: no header, blank line or comment */
  int64_t n_records;                               /* ratings read from good lines */
  int64_t n_bad_lines;                             /* skipped */
  int64_t n_duplicates;                            /* ratings that were merged into another one */
  int64_t n_dropped_by_rating, n_dropped_by_count; /* ratings that the filters took */
  int64_t n_rounds;                                /* of the k-core: those in which ratings went */
  int64_t n_users, n_items, nnz;                   /* of the dataset */
  char columns[96];         /* what was taken from the first file: "user 1, item 2, rating 3, time 4" */
  char first_bad_line[512]; /* "FILE:LINE:COLUMN: reason", "" where none was skipped */
} gmf_import_report;

/*
 * Collective. files [n_files]: the input in its order; output: the dataset to create. report may be NULL.
 *
 * Plain files are read in byte ranges by all ranks and threads, gzip and zstd files by one rank each. Order counts:
 * of two ratings with the same time, the one further back (file by file, line by line) is later.
 *
 * Errors: GMF_ERR_NO_INPUT; GMF_ERR_DATA (bad line: the first of the whole input, "FILE:LINE:COLUMN: reason"; no
 * ratings; duplicates where they are an error); GMF_ERR_USAGE (format, columns); GMF_ERR_CREATE, GMF_ERR_IO;
 * GMF_ERR_MEMORY; GMF_ERR_PLAN (more than 2^32 users or different ids on one rank).
 */
gmf_status gmf_import(const gmf_grid *grid, const char *const *files, int n_files, const char *output,
                      const gmf_import_options *options, gmf_import_report *report, gmf_error *err);

#endif
