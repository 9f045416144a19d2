/* The dataset reader on hostile datasets (hostile.h), on one rank. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "hostile.h"
#include "io/dataset.h"
#include "io/h5.h"
#include "promise.h"

enum { M = 4, N = 6, NNZ = 9 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const hostile_array ARRAYS[] = {{"users/id", HOSTILE_I8, 1, {M, 1}, {0, 1, 2, 5}, 0},
                                       {"items/id", HOSTILE_I8, 1, {N, 1}, {0, 1, 2, 3, 5, 7}, 0},
                                       {"ratings/indptr", HOSTILE_I8, 1, {M + 1, 1}, {0, 2, 5, 5, 9}, 0},
                                       {"ratings/indices", HOSTILE_I4, 1, {NNZ, 1}, {0, 3, 1, 2, 5, 0, 1, 2, 4}, 0},
                                       {"ratings/data", HOSTILE_F4, 1, {NNZ, 1}, {5, 4, 3, 2, 1}, 0},
                                       {"ratings/time", HOSTILE_I8, 1, {NNZ, 1}, {7, 9}, 0},
                                       {"ratings/weight", HOSTILE_F4, 1, {NNZ, 1}, {1, 2}, 0}};

static const hostile_attribute ATTRIBUTES[] = {{"/", "format", "gridmf-dataset", 0, 0},
                                               {"/", "format_version", "1.0", 0, 0},
                                               {"/", "complete", NULL, 1, 1},
                                               {"/", "nnz", NULL, NNZ, 1},
                                               {"/", "n_users", NULL, M, 1},
                                               {"/", "n_items", NULL, N, 1},
                                               {"ratings", "encoding-type", "csr_matrix", 0, 0},
                                               {"users/id", "sorted", NULL, 1, 1}};

static gmf_grid *grid;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  static gmf_trace trace;
  gmf_error err = {0};
  MPI_Init(argc, argv);
  gmf_h5_setup();
  gmf_trace_start(&trace);
  PROMISE(gmf_grid_create(MPI_COMM_WORLD, 1, 1, &trace, &grid, &err) == GMF_OK);
  return 0;
}

static void check(gmf_status status, gmf_error *err)
{
  PROMISE(status == GMF_OK || (status == err->status && err->text[0] != '\0'));
  PROMISE(status == GMF_OK || status == GMF_ERR_DATA || status == GMF_ERR_IO || status == GMF_ERR_MEMORY);
  *err = (gmf_error){0};
}

/* What a reader may rely on after success. */
static void check_rows(const gmf_dataset *d, const gmf_rating_rows *rows)
{
  int64_t n = d->indptr[d->row_end - d->row_begin] - d->indptr[0];
  for (int64_t j = 0; j < n; j++) {
    PROMISE(rows->items[j] >= 0 && rows->items[j] < d->n[GMF_ITEMS]);
    PROMISE(isfinite(rows->values[j]));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  gmf_dataset *d = NULL;
  gmf_error err = {0};
  gmf_rating_rows rows = {0};
  hostile_write(hostile_path(), ARRAYS, sizeof ARRAYS / sizeof *ARRAYS, ATTRIBUTES,
                sizeof ATTRIBUTES / sizeof *ATTRIBUTES, data, size);
  gmf_status status = gmf_dataset_open(grid, hostile_path(), &d, &err);
  if (size == 0 && status != GMF_OK) fprintf(stderr, "the dataset without edits: %s\n", err.text);
  PROMISE(size > 0 || status == GMF_OK);
  check(status, &err);
  if (status == GMF_OK) {
    status = gmf_dataset_read_rows(d, &rows, &err);
    check(status, &err);
    if (status == GMF_OK) check_rows(d, &rows);
    gmf_rating_rows_free(&rows);
    for (int s = 0; s < GMF_N_SIDES; s++) {
      gmf_ids ids = {0};
      check(gmf_dataset_read_ids(d, (gmf_side)s, 0, d->n[s], &ids, &err), &err);
      gmf_ids_free(&ids);
    }
    gmf_dataset_close(&d);
  }
  unlink(hostile_path());
  return 0;
}
