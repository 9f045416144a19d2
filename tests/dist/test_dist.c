/*
 * The distribution layer on a grid given as arguments: axes, exchange, expand, blocks, fold, agreement.
 * usage: test_dist ROWS COLS
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/random.h"
#include "dist/census.h"
#include "dist/factor.h"
#include "dist/fold.h"
#include "mpi_check.h"
#include "runtime/exchange.h"

/* ---- axes -------------------------------------------------------------------------------------------------------- */

static void check_axis(const gmf_grid *grid, const gmf_axis *axis)
{
  CHECK(axis->prefix[0] == 0 && axis->prefix[grid->size] == axis->n);
  for (int64_t row = 0; row < axis->n; row++) {
    int64_t position = gmf_axis_position(axis, row);
    CHECK(position >= 0 && position < axis->n && gmf_axis_row(axis, position) == row);
    int owner = gmf_axis_owner(axis, position);
    CHECK(axis->prefix[owner] <= position && position < axis->prefix[owner + 1]);
  }
}

static gmf_axis *hashed(const gmf_grid *grid, int64_t n)
{
  gmf_axis *axis = NULL;
  CHECK(gmf_axis_create_hashed(n, grid->size, 5, &axis, NULL) == GMF_OK);
  return axis;
}

static gmf_axis *balanced(const gmf_grid *grid, int64_t n)
{
  gmf_axis *axis = NULL;
  int64_t *work = gmf_calloc(n, sizeof *work), total = 0;
  for (int64_t i = 0; i < n; i++) total += work[i] = 1 + 1000 / (i + 1); /* a power law */
  CHECK(gmf_axis_create_balanced(n, grid->size, work, NULL, &axis, NULL) == GMF_OK);
  for (int r = 0; r < grid->size; r++) { /* Graham: no bin exceeds the mean by more than one job */
    int64_t load = 0;
    for (int64_t p = axis->prefix[r]; p < axis->prefix[r + 1]; p++) load += work[gmf_axis_row(axis, p)];
    CHECK(load <= total / grid->size + 1001);
  }
  gmf_free(work);
  return axis;
}

static void test_axes(const gmf_grid *grid)
{
  static const int64_t lengths[] = {1, 2, 5, 64, 1000};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    gmf_axis *a = hashed(grid, lengths[i]), *b = balanced(grid, lengths[i]);
    check_axis(grid, a);
    check_axis(grid, b);
    int64_t *own = gmf_malloc(gmf_axis_n_own(a, grid->rank), sizeof *own), *slice = NULL, begin = 0, n = 0;
    for (int64_t j = 0; j < gmf_axis_n_own(a, grid->rank); j++) own[j] = 7 * gmf_axis_row(a, a->prefix[grid->rank] + j);
    CHECK(gmf_axis_to_slices(grid, a, own, sizeof *own, sizeof *own, (void **)&slice, &begin, &n, NULL) == GMF_OK);
    for (int64_t j = 0; j < n; j++) CHECK(slice[j] == 7 * (begin + j));
    gmf_free(slice);
    gmf_free(own);
    gmf_axis_destroy(&a);
    gmf_axis_destroy(&b);
  }
}

/* ---- exchange and expand ----------------------------------------------------------------------------------------- */

static void test_exchange(const gmf_grid *grid)
{
  int64_t *counts = gmf_calloc(grid->size, sizeof *counts), *recv_counts = gmf_calloc(grid->size, sizeof *counts);
  int64_t *send = NULL, *recv = NULL, total = 0, n = 0;
  for (int r = 0; r < grid->size; r++) total += counts[r] = (grid->rank + 2 * r) % 4; /* some pairs have nothing */
  send = gmf_malloc(total, sizeof *send);
  for (int64_t j = 0, r = 0, left = counts[0]; j < total; j++, left--) {
    while (left == 0) left = counts[++r];
    send[j] = 1000 * grid->rank + r;
  }
  CHECK(gmf_exchange_new(grid, 8, send, counts, (void **)&recv, recv_counts, &n, NULL) == GMF_OK);
  for (int64_t s = 0, j = 0; s < grid->size; s++) {
    CHECK(recv_counts[s] == (s + 2 * grid->rank) % 4);
    for (int64_t c = 0; c < recv_counts[s]; c++, j++) CHECK(recv[j] == 1000 * s + grid->rank);
  }
  gmf_free(counts);
  gmf_free(recv_counts);
  gmf_free(send);
  gmf_free(recv);
}

/* Round to nearest, ties to even, and what is left of it at the other end, wherever it lies in an array of n. */
static void test_bf16(void)
{
  static const struct {
    uint32_t in, out;
  } cases[] = {{0x3f800000, 0x3f800000}, {0x3f808000, 0x3f800000}, {0x3f818000, 0x3f820000}, {0x3f808001, 0x3f810000},
               {0x3f807fff, 0x3f800000}, {0xbf808001, 0xbf810000}, {0x00000000, 0},          {0x80000000, 0x80000000},
               {0x00008001, 0x00010000}, {0x3fffffff, 0x40000000}};
  enum { CASES = sizeof cases / sizeof *cases };
  for (int64_t n = 0; n < 300; n++) {
    float in[300], values[300];
    for (int64_t j = 0; j < n; j++) memcpy(in + j, &cases[(j * 7 + n) % CASES].in, sizeof *in);
    gmf_bf16_round(in, n, (uint16_t *)(void *)values + n);
    gmf_bf16_widen(values, n);
    for (int64_t j = 0; j < n; j++) CHECK(memcmp(values + j, &cases[(j * 7 + n) % CASES].out, sizeof *values) == 0);
  }
}

enum { K = 5, LD = 16 };

/* The rows of the random factor are there, each number within `error` of itself. */
static void check_expanded(const int64_t *rows, const int32_t *slot_of, int64_t n, const float *panel, double error)
{
  for (int64_t j = 0; j < n; j++)
    for (int c = 0; c < LD; c++) {
      float wanted =
          c < K ? (float)(2.0 * gmf_random_normal(11, GMF_STREAM_ITEMS_INIT, (uint64_t)rows[j], (uint32_t)c)) : 0;
      double off = fabs((double)panel[slot_of[j] * LD + c] - (double)wanted);
      CHECK(off <= error * fabs((double)wanted));
    }
}

static void test_expand(const gmf_grid *grid)
{
  gmf_axis *axis = hashed(grid, 200);
  gmf_factor *f = NULL;
  CHECK(gmf_factor_create(grid, GMF_ITEMS, axis, K, LD, &f, NULL) == GMF_OK);
  gmf_factor_randomize(grid, f, 11, 2.0);
  int64_t rows[200], n = 0;
  int32_t slot_of[200];
  for (int64_t i = 0; i < 200; i++)
    if ((i * 7 + grid->rank) % 3 == 0) rows[n++] = i;
  gmf_expand *plan = NULL;
  CHECK(gmf_expand_create(grid, axis, rows, n, slot_of, &plan, NULL) == GMF_OK);
  CHECK(plan->n_slots == n);
  gmf_expand_space *space = NULL;
  CHECK(gmf_expand_space_create(grid, &plan, 1, LD * sizeof(float), false, &space, NULL) == GMF_OK);
  const float *panel = (const float *)(const void *)space->panel;
  gmf_trace before = *grid->trace;
  gmf_expand_floats(grid, plan, f->rows, LD, GMF_WIRE_F4, space);
  CHECK(grid->trace->n_exchanges == before.n_exchanges + 1 && grid->trace->n_collectives == before.n_collectives);
  CHECK(grid->trace->exchange_bytes - before.exchange_bytes == plan->n_send * LD * 4); /* only needed rows */
  check_expanded(rows, slot_of, n, panel, 0);
  before = *grid->trace;
  gmf_expand_floats(grid, plan, f->rows, LD, GMF_WIRE_BF16, space);
  CHECK(grid->trace->exchange_bytes - before.exchange_bytes == plan->n_send * LD * 2);
  check_expanded(rows, slot_of, n, panel, 1.0 / 256);
  double pairs[200][2] = {{0}}; /* shorter rows of another type through the same plan */
  for (int64_t j = 0; j < f->n; j++) pairs[j][1] = (double)gmf_axis_row(axis, axis->prefix[grid->rank] + j);
  gmf_expand_run(grid, plan, pairs, sizeof *pairs, space);
  const double *got = (const double *)(const void *)space->panel;
  for (int64_t j = 0; j < n; j++) CHECK(got[2 * slot_of[j]] == 0 && got[2 * slot_of[j] + 1] == (double)rows[j]);
  gmf_expand_space_destroy(&space);
  gmf_expand_destroy(&plan);
  gmf_factor_destroy(&f);
  gmf_axis_destroy(&axis);
}

/* ---- blocks and fold --------------------------------------------------------------------------------------------- */

enum { USERS = 57, ITEMS = 23 };

static bool is_rated(int64_t u, int64_t i) { return (u * 5 + i * 3) % 7 < 2 || i == 0; }
static float value_at(int64_t u, int64_t i) { return (float)(u * 100 + i); }
static float weight_at(int64_t u, int64_t i) { return (float)(u * 100 + i) + 0.5f; }

typedef struct fake_file {
  int64_t items[USERS * ITEMS];
  float values[USERS * ITEMS];
} fake_file;

static gmf_status read_fake(const void *context, int64_t begin, int64_t n, int64_t *items, float *values,
                            float *weights, gmf_error *err)
{
  (void)err;
  const fake_file *f = context;
  memcpy(items, f->items + begin, (size_t)n * sizeof *items);
  memcpy(values, f->values + begin, (size_t)n * sizeof *values);
  for (int64_t j = 0; weights != NULL && j < n; j++) weights[j] = values[j] + 0.5f;
  return GMF_OK;
}

/* Every rating of the side in exactly one of its blocks, in the right place; a light block counts heavy rows, too. */
static void check_blocks(const gmf_grid *grid, const gmf_block *first, const gmf_axis *fixed, const gmf_heavy *heavy,
                         int64_t n_expected, bool weighted)
{
  int64_t n = 0;
  gmf_expand_space *space = NULL;
  CHECK(gmf_expand_space_create(grid, &first->expand, 1, 16 * sizeof(float), false, &space, NULL) == GMF_OK);
  gmf_factor *ids = NULL;
  CHECK(gmf_factor_create(grid, gmf_other_side(first->side), fixed, 1, 16, &ids, NULL) == GMF_OK);
  for (int64_t j = 0; j < ids->n; j++) ids->rows[j * 16] = (float)gmf_axis_row(fixed, fixed->prefix[grid->rank] + j);
  gmf_expand_run(grid, first->expand, ids->rows, 16 * sizeof(float), space);
  const float *panel = (const float *)(const void *)space->panel; /* it holds the fixed rows' numbers */
  CHECK((first->next != NULL) == (heavy != NULL));
  for (const gmf_block *b = first; b != NULL; b = b->next) {
    for (int64_t r = 0; r < b->n_rows; r++) {
      int64_t row = gmf_axis_row(b->axis, b->row_begin + r), count = 0, last = -1;
      if (b != first) row = heavy->rows[row];
      CHECK(b->row_ptr[r] == b->row_ptr[r + 1] || heavy == NULL || (gmf_heavy_index(heavy, row) >= 0) == (b != first));
      for (int64_t j = b->row_ptr[r]; j < b->row_ptr[r + 1]; j++) {
        int64_t other = (int64_t)panel[(int64_t)b->cols[j] * 16];
        int64_t u = b->side == GMF_USERS ? row : other, i = b->side == GMF_USERS ? other : row;
        CHECK(is_rated(u, i) && b->values[j] == value_at(u, i));
        CHECK(weighted ? b->weights[j] == weight_at(u, i) : b->weights == NULL);
        CHECK(other > last); /* a row's ratings ascend in dataset order */
        last = other;
      }
      for (int64_t o = 0; o < fixed->n; o++) count += b->side == GMF_USERS ? is_rated(row, o) : is_rated(o, row);
      CHECK(b->counts[r] == count);
    }
    n += b->row_ptr[b->n_rows];
  }
  CHECK(n == gmf_block_ratings(first));
  gmf_sum_i64(grid, &n, 1);
  CHECK(n == n_expected);
  gmf_expand_space_destroy(&space);
  gmf_factor_destroy(&ids);
}

/* The heavy rows of a layout are those that have as many ratings, each where its axis has it. */
static void check_heavy(const gmf_grid *grid, const gmf_axis *axis, const gmf_heavy *h, const int64_t *counts)
{
  int64_t n = 0, n_ratings = 0;
  for (int64_t row = 0; row < axis->n; row++) {
    bool heavy = counts[row] >= h->layout.heavy_from;
    CHECK((gmf_heavy_index(h, row) >= 0) == heavy);
    if (!heavy) continue;
    CHECK(h->rows[n] == row && gmf_heavy_index(h, row) == n);
    n_ratings += counts[row];
    n++;
  }
  CHECK(h->n == n && h->n_ratings == n_ratings);
  check_axis(grid, h->axis);
  for (int64_t j = 0; j < gmf_axis_n_own(h->axis, grid->rank); j++)
    CHECK(gmf_axis_row(axis, axis->prefix[grid->rank] + h->own_rows[j]) ==
          h->rows[gmf_axis_row(h->axis, h->axis->prefix[grid->rank] + j)]);
}

static void check_fold(const gmf_grid *grid, const gmf_block *b, int64_t batch_bytes)
{
  enum { WORDS = 3 };
  gmf_fold *f = NULL;
  CHECK(gmf_fold_create(grid, b, WORDS, batch_bytes, &f, NULL) == GMF_OK);
  for (int64_t batch = 0; batch < f->n_batches; batch++) {
    double *to = f->partial;
    int64_t begin = 0, end = 0;
    for (int o = 0; o < f->n_owners; o++) {
      gmf_fold_range(f, batch, o, &begin, &end);
      for (int64_t r = begin; r < end; r++)
        for (int w = 0; w < WORDS; w++) *to++ = (double)(r * 10 + w) + 1000 * grid->col_index;
    }
    gmf_fold_run(grid, f, batch);
    gmf_fold_range(f, batch, grid->col_index, &begin, &end);
    double columns = 1000.0 * grid->n_cols * (grid->n_cols - 1) / 2;
    for (int64_t r = begin; r < end; r++)
      for (int w = 0; w < WORDS; w++)
        CHECK(f->sums[(r - begin) * WORDS + w] == (double)(r * 10 + w) * grid->n_cols + columns);
    /* the same of floats, and the way back */
    float *small = (float *)(void *)f->partial, *sums = (float *)(void *)f->sums;
    for (int64_t j = 0; j < gmf_fold_rows(f, batch); j++) small[j] = (float)(j + grid->col_index);
    gmf_fold_run_f4(grid, f, batch, 1);
    int64_t before = 0, n_rows = gmf_fold_rows(f, batch);
    for (int o = 0; o < grid->col_index; o++) {
      int64_t first = 0, last = 0;
      gmf_fold_range(f, batch, o, &first, &last);
      before += last - first;
    }
    float column_sum = (float)grid->n_cols * (float)(grid->n_cols - 1) / 2;
    for (int64_t j = 0; j < end - begin; j++) CHECK(sums[j] == (float)(before + j) * (float)grid->n_cols + column_sum);
    int64_t *own = gmf_malloc(end - begin, sizeof *own), *all = gmf_malloc(n_rows, sizeof *all);
    for (int64_t r = begin; r < end; r++) own[r - begin] = 3 * r;
    gmf_fold_spread(grid, f, batch, sizeof *own, own, all);
    for (int o = 0; o < f->n_owners; o++) {
      int64_t first = 0, last = 0;
      gmf_fold_range(f, batch, o, &first, &last);
      for (int64_t r = first; r < last; r++) CHECK(*all++ == 3 * r);
    }
    gmf_free(all - n_rows);
    gmf_free(own);
  }
  gmf_fold_destroy(&f);
}

static bool has_as_many(const int64_t *counts, int64_t n, int64_t least)
{
  for (int64_t j = 0; j < n; j++)
    if (counts[j] >= least) return true;
  return false;
}

/* The way that is there is the one that was chosen, and its figures are the plan's. */
static void check_choice(const gmf_grid *grid, const gmf_expand *plan, const gmf_hops_choice *choice, int64_t row_bytes)
{
  const gmf_hops_cost *straight = &choice->most[GMF_STRAIGHT], *hops = &choice->most[GMF_TWO_HOPS];
  double most[2] = {(double)gmf_expand_n_messages(plan), (double)(gmf_expand_n_received(plan) * row_bytes)};
  gmf_max_f64(grid, most, 2);
  CHECK(choice->considered);
  CHECK(choice->taken == (plan->before != NULL));
  CHECK(choice->most[choice->taken].messages == most[0] && choice->most[choice->taken].bytes == most[1]);
  if (row_bytes == 1) CHECK(choice->taken == (hops->messages < 0.9 * straight->messages));
  if (choice->taken) CHECK(hops->seconds < straight->seconds);
}

/* Blocks of both sides on the grid, and with heavy_from > 0 those of heavy rows on `n_cols` columns. */
static void check_sides(const gmf_grid *grid, const gmf_rating_source *source, int64_t nnz, int64_t heavy_from,
                        int n_cols)
{
  int64_t item_counts[ITEMS], user_counts[USERS] = {0};
  CHECK(gmf_census_degrees(grid, source, GMF_ITEMS, 0, ITEMS, item_counts, NULL) == GMF_OK);
  CHECK(item_counts[0] == USERS);
  int64_t rest[ITEMS - 2];
  CHECK(gmf_census_degrees(grid, source, GMF_ITEMS, 1, ITEMS - 2, rest, NULL) == GMF_OK);
  CHECK(memcmp(rest, item_counts + 1, sizeof rest) == 0);
  for (int64_t u = 0; u < USERS; u++)
    for (int64_t i = 0; i < ITEMS; i++) user_counts[u] += is_rated(u, i);
  const int64_t *counts[2] = {user_counts, item_counts};
  gmf_node *node = NULL;
  gmf_hops *hops = NULL;
  if (heavy_from % 3 == 1) CHECK(gmf_node_create(grid, &node, NULL) == GMF_OK);
  if (heavy_from % 3 == 2 || heavy_from == 0) CHECK(gmf_hops_create(grid, &hops, NULL) == GMF_OK);
  gmf_hops_choice choices[2];
  gmf_ways ways = {.node = node, .hops = hops};
  if (heavy_from == 0) ways.choices = choices; /* where a message outweighs its bytes, two hops pay if they save some */
  if (heavy_from == 0) ways.row_bytes = source->has_weights ? 1 << 20 : 1;
  gmf_axis *axes[2] = {hashed(grid, USERS), balanced(grid, ITEMS)};
  gmf_heavy *heavy[2] = {NULL, NULL};
  gmf_block *blocks[2] = {NULL, NULL};
  gmf_layout layout = {heavy_from > 0 ? heavy_from : INT64_MAX, grid->size / n_cols, n_cols};
  for (int s = 0; s < 2; s++) {
    CHECK(gmf_heavy_find(grid, source, (gmf_side)s, &layout, s == 1 && heavy_from % 2 == 0 ? item_counts : NULL,
                         &heavy[s], NULL) == GMF_OK);
    CHECK((heavy[s] != NULL) == (n_cols > 1 && has_as_many(counts[s], s == 0 ? USERS : ITEMS, layout.heavy_from)));
    if (heavy[s] == NULL) continue;
    CHECK(gmf_heavy_place(grid, axes[s], heavy[s], NULL) == GMF_OK);
    check_heavy(grid, axes[s], heavy[s], counts[s]);
  }
  CHECK(gmf_blocks_create(grid, &ways, source, axes, heavy, blocks, NULL) == GMF_OK);
  for (int s = 0; s < 2; s++) {
    if (ways.choices != NULL) check_choice(grid, blocks[s]->expand, &choices[s], ways.row_bytes);
    check_blocks(grid, blocks[s], axes[1 - s], heavy[s], nnz, source->has_weights);
    for (const gmf_block *b = blocks[s]; b != NULL; b = b->next)
      check_fold(b->grid, b, b->n_rows % 2 == 0 ? GMF_FOLD_BYTES : 200);
    gmf_block_destroy(&blocks[s]);
  }
  for (int s = 0; s < 2; s++) {
    gmf_heavy_destroy(&heavy[s]);
    gmf_axis_destroy(&axes[s]);
  }
  gmf_node_destroy(&node);
  gmf_hops_destroy(&hops);
}

static void test_blocks(const gmf_grid *grid, bool weighted)
{
  fake_file *file = gmf_calloc(1, sizeof *file);
  int64_t indptr[USERS + 1] = {0};
  for (int64_t u = 0, n = 0; u < USERS; u++) {
    for (int64_t i = 0; i < ITEMS; i++) {
      if (!is_rated(u, i)) continue;
      file->items[n] = i;
      file->values[n++] = value_at(u, i);
    }
    indptr[u + 1] = n;
  }
  int64_t begin = gmf_slice_begin(USERS, grid->size, grid->rank),
          end = gmf_slice_begin(USERS, grid->size, grid->rank + 1);
  gmf_rating_source source = {{USERS, ITEMS}, begin, end, indptr + begin, weighted, read_fake, file};
  check_sides(grid, &source, indptr[USERS], 0, 1);
  for (int n_cols = 1; n_cols <= grid->size && grid->n_cols == 1; n_cols++)
    for (int64_t from = 1; from <= USERS && grid->size % n_cols == 0; from += 7)
      if (from <= 8 || n_cols == grid->size) check_sides(grid, &source, indptr[USERS], from, n_cols);
  gmf_free(file);
}

/* ---- agreement --------------------------------------------------------------------------------------------------- */

static void test_agreement(const gmf_grid *grid)
{
  gmf_error err = {0};
  CHECK(gmf_agree(grid, GMF_OK, &err) == GMF_OK && err.status == GMF_OK);
  int first = grid->size / 2;
  gmf_status mine = GMF_OK;
  if (grid->rank >= first) mine = gmf_fail(&err, GMF_ERR_DATA, "rank %d failed", grid->rank);
  char expected[32];
  snprintf(expected, sizeof expected, "rank %d failed", first);
  CHECK(gmf_agree(grid, mine, &err) == GMF_ERR_DATA);
  CHECK(strcmp(err.text, expected) == 0 && err.rank_plus_1 == first + 1);
}

int main(int argc, char **argv)
{
  gmf_trace trace;
  gmf_grid *grid = start_checks(argc, argv, &trace);
  test_axes(grid);
  test_exchange(grid);
  test_bf16();
  test_expand(grid);
  test_blocks(grid, false);
  test_blocks(grid, true);
  test_agreement(grid);
  return finish_checks(&grid);
}
