#include "app/user_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

/* A number with its place among others, or its rating. */
typedef struct entry {
  int64_t key, place;
  float value;
} entry;

struct gmf_batch_loader {
  const gmf_held_out *held_out; /* borrowed */
  int64_t capacity;             /* users of a batch */
  int64_t next;                 /* the first user that has not been loaded */
  gmf_user_ratings test;        /* owned, like the rest: of the batch, as they stand in the file */
  gmf_user_ratings known;       /* those whose item the model knows: its rows, ascending within a user */
  gmf_user_ratings had;         /* rows of items that the users had, ascending within a user */
  int64_t *numbers;             /* [capacity]: rows to read */
  entry *order;                 /* [capacity] */
  float *rows, *fetched;        /* [capacity][ld]: in the order of the batch, and in that of the model */
  entry *sorted;                /* scratch of one user */
  int64_t sorted_capacity;
};

gmf_status gmf_batch_loader_create(const gmf_held_out *held_out, int64_t n_users, gmf_batch_loader **out,
                                   gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_batch_loader *l = NULL;
  int64_t ld = held_out->subject->rows.ld;

  *out = NULL;
  status = GMF_NEW_ZERO(l, 1, err);
  if (status == GMF_OK) status = GMF_NEW(l->numbers, n_users, err);
  if (status == GMF_OK) status = GMF_NEW(l->order, n_users, err);
  if (status == GMF_OK) status = GMF_NEW(l->rows, n_users * ld, err);
  if (status == GMF_OK) status = GMF_NEW(l->fetched, n_users * ld, err);
  GMF_TRY(gmf_agree(held_out->grid, status, err));
  l->held_out = held_out;
  l->capacity = n_users;
  *out = l;
  l = NULL;
cleanup:
  gmf_batch_loader_destroy(&l);
  return status;
}

void gmf_batch_loader_destroy(gmf_batch_loader **loader)
{
  gmf_batch_loader *l = *loader;
  if (l == NULL) return;
  gmf_user_ratings_free(&l->test);
  gmf_user_ratings_free(&l->known);
  gmf_user_ratings_free(&l->had);
  void *const arrays[] = {l->numbers, l->order, l->rows, l->fetched, l->sorted};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
  gmf_free(l);
  *loader = NULL;
}

static int by_key(const void *a, const void *b)
{
  int64_t x = ((const entry *)a)->key, y = ((const entry *)b)->key;
  return (x > y) - (x < y);
}

/* One user's ratings of known items behind those that are in l->known already, by the model's rows in their order. */
static gmf_status add_known(gmf_batch_loader *l, int64_t j, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const int64_t *item_rows = l->held_out->item_rows;
  int64_t begin = l->test.begin[j], end = l->test.begin[j + 1], n = 0, at = l->known.begin[j];
  GMF_TRY(GMF_RESERVE(l->sorted, l->sorted_capacity, end - begin, err));
  for (int64_t r = begin; r < end; r++)
    if (item_rows[l->test.items[r]] >= 0)
      l->sorted[n++] = (entry){.key = item_rows[l->test.items[r]], .value = l->test.values[r]};
  qsort(l->sorted, (size_t)n, sizeof *l->sorted, by_key);
  for (int64_t r = 0; r < n; r++) {
    l->known.items[at + r] = l->sorted[r].key;
    l->known.values[at + r] = l->sorted[r].value;
  }
  l->known.begin[j + 1] = at + n;
cleanup:
  return status;
}

static gmf_status load_held_out(gmf_batch_loader *l, const gmf_test_user *users, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t j = 0; j < n; j++) l->numbers[j] = users[j].test_row;
  GMF_TRY(gmf_read_user_ratings(l->held_out->test, l->numbers, n, &l->test, err));
  GMF_TRY(gmf_user_ratings_reserve(&l->known, n, l->test.begin[n], err));
  l->known.begin[0] = 0;
  for (int64_t j = 0; j < n; j++) GMF_TRY(add_known(l, j, err));
cleanup:
  return status;
}

static gmf_status load_local(gmf_batch_loader *l, const gmf_test_user *users, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_subject *s = l->held_out->subject;
  GMF_TRY(load_held_out(l, users, n, err));
  for (int64_t j = 0; j < n; j++) l->numbers[j] = users[j].row;
  GMF_TRY(s->seen(s->context, l->numbers, n, &l->had, err));
cleanup:
  return status;
}

/* Collective. The users' rows; the source wants them in the order of the model. */
static gmf_status load_rows(gmf_batch_loader *l, const gmf_test_user *users, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_row_source *source = &l->held_out->subject->rows;
  for (int64_t j = 0; j < n; j++) l->order[j] = (entry){.key = users[j].row, .place = j};
  qsort(l->order, (size_t)n, sizeof *l->order, by_key);
  for (int64_t j = 0; j < n; j++) l->numbers[j] = l->order[j].key;
  GMF_TRY(source->fetch(source->context, GMF_USERS, l->numbers, n, l->fetched, err));
  for (int64_t j = 0; j < n; j++)
    memcpy(l->rows + l->order[j].place * source->ld, l->fetched + j * source->ld, (size_t)source->ld * sizeof(float));
cleanup:
  return status;
}

gmf_status gmf_batch_load(gmf_batch_loader *l, gmf_user_batch *batch, bool *more, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_held_out *h = l->held_out;
  const gmf_test_user *users = h->users + l->next;
  int64_t n = gmf_min64(l->capacity, h->n_users - l->next), most = n;

  gmf_max_i64(h->grid, &most, 1);
  *more = most > 0;
  if (!*more) return GMF_OK;
  GMF_TRY(gmf_agree(h->grid, load_local(l, users, n, err), err));
  GMF_TRY(load_rows(l, users, n, err));
  *batch = (gmf_user_batch){.n = n,
                            .rows = l->rows,
                            .begin = l->known.begin,
                            .items = l->known.items,
                            .values = l->known.values,
                            .had_begin = l->had.begin,
                            .had = l->had.items};
  l->next += n;
cleanup:
  return status;
}
