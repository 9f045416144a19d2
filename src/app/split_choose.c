#include "app/split_choose.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/random.h"
#include "io/rating_filter.h"

void gmf_choice_free(gmf_choice *choice)
{
  GMF_FREE(choice->part);
  GMF_FREE(choice->is_held_out);
}

/* The whole number of things that a share of n is. 0.29 x 100 is 29, also where 0.29 is a little less in binary. */
static int64_t share_of(double fraction, int64_t n) { return (int64_t)floor(fraction * (double)n * (1 + 1e-12)); }

/* ---- some ratings of each user ----------------------------------------------------------------------------------- */

/* A rating of one user with the keys that decide: the largest are held out. */
typedef struct candidate {
  double key;
  int64_t time, at;
} candidate;

static int last_first(const void *a, const void *b)
{
  const candidate *x = a, *y = b;
  if (x->time != y->time) return x->time > y->time ? -1 : 1;
  if (x->key != y->key) return x->key > y->key ? -1 : 1;
  return x->at > y->at ? -1 : 1;
}

static double chance(const gmf_config *c, int64_t user, int64_t item)
{
  uint64_t row = (uint64_t)user ^ (uint64_t)(item >> 32) << 40; /* items beyond 2^32 still differ */
  return gmf_random_uniform((uint64_t)c->seed, GMF_STREAM_SPLIT, row, (uint32_t)item);
}

/* How many of a user's n ratings go to the test set. */
static int64_t n_tested(const gmf_config *c, const gmf_choice *choice, int64_t row, int64_t n)
{
  if (choice->is_held_out != NULL)
    return choice->is_held_out[row] && n >= GMF_LEAST_TESTED_RATINGS ? share_of(c->test_fraction, n) : 0;
  if (!isnan(c->fraction)) return share_of(c->fraction, n);
  return n > c->count ? c->count : 0;
}

/* Local. A number of each user's ratings, the latest or drawn by chance. */
static gmf_status choose_of_users(const gmf_config *c, const gmf_rating_rows *rows, gmf_choice *choice, gmf_error *err)
{
  gmf_status status = GMF_OK;
  bool by_time = c->method == GMF_SPLIT_LEAVE_LAST;
  candidate *candidates = NULL;
  int64_t longest = 0;

  for (int64_t r = 0; r < rows->n_rows; r++) longest = gmf_max64(longest, rows->indptr[r + 1] - rows->indptr[r]);
  GMF_TRY(GMF_NEW(candidates, longest, err));
  for (int64_t r = 0; r < rows->n_rows; r++) {
    int64_t begin = rows->indptr[r], n = rows->indptr[r + 1] - begin, n_out = n_tested(c, choice, r, n);
    if (n_out == 0) continue;
    for (int64_t j = 0; j < n; j++)
      candidates[j] = (candidate){.key = by_time ? 0 : chance(c, rows->row_begin + r, rows->items[begin + j]),
                                  .time = by_time ? rows->times[begin + j] : 0,
                                  .at = begin + j};
    qsort(candidates, (size_t)n, sizeof *candidates, last_first);
    for (int64_t j = 0; j < n_out; j++) choice->part[candidates[j].at] = GMF_PART_TEST;
  }
cleanup:
  gmf_free(candidates);
  return status;
}

/* ---- each rating for itself -------------------------------------------------------------------------------------- */

/* Local. */
static void choose_by_chance(const gmf_config *c, const gmf_rating_rows *rows, gmf_choice *choice)
{
  for (int64_t r = 0; r < rows->n_rows; r++)
    for (int64_t j = rows->indptr[r]; j < rows->indptr[r + 1]; j++)
      if (chance(c, rows->row_begin + r, rows->items[j]) < c->fraction) choice->part[j] = GMF_PART_TEST;
}

/* ---- the latest of all ratings ----------------------------------------------------------------------------------- */

/*
 * Collective. The key above which the largest keys of all ranks stand: *cut is a key with
 *
 *     number of keys > cut  <=  target  <  number of keys >= cut
 *
 * and *n_above is the former. target is less than the number of keys. Radix selection: from the highest digit on, each
 * round counts the keys that begin as the cut does by their next digit, and goes down the digits until the target is
 * passed. Only the table of counts travels.
 */
static void find_cut(const gmf_grid *grid, const int64_t *keys, int64_t n, int64_t target, int64_t *cut,
                     int64_t *n_above)
{
  enum { DIGIT_BITS = 8, N_DIGITS = 1 << DIGIT_BITS };
  const uint64_t sign = UINT64_C(1) << 63; /* turned, it makes the order of unsigned numbers that of signed ones */
  uint64_t prefix = 0;
  *n_above = 0;
  for (int shift = 64 - DIGIT_BITS; shift >= 0; shift -= DIGIT_BITS) {
    int64_t counts[N_DIGITS] = {0};
    for (int64_t j = 0; j < n; j++) {
      uint64_t rest = ((uint64_t)keys[j] ^ sign) >> shift;
      if (rest >> DIGIT_BITS == prefix) counts[rest & (N_DIGITS - 1)]++;
    }
    gmf_sum_i64(grid, counts, N_DIGITS);
    int digit = N_DIGITS - 1;
    while (*n_above + counts[digit] <= target) *n_above += counts[digit--];
    prefix = prefix << DIGIT_BITS | (uint64_t)digit;
  }
  *cut = (int64_t)(prefix ^ sign);
}

/* Collective. The largest number of latest ratings within the target; ratings of one time stay together. */
static void choose_latest(const gmf_grid *grid, const gmf_config *c, const gmf_rating_rows *rows, gmf_choice *choice)
{
  int64_t n = rows->indptr[rows->n_rows], n_all = n, last_kept = 0, n_held_out = 0, first = INT64_MAX;
  gmf_sum_i64(grid, &n_all, 1);
  int64_t target = isnan(c->fraction) ? c->count : share_of(c->fraction, n_all);
  bool all = target >= n_all;
  if (all)
    n_held_out = n_all;
  else
    find_cut(grid, rows->times, n, target, &last_kept, &n_held_out);
  for (int64_t j = 0; j < n; j++) {
    if (!all && rows->times[j] <= last_kept) continue;
    choice->part[j] = GMF_PART_TEST;
    first = gmf_min64(first, rows->times[j]);
  }
  gmf_min_i64(grid, &first, 1);
  choice->has_cut = n_held_out > 0;
  choice->cut_time = first;
}

/* ---- whole users ------------------------------------------------------------------------------------------------- */

/* A user's place in the random order, by the row in the dataset: the highest are held out. */
static int64_t place_of_user(const gmf_config *c, int64_t user)
{
  uint32_t words[4];
  gmf_random_words((uint64_t)c->seed, GMF_STREAM_SPLIT_USERS, (uint64_t)user, 0, words);
  return (int64_t)((uint64_t)words[0] << 32 | words[1]);
}

/* Collective. Exactly the wanted number of users that have ratings. */
static gmf_status hold_out_users(const gmf_grid *grid, const gmf_config *c, const char *path,
                                 const gmf_rating_rows *rows, gmf_choice *choice, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *places = NULL, n = 0, cut = 0, n_above = 0;

  status = GMF_NEW_ZERO(choice->is_held_out, rows->n_rows, err);
  if (status == GMF_OK) status = GMF_NEW(places, rows->n_rows, err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int64_t r = 0; r < rows->n_rows; r++)
    if (rows->indptr[r] < rows->indptr[r + 1]) places[n++] = place_of_user(c, rows->row_begin + r);
  choice->n_users = n;
  gmf_sum_i64(grid, &choice->n_users, 1);
  int64_t target = isnan(c->fraction) ? c->count : share_of(c->fraction, choice->n_users);
  if (target >= choice->n_users)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA,
                     "%s: has %" PRId64 " users with ratings; holding out %" PRId64
                     " of them leaves none to train on, give a lower --%s",
                     path, choice->n_users, target, isnan(c->fraction) ? "count" : "fraction"));
  choice->n_held_out_users = target;
  find_cut(grid, places, n, target, &cut, &n_above);
  /* Users that share the place at the cut, if ever there are any, go by their rows. */
  int64_t n_equal = 0;
  for (int64_t i = 0; i < n; i++) n_equal += places[i] == cut;
  int64_t n_taken = n_above + gmf_prefix_i64(grid, n_equal);
  for (int64_t r = 0, i = 0; r < rows->n_rows; r++) {
    if (rows->indptr[r] == rows->indptr[r + 1]) continue;
    choice->is_held_out[r] = places[i] > cut || (places[i] == cut && n_taken++ < target);
    i++;
  }
cleanup:
  gmf_free(places);
  return status;
}

/* Collective. Items that no training user has rated go, as there is nothing to learn of them. */
static gmf_status drop_unknown_items(const gmf_grid *grid, gmf_rating_rows *rows, gmf_id_space *items,
                                     gmf_choice *choice, gmf_error *err)
{
  gmf_status status = GMF_OK;
  bool *is_training = NULL;
  int64_t n = rows->indptr[rows->n_rows];
  GMF_TRY(gmf_agree(grid, GMF_NEW(is_training, n, err), err));
  for (int64_t r = 0; r < rows->n_rows; r++)
    for (int64_t j = rows->indptr[r]; j < rows->indptr[r + 1]; j++) is_training[j] = !choice->is_held_out[r];
  GMF_TRY(gmf_keep_items(grid, 1, is_training, items, rows, err));
  choice->n_dropped = n - rows->indptr[rows->n_rows];
  gmf_sum_i64(grid, &choice->n_dropped, 1);
cleanup:
  gmf_free(is_training);
  return status;
}

/*
 * Collective. Strong generalisation: users are held out, and their own ratings, of items that the training set knows,
 * are split into those from which a factor is found and those by which it is judged.
 *
 * Liang, Krishnan, Hoffman, Jebara, "Variational autoencoders for collaborative filtering", WWW 2018, section 4.1, in
 * the order of steps of their published data preparation.
 */
static gmf_status choose_users(const gmf_grid *grid, const gmf_config *c, const char *path, gmf_rating_rows *rows,
                               gmf_id_space *items, gmf_choice *choice, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(hold_out_users(grid, c, path, rows, choice, err));
  GMF_TRY(drop_unknown_items(grid, rows, items, choice, err));
  for (int64_t r = 0; r < rows->n_rows; r++) {
    int64_t begin = rows->indptr[r], end = rows->indptr[r + 1];
    if (!choice->is_held_out[r]) continue;
    for (int64_t j = begin; j < end; j++) choice->part[j] = GMF_PART_FOLD_IN;
    choice->n_untested_users += end - begin < GMF_LEAST_TESTED_RATINGS;
  }
  gmf_sum_i64(grid, &choice->n_untested_users, 1);
  GMF_TRY(gmf_agree(grid, choose_of_users(c, rows, choice, err), err));
cleanup:
  return status;
}

gmf_status gmf_split_choose(const gmf_grid *grid, const gmf_config *c, const char *path, gmf_rating_rows *rows,
                            gmf_id_space *items, gmf_choice *choice, gmf_error *err)
{
  gmf_status status = GMF_OK;
  _Static_assert(GMF_PART_TRAIN == 0, "ratings stay in the training set unless something else is decided");
  *choice = (gmf_choice){.part = NULL};
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(choice->part, rows->indptr[rows->n_rows], err), err));
  if (c->method == GMF_SPLIT_USERS)
    GMF_TRY(choose_users(grid, c, path, rows, items, choice, err));
  else if (c->method == GMF_SPLIT_TIME)
    choose_latest(grid, c, rows, choice);
  else if (c->method == GMF_SPLIT_RANDOM && !isnan(c->fraction))
    choose_by_chance(c, rows, choice);
  else
    GMF_TRY(gmf_agree(grid, choose_of_users(c, rows, choice, err), err));
cleanup:
  return status;
}
