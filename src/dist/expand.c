#include "dist/expand.h"

#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

enum { EXPAND_TAG = 18 }; /* not that of other exchanges, which may go on meanwhile */

void gmf_expand_destroy(gmf_expand **expand)
{
  if (*expand == NULL) return;
  gmf_free((*expand)->send_counts);
  gmf_free((*expand)->recv_counts);
  gmf_free((*expand)->send_rows);
  gmf_free((*expand)->own_rows);
  gmf_free(*expand);
  *expand = NULL;
}

gmf_status gmf_expand_new(const gmf_grid *grid, int64_t n_slots, int64_t n_own, gmf_expand **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand *plan = NULL;
  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(plan, 1, err));
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

/* Local. How many of rows [n] are mine. */
static int64_t count_own(const gmf_grid *grid, const gmf_axis *axis, const int64_t *rows, int64_t n)
{
  int64_t n_own = 0;
  for (int64_t j = 0; j < n; j++) {
    int64_t position = gmf_axis_position(axis, rows[j]);
    n_own += position >= axis->prefix[grid->rank] && position < axis->prefix[grid->rank + 1];
  }
  return n_own;
}

/* What I ask of whom: places grouped by owner, wanted [n] = the owner's local rows in that order. */
static gmf_status place_rows(const gmf_grid *grid, const gmf_axis *axis, const int64_t *rows, int64_t n,
                             int32_t *slot_of, gmf_expand *plan, int32_t **wanted, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *next = NULL;
  GMF_TRY(GMF_NEW_ZERO(next, axis->n_ranks + 1, err));
  GMF_TRY(GMF_NEW(*wanted, n, err));
  for (int64_t j = 0; j < n; j++) plan->recv_counts[gmf_axis_owner(axis, gmf_axis_position(axis, rows[j]))]++;
  plan->recv_counts[grid->rank] = 0;
  for (int r = 0; r < axis->n_ranks; r++) next[r + 1] = next[r] + plan->recv_counts[r];
  next[grid->rank] = n - plan->n_own;
  for (int64_t j = 0; j < n; j++) {
    int64_t position = gmf_axis_position(axis, rows[j]);
    int owner = gmf_axis_owner(axis, position);
    int64_t slot = next[owner]++;
    slot_of[j] = gmf_i32(slot);
    (*wanted)[slot] = gmf_i32(position - axis->prefix[owner]);
  }
  if (plan->n_own > 0) memcpy(plan->own_rows, *wanted + n - plan->n_own, (size_t)plan->n_own * sizeof **wanted);
cleanup:
  gmf_free(next);
  return status;
}

gmf_status gmf_expand_create(const gmf_grid *grid, const gmf_axis *axis, const int64_t *rows, int64_t n,
                             int32_t *slot_of, gmf_expand **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand *plan = NULL;
  int32_t *wanted = NULL;

  *out = NULL;
  status = gmf_expand_new(grid, n, count_own(grid, axis, rows, n), &plan, err);
  if (status == GMF_OK) status = place_rows(grid, axis, rows, n, slot_of, plan, &wanted, err);
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_TRY(gmf_exchange_new(grid, sizeof *wanted, wanted, plan->recv_counts, (void **)&plan->send_rows,
                           plan->send_counts, &plan->n_send, err));
  *out = plan;
  plan = NULL;

cleanup:
  gmf_free(wanted);
  gmf_expand_destroy(&plan);
  return status;
}

/* Local, or Collective over the node. */
static gmf_status new_panel(const gmf_expand_space *space, char **panel, gmf_error *err)
{
  if (space->node == NULL) {
    if (GMF_NEW(*panel, (int64_t)space->panel_bytes, err) != GMF_OK) return GMF_ERR_MEMORY;
    gmf_memory_prefer_huge_pages(*panel); /* its rows are visited in no order */
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
  int64_t n_send = 0, n_panel = 0;

  *out = NULL;
  for (int p = 0; p < n; p++) {
    GMF_CHECK(plans[p]->node == node);
    n_send = gmf_max64(n_send, plans[p]->n_send);
    n_panel = gmf_max64(n_panel, plans[p]->n_panel);
  }
  status = GMF_NEW_ZERO(space, 1, err);
  if (status == GMF_OK) status = GMF_NEW(space->requests, 2 * (int64_t)grid->size, err);
  if (status == GMF_OK) status = GMF_NEW(space->send, n_send * (int64_t)row_bytes, err);
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
  for (int p = 0; p < 2; p++)
    if (s->node != NULL)
      gmf_node_unmap(s->panels[p], s->panel_bytes);
    else
      gmf_free(s->panels[p]);
  gmf_free(s->requests);
  gmf_free(s);
  *space = NULL;
}

/* Rows rows[j] of `from`, j < n, as they travel. row_bytes: before that. */
static void pack_rows(const char *from, size_t row_bytes, const int32_t *rows, int64_t n, gmf_wire wire, char *to)
{
  int64_t n_floats = (int64_t)(row_bytes / sizeof(float));
  size_t bytes = wire == GMF_WIRE_F4 ? row_bytes : gmf_wire_bytes(wire, n_floats);
#pragma omp parallel for schedule(static) if (n > 1 << 10)
  for (int64_t j = 0; j < n; j++) {
    const char *row = from + (size_t)rows[j] * row_bytes;
    if (wire == GMF_WIRE_F4)
      memcpy(to + (size_t)j * bytes, row, bytes);
    else
      gmf_bf16_round((const float *)(const void *)row, n_floats, (uint16_t *)(void *)(to + (size_t)j * bytes));
  }
}

/* Collective, but waits for nobody. */
static void start(const gmf_grid *grid, const gmf_expand *plan, const void *own, size_t row_bytes, gmf_wire wire,
                  gmf_expand_space *space)
{
  int64_t n_floats = (int64_t)(row_bytes / sizeof(float));
  size_t bytes = wire == GMF_WIRE_F4 ? row_bytes : gmf_wire_bytes(wire, n_floats);
  char *panel = space->panels[space->panels[1] != NULL && space->panel == space->panels[0] ? 1 : 0];
  char *mine = panel + (size_t)plan->first_slot * row_bytes;
  char *arrival = mine + (size_t)plan->n_slots * (row_bytes - bytes); /* its last bytes */
  GMF_CHECK(row_bytes <= space->row_bytes && space->coming == NULL);
  if (space->node != NULL) gmf_node_barrier(space->node); /* nobody works with what was there */
  pack_rows(own, row_bytes, plan->send_rows, plan->n_send, wire, space->send);
  pack_rows(own, row_bytes, plan->own_rows, plan->n_own, wire, arrival + (size_t)(plan->n_slots - plan->n_own) * bytes);
  space->coming = plan;
  space->n_floats = wire == GMF_WIRE_F4 ? 0 : n_floats;
  space->arrived_bytes = row_bytes;
  space->job = (gmf_exchange_job){.grid = grid,
                                  .requests = space->requests,
                                  .tag = EXPAND_TAG,
                                  .row_bytes = (int64_t)bytes,
                                  .send = space->send,
                                  .send_counts = plan->send_counts,
                                  .recv = arrival,
                                  .recv_counts = plan->recv_counts};
  gmf_exchange_start(&space->job);
}

void gmf_expand_start(const gmf_grid *grid, const gmf_expand *plan, const float *own, int n_floats, gmf_wire wire,
                      gmf_expand_space *space)
{
  start(grid, plan, own, (size_t)n_floats * sizeof *own, wire, space);
}

void gmf_expand_poll(gmf_expand_space *space)
{
  if (space->coming != NULL) gmf_exchange_poll(&space->job);
}

void gmf_expand_finish(gmf_expand_space *space)
{
  const gmf_expand *plan = space->coming;
  gmf_exchange_finish(&space->job);
  space->coming = NULL;
  if (space->panels[1] != NULL) space->panel = space->panels[space->panel == space->panels[0] ? 1 : 0];
  char *mine = space->panel + (size_t)plan->first_slot * space->arrived_bytes;
  if (space->n_floats > 0) gmf_bf16_widen((float *)(void *)mine, plan->n_slots * space->n_floats);
  if (space->node != NULL) gmf_node_barrier(space->node);
}

void gmf_expand_run(const gmf_grid *grid, const gmf_expand *plan, const void *own, size_t row_bytes,
                    gmf_expand_space *space)
{
  start(grid, plan, own, row_bytes, GMF_WIRE_F4, space);
  gmf_expand_finish(space);
}

void gmf_expand_floats(const gmf_grid *grid, const gmf_expand *plan, const float *own, int n_floats, gmf_wire wire,
                       gmf_expand_space *space)
{
  gmf_expand_start(grid, plan, own, n_floats, wire, space);
  gmf_expand_finish(space);
}
