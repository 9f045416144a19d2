/*
 * What panels (panels.c) make of the counts of a census. Where a rank cuts its rows depends on all their ratings in
 * the order in which it has them, so these are brought together here, of some ranks at a time: rank p of those that are
 * counted for is the matter of rank p % ranks of those that count.
 */
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "dist/census.h"
#include "runtime/exchange.h"

static const int64_t RATINGS_AT_ONCE = 1 << 24;

/* A rating of the ranks of a round: the place of its row among those of all of them, and the fixed row. */
typedef struct rating {
  int64_t row, fixed;
} rating;

typedef struct panel_census {
  const gmf_grid *grid;
  const gmf_rating_source *source;
  const gmf_census_side *of;
  gmf_share *shares;
  const int64_t *most_slots;
  int n_ranks, first, end; /* counted for; of this round */
  int64_t *row_begin;      /* owned [n_ranks + 1]: rows of a round before those of a rank; a rank's heavy rows are one,
                              behind its own */
  int64_t *counts;         /* owned [ranks that count]: ratings of this round for each */
  rating *sent;            /* owned: to them, by rank; next [ranks that count]: where each one's go on */
  int64_t *next;           /* owned */
  bool fills;              /* the ratings are put there; else they are counted */
  gmf_share *found;        /* owned [n_ranks]: what is counted anew */
  int64_t *seen;           /* owned [n of the fixed side]: the last panel, of all ranks, that touched a fixed row */
  int64_t *asked;          /* owned [n_ranks]: the last one that a rank gave something to */
  int64_t serial;          /* of panels of all ranks, from 1 */
  int64_t *given, capacity, n_panels; /* owned [n_panels][n_ranks]: rows that ranks send in each panel */
  int64_t *heavy_given;               /* owned [n_ranks]: in the panel of the heavy rows */
} panel_census;

static void free_census(panel_census *c)
{
  void *const arrays[] = {c->row_begin, c->counts, c->sent,  c->next,       c->found,
                          c->seen,      c->asked,  c->given, c->heavy_given};
  for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) gmf_free(arrays[a]);
}

static gmf_status new_census(panel_census *c, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(c->row_begin, c->n_ranks + 1, err));
  GMF_TRY(GMF_NEW(c->counts, c->grid->size, err));
  GMF_TRY(GMF_NEW(c->next, c->grid->size, err));
  GMF_TRY(GMF_NEW_ZERO(c->found, c->n_ranks, err));
  GMF_TRY(GMF_NEW_ZERO(c->seen, c->of->axes[gmf_other_side(c->of->side)]->n, err));
  GMF_TRY(GMF_NEW_ZERO(c->asked, c->n_ranks, err));
  GMF_TRY(GMF_NEW_ZERO(c->heavy_given, c->n_ranks, err));
cleanup:
  return status;
}

/* ---- ratings to the rank that counts them ------------------------------------------------------------------------ */

static void take(panel_census *c, int64_t updated, int64_t fixed)
{
  const gmf_axis *axis = c->of->axes[c->of->side], *fixed_axis = c->of->axes[gmf_other_side(c->of->side)];
  bool heavy = c->of->degrees[updated] >= c->of->layout.heavy_from;
  int64_t position = gmf_axis_position(axis, updated);
  int owner = gmf_axis_owner(axis, position), rank = owner;
  if (heavy)
    rank = gmf_census_place(c->of, true, owner, gmf_axis_owner(fixed_axis, gmf_axis_position(fixed_axis, fixed)));
  if (rank < c->first || rank >= c->end) return;
  int by = rank % c->grid->size;
  c->counts[by]++;
  if (!c->fills) return;
  int64_t row = heavy ? c->row_begin[rank + 1] - 1 : c->row_begin[rank] + (position - axis->prefix[rank]);
  c->sent[c->next[by]++] = (rating){row, fixed};
}

static void visit(void *context, int64_t user, const int64_t *items, int64_t n)
{
  panel_census *c = context;
  int64_t row = c->source->row_begin + user;
  for (int64_t j = 0; j < n; j++)
    take(c, c->of->side == GMF_USERS ? row : items[j], c->of->side == GMF_USERS ? items[j] : row);
}

/* Local. The next ranks whose ratings can be held at once. */
static void begin_round(panel_census *c)
{
  const gmf_axis *axis = c->of->axes[c->of->side];
  int64_t n = 0;
  c->first = c->end;
  do n += c->shares[c->end++].ratings;
  while (c->end < c->n_ranks && n + c->shares[c->end].ratings <= RATINGS_AT_ONCE * c->grid->size);
  c->row_begin[c->first] = 0;
  for (int r = c->first; r < c->end; r++) c->row_begin[r + 1] = c->row_begin[r] + gmf_axis_n_own(axis, r) + 1;
}

/* Local. My ratings of the round, by the rank that counts them. */
static gmf_status list_mine(panel_census *c, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = 0;
  c->fills = false;
  memset(c->counts, 0, (size_t)c->grid->size * sizeof *c->counts);
  GMF_TRY(gmf_census_walk(c->source, visit, c, err));
  for (int r = 0; r < c->grid->size; n += c->counts[r++]) c->next[r] = n;
  GMF_TRY(GMF_NEW(c->sent, n, err));
  memset(c->counts, 0, (size_t)c->grid->size * sizeof *c->counts);
  c->fills = true;
  GMF_TRY(gmf_census_walk(c->source, visit, c, err));
cleanup:
  return status;
}

/* Local. The fixed rows of each row of the round: begin [rows + 1], fixed [n]. */
static gmf_status sort_by_row(const rating *ratings, int64_t n, int64_t n_rows, int64_t **begin, int64_t **fixed,
                              gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(GMF_NEW_ZERO(*begin, n_rows + 2, err)); /* two places on while they are filled */
  GMF_TRY(GMF_NEW(*fixed, n, err));
  int64_t *next = *begin + 1;
  for (int64_t j = 0; j < n; j++) next[ratings[j].row + 1]++;
  for (int64_t r = 0; r < n_rows; r++) next[r + 1] += next[r];
  for (int64_t j = 0; j < n; j++) (*fixed)[next[ratings[j].row]++] = ratings[j].fixed;
cleanup:
  return status;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

/* Local. Another panel of a rank, whose number among the light ones it is; -1: of heavy rows. */
static gmf_status begin_panel(panel_census *c, int64_t panel, gmf_error *err)
{
  gmf_status status = GMF_OK;
  c->serial++;
  if (panel < c->n_panels) return GMF_OK;
  GMF_TRY(GMF_RESERVE(c->given, c->capacity, (panel + 1) * c->n_ranks, err));
  memset(c->given + c->n_panels * c->n_ranks, 0,
         (size_t)(panel + 1 - c->n_panels) * (size_t)c->n_ranks * sizeof *c->given);
  c->n_panels = panel + 1;
cleanup:
  return status;
}

/* A panel of a rank touches a fixed row that it has not touched before. */
static void count_slot(panel_census *c, int rank, int64_t panel, int64_t fixed)
{
  const gmf_axis *axis = c->of->axes[gmf_other_side(c->of->side)];
  int owner = gmf_axis_owner(axis, gmf_axis_position(axis, fixed)), by = gmf_census_copies(c->of, fixed);
  c->seen[fixed] = c->serial;
  c->found[owner].sent++;
  if (owner / by == rank / by) return;
  c->found[rank].fetched++;
  c->found[owner].given++;
  (panel < 0 ? c->heavy_given : c->given + panel * c->n_ranks)[owner]++;
  if (c->asked[owner] == c->serial) return;
  c->asked[owner] = c->serial;
  c->found[rank].n_sources++;
  c->found[owner].n_targets++;
}

/* Local. The rows of a rank as cut_rows of panels.c cuts them: row r has fixed[begin[r]] to fixed[begin[r + 1]]. */
static gmf_status cut_rank(panel_census *c, int rank, const int64_t *begin, const int64_t *fixed, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_share *f = &c->found[rank];
  int64_t n_slots = 0, panel = 0, most = c->shares[rank].slots > c->most_slots[rank] ? c->most_slots[rank] : INT64_MAX;
  int64_t heavy = c->row_begin[rank + 1] - 1;
  GMF_TRY(begin_panel(c, 0, err));
  for (int64_t r = c->row_begin[rank]; r < heavy; r++) {
    int64_t n_new = 0;
    for (int64_t j = begin[r]; j < begin[r + 1]; j++) n_new += c->seen[fixed[j]] != c->serial;
    if (n_slots > 0 && n_slots + n_new > most) {
      GMF_TRY(begin_panel(c, ++panel, err));
      n_slots = 0;
      n_new = begin[r + 1] - begin[r];
    }
    for (int64_t j = begin[r]; j < begin[r + 1]; j++)
      if (c->seen[fixed[j]] != c->serial) count_slot(c, rank, panel, fixed[j]);
    n_slots += n_new;
    f->panel_slots = gmf_max64(f->panel_slots, n_slots);
  }
  f->n_panels = panel + 1;
  GMF_TRY(begin_panel(c, -1, err));
  n_slots = 0;
  for (int64_t j = begin[heavy]; j < begin[heavy + 1]; j++) {
    if (c->seen[fixed[j]] == c->serial) continue;
    count_slot(c, rank, -1, fixed[j]);
    n_slots++;
  }
  f->panel_slots = gmf_max64(f->panel_slots, n_slots);
cleanup:
  return status;
}

/* Collective. */
static gmf_status count_round(panel_census *c, gmf_error *err)
{
  gmf_status status = GMF_OK;
  rating *got = NULL;
  int64_t n = 0, *begin = NULL, *fixed = NULL;
  GMF_TRY(gmf_agree(c->grid, list_mine(c, err), err));
  GMF_TRY(gmf_exchange_new(c->grid, sizeof *got, c->sent, c->counts, (void **)&got, NULL, &n, err));
  GMF_FREE(c->sent);
  status = sort_by_row(got, n, c->row_begin[c->end], &begin, &fixed, err);
  for (int r = c->first; r < c->end; r++)
    if (status == GMF_OK && r % c->grid->size == c->grid->rank) status = cut_rank(c, r, begin, fixed, err);
  GMF_TRY(gmf_agree(c->grid, status, err));
cleanup:
  gmf_free(fixed);
  gmf_free(begin);
  gmf_free(got);
  return status;
}

/* Collective. Sums what the ranks have counted, and takes it over where any rank's rows are cut. */
static gmf_status sum_found(panel_census *c, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = c->n_panels, words = (int64_t)(sizeof(gmf_share) / sizeof(int64_t));
  gmf_max_i64(c->grid, &n, 1);
  if (n <= 1) return GMF_OK;
  GMF_TRY(gmf_agree(c->grid, begin_panel(c, n - 1, err), err));
  gmf_sum_i64(c->grid, (int64_t *)(void *)c->found, c->n_ranks * words);
  gmf_sum_i64(c->grid, c->given, n * c->n_ranks);
  gmf_sum_i64(c->grid, c->heavy_given, c->n_ranks);
  for (int r = 0; r < c->n_ranks; r++) {
    gmf_share *s = &c->shares[r];
    const gmf_share *f = &c->found[r];
    s->sent = f->sent;
    s->fetched = f->fetched;
    s->given = f->given;
    s->n_sources = f->n_sources;
    s->n_targets = f->n_targets;
    s->panel_slots = f->panel_slots;
    s->panel_sent = c->heavy_given[r];
    for (int64_t p = 0; p < n; p++) s->panel_sent = gmf_max64(s->panel_sent, c->given[p * c->n_ranks + r]);
    s->n_panels = n + gmf_layout_has_heavy(&c->of->layout);
  }
cleanup:
  return status;
}

gmf_status gmf_census_panels(const gmf_grid *grid, const gmf_rating_source *source, const gmf_census_side *counted,
                             const int64_t *most_slots, gmf_share *shares, gmf_error *err)
{
  gmf_status status = GMF_OK;
  panel_census c = {.grid = grid,
                    .source = source,
                    .of = counted,
                    .shares = shares,
                    .most_slots = most_slots,
                    .n_ranks = counted->n_rows};
  bool is_cut = false;
  GMF_CHECK(counted->n_cols == 1 && counted->node_ranks <= 1);
  for (int r = 0; r < c.n_ranks; r++) is_cut = is_cut || shares[r].slots > most_slots[r];
  if (!is_cut) return GMF_OK;
  GMF_TRY(gmf_agree(grid, new_census(&c, err), err));
  while (c.end < c.n_ranks) {
    begin_round(&c);
    GMF_TRY(count_round(&c, err));
  }
  GMF_TRY(sum_found(&c, err));
cleanup:
  free_census(&c);
  return status;
}
