#include "dist/block.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"
#include "runtime/limits.h"

/* Ratings that a rank reads and sends in one round. */
enum { BATCH = 1 << 19 };

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

static inline rating *rating_at(const pile *p, int64_t j) { return (rating *)(void *)(p->ratings + j * p->stride); }

static inline bool is_weighted(const pile *p) { return p->stride == (int64_t)sizeof(weighted_rating); }

static inline float weight_at(const pile *p, int64_t j) { return ((weighted_rating *)(void *)rating_at(p, j))->weight; }

/* The buffers of one round: n ratings with both their rows, and where those stand. All owned [BATCH] but the last. */
typedef struct round_buffers {
  int64_t n;
  int64_t next_user; /* the first of my users with ratings left, counted from 0 */
  int64_t *rows[GMF_N_SIDES], *positions[GMF_N_SIDES];
  float *values, *weights; /* weights: NULL where there are none */
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
  gmf_free(b);
  *block = NULL;
}

static void free_buffers(round_buffers *b)
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_free(b->rows[s]);
    gmf_free(b->positions[s]);
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

static gmf_status new_buffers(int n_ranks, bool weighted, round_buffers *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    GMF_TRY(GMF_NEW(b->rows[s], BATCH, err));
    GMF_TRY(GMF_NEW(b->positions[s], BATCH, err));
  }
  GMF_TRY(GMF_NEW(b->values, BATCH, err));
  if (weighted) GMF_TRY(GMF_NEW(b->weights, BATCH, err));
  GMF_TRY(GMF_NEW(b->target, BATCH, err));
  b->send.stride = rating_bytes(weighted);
  GMF_TRY(GMF_NEW(b->send.ratings, BATCH * b->send.stride, err));
  GMF_TRY(GMF_NEW(b->counts, n_ranks, err));
  GMF_TRY(GMF_NEW(b->recv_counts, n_ranks, err));
  GMF_TRY(GMF_NEW(b->next, n_ranks + 1, err));
cleanup:
  return status;
}

/* Collective. The most rounds that any rank needs. */
static int64_t n_rounds(const gmf_grid *grid, const gmf_rating_source *source)
{
  int64_t n = source->indptr[source->row_end - source->row_begin] - source->indptr[0];
  int64_t rounds = (n + BATCH - 1) / BATCH;
  gmf_max_i64(grid, &rounds, 1);
  return rounds;
}

/* Positions [*begin, *end) of my ratings in round r. */
static void round_range(const gmf_rating_source *source, int64_t r, int64_t *begin, int64_t *end)
{
  int64_t first = source->indptr[0], last = source->indptr[source->row_end - source->row_begin];
  *begin = gmf_min64(first + r * BATCH, last);
  *end = gmf_min64(*begin + BATCH, last);
}

gmf_status gmf_count_items(const gmf_grid *grid, const gmf_rating_source *source, int64_t *counts, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t n_items = source->n[GMF_ITEMS], rounds = n_rounds(grid, source);
  int64_t *items = NULL;
  float *values = NULL;

  local = GMF_NEW(items, BATCH, err);
  if (local == GMF_OK) local = GMF_NEW(values, BATCH, err);
  memset(counts, 0, (size_t)n_items * sizeof *counts);
  for (int64_t r = 0; r < rounds && local == GMF_OK; r++) {
    int64_t begin = 0, end = 0;
    round_range(source, r, &begin, &end);
    local = source->read(source->context, begin, end - begin, items, values, NULL, err);
    for (int64_t j = 0; j < end - begin && local == GMF_OK; j++) counts[items[j]]++;
  }
  GMF_TRY(gmf_agree(grid, local, err));
  gmf_sum_i64(grid, counts, n_items);
cleanup:
  gmf_free(values);
  gmf_free(items);
  return status;
}

/* ---- routing ----------------------------------------------------------------------------------------------------- */

/* Local. Reads the ratings of round `r` and looks up where their rows stand. */
static gmf_status read_round(const gmf_rating_source *source, int64_t r, gmf_axis *const axes[GMF_N_SIDES],
                             round_buffers *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t begin = 0, end = 0;
  round_range(source, r, &begin, &end);
  b->n = end - begin;
  GMF_TRY(source->read(source->context, begin, b->n, b->rows[GMF_ITEMS], b->values, b->weights, err));
  int64_t n_users = source->row_end - source->row_begin;
  for (int64_t u = b->next_user; u < n_users && source->indptr[u] < end; u++) {
    int64_t from = gmf_max64(source->indptr[u], begin), to = gmf_min64(source->indptr[u + 1], end);
    b->next_user = u;
    if (from >= to) continue;
    int64_t position = gmf_axis_position(axes[GMF_USERS], source->row_begin + u);
    for (int64_t j = from - begin; j < to - begin; j++) {
      b->rows[GMF_USERS][j] = source->row_begin + u;
      b->positions[GMF_USERS][j] = position;
    }
  }
  for (int64_t j = 0; j < b->n; j++)
    b->positions[GMF_ITEMS][j] = gmf_axis_position(axes[GMF_ITEMS], b->rows[GMF_ITEMS][j]);
cleanup:
  return status;
}

/* Local. The round's ratings of one side, grouped by the rank whose block they belong to: b->send and b->counts. */
static void group_by_target(const gmf_grid *grid, gmf_axis *const axes[GMF_N_SIDES], gmf_side side, round_buffers *b)
{
  gmf_side other = gmf_other_side(side);
  memset(b->counts, 0, (size_t)grid->size * sizeof *b->counts);
  for (int64_t j = 0; j < b->n; j++) {
    int x = gmf_axis_owner(axes[side], b->positions[side][j]) / grid->n_cols;
    int y = gmf_axis_owner(axes[other], b->positions[other][j]) / grid->n_rows;
    b->target[j] = x * grid->n_cols + y;
    b->counts[b->target[j]]++;
  }
  b->next[0] = 0;
  for (int t = 0; t < grid->size; t++) b->next[t + 1] = b->next[t] + b->counts[t];
  for (int64_t j = 0; j < b->n; j++) {
    int64_t group_begin = axes[side]->prefix[b->target[j] / grid->n_cols * grid->n_cols];
    int64_t to = b->next[b->target[j]]++;
    *rating_at(&b->send, to) = (rating){b->rows[other][j], gmf_i32(b->positions[side][j] - group_begin), b->values[j]};
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

/* The distinct fixed rows of a pile, ascending, as a set of bits with the count of bits before each word: a row's
 * index among them is found in constant time, in 3/16 of a byte for each row of the side. */
typedef struct row_set {
  uint64_t *words;  /* owned [n_words] */
  uint32_t *before; /* owned [n_words] */
  int64_t n_words, n;
} row_set;

static gmf_status make_row_set(const pile *p, int64_t n_fixed, row_set *set, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *set = (row_set){.n_words = n_fixed / 64 + 1};
  GMF_TRY(GMF_NEW_ZERO(set->words, set->n_words, err));
  GMF_TRY(GMF_NEW(set->before, set->n_words, err));
  for (int64_t j = 0; j < p->n; j++) {
    int64_t fixed = rating_at(p, j)->fixed;
    set->words[fixed / 64] |= (uint64_t)1 << (fixed % 64);
  }
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

/* Local. Rows with many ratings first, so that the last row to be solved is a short one: a counting sort by log2. */
static gmf_status order_by_work(gmf_block *b, gmf_error *err)
{
  enum { CLASSES = 64 };
  int64_t next[CLASSES + 1] = {0};
  if (GMF_NEW(b->by_work, b->n_rows, err) != GMF_OK) return GMF_ERR_MEMORY;
  for (int pass = 0; pass < 2; pass++) {
    for (int64_t r = 0; r < b->n_rows; r++) {
      int class = __builtin_clzll((uint64_t)(b->row_ptr[r + 1] - b->row_ptr[r]) | 1);
      if (pass == 0)
        next[class + 1]++;
      else
        b->by_work[next[class]++] = (int32_t)r;
    }
    for (int c = 0; pass == 0 && c < CLASSES; c++) next[c + 1] += next[c];
  }
  return GMF_OK;
}

static gmf_status compress_local(pile *p, int64_t n_fixed, gmf_block *b, int64_t **needed, int64_t *n_needed,
                                 int32_t **index, gmf_error *err)
{
  gmf_status status = GMF_OK;
  row_set set = {0};
  pile sorted = {.stride = p->stride};

  GMF_TRY(make_row_set(p, n_fixed, &set, err));
  *n_needed = set.n;
  GMF_TRY(GMF_NEW(*needed, set.n, err));
  list_row_set(&set, *needed);
  GMF_TRY(GMF_NEW(b->row_ptr, b->n_rows + 1, err));
  GMF_TRY(GMF_NEW(sorted.ratings, p->n * p->stride, err));
  sort_pile(p, b, &sorted);
  GMF_FREE(p->ratings);
  GMF_TRY(GMF_NEW(b->cols, p->n, err));
  GMF_TRY(GMF_NEW(b->values, p->n, err));
  if (is_weighted(p)) GMF_TRY(GMF_NEW(b->weights, p->n, err));
  GMF_TRY(GMF_NEW(*index, set.n, err));
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < p->n; j++) {
    b->cols[j] = (int32_t)index_in_set(&set, rating_at(&sorted, j)->fixed);
    b->values[j] = rating_at(&sorted, j)->value;
    if (b->weights != NULL) b->weights[j] = weight_at(&sorted, j);
  }
  GMF_TRY(order_by_work(b, err));
cleanup:
  gmf_free(sorted.ratings);
  gmf_free(set.before);
  gmf_free(set.words);
  return status;
}

/* Collective. counts: my ratings of each row, summed over the ranks of my grid row. */
static void count_rows(const gmf_grid *grid, gmf_block *b)
{
  for (int64_t r = 0; r < b->n_rows; r++) b->counts[r] = b->row_ptr[r + 1] - b->row_ptr[r];
  for (int64_t done = 0, n = 0; grid->n_cols > 1 && done < b->n_rows; done += n) {
    n = gmf_limit_piece(b->n_rows - done, 8);
    GMF_COLLECTIVE(grid->row,
                   MPI_Allreduce(MPI_IN_PLACE, b->counts + done, gmf_int(n), MPI_INT64_T, MPI_SUM, grid->row));
    gmf_trace_collective(grid->trace, n * 8);
  }
}

/* Collective. Makes a block of one side's pile; the pile is used up. */
static gmf_status compress(const gmf_grid *grid, gmf_side side, gmf_axis *const axes[GMF_N_SIDES], size_t row_bytes,
                           pile *p, gmf_block **out, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_axis *updated = axes[side], *fixed = axes[gmf_other_side(side)];
  gmf_block *b = NULL;
  int64_t *needed = NULL, n_needed = 0, nnz = p->n;
  int32_t *slot_of = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(b, 1, err), err));
  b->side = side;
  b->axis = updated;
  b->row_begin = updated->prefix[grid->row_index * grid->n_cols];
  b->n_rows = updated->prefix[(grid->row_index + 1) * grid->n_cols] - b->row_begin;
  local = GMF_NEW(b->counts, b->n_rows, err);
  if (local == GMF_OK) local = compress_local(p, fixed->n, b, &needed, &n_needed, &slot_of, err);
  GMF_TRY(gmf_agree(grid, local, err));
  count_rows(grid, b);
  GMF_TRY(gmf_expand_create(grid, fixed, needed, n_needed, row_bytes, slot_of, &b->expand, err));
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < nnz; j++) b->cols[j] = slot_of[b->cols[j]];
  *out = b;
  b = NULL;

cleanup:
  gmf_free(slot_of);
  gmf_free(needed);
  gmf_block_destroy(&b);
  return status;
}

/* Local. Rows of a group are numbered in 32 bits. */
static gmf_status check_groups(const gmf_grid *grid, gmf_axis *const axes[GMF_N_SIDES], gmf_error *err)
{
  for (int s = 0; s < GMF_N_SIDES; s++)
    for (int x = 0; x < grid->n_rows; x++) {
      int64_t n = axes[s]->prefix[(x + 1) * grid->n_cols] - axes[s]->prefix[x * grid->n_cols];
      if (n > gmf_limit_rows)
        return gmf_fail(err, GMF_ERR_PLAN,
                        "%lld %s would meet in a grid row, but %lld may; use more ranks, or a grid of fewer columns",
                        (long long)n, gmf_side_name((gmf_side)s), (long long)gmf_limit_rows);
    }
  return GMF_OK;
}

gmf_status gmf_blocks_create(const gmf_grid *grid, const gmf_rating_source *source, gmf_axis *const axes[GMF_N_SIDES],
                             size_t row_bytes, gmf_block *blocks[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  pile piles[GMF_N_SIDES] = {{0}};
  round_buffers buffers = {0};
  int64_t rounds = n_rounds(grid, source),
          share = source->indptr[source->row_end - source->row_begin] - source->indptr[0];
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_DISTRIBUTE);

  gmf_sum_i64(grid, &share, 1);
  share /= grid->size;
  for (int s = 0; s < GMF_N_SIDES; s++) blocks[s] = NULL;
  status = check_groups(grid, axes, err);
  if (status == GMF_OK) status = new_buffers(grid->size, source->has_weights, &buffers, err);
  for (int s = 0; s < GMF_N_SIDES && status == GMF_OK; s++) { /* a little over the fair share, which is what most get */
    piles[s].stride = rating_bytes(source->has_weights);
    status = GMF_RESERVE(piles[s].ratings, piles[s].capacity, (share + share / 8) * piles[s].stride, err);
  }
  GMF_TRY(gmf_agree(grid, status, err));
  for (int64_t r = 0; r < rounds; r++) {
    GMF_TRY(gmf_agree(grid, read_round(source, r, axes, &buffers, err), err));
    for (int s = 0; s < GMF_N_SIDES; s++) {
      group_by_target(grid, axes, (gmf_side)s, &buffers);
      GMF_TRY(send_round(grid, &buffers, &piles[s], err));
    }
  }
  free_buffers(&buffers);
  buffers = (round_buffers){0};
  for (int s = 0; s < GMF_N_SIDES; s++)
    GMF_TRY(compress(grid, (gmf_side)s, axes, row_bytes, &piles[s], &blocks[s], err));

cleanup:
  free_buffers(&buffers);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    gmf_free(piles[s].ratings);
    if (status != GMF_OK) gmf_block_destroy(&blocks[s]);
  }
  gmf_trace_phase(grid->trace, before);
  return status;
}
