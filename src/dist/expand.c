#include "dist/expand_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "dist/factor.h"

enum { EXPAND_TAG = 18 }; /* not that of other exchanges, which may go on meanwhile */

void gmf_expand_destroy(gmf_expand **expand)
{
  if (*expand == NULL) return;
  gmf_free((*expand)->send_counts);
  gmf_free((*expand)->recv_counts);
  gmf_free((*expand)->send_rows);
  gmf_free((*expand)->own_rows);
  gmf_expand_destroy(&(*expand)->before);
  gmf_free(*expand);
  *expand = NULL;
}

gmf_status gmf_expand_new(const gmf_grid *grid, int64_t n_slots, int64_t n_own, gmf_expand **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand *plan = NULL;
  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(plan, 1, err));
  plan->grid = grid;
  plan->n_slots = plan->n_panel = n_slots;
  plan->n_own = n_own;
  GMF_TRY(GMF_NEW_ZERO(plan->send_counts, grid->size, err));
  GMF_TRY(GMF_NEW_ZERO(plan->recv_counts, grid->size, err));
  GMF_TRY(GMF_NEW(plan->own_rows, n_own, err));
  *out = plan;
  plan = NULL;
cleanup:
  gmf_expand_destroy(&plan);
  return status;
}

int64_t gmf_expand_n_sent(const gmf_expand *expand)
{
  int64_t n = 0;
  for (const gmf_expand *hop = expand; hop != NULL; hop = hop->before) n += hop->n_send;
  return n;
}

int64_t gmf_expand_n_received(const gmf_expand *expand)
{
  int64_t n = 0;
  for (const gmf_expand *hop = expand; hop != NULL; hop = hop->before) n += hop->n_slots - hop->n_own;
  return n;
}

int64_t gmf_expand_n_messages(const gmf_expand *expand)
{
  int64_t n = 0;
  for (const gmf_expand *hop = expand; hop != NULL; hop = hop->before)
    for (int r = 0; r < hop->grid->size; r++) n += hop->send_counts[r] > 0;
  return n;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

gmf_status gmf_wants_new(int64_t n, gmf_wants *w, gmf_error *err)
{
  gmf_status status = GMF_OK;
  w->n = n;
  GMF_TRY(GMF_NEW(w->of, n, err));
  GMF_TRY(GMF_NEW(w->keys, n, err));
cleanup:
  return status;
}

void gmf_wants_free(gmf_wants *w)
{
  gmf_free(w->of);
  gmf_free(w->keys);
}

/* Local. A plan for what is wanted, but for what others want. asking [n]: the keys in the order of the places. */
static gmf_status sort_wants(const gmf_grid *grid, const gmf_wants *w, int32_t *slot_of, gmf_expand **plan,
                             int64_t **asking, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_own = 0, *next = NULL;
  for (int64_t j = 0; j < w->n; j++) n_own += w->of[j] == grid->rank;
  GMF_TRY(gmf_expand_new(grid, w->n, n_own, plan, err));
  GMF_TRY(GMF_NEW(*asking, w->n, err));
  GMF_TRY(GMF_NEW_ZERO(next, grid->size + 1, err));
  for (int64_t j = 0; j < w->n; j++) (*plan)->recv_counts[w->of[j]]++;
  (*plan)->recv_counts[grid->rank] = 0;
  for (int r = 0; r < grid->size; r++) next[r + 1] = next[r] + (*plan)->recv_counts[r];
  next[grid->rank] = w->n - n_own;
  for (int64_t j = 0; j < w->n; j++) {
    slot_of[j] = gmf_i32(next[w->of[j]]++);
    (*asking)[slot_of[j]] = w->keys[j];
  }
cleanup:
  gmf_free(next);
  return status;
}

gmf_status gmf_expand_ask(const gmf_grid *grid, const gmf_wants *w, int32_t *slot_of, gmf_expand **out, int64_t **asked,
                          gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand *plan = NULL;
  int64_t *asking = NULL, *of_others = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, sort_wants(grid, w, slot_of, &plan, &asking, err), err));
  GMF_TRY(gmf_exchange_new(grid, sizeof *asking, asking, plan->recv_counts, (void **)&of_others, plan->send_counts,
                           &plan->n_send, err));
  status = GMF_NEW(*asked, plan->n_send + plan->n_own, err);
  if (status == GMF_OK) status = GMF_NEW(plan->send_rows, plan->n_send, err);
  GMF_TRY(gmf_agree(grid, status, err));
  if (plan->n_send > 0) memcpy(*asked, of_others, (size_t)plan->n_send * sizeof **asked);
  if (plan->n_own > 0) memcpy(*asked + plan->n_send, asking + w->n - plan->n_own, (size_t)plan->n_own * sizeof **asked);
  *out = plan;
  plan = NULL;

cleanup:
  gmf_free(of_others);
  gmf_free(asking);
  gmf_expand_destroy(&plan);
  return status;
}

void gmf_expand_number(gmf_expand *plan, const int64_t *numbers)
{
  for (int64_t j = 0; j < plan->n_send; j++) plan->send_rows[j] = gmf_i32(numbers[j]);
  for (int64_t j = 0; j < plan->n_own; j++) plan->own_rows[j] = gmf_i32(numbers[plan->n_send + j]);
}

gmf_status gmf_expand_create(const gmf_grid *grid, const gmf_axis *axis, const int64_t *rows, int64_t n,
                             int32_t *slot_of, gmf_expand **out, gmf_error *err)
{
  return gmf_expand_create_copied(grid, axis, NULL, rows, n, slot_of, out, err);
}

gmf_status gmf_expand_create_copied(const gmf_grid *grid, const gmf_axis *axis, const gmf_heavy *heavy,
                                    const int64_t *rows, int64_t n, int32_t *slot_of, gmf_expand **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand *plan = NULL;
  gmf_wants of_owners = {0};
  int64_t *asked = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, gmf_wants_new(n, &of_owners, err), err));
  for (int64_t j = 0; j < n; j++) {
    int64_t position = gmf_axis_position(axis, rows[j]);
    int owner = gmf_axis_owner(axis, position);
    of_owners.of[j] = owner;
    of_owners.keys[j] = position - axis->prefix[owner];
    int64_t copy = heavy != NULL && owner != grid->rank ? gmf_heavy_copy(heavy, rows[j]) : -1;
    if (copy < 0) continue;
    of_owners.of[j] = grid->rank;
    of_owners.keys[j] = gmf_axis_n_own(axis, grid->rank) + copy;
  }
  GMF_TRY(gmf_expand_ask(grid, &of_owners, slot_of, &plan, &asked, err));
  gmf_expand_number(plan, asked);
  *out = plan;
  plan = NULL;

cleanup:
  gmf_wants_free(&of_owners);
  gmf_free(asked);
  gmf_expand_destroy(&plan);
  return status;
}

/* ---- running them ------------------------------------------------------------------------------------------------ */

/* Local, or Collective over the node. */
static gmf_status new_panel(const gmf_expand_space *space, char **panel, gmf_error *err)
{
  if (space->node == NULL) {
    if (GMF_NEW(*panel, (int64_t)space->panel_bytes, err) != GMF_OK) return GMF_ERR_MEMORY;
    gmf_memory_prefer_huge_pages(*panel); /* its rows are visited in no order, by all threads */
    gmf_zero_by_threads(*panel, space->panel_bytes);
    return GMF_OK;
  }
  if (space->panel_bytes == 0 || (*panel = gmf_node_map(space->node->grid->all, space->panel_bytes)) != NULL)
    return GMF_OK;
  return gmf_fail(
      err, GMF_ERR_MEMORY,
      "no %.0f MB of shared memory on a node for the rows that its ranks share: make /dev/shm larger, or use "
      "--share-node off",
      (double)space->panel_bytes / 1e6);
}

gmf_status gmf_expand_space_create(const gmf_grid *grid, gmf_expand *const *plans, int n, size_t row_bytes,
                                   bool overlapped, gmf_expand_space **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand_space *space = NULL;
  const gmf_node *node = n > 0 ? plans[0]->node : NULL;
  int64_t n_send = 0, n_panel = 0, n_between = 0;

  *out = NULL;
  for (int p = 0; p < n; p++) {
    GMF_CHECK(plans[p]->node == node);
    n_send = gmf_max64(n_send, plans[p]->n_send);
    n_panel = gmf_max64(n_panel, plans[p]->n_panel);
    if (plans[p]->before == NULL) continue;
    n_send = gmf_max64(n_send, plans[p]->before->n_send);
    n_between = gmf_max64(n_between, plans[p]->before->n_slots);
  }
  status = GMF_NEW_ZERO(space, 1, err);
  if (status == GMF_OK) status = GMF_NEW(space->requests, 2 * (int64_t)grid->size, err);
  if (status == GMF_OK) status = GMF_NEW(space->send, n_send * (int64_t)row_bytes, err);
  if (status == GMF_OK) status = GMF_NEW(space->between, n_between * (int64_t)row_bytes, err);
  GMF_TRY(node != NULL ? gmf_agree(node->grid, status, err) : status);
  space->row_bytes = row_bytes;
  space->node = node;
  space->panel_bytes = (size_t)n_panel * row_bytes;
  for (int p = 0; p < (overlapped ? 2 : 1); p++) GMF_TRY(new_panel(space, &space->panels[p], err));
  space->panel = space->panels[0];
  *out = space;
  space = NULL;

cleanup:
  gmf_expand_space_destroy(&space);
  return status;
}

void gmf_expand_space_destroy(gmf_expand_space **space)
{
  gmf_expand_space *s = *space;
  if (s == NULL) return;
  GMF_CHECK(s->coming == NULL);
  gmf_free(s->send);
  gmf_free(s->between);
  for (int p = 0; p < 2; p++)
    if (s->node != NULL)
      gmf_node_unmap(s->panels[p], s->panel_bytes);
    else
      gmf_free(s->panels[p]);
  gmf_free(s->requests);
  gmf_free(s);
  *space = NULL;
}

/* Bytes of a row of row_bytes on its way. */
static size_t travel_bytes(size_t row_bytes, gmf_wire wire)
{
  return wire == GMF_WIRE_F4 ? row_bytes : gmf_wire_bytes(wire, (int64_t)(row_bytes / sizeof(float)));
}

/* Rows rows[j] of `from`, j < n, as they travel. row_bytes: before that. */
static void pack_rows(const char *from, size_t row_bytes, const int32_t *rows, int64_t n, gmf_wire wire, char *to)
{
  int64_t n_floats = (int64_t)(row_bytes / sizeof(float));
  size_t bytes = travel_bytes(row_bytes, wire);
#pragma omp parallel for schedule(static) if (n > 1 << 10)
  for (int64_t j = 0; j < n; j++) {
    const char *row = from + (size_t)rows[j] * row_bytes;
    if (wire == GMF_WIRE_F4)
      memcpy(to + (size_t)j * bytes, row, bytes);
    else
      gmf_bf16_round((const float *)(const void *)row, n_floats, (uint16_t *)(void *)(to + (size_t)j * bytes));
  }
}

/* Collective, but waits for nobody. One hop, from rows of row_bytes; `arrival` gets them as they travel. */
static void start_hop(const gmf_expand *hop, const char *from, size_t row_bytes, gmf_wire wire, char *arrival,
                      gmf_expand_space *space)
{
  size_t bytes = travel_bytes(row_bytes, wire);
  pack_rows(from, row_bytes, hop->send_rows, hop->n_send, wire, space->send);
  pack_rows(from, row_bytes, hop->own_rows, hop->n_own, wire, arrival + (size_t)(hop->n_slots - hop->n_own) * bytes);
  space->job = (gmf_exchange_job){.grid = hop->grid,
                                  .requests = space->requests,
                                  .tag = EXPAND_TAG,
                                  .row_bytes = (int64_t)bytes,
                                  .send = space->send,
                                  .send_counts = hop->send_counts,
                                  .recv = arrival,
                                  .recv_counts = hop->recv_counts};
  gmf_exchange_start(&space->job);
}

/* Collective, but waits for nobody but the ranks that share the panel. */
static void start(const gmf_expand *plan, const void *own, size_t row_bytes, gmf_wire wire, gmf_expand_space *space)
{
  size_t bytes = travel_bytes(row_bytes, wire);
  char *panel = space->panels[space->panels[1] != NULL && space->panel == space->panels[0] ? 1 : 0];
  char *mine = panel + (size_t)plan->first_slot * row_bytes;
  GMF_CHECK(row_bytes <= space->row_bytes && space->coming == NULL);
  if (space->node != NULL) gmf_node_barrier(space->node); /* nobody works with what was there */
  space->coming = plan;
  space->n_floats = wire == GMF_WIRE_F4 ? 0 : (int64_t)(row_bytes / sizeof(float));
  space->arrived_bytes = row_bytes;
  space->arrival = mine + (size_t)plan->n_slots * (row_bytes - bytes); /* its last bytes */
  if (plan->before != NULL)
    start_hop(plan->before, own, row_bytes, wire, space->between, space);
  else
    start_hop(plan, own, row_bytes, wire, space->arrival, space);
}

void gmf_expand_start(const gmf_grid *grid, const gmf_expand *plan, const float *own, int n_floats, gmf_wire wire,
                      gmf_expand_space *space)
{
  GMF_CHECK(plan->grid == grid || plan->before != NULL);
  start(plan, own, (size_t)n_floats * sizeof *own, wire, space);
}

void gmf_expand_poll(gmf_expand_space *space)
{
  if (space->coming != NULL) gmf_exchange_poll(&space->job);
}

void gmf_expand_finish(gmf_expand_space *space)
{
  const gmf_expand *plan = space->coming;
  gmf_exchange_finish(&space->job);
  if (plan->before != NULL) { /* the second hop takes rows on as they came */
    start_hop(plan, space->between, (size_t)space->job.row_bytes, GMF_WIRE_F4, space->arrival, space);
    gmf_exchange_finish(&space->job);
  }
  space->coming = NULL;
  if (space->panels[1] != NULL) space->panel = space->panels[space->panel == space->panels[0] ? 1 : 0];
  char *mine = space->panel + (size_t)plan->first_slot * space->arrived_bytes;
  if (space->n_floats > 0) gmf_bf16_widen((float *)(void *)mine, plan->n_slots * space->n_floats);
  if (space->node != NULL) gmf_node_barrier(space->node);
}

void gmf_expand_run(const gmf_grid *grid, const gmf_expand *plan, const void *own, size_t row_bytes,
                    gmf_expand_space *space)
{
  GMF_CHECK(plan->grid == grid || plan->before != NULL);
  start(plan, own, row_bytes, GMF_WIRE_F4, space);
  gmf_expand_finish(space);
}

void gmf_expand_floats(const gmf_grid *grid, const gmf_expand *plan, const float *own, int n_floats, gmf_wire wire,
                       gmf_expand_space *space)
{
  gmf_expand_start(grid, plan, own, n_floats, wire, space);
  gmf_expand_finish(space);
}
