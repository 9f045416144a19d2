/*
 * Expand: bring me the rows of the fixed factor that my ratings touch. The plan is made once; then only those rows
 * travel, each once to each rank that needs it, in one exchange.
 */
#ifndef GMF_DIST_EXPAND_H
#define GMF_DIST_EXPAND_H

#include "dist/axis.h"

typedef struct gmf_expand {
  int64_t n_slots;                    /* rows that I need */
  int64_t n_send;                     /* rows that I give, counted once for each receiver */
  int64_t *send_counts, *recv_counts; /* owned [ranks] */
  int32_t *send_rows;                 /* owned [n_send]: my rows, by receiver */
  char *send_buffer;                  /* owned [n_send][row_bytes] */
  size_t row_bytes;                   /* of the longest row that may travel */
} gmf_expand;

/*
 * Collective. rows [n]: the rows I need, ascending, without repetition, in dataset order. slot_of [n] (the caller's)
 * gets the place of each in the expanded panel: panel places are grouped by owner so that rows arrive in place.
 * row_bytes: the most that a row has in gmf_expand_run.
 */
gmf_status gmf_expand_create(const gmf_grid *grid, const gmf_axis *axis, const int64_t *rows, int64_t n,
                             size_t row_bytes, int32_t *slot_of, gmf_expand **out, gmf_error *err);
void gmf_expand_destroy(gmf_expand **expand);

/* Collective. own [n_own]: my rows of row_bytes each; panel [n_slots]: out, the same. Allocates nothing. */
void gmf_expand_run(const gmf_grid *grid, const gmf_expand *expand, const void *own, size_t row_bytes, void *panel);

#endif
