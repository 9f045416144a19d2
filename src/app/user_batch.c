#include "app/user_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"

/* Rows of items that are held while users are folded in, at most, but for one user's. */
enum { FOLD_IN_BYTES = 1 << 26 };

/* A row of the model, and whose it is in the batch. */
typedef struct place {
  int64_t row, user;
} place;

struct gmf_batch_loader {
  const gmf_held_out *held_out; /* borrowed */
  int64_t capacity;             /* users of a batch */
  int64_t next;                 /* the first user that has not been loaded */
  gmf_user_ratings raw;         /* owned, like the rest: as they stand in a file */
  gmf_user_ratings known;       /* held out of the batch's users: rows of the model, ascending within a user */
  gmf_user_ratings seen;        /* in training, of those whom the model has */
  gmf_user_ratings folded;      /* to fold in, of the others, likewise */
  int64_t *had_begin, *had;     /* [capacity + 1]: what each user of the batch had, of one or the other */
  int64_t had_capacity;
  int64_t *numbers;           /* [capacity]: rows to read */
  place *places;              /* [capacity] */
  float *rows;                /* [capacity][ld]: of the batch */
  float *fetched;             /* [capacity][ld]: of those whom the model has, or of the folded ones */
  gmf_fold_in *fold;          /* NULL without a fold-in file, and for models without factors */
  gmf_projection *projection; /* of that; NULL where rows are solved */
};

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

/* Collective. */
static gmf_status create_fold_in(gmf_batch_loader *l, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_subject *s = l->held_out->subject;
  int64_t k = s->fold_in.row.k;
  double *gram = NULL;
  if (s->project != NULL) {
    GMF_TRY(s->project(s->context, &l->projection, err));
  } else if (!s->fold_in.is_constant && gmf_loss_shared(s->fold_in.row.loss) > 0) {
    GMF_TRY(gmf_agree(l->held_out->grid, GMF_NEW(gram, k * k, err), err));
    GMF_TRY(s->gram(s->context, gram, err));
  }
  GMF_TRY(gmf_agree(l->held_out->grid, gmf_fold_in_create(&s->fold_in, gram, l->projection, &l->fold, err), err));
cleanup:
  gmf_free(gram);
  return status;
}

gmf_status gmf_batch_loader_create(const gmf_held_out *held_out, int64_t n_users, gmf_batch_loader **out,
                                   gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_batch_loader *l = NULL;
  int64_t ld = held_out->subject->rows.ld;

  *out = NULL;
  status = GMF_NEW_ZERO(l, 1, err);
  if (status == GMF_OK) status = GMF_NEW(l->had_begin, n_users + 1, err);
  if (status == GMF_OK) status = GMF_NEW(l->numbers, n_users, err);
  if (status == GMF_OK) status = GMF_NEW(l->places, n_users, err);
  if (status == GMF_OK) status = GMF_NEW(l->rows, n_users * ld, err);
  if (status == GMF_OK) status = GMF_NEW(l->fetched, n_users * ld, err);
  GMF_TRY(gmf_agree(held_out->grid, status, err));
  l->held_out = held_out;
  l->capacity = n_users;
  if (held_out->fold_in != NULL && held_out->subject->score == NULL) GMF_TRY(create_fold_in(l, err));
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
  gmf_user_ratings *const ratings[] = {&l->raw, &l->known, &l->seen, &l->folded};
  for (size_t r = 0; r < sizeof ratings / sizeof *ratings; r++) gmf_user_ratings_free(ratings[r]);
  void *const arrays[] = {l->had_begin, l->had, l->numbers, l->places, l->rows, l->fetched};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
  gmf_fold_in_destroy(&l->fold);
  gmf_projection_destroy(&l->projection);
  gmf_free(l);
  *loader = NULL;
}

/* ---- ratings ----------------------------------------------------------------------------------------------------- */

/* The ratings of n users of a file, l->numbers, in the numbering of the model. */
static gmf_status read_mapped(gmf_batch_loader *l, const gmf_dataset *file, const int64_t *item_rows, int64_t n,
                              gmf_user_ratings *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_read_user_ratings(file, l->numbers, n, &l->raw, err));
  GMF_TRY(gmf_map_user_ratings(&l->raw, n, item_rows, out, err));
cleanup:
  return status;
}

/* What each user of the batch had: from l->seen or l->folded, which have them in the order of the batch. */
static gmf_status join_had(gmf_batch_loader *l, const gmf_test_user *users, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t at[2] = {0, 0}, n_had = 0;
  l->had_begin[0] = 0;
  for (int64_t j = 0; j < n; j++) {
    bool folded = users[j].fold_row >= 0;
    const gmf_user_ratings *from = folded ? &l->folded : &l->seen;
    int64_t u = at[folded]++, n_here = from->begin[u + 1] - from->begin[u];
    GMF_TRY(GMF_RESERVE(l->had, l->had_capacity, n_had + n_here, err));
    if (n_here > 0) memcpy(l->had + n_had, from->items + from->begin[u], (size_t)n_here * sizeof *l->had);
    n_had += n_here;
    l->had_begin[j + 1] = n_had;
  }
cleanup:
  return status;
}

static gmf_status load_local(gmf_batch_loader *l, const gmf_test_user *users, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_held_out *h = l->held_out;
  int64_t n_model = 0, n_fold = 0;
  for (int64_t j = 0; j < n; j++) l->numbers[j] = users[j].test_row;
  GMF_TRY(read_mapped(l, h->test, h->item_rows, n, &l->known, err));
  for (int64_t j = 0; j < n; j++)
    if (users[j].fold_row < 0) l->numbers[n_model++] = users[j].row;
  GMF_TRY(h->subject->seen(h->subject->context, l->numbers, n_model, &l->seen, err));
  for (int64_t j = 0; j < n; j++)
    if (users[j].fold_row >= 0) l->numbers[n_fold++] = users[j].fold_row;
  if (n_fold > 0) GMF_TRY(read_mapped(l, h->fold_in, h->fold_item_rows, n_fold, &l->folded, err));
  GMF_TRY(join_had(l, users, n, err));
cleanup:
  return status;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static int by_row(const void *a, const void *b)
{
  int64_t x = ((const place *)a)->row, y = ((const place *)b)->row;
  return (x > y) - (x < y);
}

/* Collective. Rows of the users whom the model has; the source wants them in the order of the model. */
static gmf_status load_rows(gmf_batch_loader *l, const gmf_test_user *users, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_row_source *source = &l->held_out->subject->rows;
  int64_t n_model = 0;
  for (int64_t j = 0; j < n; j++)
    if (users[j].fold_row < 0) l->places[n_model++] = (place){users[j].row, j};
  qsort(l->places, (size_t)n_model, sizeof *l->places, by_row);
  for (int64_t j = 0; j < n_model; j++) l->numbers[j] = l->places[j].row;
  GMF_TRY(source->fetch(source->context, GMF_USERS, l->numbers, n_model, l->fetched, err));
  for (int64_t j = 0; j < n_model; j++)
    memcpy(l->rows + l->places[j].user * source->ld, l->fetched + j * source->ld, (size_t)source->ld * sizeof(float));
cleanup:
  return status;
}

/* The distinct items of ratings [begin, end), ascending; their number. */
static int64_t distinct_items(const int64_t *items, int64_t begin, int64_t end, int64_t *out)
{
  for (int64_t r = begin; r < end; r++) out[r - begin] = items[r];
  return gmf_sort_once(out, end - begin);
}

/* Collective. Users [first, end) of l->folded into rows x [end - first][ld]; *failed: the first whose system is
 * singular, -1. */
static gmf_status fold_users(gmf_batch_loader *l, int64_t first, int64_t end, float *x, int64_t *failed, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_subject *s = l->held_out->subject;
  if (s->score != NULL)
    return gmf_agree(l->held_out->grid, s->score(s->context, &l->folded, first, end - first, x, err), err);
  const int64_t *all = l->folded.begin;
  int64_t begin = end > first ? all[first] : 0, n = end > first ? all[end] - begin : 0, n_items = 0;
  int64_t *items = NULL, *places = NULL;
  int32_t *cols = NULL;
  float *values = NULL, *y = NULL;
  double taken_off = l->projection == NULL ? s->mean : 0;

  status = GMF_NEW(items, n, err);
  if (status == GMF_OK) status = GMF_NEW(places, end - first + 1, err);
  if (status == GMF_OK) status = GMF_NEW(cols, n, err);
  if (status == GMF_OK) status = GMF_NEW(values, n, err);
  if (status == GMF_OK) n_items = distinct_items(l->folded.items, begin, begin + n, items);
  if (status == GMF_OK) status = GMF_NEW(y, n_items * s->rows.ld, err);
  GMF_TRY(gmf_agree(l->held_out->grid, status, err));
  GMF_TRY(s->rows.fetch(s->rows.context, GMF_ITEMS, items, n_items, y, err));
  for (int64_t r = 0; r < n; r++) {
    cols[r] = gmf_i32(gmf_lower_bound(items, n_items, l->folded.items[begin + r]));
    values[r] = (float)((double)l->folded.values[begin + r] - taken_off);
  }
  for (int64_t j = first; j < end; j++) places[j - first] = all[j] - begin;
  places[end - first] = n;
  gmf_ratings ratings = {.cols = cols, .values = values, .weights = n > 0 ? l->folded.weights + begin : NULL};
  *failed = end > first ? gmf_fold_in_solve(l->fold, y, places, &ratings, end - first, x) : -1;
cleanup:
  gmf_free(items);
  gmf_free(places);
  gmf_free(cols);
  gmf_free(values);
  gmf_free(y);
  return status;
}

/* Local. The error of a user that cannot be folded in. */
static gmf_status name_user(const gmf_held_out *h, const gmf_test_user *user, gmf_error *err)
{
  gmf_ids ids = {0};
  char id[1100] = "";
  if (gmf_dataset_read_ids(h->test, GMF_USERS, user->test_row, 1, &ids, err) != GMF_OK) return err->status;
  gmf_id_text(&ids, 0, id, sizeof id);
  gmf_ids_free(&ids);
  return gmf_fail(
      err, GMF_ERR_NUMERIC,
      "user %.200s cannot be folded in: the normal equations of its %lld ratings are singular at lambda %g; "
      "train with a larger --lambda",
      id, (long long)user->n_fold, h->subject->fold_in.regularisation.lambda);
}

/* Collective. Rows of the users who are folded in, some at a time. */
static gmf_status fold_in(gmf_batch_loader *l, const gmf_test_user *users, int64_t n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_held_out *h = l->held_out;
  int64_t ld = h->subject->rows.ld, most = gmf_max64(1, FOLD_IN_BYTES / (ld * (int64_t)sizeof(float))), n_fold = 0;
  for (int64_t j = 0; j < n; j++)
    if (users[j].fold_row >= 0) l->places[n_fold++].user = j;
  for (int64_t first = 0;;) {
    int64_t end = first, failed = -1, left = n_fold - first;
    gmf_max_i64(h->grid, &left, 1);
    if (left == 0) break;
    while (end < n_fold && (end == first || l->folded.begin[end + 1] - l->folded.begin[first] <= most)) end++;
    GMF_TRY(fold_users(l, first, end, l->fetched, &failed, err));
    status = failed < 0 ? GMF_OK : name_user(h, &users[l->places[first + failed].user], err);
    GMF_TRY(gmf_agree(h->grid, status, err));
    for (int64_t j = first; j < end; j++)
      memcpy(l->rows + l->places[j].user * ld, l->fetched + (j - first) * ld, (size_t)ld * sizeof(float));
    first = end;
  }
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
  if (h->fold_in != NULL) GMF_TRY(fold_in(l, users, n, err));
  *batch = (gmf_user_batch){.n = n,
                            .rows = l->rows,
                            .begin = l->known.begin,
                            .items = l->known.items,
                            .values = l->known.values,
                            .had_begin = l->had_begin,
                            .had = l->had};
  l->next += n;
cleanup:
  return status;
}
