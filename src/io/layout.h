/* Names inside the HDF5 files, each written once. The layout is described in README.md, "Reading the files". */
#ifndef GMF_IO_LAYOUT_H
#define GMF_IO_LAYOUT_H

#define GMF_FORMAT_DATASET "gridmf-dataset"
#define GMF_FORMAT_MODEL "gridmf-model"
#define GMF_FORMAT_RECS "gridmf-recommendations"
#define GMF_FORMAT_VERSION "1.0"
#define GMF_FORMAT_MAJOR 1

/* Attributes of the root. */
#define GMF_ATTR_FORMAT "format"
#define GMF_ATTR_VERSION "format_version"
#define GMF_ATTR_COMPLETE "complete" /* 1, written last */
#define GMF_ATTR_ALGORITHM "algorithm"
#define GMF_ATTR_GLOBAL_MEAN "global_mean"
#define GMF_ATTR_FACTORS "factors"
/* Of recommendations: what they were made from, and which of all users asked for they are. */
#define GMF_ATTR_MODEL "model"
#define GMF_ATTR_MODEL_FINGERPRINT "model_fingerprint"
#define GMF_ATTR_CANDIDATES "candidates" /* "all", or a checksum of the lists that --allow and --deny name */
#define GMF_ATTR_USERS_BEGIN "users_begin"
#define GMF_ATTR_USERS_TOTAL "users_total"
#define GMF_ATTR_VALUES "values" /* item-based models: "ratings", "binary": what a user's row is made of */
#define GMF_VALUES_BINARY "binary"

/* Below /users and /items; see gmf_side_name. */
#define GMF_NAME_ID "id"
#define GMF_NAME_FACTORS "factors"
#define GMF_NAME_BIAS "bias"
#define GMF_NAME_COUNT "count" /* training ratings of the row, i8: 0 means the row was never seen */
#define GMF_NAME_GRAM "gram"
#define GMF_NAME_WEIGHTS "weights"                 /* item-based models: [n_items][n_items] */
#define GMF_NAME_SIMILARITY "similarity"           /* the same, sparse: a csr group */
#define GMF_NAME_FEATURES "features"               /* F: a csr group of features */
#define GMF_NAME_FEATURE_NAMES "feature_names"     /* [p] UTF-8: "genres:Drama", "year" */
#define GMF_NAME_FEATURE_MEAN "feature_mean"       /* [p] f8, and */
#define GMF_NAME_FEATURE_SCALE "feature_scale"     /* [p] f8: features hold (x - mean) / scale; 0 and 1 of categories */
#define GMF_NAME_FEATURE_WEIGHTS "feature_weights" /* models: B f8 [p][k] */
#define GMF_ATTR_SORTED "sorted"                   /* on id: 1 when ascending (integers, or UTF-8 bytes) */

/* Groups. */
#define GMF_GROUP_RATINGS "ratings"
#define GMF_GROUP_SEEN "seen"
#define GMF_GROUP_HISTORY "history"
#define GMF_NAME_SINGULAR_VALUES "singular_values" /* svd, f8 [k] */
#define GMF_NAME_RESIDUALS "residuals"             /* f8 [k]: of both sides together */
#define GMF_NAME_USER_RESIDUALS "residuals_users"  /* f8 [k]: |A v - s u| */
#define GMF_NAME_ITEM_RESIDUALS "residuals_items"  /* f8 [k]: |A'u - s v| */
#define GMF_NAME_SPECTRUM "spectrum"               /* --svd-method gram, f8: all singular values */
#define GMF_GROUP_STATE "state"                    /* of checkpoints: what a run needs to go on */
#define GMF_GROUP_PROVENANCE "provenance"
#define GMF_GROUP_INTEGRITY "integrity"

/* Lists of recommendations. */
#define GMF_TOP_ITEM "top/item"   /* i8 [m][N]: rows of /items/id, best first, -1 behind the last */
#define GMF_TOP_SCORE "top/score" /* f4 [m][N], NaN behind the last */
#define GMF_TOP_COUNT "top/count" /* i4 [m] */

/* Members and attributes of a csr group (AnnData's csr_matrix, encoding-version 0.1.0). */
#define GMF_CSR_DATA "data"
#define GMF_CSR_INDICES "indices"
#define GMF_CSR_INDPTR "indptr"
#define GMF_CSR_TIME "time"
#define GMF_CSR_WEIGHT "weight"
#define GMF_ATTR_SHAPE "shape"
#define GMF_ATTR_ENCODING "encoding-type"
#define GMF_ATTR_ENCODING_VERSION "encoding-version"
#define GMF_CSR_ENCODING "csr_matrix"
#define GMF_CSR_ENCODING_VERSION "0.1.0"

/* Checksums: /integrity/<path of the dataset>, one XXH3-64 a block of @block_rows rows of the dataset's raw bytes. */
#define GMF_ATTR_CHECKSUM "algorithm"
#define GMF_CHECKSUM_NAME "XXH3-64"
#define GMF_ATTR_BLOCK_ROWS "block_rows"
#define GMF_NAME_ATTRIBUTES "attributes" /* in the group: the checksum of all attributes of the file */

#endif
