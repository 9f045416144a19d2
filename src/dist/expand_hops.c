/*
 * Plans of two hops (runtime/hops.h). A row goes from its owner along the owner's column to the rank that stands in the
 * row of whoever needs it, once for all ranks of that row, and from there along the row. To make them, a rank asks
 * those of its row, each for what owners in that one's column have; these ask the owners for all that their row needs
 * of them.
 *
 *   partners of a rank      n_rows - 1 + n_cols - 1
 *   rows that it receives   those that its row needs of its column, and those that it needs of other columns: at most
 *                           twice as many as directly, over all ranks, and fewer where ranks of a row need the same
 */
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "base/search.h"
#include "dist/expand_internal.h"
#include "runtime/limits.h"

/* Local. The second hop: positions on the axis, of the ranks of my row that stand in their owners' columns. */
static gmf_status want_of_row(const gmf_hops *hops, const gmf_axis *axis, const int64_t *rows, int64_t n, gmf_wants *w,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_wants_new(n, w, err));
  for (int64_t j = 0; j < n; j++) {
    w->keys[j] = gmf_axis_position(axis, rows[j]);
    w->of[j] = gmf_axis_owner(axis, w->keys[j]) % hops->n_cols;
  }
cleanup:
  return status;
}

/* Local. The first hop: all that my row wants of me, each once, of its owners, by their own numbers. positions [w->n]:
 * the same by the axis, ascending. */
static gmf_status want_of_column(const gmf_hops *hops, const gmf_axis *axis, const int64_t *asked, int64_t n_asked,
                                 gmf_wants *w, int64_t **positions, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *p = NULL;
  GMF_TRY(GMF_NEW(*positions, n_asked, err));
  p = *positions;
  if (n_asked > 0) memcpy(p, asked, (size_t)n_asked * sizeof *p);
  int64_t n = gmf_sort_once(p, n_asked);
  if (n > gmf_limit_rows)
    GMF_TRY(gmf_fail(err, GMF_ERR_PLAN, "%lld rows would pass through a rank, but %lld may; use --hops 1", (long long)n,
                     (long long)gmf_limit_rows));
  GMF_TRY(gmf_wants_new(n, w, err));
  for (int64_t j = 0; j < w->n; j++) {
    int owner = gmf_axis_owner(axis, p[j]);
    w->of[j] = owner / hops->n_cols;
    w->keys[j] = p[j] - axis->prefix[owner];
  }
cleanup:
  return status;
}

gmf_status gmf_expand_create_hops(const gmf_grid *grid, const gmf_hops *hops, const gmf_axis *axis, const int64_t *rows,
                                  int64_t n, int32_t *slot_of, gmf_expand **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_wants of_row = {0}, of_column = {0};
  gmf_expand *first = NULL, *second = NULL;
  int64_t *asked = NULL, *passed = NULL, *positions = NULL, n_passed = 0;
  int32_t *places = NULL;

  *out = NULL;
  GMF_TRY(gmf_agree(grid, want_of_row(hops, axis, rows, n, &of_row, err), err));
  GMF_TRY(gmf_agree(grid, gmf_expand_ask(hops->row, &of_row, slot_of, &second, &passed, err), err));
  n_passed = second->n_send + second->n_own;
  status = want_of_column(hops, axis, passed, n_passed, &of_column, &positions, err);
  if (status == GMF_OK) status = GMF_NEW(places, of_column.n, err);
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_TRY(gmf_agree(grid, gmf_expand_ask(hops->column, &of_column, places, &first, &asked, err), err));
  gmf_expand_number(first, asked);
  for (int64_t j = 0; j < n_passed; j++) passed[j] = places[gmf_lower_bound(positions, of_column.n, passed[j])];
  gmf_expand_number(second, passed);
  second->before = first;
  first = NULL;
  *out = second;
  second = NULL;

cleanup:
  gmf_free(places);
  gmf_free(positions);
  gmf_free(passed);
  gmf_free(asked);
  gmf_wants_free(&of_row);
  gmf_wants_free(&of_column);
  gmf_expand_destroy(&first);
  gmf_expand_destroy(&second);
  return status;
}
