/*
 * The n_neighbours items most similar to each item j are row j of W, and a user with the ratings a gets the scores a W:
 *
 *     s_ui = sum_j a_uj W_ji
 *     W_ji = sim(j, i) n_ij / (n_ij + shrinkage) for i among the neighbours of j, else 0
 *
 * Sarwar, Karypis, Konstan, Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001; Deshpande,
 * Karypis, "Item-based top-N recommendation algorithms", ACM TOIS 22 (2004), section 4; shrinkage by the number n_ij of
 * common users as in Bell, Koren, "Improved neighborhood-based collaborative filtering", KDD Cup 2007. With columns w_i
 * of weighted ratings, zero where there is none,
 *
 *     cosine            w_ui = r_ui                                        sim = w_i . w_j / (|w_i| |w_j|)
 *     adjusted-cosine   w_ui = r_ui - mean of u's ratings                  the same
 *     tfidf             w_ui = sqrt(r_ui) idf_u                            the same
 *     bm25              w_ui = r_ui (k1 + 1) / (k1 l_i + r_ui) idf_u       sim = w_i . w_j
 *     jaccard           n_ij / (n_i + n_j - n_ij)
 *
 * idf_u = log(n items) - log(1 + n_u), l_i = 1 - b + b (sum of i's ratings) / (mean of these sums over all items):
 * tfidf and bm25 are those of benfred/implicit's nearest_neighbours. An item is no neighbour of its own, and neighbours
 * are above 0 in similarity; ties go to the lower row.
 *
 * Items are dealt out to the ranks as evenly as their work, sum over an item's users of their ratings, allows. A rank
 * gets all ratings of its items and keeps them; a copy of them goes round the ring of ranks, to the rank before at each
 * step, and meets there the items of that rank. After half a turn each pair of items has met once, and never twice:
 *
 *     step 0         pairs of my own items
 *     step t         my items and those of rank r + t
 *     step P / 2     if P is even: the ranks r and r + P / 2 have each other's, and each takes half of the pairs
 *
 * Per step a rank sends and receives nnz / P ratings, and the lists of the visiting items go home. For each item, sums
 * of products with all items of the step are gathered in one array, user by user in ascending order; a pair that is
 * done is offered to the lists of both its items. Nothing of length n^2 exists.
 */
#include "algo/item_knn.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "algo/best_lists.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "runtime/exchange.h"
#include "runtime/heartbeat.h"

enum { READ_RATINGS = 1 << 18 };

/* The ratings of one group of items, by user. Items are numbered by their places in the group. */
typedef struct pile {
  int64_t n_users, n, n_items;
  int64_t middle;  /* items [0, middle) have about half of the ratings */
  int64_t *users;  /* owned [n_users]: ascending, each with a rating */
  int64_t *begin;  /* owned [n_users + 1] */
  int32_t *items;  /* owned [n]: ascending within a user */
  double *values;  /* owned [n]: weighted, and where sim is a cosine divided by |w_i| */
  int64_t *counts; /* owned [n_items]: n_i */
} pile;

/* Sum of products of a pair, and their number. */
typedef struct cell {
  double dot;
  int64_t n;
} cell;

typedef struct knn {
  const gmf_grid *grid;                /* borrowed, like the next two */
  const gmf_item_knn_options *options; /* */
  const gmf_rating_source *source;     /* */
  gmf_axis *items;                     /* owned, like the rest: groups of items */
  double *sums;                        /* [n items]: bm25: of each item's ratings, then l_i; NULL otherwise */
  pile own, visitor;
  int32_t *user_of;              /* [own.n]: index in own.users */
  int64_t *item_begin, *by_item; /* [own.n_items + 1], [own.n]: own ratings by item, users ascending */
  int64_t *visitor_of;           /* [own.n_users]: index in visitor.users, -1 */
  gmf_best_lists own_lists, visitor_lists;
  cell *cells;      /* [threads][widest] */
  int32_t *touched; /* [threads][widest] */
  int64_t widest;   /* items of the largest group */
  gmf_item_knn_work work;
} knn;

static void pile_free(pile *p)
{
  gmf_free(p->users);
  gmf_free(p->begin);
  gmf_free(p->items);
  gmf_free(p->values);
  gmf_free(p->counts);
  *p = (pile){0};
}

/* All but the lists of my items and the axis. */
static void free_ratings(knn *k)
{
  GMF_FREE(k->sums);
  GMF_FREE(k->user_of);
  GMF_FREE(k->item_begin);
  GMF_FREE(k->by_item);
  GMF_FREE(k->visitor_of);
  GMF_FREE(k->cells);
  GMF_FREE(k->touched);
  pile_free(&k->own);
  pile_free(&k->visitor);
  gmf_best_lists_destroy(&k->visitor_lists);
}

static void knn_free(knn *k)
{
  free_ratings(k);
  gmf_best_lists_destroy(&k->own_lists);
  gmf_axis_destroy(&k->items);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* What is made of the ratings of one user: items [n], values [n], which may be changed. */
typedef gmf_status user_fn(knn *k, int64_t user, int64_t n, const int64_t *items, float *values, void *context,
                           gmf_error *err);

/* Local. Calls f for each of my users with ratings, in their order. */
static gmf_status each_user(knn *k, user_fn *f, void *context, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_rating_source *s = k->source;
  int64_t n_users = s->row_end - s->row_begin, room = 0, values_room = 0, *items = NULL;
  float *values = NULL;
  for (int64_t u = 0, end = 0; u < n_users; u = end) {
    for (end = u + 1; end < n_users && s->indptr[end + 1] - s->indptr[u] <= READ_RATINGS;) end++;
    int64_t first = s->indptr[u], n = s->indptr[end] - first;
    GMF_TRY(GMF_RESERVE(items, room, n, err));
    GMF_TRY(GMF_RESERVE(values, values_room, n, err));
    GMF_TRY(s->read(s->context, first, n, items, values, NULL, err));
    gmf_beat();
    for (int64_t j = 0; k->options->binary && j < n; j++) values[j] = 1;
    for (int64_t v = u; v < end; v++) {
      int64_t at = s->indptr[v] - first, degree = s->indptr[v + 1] - s->indptr[v];
      if (degree > 0) GMF_TRY(f(k, s->row_begin + v, degree, items + at, values + at, context, err));
    }
  }
cleanup:
  gmf_free(items);
  gmf_free(values);
  return status;
}

/* Work of each item, and for bm25 the sum of its ratings. context: work [n items]. */
static gmf_status add_to_tables(knn *k, int64_t user, int64_t n, const int64_t *items, float *values, void *context,
                                gmf_error *err)
{
  int64_t *work = context;
  bool roots = k->options->similarity == GMF_SIMILARITY_TFIDF || k->options->similarity == GMF_SIMILARITY_BM25;
  for (int64_t j = 0; j < n; j++) {
    work[items[j]] += n;
    if (k->sums != NULL) k->sums[items[j]] += (double)values[j];
    if (roots && values[j] < 0)
      return gmf_fail(err, GMF_ERR_DATA,
                      "user row %" PRId64
                      " has a rating of %g: --similarity %s is for counts and stars, 0 or more; use "
                      "adjusted-cosine, or --values binary",
                      user, (double)values[j], k->sums != NULL ? "bm25" : "tfidf");
  }
  return GMF_OK;
}

/* Collective. Deals the items out, and makes l_i. */
static gmf_status place_items(knn *k, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t n = k->source->n[GMF_ITEMS], *work = NULL;
  const gmf_item_knn_options *o = k->options;
  if (n > GMF_AXIS_TABLE_ROWS)
    return gmf_fail(err, GMF_ERR_PLAN, "--algorithm item-knn takes up to %" PRId64 " items, not %" PRId64,
                    GMF_AXIS_TABLE_ROWS, n);
  local = GMF_NEW_ZERO(work, n, err);
  if (local == GMF_OK && o->similarity == GMF_SIMILARITY_BM25) local = GMF_NEW_ZERO(k->sums, n, err);
  if (local == GMF_OK) local = each_user(k, add_to_tables, work, err);
  GMF_TRY(gmf_agree(k->grid, local, err));
  gmf_sum_i64(k->grid, work, n);
  for (int64_t i = 0; i < n; i++) work[i]++;
  GMF_TRY(gmf_agree(k->grid, gmf_axis_create_balanced(n, k->grid->size, work, NULL, &k->items, err), err));
  if (k->sums != NULL) {
    double total = 0;
    gmf_sum_f64(k->grid, k->sums, n);
    for (int64_t i = 0; i < n; i++) total += k->sums[i];
    double mean = total / (double)n;
    for (int64_t i = 0; i < n; i++) k->sums[i] = 1 - o->bm25_b + (mean > 0 ? o->bm25_b * k->sums[i] / mean : 0);
  }
cleanup:
  gmf_free(work);
  return status;
}

/* A weighted rating on its way to the owner of its item. */
typedef struct parcel {
  double value;
  int32_t item;  /* place in the group */
  uint32_t user; /* counted from the first of the sender */
} parcel;

/* Where parcels go. next: of each rank, a count in the first pass. */
typedef struct post {
  parcel *parcels;
  int64_t *next;
} post;

static gmf_status weigh(knn *k, int64_t user, int64_t n, const int64_t *items, float *values, void *context,
                        gmf_error *err)
{
  (void)err;
  post *out = context;
  const gmf_item_knn_options *o = k->options;
  double idf = log((double)k->source->n[GMF_ITEMS]) - log1p((double)n), mean = 0;
  for (int64_t j = 0; j < n; j++) mean += (double)values[j] / (double)n;
  for (int64_t j = 0; j < n; j++) {
    int64_t position = gmf_axis_position(k->items, items[j]);
    int owner = gmf_axis_owner(k->items, position);
    double r = (double)values[j], w = r;
    if (o->similarity == GMF_SIMILARITY_ADJUSTED_COSINE) w = r - mean;
    if (o->similarity == GMF_SIMILARITY_TFIDF) w = sqrt(r) * idf;
    if (o->similarity == GMF_SIMILARITY_BM25)
      w = r > 0 ? r * (o->bm25_k1 + 1) / (o->bm25_k1 * k->sums[items[j]] + r) * idf : 0;
    out->parcels[out->next[owner]++] =
        (parcel){w, gmf_i32(position - k->items->prefix[owner]), (uint32_t)(user - k->source->row_begin)};
  }
  return GMF_OK;
}

static gmf_status count(knn *k, int64_t user, int64_t n, const int64_t *items, float *values, void *context,
                        gmf_error *err)
{
  (void)user;
  (void)values;
  (void)err;
  int64_t *counts = context;
  for (int64_t j = 0; j < n; j++) counts[gmf_axis_owner(k->items, gmf_axis_position(k->items, items[j]))]++;
  return GMF_OK;
}

/* Collective. *received: the ratings of my items, in the order of the users; recv_counts [ranks]: from whom. */
static gmf_status send_ratings(knn *k, parcel **received, int64_t *recv_counts, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_rating_source *s = k->source;
  int64_t *counts = NULL;
  post out = {0};
  local = GMF_NEW_ZERO(counts, k->grid->size, err);
  if (local == GMF_OK) local = GMF_NEW_ZERO(out.next, k->grid->size, err);
  if (local == GMF_OK) local = GMF_NEW(out.parcels, s->indptr[s->row_end - s->row_begin] - s->indptr[0], err);
  if (local == GMF_OK) local = each_user(k, count, counts, err);
  for (int r = 1; local == GMF_OK && r < k->grid->size; r++) out.next[r] = out.next[r - 1] + counts[r - 1];
  if (local == GMF_OK) local = each_user(k, weigh, &out, err);
  GMF_TRY(gmf_agree(k->grid, local, err));
  GMF_TRY(gmf_exchange_new(k->grid, sizeof(parcel), out.parcels, counts, (void **)received, recv_counts, n, err));
cleanup:
  gmf_free(out.parcels);
  gmf_free(out.next);
  gmf_free(counts);
  return status;
}

/* ---- my group of items ------------------------------------------------------------------------------------------- */

/* A user's ratings by place; few, and in the order of the dataset before. */
static void sort_user(int32_t *items, double *values, int64_t n)
{
  for (int64_t gap = n / 2; gap > 0; gap /= 2)
    for (int64_t j = gap; j < n; j++) {
      int32_t item = items[j];
      double value = values[j];
      int64_t at = j;
      for (; at >= gap && items[at - gap] > item; at -= gap) {
        items[at] = items[at - gap];
        values[at] = values[at - gap];
      }
      items[at] = item;
      values[at] = value;
    }
}

/* first [ranks]: the first user of each rank. */
static gmf_status make_pile(const parcel *parcels, const int64_t *recv_counts, int64_t n, const int64_t *first,
                            int n_ranks, int64_t n_items, pile *p, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t room = 0, begins = 0, j = 0;
  p->n = n;
  p->n_items = n_items;
  GMF_TRY(GMF_NEW(p->items, n, err));
  GMF_TRY(GMF_NEW(p->values, n, err));
  GMF_TRY(GMF_NEW_ZERO(p->counts, n_items, err));
  GMF_TRY(GMF_RESERVE(p->begin, begins, 1, err));
  for (int r = 0; r < n_ranks; r++)
    for (int64_t end = j + recv_counts[r]; j < end; j++) {
      int64_t user = first[r] + (int64_t)parcels[j].user;
      if (p->n_users == 0 || p->users[p->n_users - 1] != user) {
        GMF_TRY(GMF_RESERVE(p->users, room, p->n_users + 1, err));
        GMF_TRY(GMF_RESERVE(p->begin, begins, p->n_users + 2, err));
        p->begin[p->n_users] = j;
        p->users[p->n_users++] = user;
      }
      p->items[j] = parcels[j].item;
      p->values[j] = parcels[j].value;
      p->counts[parcels[j].item]++;
    }
  p->begin[p->n_users] = n;
  for (int64_t u = 0; u < p->n_users; u++)
    sort_user(p->items + p->begin[u], p->values + p->begin[u], p->begin[u + 1] - p->begin[u]);
  for (int64_t half = 0; p->middle < n_items && 2 * half < n; p->middle++) half += p->counts[p->middle];
cleanup:
  return status;
}

/* My ratings by item, and values divided by |w_i| where the similarity is a cosine. */
static gmf_status index_own(knn *k, gmf_error *err)
{
  gmf_status status = GMF_OK;
  pile *p = &k->own;
  GMF_TRY(GMF_NEW(k->user_of, p->n, err));
  GMF_TRY(GMF_NEW_ZERO(k->item_begin, p->n_items + 2, err));
  GMF_TRY(GMF_NEW(k->by_item, p->n, err));
  GMF_TRY(GMF_NEW(k->visitor_of, p->n_users, err));
  int64_t *next = k->item_begin + 1; /* one further than in the end: filling moves it there */
  for (int64_t i = 0; i < p->n_items; i++) next[i + 1] = next[i] + p->counts[i];
  for (int64_t u = 0; u < p->n_users; u++)
    for (int64_t e = p->begin[u]; e < p->begin[u + 1]; e++) {
      k->user_of[e] = gmf_i32(u);
      k->by_item[next[p->items[e]]++] = e;
    }
  if (k->options->similarity == GMF_SIMILARITY_BM25 || k->options->similarity == GMF_SIMILARITY_JACCARD) return GMF_OK;
  for (int64_t i = 0; i < p->n_items; i++) {
    double square = 0;
    for (int64_t at = k->item_begin[i]; at < k->item_begin[i + 1]; at++)
      square += p->values[k->by_item[at]] * p->values[k->by_item[at]];
    double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (int64_t at = k->item_begin[i]; at < k->item_begin[i + 1]; at++) p->values[k->by_item[at]] *= scale;
  }
cleanup:
  return status;
}

/* Collective. */
static gmf_status gather_own(knn *k, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_grid *grid = k->grid;
  int64_t *recv_counts = NULL, *first = NULL, n = 0, n_items = gmf_axis_n_own(k->items, grid->rank);
  parcel *received = NULL;
  local = GMF_NEW(recv_counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW(first, grid->size, err);
  if (local == GMF_OK && k->source->row_end - k->source->row_begin > UINT32_MAX)
    local = gmf_fail(err, GMF_ERR_PLAN, "item-knn takes up to 2^32 users on a rank; use more ranks");
  GMF_TRY(gmf_agree(grid, local, err));
  gmf_all_gather_i64(grid, k->source->row_begin, first);
  GMF_TRY(send_ratings(k, &received, recv_counts, &n, err));
  local = make_pile(received, recv_counts, n, first, grid->size, n_items, &k->own, err);
  GMF_FREE(received);
  if (local == GMF_OK) local = index_own(k, err);
  GMF_TRY(gmf_agree(grid, local, err));
cleanup:
  gmf_free(received);
  gmf_free(first);
  gmf_free(recv_counts);
  return status;
}

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

/* Collective. One array of a pile to the rank before, and the one of the rank behind into *in, which is new. */
static gmf_status pass_array(const gmf_grid *grid, int64_t row_bytes, const void *out, int64_t n, void **in,
                             int64_t *n_in, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *counts = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(counts, grid->size, err), err));
  counts[(grid->rank + grid->size - 1) % grid->size] = n;
  GMF_TRY(gmf_exchange_new(grid, row_bytes, out, counts, in, NULL, n_in, err));
cleanup:
  gmf_free(counts);
  return status;
}

/* Collective. The visitors move on by one rank. */
static gmf_status pass_visitors(knn *k, const pile *from, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_grid *grid = k->grid;
  pile to = {0};
  int64_t *middle = NULL, n = 0;
  GMF_TRY(pass_array(grid, 8, from->users, from->n_users, (void **)&to.users, &to.n_users, err));
  GMF_TRY(pass_array(grid, 8, from->begin, from->n_users + 1, (void **)&to.begin, &n, err));
  GMF_TRY(pass_array(grid, 4, from->items, from->n, (void **)&to.items, &to.n, err));
  GMF_TRY(pass_array(grid, 8, from->values, from->n, (void **)&to.values, &to.n, err));
  GMF_TRY(pass_array(grid, 8, from->counts, from->n_items, (void **)&to.counts, &to.n_items, err));
  GMF_TRY(pass_array(grid, 8, &from->middle, 1, (void **)&middle, &n, err));
  to.middle = middle[0];
  pile_free(&k->visitor);
  k->visitor = to;
  to = (pile){0};
cleanup:
  gmf_free(middle);
  pile_free(&to);
  return status;
}

/* Where each of my users stands among the visitors'. */
static void match_users(knn *k)
{
  int64_t at = 0;
  for (int64_t u = 0; u < k->own.n_users; u++) {
    while (at < k->visitor.n_users && k->visitor.users[at] < k->own.users[u]) at++;
    bool found = at < k->visitor.n_users && k->visitor.users[at] == k->own.users[u];
    k->visitor_of[u] = found ? at : -1;
  }
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

/* A step of the ring: my items [own_begin, own_end) and items [0, end) of the other group. */
typedef struct step {
  const pile *other; /* the visitors, or my own */
  gmf_best_lists *other_lists;
  const gmf_axis *items;
  int64_t own_begin, own_end, end;
  int64_t own_first, other_first; /* positions of the groups on the axis */
  bool is_own;                    /* pairs of my own items: each once, from the item that stands first */
} step;

/* Sums for item i into cells; the items with a common user into touched: how many. */
static int64_t add_products(const knn *k, const step *s, int64_t i, cell *cells, int32_t *touched, int64_t *n_products)
{
  const pile *o = s->other;
  int64_t n = 0;
  for (int64_t at = k->item_begin[i]; at < k->item_begin[i + 1]; at++) {
    int64_t e = k->by_item[at], u = k->user_of[e], match = s->is_own ? u : k->visitor_of[u];
    if (match < 0) continue;
    double value = k->own.values[e];
    int64_t begin = s->is_own ? e + 1 : o->begin[match], end = o->begin[match + 1];
    for (int64_t j = begin; j < end && o->items[j] < s->end; j++, ++*n_products) {
      cell *c = &cells[o->items[j]];
      if (c->n++ == 0) {
        touched[n++] = o->items[j];
        c->dot = 0;
      }
      c->dot += value * o->values[j];
    }
  }
  return n;
}

static double similarity_of(const knn *k, const step *s, int64_t i, int64_t j, const cell *c)
{
  double n = (double)c->n, sim = c->dot;
  if (k->options->similarity == GMF_SIMILARITY_JACCARD)
    sim = n / ((double)k->own.counts[i] + (double)s->other->counts[j] - n);
  return k->options->shrinkage > 0 ? sim * (n / (n + k->options->shrinkage)) : sim;
}

/* All pairs of item i. */
static void pair_item(knn *k, const step *s, int64_t i, cell *cells, int32_t *touched, gmf_item_knn_work *work)
{
  int64_t n = add_products(k, s, i, cells, touched, &work->n_products);
  int32_t row = gmf_i32(gmf_axis_row(s->items, s->own_first + i));
  for (int64_t t = 0; t < n; t++) {
    cell *c = &cells[touched[t]];
    double sim = similarity_of(k, s, i, touched[t], c);
    gmf_best_lists_push(&k->own_lists, i, sim, gmf_i32(gmf_axis_row(s->items, s->other_first + touched[t])));
    gmf_best_lists_push(s->other_lists, touched[t], sim, row);
    c->n = 0;
  }
  work->n_pairs += n;
}

static void pair_items(knn *k, const step *s, double done, double share)
{
  int64_t n_pairs = 0, n_products = 0, n_done = 0, n = s->own_end - s->own_begin;
#pragma omp parallel for schedule(dynamic, 4) reduction(+ : n_pairs, n_products)
  for (int64_t i = s->own_begin; i < s->own_end; i++) {
    gmf_item_knn_work work = {0};
    int64_t at = omp_get_thread_num() * k->widest, n_before;
    gmf_beat();
    pair_item(k, s, i, k->cells + at, k->touched + at, &work);
    n_pairs += work.n_pairs;
    n_products += work.n_products;
#pragma omp atomic capture
    n_before = n_done++;
    if (k->options->progress != NULL && omp_get_thread_num() == 0 && n_before % 64 == 0)
      k->options->progress(k->options->context, done + share * (double)n_before / (double)n);
  }
  k->work.n_pairs += n_pairs;
  k->work.n_products += n_products;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

/* Collective. What the visitors' lists have come to goes home, to rank + t. */
static gmf_status send_lists(knn *k, int t, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_grid *grid = k->grid;
  gmf_best_lists *lists = &k->visitor_lists;
  int64_t n = 0, n_received = 0, *counts = NULL;
  gmf_weight *send = NULL, *received = NULL;
  for (int64_t i = 0; i < k->visitor.n_items; i++) n += gmf_best_lists_finish(lists, i);
  local = GMF_NEW_ZERO(counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW(send, n, err);
  GMF_TRY(gmf_agree(grid, local, err));
  counts[(grid->rank + t) % grid->size] = n;
  n = 0;
  for (int64_t i = 0; i < k->visitor.n_items; i++)
    for (int64_t e = i * lists->capacity; e < i * lists->capacity + lists->counts[i]; e++)
      send[n++] = (gmf_weight){lists->values[e], gmf_i32(i), lists->rows[e]};
  GMF_TRY(gmf_exchange_new(grid, sizeof *send, send, counts, (void **)&received, NULL, &n_received, err));
  for (int64_t j = 0; j < n_received; j++)
    gmf_best_lists_push(&k->own_lists, received[j].row, received[j].value, received[j].item);
cleanup:
  gmf_free(received);
  gmf_free(send);
  gmf_free(counts);
  return status;
}

/* Collective. My lists as rows of W. */
static gmf_status finish(knn *k, gmf_weight_slice *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_best_lists *lists = &k->own_lists;
  int64_t first = k->items->prefix[k->grid->rank], n = 0, at = 0;
  gmf_weight *weights = NULL;
  int64_t n_items = k->own.n_items;
  free_ratings(k);
  for (int64_t i = 0; i < n_items; i++) n += gmf_best_lists_finish(lists, i);
  GMF_TRY(gmf_agree(k->grid, GMF_NEW(weights, n, err), err));
  for (int64_t i = 0; i < n_items; i++)
    for (int64_t e = i * lists->capacity; e < i * lists->capacity + lists->counts[i]; e++)
      weights[at++] = (gmf_weight){lists->values[e], gmf_i32(gmf_axis_row(k->items, first + i)), lists->rows[e]};
  gmf_best_lists_destroy(lists);
  GMF_TRY(gmf_weights_to_slices(k->grid, k->items->n, &weights, n, out, err));
cleanup:
  gmf_free(weights);
  return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static gmf_status allocate(knn *k, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t keep = gmf_min64(k->options->n_neighbours, gmf_max64(1, k->items->n - 1));
  for (int r = 0; r < k->grid->size; r++) k->widest = gmf_max64(k->widest, gmf_axis_n_own(k->items, r));
  GMF_TRY(gmf_best_lists_create(&k->own_lists, k->own.n_items, keep, err));
  if (k->grid->size > 1) GMF_TRY(gmf_best_lists_create(&k->visitor_lists, k->widest, keep, err));
  GMF_TRY(GMF_NEW_ZERO(k->cells, omp_get_max_threads() * k->widest, err));
  GMF_TRY(GMF_NEW(k->touched, omp_get_max_threads() * k->widest, err));
cleanup:
  return status;
}

/* Collective. Step t of the ring. */
static gmf_status meet(knn *k, int t, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_grid *grid = k->grid;
  int other = (grid->rank + t) % grid->size;
  bool is_half = t > 0 && 2 * t == grid->size, is_first = grid->rank < other;
  double share = 2.0 / grid->size; /* of a whole step among all pairs */
  step s = {.other = t == 0 ? &k->own : &k->visitor,
            .other_lists = t == 0 ? &k->own_lists : &k->visitor_lists,
            .items = k->items,
            .own_end = k->own.n_items,
            .own_first = k->items->prefix[grid->rank],
            .other_first = k->items->prefix[other],
            .is_own = t == 0};
  if (t > 0) {
    GMF_TRY(pass_visitors(k, t == 1 ? &k->own : &k->visitor, err));
    match_users(k);
    gmf_best_lists_reset(&k->visitor_lists, k->visitor.n_items);
  }
  s.end = s.other->n_items;
  if (is_half && is_first) s.end = k->visitor.middle;
  if (is_half && !is_first) s.own_begin = k->own.middle;
  double done = t == 0 ? 0 : share * (t - 0.5);
  pair_items(k, &s, done, t == 0 || is_half ? share / 2 : share);
  if (t > 0) GMF_TRY(send_lists(k, t, err));
cleanup:
  return status;
}

gmf_status gmf_item_knn_create(const gmf_grid *grid, const gmf_item_knn_options *options,
                               const gmf_rating_source *source, gmf_weight_slice *out, gmf_item_knn_work *work,
                               gmf_error *err)
{
  gmf_status status = GMF_OK;
  knn k = {.grid = grid, .options = options, .source = source};
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_DISTRIBUTE);

  GMF_TRY(place_items(&k, err));
  GMF_TRY(gather_own(&k, err));
  GMF_TRY(gmf_agree(grid, allocate(&k, err), err));
  gmf_trace_phase(grid->trace, GMF_PHASE_SOLVE);
  for (int t = 0; 2 * t <= grid->size && t < grid->size; t++) GMF_TRY(meet(&k, t, err));
  GMF_TRY(finish(&k, out, err));
  int64_t sums[2] = {k.work.n_pairs, k.work.n_products};
  gmf_sum_i64(grid, sums, 2);
  *work = (gmf_item_knn_work){sums[0], sums[1]};
cleanup:
  knn_free(&k);
  gmf_trace_phase(grid->trace, before);
  return status;
}
