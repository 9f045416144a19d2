#include "runtime/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/heartbeat.h"
#include "runtime/node.h"

enum { MESSAGE_BYTES = 2000, LISTED_RANKS = 8 };

/* What the ranks of a node share. */
typedef struct page {
  atomic_int is_claimed, is_told; /* of the message: somebody writes it, has written it */
  gmf_heartbeat hearts[];         /* [ranks of the node] */
} page;

/* What one listener knows of one rank: seconds since it last saw a beat of it, and one of its listener. */
typedef struct ear {
  long long beats, listener;
  double silence, listener_silence;
} ear;

struct gmf_watchdog {
  double seconds, interval; /* limit; between two looks */
  page *page;               /* owned, mapped */
  size_t page_bytes;
  ear *ears;     /* owned [n] */
  int n, own;    /* ranks in the page; my place */
  int n_unknown; /* ranks of other nodes */
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  bool is_stopping;
};

static gmf_heartbeat unwatched;
gmf_heartbeat *gmf_heart = &unwatched;
static const gmf_watchdog *running; /* that of this process; NULL while nothing is watched */

bool gmf_beat_node_is_idle(void)
{
  for (int i = 0; running != NULL && i < running->n; i++) {
    gmf_heartbeat *heart = &running->page->hearts[i];
    if (!atomic_load(&heart->is_idle) && !atomic_load(&heart->is_over)) return false;
  }
  return true;
}

/* ---- what to say ------------------------------------------------------------------------------------------------- */

typedef enum condition { STANDS_STILL, WORKS, WAITS, N_CONDITIONS } condition;

static condition condition_of(const gmf_watchdog *w, int i)
{
  if (w->ears[i].listener_silence > w->seconds / 2) return STANDS_STILL;
  return atomic_load(&w->page->hearts[i].is_waiting) ? WAITS : WORKS;
}

typedef struct text {
  char bytes[MESSAGE_BYTES];
  size_t n;
} text;

__attribute__((format(printf, 2, 3))) static void append(text *t, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, format, args);
  va_end(args);
  if (n > 0) t->n = t->n + (size_t)n < sizeof t->bytes ? t->n + (size_t)n : sizeof t->bytes - 1;
}

/* "; ranks 0, 3 wait in phase expand": those in one condition and one phase. */
static void append_group(const gmf_watchdog *w, text *t, condition what, int phase)
{
  static const char *const ONE[] = {"does not run (stopped?)", "is still", "waits for others"};
  static const char *const MANY[] = {"do not run (stopped?)", "are still", "wait for others"};
  int n = 0;
  text ranks = {.n = 0};
  for (int i = 0; i < w->n; i++) {
    gmf_heartbeat *heart = &w->page->hearts[i];
    if (atomic_load(&heart->is_over) || condition_of(w, i) != what || atomic_load(&heart->phase) != phase) continue;
    if (n < LISTED_RANKS) append(&ranks, "%s%d", n > 0 ? ", " : " ", atomic_load(&heart->rank));
    if (n == LISTED_RANKS) append(&ranks, " and more");
    n++;
  }
  if (n == 0) return;
  append(t, "%s rank%s%s %s in phase %s", t->bytes[t->n - 1] == ':' ? "" : ";", n > 1 ? "s" : "", ranks.bytes,
         n > 1 ? MANY[what] : ONE[what], gmf_phase_name((gmf_phase)phase));
}

/* Ranks that all wait are in different collectives: how many each has entered tells who is behind. */
static void append_counts(const gmf_watchdog *w, text *t)
{
  for (int i = 0; i < w->n; i++)
    if (!atomic_load(&w->page->hearts[i].is_over) && condition_of(w, i) != WAITS) return;
  append(t, "; collectives entered:");
  for (int i = 0; i < w->n && i < LISTED_RANKS; i++)
    append(t, "%s rank %d %lld", i > 0 ? "," : "", atomic_load(&w->page->hearts[i].rank),
           (long long)atomic_load(&w->page->hearts[i].n_collectives));
}

static void describe(const gmf_watchdog *w, text *t)
{
  append(t, "gridmf: nothing has moved for %.3g s:", w->seconds);
  for (int c = 0; c < N_CONDITIONS; c++)
    for (int phase = 0; phase < GMF_N_PHASES; phase++) append_group(w, t, (condition)c, phase);
  append_counts(w, t);
  if (w->n_unknown > 0) append(t, "; nothing is known of %d ranks of other nodes", w->n_unknown);
  append(t, "; start again after a look at nodes and file systems, or allow longer silence by --stall-timeout\n");
}

/* Ends the process; one rank of the node speaks, and nobody ends before it has spoken. stderr is not used through
 * stdio, whose lock the stuck thread may hold, nor where a reader that has stopped would make this thread stick too. */
_Noreturn static void end_job(const gmf_watchdog *w)
{
  const struct timespec moment = {0, 10 * 1000 * 1000};
  if (atomic_exchange(&w->page->is_claimed, 1) == 0) {
    text t = {.n = 0};
    struct pollfd to = {STDERR_FILENO, POLLOUT, 0};
    describe(w, &t);
    if (poll(&to, 1, 1000) == 1 && write(STDERR_FILENO, t.bytes, t.n) < 0) t.n = 0; /* nobody is left to tell */
    atomic_store(&w->page->is_told, 1);
  }
  for (int i = 0; i < 200 && !atomic_load(&w->page->is_told); i++) nanosleep(&moment, NULL);
  _exit(GMF_ERR_STALL);
}

/* ---- listening --------------------------------------------------------------------------------------------------- */

/* Takes `elapsed` seconds as passed; returns the shortest silence of the ranks of the node. */
static double listen(gmf_watchdog *w, double elapsed)
{
  double shortest = w->seconds;
  for (int i = 0; i < w->n; i++) {
    gmf_heartbeat *heart = &w->page->hearts[i];
    ear *e = &w->ears[i];
    long long beats = atomic_load(&heart->beats), listener = atomic_load(&heart->listener);
    bool moves = beats != e->beats || (atomic_load(&heart->is_elsewhere) && listener != e->listener);
    e->silence = moves ? 0 : e->silence + elapsed;
    e->listener_silence = listener != e->listener ? 0 : e->listener_silence + elapsed;
    e->beats = beats;
    e->listener = listener;
    if (!atomic_load(&heart->is_over) && e->silence < shortest) shortest = e->silence;
  }
  return shortest;
}

static bool is_stalled(gmf_watchdog *w, double elapsed)
{
  double shortest = listen(w, elapsed);
  gmf_heartbeat *own = &w->page->hearts[w->own];
  atomic_fetch_add(&own->listener, 1);
  if (atomic_load(&own->is_over)) return false;
  return (atomic_load(&own->is_waiting) ? shortest : w->ears[w->own].silence) >= w->seconds;
}

static double seconds_now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *run_listener(void *context)
{
  gmf_watchdog *w = context;
  double before = seconds_now();
  pthread_mutex_lock(&w->mutex);
  while (!w->is_stopping) {
    double until = before + w->interval;
    struct timespec t = {(time_t)until, (long)(1e9 * (until - (double)(time_t)until))};
    int code = pthread_cond_timedwait(&w->wake, &w->mutex, &t);
    if (w->is_stopping || code != ETIMEDOUT) continue;
    double now = seconds_now(), elapsed = now - before;
    before = now;
    if (elapsed > 2 * w->interval) elapsed = 2 * w->interval; /* this process stood still itself */
    if (atomic_load(&w->page->is_claimed) || is_stalled(w, elapsed)) end_job(w);
  }
  pthread_mutex_unlock(&w->mutex);
  return NULL;
}

/* ---- the shared page --------------------------------------------------------------------------------------------- */

/* Collective. Where the ranks of the node cannot share a page, each has one for itself, and names only itself. */
static gmf_status map_page(const gmf_grid *grid, gmf_watchdog *w, gmf_error *err)
{
  MPI_Comm node;
  MPI_Comm_split_type(grid->all, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_size(node, &w->n);
  MPI_Comm_rank(node, &w->own);
  w->page_bytes = sizeof *w->page + (size_t)w->n * sizeof *w->page->hearts;
  w->page = gmf_node_map(node, w->page_bytes);
  if (w->page == NULL) {
    void *at = mmap(NULL, w->page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    w->page = at != MAP_FAILED ? at : NULL;
    w->n = 1;
    w->own = 0;
  }
  w->n_unknown = grid->size - w->n;
  if (w->page != NULL) atomic_store(&w->page->hearts[w->own].rank, grid->rank);
  MPI_Barrier(node); /* before anybody looks, everybody has said who it is */
  MPI_Comm_free(&node);
  if (w->page == NULL) return gmf_out_of_memory(err, (int64_t)w->page_bytes, 1, "the watchdog");
  return GMF_OK;
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

static void move_heart(gmf_heartbeat *to)
{
  atomic_store(&to->beats, atomic_load(&gmf_heart->beats));
  atomic_store(&to->n_collectives, atomic_load(&gmf_heart->n_collectives));
  atomic_store(&to->phase, atomic_load(&gmf_heart->phase));
  gmf_heart = to;
}

/* Signals are for the main thread, which acts on them: the listener takes none. */
static gmf_status start_listener(gmf_watchdog *w, gmf_error *err)
{
  sigset_t all, before;
  pthread_condattr_t how;
  pthread_condattr_init(&how);
  pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
  pthread_cond_init(&w->wake, &how);
  pthread_condattr_destroy(&how);
  pthread_mutex_init(&w->mutex, NULL);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int code = pthread_create(&w->thread, NULL, run_listener, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (code == 0) return GMF_OK;
  return gmf_fail(err, GMF_ERR_MEMORY, "the watchdog's thread cannot be made: %s; --stall-timeout 0s does without",
                  strerror(code));
}

static void free_watchdog(gmf_watchdog *w)
{
  if (w == NULL) return;
  if (w->page != NULL) munmap(w->page, w->page_bytes);
  gmf_free(w->ears);
  gmf_free(w);
}

gmf_status gmf_watchdog_start(const gmf_grid *grid, double seconds, gmf_watchdog **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_watchdog *w = NULL;

  *out = NULL;
  if (seconds <= 0) return GMF_OK;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(w, 1, err), err));
  w->seconds = seconds;
  w->interval = seconds / 20 < 1 ? seconds / 20 : 1;
  GMF_TRY(gmf_agree(grid, map_page(grid, w, err), err));
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(w->ears, w->n, err), err));
  move_heart(&w->page->hearts[w->own]);
  running = w;
  status = start_listener(w, err);
  *out = w; /* a listener that runs is stopped by the caller, on whatever rank another's failed */
  w = NULL;
  if (status != GMF_OK) {
    move_heart(&unwatched);
    running = NULL;
    free_watchdog(*out);
    *out = NULL;
  }
  status = gmf_agree(grid, status, err);
cleanup:
  free_watchdog(w);
  return status;
}

void gmf_watchdog_stop(gmf_watchdog **watchdog)
{
  gmf_watchdog *w = *watchdog;
  if (w == NULL) return;
  atomic_store(&w->page->hearts[w->own].is_over, 1);
  pthread_mutex_lock(&w->mutex);
  w->is_stopping = true;
  pthread_cond_signal(&w->wake);
  pthread_mutex_unlock(&w->mutex);
  pthread_join(w->thread, NULL);
  pthread_cond_destroy(&w->wake);
  pthread_mutex_destroy(&w->mutex);
  move_heart(&unwatched);
  running = NULL;
  free_watchdog(w);
  *watchdog = NULL;
}
