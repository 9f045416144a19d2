#include "kernel/toplists.h"

#include <omp.h>

#include "base/memory.h"
#include "base/narrow.h"

enum { BLOCK_USERS = 128 /* whose rows and lists stay in the second-level cache */ };

static int64_t n_blocks(int64_t n_users) { return (n_users + BLOCK_USERS - 1) / BLOCK_USERS; }

static int lanes_of(const gmf_toplists_shape *s) { return n_blocks(s->n_users) < s->n_threads ? s->n_threads : 1; }

int64_t gmf_toplists_bytes(const gmf_toplists_shape *s)
{
  return lanes_of(s) * s->n_users * gmf_topn_bytes(s->top_n) +
         gmf_panel_items(s->panel_items) * (s->k + 1) * (int64_t)sizeof(float);
}

gmf_status gmf_toplists_create(gmf_toplists *t, const gmf_toplists_shape *shape, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = gmf_panel_items(shape->panel_items);
  *t = (gmf_toplists){.shape = *shape, .n_lanes = lanes_of(shape), .panel.k = shape->k};
  GMF_TRY(GMF_NEW(t->panel.packed, n * shape->k, err));
  GMF_TRY(GMF_NEW(t->panel.offsets, n, err));
  GMF_TRY(GMF_NEW_ZERO(t->users.lists, t->n_lanes * shape->n_users, err));
  for (int64_t l = 0; l < t->n_lanes * shape->n_users; l++)
    GMF_TRY(gmf_topn_create(&t->users.lists[l], shape->top_n, err));
cleanup:
  if (status != GMF_OK) gmf_toplists_destroy(t);
  return status;
}

void gmf_toplists_destroy(gmf_toplists *t)
{
  for (int64_t l = 0; t->users.lists != NULL && l < t->n_lanes * t->shape.n_users; l++)
    gmf_topn_destroy(&t->users.lists[l]);
  gmf_free(t->users.lists);
  gmf_free(t->panel.packed);
  gmf_free(t->panel.offsets);
  *t = (gmf_toplists){0};
}

void gmf_toplists_start(gmf_toplists *t, int64_t n, const float *rows, int64_t stride, const float *offsets,
                        const int64_t *excluded_begin, const int64_t *excluded)
{
  gmf_scored_users *u = &t->users;
  *u = (gmf_scored_users){.rows = rows, .n = n, .stride = stride, .offsets = offsets, .lists = u->lists};
  for (int64_t l = 0; l < t->n_lanes * n; l++) {
    gmf_topn *list = &u->lists[l / n * t->shape.n_users + l % n];
    gmf_topn_reset(list);
    if (excluded_begin == NULL) continue;
    list->excluded = excluded + excluded_begin[l % n];
    list->n_excluded = excluded_begin[l % n + 1] - excluded_begin[l % n];
  }
}

/* Users of block `block` against tiles of the panel, with the lists of a lane. */
static void push_block(const gmf_toplists *t, int64_t block, int lane, int64_t n_tiles)
{
  int64_t first = block * BLOCK_USERS;
  const gmf_scored_users *all = &t->users;
  gmf_scored_users users = {.rows = all->rows + first * all->stride,
                            .n = gmf_min64(BLOCK_USERS, all->n - first),
                            .stride = all->stride,
                            .offsets = all->offsets + first,
                            .lists = all->lists + lane * t->shape.n_users + first};
  gmf_topn_push_tiles(&users, &t->panel, gmf_slice_begin(n_tiles, t->n_lanes, lane),
                      gmf_slice_begin(n_tiles, t->n_lanes, lane + 1));
}

/* Tasks are (block of users, lane); no two touch the same list. */
void gmf_toplists_push(gmf_toplists *t, const float *items, int64_t stride, const float *offsets, int64_t n,
                       int64_t first)
{
  int64_t n_tiles = gmf_panel_items(n) / gmf_tile_items(), n_tasks = n_blocks(t->users.n) * t->n_lanes;
  t->panel.first = first;
  t->panel.n = n;
#pragma omp parallel num_threads(t->shape.n_threads)
  {
#pragma omp for schedule(static)
    for (int64_t tile = 0; tile < n_tiles; tile++) gmf_pack_tile(&t->panel, tile, items, stride, offsets);
#pragma omp for schedule(dynamic, 1)
    for (int64_t task = 0; task < n_tasks; task++) push_block(t, task / t->n_lanes, (int)(task % t->n_lanes), n_tiles);
  }
}

/* Merges the lanes of a user, and orders the list. */
static void finish_user(gmf_toplists *t, int64_t u)
{
  gmf_topn *best = &t->users.lists[u];
  for (int lane = 1; lane < t->n_lanes; lane++) {
    const gmf_topn *other = &t->users.lists[lane * t->shape.n_users + u];
    for (int64_t e = 0; e < other->n; e++) gmf_topn_push(best, other->score[e], other->row[e]);
  }
  gmf_topn_sort(best);
}

void gmf_toplists_finish(gmf_toplists *t)
{
#pragma omp parallel for schedule(static) num_threads(t->shape.n_threads)
  for (int64_t u = 0; u < t->users.n; u++) finish_user(t, u);
}
