/*
 * The configuration of a run: one plain struct, described by one table (config.c) that drives the command line, the
 * INI file, --help, the echo in the log, the attributes of model files and the man pages.
 */
#ifndef GMF_APP_CONFIG_H
#define GMF_APP_CONFIG_H

#include "algo/als.h"
#include "algo/svd.h"
#include "base/options.h"
#include "base/side.h"
#include "dist/layout.h"
#include "kernel/row_solver.h"
#include "runtime/grid.h"

/* The verbs, as bits: an option says which take it. */
typedef enum gmf_verb {
  GMF_VERB_IMPORT = 1,
  GMF_VERB_SPLIT = 2,
  GMF_VERB_TRAIN = 4,
  GMF_VERB_EVALUATE = 8,
  GMF_VERB_SYNTH = 16,
  GMF_VERB_INFO = 32,
  GMF_VERB_VERIFY = 64,
  GMF_VERB_RECOMMEND = 128,
  GMF_VERB_EXPORT = 256,
  GMF_VERB_BENCH = 512,
  GMF_VERB_ATTACH = 1 << 12,
  GMF_VERB_ONLY_SWEEP = 1 << 14,
  GMF_VERB_ONLY_PLAN = 1 << 15,
  GMF_VERB_SWEEP = GMF_VERB_TRAIN | GMF_VERB_ONLY_SWEEP, /* takes what train takes, and more */
  GMF_VERB_PLAN = GMF_VERB_TRAIN | GMF_VERB_ONLY_PLAN    /* likewise */
} gmf_verb;

typedef enum gmf_algorithm {
  GMF_ALGORITHM_ALS,
  GMF_ALGORITHM_IALS,
  GMF_ALGORITHM_POPULARITY,
  GMF_ALGORITHM_SVD,
  GMF_ALGORITHM_ITEM_KNN,
  GMF_ALGORITHM_EASE
} gmf_algorithm;
typedef enum gmf_split_method {
  GMF_SPLIT_RANDOM,
  GMF_SPLIT_LEAVE_LAST,
  GMF_SPLIT_TIME,
  GMF_SPLIT_USERS
} gmf_split_method;
typedef enum gmf_center {
  GMF_CENTER_NONE,
  GMF_CENTER_GLOBAL,
  GMF_CENTER_USER,
  GMF_CENTER_ITEM,
  GMF_CENTER_BOTH
} gmf_center;
/* What the ratings of item-based models are, in training and in scores. */
typedef enum gmf_values { GMF_VALUES_RATINGS, GMF_VALUES_BINARY } gmf_values;
typedef enum gmf_precision { GMF_PRECISION_F8, GMF_PRECISION_F4 } gmf_precision;
/* Whether ranks of a node share expanded rows. */
typedef enum gmf_sharing { GMF_SHARE_AUTO, GMF_SHARE_ON, GMF_SHARE_OFF } gmf_sharing;
/* How often MPI copies a message between ranks of a node. */
typedef enum gmf_copies { GMF_COPIES_AUTO, GMF_COPIES_ONCE, GMF_COPIES_TWICE } gmf_copies;
/* The words of --hops. */
typedef enum gmf_hops_option { GMF_HOPS_AUTO, GMF_HOPS_1, GMF_HOPS_2 } gmf_hops_option;
typedef enum gmf_scaling { GMF_SCALING_USV, GMF_SCALING_SQRT } gmf_scaling;

enum { GMF_PATH_BYTES = 4096 };

/* Choices are the indexes of their words in the table. */
typedef struct gmf_config {
  char output[GMF_PATH_BYTES];
  int64_t threads;      /* 0: chosen from the machine */
  int64_t memory_limit; /* bytes a rank; 0: what the machine allows */
  int64_t seed;
  bool quiet, json;
  char log_json[GMF_PATH_BYTES];
  double stall_timeout; /* seconds; 0: never */
  char config_file[GMF_PATH_BYTES];
  bool print_config;
  /* import */
  int format, duplicates, on_bad_line;
  char columns[256];
  double min_rating; /* NaN: none */
  bool binarize;
  int64_t min_user_count, min_item_count;
  bool k_core;
  /* attach */
  char features_file[GMF_N_SIDES][GMF_PATH_BYTES], id_column[256], categories[2048], numbers[2048];
  bool intercept;
  /* split; train and evaluate take test and fold_in too */
  char train[GMF_PATH_BYTES], test[GMF_PATH_BYTES], fold_in[GMF_PATH_BYTES];
  int method;      /* gmf_split_method, -1: not given */
  double fraction; /* NaN: not given */
  int64_t count;   /* 0: not given */
  double test_fraction;
  /* train */
  int algorithm; /* gmf_algorithm, -1: not given */
  int64_t factors, iterations;
  double lambda;    /* NaN until gmf_config_resolve */
  int lambda_scale; /* gmf_lambda_scale, -1 until gmf_config_resolve */
  double lambda_exponent;
  double alpha, alpha0;
  int loss; /* index into hkv|implicit|ials, see gmf_config_loss */
  bool bias, nonnegative;
  bool features[GMF_N_SIDES];
  double lambda_features;
  double lambda_bias; /* NaN until gmf_config_resolve */
  int center;         /* gmf_center, -1 until gmf_config_resolve */
  int solver;         /* gmf_solver */
  int64_t cg_steps;
  double relaxation;
  bool deterministic;
  int svd_method; /* gmf_svd_method */
  double tolerance;
  int64_t block, max_restarts, power_steps;
  int scaling;    /* gmf_scaling */
  int similarity; /* gmf_similarity */
  int64_t neighbours;
  double shrinkage, bm25_k1, bm25_b;
  int values;    /* gmf_values, -1 until gmf_config_resolve */
  int precision; /* gmf_precision */
  int64_t keep_per_item;
  int store; /* gmf_precision */
  char grid[32];
  int hops;              /* gmf_hops_option */
  int share_node;        /* gmf_sharing */
  int wire;              /* gmf_wire */
  int64_t expand_memory; /* bytes; 0: chosen */
  char heavy[GMF_N_SIDES][48];
  bool seen;
  int64_t validate_every, early_stop;
  char checkpoint[GMF_PATH_BYTES], resume[GMF_PATH_BYTES];
  double checkpoint_every; /* seconds */
  int64_t keep;
  double max_time; /* seconds, 0: none */
  bool roofline;
  /* sweep */
  int64_t groups; /* 0: chosen */
  /* plan */
  int64_t planned_ranks; /* 0: several */
  int64_t planned_users, planned_items, planned_ratings;
  int mpi_copies;                            /* gmf_copies */
  int64_t ranks_per_node;                    /* 0: GMF_PLAN_NODE_RANKS at most */
  double flops, bandwidth, network, latency; /* NaN: not given */
  char bench[GMF_PATH_BYTES];
  /* evaluate */
  char metrics[1024];
  bool explain;
  /* export */
  int to; /* gmf_export_format, -1: not given */
  /* recommend */
  char users_file[GMF_PATH_BYTES], users_range[64];
  int64_t top;
  bool include_seen, include_cold;
  char allow[GMF_PATH_BYTES], deny[GMF_PATH_BYTES];
  /* bench */
  double seconds;
  /* synth */
  char like[64];
  int64_t users, items, ratings;
  double noise;
  bool implicit;
} gmf_config;

extern const gmf_option_table GMF_OPTIONS;

/* "import", ... : the words of the command line and the sections of the INI file. NULL after the last. */
typedef struct gmf_verb_name {
  const char *name;
  gmf_verb verb;
} gmf_verb_name;
extern const gmf_verb_name GMF_VERB_NAMES[];
/* The same as "import|split|...". */
extern const char GMF_VERB_WORDS[];

/* Local. NULL where there is none of this name. */
const gmf_option *gmf_option_named(const char *name);

/* Local. Whether an option means something beside the others: --alpha and --loss do nothing for als. */
bool gmf_option_applies(const gmf_option *option, gmf_verb verb, const gmf_config *config);

/* Local. The options of training, as "--alpha, --metrics", that have another value than their default and do nothing
 * beside the others: --alpha for als, --metrics without --test. Before gmf_config_resolve_train. */
void gmf_config_idle(const gmf_config *config, char *out, size_t size);

/* Local. The value of the option that is stored at `offset` of the configuration, as it could be given again. */
void gmf_config_text(const gmf_config *config, size_t offset, char *out, size_t size);

/* Local. What ini_parse(3) of a file came to, with the error of the first bad key. */
gmf_status gmf_ini_status(const char *path, int line, const gmf_error *reason, gmf_error *err);

/*
 * Collective. Fills the configuration on all ranks: defaults, then --config FILE as rank 0 reads it, then the command
 * line. arguments: what is no option, on every rank. Errors: GMF_ERR_USAGE, GMF_ERR_CONFIG, GMF_ERR_NO_INPUT.
 */
gmf_status gmf_config_load(const gmf_grid *grid, gmf_verb verb, int argc, char *const *argv, gmf_config *config,
                           gmf_text_list *arguments, gmf_error *err);

/* Local. Settles what depends on other options (lambda by algorithm); GMF_ERR_USAGE for combinations without sense. */
gmf_status gmf_config_resolve_train(gmf_config *config, gmf_error *err);

/* Local. The loss of a resolved training configuration, the system of a row, and its regularisation. */
gmf_loss gmf_config_loss(const gmf_config *config);
gmf_row_options gmf_config_row(const gmf_config *config);
gmf_svd_options gmf_config_svd(const gmf_config *config);
gmf_regularisation gmf_config_regularisation(const gmf_config *config);

/* Local. "RxC" or "auto" for n_ranks ranks. */
gmf_status gmf_config_grid(const gmf_config *config, int n_ranks, int *n_rows, int *n_cols, gmf_error *err);

/* Local. Where a side's heavy rows lie beside the grid of the others: "N:RxC", "none" or "auto", which is none here;
 * who chooses asks gmf_config_layout_is_auto. */
gmf_status gmf_config_layout(const gmf_config *config, gmf_side side, const gmf_grid *grid, gmf_layout *layout,
                             gmf_error *err);
bool gmf_config_layout_is_auto(const gmf_config *config, gmf_side side);

#endif
