/*
 * Synthetic ratings, every number a pure function of (seed, user, item):
 *
 *   degree of user u   d_u = clamp(floor(c w_u), 1, n), w_u = U^(-1/2) by Philox: a Pareto tail of index 2; c is found
 *                      by bisection so that sum d_u = NNZ, all in integers, so that ranks cannot disagree on a bit
 *   items of user u    d_u distinct draws of popularity rank floor(n U^3), density ~ rank^(-2/3); ranks are mapped to
 *                      items by a keyed permutation. A user with over a quarter of all items draws without
 *                      replacement by the smallest keys -log(U) / weight (Efraimidis, Spirakis, Inf. Proc. Lett. 2006)
 *   tastes             p_u, q_i of K independent normal numbers; affinity a = p_u . q_i / sqrt(K), about N(0, 1)
 *   rating             3.5 + 0.8 a + S N(0, 1), rounded to half stars within 0.5 ... 5;
 *   implicit           items are kept with probability 1 / (1 + exp(-2 a)) and drawn again otherwise; the value is
 *                      1 + floor(E), E exponential with mean exp(0.5 a)
 *
 * With --like the degrees are those of the curves of app/shape.c, given to the users by a keyed permutation; the bend
 * of the users' curve takes the place of c; items are drawn, or raced, by the weights fitted there, and stars are those
 * of the dataset.
 */
#include "app/synth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/provenance.h"
#include "app/shape.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "base/random.h"
#include "base/search.h"
#include "io/dataset.h"
#include "io/layout.h"

typedef struct synthesis {
  const gmf_config *c;
  int64_t m, n, nnz;
  bool is_like, is_implicit;
  gmf_shape shape;           /* of --like */
  gmf_permutation activity;  /* with --like: user to rank by ratings */
  gmf_item_draw draw;        /* likewise */
  gmf_alias alias;           /* owned, likewise: of popularity ranks */
  int64_t row_begin, n_rows; /* my users */
  gmf_permutation popularity;
  int64_t *indptr; /* owned [n_rows + 1] */
  int64_t *items;  /* owned [indptr[n_rows]] */
  float *values;   /* owned, likewise */
  float *tastes;   /* owned [n][K]: of all items */
} synthesis;

/* ---- degrees ----------------------------------------------------------------------------------------------------- */

/* The weight of a user in units of 2^-20, at least 1. */
static int64_t weight(const gmf_config *c, int64_t user)
{
  double u = gmf_random_uniform((uint64_t)c->seed, GMF_STREAM_SYNTH_DEGREE, (uint64_t)user, 0);
  return (int64_t)(0x1p20 * fmin(1 / sqrt(1 - u), 1e4));
}

/* The degree of --like at bend 2^58 / scale: like the other one it grows with the scale. */
static __int128 degree_of_shape(const synthesis *s, int64_t user, __int128 scale)
{
  int64_t rank = (int64_t)gmf_permute(&s->activity, (uint64_t)user);
  return (__int128)round(gmf_degrees_at(&s->shape.degrees[GMF_USERS], 0x1p58 / fmax((double)scale, 1), rank, s->m));
}

/* The degree at scale c, in units of 2^-40 ratings for each unit of weight. */
static int64_t degree(const synthesis *s, int64_t user, __int128 scale)
{
  __int128 d = s->is_like ? degree_of_shape(s, user, scale) : ((__int128)weight(s->c, user) * scale) >> 40;
  int64_t least = s->nnz >= s->m ? 1 : 0;
  if (d < least) return least;
  return d > s->n ? s->n : (int64_t)d;
}

/* Collective. The sum of all degrees at a scale. */
static int64_t total_degree(const gmf_grid *grid, const synthesis *s, __int128 scale)
{
  int64_t sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : sum)
  for (int64_t r = 0; r < s->n_rows; r++) sum += degree(s, s->row_begin + r, scale);
  gmf_sum_i64(grid, &sum, 1);
  return sum;
}

/* Collective. The largest scale that does not give too many ratings; what is missing then is given one by one to the
 * first users that have room. GMF_ERR_USAGE for so small a part of a shape that no bend gives its ratings. */
static gmf_status set_degrees(const gmf_grid *grid, synthesis *s, gmf_error *err)
{
  __int128 low = 0, high = (__int128)1 << 62;
  while (high - low > 1) {
    __int128 middle = low + (high - low) / 2;
    if (total_degree(grid, s, middle) <= s->nnz)
      low = middle;
    else
      high = middle;
  }
  int64_t missing = s->nnz - total_degree(grid, s, low), room = 0;
  s->indptr[0] = 0;
  for (int64_t r = 0; r < s->n_rows; r++) {
    s->indptr[r + 1] = degree(s, s->row_begin + r, low);
    room += s->indptr[r + 1] < s->n;
  }
  missing -= gmf_prefix_i64(grid, room);
  for (int64_t r = 0; r < s->n_rows; r++) {
    if (missing > 0 && s->indptr[r + 1] < s->n) {
      s->indptr[r + 1]++;
      missing--;
    }
    s->indptr[r + 1] += s->indptr[r];
  }
  int64_t total = s->indptr[s->n_rows];
  gmf_sum_i64(grid, &total, 1);
  if (total == s->nnz) return GMF_OK;
  return gmf_fail(err, GMF_ERR_USAGE, "--like %s: %lld users are too few for the numbers of ratings they should have",
                  s->c->like, (long long)s->m);
}

/* ---- items and values -------------------------------------------------------------------------------------------- */

static double affinity(const synthesis *s, const float *user, int64_t item)
{
  const float *q = s->tastes + item * s->c->factors;
  double sum = 0;
  for (int64_t f = 0; f < s->c->factors; f++) sum += (double)user[f] * (double)q[f];
  return sum / sqrt((double)s->c->factors);
}

static bool likes(const synthesis *s, const float *user, int64_t item, double u)
{
  return !s->is_implicit || u * (1 + exp(-2 * affinity(s, user, item))) < 1;
}

static float value_of(const synthesis *s, const float *taste, int64_t user, int64_t item)
{
  uint64_t seed = (uint64_t)s->c->seed;
  double a = affinity(s, taste, item);
  if (s->is_implicit) {
    double u = gmf_random_uniform(seed, GMF_STREAM_SYNTH_NOISE, (uint64_t)user, (uint32_t)item);
    return (float)(1 + floor(fmin(-log(1 - u) * exp(0.5 * a), 1e6)));
  }
  double r =
      3.5 + 0.8 * a + s->c->noise * gmf_random_normal(seed, GMF_STREAM_SYNTH_NOISE, (uint64_t)user, (uint32_t)item);
  double step = s->is_like ? s->shape.star_step : 0.5;
  return (float)(fmin(fmax(round(r / step), 1), 5 / step) * step);
}

/* The popularity rank of one draw: u is uniform to 2^-64, v to 2^-32. */
static int64_t drawn_rank(const synthesis *s, double u, double v)
{
  if (s->is_like) return gmf_alias_draw(&s->alias, u, v);
  return gmf_min64((int64_t)((double)s->n * u * u * u), s->n - 1);
}

static double weight_of_rank(const synthesis *s, int64_t rank)
{
  return s->is_like ? gmf_item_weight(&s->draw, rank) : pow((double)(rank + 1), -2.0 / 3);
}

/* An item in a user's set of those drawn: open addressing, -1 is free. True when it was new. */
static bool insert(int64_t *set, int64_t mask, int64_t item)
{
  for (int64_t at = (int64_t)((uint64_t)item * 0x9e3779b97f4a7c15u >> 20) & mask;; at = (at + 1) & mask) {
    if (set[at] == item) return false;
    if (set[at] < 0) {
      set[at] = item;
      return true;
    }
  }
}

/* d distinct items of a user with few of them: draw, reject repetitions. set [>= 2 d, a power of 2] is scratch. */
static void draw_few(const synthesis *s, int64_t user, const float *taste, int64_t d, int64_t *set, int64_t mask,
                     int64_t *items)
{
  memset(set, 0xff, (size_t)(mask + 1) * sizeof *set);
  int64_t found = 0;
  for (uint32_t draw = 0; found < d; draw++) {
    uint32_t w[4];
    gmf_random_words((uint64_t)s->c->seed, GMF_STREAM_SYNTH_ITEM, (uint64_t)user, draw, w);
    double u = ((double)w[0] + (double)w[1] * 0x1p-32) * 0x1p-32, v = (double)w[2] * 0x1p-32;
    int64_t rank = drawn_rank(s, u, (double)w[3] * 0x1p-32);
    int64_t item = (int64_t)gmf_permute(&s->popularity, (uint64_t)rank);
    bool given_up = draw > 64u * (uint32_t)d + 1000; /* tastes may leave too few items: take what comes */
    if (!given_up && !likes(s, taste, item, v)) continue;
    if (insert(set, mask, item)) items[found++] = item;
  }
}

typedef struct keyed {
  double key;
  int64_t item;
} keyed;

static int by_key(const void *a, const void *b)
{
  const keyed *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->item > y->item) - (x->item < y->item);
}

/* d items of a user with many of them: the smallest exponential keys. all [n] is scratch. */
static void draw_many(const synthesis *s, int64_t user, const float *taste, int64_t d, keyed *all, int64_t *items)
{
  for (int64_t rank = 0; rank < s->n; rank++) {
    int64_t item = (int64_t)gmf_permute(&s->popularity, (uint64_t)rank);
    double u = gmf_random_uniform((uint64_t)s->c->seed, GMF_STREAM_SYNTH_ITEM, (uint64_t)user, (uint32_t)rank);
    double w = weight_of_rank(s, rank);
    if (s->is_implicit) w /= 1 + exp(-2 * affinity(s, taste, item));
    all[rank] = (keyed){-log(1 - u) / w, item};
  }
  qsort(all, (size_t)s->n, sizeof *all, by_key);
  for (int64_t j = 0; j < d; j++) items[j] = all[j].item;
}

/* One thread's scratch. */
typedef struct scratch {
  float *taste; /* [K] */
  int64_t *set; /* [mask + 1] */
  int64_t mask;
  keyed *all; /* [n], NULL until a user needs it */
} scratch;

static gmf_status fill_user(const synthesis *s, int64_t r, scratch *t, gmf_error *err)
{
  int64_t user = s->row_begin + r, d = s->indptr[r + 1] - s->indptr[r], *items = s->items + s->indptr[r];
  if (d == 0) return GMF_OK;
  if (r % 64 == 0) gmf_beat();
  for (int64_t f = 0; f < s->c->factors; f++)
    t->taste[f] =
        (float)gmf_random_normal((uint64_t)s->c->seed, GMF_STREAM_SYNTH_USER_TASTE, (uint64_t)user, (uint32_t)f);
  if (4 * d > s->n) {
    if (t->all == NULL && GMF_NEW(t->all, s->n, err) != GMF_OK) return GMF_ERR_MEMORY;
    draw_many(s, user, t->taste, d, t->all, items);
  } else {
    int64_t mask = 15;
    while (mask + 1 < 2 * d) mask = 2 * mask + 1;
    if (mask > t->mask) {
      GMF_FREE(t->set);
      t->mask = mask;
    }
    if (t->set == NULL && GMF_NEW(t->set, t->mask + 1, err) != GMF_OK) return GMF_ERR_MEMORY;
    draw_few(s, user, t->taste, d, t->set, mask, items);
  }
  gmf_sort_i64(items, d);
  for (int64_t j = 0; j < d; j++) s->values[s->indptr[r] + j] = value_of(s, t->taste, user, items[j]);
  return GMF_OK;
}

/* Local. The ratings of all my users. */
static gmf_status fill(synthesis *s, gmf_error *err)
{
  gmf_error first = {0};
#pragma omp parallel
  {
    gmf_error mine = {0};
    scratch t = {0};
    GMF_NEW(t.taste, s->c->factors, &mine);
#pragma omp for schedule(dynamic, 64)
    for (int64_t r = 0; r < s->n_rows; r++)
      if (mine.status == GMF_OK) fill_user(s, r, &t, &mine);
    gmf_free(t.taste);
    gmf_free(t.set);
    gmf_free(t.all);
#pragma omp critical
    if (mine.status != GMF_OK && first.status == GMF_OK) first = mine;
  }
  return first.status == GMF_OK ? GMF_OK : gmf_fail(err, first.status, "%s", first.text);
}

/* ---- the dataset ------------------------------------------------------------------------------------------------- */

static gmf_status make_tastes(synthesis *s, gmf_error *err)
{
  if (GMF_NEW(s->tastes, s->n * s->c->factors, err) != GMF_OK) return GMF_ERR_MEMORY;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < s->n; i++)
    for (int64_t f = 0; f < s->c->factors; f++)
      s->tastes[i * s->c->factors + f] =
          (float)gmf_random_normal((uint64_t)s->c->seed, GMF_STREAM_SYNTH_ITEM_TASTE, (uint64_t)i, (uint32_t)f);
  return GMF_OK;
}

/* Ids are 1 ... n, as people number things. */
static gmf_status number_ids(const gmf_grid *grid, int64_t n, gmf_ids *ids, gmf_error *err)
{
  ids->type = gmf_type_of(GMF_I8);
  ids->begin = gmf_slice_begin(n, grid->size, grid->rank);
  ids->n = gmf_slice_begin(n, grid->size, grid->rank + 1) - ids->begin;
  int64_t *values = NULL;
  if (GMF_NEW(values, ids->n, err) != GMF_OK) return GMF_ERR_MEMORY;
  for (int64_t j = 0; j < ids->n; j++) values[j] = ids->begin + j + 1;
  ids->values = values;
  return GMF_OK;
}

static void add_attributes(gmf_writer *w, const synthesis *s)
{
  const gmf_config *c = s->c;
  gmf_provenance_add_software(w);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "made_by", "gridmf synth");
  gmf_writer_attr_i64(w, GMF_GROUP_PROVENANCE, "seed", c->seed);
  gmf_writer_attr_i64(w, GMF_GROUP_PROVENANCE, "planted_factors", c->factors);
  gmf_writer_attr_f64(w, GMF_GROUP_PROVENANCE, "noise", c->noise);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "kind", s->is_implicit ? "implicit" : "explicit");
  if (s->is_like) gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "like", c->like);
  if (s->is_like) gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "like_source", s->shape.source);
}

/* Local, the same on all ranks. What to make. */
static gmf_status choose_shape(const gmf_config *c, synthesis *s, gmf_error *err)
{
  gmf_config plain;
  *s = (synthesis){.c = c, .m = c->users, .n = c->items, .nnz = c->ratings, .is_implicit = c->implicit};
  s->is_like = c->like[0] != '\0';
  if (!s->is_like) return GMF_OK;
  gmf_options_defaults(&GMF_OPTIONS, &plain);
  if (c->users != plain.users || c->items != plain.items || c->ratings != plain.ratings)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--like %s says how many users, items and ratings there are: leave out --users, --items, --ratings",
                    c->like);
  if (gmf_shape_named(c->like, &s->shape, err) != GMF_OK) return GMF_ERR_USAGE;
  s->m = s->shape.n[GMF_USERS];
  s->n = s->shape.n[GMF_ITEMS];
  s->nnz = s->shape.nnz;
  s->is_implicit = c->implicit || s->shape.is_implicit;
  return GMF_OK;
}

/* Collective. What --like draws items by: rank 0 fits it, so that ranks cannot disagree on a bit. */
static gmf_status prepare_items(const gmf_grid *grid, synthesis *s, gmf_error *err)
{
  gmf_status local = GMF_OK;
  double *weights = NULL;
  s->popularity = gmf_permutation_make((uint64_t)s->n, (uint64_t)s->c->seed, GMF_STREAM_SYNTH_ITEM);
  if (!s->is_like) return GMF_OK;
  s->activity = gmf_permutation_make((uint64_t)s->m, (uint64_t)s->c->seed, GMF_STREAM_SYNTH_DEGREE);
  if (grid->rank == 0) gmf_item_draw_fit(&s->shape, s->is_implicit, &s->draw);
  gmf_broadcast(grid, &s->draw, sizeof s->draw);
  local = GMF_NEW(weights, s->n, err);
  for (int64_t rank = 0; local == GMF_OK && rank < s->n; rank++) weights[rank] = gmf_item_weight(&s->draw, rank);
  if (local == GMF_OK) local = gmf_alias_make(weights, s->n, &s->alias, err);
  gmf_free(weights);
  return gmf_agree(grid, local, err);
}

gmf_status gmf_synth(const gmf_grid *grid, const gmf_config *c, const gmf_log *log, gmf_error *err)
{
  gmf_status status = GMF_OK, local = GMF_OK;
  synthesis s = {.c = c};
  gmf_dataset_part part = {0};
  gmf_writer *w = NULL;

  if (c->output[0] == '\0') GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "-o DATA.h5 is needed"));
  GMF_TRY(choose_shape(c, &s, err));
  part.n[GMF_USERS] = s.m;
  part.n[GMF_ITEMS] = s.n;
  if ((__int128)s.m * s.n < s.nnz)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "%lld users x %lld items cannot hold %lld ratings", (long long)s.m,
                     (long long)s.n, (long long)s.nnz));
  GMF_TRY(gmf_writer_open(grid, c->output, GMF_FORMAT_DATASET, &w, err));
  gmf_log_lines(log, gmf_writer_notes(w));
  gmf_trace_phase(grid->trace, GMF_PHASE_OTHER);
  GMF_TRY(prepare_items(grid, &s, err));
  s.row_begin = gmf_slice_begin(s.m, grid->size, grid->rank);
  s.n_rows = gmf_slice_begin(s.m, grid->size, grid->rank + 1) - s.row_begin;
  local = GMF_NEW(s.indptr, s.n_rows + 1, err);
  if (local == GMF_OK) local = make_tastes(&s, err);
  for (int side = 0; side < GMF_N_SIDES && local == GMF_OK; side++)
    local = number_ids(grid, part.n[side], &part.ids[side], err);
  GMF_TRY(gmf_agree(grid, local, err));
  GMF_TRY(set_degrees(grid, &s, err));
  local = GMF_NEW(s.items, s.indptr[s.n_rows], err);
  if (local == GMF_OK) local = GMF_NEW(s.values, s.indptr[s.n_rows], err);
  if (local == GMF_OK) local = fill(&s, err);
  GMF_TRY(gmf_agree(grid, local, err));
  part.rows = (gmf_rating_rows){
      .row_begin = s.row_begin, .n_rows = s.n_rows, .indptr = s.indptr, .items = s.items, .values = s.values};
  add_attributes(w, &s);
  GMF_TRY(gmf_dataset_write(grid, w, &part, err));
  GMF_TRY(gmf_writer_commit(w, err));
  gmf_log_line(log, "wrote %s: %s users, %s items, %s ratings", c->output, gmf_thousands(s.m), gmf_thousands(s.n),
               gmf_thousands(s.nnz));

cleanup:
  gmf_writer_destroy(&w);
  for (int side = 0; side < GMF_N_SIDES; side++) gmf_ids_free(&part.ids[side]);
  gmf_free(s.indptr);
  gmf_free(s.items);
  gmf_free(s.values);
  gmf_free(s.tastes);
  gmf_alias_free(&s.alias);
  return status;
}
