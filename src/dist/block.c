#include "dist/block.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/order.h"
#include "runtime/exchange.h"
#include "runtime/limits.h"

/* A rating on its way: the updated row within its group, the fixed row in dataset order. */
typedef struct rating {
  int64_t fixed;
  int32_t row;
  float value;
} rating;

/* The same where ratings have weights. */
typedef struct weighted_rating {
  rating rating;
  float weight;
} weighted_rating;

/* Ratings of either kind, `stride` bytes apart. */
typedef struct pile {
  char *ratings;               /* owned [n][stride] */
  int64_t stride, n, capacity; /* capacity in bytes */
} pile;

/* A side's blocks: of the light rows, or all, and of the heavy ones. */
enum { LIGHT, HEAVY, N_PARTS };

static inline rating *rating_at(const pile *p, int64_t j) { return (rating *)(void *)(p->ratings + j * p->stride); }

static inline bool is_weighted(const pile *p) { return p->stride == (int64_t)sizeof(weighted_rating); }

static inline float weight_at(const pile *p, int64_t j) { return ((weighted_rating *)(void *)rating_at(p, j))->weight; }

/* The buffers of one round: n ratings with both their rows, and where those stand. All owned [GMF_ROUND_RATINGS] but
 * the last. */
typedef struct round_buffers {
  int64_t n;
  int64_t next_user; /* the first of my users with ratings left, counted from 0 */
  int64_t *rows[GMF_N_SIDES], *positions[GMF_N_SIDES];
  int64_t *heavy[GMF_N_SIDES]; /* the rows' numbers among the heavy ones, -1 for others; NULL where none is */
  float *values, *weights;     /* weights: NULL where there are none */
  int32_t *target;
  pile send;
  int64_t *counts, *recv_counts, *next; /* owned [ranks], [ranks], [ranks + 1] */
} round_buffers;

void gmf_block_destroy(gmf_block **block)
{
  gmf_block *b = *block;
  if (b == NULL) return;
  gmf_free(b->row_ptr);
  gmf_free(b->cols);
  gmf_free(b->values);
  gmf_free(b->weights);
  gmf_free(b->counts);
  gmf_free(b->by_work);
  gmf_expand_destroy(&b->expand);
  gmf_block_destroy(&b->next);
  gmf_free(b);
  *block = NULL;
}

int64_t gmf_block_ratings(const gmf_block *block)
{
  int64_t n = 0;
  for (const gmf_block *b = block; b != NULL; b = b->next) n += b->row_ptr[b->n_rows];
  return n;
}

static void free_buffers(round_buffers *b)
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_free(b->rows[s]);
    gmf_free(b->positions[s]);
    gmf_free(b->heavy[s]);
  }
  gmf_free(b->values);
  gmf_free(b->weights);
  gmf_free(b->target);
  gmf_free(b->send.ratings);
  gmf_free(b->counts);
  gmf_free(b->recv_counts);
  gmf_free(b->next);
}

static int64_t rating_bytes(bool weighted)
{
  return weighted ? (int64_t)sizeof(weighted_rating) : (int64_t)sizeof(rating);
}

static gmf_status new_buffers(int n_ranks, bool weighted, gmf_heavy *const heavy[GMF_N_SIDES], round_buffers *b,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    GMF_TRY(GMF_NEW(b->rows[s], GMF_ROUND_RATINGS, err));
    GMF_TRY(GMF_NEW(b->positions[s], GMF_ROUND_RATINGS, err));
    if (heavy[s] != NULL) GMF_TRY(GMF_NEW(b->heavy[s], GMF_ROUND_RATINGS, err));
  }
  GMF_TRY(GMF_NEW(b->values, GMF_ROUND_RATINGS, err));
  if (weighted) GMF_TRY(GMF_NEW(b->weights, GMF_ROUND_RATINGS, err));
  GMF_TRY(GMF_NEW(b->target, GMF_ROUND_RATINGS, err));
  b->send.stride = rating_bytes(weighted);
  GMF_TRY(GMF_NEW(b->send.ratings, GMF_ROUND_RATINGS * b->send.stride, err));
  GMF_TRY(GMF_NEW(b->counts, n_ranks, err));
  GMF_TRY(GMF_NEW(b->recv_counts, n_ranks, err));
  GMF_TRY(GMF_NEW(b->next, n_ranks + 1, err));
cleanup:
  return status;
}

/* ---- routing ----------------------------------------------------------------------------------------------------- */

/* Local. Reads the ratings of round `r` and looks up where their rows stand. */
static gmf_status read_round(const gmf_rating_source *source, int64_t r, gmf_axis *const axes[GMF_N_SIDES],
                             gmf_heavy *const heavy[GMF_N_SIDES], round_buffers *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t begin = 0, end = 0;
  gmf_source_range(source, r, &begin, &end);
  b->n = end - begin;
  GMF_TRY(source->read(source->context, begin, b->n, b->rows[GMF_ITEMS], b->values, b->weights, err));
  int64_t n_users = source->row_end - source->row_begin;
  for (int64_t u = b->next_user; u < n_users && source->indptr[u] < end; u++) {
    int64_t from = gmf_max64(source->indptr[u], begin), to = gmf_min64(source->indptr[u + 1], end);
    b->next_user = u;
    if (from >= to) continue;
    int64_t position = gmf_axis_position(axes[GMF_USERS], source->row_begin + u);
    int64_t index = heavy[GMF_USERS] != NULL ? gmf_heavy_index(heavy[GMF_USERS], source->row_begin + u) : -1;
    for (int64_t j = from - begin; j < to - begin; j++) {
      b->rows[GMF_USERS][j] = source->row_begin + u;
      b->positions[GMF_USERS][j] = position;
      if (b->heavy[GMF_USERS] != NULL) b->heavy[GMF_USERS][j] = index;
    }
  }
  for (int64_t j = 0; j < b->n; j++)
    b->positions[GMF_ITEMS][j] = gmf_axis_position(axes[GMF_ITEMS], b->rows[GMF_ITEMS][j]);
  for (int64_t j = 0; j < b->n && b->heavy[GMF_ITEMS] != NULL; j++)
    b->heavy[GMF_ITEMS][j] = gmf_heavy_index(heavy[GMF_ITEMS], b->rows[GMF_ITEMS][j]);
cleanup:
  return status;
}

/* The rows of a side that make one block: where they lie. All borrowed. */
typedef struct part {
  gmf_side side;
  const gmf_grid *grid;
  const gmf_axis *axis;         /* of these rows */
  const gmf_axis *fixed;        /* of the other side */
  const gmf_heavy *heavy;       /* NULL: the light rows, or all */
  const gmf_heavy *fixed_heavy; /* of the other side; NULL where it has none */
} part;

/* Whether rating j of a round belongs to a part. */
static bool is_of_part(const part *p, const round_buffers *b, int64_t j)
{
  return b->heavy[p->side] == NULL || (b->heavy[p->side][j] >= 0) == (p->heavy != NULL);
}

/* The position of its updated row on the part's axis. */
static int64_t part_position(const part *p, const round_buffers *b, int64_t j)
{
  return p->heavy != NULL ? gmf_axis_position(p->axis, b->heavy[p->side][j]) : b->positions[p->side][j];
}

/* Local. The round's ratings of a part, grouped by the rank whose block they belong to: b->send and b->counts. */
static void group_by_target(const part *p, round_buffers *b)
{
  const gmf_grid *grid = p->grid;
  gmf_side other = gmf_other_side(p->side);
  memset(b->counts, 0, (size_t)grid->size * sizeof *b->counts);
  for (int64_t j = 0; j < b->n; j++) {
    b->target[j] = -1;
    if (!is_of_part(p, b, j)) continue;
    int x = gmf_axis_owner(p->axis, part_position(p, b, j)) / grid->n_cols;
    int y = gmf_axis_owner(p->fixed, b->positions[other][j]) / grid->n_rows;
    b->target[j] = x * grid->n_cols + y;
    b->counts[b->target[j]]++;
  }
  b->next[0] = 0;
  for (int t = 0; t < grid->size; t++) b->next[t + 1] = b->next[t] + b->counts[t];
  for (int64_t j = 0; j < b->n; j++) {
    if (b->target[j] < 0) continue;
    int64_t group_begin = p->axis->prefix[b->target[j] / grid->n_cols * grid->n_cols];
    int64_t to = b->next[b->target[j]]++;
    *rating_at(&b->send, to) = (rating){b->rows[other][j], gmf_i32(part_position(p, b, j) - group_begin), b->values[j]};
    if (b->weights != NULL) ((weighted_rating *)(void *)rating_at(&b->send, to))->weight = b->weights[j];
  }
}

/* Collective. Sends a round's ratings of one side; what arrives lands at the end of my pile. */
static gmf_status send_round(const gmf_grid *grid, round_buffers *b, pile *mine, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = 0;
  gmf_exchange_counts(grid, b->counts, b->recv_counts);
  for (int r = 0; r < grid->size; r++) n += b->recv_counts[r];
  GMF_TRY(gmf_agree(grid, GMF_RESERVE(mine->ratings, mine->capacity, (mine->n + n) * mine->stride, err), err));
  gmf_exchange(grid, mine->stride, b->send.ratings, b->counts, rating_at(mine, mine->n), b->recv_counts);
  mine->n += n;
cleanup:
  return status;
}

/* ---- compressed rows --------------------------------------------------------------------------------------------- */

/* The distinct fixed rows of a side's piles, ascending, as a set of bits with the count of bits before each word: a
 * row's index among them is found in constant time, in 3/16 of a byte for each row of the side. */
typedef struct row_set {
  uint64_t *words;  /* owned [n_words] */
  uint32_t *before; /* owned [n_words] */
  int64_t n_words, n;
} row_set;

static gmf_status make_row_set(const pile piles[N_PARTS], int64_t n_fixed, row_set *set, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *set = (row_set){.n_words = gmf_bits_words(n_fixed)};
  GMF_TRY(GMF_NEW_ZERO(set->words, set->n_words, err));
  GMF_TRY(GMF_NEW(set->before, set->n_words, err));
  for (const pile *p = piles; p < piles + N_PARTS; p++)
    for (int64_t j = 0; j < p->n; j++) gmf_bits_add(set->words, rating_at(p, j)->fixed);
  for (int64_t w = 0; w < set->n_words; w++) {
    set->before[w] = (uint32_t)set->n;
    set->n += __builtin_popcountll(set->words[w]);
  }
  if (set->n > gmf_limit_rows)
    GMF_TRY(gmf_fail(err, GMF_ERR_PLAN, "a rank needs %lld rows of the other side, but may have %lld; use more ranks",
                     (long long)set->n, (long long)gmf_limit_rows));
cleanup:
  return status;
}

static int64_t index_in_set(const row_set *set, int64_t row)
{
  uint64_t below = set->words[row / 64] & (((uint64_t)1 << (row % 64)) - 1);
  return (int64_t)set->before[row / 64] + __builtin_popcountll(below);
}

static void list_row_set(const row_set *set, int64_t *rows)
{
  for (int64_t w = 0, n = 0; w < set->n_words; w++)
    for (uint64_t bits = set->words[w]; bits != 0; bits &= bits - 1) rows[n++] = w * 64 + __builtin_ctzll(bits);
}

static int by_fixed_row(const void *a, const void *b)
{
  int64_t x = ((const rating *)a)->fixed, y = ((const rating *)b)->fixed;
  return (x > y) - (x < y);
}

/* Local. Orders the pile by updated row, and within it by fixed row: `sorted`, of the same kind; fills row_ptr. */
static void sort_pile(const pile *p, gmf_block *b, pile *sorted)
{
  memset(b->row_ptr, 0, (size_t)(b->n_rows + 1) * sizeof *b->row_ptr);
  for (int64_t j = 0; j < p->n; j++) b->row_ptr[rating_at(p, j)->row + 1]++;
  for (int64_t r = 0; r < b->n_rows; r++) b->row_ptr[r + 1] += b->row_ptr[r];
  for (int64_t j = 0; j < p->n; j++)
    memcpy(rating_at(sorted, b->row_ptr[rating_at(p, j)->row]++), rating_at(p, j), (size_t)p->stride);
  memmove(b->row_ptr + 1, b->row_ptr, (size_t)b->n_rows * sizeof *b->row_ptr);
  b->row_ptr[0] = 0;
#pragma omp parallel for schedule(dynamic, 64)
  for (int64_t r = 0; r < b->n_rows; r++) {
    int64_t begin = b->row_ptr[r], end = b->row_ptr[r + 1];
    bool ascending = true;
    for (int64_t j = begin + 1; j < end && ascending; j++)
      ascending = rating_at(sorted, j - 1)->fixed < rating_at(sorted, j)->fixed;
    if (!ascending) qsort(rating_at(sorted, begin), (size_t)(end - begin), (size_t)p->stride, by_fixed_row);
  }
}

/* Local. counts: of my ratings; and rows with many of them first. */
static gmf_status count_and_order(gmf_block *b, gmf_error *err)
{
  if (GMF_NEW(b->by_work, b->n_rows, err) != GMF_OK) return GMF_ERR_MEMORY;
  for (int64_t r = 0; r < b->n_rows; r++) b->counts[r] = b->row_ptr[r + 1] - b->row_ptr[r];
  gmf_order_by_count(b->counts, b->n_rows, b->by_work);
  return GMF_OK;
}

/* Local. Rows, ratings and order of a block from its pile, which is used up; cols: places in the set. */
static gmf_status compress(pile *p, const row_set *set, gmf_block *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  pile sorted = {.stride = p->stride};

  GMF_TRY(GMF_NEW(b->row_ptr, b->n_rows + 1, err));
  GMF_TRY(GMF_NEW(sorted.ratings, p->n * p->stride, err));
  sort_pile(p, b, &sorted);
  GMF_FREE(p->ratings);
  GMF_TRY(GMF_NEW(b->cols, p->n, err));
  GMF_TRY(GMF_NEW(b->values, p->n, err));
  if (is_weighted(p)) GMF_TRY(GMF_NEW(b->weights, p->n, err));
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < p->n; j++) {
    b->cols[j] = (int32_t)index_in_set(set, rating_at(&sorted, j)->fixed);
    b->values[j] = rating_at(&sorted, j)->value;
    if (b->weights != NULL) b->weights[j] = weight_at(&sorted, j);
  }
  GMF_TRY(GMF_NEW(b->counts, b->n_rows, err));
  GMF_TRY(count_and_order(b, err));
cleanup:
  gmf_free(sorted.ratings);
  return status;
}

/* Local. A part's block but for what others know. */
static gmf_status new_block(const part *of, pile *p, const row_set *set, gmf_block **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_block *b = NULL;
  int first = of->grid->row_index * of->grid->n_cols;
  GMF_TRY(GMF_NEW_ZERO(b, 1, err));
  b->grid = of->grid;
  b->side = of->side;
  b->axis = of->axis;
  b->own_rows = of->heavy != NULL ? of->heavy->own_rows : NULL;
  b->row_begin = b->axis->prefix[first];
  b->n_rows = b->axis->prefix[first + of->grid->n_cols] - b->row_begin;
  GMF_TRY(compress(p, set, b, err));
  *out = b;
  b = NULL;
cleanup:
  gmf_block_destroy(&b);
  return status;
}

/* Collective. counts, which are those of my ratings, summed over the ranks of my grid row. */
static void count_rows(gmf_block *b)
{
  const gmf_grid *grid = b->grid;
  for (int64_t done = 0, n = 0; grid->n_cols > 1 && done < b->n_rows; done += n) {
    n = gmf_limit_piece(b->n_rows - done, 8);
    GMF_COLLECTIVE(grid->row,
                   MPI_Allreduce(MPI_IN_PLACE, b->counts + done, gmf_int(n), MPI_INT64_T, MPI_SUM, grid->row));
    gmf_trace_collective(grid->trace, n * 8);
  }
}

/* Local. Both blocks of a side; the rows of the other side that they need, *needed [set->n], and *index as long. */
static gmf_status make_blocks(const part parts[N_PARTS], pile piles[N_PARTS], row_set *set, gmf_block **out,
                              int64_t **needed, int32_t **index, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(make_row_set(piles, parts[LIGHT].fixed->n, set, err));
  GMF_TRY(GMF_NEW(*needed, set->n, err));
  list_row_set(set, *needed);
  GMF_TRY(GMF_NEW(*index, set->n, err));
  GMF_TRY(new_block(&parts[LIGHT], &piles[LIGHT], set, out, err));
  if (parts[HEAVY].heavy != NULL) GMF_TRY(new_block(&parts[HEAVY], &piles[HEAVY], set, &(*out)->next, err));
cleanup:
  return status;
}

/* Local. The light block's counts of my heavy rows: they stand there like those of all rows. */
static void copy_heavy_counts(gmf_block *light)
{
  const gmf_block *heavy = light->next;
  int rank = heavy->grid->rank;
  const int64_t *counts = heavy->counts + (heavy->axis->prefix[rank] - heavy->row_begin);
  for (int64_t j = 0; j < gmf_axis_n_own(heavy->axis, rank); j++) light->counts[heavy->own_rows[j]] = counts[j];
}

/*
 * Collective. Both ways to the rows [n] that I need are made, and the better one is kept. slot_of [n]: comes with the
 * places of the straight one.
 */
static gmf_status choose_hops(const gmf_grid *grid, const gmf_ways *ways, const gmf_axis *axis, const int64_t *rows,
                              int64_t n, int32_t *slot_of, gmf_hops_choice *choice, gmf_expand **plan, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int32_t *places = NULL;
  gmf_expand *hops = NULL;
  *choice = (gmf_hops_choice){.considered = true};
  GMF_TRY(gmf_agree(grid, GMF_NEW(places, n, err), err));
  GMF_TRY(gmf_expand_create_hops(grid, ways->hops, axis, rows, n, places, &hops, err));
  const gmf_expand *of[GMF_N_HOP_WAYS] = {*plan, hops};
  for (int way = 0; way < GMF_N_HOP_WAYS; way++)
    gmf_hops_add(choice, way, gmf_expand_n_messages(of[way]), gmf_expand_n_received(of[way]), ways->row_bytes);
  gmf_max_f64(grid, &choice->most[0].messages, 3 * GMF_N_HOP_WAYS);
  gmf_hops_choose(choice);
  if (choice->taken) {
    gmf_expand_destroy(plan);
    *plan = hops;
    hops = NULL;
    if (n > 0) memcpy(slot_of, places, (size_t)n * sizeof *slot_of);
  }
cleanup:
  gmf_free(places);
  gmf_expand_destroy(&hops);
  return status;
}

/* Collective. The plan for the rows [n] of a side's fixed side that I need, as `ways` says. */
static gmf_status make_plan(const gmf_ways *ways, const part *of, const int64_t *rows, int64_t n, int32_t *slot_of,
                            gmf_expand **plan, gmf_error *err)
{
  const gmf_grid *grid = of->grid;
  const gmf_axis *axis = of->fixed;
  bool hops = ways != NULL && ways->hops != NULL, chooses = hops && ways->choices != NULL;
  if (hops && !chooses) return gmf_expand_create_hops(grid, ways->hops, axis, rows, n, slot_of, plan, err);
  if (ways != NULL && ways->node != NULL)
    return gmf_expand_create_shared(grid, ways->node, axis, rows, n, slot_of, plan, err);
  gmf_status status = gmf_expand_create_copied(grid, axis, of->fixed_heavy, rows, n, slot_of, plan, err);
  if (status != GMF_OK || !chooses) return status;
  return choose_hops(grid, ways, axis, rows, n, slot_of, &ways->choices[of->side], plan, err);
}

/* Collective. Makes the blocks of one side of its piles, which are used up. */
static gmf_status finish_side(const gmf_ways *ways, const part parts[N_PARTS], pile piles[N_PARTS], gmf_block **out,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_grid *grid = parts[LIGHT].grid;
  gmf_block *made = NULL;
  int64_t *needed = NULL;
  int32_t *slot_of = NULL;
  row_set set = {0};

  GMF_TRY(gmf_agree(grid, make_blocks(parts, piles, &set, &made, &needed, &slot_of, err), err));
  GMF_FREE(set.words);
  GMF_FREE(set.before);
  for (gmf_block *b = made; b != NULL; b = b->next) count_rows(b);
  if (made->next != NULL) copy_heavy_counts(made);
  GMF_TRY(make_plan(ways, &parts[LIGHT], needed, set.n, slot_of, &made->expand, err));
  for (gmf_block *b = made; b != NULL; b = b->next) {
    int64_t nnz = b->row_ptr[b->n_rows];
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < nnz; j++) b->cols[j] = slot_of[b->cols[j]];
  }
  *out = made;
  made = NULL;

cleanup:
  gmf_free(set.words);
  gmf_free(set.before);
  gmf_free(slot_of);
  gmf_free(needed);
  gmf_block_destroy(&made);
  return status;
}

/* Local. Rows of a group are numbered in 32 bits. */
static gmf_status check_groups(const part *of, gmf_error *err)
{
  const gmf_grid *grid = of->grid;
  for (int x = 0; x < grid->n_rows; x++) {
    int64_t n = of->axis->prefix[(x + 1) * grid->n_cols] - of->axis->prefix[x * grid->n_cols];
    if (n > gmf_limit_rows)
      return gmf_fail(err, GMF_ERR_PLAN,
                      "%lld %s would meet in a grid row, but %lld may; use more ranks, or a grid of fewer columns",
                      (long long)n, gmf_side_name(of->side), (long long)gmf_limit_rows);
  }
  return GMF_OK;
}

/* Local. Room for a part's ratings: a little over the fair share, which is what most ranks get. */
static gmf_status start_pile(const part *of, int64_t n_ratings, bool weighted, pile *p, gmf_error *err)
{
  int64_t share = n_ratings / of->grid->size;
  gmf_status status = check_groups(of, err);
  if (status != GMF_OK) return status;
  p->stride = rating_bytes(weighted);
  return GMF_RESERVE(p->ratings, p->capacity, (share + share / 8) * p->stride, err);
}

gmf_status gmf_blocks_create(const gmf_grid *grid, const gmf_ways *ways, const gmf_rating_source *source,
                             gmf_axis *const axes[GMF_N_SIDES], gmf_heavy *const heavy[GMF_N_SIDES],
                             gmf_block *blocks[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  part parts[GMF_N_SIDES][N_PARTS] = {{{0}}};
  pile piles[GMF_N_SIDES][N_PARTS] = {{{0}}};
  round_buffers buffers = {0};
  int64_t rounds = gmf_source_rounds(grid, source),
          nnz = source->indptr[source->row_end - source->row_begin] - source->indptr[0];
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_DISTRIBUTE);

  gmf_trace_work(grid->trace, GMF_PHASE_DISTRIBUTE, nnz);
  gmf_sum_i64(grid, &nnz, 1);
  status = new_buffers(grid->size, source->has_weights, heavy, &buffers, err);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    const gmf_heavy *h = heavy[s];
    const gmf_axis *fixed = axes[gmf_other_side((gmf_side)s)];
    const gmf_heavy *fixed_heavy = heavy[gmf_other_side((gmf_side)s)];
    blocks[s] = NULL;
    parts[s][LIGHT] = (part){(gmf_side)s, grid, axes[s], fixed, NULL, fixed_heavy};
    if (h != NULL) parts[s][HEAVY] = (part){(gmf_side)s, h->grid, h->axis, fixed, h, fixed_heavy};
    GMF_CHECK(h == NULL || grid->n_cols == 1);
    int64_t n_heavy = h != NULL ? h->n_ratings : 0;
    if (status == GMF_OK)
      status = start_pile(&parts[s][LIGHT], nnz - n_heavy, source->has_weights, &piles[s][LIGHT], err);
    if (status == GMF_OK && h != NULL)
      status = start_pile(&parts[s][HEAVY], n_heavy, source->has_weights, &piles[s][HEAVY], err);
  }
  GMF_TRY(gmf_agree(grid, status, err));
  for (int64_t r = 0; r < rounds; r++) {
    GMF_TRY(gmf_agree(grid, read_round(source, r, axes, heavy, &buffers, err), err));
    for (int s = 0; s < GMF_N_SIDES; s++)
      for (int p = 0; p < (heavy[s] != NULL ? N_PARTS : HEAVY); p++) {
        group_by_target(&parts[s][p], &buffers);
        GMF_TRY(send_round(grid, &buffers, &piles[s][p], err));
      }
  }
  free_buffers(&buffers);
  buffers = (round_buffers){0};
  for (int s = 0; s < GMF_N_SIDES; s++) GMF_TRY(finish_side(ways, parts[s], piles[s], &blocks[s], err));

cleanup:
  free_buffers(&buffers);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    for (int p = 0; p < N_PARTS; p++) gmf_free(piles[s][p].ratings);
    if (status != GMF_OK) gmf_block_destroy(&blocks[s]);
  }
  gmf_trace_phase(grid->trace, before);
  return status;
}
