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

#include <omp.h>

#include "algo/best_lists.h"
#include "algo/item_knn_ratings.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"
#include "runtime/heartbeat.h"

/* Sum of products of a pair, and their number. */
typedef struct cell {
  double dot;
  int64_t n;
} cell;

typedef struct knn {
  const gmf_grid *grid;                /* borrowed, like the next */
  const gmf_item_knn_options *options; /* */
  gmf_axis *items;                     /* owned, like the rest: groups of items */
  gmf_pile own, visitor;
  int32_t *user_of;              /* [own.n]: index in own.users */
  int64_t *item_begin, *by_item; /* [own.n_items + 1], [own.n]: own ratings by item, users ascending */
  int64_t *visitor_of;           /* [own.n_users]: index in visitor.users, -1 */
  gmf_best_lists own_lists, visitor_lists;
  cell *cells;      /* [threads][widest] */
  int32_t *touched; /* [threads][widest] */
  int64_t widest;   /* items of the largest group */
  gmf_item_knn_work work;
} knn;

/* All but the lists of my items and the axis. */
static void free_ratings(knn *k)
{
  GMF_FREE(k->user_of);
  GMF_FREE(k->item_begin);
  GMF_FREE(k->by_item);
  GMF_FREE(k->visitor_of);
  GMF_FREE(k->cells);
  GMF_FREE(k->touched);
  gmf_pile_free(&k->own);
  gmf_pile_free(&k->visitor);
  gmf_best_lists_destroy(&k->visitor_lists);
}

static void knn_free(knn *k)
{
  free_ratings(k);
  gmf_best_lists_destroy(&k->own_lists);
  gmf_axis_destroy(&k->items);
}

/* Local. My ratings by item. */
static gmf_status index_own(knn *k, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_pile *p = &k->own;
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
cleanup:
  return status;
}

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

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
  const gmf_pile *other; /* the visitors, or my own */
  gmf_best_lists *other_lists;
  const gmf_axis *items;
  int64_t own_begin, own_end, end;
  int64_t own_first, other_first; /* positions of the groups on the axis */
  bool is_own;                    /* pairs of my own items: each once, from the item that stands first */
} step;

/* Sums for item i into cells; the items with a common user into touched: how many. */
static int64_t add_products(const knn *k, const step *s, int64_t i, cell *cells, int32_t *touched, int64_t *n_products)
{
  const gmf_pile *o = s->other;
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
  GMF_TRY(index_own(k, err));
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
    GMF_TRY(gmf_pile_pass(grid, t == 1 ? &k->own : &k->visitor, &k->visitor, err));
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
  knn k = {.grid = grid, .options = options};
  gmf_phase before = gmf_trace_phase(grid->trace, GMF_PHASE_DISTRIBUTE);

  GMF_TRY(gmf_item_knn_gather(grid, options, source, &k.items, &k.own, err));
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
