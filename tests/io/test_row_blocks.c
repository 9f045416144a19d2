/* Rows that callers have in any slices arrive in the blocks of the ranks, whole and in order; own rows stay. */
#include "io/row_blocks.h"

#include "base/memory.h"
#include "base/random.h"
#include "mpi_check.h"

typedef struct shape {
  int64_t n_rows, row_bytes, block_rows;
} shape;

/* How callers have the rows. */
enum { AS_BLOCKS, EVENLY, ALL_ON_LAST, BY_CHANCE, N_WAYS };

static char byte_at(int64_t row, int64_t byte) { return (char)((row * 31 + byte * 7) % 127); }

/* The first row of rank r; of the rank behind the last: n_rows. */
static int64_t cut(const gmf_grid *grid, const gmf_row_blocks *b, int way, int r)
{
  int64_t cuts[64];
  if (way == AS_BLOCKS) return gmf_block_row(b, gmf_slice_begin(b->n_blocks, grid->size, r));
  if (way == EVENLY) return gmf_slice_begin(b->n_rows, grid->size, r);
  if (way == ALL_ON_LAST || r == 0 || r == grid->size) return r == grid->size ? b->n_rows : 0;
  for (int c = 1; c < grid->size; c++) {
    double u = gmf_random_uniform(1, GMF_STREAM_SPLIT, (uint64_t)(b->n_rows + b->block_rows), (uint32_t)c);
    int at = c;
    for (; at > 1 && cuts[at - 1] > (int64_t)(u * (double)b->n_rows); at--) cuts[at] = cuts[at - 1];
    cuts[at] = (int64_t)(u * (double)b->n_rows);
  }
  return cuts[r];
}

/* The rows of my blocks, as runs and as a copy of all but the first of them. */
static void check_rows(const gmf_row_blocks *b, const gmf_block_rows *rows, const char *mine, int64_t mine_bytes)
{
  int64_t first = gmf_block_row(b, b->begin), n = gmf_block_row(b, b->end) - first, n_runs = 0;
  CHECK(rows->n_before + rows->n_own + rows->n_behind == n);
  for (int64_t at = 0, run = 0; at < n; at += run, n_runs++) {
    const char *from = gmf_block_rows_at(rows, b->row_bytes, at, &run);
    CHECK(run > 0 && at + run <= n);
    bool is_own = at >= rows->n_before && at < rows->n_before + rows->n_own;
    CHECK(is_own == (from >= mine && from < mine + mine_bytes));
    for (int64_t j = 0; j < run * b->row_bytes; j++)
      CHECK(from[j] == byte_at(first + at + j / b->row_bytes, j % b->row_bytes));
  }
  CHECK(n_runs <= 3);
  if (n < 2) return;
  char *copy = gmf_calloc(n - 1, (size_t)b->row_bytes);
  gmf_block_rows_copy(rows, b->row_bytes, 1, n - 1, copy);
  for (int64_t j = 0; j < (n - 1) * b->row_bytes; j++)
    CHECK(copy[j] == byte_at(first + 1 + j / b->row_bytes, j % b->row_bytes));
  gmf_free(copy);
}

static void test_gather(const gmf_grid *grid, shape s, int way)
{
  gmf_row_blocks b = gmf_row_blocks_of(grid, s.n_rows, s.row_bytes, s.block_rows);
  gmf_block_rows rows = {0};
  gmf_error err = {0};
  int64_t begin = cut(grid, &b, way, grid->rank), n = cut(grid, &b, way, grid->rank + 1) - begin;
  char *mine = gmf_calloc(n, (size_t)s.row_bytes);
  for (int64_t j = 0; j < n * s.row_bytes; j++) mine[j] = byte_at(begin + j / s.row_bytes, j % s.row_bytes);
  CHECK(gmf_block_rows_gather(grid, &b, begin, n, mine, &rows, &err) == GMF_OK);
  CHECK(way != AS_BLOCKS || rows.received == NULL);
  check_rows(&b, &rows, mine, n * s.row_bytes);
  gmf_block_rows_free(&rows);
  gmf_free(mine);
}

int main(int argc, char **argv)
{
  static const shape SHAPES[] = {{0, 8, 4}, {1, 8, 4}, {7, 1, 10}, {40, 12, 4}, {97, 4, 10}, {1000, 3, 1}};
  gmf_trace trace;
  gmf_grid *grid = start_checks(argc, argv, &trace);
  for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++)
    for (int way = 0; way < N_WAYS; way++) test_gather(grid, SHAPES[s], way);
  return finish_checks(&grid);
}
