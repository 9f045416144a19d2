#include "dist/fetch_table.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "dist/census.h"

static const int64_t MASK_BYTES = (int64_t)64 << 20;

void gmf_fetch_table_make(int n_ranks, int64_t most, gmf_fetch_table *t)
{
  *t = (gmf_fetch_table){.n_ranks = n_ranks, .sampled = 1};
  int n = 0;
  while (n < GMF_FETCH_THRESHOLDS && (double)most * pow(2, -0.5 * n) >= 2) n++;
  t->n_least = n;
  for (int c = 0; c < n; c++) t->least[c] = (int64_t)ceil((double)most * pow(2, -0.5 * (n - 1 - c)));
  for (int cols = 2; cols <= n_ranks && t->n_shapes < GMF_FETCH_SHAPES; cols++)
    if (n_ranks % cols == 0) t->n_cols[t->n_shapes++] = cols;
}

int gmf_fetch_class(const gmf_fetch_table *t, int64_t n_ratings)
{
  int class = 0;
  while (class < t->n_least && n_ratings >= t->least[class]) class ++;
  return class;
}

/* What is counted of one fixed row after the other. */
typedef struct counting {
  gmf_fetch_table *table;
  const gmf_rating_source *source;
  gmf_side side;
  gmf_axis *const *axes;
  int n_ranks;
  int32_t *item_owner; /* owned [items] */
  uint8_t *item_class; /* owned [items]; where items are updated */
  uint32_t *masks; /* owned [counted items or 1][ranks]: classes that a fixed row has at each owner of updated rows */
  int *owners;     /* owned [ranks]: scratch, those that have a class of a row */
  int64_t user;    /* the one whose mask it is, -1 at first */
  const gmf_layout *copied;                                                                  /* borrowed; NULL: none */
  double light[GMF_FETCH_THRESHOLDS + 2], heavy[GMF_FETCH_SHAPES][GMF_FETCH_THRESHOLDS + 2]; /* by the first candidate
      for which a row travels, and the first for which it does not any more */
} counting;

static int owner_of(const gmf_axis *axis, int64_t row) { return gmf_axis_owner(axis, gmf_axis_position(axis, row)); }

/* A fixed row of `owner`, of so many ratings. Light ratings go to an owner from the candidate on that leaves its lowest
 * class light; heavy ones to rank (x, y) up to the candidate that leaves grid row x no heavy class, as far as that has
 * no light one. */
static void count_row(counting *c, int owner, int64_t n_ratings, const uint32_t *mask)
{
  const gmf_fetch_table *t = c->table;
  int n = 0, by = c->copied != NULL && n_ratings >= c->copied->heavy_from ? c->copied->n_cols : 1; /* ranks with it */
  for (int r = 0; r < c->n_ranks; r++)
    if (mask[r] != 0) c->owners[n++] = r;
  for (int j = 0; j < n; j++)
    if (c->owners[j] / by != owner / by) c->light[__builtin_ctz(mask[c->owners[j]])]++;
  for (int shape = 0; shape < t->n_shapes; shape++) {
    int n_cols = t->n_cols[shape], column = owner / (c->n_ranks / n_cols);
    for (int j = 0; j < n;) {
      int first = c->owners[j] / n_cols * n_cols;
      uint32_t group = 0;
      for (; j < n && c->owners[j] < first + n_cols; j++) group |= mask[c->owners[j]];
      if ((first + column) / by == owner / by) continue;
      int highest = 31 - __builtin_clz(group);
      int lowest = mask[first + column] != 0 ? __builtin_ctz(mask[first + column]) : highest;
      c->heavy[shape][lowest < highest ? lowest : highest]++;
    }
  }
}

static void finish_user(counting *c)
{
  if (c->user < 0) return;
  count_row(c, owner_of(c->axes[GMF_USERS], c->source->row_begin + c->user),
            c->source->indptr[c->user + 1] - c->source->indptr[c->user], c->masks);
  memset(c->masks, 0, (size_t)c->n_ranks * sizeof *c->masks);
}

/* The user is fixed. */
static void visit_for_items(void *context, int64_t user, const int64_t *items, int64_t n)
{
  counting *c = context;
  if (user != c->user) finish_user(c);
  c->user = user;
  for (int64_t j = 0; j < n; j++) c->masks[c->item_owner[items[j]]] |= (uint32_t)1 << c->item_class[items[j]];
}

/* The items are fixed. */
static void visit_for_users(void *context, int64_t user, const int64_t *items, int64_t n)
{
  counting *c = context;
  int64_t degree = c->source->indptr[user + 1] - c->source->indptr[user], sampled = c->table->sampled;
  int owner = owner_of(c->axes[GMF_USERS], c->source->row_begin + user);
  uint32_t class = (uint32_t)1 << gmf_fetch_class(c->table, degree);
  for (int64_t j = 0; j < n; j++)
    if (items[j] % sampled == 0) c->masks[items[j] / sampled * c->n_ranks + owner] |= class;
}

/* Local. Rows and ratings of the updated side by class. */
static void count_classes(const counting *c, const int64_t *item_counts, gmf_fetch_table *t)
{
  const gmf_rating_source *s = c->source;
  int64_t n = c->side == GMF_ITEMS ? s->n[GMF_ITEMS] : s->row_end - s->row_begin;
  for (int64_t r = 0; r < n; r++) {
    int64_t d = c->side == GMF_ITEMS ? item_counts[r] : s->indptr[r + 1] - s->indptr[r];
    int class = gmf_fetch_class(t, d);
    t->rows[class]++;
    t->ratings[class] += (double)d;
    t->longest[class] = gmf_max64(t->longest[class], d);
    if (c->side == GMF_ITEMS) c->item_class[r] = (uint8_t) class;
  }
}

/* Collective. The most ratings of a row of the side. */
static int64_t longest_row(const gmf_grid *grid, const gmf_rating_source *s, gmf_side side, const int64_t *item_counts)
{
  int64_t most = 0;
  for (int64_t i = 0; side == GMF_ITEMS && i < s->n[GMF_ITEMS]; i++) most = gmf_max64(most, item_counts[i]);
  for (int64_t u = 0; side == GMF_USERS && u < s->row_end - s->row_begin; u++)
    most = gmf_max64(most, s->indptr[u + 1] - s->indptr[u]);
  gmf_max_i64(grid, &most, 1);
  return most;
}

/* Sums by candidate. */
static void add_up(counting *c, gmf_fetch_table *t)
{
  for (int k = 0; k <= t->n_least; k++) t->light[k] = c->light[k] + (k > 0 ? t->light[k - 1] : 0);
  for (int shape = 0; shape < t->n_shapes; shape++)
    for (int k = t->n_least; k >= 0; k--) /* candidate k: those that travel up to a later one */
      t->heavy[shape][k] = k < t->n_least ? c->heavy[shape][k + 1] + t->heavy[shape][k + 1] : 0;
  for (int k = 0; k <= t->n_least; k++) {
    t->light[k] *= (double)t->sampled;
    for (int shape = 0; shape < t->n_shapes; shape++) t->heavy[shape][k] *= (double)t->sampled;
  }
}

/* Collective. Items that are fixed: each rank knows the classes of its users alone. */
static void count_items(const gmf_grid *grid, counting *c, int64_t n_counted, const int64_t *item_counts)
{
  int64_t words = n_counted * c->n_ranks / 2 + 1; /* of 64 bits, in an array that is one longer */
  gmf_unite_bits(grid, (uint64_t *)(void *)c->masks, words);
  int64_t first = gmf_slice_begin(n_counted, grid->size, grid->rank);
  int64_t end = gmf_slice_begin(n_counted, grid->size, grid->rank + 1);
  for (int64_t i = first; i < end; i++) {
    int64_t item = i * c->table->sampled;
    count_row(c, c->item_owner[item], item_counts != NULL ? item_counts[item] : 0, c->masks + i * c->n_ranks);
  }
}

int64_t gmf_fetch_table_bytes(int64_t n_items, int n_ranks)
{
  int64_t masks = gmf_min64(n_items * n_ranks * (int64_t)sizeof(uint32_t), MASK_BYTES);
  return masks + masks / 2 + n_items * (int64_t)sizeof(int32_t);
}

gmf_status gmf_fetch_table_count(const gmf_grid *grid, const gmf_rating_source *source, gmf_side side,
                                 gmf_axis *const axes[GMF_N_SIDES], int n_ranks, const int64_t *item_counts,
                                 const gmf_layout *copied, gmf_fetch_table *out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  counting c = {.table = out, .source = source, .side = side, .axes = axes, .n_ranks = n_ranks, .user = -1};
  if (copied != NULL && gmf_layout_has_heavy(copied)) c.copied = copied;
  int64_t n_items = source->n[GMF_ITEMS], row_bytes = n_ranks * (int64_t)sizeof *c.masks, n_counted = 1;

  gmf_fetch_table_make(n_ranks, longest_row(grid, source, side, item_counts), out);
  if (side == GMF_USERS) {
    out->sampled = (n_items * row_bytes + MASK_BYTES - 1) / MASK_BYTES;
    out->sampled = gmf_max64(1, out->sampled);
    n_counted = (n_items + out->sampled - 1) / out->sampled;
  }
  local = GMF_NEW(c.item_owner, n_items, err);
  if (local == GMF_OK) local = GMF_NEW(c.owners, n_ranks, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(c.masks, n_counted * n_ranks + 2, err);
  if (local == GMF_OK && side == GMF_ITEMS) local = GMF_NEW(c.item_class, n_items, err);
  for (int64_t i = 0; i < n_items && local == GMF_OK; i++) c.item_owner[i] = owner_of(axes[GMF_ITEMS], i);
  if (local == GMF_OK) count_classes(&c, item_counts, out);
  if (local == GMF_OK) local = gmf_census_walk(source, side == GMF_ITEMS ? visit_for_items : visit_for_users, &c, err);
  GMF_TRY(gmf_agree(grid, local, err));
  if (side == GMF_ITEMS)
    finish_user(&c);
  else
    count_items(grid, &c, n_counted, item_counts);
  gmf_sum_f64(grid, c.light, GMF_FETCH_THRESHOLDS + 2);
  gmf_sum_f64(grid, &c.heavy[0][0], (int64_t)GMF_FETCH_SHAPES * (GMF_FETCH_THRESHOLDS + 2));
  if (side == GMF_USERS) { /* of items every rank has all */
    gmf_sum_f64(grid, out->rows, GMF_FETCH_THRESHOLDS + 1);
    gmf_sum_f64(grid, out->ratings, GMF_FETCH_THRESHOLDS + 1);
    gmf_max_i64(grid, out->longest, GMF_FETCH_THRESHOLDS + 1);
  }
  add_up(&c, out);
cleanup:
  gmf_free(c.masks);
  gmf_free(c.item_class);
  gmf_free(c.item_owner);
  gmf_free(c.owners);
  return status;
}
