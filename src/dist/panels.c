#include "dist/panels.h"

#include <string.h>

#include "base/bits.h"
#include "base/memory.h"
#include "base/narrow.h"

void gmf_panels_destroy(gmf_panels **panels)
{
  gmf_panels *p = *panels;
  if (p == NULL) return;
  for (int j = 0; p->plans != NULL && j < p->n; j++) gmf_expand_destroy(&p->plans[j]);
  gmf_free(p->plans);
  gmf_free(p->begin);
  gmf_free(p);
  *panels = NULL;
}

/* ---- which rows -------------------------------------------------------------------------------------------------- */

/* Local. panel_of [rows]: out; returns how many panels. seen_in [slots] is scratch: the last panel with the slot. */
static int64_t cut_rows(const gmf_block *b, int64_t most_slots, int32_t *panel_of, int32_t *seen_in)
{
  int64_t panel = 0, n_slots = 0;
  memset(seen_in, -1, (size_t)b->expand->n_slots * sizeof *seen_in);
  for (int64_t r = 0; r < b->n_rows; r++) {
    int64_t degree = b->row_ptr[r + 1] - b->row_ptr[r], n_new = 0;
    for (int64_t j = b->row_ptr[r]; j < b->row_ptr[r + 1]; j++) n_new += seen_in[b->cols[j]] != panel;
    if (n_slots > 0 && n_slots + n_new > most_slots) {
      panel++;
      n_slots = 0;
      n_new = degree; /* a row's ratings are of different fixed rows */
    }
    for (int64_t j = b->row_ptr[r]; j < b->row_ptr[r + 1]; j++) seen_in[b->cols[j]] = (int32_t)panel;
    n_slots += n_new;
    panel_of[r] = (int32_t)panel;
  }
  return panel + 1;
}

/* Local. Puts block->by_work in the order of the panels, in each of them as it was. */
static gmf_status order_by_panel(gmf_block *b, const int32_t *panel_of, gmf_panels *p, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int32_t *ordered = NULL;
  int64_t *next = NULL;
  GMF_TRY(GMF_NEW(ordered, b->n_rows, err));
  GMF_TRY(GMF_NEW(next, p->n, err));
  for (int64_t r = 0; r < b->n_rows; r++) p->begin[panel_of[r] + 1]++;
  for (int j = 0; j < p->n; j++) p->begin[j + 1] += p->begin[j];
  memcpy(next, p->begin, (size_t)p->n * sizeof *next);
  for (int64_t j = 0; j < b->n_rows; j++) ordered[next[panel_of[b->by_work[j]]]++] = b->by_work[j];
  if (b->n_rows > 0) memcpy(b->by_work, ordered, (size_t)b->n_rows * sizeof *ordered);
cleanup:
  gmf_free(next);
  gmf_free(ordered);
  return status;
}

/* ---- their plans ------------------------------------------------------------------------------------------------- */

/* Local. The slots that the rows by_work[begin] to by_work[end] of a block touch. */
static void mark_slots(const gmf_block *b, int64_t begin, int64_t end, uint64_t *slots)
{
  for (int64_t j = begin; j < end; j++)
    for (int64_t i = b->row_ptr[b->by_work[j]]; i < b->row_ptr[b->by_work[j] + 1]; i++) gmf_bits_add(slots, b->cols[i]);
}

static void renumber_slots(gmf_block *b, int64_t begin, int64_t end, const int32_t *slot_of)
{
  for (int64_t j = begin; j < end; j++)
    for (int64_t i = b->row_ptr[b->by_work[j]]; i < b->row_ptr[b->by_work[j] + 1]; i++)
      b->cols[i] = slot_of[b->cols[i]];
}

/* Local. Of the slots from begin to end, how many are in the set. */
static int64_t count_slots(const uint64_t *slots, int64_t begin, int64_t end)
{
  int64_t n = 0;
  for (int64_t j = begin; j < end; j++) n += gmf_bits_has(slots, j);
  return n;
}

/*
 * Collective. The plan for those slots of `all` that are in the set; slot_of [all->n_slots]: their places in it. What I
 * ask of others is which of the rows they would give me by `all`.
 */
static gmf_status narrow_plan(const gmf_grid *grid, const gmf_expand *all, const uint64_t *slots, int32_t *slot_of,
                              gmf_expand **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_expand *plan = NULL;
  int32_t *wanted = NULL;
  int64_t slot = 0, n_others = all->n_slots - all->n_own;

  status =
      gmf_expand_new(grid, count_slots(slots, 0, all->n_slots), count_slots(slots, n_others, all->n_slots), &plan, err);
  if (status == GMF_OK) status = GMF_NEW(wanted, plan->n_slots - plan->n_own, err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int64_t r = 0, first = 0; r < grid->size; first += all->recv_counts[r++])
    for (int64_t j = first; j < first + all->recv_counts[r]; j++) {
      if (!gmf_bits_has(slots, j)) continue;
      wanted[slot] = gmf_i32(j - first);
      slot_of[j] = gmf_i32(slot++);
      plan->recv_counts[r]++;
    }
  for (int64_t j = n_others, own = 0; j < all->n_slots; j++) {
    if (!gmf_bits_has(slots, j)) continue;
    plan->own_rows[own++] = all->own_rows[j - n_others];
    slot_of[j] = gmf_i32(slot++);
  }
  GMF_TRY(gmf_exchange_new(grid, sizeof *wanted, wanted, plan->recv_counts, (void **)&plan->send_rows,
                           plan->send_counts, &plan->n_send, err));
  for (int64_t r = 0, j = 0, first = 0; r < grid->size; first += all->send_counts[r++])
    for (int64_t end = j + plan->send_counts[r]; j < end; j++)
      plan->send_rows[j] = all->send_rows[first + plan->send_rows[j]];
  *out = plan;
  plan = NULL;

cleanup:
  gmf_free(wanted);
  gmf_expand_destroy(&plan);
  return status;
}

/* Collective. All plans; the slots in use are gathered in `slots`. */
static gmf_status make_plans(gmf_block *b, gmf_panels *p, uint64_t *slots, int32_t *slot_of, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int j = 0; j < p->n; j++) {
    bool is_heavy = b->next != NULL && j == p->n - 1;
    gmf_block *rows = is_heavy ? b->next : b;
    int64_t begin = is_heavy ? 0 : p->begin[j], end = is_heavy ? rows->n_rows : p->begin[j + 1];
    memset(slots, 0, (size_t)gmf_bits_words(b->expand->n_slots) * sizeof *slots);
    mark_slots(rows, begin, end, slots);
    GMF_TRY(narrow_plan(b->grid, b->expand, slots, slot_of, &p->plans[j], err));
    renumber_slots(rows, begin, end, slot_of);
  }
cleanup:
  return status;
}

gmf_status gmf_panels_create(gmf_block *block, int64_t most_slots, gmf_panels **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  const gmf_grid *grid = block->grid;
  gmf_panels *p = NULL;
  int32_t *panel_of = NULL, *slot_of = NULL;
  uint64_t *slots = NULL;
  int64_t n = 1;

  *out = NULL;
  GMF_CHECK(grid->n_cols == 1 && block->expand->node == NULL && block->expand->before == NULL);
  status = GMF_NEW(panel_of, block->n_rows, err);
  if (status == GMF_OK) status = GMF_NEW(slot_of, block->expand->n_slots, err);
  if (status == GMF_OK && block->expand->n_slots > most_slots) n = cut_rows(block, most_slots, panel_of, slot_of);
  if (status == GMF_OK && n == 1) memset(panel_of, 0, (size_t)block->n_rows * sizeof *panel_of);
  GMF_TRY(gmf_agree(grid, status, err));
  gmf_max_i64(grid, &n, 1);
  if (n == 1) goto cleanup;
  status = GMF_NEW_ZERO(p, 1, err);
  if (status == GMF_OK) p->n = gmf_int(n + (block->next != NULL));
  if (status == GMF_OK) status = GMF_NEW_ZERO(p->plans, p->n, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(p->begin, p->n + 1, err);
  if (status == GMF_OK) status = GMF_NEW(slots, gmf_bits_words(block->expand->n_slots), err);
  if (status == GMF_OK) status = order_by_panel(block, panel_of, p, err);
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_TRY(make_plans(block, p, slots, slot_of, err));
  *out = p;
  p = NULL;

cleanup:
  gmf_free(slots);
  gmf_free(slot_of);
  gmf_free(panel_of);
  gmf_panels_destroy(&p);
  return status;
}
