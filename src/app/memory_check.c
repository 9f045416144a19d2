#include "app/memory_check.h"

#include <omp.h>
#include <string.h>
#include <sys/stat.h>

#include "app/layout_choice.h"
#include "app/ways.h"
#include "base/memory_limit.h"
#include "base/narrow.h"
#include "runtime/node.h"

/* ---- what is allowed --------------------------------------------------------------------------------------------- */

enum { FROM_OPTION, FROM_CGROUP, FROM_SLURM, FROM_NODE, N_SOURCES };
static const char *const SOURCE_NAMES[N_SOURCES] = {"--memory-limit", "cgroup", "Slurm", "memory of the node"};

gmf_memory_allowance gmf_memory_allowed(const gmf_grid *grid, int64_t limit)
{
  static const char membership[] = "/proc/self/cgroup";
  int64_t n_local = gmf_node_sum(grid, 0, 1), n_in_group = gmf_node_sum(grid, gmf_cgroup_color(membership), 1);
  int64_t resident = gmf_node_sum(grid, 0, gmf_process_resident());
  int64_t group = gmf_cgroup_limit(membership, "/sys/fs/cgroup"), available = gmf_node_available();
  int64_t limits[N_SOURCES] = {limit > 0 ? limit : INT64_MAX, group < INT64_MAX ? group / n_in_group : group,
                               gmf_slurm_limit(n_local), available > 0 ? (available + resident) / n_local : INT64_MAX};
  gmf_memory_allowance allowed = {INT64_MAX, ""};
  gmf_min_i64(grid, limits, N_SOURCES);
  for (int s = 0; s < N_SOURCES; s++)
    if (limits[s] < allowed.bytes) allowed = (gmf_memory_allowance){limits[s], SOURCE_NAMES[s]};
  return allowed;
}

/* Collective. The parts of the rank that has most of each. stage: "start" when what is known are sizes, else "exact";
 * final: nothing better will be known, so that the log for people gets it. */
static gmf_status check(const gmf_grid *grid, const gmf_memory_plan *mine, const gmf_memory_allowance *allowed,
                        const char *advice, const char *stage, bool final, const gmf_log *log, gmf_error *err)
{
  gmf_memory_plan plan = *mine;
  char table[600];
  gmf_max_i64(grid, plan.parts, GMF_N_MEMORY_PARTS);
  gmf_max_i64(grid, &plan.peak, 1);
  double need = (double)plan.peak / 1e6, have = (double)allowed->bytes / 1e6;
  gmf_memory_table(&plan, table, sizeof table);
  if (plan.peak > allowed->bytes)
    return gmf_fail(err, GMF_ERR_PLAN,
                    "does not fit into memory: about %.0f MB a rank are needed, %.0f MB are allowed (from %s); %s%s",
                    need, have, allowed->source, advice, table);
  if (final && allowed->source[0] != '\0')
    gmf_log_line(log, "memory: about %.0f MB a rank of %.0f MB allowed (from %s)", need, have, allowed->source);
  else if (final)
    gmf_log_line(log, "memory: about %.0f MB a rank", need);
  gmf_log_event(log, "memory",
                json_pack("{s:s, s:I, s:I, s:s}", "stage", stage, "planned_bytes_per_rank", (json_int_t)plan.peak,
                          "allowed_bytes_per_rank", (json_int_t)allowed->bytes, "source", allowed->source));
  return GMF_OK;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static const char TRAIN_ADVICE[] =
    "use more ranks or nodes, fewer --factors or --threads, or a larger --memory-limit; the parts:";

/* Collective. The sizes of --test: a test set that cannot be read is found before training ratings travel, too. */
static gmf_status measure_test(const gmf_grid *grid, const gmf_config *c, gmf_train_shape *shape, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_dataset *test = NULL;
  GMF_TRY(gmf_dataset_open(grid, c->test, &test, err));
  for (int s = 0; s < GMF_N_SIDES; s++) shape->n_test[s] = test->n[s];
  shape->nnz_test = test->nnz;
cleanup:
  gmf_dataset_close(&test);
  return status;
}

gmf_train_shape gmf_train_shape_of(const gmf_config *c, const int64_t n[GMF_N_SIDES], int64_t nnz, bool weighted,
                                   int n_grid_rows, int n_grid_cols)
{
  bool all_pairs = gmf_loss_shared(gmf_config_loss(c)) > 0;
  gmf_row_options row = gmf_config_row(c);
  gmf_train_shape shape = {.n = {n[GMF_USERS], n[GMF_ITEMS]},
                           .nnz = nnz,
                           .n_ranks = n_grid_rows * n_grid_cols,
                           .n_grid_rows = n_grid_rows,
                           .n_grid_cols = n_grid_cols,
                           .n_threads = omp_get_max_threads(),
                           .n_factors = (int)c->factors,
                           .node_ranks = 1,
                           .mpi_copies = gmf_node_copies_twice(),
                           .n_sweeps = c->iterations,
                           .chooses = gmf_layout_is_free(c, GMF_USERS, n_grid_rows * n_grid_cols, n_grid_cols),
                           .bias = c->bias,
                           .weighted = weighted,
                           .wire = (gmf_wire)c->wire,
                           .all_pairs = all_pairs,
                           .basis = !c->nonnegative && (all_pairs || c->solver == GMF_SOLVER_CG),
                           .relaxes = c->relaxation > 1,
                           .fold_all = gmf_als_fold_way(&row, false),
                           .fold_heavy = gmf_als_fold_way(&row, true),
                           .deterministic = c->deterministic,
                           .seen = c->seen,
                           .early_stop = c->test[0] != '\0' && c->early_stop > 0,
                           .expand_bytes = c->expand_memory,
                           .saves = c->checkpoint[0] != '\0',
                           .program_bytes = gmf_process_resident(),
                           .is_svd = c->algorithm == GMF_ALGORITHM_SVD};
  gmf_svd_options options = gmf_config_svd(c);
  if (shape.is_svd)
    shape.svd = (gmf_svd_shape){.sizes = gmf_svd_measure(&options, n[GMF_USERS], n[GMF_ITEMS]),
                                .dense = c->svd_method == GMF_SVD_GRAM,
                                .centered = c->center != GMF_CENTER_NONE};
  return shape;
}

void gmf_train_shape_features(const gmf_config *c, const gmf_dataset *d, gmf_train_shape *shape)
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    if (!c->features[s]) continue;
    shape->n_features[s] = d->n_features[s];
    shape->nnz_features[s] = d->nnz_features[s];
  }
}

static gmf_train_shape shape_of(const gmf_config *c, const gmf_dataset *d, int n_grid_rows, int n_grid_cols)
{
  gmf_train_shape shape = gmf_train_shape_of(c, d->n, d->nnz, d->has_weight, n_grid_rows, n_grid_cols);
  gmf_train_shape_features(c, d, &shape);
  return shape;
}

int64_t gmf_train_memory_expected(const gmf_config *c, const gmf_dataset *d, int n_ranks)
{
  gmf_memory_share shares[GMF_N_SIDES];
  gmf_train_shape shape = shape_of(c, d, n_ranks, 1);
  gmf_expect_shares(&shape, shares);
  return gmf_plan_train(&shape, shares).peak;
}

/*
 * Where expanded rows alone are what does not fit, they get what the other parts leave, if that is a sixteenth of what
 * they would like or more: less would have them travel too often.
 */
int64_t gmf_fit_expanded_rows(const gmf_train_shape *shape, const gmf_memory_share shares[GMF_N_SIDES], int64_t limit)
{
  gmf_train_shape s = *shape;
  s.expand_bytes = 0;
  gmf_memory_plan plan = gmf_plan_train(&s, shares);
  if (plan.peak <= limit) return 0;
  int64_t expanded = plan.parts[GMF_MEMORY_EXPANDED], room = limit - (plan.peak - expanded);
  return room > expanded / 16 ? room : 0;
}

static void fit_expanded_rows(const gmf_memory_share shares[GMF_N_SIDES], gmf_train_memory *memory)
{
  if (!memory->fits_expanded) return;
  memory->shape.expand_bytes = gmf_fit_expanded_rows(&memory->shape, shares, memory->allowed.bytes);
}

void gmf_sharing_fits(const gmf_train_shape *shape, int n, int64_t limit, int64_t fits[2])
{
  gmf_memory_share shares[GMF_N_SIDES];
  gmf_train_shape s = *shape;
  for (int shared = 0; shared < 2; shared++) {
    s.node_ranks = shared ? n : 1;
    gmf_expect_shares(&s, shares);
    fits[shared] = gmf_plan_train(&s, shares).peak <= limit;
  }
}

/* Collective. n: ranks of a node that may share. Where it is left to the program they do so for a run to fit. */
static void choose_sharing(const gmf_grid *grid, const gmf_config *c, int n, gmf_train_memory *memory)
{
  int64_t fits[2];
  gmf_sharing_fits(&memory->shape, n, memory->allowed.bytes, fits);
  gmf_min_i64(grid, fits, 2);
  memory->shape.node_ranks = c->share_node == GMF_SHARE_ON || (!fits[0] && fits[1]) ? n : 1;
}

/* Collective. Of a node, which has n_here, the ranks that will share expanded rows: the least of all nodes. 1: none do,
 * on no node. */
static int ranks_that_share(const gmf_grid *grid, const gmf_config *c, int n_here)
{
  int64_t least = n_here, most = n_here;
  gmf_min_i64(grid, &least, 1);
  gmf_max_i64(grid, &most, 1);
  if (c->share_node == GMF_SHARE_OFF || c->hops == GMF_HOPS_2 || c->expand_memory > 0 || most == 1) return 1;
  return gmf_int(gmf_max64(least, 2));
}

/* Where there is no room for two hops rows come in panels, if need be; on several columns they do not. */
bool gmf_hops_fit(const gmf_config *c, const gmf_train_shape *shape, int64_t limit)
{
  gmf_train_shape s = *shape;
  gmf_memory_share shares[GMF_N_SIDES];
  if (!gmf_hops_considered(c, s.n_ranks, s.node_ranks)) return false;
  if (c->hops == GMF_HOPS_2) return true;
  gmf_expect_shares(&s, shares);
  if (s.n_grid_cols == 1) s.expand_bytes = gmf_fit_expanded_rows(&s, shares, limit);
  for (int side = 0; side < GMF_N_SIDES; side++) {
    shares[side].between = shares[side].slots;
    shares[side].leaving *= 2;
  }
  return gmf_plan_train(&s, shares).peak <= limit;
}

/* Collective. */
static void choose_hops(const gmf_grid *grid, const gmf_config *c, gmf_train_memory *memory)
{
  int64_t fits = gmf_hops_fit(c, &memory->shape, memory->allowed.bytes);
  gmf_min_i64(grid, &fits, 1);
  memory->hops = fits != 0;
}

gmf_status gmf_train_memory_start(const gmf_grid *grid, const gmf_config *c, const gmf_dataset *d, const gmf_log *log,
                                  gmf_train_memory *memory, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_memory_share shares[GMF_N_SIDES];
  if (c->algorithm == GMF_ALGORITHM_SVD) {
    gmf_svd_options options = gmf_config_svd(c);
    GMF_TRY(gmf_svd_check(&options, d->n[GMF_USERS], d->n[GMF_ITEMS], err));
  }
  memory->allowed = gmf_memory_allowed(grid, c->memory_limit);
  memory->shape = shape_of(c, d, grid->n_rows, grid->n_cols);
  bool is_als = c->algorithm == GMF_ALGORITHM_ALS || c->algorithm == GMF_ALGORITHM_IALS;
  int n_cores = 0;
  if (c->test[0] != '\0') GMF_TRY(measure_test(grid, c, &memory->shape, err));
  gmf_node_share(grid, &memory->shape.n_here, &n_cores);
  choose_sharing(grid, c, is_als ? ranks_that_share(grid, c, memory->shape.n_here) : 1, memory);
  memory->fits_expanded =
      is_als && grid->n_cols == 1 && c->expand_memory == 0 && c->hops != GMF_HOPS_2 && memory->shape.node_ranks == 1;
  gmf_expect_shares(&memory->shape, shares);
  fit_expanded_rows(shares, memory);
  choose_hops(grid, c, memory);
  gmf_memory_plan plan = gmf_plan_train(&memory->shape, shares);
  GMF_TRY(check(grid, &plan, &memory->allowed, TRAIN_ADVICE, "start", false, log, err));
cleanup:
  return status;
}

/* Fixed rows of a block that its shortest panels can do with. */
static int64_t least_panel(const gmf_block *b)
{
  int64_t longest = b->next != NULL ? gmf_min64(gmf_block_ratings(b->next), b->expand->n_slots) : 0;
  for (int64_t r = 0; r < b->n_rows; r++) longest = gmf_max64(longest, b->row_ptr[r + 1] - b->row_ptr[r]);
  return longest;
}

gmf_memory_share gmf_memory_share_of(const gmf_grid *grid, const gmf_block *b)
{
  const gmf_block *heavy = b->next, *folded = heavy != NULL ? heavy : b;
  gmf_memory_share share = {.ratings = gmf_block_ratings(b),
                            .rows = b->n_rows,
                            .own = gmf_axis_n_own(b->axis, grid->rank),
                            .slots = b->expand->n_slots,
                            .sent = gmf_expand_n_sent(b->expand),
                            .at_once = b->expand->n_slots,
                            .leaving = b->expand->n_send,
                            .least = least_panel(b),
                            .fold_cols = folded->grid->n_cols};
  if (b->expand->before != NULL) {
    share.leaving = gmf_max64(share.leaving, b->expand->before->n_send);
    share.between = b->expand->before->n_slots;
  }
  if (heavy != NULL) share.heavy_rows = heavy->n_rows;
  if (heavy != NULL) share.heavy_ratings = heavy->row_ptr[heavy->n_rows];
  int first = folded->grid->row_index * folded->grid->n_cols;
  for (int r = first; r < first + folded->grid->n_cols; r++)
    share.longest = gmf_max64(share.longest, gmf_axis_n_own(folded->axis, r));
  return share;
}

gmf_status gmf_train_memory_exact(const gmf_grid *grid, gmf_block *const blocks[GMF_N_SIDES], const gmf_log *log,
                                  gmf_train_memory *memory, gmf_error *err)
{
  gmf_memory_share shares[GMF_N_SIDES];
  gmf_train_shape *shape = &memory->shape;
  for (int s = 0; s < GMF_N_SIDES; s++) {
    shares[s] = gmf_memory_share_of(grid, blocks[s]);
    if (blocks[s]->expand->before != NULL) memory->fits_expanded = false;
    shape->basis = shape->basis || (blocks[s]->next != NULL && shape->fold_heavy.cg_steps > 0);
  }
  fit_expanded_rows(shares, memory);
  int64_t is_cut = shape->expand_bytes > 0;
  gmf_max_i64(grid, &is_cut, 1);
  if (is_cut && shape->expand_bytes == 0) shape->expand_bytes = INT64_MAX;
  gmf_memory_plan plan = gmf_plan_train(shape, shares);
  memory->planned = plan.peak;
  return check(grid, &plan, &memory->allowed, TRAIN_ADVICE, "exact", true, log, err);
}

/* ---- item-based models ------------------------------------------------------------------------------------------- */

gmf_status gmf_items_memory(const gmf_grid *grid, const gmf_config *c, const gmf_dataset *d, const gmf_log *log,
                            gmf_error *err)
{
  bool ease = c->algorithm == GMF_ALGORITHM_EASE;
  gmf_memory_allowance allowed = gmf_memory_allowed(grid, c->memory_limit);
  gmf_items_shape shape = {.n = {d->n[GMF_USERS], d->n[GMF_ITEMS]},
                           .nnz = d->nnz,
                           .n_ranks = grid->size,
                           .n_threads = omp_get_max_threads(),
                           .single = c->precision == GMF_PRECISION_F4,
                           .n_kept = gmf_min64(ease ? c->keep_per_item : c->neighbours, d->n[GMF_ITEMS]),
                           .weight_bytes = c->store == GMF_PRECISION_F4 ? 4 : 8,
                           .program_bytes = gmf_process_resident()};
  gmf_memory_plan plan = ease ? gmf_plan_ease(&shape) : gmf_plan_item_knn(&shape);
  return check(grid, &plan, &allowed,
               ease
                   ? "use more ranks or nodes, --precision f4, an import with a larger --min-item-count, or a larger "
                     "--memory-limit; the parts:"
                   : "use more ranks or nodes, fewer --neighbours or --threads, or a larger --memory-limit; the parts:",
               "exact", true, log, err);
}

/* ---- import and evaluation --------------------------------------------------------------------------------------- */

/* Rank 0. The text of all files, and the length of its lines as the beginning of the first shows it. Compressed text is
 * counted as three times as long, and a file of it is read by one rank. */
static void measure_text(const char *const *files, int n, gmf_import_shape *shape)
{
  enum { HEAD = 1 << 16, USUAL_LINE = 24, COMPRESSION = 3 };
  char head[HEAD];
  struct stat st;
  int64_t total = 0, largest = 0;
  shape->bytes_per_rating = USUAL_LINE;
  for (int f = 0; f < n; f++) {
    bool readable = stat(files[f], &st) == 0 && S_ISREG(st.st_mode);
    FILE *file = readable ? fopen(files[f], "re") : NULL;
    size_t length = file != NULL ? fread(head, 1, sizeof head, file) : 0;
    if (file != NULL) fclose(file);
    bool compressed = length >= 4 && (memcmp(head, "\x1f\x8b", 2) == 0 || memcmp(head, "\x28\xb5\x2f\xfd", 4) == 0);
    int64_t lines = 0;
    for (size_t j = 0; j < length; j++) lines += head[j] == '\n';
    if (readable && compressed) largest = gmf_max64(largest, (int64_t)st.st_size * COMPRESSION);
    if (readable) total += (int64_t)st.st_size * (compressed ? COMPRESSION : 1);
    if (f == 0 && !compressed && lines > 1) shape->bytes_per_rating = (double)length / (double)lines;
  }
  shape->n_bytes = total;
  shape->n_bytes_at_once = gmf_max64(largest, total / shape->n_ranks);
}

gmf_status gmf_import_memory(const gmf_grid *grid, const gmf_config *c, const char *const *files, int n,
                             const gmf_log *log, gmf_error *err)
{
  gmf_memory_allowance allowed = gmf_memory_allowed(grid, c->memory_limit);
  gmf_import_shape shape = {
      .n_ranks = grid->size, .n_threads = omp_get_max_threads(), .program_bytes = gmf_process_resident()};
  if (grid->rank == 0) measure_text(files, n, &shape);
  int64_t program = shape.program_bytes;
  gmf_broadcast(grid, &shape, sizeof shape);
  shape.program_bytes = program;
  gmf_memory_plan plan = gmf_plan_import(&shape);
  return check(grid, &plan, &allowed,
               "use more ranks or nodes, import fewer files, or allow more by --memory-limit; the parts:", "start",
               true, log, err);
}

gmf_status gmf_evaluate_memory(const gmf_grid *grid, const gmf_config *c, const int64_t n_model[GMF_N_SIDES],
                               int64_t n_factors, const gmf_dataset *test, gmf_error *err)
{
  const gmf_log silent = {.human = NULL};
  gmf_memory_allowance allowed = gmf_memory_allowed(grid, c->memory_limit);
  gmf_evaluate_shape shape = {.n_users = n_model[GMF_USERS],
                              .n_items = n_model[GMF_ITEMS],
                              .n_test_users = test->n[GMF_USERS],
                              .n_test_items = test->n[GMF_ITEMS],
                              .n_test = test->nnz,
                              .n_ranks = grid->size,
                              .n_threads = omp_get_max_threads(),
                              .n_factors = (int)n_factors,
                              .program_bytes = gmf_process_resident()};
  gmf_memory_plan plan = gmf_plan_evaluate(&shape);
  return check(grid, &plan, &allowed, "use more ranks or nodes, or a larger --memory-limit; the parts:", "exact", true,
               &silent, err);
}

gmf_status gmf_recommend_memory(const gmf_grid *grid, const gmf_recommend_shape *shape,
                                const gmf_memory_allowance *allowed, const gmf_log *log, gmf_error *err)
{
  gmf_memory_plan plan = gmf_plan_recommend(shape);
  return check(grid, &plan, allowed,
               "use a smaller --top, fewer --threads or a larger --memory-limit; the parts:", "exact", true, log, err);
}
