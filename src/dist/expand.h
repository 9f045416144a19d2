/*
 * Expand: bring me the rows of the fixed factor that my ratings touch. The plan is made once; then only those rows
 * travel, each once to each rank that needs it, in one exchange.
 *
 * What an expansion costs: a rank receives n_slots - n_own rows and sends n_send, each of gmf_wire_bytes, in at most
 * ranks - 1 messages either way, one for each rank that it has anything from or for.
 */
#ifndef GMF_DIST_EXPAND_H
#define GMF_DIST_EXPAND_H

#include "dist/axis.h"
#include "dist/heavy.h"
#include "dist/wire.h"
#include "runtime/exchange.h"
#include "runtime/hops.h"
#include "runtime/node.h"

typedef struct gmf_expand gmf_expand;
struct gmf_expand {
  const gmf_grid *grid;        /* borrowed: of the ranks that the counts are of */
  gmf_expand *before;          /* owned: the first of two hops, and the rows here are those that it brings; or NULL */
  int64_t n_slots;             /* rows that I need: others' by owner, then my own */
  int64_t n_own;               /* of those, my own, or copies that I have */
  int64_t first_slot, n_panel; /* where they begin in the panel, and its slots: 0 and n_slots, unless shared */
  const gmf_node *node;        /* borrowed: whose ranks share the panel; NULL: it is mine alone */
  int64_t n_send;              /* rows that I give, counted once for each receiver */
  int64_t *send_counts, *recv_counts; /* owned [ranks]; 0 for myself */
  int32_t *send_rows;                 /* owned [n_send]: my rows, by receiver */
  int32_t *own_rows;                  /* owned [n_own]: my rows that I need, copies counted on behind them */
};

/*
 * Collective. rows [n]: the rows I need, ascending, without repetition, in dataset order. slot_of [n] (the caller's)
 * gets the place of each in the expanded panel: panel places are grouped by owner so that rows arrive in place.
 */
gmf_status gmf_expand_create(const gmf_grid *grid, const gmf_axis *axis, const int64_t *rows, int64_t n,
                             int32_t *slot_of, gmf_expand **out, gmf_error *err);
void gmf_expand_destroy(gmf_expand **expand);

/* Collective. The same where I may have copies of others' rows: `heavy`, NULL for none. Nobody sends me those; they
 * stand behind my own rows, in the order of gmf_heavy_copy, wherever rows are expanded from. */
gmf_status gmf_expand_create_copied(const gmf_grid *grid, const gmf_axis *axis, const gmf_heavy *heavy,
                                    const int64_t *rows, int64_t n, int32_t *slot_of, gmf_expand **out, gmf_error *err);

/*
 * Collective. The same for ranks of a node that share one panel: what several of them need arrives once, at the rank
 * that owns it or one that is picked for it, and is there once. `rows` and slot_of as above; the plan's own rows are
 * those that arrive here. node: borrowed, must outlive the plan.
 */
gmf_status gmf_expand_create_shared(const gmf_grid *grid, const gmf_node *node, const gmf_axis *axis,
                                    const int64_t *rows, int64_t n, int32_t *slot_of, gmf_expand **out, gmf_error *err);

/* Collective. The same in two hops, of at most n_rows - 1 and n_cols - 1 messages either way; expand_hops.c says what
 * travels. hops: borrowed, must outlive the plan. */
gmf_status gmf_expand_create_hops(const gmf_grid *grid, const gmf_hops *hops, const gmf_axis *axis, const int64_t *rows,
                                  int64_t n, int32_t *slot_of, gmf_expand **out, gmf_error *err);

/* Local. Rows that a rank sends to others, and receives from them, in all hops. */
int64_t gmf_expand_n_sent(const gmf_expand *expand);
int64_t gmf_expand_n_received(const gmf_expand *expand);
/* Local. Messages that a rank sends, in all hops. */
int64_t gmf_expand_n_messages(const gmf_expand *expand);

/* Local. A plan for n_slots rows, n_own of them mine, for the caller to fill. */
gmf_status gmf_expand_new(const gmf_grid *grid, int64_t n_slots, int64_t n_own, gmf_expand **out, gmf_error *err);

/* Where rows lie while they travel and when they have arrived; for any number of plans, one after the other. */
typedef struct gmf_expand_space {
  size_t row_bytes;         /* of the longest row that may travel */
  char *panel;              /* the rows that arrived last, [n_panel of the plan] */
  char *send;               /* owned [most rows that a plan sends at a time][row_bytes] */
  char *between;            /* owned [most rows between two hops][row_bytes] */
  char *panels[2];          /* owned [most n_panel of a plan][row_bytes]; [1] is NULL where one is enough */
  const gmf_node *node;     /* borrowed: of the plans */
  size_t panel_bytes;       /* of each */
  MPI_Request *requests;    /* owned [2 * ranks] */
  gmf_exchange_job job;     /* of the plan whose rows are on their way: */
  const gmf_expand *coming; /* NULL: none */
  int64_t n_floats;         /* of its rows, where these are rounded; else 0 */
  size_t arrived_bytes;     /* of each of its rows in the panel */
  char *arrival;            /* where they come to lie as they travel */
} gmf_expand_space;

/* Local, but Collective over the node where the plans, all of them, are shared by one. For the plans [n]. overlapped:
 * the next plan's rows may come in while this one's are in use. */
gmf_status gmf_expand_space_create(const gmf_grid *grid, gmf_expand *const *plans, int n, size_t row_bytes,
                                   bool overlapped, gmf_expand_space **out, gmf_error *err);
void gmf_expand_space_destroy(gmf_expand_space **space);

/* Collective. own [n_own]: my rows of row_bytes each; space->panel [n_slots]: out, the same. Allocates nothing. */
void gmf_expand_run(const gmf_grid *grid, const gmf_expand *expand, const void *own, size_t row_bytes,
                    gmf_expand_space *space);

/*
 * Collective. The same for rows of n_floats floats, which travel as `wire` says; what arrives, my own rows too, is what
 * that leaves of them.
 */
void gmf_expand_floats(const gmf_grid *grid, const gmf_expand *expand, const float *own, int n_floats, gmf_wire wire,
                       gmf_expand_space *space);

/*
 * The same in steps, so that a rank can work with the rows that it has. Collective: start, which waits for nobody but
 * the ranks that share the panel, and finish, after which space->panel has the rows. Poll is Local, of the thread that
 * MPI was begun by.
 */
void gmf_expand_start(const gmf_grid *grid, const gmf_expand *expand, const float *own, int n_floats, gmf_wire wire,
                      gmf_expand_space *space);
void gmf_expand_poll(gmf_expand_space *space);
void gmf_expand_finish(gmf_expand_space *space);

#endif
