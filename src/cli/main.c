/*
 * gridmf: one verb a run, under mpirun or srun, or alone. Rank 0 prints; every rank leaves with the same status, which
 * is the exit code.
 */
#include <errno.h>
#include <libgen.h>
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include "app/provenance.h"
#include "base/build_info.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "cli/manual.h"
#include "cli/verbs.h"
#include "io/h5.h"
#include "kernel/isa.h"
#include "linalg/blas_core.h"

typedef gmf_status verb_function(gmf_run *run, gmf_error *err);

typedef struct verb_entry {
  const char *name;
  gmf_verb verb;
  verb_function *run;
  bool multiplies; /* has work for BLAS */
} verb_entry;

static const verb_entry VERBS[] = {
    /* in the order of their use */
    {"import", GMF_VERB_IMPORT, gmf_verb_import, false},
    {"attach", GMF_VERB_ATTACH, gmf_verb_attach, false},
    {"split", GMF_VERB_SPLIT, gmf_verb_split, false},
    {"train", GMF_VERB_TRAIN, gmf_verb_train, true},
    {"plan", GMF_VERB_PLAN, gmf_verb_plan, false},
    {"sweep", GMF_VERB_SWEEP, gmf_verb_sweep, true},
    {"evaluate", GMF_VERB_EVALUATE, gmf_verb_evaluate, true},
    {"recommend", GMF_VERB_RECOMMEND, gmf_verb_recommend, true},
    {"info", GMF_VERB_INFO, gmf_verb_info, false},
    {"verify", GMF_VERB_VERIFY, gmf_verb_verify, false},
    {"export", GMF_VERB_EXPORT, gmf_verb_export, false},
    {"synth", GMF_VERB_SYNTH, gmf_verb_synth, false},
    {"bench", GMF_VERB_BENCH, gmf_verb_bench, true},
};

static const verb_entry *find_verb(const char *name)
{
  for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++)
    if (strcmp(VERBS[i].name, name) == 0) return &VERBS[i];
  return NULL;
}

gmf_status gmf_need_arguments(const gmf_run *run, int n, const char *what, gmf_error *err)
{
  if (run->arguments.n == n) return GMF_OK;
  return gmf_fail(err, GMF_ERR_USAGE, "gridmf %s takes %s, but %d argument%s there; see gridmf %s --help", run->argv[1],
                  what, run->arguments.n, run->arguments.n == 1 ? " is" : "s are", run->argv[1]);
}

/* ---- before MPI: help and version -------------------------------------------------------------------------------- */

/* Whether a launcher says that this is not the first rank: help is printed once. */
static bool is_later_rank(void)
{
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (getenv(names[i]) != NULL) return strcmp(getenv(names[i]), "0") != 0;
  return false;
}

static void print_version(void)
{
  char mpi[256], hdf5[256];
  const char *better = gmf_blas_better_core();
  gmf_provenance_libraries(mpi, hdf5, sizeof mpi);
  printf(
      "gridmf %s (%s)\n%s, %s\nzlib %s, zstd %s, jansson %s, xxHash %u\ncompiler %s, %s build, flags: %s\n"
      "kernels: %s, BLAS: %s%s%s\n",
      GMF_BUILD.version, GMF_BUILD.git_commit, mpi, hdf5, zlibVersion(), ZSTD_versionString(), jansson_version_str(),
      XXH_versionNumber(), GMF_BUILD.compiler, GMF_BUILD.build_type, GMF_BUILD.flags,
      gmf_kernel_level_name(gmf_kernel_level()), gmf_blas_core(), better != NULL ? ", in a run " : "",
      better != NULL ? better : "");
}

/* Help, version and manual need no ranks. True when that was all. */
static bool answer_questions(int argc, char **argv)
{
  const verb_entry *verb = argc > 1 ? find_verb(argv[1]) : NULL;
  bool help = gmf_options_asked(argc, argv, "--help") || gmf_options_asked(argc, argv, "-h") ||
              (argc > 1 && strcmp(argv[1], "help") == 0);
  bool version = gmf_options_asked(argc, argv, "--version");
  bool manual = gmf_options_asked(argc, argv, "--manual"); /* man pages, for the build */
  bool words = gmf_options_asked(argc, argv, "--words");   /* for the shell's completion */
  if (!help && !version && !manual && !words) return false;
  if (is_later_rank()) return true;
  if (words)
    gmf_manual_words(stdout);
  else if (manual && verb != NULL)
    gmf_manual_verb_page(verb->verb, stdout);
  else if (manual)
    gmf_manual_page(stdout);
  else if (version)
    print_version();
  else if (verb != NULL)
    gmf_manual_verb_help(verb->verb, stdout);
  else
    gmf_manual_help(stdout);
  return true;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

/* Collective. Threads of this rank: as asked, else OMP_NUM_THREADS, else the cores shared among the node's ranks. */
static void set_threads(const gmf_run *run)
{
  int n_local = 1, cores = 1, own = omp_get_num_procs();
  gmf_node_share(run->grid, &n_local, &cores);
  if (run->config.threads > 0)
    omp_set_num_threads((int)run->config.threads);
  else if (getenv("OMP_NUM_THREADS") == NULL)
    omp_set_num_threads((int)gmf_max64(1, gmf_min64(own, cores / n_local)));
  if (omp_get_max_threads() * n_local > cores && omp_get_max_threads() > 1)
    gmf_log_line(&run->log, "warning: %d ranks x %d threads on %d cores of this node; set --threads or OMP_NUM_THREADS",
                 n_local, omp_get_max_threads(), cores);
}

/* Whether two paths name one file, there already or to be made: folder and last part of the name agree. */
static bool is_same_file(const char *a, const char *b)
{
  struct stat x, y;
  char copy_a[GMF_PATH_BYTES], copy_b[GMF_PATH_BYTES];
  if (stat(a, &x) == 0 && stat(b, &y) == 0) return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
  snprintf(copy_a, sizeof copy_a, "%s", a);
  snprintf(copy_b, sizeof copy_b, "%s", b);
  if (strcmp(basename(copy_a), basename(copy_b)) != 0) return false;
  return stat(dirname(copy_a), &x) == 0 && stat(dirname(copy_b), &y) == 0 && x.st_dev == y.st_dev &&
         x.st_ino == y.st_ino;
}

/* Rank 0. No output may be an input, which it would replace, or another output. */
static gmf_status check_outputs(const gmf_run *run, gmf_verb verb, gmf_error *err)
{
  const gmf_config *c = &run->config;
  const char *files[] = {c->output, c->train, c->test, c->fold_in}, *names[] = {"output", "train", "test", "fold-in"};
  const size_t n_files = sizeof files / sizeof *files, n_outputs = verb == GMF_VERB_SPLIT ? n_files : 1;
  for (size_t o = 0; o < n_outputs; o++) {
    if (files[o][0] == '\0') continue;
    bool is_input = false;
    for (int i = 0; i < run->arguments.n; i++) is_input = is_input || is_same_file(run->arguments.values[i], files[o]);
    for (size_t f = n_outputs; f < n_files; f++)
      is_input = is_input || (files[f][0] != '\0' && is_same_file(files[f], files[o]));
    if (is_input)
      return gmf_fail(err, GMF_ERR_USAGE, "%s: is an input of this run; name another file to write", files[o]);
    for (size_t f = 0; f < o; f++)
      if (files[f][0] != '\0' && is_same_file(files[f], files[o]))
        return gmf_fail(err, GMF_ERR_USAGE, "--%s and --%s name the same file", names[f], names[o]);
  }
  return GMF_OK;
}

/* Collective. All ranks run one program with the same libraries: others would understand each other's messages wrongly.
 */
static gmf_status check_programs(const gmf_grid *grid, gmf_error *err)
{
  char mpi[256], hdf5[256], mine[1024], first[sizeof mine], host[256] = "";
  gmf_provenance_libraries(mpi, hdf5, sizeof mpi);
  snprintf(mine, sizeof mine, "gridmf %s (%s; %s, %s), %s, HDF5 %s", GMF_BUILD.version, GMF_BUILD.git_commit,
           GMF_BUILD.compiler, GMF_BUILD.build_type, mpi, hdf5);
  memcpy(first, mine, sizeof first);
  gmf_broadcast(grid, first, sizeof first);
  gethostname(host, sizeof host - 1);
  gmf_status status = GMF_OK;
  if (strcmp(mine, first) != 0)
    status = gmf_fail(err, GMF_ERR_CONFIG, "on %s runs %s, but rank 0 is %s; use one installation on all nodes", host,
                      mine, first);
  return gmf_agree(grid, status, err);
}

/* Every rank: each has an environment of its own. */
static gmf_status check_environment(gmf_error *err)
{
  const char *isa = getenv("GRIDMF_ISA");
  if (isa == NULL || gmf_kernel_level_exists(isa)) return GMF_OK;
  return gmf_fail(err, GMF_ERR_USAGE, "GRIDMF_ISA=%s: " GMF_LEVEL_NAMES " is needed", isa);
}

/* Rank 0. Results that could not be printed are an error like results that could not be written. */
static gmf_status flush_results(gmf_error *err)
{
  if (fflush(stdout) == 0 && ferror(stdout) == 0) return GMF_OK;
  return gmf_fail(err, GMF_ERR_IO, "standard output: %s", strerror(errno));
}

/* name: NULL where none was given. */
static gmf_status fail_verb(const char *name, gmf_error *err)
{
  char near[32], list[256] = "";
  for (size_t v = 0, length = 0; v < sizeof VERBS / sizeof *VERBS && length < sizeof list; v++)
    length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", v > 0 ? ", " : "", VERBS[v].name);
  if (name == NULL) return gmf_fail(err, GMF_ERR_USAGE, "a verb is needed (the verbs are %s); see gridmf --help", list);
  bool found = gmf_nearest_word(GMF_VERB_WORDS, name, near, sizeof near);
  return gmf_fail(err, GMF_ERR_USAGE, "unknown verb %s%s%s%s (the verbs are %s)", name, found ? "; did you mean " : "",
                  found ? near : "", found ? "?" : "", list);
}

static gmf_status run_verb(gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const verb_entry *verb = run->argc > 1 ? find_verb(run->argv[1]) : NULL;
  if (verb == NULL) return fail_verb(run->argc > 1 ? run->argv[1] : NULL, err);
  GMF_TRY(check_programs(run->grid, err));
  GMF_TRY(gmf_config_load(run->grid, verb->verb, run->argc, run->argv, &run->config, &run->arguments, err));
  if (run->config.print_config) {
    if (verb->verb == GMF_VERB_TRAIN) GMF_TRY(gmf_config_resolve_train(&run->config, err));
    if (run->grid->rank == 0) gmf_options_print(&GMF_OPTIONS, verb->verb, &run->config, "config|print-config", stdout);
    return gmf_agree(run->grid, run->grid->rank == 0 ? flush_results(err) : GMF_OK, err);
  }
  GMF_TRY(gmf_agree(run->grid, check_environment(err), err));
  GMF_TRY(gmf_log_open(run->grid, verb->name, &run->config, &run->log, err));
  GMF_TRY(gmf_agree(run->grid, run->grid->rank == 0 ? check_outputs(run, verb->verb, err) : GMF_OK, err));
  GMF_TRY(gmf_watchdog_start(run->grid, run->config.stall_timeout, &run->watchdog, err));
  set_threads(run);
  status = verb->run(run, err);
  if (status == GMF_OK) status = gmf_agree(run->grid, run->grid->rank == 0 ? flush_results(err) : GMF_OK, err);
  bool is_long = verb->verb != GMF_VERB_PLAN && (verb->verb & (GMF_VERB_IMPORT | GMF_VERB_TRAIN | GMF_VERB_SYNTH |
                                                               GMF_VERB_RECOMMEND)) != 0; /* where time and memory go */
  if (status == GMF_OK || status == GMF_STOPPED) {
    gmf_status ended = gmf_log_end(&run->log, run->grid, status, is_long, err);
    if (status == GMF_OK) status = ended;
  }
  if (status != GMF_OK && status != GMF_STOPPED)
    gmf_log_event(&run->log, "error", json_pack("{s:i, s:s}", "status", (int)status, "text", err->text));
cleanup:
  gmf_log_close(&run->log);
  return status;
}

/* Rank 0 says it for all. Of memory every rank has its own, so that rank 0 is named too. */
static void print_error(MPI_Comm comm, const gmf_error *err)
{
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  if (rank != 0) return;
  bool names_rank = err->rank_plus_1 > 1 || (err->rank_plus_1 == 1 && err->status == GMF_ERR_MEMORY);
  char line[sizeof err->text + 64], who[32] = "";
  fflush(stdout);
  if (names_rank) snprintf(who, sizeof who, " (rank %d)", err->rank_plus_1 - 1);
  snprintf(line, sizeof line, "gridmf: %s%s\n", err->text, who);
  fputs(line, stderr); /* in one write: what mpirun says of the end of the ranks comes at the same time */
}

/* For the tests: GRIDMF_FAIL_ALLOCATION=RANK:N lets allocation N of a rank fail, RANK:N+ those after it too; the rank
 * may be "all". */
static void fail_allocations(void)
{
  const char *text = getenv("GRIDMF_FAIL_ALLOCATION"), *colon = text != NULL ? strchr(text, ':') : NULL;
  char *end = NULL;
  int rank = 0;
  if (colon == NULL) return;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  int64_t n = strtoll(colon + 1, &end, 10);
  if (strncmp(text, "all:", 4) == 0 || atoi(text) == rank) gmf_memory_fail(n, *end == '+' ? INT64_MAX : n);
}

/*
 * Open MPI starts a daemon for a process that no launcher has started, in case it should spawn others, which this one
 * never does: without it a run begins four times as soon, and no connection is there to be torn down at its end.
 *
 * Without the daemon all such processes take one folder for their session, and where one ends while another begins the
 * other's MPI_Init fails. A single rank needs none: what would be there are shared pointers of files, which nothing
 * here uses, and for which a kind that has no file is chosen. The user's settings of these variables stand.
 */
static void need_no_daemon(void)
{
  static const char *const launched[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_NAMESPACE", "PMI_RANK"};
  for (size_t i = 0; i < sizeof launched / sizeof *launched; i++)
    if (getenv(launched[i]) != NULL) return;
  setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
  setenv("OMPI_MCA_orte_create_session_dirs", "0", 0);
  setenv("OMPI_MCA_sharedfp", "individual", 0);
}

int main(int argc, char **argv)
{
  if (answer_questions(argc, argv)) return 0;
  const verb_entry *verb = argc > 1 ? find_verb(argv[1]) : NULL;
  if (verb != NULL && verb->multiplies) gmf_blas_choose(argv);
  signal(SIGXFSZ, SIG_IGN); /* a file above the limit of its size is an error of the write, which says what to do */
  int provided = 0;
  gmf_memory_setup();
  need_no_daemon();
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  fail_allocations();
  gmf_h5_setup();
  gmf_trace trace;
  gmf_trace_start(&trace);
  gmf_run *run = calloc(1, sizeof *run); /* some kilobytes, too large for a careful stack */
  gmf_error err = {0};
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (run == NULL || provided < MPI_THREAD_FUNNELED) MPI_Abort(MPI_COMM_WORLD, GMF_ERR_INTERNAL);
  run->comm = MPI_COMM_WORLD;
  run->argc = argc;
  run->argv = argv;
  gmf_status status = gmf_grid_create(MPI_COMM_WORLD, size, 1, &trace, &run->grid, &err);
  if (status == GMF_OK) status = run_verb(run, &err);
  if (status != GMF_OK) print_error(MPI_COMM_WORLD, &err);
  if (err.must_abort) { /* see io/writer.h: finalising could crash */
    GMF_COLLECTIVE(run->grid->all, MPI_Barrier(run->grid->all));
    MPI_Abort(MPI_COMM_WORLD, (int)status);
  }
  gmf_grid_destroy(&run->grid);
  MPI_Finalize();
  gmf_watchdog_stop(&run->watchdog);
  free(run);
  /* For the tests: a run that leaves memory allocated has failed. */
  if (getenv("GRIDMF_CHECK_MEMORY") != NULL) GMF_CHECK(gmf_memory_live_count() == 0);
  return (int)status;
}
