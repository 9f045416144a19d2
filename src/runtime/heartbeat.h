/* What a process tells those who watch it (runtime/watchdog.h). All Local, for any thread, and almost free. */
#ifndef GMF_RUNTIME_HEARTBEAT_H
#define GMF_RUNTIME_HEARTBEAT_H

#include <stdatomic.h>
#include <stdbool.h>

/* One process, alone in its cache lines: others of its node read it. */
typedef struct gmf_heartbeat {
  _Alignas(128) atomic_llong beats;
  atomic_llong n_collectives; /* that this process has entered */
  atomic_int phase;           /* gmf_phase */
  atomic_int is_waiting;      /* inside a collective */
  atomic_int is_elsewhere;    /* inside a library that does not beat */
  atomic_llong listener;      /* beats of the thread that listens: stands still when the process does */
  atomic_int rank;
  atomic_int is_over; /* has nothing left to do, and may be silent */
  atomic_int is_idle; /* waits for ranks that work on something else (runtime/groups.h) */
} gmf_heartbeat;

/* Where this process writes: shared memory while a watchdog runs. */
extern gmf_heartbeat *gmf_heart;

/* Whether all watched processes of this node are idle or over: what they wait for is on other nodes. */
bool gmf_beat_node_is_idle(void);

/* Something got done. For loops whose turns take less than seconds; once in 64 rows or in a block is often enough. */
static inline void gmf_beat(void) { atomic_fetch_add_explicit(&gmf_heart->beats, 1, memory_order_relaxed); }

static inline void gmf_beat_phase(int phase)
{
  atomic_store_explicit(&gmf_heart->phase, phase, memory_order_relaxed);
  gmf_beat();
}

/* Around every collective: what happens in between is up to others. */
static inline void gmf_beat_wait(void)
{
  atomic_fetch_add_explicit(&gmf_heart->n_collectives, 1, memory_order_relaxed);
  atomic_store_explicit(&gmf_heart->is_waiting, 1, memory_order_relaxed);
  gmf_beat();
}

static inline void gmf_beat_resume(void)
{
  atomic_store_explicit(&gmf_heart->is_waiting, 0, memory_order_relaxed);
  gmf_beat();
}

/* Around a call of a library that works and communicates for as long as it takes and says nothing of it. */
static inline void gmf_beat_leave(void)
{
  atomic_store_explicit(&gmf_heart->is_elsewhere, 1, memory_order_relaxed);
  gmf_beat();
}

static inline void gmf_beat_return(void)
{
  atomic_store_explicit(&gmf_heart->is_elsewhere, 0, memory_order_relaxed);
  gmf_beat();
}

#endif
