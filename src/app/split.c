#include "app/split.h"

#include <math.h>

#include "app/provenance.h"
#include "app/split_choose.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "io/layout.h"

static const char *const PART_NAME[GMF_N_PARTS] = {"train", "test"};

/* What a split works on. */
typedef struct split {
  const gmf_grid *grid;             /* borrowed */
  const gmf_config *c;              /* borrowed */
  gmf_dataset *dataset;             /* owned */
  gmf_rating_rows rows;             /* owned: my ratings */
  gmf_choice choice;                /* owned */
  gmf_writer *writers[GMF_N_PARTS]; /* owned */
  int64_t n[GMF_N_PARTS];           /* ratings in each file */
} split;

static const char *path_of(const gmf_config *c, gmf_part part) { return part == GMF_PART_TRAIN ? c->train : c->test; }

/* Local. The ratings of one part, with all users. */
static gmf_status select_part(const split *s, gmf_part part, gmf_rating_rows *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_rating_rows *all = &s->rows;
  int64_t n = 0, to = 0;
  for (int64_t j = 0; j < all->indptr[all->n_rows]; j++) n += s->choice.part[j] == part;
  GMF_TRY(gmf_rating_rows_new(all->n_rows, n, all->times != NULL, all->weights != NULL, out, err));
  out->row_begin = all->row_begin;
  for (int64_t r = 0; r < all->n_rows; r++) {
    for (int64_t j = all->indptr[r]; j < all->indptr[r + 1]; j++)
      if (s->choice.part[j] == part) gmf_rating_rows_copy_one(out, to++, all, j);
    out->indptr[r + 1] = to;
  }
cleanup:
  return status;
}

/* Local, the same on all ranks. */
static void describe_part(const split *s, gmf_part part)
{
  gmf_writer *w = s->writers[part];
  const gmf_config *c = s->c;
  char method[32];
  gmf_config_text(c, offsetof(gmf_config, method), method, sizeof method);
  gmf_provenance_add_software(w);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "dataset", s->dataset->path);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "part", PART_NAME[part]);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "method", method);
  if (isnan(c->fraction))
    gmf_writer_attr_i64(w, GMF_GROUP_PROVENANCE, "count", c->count);
  else
    gmf_writer_attr_f64(w, GMF_GROUP_PROVENANCE, "fraction", c->fraction);
  gmf_writer_attr_i64(w, GMF_GROUP_PROVENANCE, "seed", c->seed);
}

/* Collective. */
static gmf_status write_part(split *s, gmf_part p, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_grid *grid = s->grid;
  const gmf_dataset *d = s->dataset;
  gmf_dataset_part part = {.n = {d->n[GMF_USERS], d->n[GMF_ITEMS]}};
  gmf_status local = select_part(s, p, &part.rows, err);
  for (int side = 0; side < GMF_N_SIDES && local == GMF_OK; side++) {
    int64_t begin = gmf_slice_begin(d->n[side], grid->size, grid->rank);
    int64_t end = gmf_slice_begin(d->n[side], grid->size, grid->rank + 1);
    local = gmf_dataset_read_ids(d, (gmf_side)side, begin, end - begin, &part.ids[side], err);
  }
  GMF_TRY(gmf_agree(grid, local, err));
  describe_part(s, p);
  GMF_TRY(gmf_dataset_write(grid, s->writers[p], &part, err));
  s->n[p] = part.rows.indptr[part.rows.n_rows];
  gmf_sum_i64(grid, &s->n[p], 1);
cleanup:
  gmf_rating_rows_free(&part.rows);
  for (int side = 0; side < GMF_N_SIDES; side++) gmf_ids_free(&part.ids[side]);
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
  split s = {.grid = grid, .c = c};

  GMF_TRY(gmf_dataset_open(grid, dataset, &s.dataset, err));
  GMF_TRY(check_options(c, s.dataset, err));
  for (int p = 0; p < GMF_N_PARTS; p++)
    GMF_TRY(gmf_writer_open(grid, path_of(c, (gmf_part)p), GMF_FORMAT_DATASET, &s.writers[p], err));
  gmf_trace_phase(grid->trace, GMF_PHASE_READ);
  GMF_TRY(gmf_agree(grid, gmf_dataset_read_rows(s.dataset, &s.rows, err), err));
  gmf_trace_phase(grid->trace, GMF_PHASE_SORT);
  GMF_TRY(gmf_split_choose(grid, c, &s.rows, &s.choice, err));
  gmf_trace_phase(grid->trace, GMF_PHASE_WRITE);
  for (int p = 0; p < GMF_N_PARTS; p++) GMF_TRY(write_part(&s, (gmf_part)p, err));
  for (int p = 0; p < GMF_N_PARTS; p++) /* both or none, but for a failing rename */
    GMF_TRY(gmf_writer_commit(s.writers[p], err));
  for (int p = 0; p < GMF_N_PARTS; p++)
    gmf_log_line(log, "wrote %s: %s ratings", path_of(c, (gmf_part)p), gmf_thousands(s.n[p]));

cleanup:
  gmf_rating_rows_free(&s.rows);
  gmf_choice_free(&s.choice);
  for (int p = 0; p < GMF_N_PARTS; p++) gmf_writer_destroy(&s.writers[p]);
  gmf_dataset_close(&s.dataset);
  return status;
}
