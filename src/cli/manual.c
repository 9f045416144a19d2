#include "cli/manual.h"

#include <ctype.h>
#include <string.h>

#include "algo/metrics.h"
#include "app/log_schema.h"
#include "base/build_info.h"

#define MANUAL_DATE "November 21, 2026"

typedef struct verb_text {
  gmf_verb verb;
  const char *name, *arguments, *summary, *details, *example;
} verb_text;

static const verb_text VERBS[] = {
    {GMF_VERB_IMPORT, "import", "FILE... -o DATA.h5", "text ratings into a dataset file, read in parallel",
     "Reads csv with or without header, tab-separated and '::'-separated text, MatrixMarket and adjacency lists (user "
     "item item ..., value 1), plain or compressed by gzip or zstd. The first line is a header when --columns uses "
     "names, when it names both user and item (userId, movie_id, ...), or when its rating is a word and its ids are "
     "not both integers. Without names the columns are user, item, rating, time. Quotes are for csv, and a line ends "
     "at its newline even inside them. Times are seconds, or YYYY-MM-DD HH:MM:SS in UTC. A weight, finite and 0 or more, is "
     "only read from a column that --columns names; of duplicates, last and max keep the weight of the rating that is "
     "kept, mean goes by weight and adds the weights up, and sum takes none. Ids are 64-bit integers, or strings when any id of the side is no integer; rows of the dataset are in ascending order of the ids. Plain "
     "files are read in byte ranges by all ranks and threads, a compressed file by one rank. Steps are taken in this "
     "order, once each: duplicates, min-rating, binarize, min-item-count, min-user-count, the last two repeatedly with "
     "--k-core; weights do not count in them; ids without ratings are left out then. The dataset is the same, byte for byte, for any number of ranks.",
     "mpirun -n 2 gridmf import ratings.csv -o data.h5"},
    {GMF_VERB_ATTACH, "attach", "DATA.h5 --items FILE|--users FILE --categories COLUMN[,SEPARATOR] -o OUT.h5",
     "features of items or users into a dataset, from a table of text",
     "The table has a line for each item, or user: csv, tab-separated or '::'-separated text, plain or compressed by gzip or "
     "zstd, with a header unless all columns are given by number. Categories become features of 1 and 0, a category in "
     "quotes may hold the separator; numbers are stored in units of their standard deviation from their mean. Ids of the "
     "table that have no ratings get rows too, and ids that the table does not name have no features; both are counted. An id "
     "twice, a number that is none or a column that is not there is an error. Features are a csr matrix in the file, "
     "aligned with the ids; split hands them on, and train uses them with --item-features and --user-features. One rank reads the "
     "table, and every rank keeps its features. The dataset is the same, byte for byte, for any number of ranks.",
     "gridmf attach data.h5 --items movies.csv --categories 'genres,|' -o featured.h5"},
    {GMF_VERB_SPLIT, "split", "DATA.h5 --train TRAIN.h5 --test TEST.h5", "a dataset into a training and a test set",
     "What is held out depends on the data, the options and the seed only. random, leave-last and time keep all users, "
     "items, ids and features in both files. time holds out all ratings at or after a time, the earliest one that keeps to "
     "--fraction or --count. users holds out whole users (strong generalisation, Liang et al. 2018): the training set "
     "has the other users and the items that they rated; of a held-out user's ratings of these items a share of "
     "--test-fraction goes by chance to --test, the rest to --fold-in, and both files have the held-out users and the "
     "items of the training set. All files are written, or none.",
     "gridmf split data.h5 --train train.h5 --test test.h5 --method random --fraction 0.1"},
    {GMF_VERB_TRAIN, "train", "DATA.h5 -o MODEL.h5 --algorithm als|ials|svd|popularity|item-knn|ease",
     "a model from a dataset",
     "Each sweep solves all users given the items, then all items given the users, exactly. The objective that is "
     "printed is the loss over all ratings plus the regularisation of both factors, after the sweep. The model is "
     "written under a temporary name, read back, verified and renamed: a visible model is a complete one. svd has no sweeps: "
     "it prints what is certain of its singular triplets instead.",
     "mpirun -n 2 gridmf train train.h5 -o model.h5 --algorithm ials --alpha 1 --lambda 5"},
    {GMF_VERB_PLAN, "plan", "DATA.h5 --algorithm als|ials --np P", "what a training will take, before it is run",
     "Takes the options of train, and says of each rank's share what it will hold (memory by part), receive from others "
     "(calls and bytes of a sweep, by what moves them), and do, how even that is over the ranks, how long a sweep will "
     "take and how long the files will be. With a dataset all that is counted from the ratings, for any number of ranks up "
     "to 16,384, by this process alone or by several under mpirun; bytes and messages are exactly those of the run. With "
     "--users, --items and --ratings instead it is about what can be expected of degrees as gridmf synth has them, and with "
     "--like NAME as a well-known dataset has them. Without --np "
     "there is a line for each of 1, 2, 4, ... ranks. A collective's bytes are those of the vector that a rank hands over, "
     "and what it receives is the least that has to come from others. Time is what operations or memory take, whichever is "
     "more, and then messages; nothing is taken to overlap. Panels and two hops are counted like all else, and so are "
     "features of a dataset, of which sizes alone do not tell; with "
     "--share-node MPI's bytes are counted, and those that a rank reads in its node's memory stand beside them. Exit code 69 says that it does not fit into --memory-limit.",
     "gridmf plan data.h5 --algorithm ials --factors 128 --np 64 --memory-limit 4G"},
    {GMF_VERB_SWEEP, "sweep", "DATA.h5 -o DIR --config GRID.ini --test TEST.h5",
     "the best of many options: a grid or a list of them",
     "GRID.ini has a section [sweep]; options of the model (those that a model file stores) may have several values "
     "there, separated by commas, and all combinations are the points. Sections [sweep NAME], where there are some, are "
     "lists of points instead, on top of what [sweep] says, and may have several values too. [train] holds for all "
     "points, and the command line goes before the file. The ranks are divided into groups of equal size; each group "
     "holds all ratings, which are read once, and trains one point at a time, to the bits that train gives on as many "
     "ranks; groups take the points that need most work first. Points are ranked by the first metric; DIR/best.h5 is "
     "the model of the best, DIR/results.csv and results.jsonl have all of them, DIR/points/ID.jsonl is a point's log. "
     "A point that fails by its numbers or does not fit into memory is recorded, and the others go on. The same command "
     "given again trains what is not done, half-done points from their checkpoints; points may be added to the grid. "
     "Signals, --max-time and a file DIR/STOP stop it as they stop train.",
     "mpirun -n 4 gridmf sweep train.h5 -o sweep --config inputs/sweeps/ials.ini --test test.h5 --metrics ndcg@10"},
    {GMF_VERB_EVALUATE, "evaluate", "MODEL.h5 TEST.h5", "metrics of a model on a test set",
     "Users and items are matched by id. Items that a user had in training are left out of the list; users and items "
     "without training ratings are passed over, and counted. With --fold-in, users who have ratings in that file are "
     "scored by rows solved from them, exactly, with the loss, weights and regularisation of the training, whether the "
     "model has them or not; what they folded in is left out of their lists.",
     "mpirun -n 2 gridmf evaluate model.h5 test.h5 --metrics recall@20,ndcg@10"},
    {GMF_VERB_RECOMMEND, "recommend", "MODEL.h5 -o RECS.h5", "top-N lists of every user, or some, into a file",
     "The lists and scores are those of gridmf-query recommend, bit for bit, on any number of ranks: best first, ties to "
     "the lower row, without items that the user had in training. Cold users, without ratings in training, get empty lists. "
     "Each rank serves its part of the users in batches and writes them as they are done, so that memory does not grow "
     "with the model; --users-range serves a part of them, so that a long run can be made of short ones.",
     "mpirun -n 2 gridmf recommend model.h5 -o recs.h5 --top 100"},
    {GMF_VERB_INFO, "info", "FILE", "what a file holds", "Attributes, arrays with their shapes, provenance.",
     "gridmf info model.h5"},
    {GMF_VERB_VERIFY, "verify", "FILE...", "checksums of a file",
     "Reads everything and compares it with the XXH3-64 checksums of its blocks.", "gridmf verify model.h5"},
    {GMF_VERB_EXPORT, "export", "FILE.h5 --to npz|mtx|csv|h5ad|ann-benchmarks -o OUT",
     "a file in a format of other programs",
     "npz, for numpy.load: all arrays of a dataset (also for scipy.sparse.load_npz), a model or recommendations. csv: a "
     "line for each rating, row of factors or recommended item, with ids. mtx, of datasets: MatrixMarket, rows and columns "
     "counted from 1 in the order of the ids. h5ad, of datasets and models with factors: AnnData with users as obs and items "
     "as var, the ratings as X and factors as obsm and varm. ann-benchmarks, of models with factors: HDF5 with the "
     "items as train, the first 10,000 users as test, and their 100 neighbors by inner product, negative inner products being the distances; "
     "a bias is one more factor. Other combinations are refused. One process does the work, in pieces of the file; only "
     "ids of items, and for ann-benchmarks the items' factors, are held in memory.",
     "gridmf export model.h5 --to npz -o model.npz"},
    {GMF_VERB_SYNTH, "synth", "-o DATA.h5", "a synthetic dataset",
     "Power-law numbers of ratings for users and items, tastes of K planted factors; the same for any number of ranks. "
     "With --like there are as many users, items and ratings as in a well-known dataset, and the least, the median and the "
     "largest number of ratings of a user, and of an item, are near what is published of it; stars are whole where its "
     "stars are, and of msd there are counts. Tastes and times are not its own.",
     "mpirun -n 2 gridmf synth -o big.h5 --like ml-20m"},
    {GMF_VERB_BENCH, "bench", "[--json]", "what this machine does at most, and what the kernels make of it",
     "Measures, on all ranks and threads at once, multiply-adds of the instruction set in use, memory (the triad of STREAM) "
     "and, with several ranks, the network: messages between pairs of ranks, and the exchange that brings rows to the "
     "ranks that need them. Then the kernels that form and solve the systems of rows, as a share of that. Each figure is "
     "the best round of those that there was time for. Where others use the cores too, it is less.",
     "mpirun -n 2 gridmf bench"},
};
enum { N_VERBS = sizeof VERBS / sizeof *VERBS };

typedef struct exit_code {
  gmf_status status;
  const char *meaning;
} exit_code;

static const exit_code EXIT_CODES[] = {
    {GMF_OK, "success"},
    {GMF_ERR_INTERNAL, "an error inside gridmf"},
    {GMF_ERR_NUMERIC, "a row's system is singular, or a value is not finite"},
    {GMF_ERR_USAGE, "the command line is wrong"},
    {GMF_ERR_DATA, "bad data, or a damaged or foreign file"},
    {GMF_ERR_NO_INPUT, "an input file is missing or cannot be read"},
    {GMF_ERR_PLAN, "the run does not fit into the machine or its memory limit"},
    {GMF_ERR_STALL, "a rank or a collective call stopped making progress, see --stall-timeout"},
    {GMF_ERR_MEMORY, "out of memory"},
    {GMF_ERR_CREATE, "an output file cannot be created, or another run writes it"},
    {GMF_ERR_IO, "reading or writing failed, such as on a full disk"},
    {GMF_STOPPED, "stopped early with a checkpoint: the same command goes on"},
    {GMF_ERR_CONFIG, "a configuration file is wrong"},
};

void gmf_manual_help(FILE *out)
{
  fprintf(out, "gridmf %s: trains recommender models on MPI clusters\n\n", GMF_BUILD.version);
  fprintf(out, "usage: [mpirun -n RANKS] gridmf VERB [FILE...] [OPTIONS]\n\n");
  for (int v = 0; v < N_VERBS; v++) fprintf(out, "  %-9s %s\n", VERBS[v].name, VERBS[v].summary);
  fprintf(out,
          "\ngridmf VERB --help lists a verb's options; gridmf --version tells the libraries and kernels in use;\n"
          "man gridmf has it all. gridmf-query answers questions to a model.\n\n");
  for (int v = 0; v < 4; v++) fprintf(out, "  %s\n", VERBS[v].example);
  fprintf(out, "  gridmf-query model.h5 recommend --user 42 --top 10 --titles movies.csv\n");
}

void gmf_manual_verb_help(gmf_verb verb, FILE *out)
{
  for (int v = 0; v < N_VERBS; v++) {
    if (VERBS[v].verb != verb) continue;
    fprintf(out, "usage: [mpirun -n RANKS] gridmf %s %s [OPTIONS]\n%s\n\n", VERBS[v].name, VERBS[v].arguments,
            VERBS[v].summary);
    gmf_print_wrapped(out, VERBS[v].details, 0, gmf_help_width());
    fputc('\n', out);
    gmf_options_help(&GMF_OPTIONS, verb, out);
    fprintf(out, "\nexample:  %s\n", VERBS[v].example);
  }
}

static void man_options(const verb_text *v, FILE *out)
{
  fprintf(out, ".Bl -tag -width Ds\n");
  gmf_options_man(&GMF_OPTIONS, v->verb, out);
  fprintf(out, ".El\n");
}

static void man_verb(const verb_text *v, FILE *out)
{
  fprintf(out, ".Ss gridmf %s %s\n%s\n.Pp\nExample:\n.Dl %s\n", v->name, v->arguments, v->details, v->example);
  man_options(v, out);
}

static void man_exit_status(FILE *out)
{
  fprintf(out, ".Sh EXIT STATUS\n.Bl -tag -width 999 -compact\n");
  for (size_t e = 0; e < sizeof EXIT_CODES / sizeof *EXIT_CODES; e++)
    fprintf(out, ".It %d\n%s\n", (int)EXIT_CODES[e].status, EXIT_CODES[e].meaning);
  fprintf(out, ".El\n");
}

/* The events of --log-json and their fields. */
static void man_log(FILE *out)
{
  const char *event = "";
  fprintf(
      out,
      ".Sh LOG FOR MACHINES\n.Fl -log-json Ar FILE\nappends one JSON object a line, of schema %d, and flushes each. "
      "Readers pass over events and fields that they do not know. An error ends a log with\n.Ar error ,\na run that "
      "was killed ends it anywhere.\n.Pa scripts/report\ndraws it. All objects have\n.Bl -tag -width Ds -compact\n",
      GMF_LOG_SCHEMA);
  for (int f = 0; f < GMF_LOG_N_FIELDS; f++) {
    const gmf_log_field *field = &GMF_LOG_FIELDS[f];
    if (strcmp(field->event, event) != 0)
      fprintf(out, ".El\n.Pp\nEvent\n.Ar %s\n.Bl -tag -width Ds -compact\n", field->event);
    event = field->event;
    fprintf(out, ".It Va %s No (%s%s)\n%s\n", field->name, gmf_log_type_name(field->type),
            field->optional ? ", may be absent" : "", field->meaning);
  }
  fprintf(out, ".El\n");
}

void gmf_manual_page(FILE *out)
{
  fprintf(out, ".Dd " MANUAL_DATE
               "\n.Dt GRIDMF 1\n.Os\n.Sh NAME\n.Nm gridmf\n"
               ".Nd train recommender models on MPI clusters\n.Sh SYNOPSIS\n");
  for (int v = 0; v < N_VERBS; v++)
    fprintf(out, ".Nm gridmf %s %s\n.Op Ar options\n", VERBS[v].name, VERBS[v].arguments);
  fprintf(out,
          ".Sh DESCRIPTION\n.Nm\nfactorises a matrix of users and items that is distributed over the ranks of an MPI "
          "job: text ratings in, factors out in HDF5, recommendations by\n.Xr gridmf-query 1 .\n"
          "It runs under mpirun or srun, or alone as one rank. Results go to standard output, the log to standard "
          "error. Options may also stand in an INI file named by\n.Fl -config ,\nwith the same keys.\n");
  for (int v = 0; v < N_VERBS; v++) man_verb(&VERBS[v], out);
  fprintf(
      out,
      ".Sh METRICS\nA user's candidates are the items that the model was trained on and that it did not have in "
      "training; T are its test items that the model was trained on, L the K candidates of the highest scores, ties "
      "to the lower row.\n.Bl -bullet\n");
  for (int m = 0; m < GMF_N_METRIC_KINDS; m++) fprintf(out, ".It\n%s\n", gmf_metric_formula((gmf_metric_kind)m));
  fprintf(
      out,
      ".El\n.Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev OMP_NUM_THREADS\nThreads of a rank.\n"
      ".It Ev GRIDMF_ISA\nLowers the kernels in use: generic, avx2, avx512 or amx.\n"
      ".It Ev OPENBLAS_CORETYPE\nKernels of OpenBLAS. Where it is not set, and OpenBLAS takes those for old CPUs because "
      "it does not know this one,\n.Nm\nstarts itself anew with SkylakeX or Haswell.\n"
      ".It Ev GRIDMF_PROGRESS\nSet to 1 under mpirun when a person watches, "
      "and to 0 otherwise: a line that is written over then tells how far a sweep has come.\n"
      ".It Ev SOURCE_DATE_EPOCH\nThe date to store; host and clocks are then left out, so that two runs alike "
      "give the same bytes.\n.It Ev SLURM_MEM_PER_NODE , SLURM_MEM_PER_CPU\nMemory of the job, as Slurm sets them; "
      "see\n.Fl -memory-limit .\n.El\n"
      ".Sh FILES\n.Bl -tag -width Ds\n.It Pa FILE.lock\nIs there while a run writes\n.Pa FILE ,\nand says which. "
      "After a run that was killed it hinders nobody, but for file systems without locks, where a message says when "
      "to remove it.\n.It Pa FILE.tmp.HOST.PID\nThe file as far as it is written. The next run that writes\n.Pa FILE\n"
      "removes what runs that were killed left.\n.El\n");
  man_log(out);
  man_exit_status(out);
  fprintf(out, ".Sh SEE ALSO\n");
  for (int v = 0; v < N_VERBS; v++) fprintf(out, ".Xr gridmf-%s 1 ,\n", VERBS[v].name);
  fprintf(out, ".Xr gridmf-query 1\n");
}

void gmf_manual_verb_page(gmf_verb verb, FILE *out)
{
  for (int v = 0; v < N_VERBS; v++) {
    if (VERBS[v].verb != verb) continue;
    fprintf(out, ".Dd " MANUAL_DATE "\n.Dt GRIDMF-");
    for (const char *c = VERBS[v].name; *c != '\0'; c++) fputc(toupper((unsigned char)*c), out);
    fprintf(out,
            " 1\n.Os\n.Sh NAME\n.Nm gridmf-%s\n.Nd %s\n.Sh SYNOPSIS\n.Nm gridmf %s %s\n.Op Ar options\n"
            ".Sh DESCRIPTION\n%s\n.Pp\nMetrics, environment and files are described in\n.Xr gridmf 1 .\n.Pp\n",
            VERBS[v].name, VERBS[v].summary, VERBS[v].name, VERBS[v].arguments, VERBS[v].details);
    man_options(&VERBS[v], out);
    man_exit_status(out);
    fprintf(out, ".Sh EXAMPLES\n.Dl %s\n.Sh SEE ALSO\n.Xr gridmf 1 ,\n.Xr gridmf-query 1\n", VERBS[v].example);
  }
}

void gmf_manual_words(FILE *out)
{
  for (int v = 0; v < N_VERBS; v++) gmf_options_words(&GMF_OPTIONS, VERBS[v].verb, VERBS[v].name, out);
}
