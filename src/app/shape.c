/*
 * Degrees. Rows are sorted by their number of ratings; p in (0, 1) is the share that has fewer. The lower half goes
 * from the least d0 to the median d1 by equal factors, the upper half to the most d2 in the logarithm of the tail:
 *
 *   d(p) = d0 (d1 / d0)^(2 p)                   p < 1/2
 *   d(p) = d1 (d2 / d1)^(t^bend)                t = -log(2 (1 - p)) / log(n), which is 1 for the largest of n rows
 *
 * bend 1 is a Pareto tail, 1/2 close to a log-normal one. The bend is what makes the sum the number of ratings.
 *
 * Items. Drawing without repetition in proportion to weights w_i s_ui (s a user's taste for the item) is a race of
 * exponential clocks, stopped when d_u of them have rung (Efraimidis, Spirakis, Inf. Proc. Lett. 2006): item i is among
 * them with probability 1 - exp(-theta_u w_i s_ui). Hence users' theta and items' w solve
 *
 *   sum_i E_s[1 - exp(-theta_u w_i s)] = d_u  for each u,     sum_u E_s[1 - exp(-theta_u w_i s)] = d_i  for each i
 *
 * here for bins of users and of items, by turns of one Newton step in the logarithm for each.
 */
#include "app/shape.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/options.h"

/*
 * Counts are those of the datasets' own descriptions. Degrees of MovieLens 20M and 25M: least and most by
 * https://seljuk.me/movielens-25m-dataset-published.html; of ml-latest-small: counted, like its ratings, in the edition
 * of October 2016. All other degrees, and every median but that one's, are as they are quoted for these data, and were
 * not counted here.
 */
#define MOVIELENS "Harper, Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015, and the set's README"
static const gmf_shape SHAPES[] = {
    {"ml-100k", {943, 1682}, 100000, {{20, 65, 737, 943}, {1, 27, 583, 1682}}, 1, false, MOVIELENS},
    {"ml-latest-small", {671, 9066}, 100004, {{20, 71, 2391, 671}, {1, 3, 341, 9066}}, 0.5, false, MOVIELENS},
    {"ml-1m", {6040, 3706}, 1000209, {{20, 96, 2314, 6040}, {1, 123, 3428, 3706}}, 1, false, MOVIELENS},
    {"ml-10m", {69878, 10677}, 10000054, {{20, 69, 7359, 69878}, {1, 135, 34864, 10677}}, 0.5, false, MOVIELENS},
    {"ml-20m", {138493, 26744}, 20000263, {{20, 68, 9254, 138493}, {1, 18, 67310, 26744}}, 0.5, false, MOVIELENS},
    {"ml-25m", {162541, 59047}, 25000095, {{20, 71, 32202, 162541}, {1, 6, 81491, 59047}}, 0.5, false, MOVIELENS},
    {"netflix",
     {480189, 17770},
     100480507,
     {{1, 96, 17653, 480189}, {3, 561, 232944, 17770}},
     1,
     false,
     "Bennett, Lanning, The Netflix Prize, KDD Cup and Workshop 2007"},
    {"msd",
     {1019318, 384546},
     48373586,
     {{10, 27, 4400, 1019318}, {1, 13, 110479, 384546}},
     1,
     true,
     "McFee, Bertin-Mahieux, Ellis, Lanckriet, The Million Song Dataset Challenge, WWW 2012"},
};
enum { N_SHAPES = sizeof SHAPES / sizeof *SHAPES };

static gmf_status no_such_shape(const char *name, gmf_error *err)
{
  char near[32] = "";
  bool found = gmf_nearest_word(GMF_SHAPE_WORDS, name, near, sizeof near);
  return gmf_fail(err, GMF_ERR_USAGE,
                  "--like %s is none of " GMF_SHAPE_WORDS ", or one of them with /S for one in S users%s%s%s", name,
                  found ? "; did you mean " : "", near, found ? "?" : "");
}

/* One in `s` of the users; the items lose ratings in proportion. */
static void take_part(gmf_shape *shape, int64_t s)
{
  shape->n[GMF_USERS] = gmf_max64((shape->n[GMF_USERS] + s / 2) / s, 1);
  shape->nnz = gmf_max64((shape->nnz + s / 2) / s, 1);
  gmf_degrees *items = &shape->degrees[GMF_ITEMS];
  items->least /= (double)s;
  items->median /= (double)s;
  items->most /= (double)s;
}

gmf_status gmf_shape_named(const char *name, gmf_shape *shape, gmf_error *err)
{
  size_t length = strcspn(name, "/");
  for (int j = 0; j < N_SHAPES; j++) {
    if (strlen(SHAPES[j].name) != length || strncmp(SHAPES[j].name, name, length) != 0) continue;
    *shape = SHAPES[j];
    if (name[length] == '\0') return GMF_OK;
    char *end = NULL;
    long long s = isdigit((unsigned char)name[length + 1]) ? strtoll(name + length + 1, &end, 10) : 0;
    if (s < 1 || s > shape->n[GMF_USERS] || *end != '\0')
      return gmf_fail(err, GMF_ERR_USAGE,
                      "--like %s: after / a whole number from 1 to the number of users, %lld, is needed", name,
                      (long long)shape->n[GMF_USERS]);
    take_part(shape, s);
    return GMF_OK;
  }
  return no_such_shape(name, err);
}

/* ---- degrees ----------------------------------------------------------------------------------------------------- */

/* A row's place on an axis on which bins are equal: [0, 1) is the lower half by share, [1, 2] the upper half by the
 * root of t, near whose 0 the curve is steep. */
static double place_of(double p, int64_t n)
{
  return p < 0.5 ? 2 * p : 1 + (n > 1 ? sqrt(fmax(-log(2 * (1 - p)), 0) / log((double)n)) : 1);
}

static double degree_at_place(const gmf_degrees *d, double bend, double place)
{
  if (place < 1) return d->least * pow(d->median / d->least, place);
  return d->median * pow(d->most / d->median, pow(place - 1, 2 * bend));
}

static double share_below(int64_t rank, int64_t n) { return 1 - ((double)rank + 0.5) / (double)n; }

double gmf_degrees_at(const gmf_degrees *degrees, double bend, int64_t rank, int64_t n)
{
  return degree_at_place(degrees, bend, place_of(share_below(rank, n), degrees->n));
}

/* ---- bins -------------------------------------------------------------------------------------------------------- */

enum { N_BINS = GMF_WEIGHT_KNOTS };

/* One side's rows in bins of equal width on the axis of place_of. */
typedef struct binned {
  double rows[N_BINS];    /* how many */
  double degrees[N_BINS]; /* ratings of each */
  double logs[N_BINS];    /* of theta or w */
} binned;

static double middle_of(int bin) { return 2 * (bin + 0.5) / N_BINS; }

/* The share of rows below the beginning of a bin. */
static double share_before(int bin, int64_t n)
{
  double place = 2.0 * bin / N_BINS;
  if (bin == N_BINS) return 1;
  return place < 1 ? place / 2 : 1 - pow((double)gmf_max64(n, 2), -(place - 1) * (place - 1)) / 2;
}

/* Bins of a side, with the bend that makes nnz ratings of them. */
static void fill_bins(const gmf_shape *shape, gmf_side side, binned *b)
{
  const gmf_degrees *d = &shape->degrees[side];
  double low = 1e-3, high = 1e3, n = (double)shape->n[side];
  for (int bin = 0; bin < N_BINS; bin++) b->rows[bin] = n * (share_before(bin + 1, d->n) - share_before(bin, d->n));
  for (int step = 0; step < 60; step++) {
    double bend = sqrt(low * high), sum = 0;
    for (int bin = 0; bin < N_BINS; bin++) {
      b->degrees[bin] = degree_at_place(d, bend, middle_of(bin));
      sum += b->rows[bin] * b->degrees[bin];
    }
    if (sum > (double)shape->nnz)
      low = bend;
    else
      high = bend;
  }
}

/* ---- the weights of items ---------------------------------------------------------------------------------------- */

/* Five points of a user's taste 1 / (1 + exp(-2 a)), a ~ N(0, 1): Gauss and Hermite's. */
enum { MAX_TASTES = 5 };
typedef struct tastes {
  int n;
  double s[MAX_TASTES], probability[MAX_TASTES];
} tastes;

static tastes tastes_of(bool with_tastes)
{
  if (!with_tastes) return (tastes){.n = 1, .s = {1}, .probability = {1}};
  static const double A[MAX_TASTES] = {-2.8569700138728056, -1.3556261799742659, 0, 1.3556261799742659,
                                       2.8569700138728056};
  static const double P[MAX_TASTES] = {0.011257411327720689, 0.22207592200561264, 0.53333333333333333,
                                       0.22207592200561264, 0.011257411327720689};
  tastes t = {.n = MAX_TASTES};
  for (int j = 0; j < MAX_TASTES; j++) {
    t.s[j] = 1 / (1 + exp(-2 * A[j]));
    t.probability[j] = P[j];
  }
  return t;
}

/* One Newton step of every bin of `rows`, in the logarithm and of at most a factor e, towards the expected number of
 * its ratings. The largest step. */
static double improve(binned *rows, const binned *others, const tastes *t)
{
  double largest = 0;
  for (int r = 0; r < N_BINS; r++) {
    double expected = 0, slope = 0;
    for (int o = 0; o < N_BINS; o++) {
      double rate = exp(rows->logs[r] + others->logs[o]), taken = 0, change = 0;
      for (int j = 0; j < t->n; j++) {
        double missed = exp(-rate * t->s[j]);
        taken += t->probability[j] * (1 - missed);
        change += t->probability[j] * rate * t->s[j] * missed;
      }
      expected += others->rows[o] * taken;
      slope += others->rows[o] * change;
    }
    double step = fmin(fmax((rows->degrees[r] - expected) / fmax(slope, 1e-300), -1), 1);
    rows->logs[r] += step;
    largest = fmax(largest, fabs(step));
  }
  return largest;
}

void gmf_item_draw_fit(const gmf_shape *shape, bool with_tastes, gmf_item_draw *draw)
{
  binned users, items;
  tastes t = tastes_of(with_tastes);
  fill_bins(shape, GMF_USERS, &users);
  fill_bins(shape, GMF_ITEMS, &items);
  for (int bin = 0; bin < N_BINS; bin++) { /* where nothing is drawn twice: theta_u w_i = d_u d_i / nnz */
    users.logs[bin] = log(users.degrees[bin]);
    items.logs[bin] = log(items.degrees[bin] / (double)shape->nnz);
  }
  for (int turn = 0; turn < 200; turn++) {
    double step = improve(&users, &items, &t);
    if (fmax(step, improve(&items, &users, &t)) < 1e-6) break;
  }
  memcpy(draw->log_weights, items.logs, sizeof draw->log_weights);
  draw->n = shape->n[GMF_ITEMS];
}

double gmf_item_weight(const gmf_item_draw *draw, int64_t rank)
{
  double at = place_of(share_below(rank, draw->n), draw->n) * N_BINS / 2 - 0.5;
  int knot = gmf_int(gmf_min64(gmf_max64((int64_t)floor(at), 0), N_BINS - 2));
  double beyond = at - knot, left = draw->log_weights[knot], right = draw->log_weights[knot + 1];
  return exp(left + beyond * (right - left));
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

/* Columns with less than the mean are filled up from those with more. */
gmf_status gmf_alias_make(const double *weights, int64_t n, gmf_alias *alias, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *queue = NULL, n_small = 0, n_large = 0; /* small from the front, large from the back */
  double sum = 0;
  *alias = (gmf_alias){.n = n};
  GMF_TRY(GMF_NEW(alias->keep, n, err));
  GMF_TRY(GMF_NEW(alias->other, n, err));
  GMF_TRY(GMF_NEW(queue, n, err));
  for (int64_t i = 0; i < n; i++) sum += weights[i];
  for (int64_t i = 0; i < n; i++) {
    alias->keep[i] = weights[i] * (double)n / sum;
    alias->other[i] = i;
    if (alias->keep[i] < 1)
      queue[n_small++] = i;
    else
      queue[n - ++n_large] = i;
  }
  while (n_small > 0 && n_large > 0) {
    int64_t small = queue[--n_small], large = queue[n - n_large];
    alias->other[small] = large;
    alias->keep[large] -= 1 - alias->keep[small];
    if (alias->keep[large] < 1) {
      n_large--;
      queue[n_small++] = large;
    }
  }
  /* What is left is 1 but for rounding. */
  while (n_small > 0) alias->keep[queue[--n_small]] = 1;
  while (n_large > 0) alias->keep[queue[n - n_large--]] = 1;

cleanup:
  gmf_free(queue);
  if (status != GMF_OK) gmf_alias_free(alias);
  return status;
}

void gmf_alias_free(gmf_alias *alias)
{
  GMF_FREE(alias->keep);
  GMF_FREE(alias->other);
}

int64_t gmf_alias_draw(const gmf_alias *alias, double u, double v)
{
  int64_t column = gmf_min64((int64_t)(u * (double)alias->n), alias->n - 1);
  return v < alias->keep[column] ? column : alias->other[column];
}
