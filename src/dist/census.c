#include "dist/census.h"

#include <math.h>
#include <string.h>

#include "base/bits.h"
#include "base/memory.h"
#include "base/narrow.h"

enum { BATCH = 1 << 18 /* ratings that are read at a time */ };
static const int64_t TOUCHED_BITS = (int64_t)1 << 31; /* 256 MiB */

typedef struct census {
  const gmf_rating_source *source;
  const gmf_census_block *block;
  int n_ranks;
  int32_t *item_owner;  /* owned [items] */
  int64_t *stamp;       /* owned [grid rows]: the last of my users, counted from 1, that a grid row asked for */
  uint64_t *touched;    /* owned [items of a pass][grid rows]: whether a grid row has a rating of an item */
  int64_t begin, end;   /* the items of this pass, where users are updated */
  uint64_t *pairs;      /* owned [ranks][ranks]: whether a rank gives a row to another */
  gmf_share *shares;    /* borrowed [ranks] */
  double *work;         /* owned [ranks] */
  int64_t *item_buffer; /* owned [BATCH] */
  float *values;        /* owned [BATCH]: read along, not used */
} census;

static void free_census(census *c)
{
  gmf_free(c->item_owner);
  gmf_free(c->stamp);
  gmf_free(c->touched);
  gmf_free(c->pairs);
  gmf_free(c->work);
  gmf_free(c->item_buffer);
  gmf_free(c->values);
}

/* ---- ratings one after the other --------------------------------------------------------------------------------- */

/* Takes ratings of one of my users, counted from 0; a user with many comes several times in a row. */
typedef void visit(void *context, int64_t user, const int64_t *items, int64_t n);

/* Local. items, values [BATCH]: scratch. */
static gmf_status walk(const gmf_rating_source *source, int64_t *items, float *values, visit *take, void *context,
                       gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_users = source->row_end - source->row_begin, last = source->indptr[n_users], user = 0;
  for (int64_t begin = source->indptr[0]; begin < last; begin += BATCH) {
    int64_t end = gmf_min64(begin + BATCH, last);
    GMF_TRY(source->read(source->context, begin, end - begin, items, values, NULL, err));
    gmf_beat();
    while (source->indptr[user + 1] <= begin) user++;
    for (int64_t u = user; u < n_users && source->indptr[u] < end; u++) {
      int64_t from = gmf_max64(source->indptr[u], begin), to = gmf_min64(source->indptr[u + 1], end);
      if (from < to) take(context, u, items + (from - begin), to - from);
    }
  }
cleanup:
  return status;
}

static void count_items(void *context, int64_t user, const int64_t *items, int64_t n)
{
  int64_t *degrees = context;
  (void)user;
  for (int64_t j = 0; j < n; j++) degrees[items[j]]++;
}

/* Collective. Sums of any length, where gmf_sum_i64 takes an int of them. */
static void sum_all(const gmf_grid *grid, int64_t *values, int64_t n)
{
  enum { PIECE = 1 << 24 };
  for (int64_t done = 0; done < n; done += PIECE) gmf_sum_i64(grid, values + done, gmf_int(gmf_min64(n - done, PIECE)));
}

gmf_status gmf_census_degrees(const gmf_grid *grid, const gmf_rating_source *source, gmf_side side, int64_t *degrees,
                              gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t *items = NULL;
  float *values = NULL;
  memset(degrees, 0, (size_t)source->n[side] * sizeof *degrees);
  for (int64_t u = source->row_begin; side == GMF_USERS && u < source->row_end; u++)
    degrees[u] = source->indptr[u - source->row_begin + 1] - source->indptr[u - source->row_begin];
  if (side == GMF_ITEMS) {
    local = GMF_NEW(items, BATCH, err);
    if (local == GMF_OK) local = GMF_NEW(values, BATCH, err);
    if (local == GMF_OK) local = walk(source, items, values, count_items, degrees, err);
    GMF_TRY(gmf_agree(grid, local, err));
  }
  sum_all(grid, degrees, source->n[side]);
cleanup:
  gmf_free(values);
  gmf_free(items);
  return status;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

static int owner_of(const gmf_axis *axis, int64_t row) { return gmf_axis_owner(axis, gmf_axis_position(axis, row)); }

static bool is_in_block(const gmf_census_block *b, int64_t row)
{
  return b->degrees[row] >= b->least && b->degrees[row] < b->limit;
}

/* A fixed row of `owner` goes to a rank that has a rating of it. */
static void count_slot(census *c, int owner, int receiver)
{
  c->shares[receiver].slots++;
  c->shares[owner].sent++;
  if (owner == receiver) return;
  c->shares[receiver].fetched++;
  c->shares[owner].given++;
  gmf_bits_add(c->pairs, (int64_t)owner * c->n_ranks + receiver);
}

/* The user is fixed. */
static void count_for_items(void *context, int64_t user, const int64_t *items, int64_t n)
{
  census *c = context;
  const gmf_census_block *b = c->block;
  int owner = owner_of(b->axes[GMF_USERS], c->source->row_begin + user), column = owner / b->n_rows;
  for (int64_t j = 0; j < n; j++) {
    if (!is_in_block(b, items[j])) continue;
    int row = c->item_owner[items[j]] / b->n_cols, receiver = row * b->n_cols + column;
    c->shares[receiver].ratings++;
    if (c->stamp[row] == user + 1) continue;
    c->stamp[row] = user + 1;
    count_slot(c, owner, receiver);
  }
}

/* The items are fixed: which grid rows have a rating of each is known when all users have been seen. */
static void count_for_users(void *context, int64_t user, const int64_t *items, int64_t n)
{
  census *c = context;
  const gmf_census_block *b = c->block;
  if (!is_in_block(b, c->source->row_begin + user)) return;
  int row = owner_of(b->axes[GMF_USERS], c->source->row_begin + user) / b->n_cols;
  for (int64_t j = 0; j < n; j++) {
    if (items[j] < c->begin || items[j] >= c->end) continue;
    c->shares[row * b->n_cols + c->item_owner[items[j]] / b->n_rows].ratings++;
    gmf_bits_add(c->touched, (items[j] - c->begin) * b->n_rows + row);
  }
}

/* Collective. The slots of items [begin, end), of which each rank counts a part. */
static void count_touched(const gmf_grid *grid, census *c)
{
  const gmf_census_block *b = c->block;
  int64_t n = c->end - c->begin;
  gmf_unite_bits(grid, c->touched, gmf_bits_words(n * b->n_rows));
  int64_t first = gmf_slice_begin(n, grid->size, grid->rank), end = gmf_slice_begin(n, grid->size, grid->rank + 1);
  for (int64_t i = first; i < end; i++) {
    int owner = c->item_owner[c->begin + i];
    for (int row = 0; row < b->n_rows; row++)
      if (gmf_bits_has(c->touched, i * b->n_rows + row)) count_slot(c, owner, row * b->n_cols + owner / b->n_rows);
  }
}

/* Rows that each rank owns and has in its block, and their work; each rank that counts takes a part of the rows. */
static void count_rows(const gmf_grid *grid, census *c, const gmf_row_work *work)
{
  const gmf_census_block *b = c->block;
  const gmf_axis *axis = b->axes[b->side];
  int64_t first = gmf_slice_begin(axis->n, grid->size, grid->rank);
  int64_t end = gmf_slice_begin(axis->n, grid->size, grid->rank + 1);
  for (int64_t r = first; r < end; r++) {
    if (!is_in_block(b, r)) continue;
    int owner = owner_of(axis, r), row = owner / b->n_cols;
    c->shares[owner].own++;
    for (int column = 0; column < b->n_cols; column++) {
      c->shares[row * b->n_cols + column].rows++;
      c->work[row * b->n_cols + column] += work->forming(work->context, b->degrees[r]) / b->n_cols;
    }
    c->work[owner] += work->solving(work->context, b->degrees[r]);
  }
}

static gmf_status new_census(census *c, int64_t items_at_once, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_items = c->source->n[GMF_ITEMS];
  GMF_TRY(GMF_NEW(c->item_owner, n_items, err));
  GMF_TRY(GMF_NEW_ZERO(c->stamp, c->block->n_rows, err));
  GMF_TRY(GMF_NEW_ZERO(c->pairs, gmf_bits_words((int64_t)c->n_ranks * c->n_ranks), err));
  GMF_TRY(GMF_NEW_ZERO(c->work, c->n_ranks, err));
  GMF_TRY(GMF_NEW(c->item_buffer, BATCH, err));
  GMF_TRY(GMF_NEW(c->values, BATCH, err));
  if (c->block->side == GMF_USERS) GMF_TRY(GMF_NEW(c->touched, gmf_bits_words(items_at_once * c->block->n_rows), err));
  for (int64_t i = 0; i < n_items; i++) c->item_owner[i] = owner_of(c->block->axes[GMF_ITEMS], i);
cleanup:
  return status;
}

/* Collective. Sums what the ranks have counted. */
static void sum_shares(const gmf_grid *grid, census *c)
{
  int64_t n = c->n_ranks, words = (int64_t)(sizeof(gmf_share) / sizeof(int64_t));
  gmf_unite_bits(grid, c->pairs, gmf_bits_words(n * n));
  gmf_sum_f64(grid, c->work, n);
  sum_all(grid, (int64_t *)(void *)c->shares, n * words);
  for (int64_t r = 0; r < n; r++) c->shares[r].work = llround(c->work[r]);
  for (int64_t from = 0; from < n; from++)
    for (int64_t to = 0; to < n; to++)
      if (gmf_bits_has(c->pairs, from * n + to)) {
        c->shares[from].n_targets++;
        c->shares[to].n_sources++;
      }
}

gmf_status gmf_census_run(const gmf_grid *grid, const gmf_rating_source *source, const gmf_census_block *block,
                          const gmf_row_work *work, gmf_share *shares, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_items = source->n[GMF_ITEMS], step = gmf_max64(1, gmf_min64(n_items, TOUCHED_BITS / block->n_rows));
  census c = {.source = source, .block = block, .n_ranks = block->n_rows * block->n_cols, .shares = shares};

  memset(shares, 0, (size_t)c.n_ranks * sizeof *shares);
  GMF_TRY(gmf_agree(grid, new_census(&c, step, err), err));
  if (block->side == GMF_ITEMS)
    GMF_TRY(gmf_agree(grid, walk(source, c.item_buffer, c.values, count_for_items, &c, err), err));
  for (c.begin = 0; block->side == GMF_USERS && c.begin < n_items; c.begin = c.end) {
    c.end = gmf_min64(c.begin + step, n_items);
    memset(c.touched, 0, (size_t)gmf_bits_words((c.end - c.begin) * block->n_rows) * sizeof *c.touched);
    GMF_TRY(gmf_agree(grid, walk(source, c.item_buffer, c.values, count_for_users, &c, err), err));
    count_touched(grid, &c);
  }
  count_rows(grid, &c, work);
  sum_shares(grid, &c);
cleanup:
  free_census(&c);
  return status;
}
