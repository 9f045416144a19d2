#include "app/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/provenance.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/random.h"
#include "io/dataset.h"
#include "io/layout.h"

/* My users' ratings, and which of them are held out. */
typedef struct slice {
  int64_t n_rows, n;
  int64_t *items, *times; /* owned [n]; times NULL where the dataset has none */
  float *values;          /* owned [n] */
  bool *held_out;         /* owned [n] */
} slice;

static void free_slice(slice *s)
{
  gmf_free(s->items);
  gmf_free(s->times);
  gmf_free(s->values);
  gmf_free(s->held_out);
}

static gmf_status read_slice(const gmf_dataset *d, slice *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  s->n_rows = d->row_end - d->row_begin;
  s->n = d->indptr[s->n_rows] - d->indptr[0];
  GMF_TRY(GMF_NEW(s->items, s->n, err));
  GMF_TRY(GMF_NEW(s->values, s->n, err));
  if (d->has_time) GMF_TRY(GMF_NEW(s->times, s->n, err));
  GMF_TRY(GMF_NEW_ZERO(s->held_out, s->n, err));
  GMF_TRY(gmf_dataset_read(d, d->indptr[0], s->n, s->items, s->values, s->times, err));
cleanup:
  return status;
}

/* ---- what is held out -------------------------------------------------------------------------------------------- */

/* A rating of one user with the key that decides: the largest keys are held out. */
typedef struct candidate {
  double key;
  int64_t time, at;
} candidate;

static int last_first(const void *a, const void *b)
{
  const candidate *x = a, *y = b;
  if (x->time != y->time) return x->time > y->time ? -1 : 1;
  if (x->key != y->key) return x->key > y->key ? -1 : 1;
  return x->at > y->at ? -1 : 1;
}

static double chance(const gmf_config *c, int64_t user, int64_t item)
{
  uint64_t row = (uint64_t)user ^ (uint64_t)(item >> 32) << 40; /* items beyond 2^32 still differ */
  return gmf_random_uniform((uint64_t)c->seed, GMF_STREAM_SPLIT, row, (uint32_t)item);
}

/* How many of a user's d ratings are held out, where their number is fixed. */
static int64_t n_held_out(const gmf_config *c, int64_t d)
{
  /* 0.29 x 100 is 29, also where 0.29 is a little less in binary. */
  if (!isnan(c->fraction)) return (int64_t)floor(c->fraction * (double)d * (1 + 1e-12));
  return d > c->count ? c->count : 0;
}

static gmf_status choose(const gmf_config *c, const gmf_dataset *d, slice *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  bool by_rating = c->method == GMF_SPLIT_RANDOM && !isnan(c->fraction);
  bool by_time = c->method == GMF_SPLIT_LEAVE_LAST;
  candidate *candidates = NULL;
  int64_t longest = 0;

  for (int64_t r = 0; r < s->n_rows; r++) longest = gmf_max64(longest, d->indptr[r + 1] - d->indptr[r]);
  GMF_TRY(GMF_NEW(candidates, longest, err));
  for (int64_t r = 0; r < s->n_rows; r++) {
    int64_t user = d->row_begin + r, begin = d->indptr[r] - d->indptr[0], n = d->indptr[r + 1] - d->indptr[r];
    for (int64_t j = 0; j < n; j++) {
      double key = by_time ? 0 : chance(c, user, s->items[begin + j]);
      candidates[j] = (candidate){key, by_time ? s->times[begin + j] : 0, begin + j};
      if (by_rating) s->held_out[begin + j] = key < c->fraction;
    }
    if (by_rating) continue;
    qsort(candidates, (size_t)n, sizeof *candidates, last_first);
    for (int64_t j = 0; j < n_held_out(c, n); j++) s->held_out[candidates[j].at] = true;
  }
cleanup:
  gmf_free(candidates);
  return status;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* The arrays of one half. */
typedef struct half {
  int64_t *indptr, *items, *times; /* owned */
  float *values;                   /* owned */
  gmf_ids ids[GMF_N_SIDES];        /* owned */
} half;

static void free_half(half *h)
{
  gmf_free(h->indptr);
  gmf_free(h->items);
  gmf_free(h->times);
  gmf_free(h->values);
  for (int s = 0; s < GMF_N_SIDES; s++) gmf_ids_free(&h->ids[s]);
}

static gmf_status make_half(const gmf_grid *grid, const gmf_dataset *d, const slice *s, bool held_out, half *h,
                            gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW(h->indptr, s->n_rows + 1, err));
  GMF_TRY(GMF_NEW(h->items, s->n, err));
  GMF_TRY(GMF_NEW(h->values, s->n, err));
  if (d->has_time) GMF_TRY(GMF_NEW(h->times, s->n, err));
  int64_t n = 0;
  for (int64_t r = 0; r < s->n_rows; r++) {
    h->indptr[r] = n;
    for (int64_t j = d->indptr[r] - d->indptr[0]; j < d->indptr[r + 1] - d->indptr[0]; j++) {
      if (s->held_out[j] != held_out) continue;
      h->items[n] = s->items[j];
      h->values[n] = s->values[j];
      if (d->has_time) h->times[n] = s->times[j];
      n++;
    }
  }
  h->indptr[s->n_rows] = n;
  for (int side = 0; side < GMF_N_SIDES; side++) {
    int64_t begin = gmf_slice_begin(d->n[side], grid->size, grid->rank);
    int64_t end = gmf_slice_begin(d->n[side], grid->size, grid->rank + 1);
    GMF_TRY(gmf_dataset_read_ids(d, (gmf_side)side, begin, end - begin, &h->ids[side], err));
  }
cleanup:
  return status;
}

/* Collective. */
static gmf_status write_half(const gmf_grid *grid, const gmf_config *c, const gmf_dataset *d, const slice *s,
                             bool held_out, gmf_writer *w, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  half h = {0};
  GMF_TRY(gmf_agree(grid, make_half(grid, d, s, held_out, &h, err), err));
  gmf_provenance_add_software(w);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "dataset", d->path);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "part", held_out ? "test" : "train");
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "method", c->method == GMF_SPLIT_RANDOM ? "random" : "leave-last");
  if (isnan(c->fraction))
    gmf_writer_attr_i64(w, GMF_GROUP_PROVENANCE, "count", c->count);
  else
    gmf_writer_attr_f64(w, GMF_GROUP_PROVENANCE, "fraction", c->fraction);
  gmf_writer_attr_i64(w, GMF_GROUP_PROVENANCE, "seed", c->seed);
  gmf_dataset_part part = {.n = {d->n[0], d->n[1]},
                           .ids = {h.ids[0], h.ids[1]},
                           .row_begin = d->row_begin,
                           .n_rows = s->n_rows,
                           .indptr = h.indptr,
                           .items = h.items,
                           .values = h.values,
                           .times = h.times,
                           .has_time = d->has_time};
  GMF_TRY(gmf_dataset_write(grid, w, &part, err));
  *n = h.indptr[s->n_rows];
  gmf_sum_i64(grid, n, 1);
cleanup:
  free_half(&h);
  return status;
}

static gmf_status check_options(const gmf_config *c, const gmf_dataset *d, gmf_error *err)
{
  if (c->train[0] == '\0' || c->test[0] == '\0')
    return gmf_fail(err, GMF_ERR_USAGE, "--train TRAIN.h5 and --test TEST.h5 are needed");
  if (c->method < 0) return gmf_fail(err, GMF_ERR_USAGE, "--method random or --method leave-last is needed");
  if (isnan(c->fraction) == (c->count == 0))
    return gmf_fail(err, GMF_ERR_USAGE, "--fraction F or --count N is needed, and only one of them");
  if (c->method == GMF_SPLIT_LEAVE_LAST && !d->has_time)
    return gmf_fail(err, GMF_ERR_DATA,
                    "%s: has no times, which --method leave-last goes by; import them with "
                    "--columns time=..., or use --method random --count N",
                    d->path);
  return GMF_OK;
}

gmf_status gmf_split(const gmf_grid *grid, const char *dataset, const gmf_config *c, const gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_dataset *d = NULL;
  gmf_writer *writers[2] = {NULL, NULL};
  int64_t n[2] = {0, 0};
  slice s = {0};

  GMF_TRY(gmf_dataset_open(grid, dataset, &d, err));
  GMF_TRY(check_options(c, d, err));
  GMF_TRY(gmf_writer_open(grid, c->train, GMF_FORMAT_DATASET, &writers[0], err));
  GMF_TRY(gmf_writer_open(grid, c->test, GMF_FORMAT_DATASET, &writers[1], err));
  gmf_trace_phase(grid->trace, GMF_PHASE_READ);
  GMF_TRY(gmf_agree(grid, read_slice(d, &s, err), err));
  gmf_trace_phase(grid->trace, GMF_PHASE_SORT);
  GMF_TRY(gmf_agree(grid, choose(c, d, &s, err), err));
  gmf_trace_phase(grid->trace, GMF_PHASE_WRITE);
  for (int held_out = 0; held_out < 2; held_out++)
    GMF_TRY(write_half(grid, c, d, &s, held_out, writers[held_out], &n[held_out], err));
  for (int h = 0; h < 2; h++) GMF_TRY(gmf_writer_commit(writers[h], err)); /* both or none, but for a failing rename */
  gmf_log_line(log, "wrote %s: %s ratings", c->train, gmf_thousands(n[0]));
  gmf_log_line(log, "wrote %s: %s ratings", c->test, gmf_thousands(n[1]));

cleanup:
  free_slice(&s);
  for (int h = 0; h < 2; h++) gmf_writer_destroy(&writers[h]);
  gmf_dataset_close(&d);
  return status;
}
