#include "dist/census.h"

#include <math.h>
#include <string.h>

#include "base/bits.h"
#include "base/memory.h"
#include "base/narrow.h"

static const int64_t TOUCHED_BITS = (int64_t)1 << 31; /* 256 MiB */

typedef struct census {
  const gmf_rating_source *source;
  const gmf_census_side *of;
  int n_ranks;
  int32_t *item_owner; /* owned [items] */
  int64_t *stamp;      /* owned [ranks]: the last of my users, counted from 1, that a rank asked for */
  int *receivers;      /* owned [ranks]: of the fixed row that is counted, n_receivers */
  int n_receivers;
  int64_t last_user;  /* whose receivers they are, where users are fixed; -1: none yet */
  int64_t *group;     /* owned [ranks]: the last fixed row, counted from 1, that a node or a row of hops needed */
  int64_t serial;     /* of fixed rows, counted from 1 */
  uint64_t *touched;  /* owned [items of a pass][ranks]: whether a rank has a rating of an item */
  int64_t begin, end; /* the items of this pass, where users are updated */
  uint64_t *pairs;    /* owned [ranks][ranks]: whether a rank gives a row to another */
  uint64_t *hops[2];  /* owned [ranks][rows of the rectangle], [ranks][columns]: the same of two hops */
  gmf_share *shares;  /* borrowed [ranks] */
  double *work;       /* owned [ranks] */
} census;

static void free_census(census *c)
{
  gmf_free(c->item_owner);
  gmf_free(c->stamp);
  gmf_free(c->receivers);
  gmf_free(c->group);
  for (int hop = 0; hop < 2; hop++) gmf_free(c->hops[hop]);
  gmf_free(c->touched);
  gmf_free(c->pairs);
  gmf_free(c->work);
}

/* ---- ratings one after the other --------------------------------------------------------------------------------- */

gmf_status gmf_census_walk(const gmf_rating_source *source, gmf_census_visit *visit, void *context, gmf_error *err)
{
  enum { BATCH = 1 << 18 };
  gmf_status status = GMF_OK;
  int64_t n_users = source->row_end - source->row_begin, last = source->indptr[n_users], user = 0;
  int64_t *items = NULL;
  float *values = NULL;
  GMF_TRY(GMF_NEW(items, BATCH, err));
  GMF_TRY(GMF_NEW(values, BATCH, err));
  for (int64_t begin = source->indptr[0]; begin < last; begin += BATCH) {
    int64_t end = gmf_min64(begin + BATCH, last);
    GMF_TRY(source->read(source->context, begin, end - begin, items, values, NULL, err));
    gmf_beat();
    while (source->indptr[user + 1] <= begin) user++;
    for (int64_t u = user; u < n_users && source->indptr[u] < end; u++) {
      int64_t from = gmf_max64(source->indptr[u], begin), to = gmf_min64(source->indptr[u + 1], end);
      if (from < to) visit(context, u, items + (from - begin), to - from);
    }
  }
cleanup:
  gmf_free(values);
  gmf_free(items);
  return status;
}

/* Of rows [first, first + n) of a side the ratings that have been seen, degrees [n]. */
typedef struct degree_count {
  int64_t first, n, *degrees;
} degree_count;

static void visit_degrees(void *context, int64_t user, const int64_t *items, int64_t n)
{
  degree_count *c = context;
  (void)user;
  for (int64_t j = 0; j < n; j++)
    if (items[j] >= c->first && items[j] < c->first + c->n) c->degrees[items[j] - c->first]++;
}

gmf_status gmf_census_degrees(const gmf_grid *grid, const gmf_rating_source *source, gmf_side side, int64_t first,
                              int64_t n, int64_t *degrees, gmf_error *err)
{
  gmf_status status = GMF_OK;
  degree_count of_items = {first, n, degrees};
  int64_t begin = gmf_max64(first, source->row_begin), end = gmf_min64(first + n, source->row_end);
  memset(degrees, 0, (size_t)n * sizeof *degrees);
  for (int64_t u = begin; side == GMF_USERS && u < end; u++)
    degrees[u - first] = source->indptr[u - source->row_begin + 1] - source->indptr[u - source->row_begin];
  if (side == GMF_ITEMS) GMF_TRY(gmf_agree(grid, gmf_census_walk(source, visit_degrees, &of_items, err), err));
  gmf_sum_i64(grid, degrees, n);
cleanup:
  return status;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

static int owner_of(const gmf_axis *axis, int64_t row) { return gmf_axis_owner(axis, gmf_axis_position(axis, row)); }

static bool is_heavy(const gmf_census_side *of, int64_t row) { return of->degrees[row] >= of->layout.heavy_from; }

int gmf_census_place(const gmf_census_side *of, bool heavy, int updated_owner, int fixed_owner)
{
  int n_rows = heavy ? of->layout.n_rows : of->n_rows, n_cols = heavy ? of->layout.n_cols : of->n_cols;
  return updated_owner / n_cols * n_cols + fixed_owner / n_rows;
}

int gmf_census_copies(const gmf_census_side *of, int64_t fixed_row)
{
  bool is_copied = gmf_layout_has_heavy(&of->copied) && of->fixed_degrees[fixed_row] >= of->copied.heavy_from;
  return is_copied ? of->copied.n_cols : 1;
}

static void count_pair(census *c, int from, int to)
{
  c->shares[to].fetched++;
  c->shares[from].given++;
  gmf_bits_add(c->pairs, (int64_t)from * c->n_ranks + to);
}

/* A row in one of two hops; place: of the receiver in the sender's column or row. */
static void count_hop(census *c, int hop, int n_places, int from, int to, int place)
{
  c->shares[to].hops[hop].fetched++;
  c->shares[from].hops[hop].given++;
  gmf_bits_add(c->hops[hop], (int64_t)from * n_places + place);
}

/* A fixed row of `owner` to one that has a rating of it, by the rank that stands in the owner's column and in the
 * receiver's row. */
static void count_hops(census *c, int owner, int receiver)
{
  int n_cols = c->of->hop_cols, row = receiver / n_cols, middle = row * n_cols + owner % n_cols;
  if (c->group[row] != c->serial) {
    c->group[row] = c->serial;
    c->shares[middle].between++;
    if (middle != owner) count_hop(c, 0, c->n_ranks / n_cols, owner, middle, row);
  }
  if (middle != receiver) count_hop(c, 1, n_cols, middle, receiver, receiver % n_cols);
}

/* The same where ranks share: once to each node, to the rank that expand_node.c picks. */
static void count_shared(census *c, int64_t position, int owner, int receiver)
{
  int node_ranks = c->of->node_ranks, node = receiver / node_ranks, first = node * node_ranks;
  int size = c->n_ranks - first < node_ranks ? c->n_ranks - first : node_ranks;
  int arrives = owner / node_ranks == node ? owner : first + gmf_int(position % size);
  c->shares[receiver].shared += receiver != arrives;
  if (c->group[node] == c->serial) return;
  c->group[node] = c->serial;
  c->shares[arrives].slots++;
  c->shares[owner].sent++;
  if (arrives != owner) count_pair(c, owner, arrives);
}

/* A fixed row goes to those that have a rating of it and no copy: the receivers, each once. */
static void count_receivers(census *c, int64_t fixed_row)
{
  const gmf_axis *axis = c->of->axes[gmf_other_side(c->of->side)];
  int64_t position = gmf_axis_position(axis, fixed_row);
  int owner = gmf_axis_owner(axis, position), by = gmf_census_copies(c->of, fixed_row);
  c->serial++;
  for (int j = 0; j < c->n_receivers; j++) {
    int receiver = c->receivers[j];
    if (c->of->node_ranks > 1) {
      count_shared(c, position, owner, receiver);
      continue;
    }
    c->shares[receiver].slots++;
    c->shares[owner].sent++;
    if (owner / by != receiver / by) count_pair(c, owner, receiver);
    if (c->of->hop_cols > 0) count_hops(c, owner, receiver);
  }
  c->n_receivers = 0;
}

/* Where a rating lies. */
static int count_rating(census *c, int64_t row, int updated_owner, int fixed_owner)
{
  bool heavy = is_heavy(c->of, row);
  int rank = gmf_census_place(c->of, heavy, updated_owner, fixed_owner);
  c->shares[rank].ratings++;
  c->shares[rank].heavy_ratings += heavy;
  return rank;
}

/* Where users are fixed: all ratings of the last one have been seen. */
static void finish_user(census *c)
{
  if (c->last_user < 0) return;
  count_receivers(c, c->source->row_begin + c->last_user);
}

/* The user is fixed. */
static void visit_for_items(void *context, int64_t user, const int64_t *items, int64_t n)
{
  census *c = context;
  int owner = owner_of(c->of->axes[GMF_USERS], c->source->row_begin + user);
  if (user != c->last_user) finish_user(c);
  c->last_user = user;
  for (int64_t j = 0; j < n; j++) {
    int receiver = count_rating(c, items[j], c->item_owner[items[j]], owner);
    if (c->stamp[receiver] == user + 1) continue;
    c->stamp[receiver] = user + 1;
    c->receivers[c->n_receivers++] = receiver;
  }
}

/* The items are fixed: which ranks have a rating of each is known when all users have been seen. */
static void visit_for_users(void *context, int64_t user, const int64_t *items, int64_t n)
{
  census *c = context;
  int64_t row = c->source->row_begin + user;
  int owner = owner_of(c->of->axes[GMF_USERS], row);
  for (int64_t j = 0; j < n; j++)
    if (items[j] >= c->begin && items[j] < c->end)
      gmf_bits_add(c->touched,
                   (items[j] - c->begin) * c->n_ranks + count_rating(c, row, owner, c->item_owner[items[j]]));
}

/* Collective. The slots of this pass's items, of which each rank counts a part. */
static void count_touched(const gmf_grid *grid, census *c)
{
  int64_t n = c->end - c->begin;
  gmf_unite_bits(grid, c->touched, gmf_bits_words(n * c->n_ranks));
  int64_t first = gmf_slice_begin(n, grid->size, grid->rank), end = gmf_slice_begin(n, grid->size, grid->rank + 1);
  for (int64_t i = first; i < end; i++) {
    for (int receiver = 0; receiver < c->n_ranks; receiver++)
      if (gmf_bits_has(c->touched, i * c->n_ranks + receiver)) c->receivers[c->n_receivers++] = receiver;
    count_receivers(c, c->begin + i);
  }
}

/* Rows that each rank owns and has in its blocks, and their work; each rank that counts takes a part of the rows. */
static void count_rows(const gmf_grid *grid, census *c, const gmf_row_work *light, const gmf_row_work *heavy)
{
  const gmf_census_side *of = c->of;
  const gmf_axis *axis = of->axes[of->side];
  int64_t first = gmf_slice_begin(axis->n, grid->size, grid->rank);
  int64_t end = gmf_slice_begin(axis->n, grid->size, grid->rank + 1);
  for (int64_t r = first; r < end; r++) {
    int owner = owner_of(axis, r);
    bool is_one = is_heavy(of, r);
    const gmf_row_work *work = is_one ? heavy : light;
    int n_cols = is_one ? of->layout.n_cols : of->n_cols, group = owner / n_cols * n_cols;
    double part = work->shared(work->context, of->degrees[r]) / n_cols;
    for (int rank = owner / of->n_cols * of->n_cols, k = 0; k < of->n_cols; k++) c->shares[rank + k].rows++;
    for (int k = 0; k < n_cols; k++) {
      c->shares[group + k].heavy_rows += is_one;
      c->work[group + k] += part;
    }
    c->shares[owner].own++;
    c->shares[owner].heavy_own += is_one;
    c->work[owner] += work->alone(work->context, of->degrees[r]);
  }
}

/* Ranks of a column of the rectangle of hops, where the first hop goes, and of a row, where the second one does. */
static int n_places(const census *c, int hop) { return hop == 0 ? c->n_ranks / c->of->hop_cols : c->of->hop_cols; }

static gmf_status new_census(census *c, int64_t items_at_once, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_items = c->source->n[GMF_ITEMS];
  GMF_TRY(GMF_NEW(c->item_owner, n_items, err));
  GMF_TRY(GMF_NEW_ZERO(c->stamp, c->n_ranks, err));
  GMF_TRY(GMF_NEW_ZERO(c->pairs, gmf_bits_words((int64_t)c->n_ranks * c->n_ranks), err));
  GMF_TRY(GMF_NEW_ZERO(c->work, c->n_ranks, err));
  GMF_TRY(GMF_NEW(c->receivers, c->n_ranks, err));
  GMF_TRY(GMF_NEW_ZERO(c->group, c->n_ranks, err));
  for (int hop = 0; hop < 2 && c->of->hop_cols > 0; hop++)
    GMF_TRY(GMF_NEW_ZERO(c->hops[hop], gmf_bits_words((int64_t)c->n_ranks * n_places(c, hop)), err));
  if (c->of->side == GMF_USERS) GMF_TRY(GMF_NEW(c->touched, gmf_bits_words(items_at_once * c->n_ranks), err));
  for (int64_t i = 0; i < n_items; i++) c->item_owner[i] = owner_of(c->of->axes[GMF_ITEMS], i);
cleanup:
  return status;
}

/* Collective. The messages of two hops. */
static void count_hop_messages(const gmf_grid *grid, census *c)
{
  int n_cols = c->of->hop_cols;
  for (int hop = 0; hop < 2; hop++) {
    int places = n_places(c, hop);
    gmf_unite_bits(grid, c->hops[hop], gmf_bits_words((int64_t)c->n_ranks * places));
    for (int from = 0; from < c->n_ranks; from++)
      for (int place = 0; place < places; place++) {
        if (!gmf_bits_has(c->hops[hop], (int64_t)from * places + place)) continue;
        int to = hop == 0 ? place * n_cols + from % n_cols : from / n_cols * n_cols + place;
        c->shares[from].hops[hop].n_targets++;
        c->shares[to].hops[hop].n_sources++;
      }
  }
}

void gmf_share_take_hops(gmf_share *s)
{
  s->fetched = s->hops[0].fetched + s->hops[1].fetched;
  s->given = s->hops[0].given + s->hops[1].given;
  s->n_sources = s->hops[0].n_sources + s->hops[1].n_sources;
  s->n_targets = s->hops[0].n_targets + s->hops[1].n_targets;
}

/* Collective. Sums what the ranks have counted. */
static void sum_shares(const gmf_grid *grid, census *c)
{
  int64_t n = c->n_ranks, words = (int64_t)(sizeof(gmf_share) / sizeof(int64_t));
  gmf_unite_bits(grid, c->pairs, gmf_bits_words(n * n));
  gmf_sum_f64(grid, c->work, n);
  gmf_sum_i64(grid, (int64_t *)(void *)c->shares, n * words);
  for (int64_t r = 0; r < n; r++) c->shares[r].work = llround(c->work[r]);
  for (int64_t from = 0; from < n; from++)
    for (int64_t to = 0; to < n; to++)
      if (gmf_bits_has(c->pairs, from * n + to)) {
        c->shares[from].n_targets++;
        c->shares[to].n_sources++;
      }
  if (c->of->hop_cols > 0) count_hop_messages(grid, c);
}

gmf_status gmf_census_run(const gmf_grid *grid, const gmf_rating_source *source, const gmf_census_side *counted,
                          const gmf_row_work *light, const gmf_row_work *heavy, gmf_share *shares, gmf_error *err)
{
  gmf_status status = GMF_OK;
  census c = {
      .source = source, .of = counted, .n_ranks = counted->n_rows * counted->n_cols, .shares = shares, .last_user = -1};
  int64_t n_items = source->n[GMF_ITEMS], step = gmf_max64(1, gmf_min64(n_items, TOUCHED_BITS / c.n_ranks));

  memset(shares, 0, (size_t)c.n_ranks * sizeof *shares);
  GMF_TRY(gmf_agree(grid, new_census(&c, step, err), err));
  if (counted->side == GMF_ITEMS) {
    GMF_TRY(gmf_agree(grid, gmf_census_walk(source, visit_for_items, &c, err), err));
    finish_user(&c);
  }
  for (; counted->side == GMF_USERS && c.begin < n_items; c.begin = c.end) {
    c.end = gmf_min64(c.begin + step, n_items);
    memset(c.touched, 0, (size_t)gmf_bits_words((c.end - c.begin) * c.n_ranks) * sizeof *c.touched);
    GMF_TRY(gmf_agree(grid, gmf_census_walk(source, visit_for_users, &c, err), err));
    count_touched(grid, &c);
  }
  count_rows(grid, &c, light, heavy);
  sum_shares(grid, &c);
cleanup:
  free_census(&c);
  return status;
}
