#include "algo/item_knn_ratings.h"

#include <inttypes.h>
#include <math.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"
#include "runtime/heartbeat.h"

enum { READ_RATINGS = 1 << 18 };

/* What it takes to read the ratings and to weigh them. */
typedef struct reading {
  const gmf_grid *grid;                /* borrowed, like the next two */
  const gmf_item_knn_options *options; /* */
  const gmf_rating_source *source;     /* */
  gmf_axis *items;                     /* owned, like the next: groups of items */
  double *sums;                        /* [n items]: bm25: of each item's ratings, then l_i; NULL otherwise */
} reading;

/* What is made of the ratings of one user: items [n], values [n], which may be changed. */
typedef gmf_status user_fn(reading *k, int64_t user, int64_t n, const int64_t *items, float *values, void *context,
                           gmf_error *err);

/* Local. Calls f for each of my users with ratings, in their order. */
static gmf_status each_user(reading *k, user_fn *f, void *context, gmf_error *err)
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
static gmf_status add_to_tables(reading *k, int64_t user, int64_t n, const int64_t *items, float *values, void *context,
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
static gmf_status place_items(reading *k, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  int64_t n = k->source->n[GMF_ITEMS], *work = NULL;
  const gmf_item_knn_options *o = k->options;
  if (n > gmf_limit_table_rows)
    return gmf_fail(err, GMF_ERR_PLAN, "--algorithm item-knn takes up to %" PRId64 " items, not %" PRId64,
                    gmf_limit_table_rows, n);
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

static gmf_status weigh(reading *k, int64_t user, int64_t n, const int64_t *items, float *values, void *context,
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

static gmf_status count(reading *k, int64_t user, int64_t n, const int64_t *items, float *values, void *context,
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
static gmf_status send_ratings(reading *k, parcel **received, int64_t *recv_counts, int64_t *n, gmf_error *err)
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
                            int n_ranks, int64_t n_items, gmf_pile *p, gmf_error *err)
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

/* Values divided by |w_i|. */
static gmf_status normalise(gmf_pile *p, gmf_error *err)
{
  gmf_status status = GMF_OK;
  double *scales = NULL;
  GMF_TRY(GMF_NEW_ZERO(scales, p->n_items, err));
  for (int64_t e = 0; e < p->n; e++) scales[p->items[e]] += p->values[e] * p->values[e];
  for (int64_t i = 0; i < p->n_items; i++) scales[i] = scales[i] > 0 ? 1 / sqrt(scales[i]) : 0;
  for (int64_t e = 0; e < p->n; e++) p->values[e] *= scales[p->items[e]];
cleanup:
  gmf_free(scales);
  return status;
}

/* Collective. */
static gmf_status gather_own(reading *k, gmf_pile *own, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  const gmf_grid *grid = k->grid;
  int64_t *recv_counts = NULL, *first = NULL, n = 0, n_items = gmf_axis_n_own(k->items, grid->rank);
  parcel *received = NULL;
  gmf_similarity similarity = k->options->similarity;
  bool is_cosine = similarity != GMF_SIMILARITY_BM25 && similarity != GMF_SIMILARITY_JACCARD;
  local = GMF_NEW(recv_counts, grid->size, err);
  if (local == GMF_OK) local = GMF_NEW(first, grid->size, err);
  if (local == GMF_OK && k->source->row_end - k->source->row_begin > UINT32_MAX)
    local = gmf_fail(err, GMF_ERR_PLAN, "item-knn takes up to 2^32 users on a rank; use more ranks");
  GMF_TRY(gmf_agree(grid, local, err));
  gmf_all_gather_i64(grid, k->source->row_begin, first);
  GMF_TRY(send_ratings(k, &received, recv_counts, &n, err));
  local = make_pile(received, recv_counts, n, first, grid->size, n_items, own, err);
  GMF_FREE(received);
  if (local == GMF_OK && is_cosine) local = normalise(own, err);
  GMF_TRY(gmf_agree(grid, local, err));
cleanup:
  gmf_free(received);
  gmf_free(first);
  gmf_free(recv_counts);
  return status;
}

gmf_status gmf_item_knn_gather(const gmf_grid *grid, const gmf_item_knn_options *options,
                               const gmf_rating_source *source, gmf_axis **items, gmf_pile *own, gmf_error *err)
{
  gmf_status status = GMF_OK;
  reading k = {.grid = grid, .options = options, .source = source};
  GMF_TRY(place_items(&k, err));
  GMF_TRY(gather_own(&k, own, err));
  *items = k.items;
  k.items = NULL;
cleanup:
  gmf_axis_destroy(&k.items);
  gmf_free(k.sums);
  return status;
}

void gmf_pile_free(gmf_pile *p)
{
  gmf_free(p->users);
  gmf_free(p->begin);
  gmf_free(p->items);
  gmf_free(p->values);
  gmf_free(p->counts);
  *p = (gmf_pile){0};
}

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

gmf_status gmf_pile_pass(const gmf_grid *grid, const gmf_pile *from, gmf_pile *to, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_pile in = {0};
  int64_t *middle = NULL, n = 0;
  GMF_TRY(pass_array(grid, 8, from->users, from->n_users, (void **)&in.users, &in.n_users, err));
  GMF_TRY(pass_array(grid, 8, from->begin, from->n_users + 1, (void **)&in.begin, &n, err));
  GMF_TRY(pass_array(grid, 4, from->items, from->n, (void **)&in.items, &in.n, err));
  GMF_TRY(pass_array(grid, 8, from->values, from->n, (void **)&in.values, &in.n, err));
  GMF_TRY(pass_array(grid, 8, from->counts, from->n_items, (void **)&in.counts, &in.n_items, err));
  GMF_TRY(pass_array(grid, 8, &from->middle, 1, (void **)&middle, &n, err));
  in.middle = middle[0];
  gmf_pile_free(to);
  *to = in;
  in = (gmf_pile){0};
cleanup:
  gmf_free(middle);
  gmf_pile_free(&in);
  return status;
}
