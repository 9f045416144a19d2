#include "app/split_choose.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/random.h"

void gmf_choice_free(gmf_choice *choice) { GMF_FREE(choice->part); }

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

/* How many of a user's n ratings are held out. */
static int64_t n_of_user(const gmf_config *c, int64_t n)
{
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
    int64_t begin = rows->indptr[r], n = rows->indptr[r + 1] - begin, n_held_out = n_of_user(c, n);
    if (n_held_out == 0) continue;
    for (int64_t j = 0; j < n; j++)
      candidates[j] = (candidate){.key = by_time ? 0 : chance(c, rows->row_begin + r, rows->items[begin + j]),
                                  .time = by_time ? rows->times[begin + j] : 0,
                                  .at = begin + j};
    qsort(candidates, (size_t)n, sizeof *candidates, last_first);
    for (int64_t j = 0; j < n_held_out; j++) choice->part[candidates[j].at] = GMF_PART_TEST;
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

gmf_status gmf_split_choose(const gmf_grid *grid, const gmf_config *c, const gmf_rating_rows *rows, gmf_choice *choice,
                            gmf_error *err)
{
  gmf_status status = GMF_OK;
  _Static_assert(GMF_PART_TRAIN == 0, "ratings stay in the training set unless something else is decided");
  *choice = (gmf_choice){.part = NULL};
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(choice->part, rows->indptr[rows->n_rows], err), err));
  if (c->method == GMF_SPLIT_RANDOM && !isnan(c->fraction))
    choose_by_chance(c, rows, choice);
  else
    GMF_TRY(gmf_agree(grid, choose_of_users(c, rows, choice, err), err));
cleanup:
  return status;
}
