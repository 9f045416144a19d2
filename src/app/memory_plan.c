#include "app/memory_plan.h"

#include <math.h>
#include <stdio.h>

#include "algo/best_lists.h"
#include "algo/features.h"
#include "base/key_sort.h"
#include "base/narrow.h"
#include "dist/axis.h"
#include "dist/fetch_table.h"
#include "dist/fold.h"
#include "kernel/dense.h"
#include "kernel/row_solver.h"
#include "kernel/toplists.h"
#include "linalg/scalapack.h"

enum {
  F4 = 4,
  F8 = 8,
  I8 = 8,
  ROUND_RATINGS = 1 << 19,                        /* dist/block.c: ratings that a rank sends in one round */
  ROUND_BYTES = 4 * I8 + 12,                      /* of its buffers, for each of them, beside the message */
  ORDERING = I8 + 4 + 2 * (int)sizeof(gmf_keyed), /* dist/axis.c, of a row: work, order, and twice what is sorted */
  BLAS_BYTES = 24 << 20 /* panels that OpenBLAS packs for its products, of a rank of one thread, as measured */
};

static int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

static int64_t max3(int64_t a, int64_t b, int64_t c) { return gmf_max64(a, gmf_max64(b, c)); }

/* ---- training ---------------------------------------------------------------------------------------------------- */

static int row_length(const gmf_train_shape *s) { return gmf_pad(gmf_row_order(s->n_factors, s->bias)); }

void gmf_expect_shares(const gmf_train_shape *s, gmf_memory_share shares[GMF_N_SIDES])
{
  for (int side = 0; side < GMF_N_SIDES; side++) {
    int64_t n_fixed = s->n[gmf_other_side((gmf_side)side)];
    double degree = n_fixed > 0 ? (double)s->nnz / (double)n_fixed : 0;
    /* A fixed row of my grid column is touched unless none of its ratings falls to my grid row; where ranks share, to
     * theirs, and each of them holds a part. */
    int rows = gmf_int(gmf_max64(1, s->node_ranks / s->n_grid_cols));
    double missed = s->n_grid_rows > rows ? pow(1 - (double)rows / s->n_grid_rows, degree) : degree > 0 ? 0 : 1;
    double slots = (double)n_fixed * (1 - missed) / (s->node_ranks > s->n_grid_cols ? s->node_ranks : s->n_grid_cols);
    shares[side] = (gmf_memory_share){.ratings = divide_up(s->nnz, s->n_ranks),
                                      .rows = divide_up(s->n[side], s->n_grid_rows),
                                      .own = divide_up(s->n[side], s->n_ranks),
                                      .slots = (int64_t)slots,
                                      .sent = (int64_t)(s->n_grid_cols > 1 ? slots : slots * (1 - 1.0 / s->n_ranks)),
                                      .fold_cols = s->n_grid_cols,
                                      .longest = divide_up(s->n[side], s->n_ranks)};
    shares[side].at_once = shares[side].slots;
    shares[side].leaving = shares[side].sent;
  }
}

/*
 * What Open MPI's shared memory (vader, one segment of 4 MiB for each rank of a node) comes to in a rank's resident
 * size. A rank sees the pages of the others' segments that messages for it have lain in, which become more with every
 * exchange, as pieces are taken in another order. For each of the n ranks of the node that is about
 *
 *   70 kB + min(c sqrt(S 1 MB) (1 - exp(-12 r / n)), 150 kB (n - 1)),    at most the segment,
 *
 * where a rank sends S bytes in an exchange to those of its node, r is the number of exchanges, and c is 1 where
 * messages are copied twice and 0.2 where long ones are read from the sender's memory: a fit to runs of Open MPI 4.1 on
 * 2 to 64 ranks, messages of 0.2 kB to 200 kB and 3 to 200 exchanges.
 */
static int64_t mpi_bytes(const gmf_train_shape *s, int64_t sent, int64_t n_exchanges)
{
  const double SEGMENT = 4 << 20, LEAST = 70e3, PAIR = 150e3, UNIT = 1e6, SETTLING = 12;
  if (s->n_here <= 1 || s->n_ranks <= 1) return 0;
  double n = s->n_here, here = (double)sent * (n - 1) / (s->n_ranks - 1), c = s->mpi_copies ? 1 : 0.2;
  double seen = fmin(c * sqrt(here * UNIT) * -expm1(-SETTLING * (double)n_exchanges / n), PAIR * (n - 1));
  return (int64_t)(n * fmin(LEAST + seen, SEGMENT));
}

/* While ratings travel, in four piles at most, round after round. */
static int64_t mpi_distribution_bytes(const gmf_train_shape *s)
{
  int64_t mine = divide_up(s->nnz, s->n_ranks), message = s->weighted ? 24 : 16;
  return mpi_bytes(s, gmf_min64(ROUND_RATINGS, mine) * message, 4 * divide_up(mine, ROUND_RATINGS));
}

/* When all sweeps are done. */
static int64_t mpi_sweep_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  int64_t rows = gmf_max64(b[GMF_USERS].leaving, b[GMF_ITEMS].leaving);
  int64_t sweeps = mpi_bytes(s, rows * (int64_t)gmf_wire_bytes(s->wire, row_length(s)), 2 * s->n_sweeps);
  return gmf_max64(sweeps, mpi_distribution_bytes(s));
}

static int64_t rating_bytes(const gmf_train_shape *s) { return 2 * F4 + (s->weighted ? F4 : 0); }

/* A block that is ready. */
static int64_t block_bytes(const gmf_train_shape *s, const gmf_memory_share *b)
{
  return b->ratings * rating_bytes(s) + (b->rows + b->heavy_rows) * (2 * I8 + 4) +
         (b->sent + b->slots / s->n_ranks) * 4;
}

/* The longer pile of a side, of light and of heavy rows, which are sorted one after the other. */
static int64_t longer_pile(const gmf_memory_share *b)
{
  return gmf_max64(b->heavy_ratings, b->ratings - b->heavy_ratings);
}

/* `bytes` for each row of a side that is placed by a table. */
static int64_t table_bytes(const gmf_train_shape *s, gmf_side side, int64_t bytes)
{
  return gmf_axis_has_table(s->n[side]) ? s->n[side] * bytes : 0;
}

/* The counts of both sides, and beside them the choice of heavy rows, or the work and the order of one side after the
 * other, which is sorted. */
static int64_t placing_bytes(const gmf_train_shape *s)
{
  int64_t counts = table_bytes(s, GMF_USERS, I8) + table_bytes(s, GMF_ITEMS, I8);
  int64_t placing = gmf_max64(table_bytes(s, GMF_USERS, ORDERING), table_bytes(s, GMF_ITEMS, ORDERING));
  return counts + gmf_max64(placing, s->chooses ? gmf_fetch_table_bytes(s->n[GMF_ITEMS], s->n_ranks) : 0);
}

/* The most while ratings travel and are sorted: both piles and the buffers of a round, or both piles and a sorted copy
 * of the users', or the users' block and the items' pile twice; or, before all that, what places the rows. */
static int64_t distribution_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  int64_t message = s->weighted ? 24 : 16, users = b[GMF_USERS].ratings * message,
          items = b[GMF_ITEMS].ratings * message;
  int64_t round = gmf_min64(ROUND_RATINGS, divide_up(s->nnz, s->n_ranks)) * (ROUND_BYTES + message);
  int64_t sorting = gmf_max64(users + longer_pile(&b[GMF_USERS]) * message + items,
                              block_bytes(s, &b[GMF_USERS]) + items + longer_pile(&b[GMF_ITEMS]) * message);
  return max3(placing_bytes(s), users + items + round,
              sorting + b[GMF_USERS].rows * I8 + b[GMF_USERS].slots * (I8 + 4));
}

/* Rows of the fixed side, as they are received, as they are sent and between two hops. */
static int64_t expanded_rows(const gmf_memory_share b[GMF_N_SIDES])
{
  int panels = b[GMF_USERS].is_cut || b[GMF_ITEMS].is_cut ? 2 : 1;
  return panels * gmf_max64(b[GMF_USERS].at_once, b[GMF_ITEMS].at_once) +
         gmf_max64(b[GMF_USERS].leaving, b[GMF_ITEMS].leaving) + gmf_max64(b[GMF_USERS].between, b[GMF_ITEMS].between);
}

/* The same where panels are meant that have not been cut yet, of which two are there, and as many rows on their way out
 * as on their way in. */
static int64_t expanded_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  int64_t row = row_length(s) * F4, all = expanded_rows(b) * row;
  int64_t least = 3 * gmf_max64(b[GMF_USERS].least, b[GMF_ITEMS].least) * row;
  return s->expand_bytes > 0 ? gmf_min64(all, gmf_max64(s->expand_bytes, least)) : all;
}

/* Doubles of `words` a row that a fold takes, into *part those of a rank's rows in a batch. */
static int64_t fold_buffers(const gmf_memory_share *b, int64_t words, int64_t batch_bytes, int64_t *part)
{
  *part = gmf_fold_batch_rows(b->fold_cols, words, batch_bytes, b->longest) * words * F8;
  return *part * (b->fold_cols + 1);
}

/* Rows of which conjugate gradients keep copies. */
static int64_t copied_rows(const gmf_train_shape *s, const gmf_memory_share *b)
{
  bool copies = b->fold_cols > 1 && gmf_als_way_copies(b->heavy_rows > 0 ? s->fold_heavy : s->fold_all);
  return !copies ? 0 : b->heavy_rows > 0 ? b->heavy_rows : b->rows;
}

/* The vectors of conjugate gradients, of my rows and of those of all owners in a batch; see algo/als_fold_cg.c. */
static int64_t cg_vectors(const gmf_train_shape *s, const gmf_memory_share *b, gmf_als_way way)
{
  enum { OWN_VECTORS = 5 };
  int64_t n = gmf_row_order(s->n_factors, s->bias), words = gmf_als_cg_words(way, (int)n);
  int64_t rows = gmf_fold_batch_rows(b->fold_cols, words, GMF_ALS_CG_BATCH, b->longest);
  int64_t moved = (b->fold_cols + 1) * gmf_als_cg_vector(way, (int)n);
  int64_t bytes = rows * (n * OWN_VECTORS * F8 + moved) + (b->rows + b->heavy_rows) * (F8 + 1);
  if (!way.exact)
    bytes += rows * (b->fold_cols * gmf_als_cg_vector(way, (int)n) + F4) + copied_rows(s, b) * row_length(s) * F4;
  return bytes;
}

/* Of both sides, and what MPI_Reduce_scatter takes for a ring of the longer one: a copy of the summands, and one or two
 * blocks of it on their way. svd_words: of the SVD, where it is one. */
static int64_t fold_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES], int64_t svd_words)
{
  int64_t bytes = 0, longest = 0;
  int n = gmf_row_order(s->n_factors, s->bias);
  for (int side = 0; side < GMF_N_SIDES; side++) {
    const gmf_memory_share *of = &b[side];
    gmf_als_way way = of->heavy_rows > 0 ? s->fold_heavy : s->fold_all;
    int64_t part = 0;
    if (of->fold_cols <= 1) continue;
    if (s->is_svd)
      bytes += fold_buffers(of, svd_words, GMF_FOLD_BYTES, &part);
    else if (way.cg_steps == 0)
      bytes += fold_buffers(of, gmf_als_gram_words(n), gmf_als_gram_batch(way), &part);
    else
      bytes += fold_buffers(of, gmf_als_cg_words(way, n), GMF_ALS_CG_BATCH, &part) + cg_vectors(s, of, way) +
               gmf_als_gram_batch(way);
    longest = gmf_max64(longest, part * (of->fold_cols + (of->fold_cols > 2 ? 2 : 1)));
  }
  return bytes + longest;
}

static int64_t solver_bytes(const gmf_train_shape *s)
{
  int64_t ld = row_length(s), square = ld * ld;
  int64_t thread =
      square * (F4 + 2 * F8) + gmf_gram_work(row_length(s)) * F4 + 2 * GMF_GRAM_DEPTH * ld * F8 + ld * (F4 + 5 * F8);
  thread += (gmf_dual_batch_work(row_length(s)) + 2 * GMF_DUAL_BATCH * ld) * F8;
  int64_t shared = square * F8;
  if (s->basis) thread += GMF_CG_PANELS * (int64_t)sizeof(gmf_cg_panel);
  if (s->basis) shared += 2 * square * F8 + (2 * square + 6 * ld) * F8; /* rotation, eigenvectors; rank 0: LAPACK's */
  if (s->deterministic && s->all_pairs)
    thread += GMF_EXACT_PAIRS * square * F8 + GMF_EXACT_PIECES * GMF_EXACT_DEPTH * ld * F8;
  return s->n_threads * thread + shared;
}

/* Features in the order of the file, as they are sent and received, and what algo/features.c keeps of them. */
static int64_t features_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  int64_t bytes = 0;
  for (int side = 0; side < GMF_N_SIDES; side++) {
    int64_t p = s->n_features[side], nnz = divide_up(s->nnz_features[side], s->n_ranks);
    if (p == 0) continue;
    bytes += b[side].own * I8 + nnz * (4 + F4) + 2 * nnz * 16 +
             gmf_prior_bytes(p, b[side].own, nnz, s->n_factors, s->n_ranks);
    bytes += p * s->n_factors * F8; /* as they are written */
  }
  return bytes;
}

/* What early stopping keeps. */
static int64_t best_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  return s->early_stop ? (b[GMF_USERS].own + b[GMF_ITEMS].own) * row_length(s) * F4 : 0;
}

/* As evaluate takes it, whose items are panels of the expanded rows. */
static int64_t validation_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  if (s->nnz_test == 0) return 0;
  gmf_evaluate_shape scored = {.n_users = s->n[GMF_USERS],
                               .n_items = s->n[GMF_ITEMS],
                               .n_test_users = s->n_test[GMF_USERS],
                               .n_test_items = s->n_test[GMF_ITEMS],
                               .n_test = s->nnz_test,
                               .n_ranks = s->n_ranks,
                               .n_threads = s->n_threads,
                               .n_factors = row_length(s)};
  return gmf_plan_evaluate(&scored).peak + best_bytes(s, b);
}

static int64_t factor_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  int64_t row = row_length(s) * F4, longest = gmf_max64(b[GMF_USERS].own, b[GMF_ITEMS].own), all = 0;
  for (int side = 0; side < GMF_N_SIDES; side++) all = gmf_max64(all, b[side].own + copied_rows(s, &b[side]));
  return (b[GMF_USERS].own + b[GMF_ITEMS].own + all * (s->basis + s->relaxes)) * row +
         longest * (2 * F8 + (s->basis ? F4 : 0));
}

/*
 * Factors of `row` bytes in the order of the file. While they are made, of one side after the other, everything else is
 * still there: a row is in its message as it is sent and as it is received, then there and in its slice. After that the
 * ratings as they are stored again.
 */
static int64_t slice_bytes(int64_t row, const gmf_memory_share b[GMF_N_SIDES])
{
  int64_t users = b[GMF_USERS].own, items = b[GMF_ITEMS].own;
  return gmf_max64(users * 2 * (row + I8), users * (row + I8) + items * 2 * (row + I8));
}

static int64_t writing_bytes(const gmf_train_shape *s, int64_t row, const gmf_memory_share b[GMF_N_SIDES])
{
  int64_t users = b[GMF_USERS].own, items = b[GMF_ITEMS].own;
  int64_t seen = s->seen ? divide_up(s->nnz, s->n_ranks) * (I8 + F4 + 2 * F4) : 0;
  return (users + items) * (row + I8) + gmf_max64(gmf_max64(users, items) * row, seen);
}

/* What every algorithm needs. */
static void add_common_parts(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES], int64_t *parts)
{
  parts[GMF_MEMORY_PROGRAM] = s->program_bytes;
  parts[GMF_MEMORY_TABLES] = table_bytes(s, GMF_USERS, 8) + table_bytes(s, GMF_ITEMS, 8);
  parts[GMF_MEMORY_RATINGS_BY_USER] = block_bytes(s, &b[GMF_USERS]);
  parts[GMF_MEMORY_RATINGS_BY_ITEM] = block_bytes(s, &b[GMF_ITEMS]);
  parts[GMF_MEMORY_DISTRIBUTION] = distribution_bytes(s, b);
}

static gmf_memory_plan plan_als(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  gmf_memory_plan plan = {.peak = 0};
  int64_t row = s->n_factors * F4, sweeps = 0;
  int64_t *parts = plan.parts, slices = slice_bytes(row, b), writing = writing_bytes(s, row, b);
  add_common_parts(s, b, parts);
  parts[GMF_MEMORY_MPI] = mpi_sweep_bytes(s, b);
  parts[GMF_MEMORY_FACTORS] = factor_bytes(s, b);
  parts[GMF_MEMORY_EXPANDED] = expanded_bytes(s, b);
  parts[GMF_MEMORY_FOLDS] = fold_bytes(s, b, 0);
  parts[GMF_MEMORY_FEATURES] = features_bytes(s, b);
  parts[GMF_MEMORY_SOLVER] = solver_bytes(s);
  parts[GMF_MEMORY_VALIDATION] = validation_bytes(s, b);
  if (s->saves) slices += best_bytes(s, b); /* in the order of the file, too */
  parts[GMF_MEMORY_WRITING] = gmf_max64(slices, writing);
  for (int p = GMF_MEMORY_RATINGS_BY_USER; p <= GMF_MEMORY_VALIDATION; p++) sweeps += parts[p];
  plan.peak = parts[GMF_MEMORY_PROGRAM] + parts[GMF_MEMORY_TABLES] +
              max3(parts[GMF_MEMORY_DISTRIBUTION] + mpi_distribution_bytes(s), sweeps + slices + parts[GMF_MEMORY_MPI],
                   writing + parts[GMF_MEMORY_MPI]);
  return plan;
}

/* ---- singular value decompositions ------------------------------------------------------------------------------- */

/* The dense matrices of gram, and the ratings as they are listed for it, sent to the ranks of a process row and
 * received. */
static int64_t dense_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  double n = (double)s->n[GMF_ITEMS], part = sqrt((double)s->n_ranks);
  int64_t list = b[GMF_USERS].ratings * (int64_t)sizeof(gmf_entry);
  int64_t gather = (int64_t)((double)list * 2 * part) + s->n[GMF_USERS] * I8;
  return list + gmf_max64(gather, (int64_t)(GMF_GRAM_MATRICES * F8 * n * n / s->n_ranks)) + (int64_t)n * 3 * F8;
}

/* The projected matrix, its factors, LAPACK's copy and workspace on rank 0; and what a basis grows by. */
static int64_t projected_bytes(const gmf_svd_sizes *z)
{
  int64_t order = z->order;
  return order * order * F8 * 8 + 4 * order * z->width * F8;
}

/* What is moved into the order of the file while a state is saved: bases, and the triplets so far. */
static int64_t state_bytes(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  const gmf_svd_sizes *z = &s->svd.sizes;
  int64_t there = b[GMF_ITEMS].own * z->of_copies * F8, most = 0;
  for (int part = 0; part < 2 * GMF_N_SIDES; part++) {
    int64_t own = b[part % GMF_N_SIDES].own;
    int64_t row = (part < GMF_N_SIDES ? z->of_state[part] : s->n_factors) * F8;
    if (row > 0) most = gmf_max64(most, there + own * 2 * (row + I8));
    there += own * row;
  }
  return most;
}

/* Vectors, ratings and the operator are there until the end; beside them first what the search needs, then the blocks
 * of the certificates, then the slices of the file. */
static gmf_memory_plan plan_svd(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  gmf_memory_plan plan = {.peak = 0};
  const gmf_svd_sizes *z = &s->svd.sizes;
  int64_t *parts = plan.parts, users = b[GMF_USERS].own, items = b[GMF_ITEMS].own, row = s->n_factors * F8, held = 0;
  add_common_parts(s, b, parts);
  parts[GMF_MEMORY_FACTORS] = (users * z->columns[GMF_USERS] + items * z->columns[GMF_ITEMS]) * F8 +
                              (s->svd.centered ? (users + items) * F8 : 0);
  parts[GMF_MEMORY_EXPANDED] = (expanded_rows(b) + gmf_max64(users, items)) * z->width * F8;
  parts[GMF_MEMORY_FOLDS] = fold_bytes(s, b, z->width);
  parts[GMF_MEMORY_SOLVER] =
      BLAS_BYTES + max3(projected_bytes(z), (users + items) * z->width * F8, s->svd.dense ? dense_bytes(s, b) : 0);
  parts[GMF_MEMORY_WRITING] = max3(slice_bytes(row, b), writing_bytes(s, row, b), s->saves ? state_bytes(s, b) : 0);
  for (int p = GMF_MEMORY_RATINGS_BY_USER; p < GMF_MEMORY_SOLVER; p++) held += parts[p];
  plan.peak = parts[GMF_MEMORY_PROGRAM] + parts[GMF_MEMORY_TABLES] +
              gmf_max64(parts[GMF_MEMORY_DISTRIBUTION],
                        held + gmf_max64(parts[GMF_MEMORY_SOLVER], BLAS_BYTES + parts[GMF_MEMORY_WRITING]));
  return plan;
}

gmf_memory_plan gmf_plan_train(const gmf_train_shape *s, const gmf_memory_share b[GMF_N_SIDES])
{
  return s->is_svd ? plan_svd(s, b) : plan_als(s, b);
}

/* ---- item-based models ------------------------------------------------------------------------------------------- */

enum {
  WEIGHT = 16,
  PARCEL = 16,
  PILE_RATING = F4 + F8,
  CELL = 16 + 4,
  PBLAS_BLOCK = 128,
  INVERSE_BYTES = 6 << 20,
  DENSE_ROWS = 2 << 20,
  KEEP_ROWS = 4 << 20
};

/* The ratings as they are stored again, and indices of sparse weights in the width of the file. */
static int64_t items_writing_bytes(const gmf_items_shape *s)
{
  int64_t seen = divide_up(s->nnz, s->n_ranks) * (I8 + F4 + 2 * F4);
  int64_t sparse = divide_up(s->n[GMF_ITEMS], s->n_ranks) * s->n_kept;
  return sparse * (I8 + F8 + s->weight_bytes) + gmf_max64(seen, sparse * 2 * s->weight_bytes);
}

/* algo/item_knn.c: shares of the items and of their ratings are even, but for a twentieth. From the second step of the
 * ring on there are visitors who come and visitors who go. */
gmf_memory_plan gmf_plan_item_knn(const gmf_items_shape *s)
{
  gmf_memory_plan plan = {.peak = 0};
  int64_t n = s->n[GMF_ITEMS], *parts = plan.parts;
  bool alone = s->n_ranks == 1;
  int64_t r = divide_up(s->nnz + (alone ? 0 : s->nnz / 20), s->n_ranks);
  int64_t users = gmf_min64(s->n[GMF_USERS], r), own = divide_up(n + (alone ? 0 : n / 20), s->n_ranks);
  int64_t lists = gmf_best_lists_bytes(own, s->n_kept), kept = own * s->n_kept, pile = r * PILE_RATING + users * 2 * I8;
  parts[GMF_MEMORY_PROGRAM] = s->program_bytes;
  parts[GMF_MEMORY_TABLES] = n * (2 * I8 + (alone ? 16 : 8));
  parts[GMF_MEMORY_RATINGS_BY_ITEM] = pile + r * (4 + I8) + users * I8 + own * 2 * I8;
  parts[GMF_MEMORY_VISITORS] = alone ? 0 : (s->n_ranks > 3 ? 2 : 1) * (pile + own * I8);
  parts[GMF_MEMORY_LISTS] = lists + (alone ? 0 : lists + 2 * kept * WEIGHT);
  parts[GMF_MEMORY_SOLVER] = s->n_threads * own * CELL;
  parts[GMF_MEMORY_DISTRIBUTION] = max3(2 * r * PARCEL, r * PARCEL + pile, n * (ORDERING - 2 * I8)) + n * 2 * I8;
  parts[GMF_MEMORY_WRITING] = gmf_max64(lists + kept * WEIGHT, gmf_max64(kept * 3 * WEIGHT, items_writing_bytes(s)));
  plan.peak = parts[GMF_MEMORY_PROGRAM] + parts[GMF_MEMORY_TABLES] +
              max3(parts[GMF_MEMORY_DISTRIBUTION],
                   parts[GMF_MEMORY_RATINGS_BY_ITEM] + parts[GMF_MEMORY_VISITORS] + parts[GMF_MEMORY_LISTS] +
                       parts[GMF_MEMORY_SOLVER],
                   parts[GMF_MEMORY_WRITING]);
  return plan;
}

/*
 * linalg/gram.c and spd_inverse.c on a grid of R x C processes. Ratings go to C and then to R of them, and are put in
 * order there, before the matrix is; what PBLAS takes, blocks of each direction, is there when the ratings are not.
 */
gmf_memory_plan gmf_plan_ease(const gmf_items_shape *s)
{
  gmf_memory_plan plan = {.peak = 0};
  int64_t n = s->n[GMF_ITEMS], *parts = plan.parts, rows = (int64_t)sqrt((double)s->n_ranks);
  while (s->n_ranks % rows != 0) rows--;
  int64_t columns = s->n_ranks / rows, size = s->single ? F4 : F8, r = divide_up(s->nnz, s->n_ranks);
  int64_t of_rows = divide_up(s->nnz, rows), of_columns = divide_up(s->nnz, columns), users = s->n[GMF_USERS] * I8;
  int64_t n_rows = gmf_min64(n, divide_up(n, rows) + 64), n_columns = gmf_min64(n, divide_up(n, columns) + 64);
  int64_t piles = (of_rows + of_columns) * F8 + users;
  parts[GMF_MEMORY_PROGRAM] = s->program_bytes;
  parts[GMF_MEMORY_RATINGS_BY_USER] = piles;
  parts[GMF_MEMORY_MATRIX] = n_rows * n_columns * size;
  parts[GMF_MEMORY_SOLVER] = INVERSE_BYTES + (n_rows + n_columns) * PBLAS_BLOCK * size;
  parts[GMF_MEMORY_DISTRIBUTION] = r * PARCEL + gmf_max64((r * columns + 2 * of_rows) * PARCEL,
                                                          of_rows * F8 + users + (r * rows + 2 * of_columns) * PARCEL);
  int64_t panel_bytes = 3 * gmf_max64(s->n_kept > 0 ? KEEP_ROWS : DENSE_ROWS, n * F8);
  int64_t kept = divide_up(n, s->n_ranks) * s->n_kept * 3 * WEIGHT;
  parts[GMF_MEMORY_WRITING] = gmf_max64(panel_bytes + kept, items_writing_bytes(s));
  plan.peak = parts[GMF_MEMORY_PROGRAM] +
              max3(gmf_max64(parts[GMF_MEMORY_DISTRIBUTION], INVERSE_BYTES + parts[GMF_MEMORY_WRITING]),
                   parts[GMF_MEMORY_MATRIX] + gmf_max64(parts[GMF_MEMORY_RATINGS_BY_USER], parts[GMF_MEMORY_SOLVER]),
                   parts[GMF_MEMORY_MATRIX] + INVERSE_BYTES + panel_bytes + kept);
  return plan;
}

/* ---- import and evaluation --------------------------------------------------------------------------------------- */

/*
 * A rating takes 24 bytes on the rank that reads it, another 24 on the rank that sorts it, and 16 while it travels from
 * one to the other; pieces are given back only when they have been sent. What ids take depends on the data.
 */
gmf_memory_plan gmf_plan_import(const gmf_import_shape *s)
{
  enum { RAW_BYTES = 24, TRAVEL_BYTES = 16, BLOCK_BYTES = 8 << 20 };
  gmf_memory_plan plan = {.peak = 0};
  double length = fmax(1, s->bytes_per_rating);
  int64_t n_read = (int64_t)((double)s->n_bytes_at_once / length);
  int64_t n = (int64_t)((double)s->n_bytes / length / s->n_ranks), raw = RAW_BYTES + (s->weighted ? F4 : 0);
  plan.parts[GMF_MEMORY_PROGRAM] = s->program_bytes;
  plan.parts[GMF_MEMORY_TEXT] = (int64_t)s->n_threads * BLOCK_BYTES + n_read * raw;
  plan.parts[GMF_MEMORY_DISTRIBUTION] = n * (raw + (s->n_ranks > 1 ? TRAVEL_BYTES : 0));
  plan.parts[GMF_MEMORY_WRITING] = n * (I8 + F4 + F4);
  plan.peak = s->program_bytes + plan.parts[GMF_MEMORY_TEXT] +
              gmf_max64(plan.parts[GMF_MEMORY_DISTRIBUTION], plan.parts[GMF_MEMORY_WRITING]);
  return plan;
}

/* The test ratings of a rank, the keys by which its ids are matched, and the panels in which scores are made. */
gmf_memory_plan gmf_plan_evaluate(const gmf_evaluate_shape *s)
{
  enum { PANEL_ITEMS = 4096, BATCH_USERS = 1024, TILE_USERS = 32, KEY_BYTES = 48, RATING_BYTES = 16 };
  enum { SCORE_BYTES = 1 << 26, READ_WEIGHTS = 1 << 22 };
  gmf_memory_plan plan = {.peak = 0};
  int64_t row = s->n_factors * F4, ids = s->n_test_items + divide_up(s->n_test_users, s->n_ranks);
  plan.parts[GMF_MEMORY_PROGRAM] = s->program_bytes;
  plan.parts[GMF_MEMORY_TABLES] = ids * KEY_BYTES;
  plan.parts[GMF_MEMORY_RATINGS_BY_USER] = divide_up(s->n_test, s->n_ranks) * RATING_BYTES;
  plan.parts[GMF_MEMORY_FACTORS] = (gmf_min64(BATCH_USERS, s->n_users) + gmf_min64(PANEL_ITEMS, s->n_items)) * row;
  if (s->n_factors == 0) /* two batches of scores, and rows of weights */
    plan.parts[GMF_MEMORY_FACTORS] =
        2 * gmf_max64(gmf_min64(SCORE_BYTES, s->n_users * s->n_items * F4), s->n_items * F4) +
        gmf_max64(gmf_min64(READ_WEIGHTS, s->n_items * s->n_items), s->n_items) * (F4 + I8);
  plan.parts[GMF_MEMORY_SOLVER] = (int64_t)s->n_threads * TILE_USERS * PANEL_ITEMS * F4;
  for (int p = 0; p < GMF_N_MEMORY_PARTS; p++) plan.peak += plan.parts[p];
  return plan;
}

/* ---- recommendations --------------------------------------------------------------------------------------------- */

int64_t gmf_recommend_user_bytes(int n_factors, int64_t top_n, int64_t n_seen)
{
  enum { STATE_BYTES = 64 };
  return n_factors * F4 + gmf_topn_bytes(top_n) + top_n * (I8 + F4) + 4 * n_seen * I8 + STATE_BYTES;
}

/* A batch of users, a panel of items as it is read and as it is packed, and the list of the users. */
gmf_memory_plan gmf_plan_recommend(const gmf_recommend_shape *s)
{
  enum { PANEL_FLOATS = 1 << 21, PANEL_MIN_ITEMS = 1024 };
  gmf_memory_plan plan = {.peak = 0};
  int64_t k = gmf_max64(1, s->n_factors), n_seen = s->n_seen / gmf_max64(1, s->n_users);
  int64_t panel = gmf_min64(gmf_max64(PANEL_FLOATS / k, PANEL_MIN_ITEMS), s->n_items);
  gmf_toplists_shape lists = {s->batch, gmf_min64(s->top_n, s->n_items), panel, s->n_factors, s->n_threads};
  plan.parts[GMF_MEMORY_PROGRAM] = s->program_bytes;
  plan.parts[GMF_MEMORY_TABLES] = s->n_listed * I8;
  plan.parts[GMF_MEMORY_RATINGS_BY_USER] = s->batch * 4 * n_seen * I8;
  plan.parts[GMF_MEMORY_FACTORS] = s->batch * k * F4 + panel * (k * F4 + F4 + I8);
  plan.parts[GMF_MEMORY_SOLVER] = gmf_toplists_bytes(&lists);
  plan.parts[GMF_MEMORY_WRITING] = s->batch * (s->top_n * (I8 + F4) + 4 * I8);
  for (int p = 0; p < GMF_N_MEMORY_PARTS; p++) plan.peak += plan.parts[p];
  return plan;
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

const char *gmf_memory_part_name(gmf_memory_part part)
{
  static const char *const NAMES[] = {"program and libraries",
                                      "MPI, shared by a node",
                                      "row tables",
                                      "ratings by user",
                                      "ratings by item",
                                      "factors",
                                      "expanded rows",
                                      "fold buffers",
                                      "dense matrix",
                                      "visiting ratings",
                                      "lists of neighbours",
                                      "features",
                                      "solver and scores",
                                      "validation",
                                      "text as it was read",
                                      "distribution",
                                      "writing"};
  return NAMES[part];
}

void gmf_memory_table(const gmf_memory_plan *plan, char *out, size_t size)
{
  size_t at = 0;
  out[0] = '\0';
  for (int p = 0; p < GMF_N_MEMORY_PARTS && at < size; p++)
    if (plan->parts[p] > 0)
      at += (size_t)snprintf(out + at, size - at, "\n  %-22s %10.1f MB", gmf_memory_part_name((gmf_memory_part)p),
                             (double)plan->parts[p] / 1e6);
}
