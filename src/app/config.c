#include "app/config.h"

#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "algo/item_knn.h"
#include "algo/svd.h"
#include "app/shape.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "kernel/dense.h"

#define FIELD(member) offsetof(gmf_config, member), sizeof(((gmf_config *)0)->member)
#define COUNT_MAX 9e15 /* counts are kept exact in a double */

enum {
  ALL = GMF_VERB_IMPORT | GMF_VERB_SPLIT | GMF_VERB_TRAIN | GMF_VERB_EVALUATE | GMF_VERB_SYNTH | GMF_VERB_INFO |
        GMF_VERB_VERIFY | GMF_VERB_RECOMMEND | GMF_VERB_EXPORT | GMF_VERB_ATTACH | GMF_VERB_BENCH,
  WRITES_ONE =
      GMF_VERB_IMPORT | GMF_VERB_ATTACH | GMF_VERB_TRAIN | GMF_VERB_SYNTH | GMF_VERB_RECOMMEND | GMF_VERB_EXPORT,
  SEEDED = GMF_VERB_SPLIT | GMF_VERB_TRAIN | GMF_VERB_SYNTH,
  SHOWS = GMF_VERB_EVALUATE | GMF_VERB_INFO | GMF_VERB_BENCH | GMF_VERB_ONLY_PLAN,
  PLANNED = GMF_VERB_IMPORT | GMF_VERB_TRAIN | GMF_VERB_EVALUATE | GMF_VERB_RECOMMEND | GMF_VERB_BENCH
};

static const gmf_option OPTIONS[] = {
    {"output", GMF_OPT_TEXT, FIELD(output), WRITES_ONE, false, "FILE", 0, 0, NULL, "", "the file to write"},

    {"format", GMF_OPT_CHOICE, FIELD(format), GMF_VERB_IMPORT, false, NULL, 0, 0, "auto|csv|tsv|dat|mtx|adjacency",
     "auto", "how the text is laid out; auto goes by the name, then by the first lines"},
    {"columns", GMF_OPT_TEXT, FIELD(columns), GMF_VERB_IMPORT, false, "SPEC", 0, 0, NULL, "",
     "user=NAME|N,item=...,rating=...,time=...,weight=...: columns by name or by number from 1; only user and item must "
     "be there; weight says how much a rating counts in training"},
    {"duplicates", GMF_OPT_CHOICE, FIELD(duplicates), GMF_VERB_IMPORT, false, NULL, 0, 0, "last|sum|max|mean|error",
     "last", "what several ratings of one item by one user become; last goes by time, else by place in the input"},
    {"on-bad-line", GMF_OPT_CHOICE, FIELD(on_bad_line), GMF_VERB_IMPORT | GMF_VERB_ATTACH, false, NULL, 0, 0,
     "error|skip", "error", "whether a line that cannot be read ends the run or is counted and left out"},
    {"min-rating", GMF_OPT_REAL, FIELD(min_rating), GMF_VERB_IMPORT, false, "T", -1e30, 1e30, NULL, "",
     "leave out ratings below T"},
    {"binarize", GMF_OPT_FLAG, FIELD(binarize), GMF_VERB_IMPORT, false, NULL, 0, 0, NULL, "no",
     "every rating that is kept becomes 1"},
    {"min-user-count", GMF_OPT_INT, FIELD(min_user_count), GMF_VERB_IMPORT, false, "N", 0, COUNT_MAX, NULL, "0",
     "leave out users with fewer ratings, after min-item-count"},
    {"min-item-count", GMF_OPT_INT, FIELD(min_item_count), GMF_VERB_IMPORT, false, "N", 0, COUNT_MAX, NULL, "0",
     "leave out items with fewer ratings"},
    {"k-core", GMF_OPT_FLAG, FIELD(k_core), GMF_VERB_IMPORT, false, NULL, 0, 0, NULL, "no",
     "repeat both minimum counts until every user and item that is left has as many"},

    {"items", GMF_OPT_TEXT, FIELD(features_file[GMF_ITEMS]), GMF_VERB_ATTACH, false, "FILE", 0, 0, NULL, "",
     "csv, tsv or '::' text with a line for each item, or --users"},
    {"users", GMF_OPT_TEXT, FIELD(features_file[GMF_USERS]), GMF_VERB_ATTACH, false, "FILE", 0, 0, NULL, "",
     "the same with a line for each user; one of both in a run"},
    {"id", GMF_OPT_TEXT, FIELD(id_column), GMF_VERB_ATTACH, false, "COLUMN", 0, 0, NULL, "1",
     "the column of the ids that ratings were imported with: its name in the header or, in a file of which no column is "
     "named and that has no header, its number from 1"},
    {"categories", GMF_OPT_LINES, FIELD(categories), GMF_VERB_ATTACH, false, "COLUMN[,SEPARATOR]", 0, 0, NULL, "",
     "a column whose text is a category, or several with SEPARATOR between them, as in genres,|: each becomes a "
     "feature COLUMN:CATEGORY that is 1 or 0; may be given several times"},
    {"numbers", GMF_OPT_TEXT, FIELD(numbers), GMF_VERB_ATTACH, false, "COLUMN,...", 0, 0, NULL, "",
     "columns of numbers, each a feature, of which the mean is taken off and that are divided by their standard "
     "deviation; an empty field is the mean"},
    {"intercept", GMF_OPT_FLAG, FIELD(intercept), GMF_VERB_ATTACH, false, NULL, 0, 0, NULL, "no",
     "one more feature, (intercept), that is 1 for every line: its weights are what all have in common, and those of "
     "the others what sets them apart. Predictions of rows with several categories are better for it"},

    {"train", GMF_OPT_TEXT, FIELD(train), GMF_VERB_SPLIT, false, "TRAIN.h5", 0, 0, NULL, "", "gets what is kept"},
    {"test", GMF_OPT_TEXT, FIELD(test), GMF_VERB_SPLIT, false, "TEST.h5", 0, 0, NULL, "", "gets what is held out"},
    {"test", GMF_OPT_TEXT, FIELD(test), GMF_VERB_TRAIN, false, "TEST.h5", 0, 0, NULL, "",
     "ratings to validate with: --metrics are computed on them while the model is trained"},
    {"fold-in", GMF_OPT_TEXT, FIELD(fold_in), GMF_VERB_SPLIT, false, "FILE.h5", 0, 0, NULL, "",
     "users: gets those ratings of the held-out users from which evaluate and train solve their factors"},
    {"fold-in", GMF_OPT_TEXT, FIELD(fold_in), GMF_VERB_TRAIN | GMF_VERB_EVALUATE, false, "FILE.h5", 0, 0, NULL, "",
     "ratings of users outside the training, from which their factors are solved; split --method users writes such a "
     "file"},
    {"method", GMF_OPT_CHOICE, FIELD(method), GMF_VERB_SPLIT, false, NULL, 0, 0, "random|leave-last|time|users", "",
     "random: each rating by chance, or N by chance of each user; leave-last: the latest of each user, by time; time: "
     "the latest of all, with those of one time together; users: whole users, whose own ratings are split into --fold-in "
     "and --test"},
    {"fraction", GMF_OPT_REAL, FIELD(fraction), GMF_VERB_SPLIT, false, "F", 0, 1, NULL, "",
     "the share to hold out; leave-last: of each user's ratings, rounded down; time: of all ratings, and no more; users: "
     "of the users with ratings, rounded down"},
    {"count", GMF_OPT_INT, FIELD(count), GMF_VERB_SPLIT, false, "N", 0, COUNT_MAX, NULL, "0",
     "ratings of each user to hold out; a user with no more than N keeps them all; time: ratings in all, and no more; "
     "users: how many users"},
    {"test-fraction", GMF_OPT_REAL, FIELD(test_fraction), GMF_VERB_SPLIT, false, "F", 0, 1, NULL, "0.2",
     "users: share of a held-out user's ratings for --test, rounded down, by chance; the rest is for --fold-in; users "
     "with fewer than 5 ratings are not tested"},

    {"algorithm", GMF_OPT_CHOICE, FIELD(algorithm), GMF_VERB_TRAIN, true, NULL, 0, 0,
     "als|ials|popularity|svd|item-knn|ease", "",
     "als: explicit ratings, squared error; ials: implicit feedback, all pairs weighted; popularity: the number of "
     "ratings, a yardstick; svd: the largest singular triplets of the matrix that is zero where there is no rating, as in "
     "PureSVD; item-knn: the most similar items of each item; ease: Steck's linear item-item model, from the inverse of a "
     "dense items x items matrix. The last two have no factors and no sweeps: no checkpoints, no validation"},
    {"factors", GMF_OPT_INT, FIELD(factors), GMF_VERB_TRAIN | GMF_VERB_SYNTH, true, "K", 1, GMF_MAX_FACTORS, NULL, "64",
     "length of a factor row"},
    {"iterations", GMF_OPT_INT, FIELD(iterations), GMF_VERB_TRAIN, true, "N", 0, 1e6, NULL, "15",
     "sweeps: users given items, then items given users"},
    {"lambda", GMF_OPT_REAL, FIELD(lambda), GMF_VERB_TRAIN, true, "L", 0, 1e30, NULL, "",
     "regularisation; 0.05 for als, 0.1 for ials, 200 for ease where it is not given"},
    {"lambda-scale", GMF_OPT_CHOICE, FIELD(lambda_scale), GMF_VERB_TRAIN, true, NULL, 0, 0, "none|count|ials", "",
     "what lambda is multiplied by in a row with n ratings: none 1, count n^NU, ials (n + A0 N)^NU for N rows of the "
     "other side; count for als, none for ials where not given"},
    {"lambda-exponent", GMF_OPT_REAL, FIELD(lambda_exponent), GMF_VERB_TRAIN, true, "NU", 0, 4, NULL, "1",
     "the NU of --lambda-scale"},
    {"alpha", GMF_OPT_REAL, FIELD(alpha), GMF_VERB_TRAIN, true, "A", 0, 1e30, NULL, "40",
     "hkv: confidence is 1 + A |rating|; implicit: A |rating|; 40 suits counts and clicks, about 1 suits star ratings"},
    {"loss", GMF_OPT_CHOICE, FIELD(loss), GMF_VERB_TRAIN, true, NULL, 0, 0, "hkv|implicit|ials", "hkv",
     "hkv: Hu, Koren and Volinsky, as in Spark; implicit: as in benfred/implicit; ials: Rendle et al., all observed "
     "pairs weigh 1, whatever the rating"},
    {"alpha0", GMF_OPT_REAL, FIELD(alpha0), GMF_VERB_TRAIN, true, "A0", 0, 1e30, NULL, "0.1",
     "ials loss: weight of every pair, observed or not; 1/A of hkv has the same rankings on binary data"},
    {"bias", GMF_OPT_FLAG, FIELD(bias), GMF_VERB_TRAIN, true, NULL, 0, 0, NULL, "no",
     "als: a bias for each user and item, solved together with the factors"},
    {"lambda-bias", GMF_OPT_REAL, FIELD(lambda_bias), GMF_VERB_TRAIN, true, "L", 0, 1e30, NULL, "",
     "regularisation of the biases, scaled as lambda is; lambda where not given"},
    {"center", GMF_OPT_CHOICE, FIELD(center), GMF_VERB_TRAIN, true, NULL, 0, 0, "none|global|user|item|both", "",
     "what is taken off before training and added to every score. als: global, the mean of the ratings, with --bias, else "
     "none. svd: none where not given, or means over all pairs, rated or not: of all, of each user, each item, or both"},
    {"nonnegative", GMF_OPT_FLAG, FIELD(nonnegative), GMF_VERB_TRAIN, true, NULL, 0, 0, NULL, "no",
     "no factor is below zero; biases may be"},
    {"item-features", GMF_OPT_FLAG, FIELD(features[GMF_ITEMS]), GMF_VERB_TRAIN, true, NULL, 0, 0, NULL, "no",
     "als, ials: shrink an item's factors not towards zero but towards what its features predict, which gridmf attach "
     "has put into the dataset; items without ratings get the prediction"},
    {"user-features", GMF_OPT_FLAG, FIELD(features[GMF_USERS]), GMF_VERB_TRAIN, true, NULL, 0, 0, NULL, "no",
     "the same for users"},
    {"lambda-features", GMF_OPT_REAL, FIELD(lambda_features), GMF_VERB_TRAIN, true, "L", 0, 1e30, NULL, "1",
     "regularisation of the weights by which features predict factors"},
    {"solver", GMF_OPT_CHOICE, FIELD(solver), GMF_VERB_TRAIN, true, NULL, 0, 0, "auto|cholesky|cg", "auto",
     "how a row's system is solved; cholesky: exactly, from its k x k matrix; auto: exactly, by the d x d matrix of its "
     "ratings where that is less work; cg: by preconditioned conjugate gradients from the last sweep's solution"},
    {"cg-steps", GMF_OPT_INT, FIELD(cg_steps), GMF_VERB_TRAIN, true, "N", 1, 10000, NULL, "3",
     "cg: steps at most; a row that is solved to single precision stops earlier"},
    {"relaxation", GMF_OPT_REAL, FIELD(relaxation), GMF_VERB_TRAIN, true, "W", 1, 1.9, NULL, "1",
     "als, ials: how far each half-sweep takes a row towards its solution: 1 to it, more beyond, which comes to the same "
     "loss in fewer sweeps, most often with about 1.5; the objective does not rise. The first sweep goes to 1, the second "
     "half of the rest"},
    {"deterministic", GMF_OPT_FLAG, FIELD(deterministic), GMF_VERB_TRAIN, true, NULL, 0, 0, NULL, "no",
     "the same bits on any number of ranks and threads, where --grid has one column: sums over all rows are made exact"},
    {"svd-method", GMF_OPT_CHOICE, FIELD(svd_method), GMF_VERB_TRAIN, true, NULL, 0, 0, "krylov|randomized|gram",
     "krylov",
     "svd: krylov: thick-restart block Golub-Kahan-Lanczos, to --tolerance; randomized: subspace iteration, for a quick "
     "model; gram: all singular values from the dense items x items matrix, by ScaLAPACK, up to 60,000 items"},
    {"tolerance", GMF_OPT_REAL, FIELD(tolerance), GMF_VERB_TRAIN, true, "T", 1e-14, 0.1, NULL, "1e-8",
     "krylov: stop when all residuals are at most T times the largest singular value"},
    {"max-restarts", GMF_OPT_INT, FIELD(max_restarts), GMF_VERB_TRAIN, true, "N", 0, 1e6, NULL, "100",
     "krylov: fail, with exit code 3, when that has not happened after N restarts"},
    {"block", GMF_OPT_INT, FIELD(block), GMF_VERB_TRAIN, true, "B", 1, 1024, NULL, "8",
     "svd: vectors that the matrix is multiplied with at a time; singular values repeated more often than B take longer"},
    {"power-steps", GMF_OPT_INT, FIELD(power_steps), GMF_VERB_TRAIN, true, "Q", 0, 1e6, NULL, "4",
     "randomized: passes over the matrix and its transpose; more are more accurate"},
    {"scaling", GMF_OPT_CHOICE, FIELD(scaling), GMF_VERB_TRAIN, true, NULL, 0, 0, "usv|sqrt", "usv",
     "svd: what the factors are; usv: U S and V; sqrt: U S^1/2 and V S^1/2"},
    {"similarity", GMF_OPT_CHOICE, FIELD(similarity), GMF_VERB_TRAIN, true, NULL, 0, 0,
     "cosine|adjusted-cosine|jaccard|tfidf|bm25", "cosine",
     "item-knn: of two items' columns of ratings; adjusted-cosine takes off each user's mean before; tfidf and bm25 weigh "
     "as benfred/implicit does; jaccard counts common users"},
    {"neighbours", GMF_OPT_INT, FIELD(neighbours), GMF_VERB_TRAIN, true, "K", 1, 1e6, NULL, "20",
     "item-knn: similar items that are kept for each item"},
    {"shrinkage", GMF_OPT_REAL, FIELD(shrinkage), GMF_VERB_TRAIN, true, "S", 0, 1e30, NULL, "0",
     "item-knn: a similarity from n common users is multiplied by n / (n + S); 10 to 100 suits most data"},
    {"bm25-k1", GMF_OPT_REAL, FIELD(bm25_k1), GMF_VERB_TRAIN, true, "K1", 0, 1e30, NULL, "1.2",
     "bm25: how fast a larger rating stops counting more"},
    {"bm25-b", GMF_OPT_REAL, FIELD(bm25_b), GMF_VERB_TRAIN, true, "B", 0, 1, NULL, "0.75",
     "bm25: how far items with many ratings count less"},
    {"values", GMF_OPT_CHOICE, FIELD(values), GMF_VERB_TRAIN, true, NULL, 0, 0, "ratings|binary", "",
     "item-knn, ease: what a rating is in training and in a user's scores; binary: 1. Where not given: binary for ease, as "
     "its author has it, and for jaccard, else ratings"},
    {"precision", GMF_OPT_CHOICE, FIELD(precision), GMF_VERB_TRAIN, true, NULL, 0, 0, "f8|f4", "f8",
     "ease: of the inverse; f4 takes half of the memory and of the time, and loses as many digits as lambda is smaller "
     "than the largest item's number of ratings"},
    {"keep-per-item", GMF_OPT_INT, FIELD(keep_per_item), GMF_VERB_TRAIN, true, "N", 0, 1e6, NULL, "0",
     "ease: store only the N largest weights that make an item's score; 0: all, items x items"},
    {"store", GMF_OPT_CHOICE, FIELD(store), GMF_VERB_TRAIN, true, NULL, 0, 0, "f8|f4", "f4",
     "item-knn, ease: numbers of the weights in the model"},
    {"grid", GMF_OPT_TEXT, FIELD(grid), GMF_VERB_TRAIN, false, "auto|RxC", 0, 0, NULL, "auto",
     "ratings in R groups of updated rows times C groups of fixed rows, R x C = ranks; auto is one column"},
    {"heavy-users", GMF_OPT_TEXT, FIELD(heavy[GMF_USERS]), GMF_VERB_TRAIN, false, "N:RxC|auto|none", 0, 0, NULL, "auto",
     "users with at least N ratings have them on an R x C grid of their own, where the others' lie in one column: one "
     "user's ratings are then cut among C ranks, R x C = ranks. auto: what the exact counts of the data say is fastest, "
     "with --grid auto"},
    {"heavy-items", GMF_OPT_TEXT, FIELD(heavy[GMF_ITEMS]), GMF_VERB_TRAIN, false, "N:RxC|auto|none", 0, 0, NULL, "auto",
     "the same for items"},
    {"wire", GMF_OPT_CHOICE, FIELD(wire), GMF_VERB_TRAIN, true, NULL, 0, 0, "f4|bf16", "f4",
     "how fixed factor rows travel between ranks: f4 as they are, bf16 rounded to 8 bits of precision, in half the bytes; "
     "every rank then solves with the rounded rows, which changed losses by less than 1e-4 of themselves where it was "
     "measured"},
    {"hops", GMF_OPT_CHOICE, FIELD(hops), GMF_VERB_TRAIN, false, NULL, 0, 0, "auto|1|2", "auto",
     "2: fixed rows go along a column and then along a row of a rectangle of ranks, so that R x C ranks have R + C - 2 "
     "partners each instead of R x C - 1, and receive up to twice as much. The same bits. auto: from 256 ranks on, where "
     "it is faster by the data's own counts on a network of 100 Gb/s and 2 us a message, half-sweep by half-sweep; else 1"},
    {"share-node", GMF_OPT_CHOICE, FIELD(share_node), GMF_VERB_TRAIN, false, NULL, 0, 0, "auto|on|off", "auto",
     "whether the ranks of a node share one copy of the rows of the other side that their ratings touch: what several of "
     "them need comes to the node once; the same bits. auto: where a run needs it to fit into memory"},
    {"expand-memory", GMF_OPT_SIZE, FIELD(expand_memory), GMF_VERB_TRAIN, false, "SIZE", 0, 0, NULL, "0",
     "memory of a rank for the rows of the other side that its ratings touch, as 4G or 512M: where they are more, rows are "
     "solved in panels that touch fewer, and a panel's rows come in while the one before is solved; the same bits, but "
     "what several panels touch travels several times. 0: room for all, or panels where --memory-limit needs them"},
    {"seen", GMF_OPT_FLAG, FIELD(seen), GMF_VERB_TRAIN, false, NULL, 0, 0, NULL, "yes",
     "store the training ratings in the model, so that recommendations can leave out what a user has"},
    {"validate-every", GMF_OPT_INT, FIELD(validate_every), GMF_VERB_TRAIN, false, "N", 1, 1e6, NULL, "1",
     "with --test: compute the metrics after every N sweeps, and after the last"},
    {"early-stop", GMF_OPT_INT, FIELD(early_stop), GMF_VERB_TRAIN, false, "N", 0, 1e6, NULL, "0",
     "with --test: stop when the first metric has not been better N times running, and keep the best sweep; 0: never"},

    {"checkpoint", GMF_OPT_TEXT, FIELD(checkpoint), GMF_VERB_TRAIN, false, "DIR", 0, 0, NULL, "",
     "a folder for checkpoints, from which the same command goes on after it was stopped; a file STOP there stops it"},
    {"checkpoint-every", GMF_OPT_DURATION, FIELD(checkpoint_every), GMF_VERB_TRAIN, false, "TIME", 0, 1e9, NULL, "10m",
     "time between checkpoints, which are taken after whole sweeps; 0s: after every sweep. svd: after krylov's restarts "
     "and randomized's passes; gram takes none"},
    {"keep", GMF_OPT_INT, FIELD(keep), GMF_VERB_TRAIN, false, "N", 1, 1e6, NULL, "2",
     "checkpoints to keep, the newest"},
    {"resume", GMF_OPT_TEXT, FIELD(resume), GMF_VERB_TRAIN, false, "auto|never|PATH", 0, 0, NULL, "auto",
     "go on from the newest whole checkpoint of --checkpoint, from none, or from this file or folder"},
    {"max-time", GMF_OPT_DURATION, FIELD(max_time), GMF_VERB_TRAIN, false, "TIME", 0, 1e9, NULL, "0s",
     "stop with a checkpoint and exit code 75 before so much time has passed; 0s: no limit"},

    {"roofline", GMF_OPT_FLAG, FIELD(roofline), GMF_VERB_TRAIN, false, NULL, 0, 0, NULL, "no",
     "als, ials: measure the machine at the start, as gridmf bench does, in less than a second, and say at the end how "
     "near each phase of the sweeps came to what that allows"},

    {"groups", GMF_OPT_INT, FIELD(groups), GMF_VERB_ONLY_SWEEP, false, "G", 0, 1e6, NULL, "0",
     "sweep: groups of equally many ranks, each of which trains one point at a time; 0: as many as there are points, "
     "ranks and memory for"},

    {"np", GMF_OPT_INT, FIELD(planned_ranks), GMF_VERB_ONLY_PLAN, false, "P", 0, 1 << 20, NULL, "0",
     "ranks to plan for; 0: a table of 1, 2, 4, ... ranks"},
    {"users", GMF_OPT_INT, FIELD(planned_users), GMF_VERB_ONLY_PLAN, false, "M", 0, COUNT_MAX, NULL, "0",
     "number of users, where there is no dataset yet"},
    {"items", GMF_OPT_INT, FIELD(planned_items), GMF_VERB_ONLY_PLAN, false, "N", 0, COUNT_MAX, NULL, "0",
     "number of items"},
    {"ratings", GMF_OPT_INT, FIELD(planned_ratings), GMF_VERB_ONLY_PLAN, false, "NNZ", 0, COUNT_MAX, NULL, "0",
     "number of ratings; users and items have as many as in gridmf synth"},
    {"ranks-per-node", GMF_OPT_INT, FIELD(ranks_per_node), GMF_VERB_ONLY_PLAN, false, "N", 0, 1 << 20, NULL, "0",
     "ranks of a node, for --share-node and for what MPI takes of memory; 0: all, but 64 at most"},
    {"mpi-copies", GMF_OPT_CHOICE, FIELD(mpi_copies), GMF_VERB_ONLY_PLAN, false, NULL, 0, 0, "auto|once|twice", "auto",
     "how Open MPI brings messages from rank to rank of a node: twice through shared memory, whose pages count for every "
     "rank that sees them, or once, straight from the sender; auto: as on this machine"},
    {"flops", GMF_OPT_REAL, FIELD(flops), GMF_VERB_ONLY_PLAN, false, "G", 1e-6, 1e9, NULL, "",
     "GFLOP/s that a rank's threads make together when they solve rows"},
    {"bandwidth", GMF_OPT_REAL, FIELD(bandwidth), GMF_VERB_ONLY_PLAN, false, "G", 1e-6, 1e9, NULL, "",
     "GB/s between a rank's cores and memory"},
    {"network", GMF_OPT_REAL, FIELD(network), GMF_VERB_ONLY_PLAN, false, "G", 1e-6, 1e9, NULL, "",
     "GB/s that a rank receives from others; 12.5 is assumed where nothing is known"},
    {"latency", GMF_OPT_REAL, FIELD(latency), GMF_VERB_ONLY_PLAN, false, "US", 1e-6, 1e9, NULL, "",
     "microseconds of a message; 2 is assumed where nothing is known"},
    {"bench", GMF_OPT_TEXT, FIELD(bench), GMF_VERB_ONLY_PLAN, false, "FILE", 0, 0, NULL, "",
     "what gridmf bench --json printed on the machine that is planned for; without it, what --flops and --bandwidth do "
     "not say is measured here, in a second"},

    {"metrics", GMF_OPT_TEXT, FIELD(metrics), GMF_VERB_EVALUATE | GMF_VERB_TRAIN, false, "LIST", 0, 0, NULL, "",
     "what to compute, separated by commas, @K is a list length; where not given: recall@20, ndcg@10, precision@10, hit@10, and for als also rmse and mae"},
    {"explain", GMF_OPT_FLAG, FIELD(explain), GMF_VERB_EVALUATE, false, NULL, 0, 0, NULL, "no",
     "print the formula of each metric"},

    {"to", GMF_OPT_CHOICE, FIELD(to), GMF_VERB_EXPORT, false, NULL, 0, 0, "npz|mtx|csv|h5ad|ann-benchmarks", "",
     "the format to write"},

    {"top", GMF_OPT_INT, FIELD(top), GMF_VERB_RECOMMEND, true, "N", 1, 1e6, NULL, "10",
     "length of the lists; shorter ones are padded with item -1 and score NaN"},
    {"users", GMF_OPT_TEXT, FIELD(users_file), GMF_VERB_RECOMMEND, false, "FILE", 0, 0, NULL, "",
     "the users to serve, an id a line, in that order; where not given: all of the model"},
    {"users-range", GMF_OPT_TEXT, FIELD(users_range), GMF_VERB_RECOMMEND, false, "A:B", 0, 0, NULL, "",
     "of these users only those from A to B - 1, counted from 0: the whole in pieces, each in a file of its own"},
    {"include-seen", GMF_OPT_FLAG, FIELD(include_seen), GMF_VERB_RECOMMEND, true, NULL, 0, 0, NULL, "no",
     "also list items that the user had in training"},
    {"include-cold", GMF_OPT_FLAG, FIELD(include_cold), GMF_VERB_RECOMMEND, true, NULL, 0, 0, NULL, "no",
     "also list items, and serve users, that have no ratings in training but features, by what these predict"},
    {"allow", GMF_OPT_TEXT, FIELD(allow), GMF_VERB_RECOMMEND, false, "FILE", 0, 0, NULL, "",
     "list only these items, an id a line"},
    {"deny", GMF_OPT_TEXT, FIELD(deny), GMF_VERB_RECOMMEND, false, "FILE", 0, 0, NULL, "",
     "list none of these items, even when allowed"},

    {"like", GMF_OPT_TEXT, FIELD(like), GMF_VERB_SYNTH | GMF_VERB_ONLY_PLAN, false, "NAME[/S]", 0, 0, NULL, "",
     "users, items, ratings and their spread as in a well-known dataset, " GMF_SHAPE_WORDS
     "; with /S one in S of its users: netflix/10"},
    {"users", GMF_OPT_INT, FIELD(users), GMF_VERB_SYNTH, false, "M", 1, COUNT_MAX, NULL, "1000", "number of users"},
    {"items", GMF_OPT_INT, FIELD(items), GMF_VERB_SYNTH, false, "N", 1, COUNT_MAX, NULL, "500", "number of items"},
    {"ratings", GMF_OPT_INT, FIELD(ratings), GMF_VERB_SYNTH, false, "NNZ", 1, COUNT_MAX, NULL, "50000",
     "number of ratings, exactly"},
    {"noise", GMF_OPT_REAL, FIELD(noise), GMF_VERB_SYNTH, false, "S", 0, 1e6, NULL, "0.5",
     "standard deviation of what is added to the planted rating"},
    {"implicit", GMF_OPT_FLAG, FIELD(implicit), GMF_VERB_SYNTH, false, NULL, 0, 0, NULL, "no",
     "counts of events instead of half-star ratings"},

    {"seconds", GMF_OPT_REAL, FIELD(seconds), GMF_VERB_BENCH, false, "S", 0.01, 3600, NULL, "4",
     "about how long to measure; longer is steadier where others use the machine too"},

    {"seed", GMF_OPT_INT, FIELD(seed), SEEDED, true, "S", 0, COUNT_MAX, NULL, "1",
     "of the random numbers; the same seed gives the same result on any number of ranks"},
    {"threads", GMF_OPT_INT, FIELD(threads), ALL, false, "T", 0, 4096, NULL, "0",
     "OpenMP threads of a rank; 0: OMP_NUM_THREADS, else the cores divided among the ranks of the node"},
    {"memory-limit", GMF_OPT_SIZE, FIELD(memory_limit), PLANNED, false, "SIZE", 0, 0, NULL, "0",
     "memory that a rank may use, as 4G or 512M; a run that needs more is refused at its start; 0: as much as control "
     "groups, Slurm and the free memory of the node allow"},
    {"config", GMF_OPT_TEXT, FIELD(config_file), ALL, false, "FILE", 0, 0, NULL, "",
     "an INI file with the same keys; the command line goes before it"},
    {"print-config", GMF_OPT_FLAG, FIELD(print_config), ALL, false, NULL, 0, 0, NULL, "no",
     "print the options in force as such a file, and stop"},
    {"stall-timeout", GMF_OPT_DURATION, FIELD(stall_timeout), ALL, false, "TIME", 0, 0, NULL, "10m",
     "end the job when a rank has done nothing for so long, or all ranks wait for each other; 0s: never"},
    {"log-json", GMF_OPT_TEXT, FIELD(log_json), ALL, false, "FILE", 0, 0, NULL, "",
     "append the log as JSON, one object a line"},
    {"json", GMF_OPT_FLAG, FIELD(json), SHOWS, false, NULL, 0, 0, NULL, "no", "print the result as one JSON object"},
    {"quiet", GMF_OPT_FLAG, FIELD(quiet), ALL, false, NULL, 0, 0, NULL, "no", "no log on standard error"},
};

const gmf_option_table GMF_OPTIONS = {OPTIONS, sizeof OPTIONS / sizeof *OPTIONS};

const gmf_verb_name GMF_VERB_NAMES[] = {{"import", GMF_VERB_IMPORT}, {"split", GMF_VERB_SPLIT},
                                        {"train", GMF_VERB_TRAIN},   {"evaluate", GMF_VERB_EVALUATE},
                                        {"synth", GMF_VERB_SYNTH},   {"info", GMF_VERB_INFO},
                                        {"verify", GMF_VERB_VERIFY}, {"recommend", GMF_VERB_RECOMMEND},
                                        {"export", GMF_VERB_EXPORT}, {"sweep", GMF_VERB_SWEEP},
                                        {"attach", GMF_VERB_ATTACH}, {"bench", GMF_VERB_BENCH},
                                        {"plan", GMF_VERB_PLAN},     {NULL, 0}};
const char GMF_VERB_WORDS[] = "import|attach|split|train|sweep|evaluate|recommend|synth|info|verify|export|bench|plan";

#define OF(algorithm) (1 << (algorithm))
#define ITEM_BASED (OF(GMF_ALGORITHM_ITEM_KNN) | OF(GMF_ALGORITHM_EASE))

/* Options of training that some algorithms alone take. */
static const struct {
  size_t offset;
  int algorithms; /* a sum of OF() */
} OF_SOME_ALGORITHMS[] = {
    {offsetof(gmf_config, alpha), OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, alpha0), OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, loss), OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, bias), OF(GMF_ALGORITHM_ALS)},
    {offsetof(gmf_config, features[GMF_USERS]), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, features[GMF_ITEMS]), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, lambda_features), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, relaxation), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, lambda_bias), OF(GMF_ALGORITHM_ALS)},
    {offsetof(gmf_config, center), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_SVD)},
    {offsetof(gmf_config, seed), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS) | OF(GMF_ALGORITHM_SVD)},
    {offsetof(gmf_config, factors), ~ITEM_BASED},
    {offsetof(gmf_config, seen), ~ITEM_BASED},
    {offsetof(gmf_config, grid), ~ITEM_BASED},
    {offsetof(gmf_config, heavy[GMF_USERS]), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, heavy[GMF_ITEMS]), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, roofline), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, hops), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, share_node), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, expand_memory), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, wire), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS)},
    {offsetof(gmf_config, lambda), OF(GMF_ALGORITHM_ALS) | OF(GMF_ALGORITHM_IALS) | OF(GMF_ALGORITHM_EASE)},
    {offsetof(gmf_config, similarity), OF(GMF_ALGORITHM_ITEM_KNN)},
    {offsetof(gmf_config, neighbours), OF(GMF_ALGORITHM_ITEM_KNN)},
    {offsetof(gmf_config, shrinkage), OF(GMF_ALGORITHM_ITEM_KNN)},
    {offsetof(gmf_config, bm25_k1), OF(GMF_ALGORITHM_ITEM_KNN)},
    {offsetof(gmf_config, bm25_b), OF(GMF_ALGORITHM_ITEM_KNN)},
    {offsetof(gmf_config, values), ITEM_BASED},
    {offsetof(gmf_config, precision), OF(GMF_ALGORITHM_EASE)},
    {offsetof(gmf_config, keep_per_item), OF(GMF_ALGORITHM_EASE)},
    {offsetof(gmf_config, store), ITEM_BASED},
    {offsetof(gmf_config, svd_method), OF(GMF_ALGORITHM_SVD)},
    {offsetof(gmf_config, tolerance), OF(GMF_ALGORITHM_SVD)},
    {offsetof(gmf_config, max_restarts), OF(GMF_ALGORITHM_SVD)},
    {offsetof(gmf_config, block), OF(GMF_ALGORITHM_SVD)},
    {offsetof(gmf_config, power_steps), OF(GMF_ALGORITHM_SVD)},
    {offsetof(gmf_config, scaling), OF(GMF_ALGORITHM_SVD)}};

/* Options that algorithms without sweeps take none of. */
static bool is_of_sweeps(size_t offset)
{
  static const size_t FIELDS[] = {
      offsetof(gmf_config, iterations),     offsetof(gmf_config, lambda_scale), offsetof(gmf_config, lambda_exponent),
      offsetof(gmf_config, nonnegative),    offsetof(gmf_config, solver),       offsetof(gmf_config, cg_steps),
      offsetof(gmf_config, validate_every), offsetof(gmf_config, early_stop),   offsetof(gmf_config, deterministic)};
  for (size_t f = 0; f < sizeof FIELDS / sizeof *FIELDS; f++)
    if (FIELDS[f] == offset) return true;
  return false;
}

bool gmf_option_applies(const gmf_option *o, gmf_verb verb, const gmf_config *config)
{
  if ((o->verbs & verb) == 0) return false;
  if ((verb & GMF_VERB_TRAIN) == 0) return true;
  for (size_t j = 0; j < sizeof OF_SOME_ALGORITHMS / sizeof *OF_SOME_ALGORITHMS; j++)
    if (OF_SOME_ALGORITHMS[j].offset == o->offset && config->algorithm >= 0 &&
        (OF_SOME_ALGORITHMS[j].algorithms & OF(config->algorithm)) == 0)
      return false;
  if (o->offset == offsetof(gmf_config, alpha)) return config->loss != GMF_LOSS_IALS - GMF_LOSS_HKV;
  if (o->offset == offsetof(gmf_config, alpha0)) return config->loss == GMF_LOSS_IALS - GMF_LOSS_HKV;
  if (o->offset == offsetof(gmf_config, lambda_bias)) return config->bias;
  if (o->offset == offsetof(gmf_config, lambda_features))
    return config->features[GMF_USERS] || config->features[GMF_ITEMS];
  if (o->offset == offsetof(gmf_config, cg_steps)) return config->solver == GMF_SOLVER_CG;
  if (o->offset == offsetof(gmf_config, tolerance) || o->offset == offsetof(gmf_config, max_restarts))
    return config->svd_method == GMF_SVD_KRYLOV;
  if (o->offset == offsetof(gmf_config, power_steps)) return config->svd_method == GMF_SVD_RANDOMIZED;
  if (o->offset == offsetof(gmf_config, bm25_k1) || o->offset == offsetof(gmf_config, bm25_b))
    return config->similarity == GMF_SIMILARITY_BM25;
  bool sweeps =
      config->algorithm < 0 || config->algorithm == GMF_ALGORITHM_ALS || config->algorithm == GMF_ALGORITHM_IALS;
  return sweeps || !is_of_sweeps(o->offset);
}

/* Options of how a run is watched and stopped, each with another option that it does nothing without. */
static bool is_idle(const gmf_option *o, const gmf_config *c)
{
  if (o->offset == offsetof(gmf_config, metrics) || o->offset == offsetof(gmf_config, validate_every))
    return c->test[0] == '\0';
  if (o->offset == offsetof(gmf_config, checkpoint_every) || o->offset == offsetof(gmf_config, keep))
    return c->checkpoint[0] == '\0';
  return false;
}

void gmf_config_idle(const gmf_config *config, char *out, size_t size)
{
  gmf_config defaults = {.algorithm = -1};
  char value[GMF_PATH_BYTES], usual[GMF_PATH_BYTES];
  size_t length = 0;

  gmf_options_defaults(&GMF_OPTIONS, &defaults);
  out[0] = '\0';
  for (int i = 0; i < GMF_OPTIONS.n && length < size; i++) {
    const gmf_option *o = &OPTIONS[i];
    bool idle = o->is_model && (o->verbs & GMF_VERB_TRAIN) != 0 && !gmf_option_applies(o, GMF_VERB_TRAIN, config);
    if (!idle && !is_idle(o, config)) continue;
    gmf_option_text(o, config, value, sizeof value);
    gmf_option_text(o, &defaults, usual, sizeof usual);
    if (strcmp(value, usual) == 0) continue;
    length += (size_t)snprintf(out + length, size - length, "%s--%s", length > 0 ? ", " : "", o->name);
  }
}

const gmf_option *gmf_option_named(const char *name)
{
  for (int i = 0; i < GMF_OPTIONS.n; i++)
    if (strcmp(OPTIONS[i].name, name) == 0) return &OPTIONS[i];
  return NULL;
}

void gmf_config_text(const gmf_config *config, size_t offset, char *out, size_t size)
{
  for (int i = 0; i < GMF_OPTIONS.n; i++)
    if (OPTIONS[i].offset == offset) gmf_option_text(&OPTIONS[i], config, out, size);
}

/* ---- the INI file: keys hold for all verbs, those below [verb] for that one ---------------------------------------
 */

typedef struct ini_state {
  gmf_verb verb;
  bool of_sweep; /* the second reading for sweep: its own section, which goes before the others */
  gmf_config *config;
  gmf_error error; /* of the first bad key */
} ini_state;

/* The verb of a section "sweep" or "sweep NAME"; 0 for words that are none. */
static gmf_verb verb_of_section(const char *section)
{
  size_t length = strcspn(section, " ");
  for (const gmf_verb_name *v = GMF_VERB_NAMES; v->name != NULL; v++) {
    bool is_named = strlen(v->name) == length && strncmp(v->name, section, length) == 0;
    if (is_named && (section[length] == '\0' || v->verb == GMF_VERB_SWEEP)) return v->verb;
  }
  return (gmf_verb)0;
}

/* Whether a key of a section is for this reading. What makes the points of a sweep is app/sweep_grid.c's to read. */
static bool is_wanted(const ini_state *r, const char *section, const char *name)
{
  if (r->of_sweep) {
    const gmf_option *option = gmf_option_named(name);
    return strcmp(section, "sweep") == 0 && (option == NULL || !option->is_model);
  }
  gmf_verb verb = verb_of_section(section);
  return section[0] == '\0' || (verb != GMF_VERB_SWEEP && (verb & r->verb) == verb);
}

static int set_from_ini(void *user, const char *section, const char *name, const char *value)
{
  ini_state *r = user;
  if (r->error.status != GMF_OK) return 0;
  if (section[0] != '\0' && verb_of_section(section) == 0) {
    char near[32] = "";
    bool found = gmf_nearest_word(GMF_VERB_WORDS, section, near, sizeof near);
    gmf_fail(&r->error, GMF_ERR_CONFIG, "section [%s] is no verb%s%s%s; keys before any section hold for all verbs",
             section, found ? "; did you mean [" : "", near, found ? "]?" : "");
    return 0;
  }
  if (!is_wanted(r, section, name)) return 1; /* another verb's */
  return gmf_options_set(&GMF_OPTIONS, r->verb, r->config, name, value, GMF_ERR_CONFIG, &r->error) == GMF_OK;
}

gmf_status gmf_ini_status(const char *path, int line, const gmf_error *reason, gmf_error *err)
{
  if (line == 0) return GMF_OK;
  if (line == -1) return gmf_fail(err, GMF_ERR_NO_INPUT, "%s: %s", path, strerror(errno));
  if (line < 0) return gmf_fail(err, GMF_ERR_MEMORY, "%s: out of memory", path);
  if (reason->status == GMF_OK)
    return gmf_fail(err, GMF_ERR_CONFIG, "%s:%d: a line is 'key = value', '[section]' or a comment", path, line);
  return gmf_fail(err, GMF_ERR_CONFIG, "%s:%d: %s", path, line, reason->text);
}

/* For a sweep [train] holds too, and [sweep] goes before it, wherever the two stand. */
static gmf_status read_ini(const char *path, gmf_verb verb, gmf_config *config, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int pass = 0; pass < (verb == GMF_VERB_SWEEP ? 2 : 1) && status == GMF_OK; pass++) {
    ini_state reader = {.verb = verb, .of_sweep = pass == 1, .config = config};
    int line = ini_parse(path, set_from_ini, &reader);
    status = gmf_ini_status(path, line, &reader.error, err);
  }
  return status;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static gmf_status load_root(gmf_verb verb, int argc, char *const *argv, gmf_config *config, gmf_text_list *arguments,
                            gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_options_parse(&GMF_OPTIONS, verb, argc, argv, 2, config, arguments, NULL, err));
  if (config->config_file[0] == '\0') goto cleanup;
  char path[GMF_PATH_BYTES];
  snprintf(path, sizeof path, "%s", config->config_file);
  gmf_options_defaults(&GMF_OPTIONS, config);
  GMF_TRY(read_ini(path, verb, config, err));
  GMF_TRY(gmf_options_parse(&GMF_OPTIONS, verb, argc, argv, 2, config, arguments, NULL, err));
cleanup:
  return status;
}

gmf_status gmf_config_load(const gmf_grid *grid, gmf_verb verb, int argc, char *const *argv, gmf_config *config,
                           gmf_text_list *arguments, gmf_error *err)
{
  memset(config, 0, sizeof *config);
  gmf_options_defaults(&GMF_OPTIONS, config);
  gmf_status status = grid->rank == 0 ? load_root(verb, argc, argv, config, arguments, err) : GMF_OK;
  status = gmf_agree(grid, status, err);
  if (status != GMF_OK) return status;
  if (grid->rank != 0) { /* the arguments are pointers into argv: every rank takes its own */
    gmf_config ignored = *config;
    gmf_options_parse(&GMF_OPTIONS, verb, argc, argv, 2, &ignored, arguments, NULL, NULL);
  }
  gmf_broadcast(grid, config, sizeof *config);
  return GMF_OK;
}

static bool is_item_based(const gmf_config *c)
{
  return c->algorithm == GMF_ALGORITHM_ITEM_KNN || c->algorithm == GMF_ALGORITHM_EASE;
}

/* A layout that is neither left to the program nor nothing. */
static bool is_given(const char *layout) { return strcmp(layout, "auto") != 0 && strcmp(layout, "none") != 0; }

/* What an algorithm without sweeps has not. */
static gmf_status refuse_sweeps(const gmf_config *c, gmf_error *err)
{
  char algorithm[32];
  gmf_config_text(c, offsetof(gmf_config, algorithm), algorithm, sizeof algorithm);
  const struct {
    const char *option;
    bool given;
  } without[] = {{"checkpoint", is_item_based(c) && c->checkpoint[0] != '\0'},
                 {"test", c->test[0] != '\0'},
                 {"fold-in", c->fold_in[0] != '\0'},
                 {"early-stop", c->early_stop > 0},
                 {"nonnegative", c->nonnegative},
                 {"bias", c->bias},
                 {"relaxation", c->relaxation > 1},
                 {"item-features", c->features[GMF_ITEMS]},
                 {"user-features", c->features[GMF_USERS]},
                 {"deterministic", c->deterministic},
                 {"roofline", c->roofline},
                 {"heavy-users", is_given(c->heavy[GMF_USERS])},
                 {"heavy-items", is_given(c->heavy[GMF_ITEMS])},
                 {"hops", c->hops == GMF_HOPS_2},
                 {"share-node", c->share_node != GMF_SHARE_AUTO},
                 {"expand-memory", c->expand_memory > 0},
                 {"wire", c->wire != GMF_WIRE_F4},
                 {"no-seen", is_item_based(c) && !c->seen},
                 {"grid", is_item_based(c) && is_given(c->grid)}};
  for (size_t o = 0; o < sizeof without / sizeof *without; o++)
    if (without[o].given)
      return gmf_fail(err, GMF_ERR_USAGE, "--algorithm %s has no --%s: leave it out", algorithm, without[o].option);
  return GMF_OK;
}

static gmf_status resolve_svd(gmf_config *c, gmf_error *err)
{
  bool from_path = strcmp(c->resume, "auto") != 0 && strcmp(c->resume, "never") != 0;
  if (c->svd_method == GMF_SVD_GRAM && (c->checkpoint[0] != '\0' || from_path))
    return gmf_fail(
        err, GMF_ERR_USAGE,
        "--svd-method gram works in one piece and takes no checkpoints: leave out --%s, or use --svd-method "
        "krylov or randomized",
        from_path ? "resume" : "checkpoint");
  if (c->center < 0) c->center = GMF_CENTER_NONE;
  return refuse_sweeps(c, err);
}

static gmf_status resolve_item_based(gmf_config *c, gmf_error *err)
{
  bool ease = c->algorithm == GMF_ALGORITHM_EASE, jaccard = !ease && c->similarity == GMF_SIMILARITY_JACCARD;
  if (isnan(c->lambda)) c->lambda = 200;
  if (c->values < 0) c->values = ease || jaccard ? GMF_VALUES_BINARY : GMF_VALUES_RATINGS;
  if (!ease && c->similarity == GMF_SIMILARITY_ADJUSTED_COSINE && c->values == GMF_VALUES_BINARY)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--similarity adjusted-cosine compares ratings with their user's mean: leave out --values binary");
  c->iterations = 0;
  return refuse_sweeps(c, err);
}

gmf_status gmf_config_resolve_train(gmf_config *c, gmf_error *err)
{
  if (c->algorithm < 0)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--algorithm is needed: als for ratings such as stars, ials for clicks and counts");
  if (c->algorithm == GMF_ALGORITHM_POPULARITY) { /* one column of counts, no sweeps */
    c->factors = 1;
    c->iterations = 0;
    c->bias = false;
    c->roofline = false;
  }
  if (c->max_time > 0 && c->checkpoint[0] == '\0')
    return gmf_fail(err, GMF_ERR_USAGE, "--max-time stops with a checkpoint: --checkpoint DIR is needed");
  if (c->algorithm == GMF_ALGORITHM_SVD) return resolve_svd(c, err);
  if (is_item_based(c)) return resolve_item_based(c, err);
  if (c->center > GMF_CENTER_GLOBAL)
    return gmf_fail(err, GMF_ERR_USAGE, "--center %s is for --algorithm svd; als takes none and global",
                    c->center == GMF_CENTER_USER   ? "user"
                    : c->center == GMF_CENTER_ITEM ? "item"
                                                   : "both");
  bool explicit_ratings = c->algorithm == GMF_ALGORITHM_ALS;
  if (c->bias && !explicit_ratings)
    return gmf_fail(err, GMF_ERR_USAGE, "--algorithm ials has no --bias: leave it out, or use --algorithm als");
  if (isnan(c->lambda)) c->lambda = explicit_ratings ? 0.05 : 0.1;
  if (c->lambda_scale < 0) c->lambda_scale = explicit_ratings ? GMF_LAMBDA_COUNT : GMF_LAMBDA_NONE;
  if (isnan(c->lambda_bias)) c->lambda_bias = c->lambda;
  if (c->center < 0) c->center = c->bias ? GMF_CENTER_GLOBAL : GMF_CENTER_NONE;
  if (c->hops == GMF_HOPS_2 && (c->share_node == GMF_SHARE_ON || c->expand_memory > 0))
    return gmf_fail(err, GMF_ERR_USAGE, "--hops 2 brings whole panels to each rank: leave out --%s",
                    c->expand_memory > 0 ? "expand-memory" : "share-node on");
  if (c->share_node == GMF_SHARE_ON && c->expand_memory > 0)
    return gmf_fail(err, GMF_ERR_USAGE, "panels of --expand-memory are of one rank: leave out --share-node on");
  if (c->nonnegative && c->solver == GMF_SOLVER_CG)
    return gmf_fail(err, GMF_ERR_USAGE, "--nonnegative has an exact solver of its own: leave out --solver cg");
  bool features = c->features[GMF_USERS] || c->features[GMF_ITEMS];
  if (c->relaxation > 1 && (c->nonnegative || features))
    return gmf_fail(err, GMF_ERR_USAGE, "--relaxation goes beyond solutions, where %s: leave out --%s",
                    c->nonnegative ? "factors would be below zero" : "the objective of features is not known",
                    c->nonnegative           ? "nonnegative"
                    : c->features[GMF_USERS] ? "user-features"
                                             : "item-features");
  if (c->test[0] == '\0' && (c->early_stop > 0 || c->fold_in[0] != '\0'))
    return gmf_fail(err, GMF_ERR_USAGE, "--%s needs ratings to validate with: --test TEST.h5",
                    c->early_stop > 0 ? "early-stop" : "fold-in");
  return GMF_OK;
}

gmf_loss gmf_config_loss(const gmf_config *c)
{
  if (c->algorithm == GMF_ALGORITHM_ALS) return (gmf_loss){.kind = GMF_LOSS_SQUARED};
  return (gmf_loss){
      .kind = (gmf_loss_kind)(GMF_LOSS_HKV + c->loss), .alpha = (float)c->alpha, .alpha0 = (float)c->alpha0};
}

gmf_svd_options gmf_config_svd(const gmf_config *c)
{
  bool both = c->center == GMF_CENTER_BOTH;
  return (gmf_svd_options){.k = (int)c->factors,
                           .method = (gmf_svd_method)c->svd_method,
                           .tolerance = c->tolerance,
                           .block = (int)c->block,
                           .max_restarts = c->max_restarts,
                           .power_steps = c->power_steps,
                           .seed = (uint64_t)c->seed,
                           .centering = {c->center == GMF_CENTER_GLOBAL,
                                         {both || c->center == GMF_CENTER_USER, both || c->center == GMF_CENTER_ITEM}}};
}

gmf_row_options gmf_config_row(const gmf_config *c)
{
  return (gmf_row_options){(int)c->factors,       c->bias,          gmf_config_loss(c),
                           (gmf_solver)c->solver, (int)c->cg_steps, c->nonnegative};
}

gmf_regularisation gmf_config_regularisation(const gmf_config *c)
{
  return (gmf_regularisation){c->lambda, c->lambda_bias, (gmf_lambda_scale)c->lambda_scale, c->lambda_exponent};
}

/* "RxC" with R x C = n_ranks; text: the option's whole value, for messages. */
static gmf_status parse_shape(const char *shape, const char *option, const char *text, int n_ranks, int *n_rows,
                              int *n_cols, gmf_error *err)
{
  char *end = NULL;
  long rows = strtol(shape, &end, 10), cols = 0;
  if (*end == 'x' || *end == 'X') cols = strtol(end + 1, &end, 10);
  if (*end != '\0' || rows < 1 || cols < 1 || rows > n_ranks || cols > n_ranks)
    return gmf_fail(err, GMF_ERR_USAGE, "--%s %s: RxC with R x C = %d ranks is needed, or auto", option, text, n_ranks);
  if (rows * cols != n_ranks)
    return gmf_fail(err, GMF_ERR_USAGE, "--%s %s: has %ld places, but there are %d ranks", option, text, rows * cols,
                    n_ranks);
  *n_rows = (int)rows;
  *n_cols = (int)cols;
  return GMF_OK;
}

gmf_status gmf_config_grid(const gmf_config *config, int n_ranks, int *n_rows, int *n_cols, gmf_error *err)
{
  *n_rows = n_ranks;
  *n_cols = 1;
  if (strcmp(config->grid, "auto") == 0) return GMF_OK;
  gmf_status status = parse_shape(config->grid, "grid", config->grid, n_ranks, n_rows, n_cols, err);
  if (status == GMF_OK && *n_cols > 1 && config->deterministic)
    return gmf_fail(err, GMF_ERR_USAGE, "--deterministic needs a grid of one column: --grid %dx1, or auto", n_ranks);
  if (status == GMF_OK && *n_cols > 1 && config->expand_memory > 0)
    return gmf_fail(err, GMF_ERR_USAGE, "--expand-memory needs a grid of one column: --grid %dx1, or auto", n_ranks);
  return status;
}

bool gmf_config_layout_is_auto(const gmf_config *config, gmf_side side)
{
  return strcmp(config->heavy[side], "auto") == 0;
}

gmf_status gmf_config_layout(const gmf_config *config, gmf_side side, const gmf_grid *grid, gmf_layout *layout,
                             gmf_error *err)
{
  const char *text = config->heavy[side], *option = side == GMF_USERS ? "heavy-users" : "heavy-items";
  *layout = gmf_layout_light(grid->size);
  if (!is_given(text)) return GMF_OK;
  char *end = NULL;
  errno = 0;
  long long least = strtoll(text, &end, 10);
  if (end == text || *end != ':' || errno != 0 || least < 1)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--%s %s: N:RxC is needed, such as 10000:%dx1: rows with at least N ratings, and their grid; or "
                    "auto, or none",
                    option, text, grid->size);
  if (grid->n_cols > 1)
    return gmf_fail(err, GMF_ERR_USAGE,
                    "--%s is for a grid of one column, but --grid %s has all rows on %d: leave out one of the two",
                    option, config->grid, grid->n_cols);
  gmf_status status = parse_shape(end + 1, option, text, grid->size, &layout->n_rows, &layout->n_cols, err);
  if (status == GMF_OK && layout->n_cols > 1 && config->deterministic)
    return gmf_fail(
        err, GMF_ERR_USAGE,
        "--deterministic has all ratings of a row at one rank: leave out --%s, or take a grid of one column", option);
  if (status == GMF_OK && layout->n_cols > 1) layout->heavy_from = (int64_t)least;
  return status;
}
