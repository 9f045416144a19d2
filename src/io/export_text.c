/* csv and MatrixMarket. Numbers are printed with the digits that bring them back. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/text.h"
#include "io/export_internal.h"
#include "io/layout.h"

enum { PIECE = 1 << 16 /* ratings at a time */ };

static gmf_status finish(FILE *file, const char *out, gmf_status status, gmf_error *err)
{
  bool good = fflush(file) == 0 && ferror(file) == 0;
  good = fclose(file) == 0 && good;
  if (good || status != GMF_OK) return status;
  return gmf_fail(err, GMF_ERR_IO, "%s: writing failed: %s", out, strerror(errno));
}

static void put_real(FILE *file, double value, gmf_type type)
{
  fprintf(file, type.kind == GMF_F8 ? "%.17g" : "%.9g", value);
}

/* ---- ratings ----------------------------------------------------------------------------------------------------- */

/* The ratings of a dataset, one after the other. */
typedef struct ratings {
  gmf_h5_array indptr, items, values, times, weights; /* owned; the last two have id < 0 where there are none */
  int64_t *ends;                                      /* owned [PIECE]: of the rows from ends_begin on */
  int64_t ends_begin, n_ends;
  int64_t *item, *time; /* owned [PIECE], like the next: of the ratings from `begin` on */
  float *value, *weight;
  int64_t begin, n, row, at; /* the rating `at` is of row `row` */
} ratings;

static void ratings_close(ratings *r)
{
  gmf_h5_array *const arrays[] = {&r->indptr, &r->items, &r->values, &r->times, &r->weights};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_h5_array_close(arrays[a]);
  void *const owned[] = {r->ends, r->item, r->time, r->value, r->weight};
  for (size_t a = 0; a < sizeof owned / sizeof *owned; a++) gmf_free(owned[a]);
}

static gmf_status ratings_open(ratings *r, const gmf_export_source *s, gmf_error *err)
{
  static const char INDPTR[] = GMF_GROUP_RATINGS "/" GMF_CSR_INDPTR, ITEMS[] = GMF_GROUP_RATINGS "/" GMF_CSR_INDICES,
                    VALUES[] = GMF_GROUP_RATINGS "/" GMF_CSR_DATA, TIMES[] = GMF_GROUP_RATINGS "/" GMF_CSR_TIME,
                    WEIGHTS[] = GMF_GROUP_RATINGS "/" GMF_CSR_WEIGHT;
  gmf_status status = GMF_OK;
  *r = (ratings){.indptr.id = -1, .items.id = -1, .values.id = -1, .times.id = -1, .weights.id = -1};
  GMF_TRY(gmf_h5_array_open(s->file, s->path, INDPTR, 1, &r->indptr, err));
  GMF_TRY(gmf_h5_array_open(s->file, s->path, ITEMS, 1, &r->items, err));
  GMF_TRY(gmf_h5_array_open(s->file, s->path, VALUES, 1, &r->values, err));
  if (gmf_h5_exists(s->file, TIMES)) GMF_TRY(gmf_h5_array_open(s->file, s->path, TIMES, 1, &r->times, err));
  if (gmf_h5_exists(s->file, WEIGHTS)) GMF_TRY(gmf_h5_array_open(s->file, s->path, WEIGHTS, 1, &r->weights, err));
  GMF_TRY(GMF_NEW(r->ends, PIECE, err));
  GMF_TRY(GMF_NEW(r->item, PIECE, err));
  GMF_TRY(GMF_NEW(r->time, PIECE, err));
  GMF_TRY(GMF_NEW(r->value, PIECE, err));
  GMF_TRY(GMF_NEW(r->weight, PIECE, err));
cleanup:
  return status;
}

static gmf_status read_piece(ratings *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  r->begin = r->at;
  r->n = gmf_min64(PIECE, r->items.dims[0] - r->at);
  GMF_TRY(gmf_h5_array_read(&r->items, r->begin, r->n, GMF_I8, r->item, err));
  GMF_TRY(gmf_h5_array_read(&r->values, r->begin, r->n, GMF_F4, r->value, err));
  if (r->times.id >= 0) GMF_TRY(gmf_h5_array_read(&r->times, r->begin, r->n, GMF_I8, r->time, err));
  if (r->weights.id >= 0) GMF_TRY(gmf_h5_array_read(&r->weights, r->begin, r->n, GMF_F4, r->weight, err));
cleanup:
  return status;
}

/* Finds row and piece of rating `at`; *more is false behind the last. */
static gmf_status ratings_next(ratings *r, bool *more, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *more = r->at < r->items.dims[0];
  if (!*more) return GMF_OK;
  if (r->at >= r->begin + r->n) GMF_TRY(read_piece(r, err));
  for (;; r->row++) {
    if (r->row >= r->ends_begin + r->n_ends) {
      r->ends_begin = r->row;
      r->n_ends = gmf_min64(PIECE, r->indptr.dims[0] - 1 - r->row);
      if (r->n_ends <= 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "ratings without a user; run 'gridmf verify'"));
      GMF_TRY(gmf_h5_array_read(&r->indptr, r->row + 1, r->n_ends, GMF_I8, r->ends, err));
    }
    if (r->at < r->ends[r->row - r->ends_begin]) break;
  }
cleanup:
  return status;
}

static gmf_status csv_of_dataset(const gmf_export_source *s, FILE *file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_id_reader users = {.array.id = -1}, items = {.array.id = -1};
  char user[GMF_EXPORT_ID], item[GMF_EXPORT_ID];
  int64_t last_row = -1;
  bool more = false;
  ratings r;
  GMF_TRY(ratings_open(&r, s, err));
  GMF_TRY(gmf_id_reader_open(s, GMF_USERS, &users, err));
  GMF_TRY(gmf_id_reader_open(s, GMF_ITEMS, &items, err));
  fprintf(file, "user,item,rating%s%s\n", r.times.id >= 0 ? ",time" : "", r.weights.id >= 0 ? ",weight" : "");
  for (;; r.at++) {
    GMF_TRY(ratings_next(&r, &more, err));
    if (!more) break;
    int64_t j = r.at - r.begin;
    if (r.row != last_row) GMF_TRY(gmf_id_reader_text(&users, r.row, false, user, err));
    last_row = r.row;
    GMF_TRY(gmf_id_reader_text(&items, r.item[j], true, item, err));
    gmf_put_csv(file, user);
    fputc(',', file);
    gmf_put_csv(file, item);
    fprintf(file, ",%.9g", (double)r.value[j]);
    if (r.times.id >= 0) fprintf(file, ",%" PRId64, r.time[j]);
    if (r.weights.id >= 0) fprintf(file, ",%.9g", (double)r.weight[j]);
    fputc('\n', file);
  }
cleanup:
  ratings_close(&r);
  gmf_id_reader_close(&users);
  gmf_id_reader_close(&items);
  return status;
}

gmf_status gmf_export_mtx(const gmf_export_source *s, const char *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_id_reader items = {.array.id = -1};
  bool more = false;
  ratings r;
  FILE *file = fopen(out, "we");
  if (file == NULL) return gmf_fail(err, GMF_ERR_CREATE, "%s: %s", out, strerror(errno));
  GMF_TRY(ratings_open(&r, s, err));
  GMF_TRY(gmf_id_reader_open(s, GMF_ITEMS, &items, err));
  fprintf(file, "%%%%MatrixMarket matrix coordinate real general\n%" PRId64 " %" PRId64 " %" PRId64 "\n",
          r.indptr.dims[0] - 1, items.array.dims[0], r.items.dims[0]);
  for (;; r.at++) {
    GMF_TRY(ratings_next(&r, &more, err));
    if (!more) break;
    fprintf(file, "%" PRId64 " %" PRId64 " %.9g\n", r.row + 1, r.item[r.at - r.begin] + 1,
            (double)r.value[r.at - r.begin]);
  }
cleanup:
  ratings_close(&r);
  gmf_id_reader_close(&items);
  return finish(file, out, status, err);
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

/* Lines of one side: its name, the id, the bias (0 where the model has none) and the factors. */
static gmf_status csv_of_side(const gmf_export_source *s, gmf_side side, FILE *file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_id_reader ids = {.array.id = -1};
  gmf_h5_array factors = {.id = -1}, bias = {.id = -1};
  char id[GMF_EXPORT_ID], name[64];
  double *piece = NULL, *biases = NULL;
  GMF_TRY(gmf_id_reader_open(s, side, &ids, err));
  snprintf(name, sizeof name, "%s/%s", gmf_side_name(side), GMF_NAME_FACTORS);
  GMF_TRY(gmf_h5_array_open(s->file, s->path, name, 2, &factors, err));
  snprintf(name, sizeof name, "%s/%s", gmf_side_name(side), GMF_NAME_BIAS);
  if (gmf_h5_exists(s->file, name)) GMF_TRY(gmf_h5_array_open(s->file, s->path, name, 1, &bias, err));
  int64_t rows = gmf_export_piece(&factors), k = factors.dims[1];
  GMF_TRY(GMF_NEW(piece, rows * k, err));
  GMF_TRY(GMF_NEW_ZERO(biases, rows, err));
  for (int64_t begin = 0; begin < factors.dims[0]; begin += rows) {
    int64_t n = gmf_min64(rows, factors.dims[0] - begin);
    GMF_TRY(gmf_h5_array_read(&factors, begin, n, GMF_F8, piece, err));
    if (bias.id >= 0) GMF_TRY(gmf_h5_array_read(&bias, begin, n, GMF_F8, biases, err));
    for (int64_t j = 0; j < n; j++) {
      GMF_TRY(gmf_id_reader_text(&ids, begin + j, false, id, err));
      fprintf(file, "%s,", gmf_side_noun(side));
      gmf_put_csv(file, id);
      fputc(',', file);
      put_real(file, biases[j], factors.type);
      for (int64_t f = 0; f < k; f++) {
        fputc(',', file);
        put_real(file, piece[j * k + f], factors.type);
      }
      fputc('\n', file);
    }
  }
cleanup:
  gmf_free(piece);
  gmf_free(biases);
  gmf_h5_array_close(&factors);
  gmf_h5_array_close(&bias);
  gmf_id_reader_close(&ids);
  return status;
}

static gmf_status csv_of_model(const gmf_export_source *s, FILE *file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_h5_array factors = {.id = -1};
  GMF_TRY(gmf_h5_array_open(s->file, s->path, "items/" GMF_NAME_FACTORS, 2, &factors, err));
  fprintf(file, "side,id,bias");
  for (int64_t f = 0; f < factors.dims[1]; f++) fprintf(file, ",f%" PRId64, f + 1);
  fputc('\n', file);
  for (int side = 0; side < GMF_N_SIDES; side++) GMF_TRY(csv_of_side(s, (gmf_side)side, file, err));
cleanup:
  gmf_h5_array_close(&factors);
  return status;
}

/* ---- recommendations --------------------------------------------------------------------------------------------- */

static gmf_status csv_of_lists(const gmf_export_source *s, FILE *file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_id_reader users = {.array.id = -1}, items = {.array.id = -1};
  gmf_h5_array item = {.id = -1}, score = {.id = -1};
  char user[GMF_EXPORT_ID], id[GMF_EXPORT_ID];
  int64_t *rows = NULL;
  float *scores = NULL;
  GMF_TRY(gmf_id_reader_open(s, GMF_USERS, &users, err));
  GMF_TRY(gmf_id_reader_open(s, GMF_ITEMS, &items, err));
  GMF_TRY(gmf_h5_array_open(s->file, s->path, GMF_TOP_ITEM, 2, &item, err));
  GMF_TRY(gmf_h5_array_open(s->file, s->path, GMF_TOP_SCORE, 2, &score, err));
  int64_t step = gmf_export_piece(&item), width = item.dims[1];
  if (score.dims[0] != item.dims[0] || score.dims[1] != width)
    GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: /%s and /%s differ in shape", s->path, GMF_TOP_ITEM, GMF_TOP_SCORE));
  GMF_TRY(GMF_NEW(rows, step * width, err));
  GMF_TRY(GMF_NEW(scores, step * width, err));
  fprintf(file, "user,rank,item,score\n");
  for (int64_t begin = 0; begin < item.dims[0]; begin += step) {
    int64_t n = gmf_min64(step, item.dims[0] - begin);
    GMF_TRY(gmf_h5_array_read(&item, begin, n, GMF_I8, rows, err));
    GMF_TRY(gmf_h5_array_read(&score, begin, n, GMF_F4, scores, err));
    for (int64_t u = 0; u < n; u++) {
      GMF_TRY(gmf_id_reader_text(&users, begin + u, false, user, err));
      for (int64_t e = u * width; e < (u + 1) * width && rows[e] >= 0; e++) {
        GMF_TRY(gmf_id_reader_text(&items, rows[e], true, id, err));
        gmf_put_csv(file, user);
        fprintf(file, ",%" PRId64 ",", e - u * width + 1);
        gmf_put_csv(file, id);
        fprintf(file, ",%.9g\n", (double)scores[e]);
      }
    }
  }
cleanup:
  gmf_free(rows);
  gmf_free(scores);
  gmf_h5_array_close(&item);
  gmf_h5_array_close(&score);
  gmf_id_reader_close(&users);
  gmf_id_reader_close(&items);
  return status;
}

gmf_status gmf_export_csv(const gmf_export_source *s, const char *out, gmf_error *err)
{
  FILE *file = fopen(out, "we");
  if (file == NULL) return gmf_fail(err, GMF_ERR_CREATE, "%s: %s", out, strerror(errno));
  gmf_status status = strcmp(s->format, GMF_FORMAT_DATASET) == 0 ? csv_of_dataset(s, file, err)
                      : strcmp(s->format, GMF_FORMAT_MODEL) == 0 ? csv_of_model(s, file, err)
                                                                 : csv_of_lists(s, file, err);
  return finish(file, out, status, err);
}
