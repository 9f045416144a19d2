#include "io/import_sort.h"

#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "base/key_sort.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"

#ifndef GMF_IMPORT_BATCH
#define GMF_IMPORT_BATCH (1 << 17) /* ratings that a rank sends at a time, or more; a build may lower it for tests */
#endif
#ifndef GMF_IMPORT_WORD_BITS
#define GMF_IMPORT_WORD_BITS 64 /* of a word that is sorted; the same */
#endif

/* A bucket is a range of rows whose ratings fit the cache while they are sorted. */
enum { BUCKET_RATINGS = 1 << 14, MAX_BUCKETS = 1 << 10 };

/* ---- where ratings go -------------------------------------------------------------------------------------------- */

typedef struct target {
  uint32_t rank, row; /* the owner of the user's row, and the row counted from the owner's first */
} target;

/* Translates the indices of one reading thread. */
typedef struct thread_map {
  target *users;  /* owned [users of the thread] */
  int64_t *items; /* owned [items of the thread] */
} thread_map;

/* Ratings, with their weights beside them. */
typedef struct rating_list {
  gmf_raw_rating *ratings; /* owned */
  float *weights;          /* owned; NULL where the input has none */
  int64_t capacity, weight_capacity;
} rating_list;

static void rating_list_free(rating_list *list)
{
  gmf_free(list->ratings);
  gmf_free(list->weights);
  *list = (rating_list){0};
}

static gmf_status reserve_list(rating_list *list, int64_t n, bool has_weight, gmf_error *err)
{
  gmf_status status = GMF_RESERVE(list->ratings, list->capacity, n, err);
  if (status == GMF_OK && has_weight) status = GMF_RESERVE(list->weights, list->weight_capacity, n, err);
  return status;
}

/* The rest of a list from rating `at` on. A view: not to be freed. */
static rating_list behind(const rating_list *list, int64_t at)
{
  return (rating_list){.ratings = list->ratings + at, .weights = list->weights == NULL ? NULL : list->weights + at};
}

typedef struct router {
  const gmf_grid *grid; /* borrowed */
  int n_threads;
  bool has_weight;
  int64_t *cuts;          /* owned [size + 1]: the first row of each rank; one entry a rank, not a row */
  int *shifts;            /* owned [size]: row >> shift is the row's bucket */
  int64_t n_buckets;      /* of a rank */
  thread_map *maps;       /* owned [n_threads] */
  int64_t *cursors;       /* owned [size][n_buckets]: where the next rating from a rank goes in its bucket */
  int64_t *bucket_begin;  /* owned [n_buckets + 1] */
  rating_list placed;     /* owned [bucket_begin[n_buckets]]: by bucket, inside by position in the input */
  rating_list send, recv; /* owned: a batch on its way out and in, by rank */
} router;

static void router_free(router *r)
{
  for (int t = 0; r->maps != NULL && t < r->n_threads; t++) {
    gmf_free(r->maps[t].users);
    gmf_free(r->maps[t].items);
  }
  gmf_free(r->maps);
  gmf_free(r->cuts);
  gmf_free(r->shifts);
  gmf_free(r->cursors);
  gmf_free(r->bucket_begin);
  rating_list_free(&r->placed);
  rating_list_free(&r->send);
  rating_list_free(&r->recv);
  *r = (router){0};
}

/*
 * Collective. cuts[d]: the number of users whose first rating stands before position nnz d / size when all ratings
 * are in order of users. Every rank counts those of its slice.
 */
static void cut_rows(const gmf_grid *grid, const gmf_id_space *users, int64_t *cuts)
{
  int64_t mine = 0;
  for (int64_t i = 0; i < users->ids.n; i++) mine += users->counts[i];
  int64_t position = gmf_prefix_i64(grid, mine), total = mine, row = 0;
  gmf_sum_i64(grid, &total, 1);
  for (int d = 0; d < grid->size; d++) {
    int64_t limit = gmf_slice_begin(total, grid->size, d);
    while (row < users->ids.n && position < limit) position += users->counts[row++];
    cuts[d] = row;
  }
  cuts[grid->size] = users->ids.n;
  gmf_sum_i64(grid, cuts, grid->size + 1);
}

static gmf_status plan_buckets(router *r, int64_t n_ratings, gmf_error *err)
{
  int size = r->grid->size;
  r->n_buckets = gmf_max64(1, gmf_min64(MAX_BUCKETS, n_ratings / size / BUCKET_RATINGS));
  for (int d = 0; d < size; d++) {
    int64_t n_rows = r->cuts[d + 1] - r->cuts[d];
    if (n_rows > UINT32_MAX)
      return gmf_fail(err, GMF_ERR_PLAN, "%" PRId64 " users on one rank are too many; use more ranks", n_rows);
    r->shifts[d] = 0;
    while (n_rows > 0 && (n_rows - 1) >> r->shifts[d] >= r->n_buckets) r->shifts[d]++;
  }
  return GMF_OK;
}

static target target_of(const router *r, int64_t row)
{
  int low = 0, high = r->grid->size;
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (row >= r->cuts[middle])
      low = middle;
    else
      high = middle;
  }
  return (target){(uint32_t)low, (uint32_t)(row - r->cuts[low])};
}

/* Collective. How many ratings come from each rank for each of my buckets, so that they can be put in place at once. */
static gmf_status plan_places(router *r, const gmf_id_set *users, const int64_t *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int size = r->grid->size;
  int64_t *n_to = NULL, *ones = NULL, at = 0;

  status = GMF_NEW_ZERO(n_to, size * r->n_buckets, err);
  if (status == GMF_OK) status = GMF_NEW(ones, size, err);
  if (status == GMF_OK) status = GMF_NEW(r->cursors, size * r->n_buckets, err);
  if (status == GMF_OK) status = GMF_NEW(r->bucket_begin, r->n_buckets + 1, err);
  GMF_TRY(gmf_agree(r->grid, status, err));
  for (int64_t u = 0; u < users->n; u++) {
    if (rows[u] < 0) continue;
    target t = target_of(r, rows[u]);
    n_to[t.rank * r->n_buckets + (t.row >> r->shifts[t.rank])] += users->counts[u];
  }
  for (int d = 0; d < size; d++) ones[d] = 1;
  gmf_exchange(r->grid, r->n_buckets * (int64_t)sizeof *n_to, n_to, ones, r->cursors, ones);
  for (int64_t b = 0; b < r->n_buckets; b++) {
    r->bucket_begin[b] = at;
    for (int s = 0; s < size; s++) {
      int64_t count = r->cursors[s * r->n_buckets + b];
      r->cursors[s * r->n_buckets + b] = at;
      at += count;
    }
  }
  r->bucket_begin[r->n_buckets] = at;
  status = GMF_NEW(r->placed.ratings, at, err); /* exactly that many: they stay until they are sorted */
  if (status == GMF_OK && r->has_weight) status = GMF_NEW(r->placed.weights, at, err);
  GMF_TRY(gmf_agree(r->grid, status, err));
cleanup:
  gmf_free(n_to);
  gmf_free(ones);
  return status;
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

/* Local. Joins the threads' sets of a side into that of thread 0; index[t][i]: where id i of thread t stands (NULL for
 * thread 0, which stays as it is). */
static gmf_status merge_threads(gmf_import_share *share, gmf_side side, uint32_t **index, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int t = 1; t < share->n_threads; t++) {
    gmf_id_set *set = &share->threads[t].sets[side];
    GMF_TRY(GMF_NEW(index[t], set->n, err));
    GMF_TRY(gmf_id_set_merge(&share->threads[0].sets[side], set, index[t], err));
  }
cleanup:
  return status;
}

static int64_t row_of(const int64_t *rows, const uint32_t *index, int64_t i)
{
  return index == NULL ? rows[i] : rows[index[i]];
}

/* Local. The tables that translate the ratings of each thread; then the sets are of no more use. */
static gmf_status fill_maps(router *r, gmf_import_share *share, uint32_t **index[GMF_N_SIDES],
                            int64_t *const rows[GMF_N_SIDES], gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int t = 0; t < r->n_threads; t++) {
    gmf_id_set *sets = share->threads[t].sets;
    thread_map *map = &r->maps[t];
    GMF_TRY(GMF_NEW(map->users, sets[GMF_USERS].n, err));
    GMF_TRY(GMF_NEW(map->items, sets[GMF_ITEMS].n, err));
    for (int64_t i = 0; i < sets[GMF_USERS].n; i++) {
      int64_t row = row_of(rows[GMF_USERS], index[GMF_USERS][t], i);
      if (row >= 0) map->users[i] = target_of(r, row);
    }
    for (int64_t i = 0; i < sets[GMF_ITEMS].n; i++) map->items[i] = row_of(rows[GMF_ITEMS], index[GMF_ITEMS][t], i);
  }
  for (int t = 0; t < r->n_threads; t++)
    for (int s = 0; s < GMF_N_SIDES; s++) gmf_id_set_free(&share->threads[t].sets[s]);
cleanup:
  return status;
}

static void free_index(uint32_t **index, int n)
{
  for (int t = 0; index != NULL && t < n; t++) gmf_free(index[t]);
  gmf_free(index);
}

/* Collective. Numbers the ids of both sides and plans the way of the ratings. */
static gmf_status number_ids(const gmf_grid *grid, gmf_import_share *share, int64_t n_ratings,
                             gmf_id_space space[GMF_N_SIDES], router *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  uint32_t **index[GMF_N_SIDES] = {NULL, NULL};
  int64_t *rows[GMF_N_SIDES] = {NULL, NULL};

  *r = (router){.grid = grid, .n_threads = share->n_threads, .has_weight = share->has_weight};
  status = GMF_NEW(r->cuts, grid->size + 1, err);
  if (status == GMF_OK) status = GMF_NEW(r->shifts, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(r->maps, r->n_threads, err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int s = 0; s < GMF_N_SIDES; s++) {
    const gmf_id_set *set = &share->threads[0].sets[s];
    status = GMF_NEW_ZERO(index[s], share->n_threads, err);
    if (status == GMF_OK) status = merge_threads(share, (gmf_side)s, index[s], err);
    if (status == GMF_OK) status = GMF_NEW(rows[s], set->n, err);
    GMF_TRY(gmf_agree(grid, status, err));
    GMF_TRY(gmf_id_space_build(grid, set, share->as_text[s], &space[s], rows[s], err));
    gmf_trace_work(grid->trace, GMF_PHASE_MAP_IDS, set->n);
  }
  cut_rows(grid, &space[GMF_USERS], r->cuts);
  GMF_TRY(plan_buckets(r, n_ratings, err)); /* from values that all ranks share */
  GMF_TRY(plan_places(r, &share->threads[0].sets[GMF_USERS], rows[GMF_USERS], err));
  GMF_TRY(gmf_agree(grid, fill_maps(r, share, index, rows, err), err));
cleanup:
  for (int s = 0; s < GMF_N_SIDES; s++) {
    free_index(index[s], share->n_threads);
    gmf_free(rows[s]);
  }
  return status;
}

/* ---- routing ----------------------------------------------------------------------------------------------------- */

typedef struct batch {
  const gmf_piece *pieces; /* borrowed [n_pieces] */
  int64_t n_pieces, n;     /* ratings in them */
  int64_t *n_to;           /* owned [size] */
  int64_t *starts;         /* owned [n_pieces][size]: where the ratings of a piece for a rank go in router.send */
} batch;

static void batch_free(batch *b)
{
  gmf_free(b->n_to);
  gmf_free(b->starts);
}

/* Local. Translates the ratings of a batch and groups them by rank, in the order of the input. */
static gmf_status fill_batch(router *r, batch *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t size = r->grid->size, at = 0;
  GMF_TRY(GMF_NEW_ZERO(b->n_to, size, err));
  GMF_TRY(GMF_NEW_ZERO(b->starts, b->n_pieces * size, err));
  GMF_TRY(reserve_list(&r->send, b->n, r->has_weight, err));
#pragma omp parallel for num_threads(r->n_threads) schedule(static)
  for (int64_t p = 0; p < b->n_pieces; p++) {
    const gmf_piece *piece = &b->pieces[p];
    const target *users = r->maps[piece->thread].users;
    gmf_beat();
    if (size == 1) b->starts[p] = piece->n;
    for (int64_t j = 0; size > 1 && j < piece->n; j++) b->starts[p * size + users[piece->ratings[j].user].rank]++;
  }
  for (int64_t d = 0; d < size; d++)
    for (int64_t p = 0; p < b->n_pieces; p++) {
      int64_t count = b->starts[p * size + d];
      b->starts[p * size + d] = at;
      at += count;
      b->n_to[d] += count;
    }
#pragma omp parallel for num_threads(r->n_threads) schedule(static)
  for (int64_t p = 0; p < b->n_pieces; p++) {
    const gmf_piece *piece = &b->pieces[p];
    const thread_map *map = &r->maps[piece->thread];
    int64_t *starts = b->starts + p * size;
    for (int64_t j = 0; j < piece->n; j++) {
      const gmf_raw_rating *rating = &piece->ratings[j];
      target to = map->users[rating->user];
      if (r->has_weight) r->send.weights[starts[to.rank]] = piece->weights[j];
      r->send.ratings[starts[to.rank]++] =
          (gmf_raw_rating){rating->time, map->items[rating->item], to.row, rating->value};
    }
  }
cleanup:
  return status;
}

static void place_serially(router *r, rating_list from, int64_t n, int64_t *cursors)
{
  int shift = r->shifts[r->grid->rank];
  gmf_raw_rating *placed = r->placed.ratings;
  gmf_beat();
  if (from.weights == NULL) {
    for (int64_t j = 0; j < n; j++) placed[cursors[from.ratings[j].user >> shift]++] = from.ratings[j];
    return;
  }
  for (int64_t j = 0; j < n; j++) {
    int64_t to = cursors[from.ratings[j].user >> shift]++;
    placed[to] = from.ratings[j];
    r->placed.weights[to] = from.weights[j];
  }
}

/* Local. Puts ratings of one source, in the order of the input, behind those of it that came before. */
static gmf_status place(router *r, rating_list from, int64_t n, int64_t *cursors, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int n_threads = r->n_threads, shift = r->shifts[r->grid->rank];
  int64_t *chunk = NULL; /* [n_threads][n_buckets]: counts, then cursors of the part of each thread */
  if (n_threads == 1) {
    place_serially(r, from, n, cursors);
    return GMF_OK;
  }
  GMF_TRY(GMF_NEW_ZERO(chunk, n_threads * r->n_buckets, err));
#pragma omp parallel for num_threads(n_threads) schedule(static, 1)
  for (int t = 0; t < n_threads; t++)
    for (int64_t j = gmf_slice_begin(n, n_threads, t); j < gmf_slice_begin(n, n_threads, t + 1); j++)
      chunk[t * r->n_buckets + (from.ratings[j].user >> shift)]++;
  for (int64_t b = 0; b < r->n_buckets; b++)
    for (int t = 0; t < n_threads; t++) {
      int64_t count = chunk[t * r->n_buckets + b];
      chunk[t * r->n_buckets + b] = cursors[b];
      cursors[b] += count;
    }
#pragma omp parallel for num_threads(n_threads) schedule(static, 1)
  for (int t = 0; t < n_threads; t++) {
    int64_t begin = gmf_slice_begin(n, n_threads, t), end = gmf_slice_begin(n, n_threads, t + 1);
    place_serially(r, behind(&from, begin), end - begin, chunk + t * r->n_buckets);
  }
cleanup:
  gmf_free(chunk);
  return status;
}

/* Collective. What other ranks have for me into r->recv, n_from [size] ratings of each. */
static gmf_status receive(router *r, const int64_t *n_to, int64_t *n_from, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = 0;
  gmf_exchange_counts(r->grid, n_to, n_from);
  for (int s = 0; s < r->grid->size; s++) n += n_from[s];
  GMF_TRY(gmf_agree(r->grid, reserve_list(&r->recv, n, r->has_weight, err), err));
  gmf_exchange(r->grid, sizeof *r->send.ratings, r->send.ratings, n_to, r->recv.ratings, n_from);
  if (r->has_weight) gmf_exchange(r->grid, sizeof *r->send.weights, r->send.weights, n_to, r->recv.weights, n_from);
cleanup:
  return status;
}

/* Collective. The next pieces of every rank to their owners. */
static gmf_status route_batch(router *r, batch *b, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int size = r->grid->size, rank = r->grid->rank;
  int64_t *n_from = NULL, own_begin = 0;

  status = fill_batch(r, b, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(n_from, size, err);
  GMF_TRY(gmf_agree(r->grid, status, err));
  /* What stays here is placed at once; the rows behind it move up to stand without a gap. */
  for (int d = 0; d < rank; d++) own_begin += b->n_to[d];
  int64_t n_own = b->n_to[rank], n_behind = b->n - own_begin - n_own;
  rating_list own = behind(&r->send, own_begin);
  status = place(r, own, n_own, r->cursors + rank * r->n_buckets, err);
  if (n_behind > 0) {
    memmove(own.ratings, own.ratings + n_own, (size_t)n_behind * sizeof *own.ratings);
    if (r->has_weight) memmove(own.weights, own.weights + n_own, (size_t)n_behind * sizeof *own.weights);
  }
  GMF_TRY(gmf_agree(r->grid, status, err));
  b->n_to[rank] = 0;
  GMF_TRY(receive(r, b->n_to, n_from, err));
  for (int64_t s = 0, from = 0; s < size && status == GMF_OK; from += n_from[s++])
    if (n_from[s] > 0) status = place(r, behind(&r->recv, from), n_from[s], r->cursors + s * r->n_buckets, err);
  GMF_TRY(gmf_agree(r->grid, status, err));
cleanup:
  gmf_free(n_from);
  return status;
}

/* Ratings that a rank sends at a time: few, so that they stay in the cache, but not a few to each of many ranks. */
static int64_t batch_for(int n_ranks)
{
  enum { RANKS = 128, MOST = 8 };
  return (int64_t)GMF_IMPORT_BATCH * gmf_max64(1, gmf_min64(MOST, n_ranks / RANKS));
}

static gmf_status route(router *r, gmf_import_share *share, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t most = batch_for(r->grid->size);
  for (int64_t begin = 0, end = 0, more = 1; more > 0; begin = end) {
    batch b = {.pieces = share->pieces + begin};
    while (end < share->n_pieces && (end == begin || b.n + share->pieces[end].n <= most)) b.n += share->pieces[end++].n;
    b.n_pieces = end - begin;
    status = route_batch(r, &b, err);
    gmf_trace_work(r->grid->trace, GMF_PHASE_DISTRIBUTE, b.n);
    batch_free(&b);
    GMF_TRY(status);
    for (int64_t p = begin; p < end; p++) gmf_piece_free(&share->pieces[p]);
#ifdef __GLIBC__
    malloc_trim(0); /* or the pages of the pieces stay with this process, beside those of the same ratings in r */
#endif
    more = share->n_pieces - end;
    gmf_max_i64(r->grid, &more, 1);
  }
cleanup:
  return status;
}

/* ---- order and duplicates ---------------------------------------------------------------------------------------- */

/* Ratings of one user and item that do not become one. */
typedef enum conflict_kind { CONFLICT_DUPLICATE, CONFLICT_OVERFLOW } conflict_kind;
typedef struct conflict {
  int64_t row, item; /* row INT64_MAX: there is none */
  conflict_kind kind;
} conflict;

/* What a thread does while it sorts buckets. */
typedef struct sorter {
  const gmf_import_options *options; /* borrowed */
  const router *router;              /* borrowed */
  gmf_rating_rows *rows;             /* borrowed; indptr[row + 1] collects the row's count */
  int item_bits;
  uint64_t *order, *scratch; /* owned: for the bucket in work, places of its ratings */
  int64_t order_capacity, scratch_capacity;
  gmf_keyed *pairs, *pair_scratch; /* owned: the same for a bucket whose keys are too long */
  int64_t pair_capacity, pair_scratch_capacity;
  int64_t n_duplicates, n_dropped;
  conflict first_conflict;
  gmf_error error;
} sorter;

static void note_conflict(sorter *s, const gmf_raw_rating *rating, conflict_kind kind)
{
  conflict here = {(int64_t)rating->user + s->rows->row_begin, rating->item, kind};
  conflict *first = &s->first_conflict;
  if (here.row < first->row || (here.row == first->row && here.item < first->item)) *first = here;
}

/*
 * ratings[order[0 ... n]]: all of one user and item, in the order of the input, n >= 2; *weight is that of the
 * first. The last and the largest keep the weight of the rating that is kept; of equal ones the later is. A mean is
 * sum w r / sum w with the weights added up (the plain mean where all of them are 0).
 */
static gmf_raw_rating merge_duplicates(sorter *s, rating_list list, const uint64_t *order, int64_t n, float *weight)
{
  gmf_duplicates policy = s->options->duplicates;
  gmf_raw_rating merged = list.ratings[order[0]], kept = merged;
  double sum = 0, weighted = 0, weights = 0;
  for (int64_t j = 0; j < n; j++) {
    const gmf_raw_rating *next = &list.ratings[order[j]];
    float next_weight = list.weights != NULL ? list.weights[order[j]] : 1;
    bool is_later = next->time >= kept.time;
    sum += (double)next->value;
    weighted += (double)next_weight * (double)next->value;
    weights += (double)next_weight;
    if (policy == GMF_DUPLICATES_MAX ? next->value > kept.value || (next->value == kept.value && is_later) : is_later) {
      kept = *next;
      *weight = next_weight;
    }
    if (next->time >= merged.time) merged.time = next->time;
  }
  merged.value = kept.value;
  if (policy == GMF_DUPLICATES_SUM) merged.value = (float)sum;
  if (policy == GMF_DUPLICATES_MEAN) {
    merged.value = (float)(weights > 0 ? weighted / weights : sum / (double)n);
    *weight = (float)weights;
  }
  if (policy == GMF_DUPLICATES_ERROR) note_conflict(s, &merged, CONFLICT_DUPLICATE);
  if (!isfinite(merged.value) || !isfinite(*weight)) note_conflict(s, &merged, CONFLICT_OVERFLOW);
  s->n_duplicates += n - 1;
  return merged;
}

static int bits_for(int64_t n)
{
  int bits = 0;
  while (bits < 63 && (int64_t)1 << bits < n) bits++;
  return bits;
}

static uint64_t key_of(const sorter *s, const gmf_raw_rating *rating, uint32_t first_row)
{
  return (uint64_t)(rating->user - first_row) << s->item_bits | (uint64_t)rating->item;
}

/*
 * s->order [n]: the places of a bucket's ratings by (row, item), equal ones in the order of the input. Key and place
 * are sorted as one word, or as a pair where that has too few bits.
 */
static gmf_status order_bucket(sorter *s, const gmf_raw_rating *ratings, int64_t n, uint32_t first_row, int row_bits)
{
  gmf_status status = GMF_OK;
  int place_bits = bits_for(n);
  GMF_TRY(GMF_RESERVE(s->order, s->order_capacity, n, &s->error));
  if (place_bits + s->item_bits + row_bits <= GMF_IMPORT_WORD_BITS) {
    GMF_TRY(GMF_RESERVE(s->scratch, s->scratch_capacity, n, &s->error));
    for (int64_t j = 0; j < n; j++) s->order[j] = key_of(s, &ratings[j], first_row) << place_bits | (uint64_t)j;
    gmf_sort_words(s->order, s->scratch, n, place_bits);
    for (int64_t j = 0; j < n; j++) s->order[j] &= (UINT64_C(1) << place_bits) - 1;
  } else {
    GMF_TRY(GMF_RESERVE(s->pairs, s->pair_capacity, n, &s->error));
    GMF_TRY(GMF_RESERVE(s->pair_scratch, s->pair_scratch_capacity, n, &s->error));
    for (int64_t j = 0; j < n; j++) s->pairs[j] = (gmf_keyed){key_of(s, &ratings[j], first_row), j};
    gmf_sort_keyed(s->pairs, s->pair_scratch, n);
    for (int64_t j = 0; j < n; j++) s->order[j] = (uint64_t)s->pairs[j].value;
  }
cleanup:
  return status;
}

static bool is_same_pair(const gmf_raw_rating *a, const gmf_raw_rating *b)
{
  return a->user == b->user && a->item == b->item;
}

/* Writes the ratings of a bucket in order from position bucket_begin[b] on; returns how many. */
static gmf_status sort_bucket(sorter *s, int64_t b, int64_t *n_kept)
{
  gmf_status status = GMF_OK;
  const router *r = s->router;
  int64_t begin = r->bucket_begin[b], n = r->bucket_begin[b + 1] - begin, to = begin;
  rating_list list = behind(&r->placed, begin);
  float least = (float)s->options->min_rating;
  gmf_beat();
  int row_bits = r->shifts[r->grid->rank];
  GMF_TRY(order_bucket(s, list.ratings, n, (uint32_t)(b << row_bits), row_bits));
  for (int64_t i = 0, end; i < n; i = end) {
    gmf_raw_rating rating = list.ratings[s->order[i]];
    for (end = i + 1; end < n && is_same_pair(&list.ratings[s->order[end]], &rating);) end++;
    float weight = list.weights != NULL ? list.weights[s->order[i]] : 1;
    if (end - i > 1) rating = merge_duplicates(s, list, s->order + i, end - i, &weight);
    if (s->options->has_min_rating && rating.value < least) {
      s->n_dropped++;
      continue;
    }
    s->rows->items[to] = rating.item;
    s->rows->values[to] = s->options->binarize ? 1 : rating.value;
    if (s->rows->times != NULL) s->rows->times[to] = rating.time;
    if (s->rows->weights != NULL) s->rows->weights[to] = weight;
    s->rows->indptr[rating.user + 1]++;
    to++;
  }
  *n_kept = to - begin;
cleanup:
  return status;
}

/* Local. Moves what the buckets kept together. */
static void close_gaps(const router *r, gmf_rating_rows *rows, const int64_t *n_kept)
{
  int64_t to = 0;
  for (int64_t b = 0; b < r->n_buckets; to += n_kept[b++])
    gmf_rating_rows_move(rows, to, r->bucket_begin[b], n_kept[b]);
  for (int64_t row = 0; row < rows->n_rows; row++) rows->indptr[row + 1] += rows->indptr[row];
}

/* Local. Sorts all buckets; adds to the counts of the report. */
static gmf_status sort_buckets(const router *r, const gmf_import_options *options, int64_t n_items,
                               gmf_rating_rows *rows, conflict *first, gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  sorter *sorters = NULL;
  int64_t *n_kept = NULL;
  int item_bits = bits_for(n_items);
  GMF_CHECK(item_bits + r->shifts[r->grid->rank] <= 64);
  GMF_TRY(GMF_NEW_ZERO(n_kept, r->n_buckets, err));
  GMF_TRY(GMF_NEW_ZERO(sorters, r->n_threads, err));
  for (int t = 0; t < r->n_threads; t++)
    sorters[t] = (sorter){
        .options = options, .router = r, .rows = rows, .item_bits = item_bits, .first_conflict = {.row = INT64_MAX}};
#pragma omp parallel for num_threads(r->n_threads) schedule(dynamic, 1)
  for (int64_t b = 0; b < r->n_buckets; b++) {
    sorter *s = &sorters[omp_get_thread_num()];
    if (s->error.status == GMF_OK) sort_bucket(s, b, &n_kept[b]);
  }
  for (int t = 0; t < r->n_threads; t++) {
    const conflict *c = &sorters[t].first_conflict;
    if (c->row < first->row || (c->row == first->row && c->item < first->item)) *first = *c;
    report->n_duplicates += sorters[t].n_duplicates;
    report->n_dropped_by_rating += sorters[t].n_dropped;
    if (sorters[t].error.status != GMF_OK) status = gmf_fail(err, sorters[t].error.status, "%s", sorters[t].error.text);
  }
  if (status == GMF_OK) close_gaps(r, rows, n_kept);
cleanup:
  for (int t = 0; sorters != NULL && t < r->n_threads; t++) {
    gmf_free(sorters[t].order);
    gmf_free(sorters[t].scratch);
    gmf_free(sorters[t].pairs);
    gmf_free(sorters[t].pair_scratch);
  }
  gmf_free(sorters);
  gmf_free(n_kept);
  return status;
}

/* Collective. Fails where ratings did not become one, naming the user and item of the lowest row. */
static gmf_status check_conflicts(const gmf_grid *grid, const gmf_id_space space[GMF_N_SIDES], conflict first,
                                  int64_t n_duplicates, gmf_error *err)
{
  int64_t row = first.row, found[2] = {-1, -1};
  GMF_COLLECTIVE(grid->all, MPI_Allreduce(MPI_IN_PLACE, &row, 1, MPI_INT64_T, MPI_MIN, grid->all));
  gmf_trace_collective(grid->trace, (int64_t)sizeof row);
  if (row == INT64_MAX) return GMF_OK;
  if (first.row == row) { /* a row has one owner */
    found[0] = first.item;
    found[1] = first.kind;
  }
  gmf_max_i64(grid, found, 2);
  char user[256], item[256];
  gmf_id_space_text(grid, &space[GMF_USERS], row, user, sizeof user);
  gmf_id_space_text(grid, &space[GMF_ITEMS], found[0], item, sizeof item);
  if (found[1] == CONFLICT_OVERFLOW)
    return gmf_fail(
        err, GMF_ERR_DATA,
        "user '%s', item '%s': the sum of duplicate ratings, or of their weights, is too large for a 32-bit float",
        user, item);
  return gmf_fail(err, GMF_ERR_DATA,
                  "user '%s' rates item '%s' more than once (%" PRId64
                  " such ratings in all); --duplicates last, sum, max or mean says what to do with them",
                  user, item, n_duplicates);
}

/* Local. */
static gmf_status make_rows(const router *r, bool has_time, gmf_rating_rows *rows, gmf_error *err)
{
  int64_t row_begin = r->cuts[r->grid->rank], n_rows = r->cuts[r->grid->rank + 1] - row_begin;
  gmf_status status = gmf_rating_rows_new(n_rows, r->bucket_begin[r->n_buckets], has_time, r->has_weight, rows, err);
  rows->row_begin = row_begin;
  return status;
}

gmf_status gmf_import_sort(const gmf_grid *grid, const gmf_import_options *options, gmf_import_share *share,
                           gmf_id_space space[GMF_N_SIDES], gmf_rating_rows *rows, gmf_import_report *report,
                           gmf_error *err)
{
  gmf_status status = GMF_OK;
  router r = {0};
  conflict first = {.row = INT64_MAX};

  *rows = (gmf_rating_rows){0};
  gmf_trace_phase(grid->trace, GMF_PHASE_MAP_IDS);
  GMF_TRY(number_ids(grid, share, report->n_records, space, &r, err));
  gmf_trace_phase(grid->trace, GMF_PHASE_DISTRIBUTE);
  GMF_TRY(route(&r, share, err));
  rating_list_free(&r.send);
  rating_list_free(&r.recv);
  gmf_trace_phase(grid->trace, GMF_PHASE_SORT);
  GMF_TRY(gmf_agree(grid, make_rows(&r, share->has_time, rows, err), err));
  gmf_trace_work(grid->trace, GMF_PHASE_SORT, r.bucket_begin[r.n_buckets]);
  status = sort_buckets(&r, options, space[GMF_ITEMS].n, rows, &first, report, err);
  GMF_TRY(gmf_agree(grid, status, err));
  int64_t counts[] = {report->n_duplicates, report->n_dropped_by_rating};
  gmf_sum_i64(grid, counts, 2);
  report->n_duplicates = counts[0];
  report->n_dropped_by_rating = counts[1];
  GMF_TRY(check_conflicts(grid, space, first, report->n_duplicates, err));
cleanup:
  router_free(&r);
  return status;
}
