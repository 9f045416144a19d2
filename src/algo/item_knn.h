/* Item-based nearest neighbours: for each item the most similar ones. */
#ifndef GMF_ALGO_ITEM_KNN_H
#define GMF_ALGO_ITEM_KNN_H

#include "algo/item_weights.h"
#include "dist/block.h"

typedef enum gmf_similarity {
  GMF_SIMILARITY_COSINE,
  GMF_SIMILARITY_ADJUSTED_COSINE,
  GMF_SIMILARITY_JACCARD,
  GMF_SIMILARITY_TFIDF,
  GMF_SIMILARITY_BM25
} gmf_similarity;

typedef struct gmf_item_knn_options {
  gmf_similarity similarity;
  bool binary; /* every rating counts as 1 */
  int64_t n_neighbours;
  double shrinkage;
  double bm25_k1, bm25_b;
  void (*progress)(void *context, double share); /* may be NULL */
  void *context;
} gmf_item_knn_options;

/* What it took, of all ranks together. */
typedef struct gmf_item_knn_work {
  int64_t n_pairs;    /* pairs of items with a common user, each counted once */
  int64_t n_products; /* terms of their sums */
} gmf_item_knn_work;

/*
 * Collective. out: my slice of the rows of W, at most n_neighbours elements each, all above 0; fit for {0} before,
 * gmf_weight_slice_free after. The result has the same bits on any number of ranks and threads, but for bm25, whose
 * mean length of an item depends on ranks in its last bit. GMF_ERR_DATA where tfidf or bm25 meet a rating below 0;
 * GMF_ERR_PLAN for more items than a table takes (gmf_limit_table_rows).
 */
gmf_status gmf_item_knn_create(const gmf_grid *grid, const gmf_item_knn_options *options,
                               const gmf_rating_source *source, gmf_weight_slice *out, gmf_item_knn_work *work,
                               gmf_error *err);

#endif
