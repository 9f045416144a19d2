/*
 * How much memory a run will take, from numbers alone: no MPI, no files, so that `gridmf plan` can ask for machines
 * that are not there. All Local.
 *
 * The parts are the arrays of dist/, algo/als.c, algo/svd*.c and io/model_write.c by their shapes; a test holds their
 * sum against the measured peak (test_memory).
 */
#ifndef GMF_APP_MEMORY_PLAN_H
#define GMF_APP_MEMORY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "algo/als.h"
#include "algo/svd.h"
#include "dist/wire.h"

typedef enum gmf_memory_part {
  GMF_MEMORY_PROGRAM, /* what the process holds before it begins: libraries, MPI, the row pointers of the dataset */
  GMF_MEMORY_MPI,     /* pages that MPI shares among the ranks of a node, as each of them sees it */
  GMF_MEMORY_TABLES,  /* where the rows of sides that are not hashed stand */
  GMF_MEMORY_RATINGS_BY_USER,
  GMF_MEMORY_RATINGS_BY_ITEM,
  GMF_MEMORY_FACTORS,
  GMF_MEMORY_EXPANDED, /* fixed rows, as they are sent and as they are received */
  GMF_MEMORY_FOLDS,
  GMF_MEMORY_MATRIX,       /* dense, of items: ease */
  GMF_MEMORY_VISITORS,     /* ratings of others' items: item-knn */
  GMF_MEMORY_LISTS,        /* of neighbours */
  GMF_MEMORY_FEATURES,     /* of rows, their weights, and the regression */
  GMF_MEMORY_SOLVER,       /* k x k matrices and scratch, for each thread */
  GMF_MEMORY_VALIDATION,   /* the ratings of --test and what scores them; the best rows of --early-stop */
  GMF_MEMORY_TEXT,         /* of import: blocks of text, and the ratings read from them */
  GMF_MEMORY_DISTRIBUTION, /* while ratings travel and are sorted; later parts are not there yet */
  GMF_MEMORY_WRITING,      /* rows in the order of the file */
  GMF_N_MEMORY_PARTS
} gmf_memory_part;

/* Bytes on the rank that has most. The peak is less than the sum: not all parts are there at a time. */
typedef struct gmf_memory_plan {
  int64_t parts[GMF_N_MEMORY_PARTS];
  int64_t peak;
} gmf_memory_plan;

/* What a rank has of one side's block. */
typedef struct gmf_memory_share {
  int64_t ratings;
  int64_t rows;             /* of the updated side, in the block */
  int64_t own;              /* factor rows of this side that the rank owns */
  int64_t slots;            /* fixed rows that the ratings touch */
  int64_t sent;             /* rows of the fixed side that the rank sends to others, in all panels and hops */
  int64_t at_once, leaving; /* of the slots and the sent, the most that are there at a time */
  int64_t between;          /* fixed rows between two hops */
  bool is_cut;              /* into panels, whose numbers these are: the next one comes in beside the one in use */
  int64_t least; /* fixed rows that must be there at once: of the longest row, of all heavy rows; 0: not known */
  int64_t heavy_rows, heavy_ratings; /* of the heavy block, beside `rows` and in `ratings` */
  int fold_cols;                     /* of the grid of the rows that are folded; 0 or 1: none are */
  int64_t longest;                   /* the most of these that a rank of its grid row owns */
} gmf_memory_share;

/* Of an SVD beside the rest of the shape. */
typedef struct gmf_svd_shape {
  gmf_svd_sizes sizes;
  bool dense; /* --svd-method gram */
  bool centered;
} gmf_svd_shape;

typedef struct gmf_train_shape {
  int64_t n[GMF_N_SIDES], nnz;
  int n_ranks, n_grid_rows, n_grid_cols, n_threads;
  int n_factors;
  int node_ranks;   /* that share expanded rows; 1 where they do not */
  int n_here;       /* ranks of a node, whether they share rows or not; 0 or 1: alone there */
  bool mpi_copies;  /* gmf_node_copies_twice */
  int64_t n_sweeps; /* of the run */
  bool chooses;     /* heavy rows are looked for */
  bool bias, weighted;
  gmf_wire wire;                    /* how fixed rows travel */
  bool all_pairs;                   /* the loss is over all pairs: ials */
  bool basis;                       /* rows are solved in another basis than they stand in: all_pairs, or cg */
  bool relaxes;                     /* a copy of rows is kept: --relaxation */
  gmf_als_way fold_all, fold_heavy; /* how rows are folded: all, on a grid of several columns; heavy ones */
  bool deterministic, seen;
  int64_t n_test[GMF_N_SIDES], nnz_test;                      /* of --test; 0 without */
  int64_t n_features[GMF_N_SIDES], nnz_features[GMF_N_SIDES]; /* of --item-features, --user-features; 0 without */
  bool early_stop;
  int64_t expand_bytes;  /* of gmf_als_options: expanded rows take no more; 0: all at once */
  bool saves;            /* checkpoints are written between sweeps */
  int64_t program_bytes; /* GMF_MEMORY_PROGRAM */
  bool is_svd;
  gmf_svd_shape svd; /* where it is */
} gmf_train_shape;

/*
 * What to expect of a rank's blocks before the ratings are read: even shares, and of the fixed rows as many as ratings
 * spread evenly over them would touch, which no other spread exceeds on average.
 */
void gmf_expect_shares(const gmf_train_shape *shape, gmf_memory_share shares[GMF_N_SIDES]);

gmf_memory_plan gmf_plan_train(const gmf_train_shape *shape, const gmf_memory_share shares[GMF_N_SIDES]);

/* item-knn and ease. */
typedef struct gmf_items_shape {
  int64_t n[GMF_N_SIDES], nnz;
  int n_ranks, n_threads;
  bool single;    /* ease: the matrix is f4 */
  int64_t n_kept; /* weights of an item that are kept; ease: 0 for all */
  int64_t weight_bytes;
  int64_t program_bytes;
} gmf_items_shape;

gmf_memory_plan gmf_plan_item_knn(const gmf_items_shape *shape);
gmf_memory_plan gmf_plan_ease(const gmf_items_shape *shape);

typedef struct gmf_import_shape {
  int64_t n_bytes;         /* of text */
  int64_t n_bytes_at_once; /* of that, what one rank has to read: its part, or a compressed file */
  double bytes_per_rating;
  int n_ranks, n_threads;
  bool weighted;
  int64_t program_bytes;
} gmf_import_shape;

gmf_memory_plan gmf_plan_import(const gmf_import_shape *shape);

typedef struct gmf_evaluate_shape {
  int64_t n_users, n_items;                   /* of the model */
  int64_t n_test_users, n_test_items, n_test; /* of the test set */
  int n_ranks, n_threads, n_factors;          /* without factors: item-based */
  int64_t program_bytes;
} gmf_evaluate_shape;

gmf_memory_plan gmf_plan_evaluate(const gmf_evaluate_shape *shape);

typedef struct gmf_recommend_shape {
  int64_t n_users, n_items, n_seen; /* of the model */
  int64_t n_listed;                 /* users of a list */
  int64_t top_n, batch;             /* users at a time */
  int n_factors, n_threads;
  int64_t program_bytes;
} gmf_recommend_shape;

/* What a user of a batch takes: row, list while it grows, list as it is written, items had in training. */
int64_t gmf_recommend_user_bytes(int n_factors, int64_t top_n, int64_t n_seen);

gmf_memory_plan gmf_plan_recommend(const gmf_recommend_shape *shape);

const char *gmf_memory_part_name(gmf_memory_part part);

/* The parts that are not nothing as lines "\n  name  12.3 MB". */
void gmf_memory_table(const gmf_memory_plan *plan, char *out, size_t size);

#endif
