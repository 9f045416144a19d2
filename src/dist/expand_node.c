/*
 * Plans whose panel the ranks of a node share. Each row that any of them needs has one rank of the node that it arrives
 * at: its owner, where that is on the node, else one by its position. The ranks tell each other what they need, each
 * makes the plan for the rows that arrive at it, and answers where they will be.
 */
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "dist/expand_internal.h"
#include "runtime/limits.h"

/* What I need of which rank of the node, and what they need of me. All owned. */
typedef struct needs {
  int64_t *mine, *mine_counts;     /* [n], [node's ranks]: rows in dataset order, by the rank that they arrive at */
  int64_t *place;                  /* [n]: of rows[j] in `mine` */
  int64_t *theirs, *theirs_counts; /* [n_theirs], [node's ranks] */
  int64_t n_theirs;
} needs;

static void free_needs(needs *d)
{
  void *const arrays[] = {d->mine, d->mine_counts, d->place, d->theirs, d->theirs_counts};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

/* The rank of the node that a row arrives at. */
static int arrives_at(const gmf_node *node, const gmf_axis *axis, int64_t row)
{
  int64_t position = gmf_axis_position(axis, row);
  int owner = node->member_of[gmf_axis_owner(axis, position)];
  return owner >= 0 ? owner : (int)(position % node->grid->size);
}

/* Local. */
static gmf_status sort_needs(const gmf_node *node, const gmf_axis *axis, const int64_t *rows, int64_t n, needs *d,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  int size = node->grid->size;
  int64_t *next = NULL;
  GMF_TRY(GMF_NEW(d->mine, n, err));
  GMF_TRY(GMF_NEW(d->place, n, err));
  GMF_TRY(GMF_NEW_ZERO(d->mine_counts, size, err));
  GMF_TRY(GMF_NEW_ZERO(d->theirs_counts, size, err));
  GMF_TRY(GMF_NEW_ZERO(next, size + 1, err));
  for (int64_t j = 0; j < n; j++) d->mine_counts[arrives_at(node, axis, rows[j])]++;
  for (int m = 0; m < size; m++) next[m + 1] = next[m] + d->mine_counts[m];
  for (int64_t j = 0; j < n; j++) {
    d->place[j] = next[arrives_at(node, axis, rows[j])]++;
    d->mine[d->place[j]] = rows[j];
  }
cleanup:
  gmf_free(next);
  return status;
}

/* Local. The rows that anybody needs of me, each once, ascending. */
static gmf_status unite(const needs *d, int64_t **rows, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW(*rows, d->n_theirs, err));
  if (d->n_theirs > 0) memcpy(*rows, d->theirs, (size_t)d->n_theirs * sizeof **rows);
  *n = gmf_sort_once(*rows, d->n_theirs);
cleanup:
  return status;
}

/* Collective over the node. Where my rows begin in the panel, and how long it is. */
static gmf_status place_in_panel(const gmf_node *node, gmf_expand *plan, gmf_error *err)
{
  plan->node = node;
  plan->first_slot = gmf_prefix_i64(node->grid, plan->n_slots);
  gmf_sum_i64(node->grid, &plan->n_panel, 1);
  if (plan->n_panel <= gmf_limit_rows) return GMF_OK;
  return gmf_fail(err, GMF_ERR_PLAN, "a node needs %lld rows of the other side, but may have %lld; use more nodes",
                  (long long)plan->n_panel, (long long)gmf_limit_rows);
}

/* Collective over the node, after an agreement. Tells everybody where the rows are that they need of me. */
static gmf_status answer(const gmf_node *node, const gmf_expand *plan, const needs *d, const int64_t *rows, int64_t n,
                         const int32_t *slots, int64_t n_mine, int32_t *slot_of, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int32_t *answers = NULL, *answered = NULL;
  status = GMF_NEW(answers, d->n_theirs, err);
  if (status == GMF_OK) status = GMF_NEW(answered, n_mine, err);
  GMF_TRY(gmf_agree(node->grid, status, err));
  for (int64_t j = 0; j < d->n_theirs; j++)
    answers[j] = gmf_i32(plan->first_slot + slots[gmf_lower_bound(rows, n, d->theirs[j])]);
  gmf_exchange(node->grid, sizeof *answers, answers, d->theirs_counts, answered, d->mine_counts);
  for (int64_t j = 0; j < n_mine; j++) slot_of[j] = answered[d->place[j]];
cleanup:
  gmf_free(answered);
  gmf_free(answers);
  return status;
}

gmf_status gmf_expand_create_shared(const gmf_grid *grid, const gmf_node *node, const gmf_axis *axis,
                                    const int64_t *rows, int64_t n, int32_t *slot_of, gmf_expand **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  needs d = {0};
  gmf_expand *plan = NULL;
  int64_t *arriving = NULL, n_arriving = 0;
  int32_t *slots = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, sort_needs(node, axis, rows, n, &d, err), err));
  status = gmf_exchange_new(node->grid, sizeof *d.mine, d.mine, d.mine_counts, (void **)&d.theirs, d.theirs_counts,
                            &d.n_theirs, err);
  if (status == GMF_OK) status = unite(&d, &arriving, &n_arriving, err);
  if (status == GMF_OK) status = GMF_NEW(slots, n_arriving, err);
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_TRY(gmf_expand_create(grid, axis, arriving, n_arriving, slots, &plan, err));
  GMF_TRY(gmf_agree(grid, place_in_panel(node, plan, err), err));
  GMF_TRY(gmf_agree(grid, answer(node, plan, &d, arriving, n_arriving, slots, n, slot_of, err), err));
  *out = plan;
  plan = NULL;

cleanup:
  gmf_free(slots);
  gmf_free(arriving);
  free_needs(&d);
  gmf_expand_destroy(&plan);
  return status;
}
