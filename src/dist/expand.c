#include "dist/expand.h"

#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

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

/* What I ask of whom: places grouped by owner, wanted [n] = the owner's local rows in that order. */
static gmf_status place_rows(const gmf_grid *grid, const gmf_axis *axis, const int64_t *rows, int64_t n,
                             int32_t *slot_of, gmf_expand *plan, int32_t **wanted, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *next = NULL;
  GMF_TRY(GMF_NEW_ZERO(next, axis->n_ranks + 1, err));
  GMF_TRY(GMF_NEW(*wanted, n, err));
  for (int64_t j = 0; j < n; j++) plan->recv_counts[gmf_axis_owner(axis, gmf_axis_position(axis, rows[j]))]++;
  plan->n_own = plan->recv_counts[grid->rank];
  plan->recv_counts[grid->rank] = 0;
  GMF_TRY(GMF_NEW(plan->own_rows, plan->n_own, err));
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
  status = GMF_NEW_ZERO(plan, 1, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(plan->send_counts, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(plan->recv_counts, grid->size, err);
  if (status == GMF_OK) status = place_rows(grid, axis, rows, n, slot_of, plan, &wanted, err);
  GMF_TRY(gmf_agree(grid, status, err));
  plan->n_slots = n;
  GMF_TRY(gmf_exchange_new(grid, sizeof *wanted, wanted, plan->recv_counts, (void **)&plan->send_rows,
                           plan->send_counts, &plan->n_send, err));
  *out = plan;
  plan = NULL;

cleanup:
  gmf_free(wanted);
  gmf_expand_destroy(&plan);
  return status;
}

gmf_status gmf_expand_space_create(gmf_expand *const *plans, int n, size_t row_bytes, gmf_expand_space **out,
                                   gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand_space *space = NULL;
  int64_t n_send = 0, n_slots = 0;

  *out = NULL;
  for (int p = 0; p < n; p++) {
    n_send = gmf_max64(n_send, plans[p]->n_send);
    n_slots = gmf_max64(n_slots, plans[p]->n_slots);
  }
  GMF_TRY(GMF_NEW_ZERO(space, 1, err));
  space->row_bytes = row_bytes;
  GMF_TRY(GMF_NEW(space->send, n_send * (int64_t)row_bytes, err));
  GMF_TRY(GMF_NEW(space->panel, n_slots * (int64_t)row_bytes, err));
  *out = space;
  space = NULL;

cleanup:
  gmf_expand_space_destroy(&space);
  return status;
}

void gmf_expand_space_destroy(gmf_expand_space **space)
{
  if (*space == NULL) return;
  gmf_free((*space)->send);
  gmf_free((*space)->panel);
  gmf_free(*space);
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

static void run(const gmf_grid *grid, const gmf_expand *plan, const void *own, size_t row_bytes, gmf_wire wire,
                gmf_expand_space *space)
{
  int64_t n_floats = (int64_t)(row_bytes / sizeof(float));
  size_t bytes = wire == GMF_WIRE_F4 ? row_bytes : gmf_wire_bytes(wire, n_floats);
  char *arrival = space->panel + (size_t)plan->n_slots * (row_bytes - bytes); /* the panel's last bytes */
  GMF_CHECK(row_bytes <= space->row_bytes);
  pack_rows(own, row_bytes, plan->send_rows, plan->n_send, wire, space->send);
  pack_rows(own, row_bytes, plan->own_rows, plan->n_own, wire, arrival + (size_t)(plan->n_slots - plan->n_own) * bytes);
  gmf_exchange(grid, (int64_t)bytes, space->send, plan->send_counts, arrival, plan->recv_counts);
  if (wire == GMF_WIRE_BF16) gmf_bf16_widen((float *)(void *)space->panel, plan->n_slots * n_floats);
}

void gmf_expand_run(const gmf_grid *grid, const gmf_expand *plan, const void *own, size_t row_bytes,
                    gmf_expand_space *space)
{
  run(grid, plan, own, row_bytes, GMF_WIRE_F4, space);
}

void gmf_expand_floats(const gmf_grid *grid, const gmf_expand *plan, const float *own, int n_floats, gmf_wire wire,
                       gmf_expand_space *space)
{
  run(grid, plan, own, (size_t)n_floats * sizeof *own, wire, space);
}
