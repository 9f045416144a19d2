#include "dist/expand.h"

#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"

void gmf_expand_destroy(gmf_expand **expand)
{
  if (*expand == NULL) return;
  gmf_free((*expand)->send_counts);
  gmf_free((*expand)->recv_counts);
  gmf_free((*expand)->send_rows);
  gmf_free((*expand)->send_buffer);
  gmf_free(*expand);
  *expand = NULL;
}

/* What I ask of whom: places grouped by owner, wanted [n] = the owner's local rows in that order. */
static gmf_status place_rows(const gmf_axis *axis, const int64_t *rows, int64_t n, int32_t *slot_of, gmf_expand *plan,
                             int32_t **wanted, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *next = NULL;
  GMF_TRY(GMF_NEW_ZERO(next, axis->n_ranks + 1, err));
  GMF_TRY(GMF_NEW(*wanted, n, err));
  for (int64_t j = 0; j < n; j++) plan->recv_counts[gmf_axis_owner(axis, gmf_axis_position(axis, rows[j]))]++;
  for (int r = 0; r < axis->n_ranks; r++) next[r + 1] = next[r] + plan->recv_counts[r];
  for (int64_t j = 0; j < n; j++) {
    int64_t position = gmf_axis_position(axis, rows[j]);
    int owner = gmf_axis_owner(axis, position);
    int64_t slot = next[owner]++;
    slot_of[j] = gmf_i32(slot);
    (*wanted)[slot] = gmf_i32(position - axis->prefix[owner]);
  }
cleanup:
  gmf_free(next);
  return status;
}

gmf_status gmf_expand_create(const gmf_grid *grid, const gmf_axis *axis, const int64_t *rows, int64_t n,
                             size_t row_bytes, int32_t *slot_of, gmf_expand **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand *plan = NULL;
  int32_t *wanted = NULL;

  *out = NULL;
  status = GMF_NEW_ZERO(plan, 1, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(plan->send_counts, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(plan->recv_counts, grid->size, err);
  if (status == GMF_OK) status = place_rows(axis, rows, n, slot_of, plan, &wanted, err);
  GMF_TRY(gmf_agree(grid, status, err));
  plan->row_bytes = row_bytes;
  plan->n_slots = n;
  GMF_TRY(gmf_exchange_new(grid, sizeof *wanted, wanted, plan->recv_counts, (void **)&plan->send_rows,
                           plan->send_counts, &plan->n_send, err));
  GMF_TRY(gmf_agree(grid, GMF_NEW(plan->send_buffer, plan->n_send * (int64_t)row_bytes, err), err));
  *out = plan;
  plan = NULL;

cleanup:
  gmf_free(wanted);
  gmf_expand_destroy(&plan);
  return status;
}

void gmf_expand_run(const gmf_grid *grid, const gmf_expand *plan, const void *own, size_t row_bytes, void *panel)
{
  const char *rows = own;
  GMF_CHECK(row_bytes <= plan->row_bytes);
  for (int64_t j = 0; j < plan->n_send; j++)
    memcpy(plan->send_buffer + (size_t)j * row_bytes, rows + (size_t)plan->send_rows[j] * row_bytes, row_bytes);
  gmf_exchange(grid, (int64_t)row_bytes, plan->send_buffer, plan->send_counts, panel, plan->recv_counts);
}
