/* The parts of a sweep: its folder and points (sweep_points.c), and their training in groups of ranks (sweep.c). */
#ifndef GMF_APP_SWEEP_INTERNAL_H
#define GMF_APP_SWEEP_INTERNAL_H

#include "app/log.h"
#include "app/stopping.h"
#include "app/sweep_grid.h"
#include "app/sweep_results.h"
#include "io/dataset.h"
#include "io/lock.h"
#include "runtime/groups.h"

enum { SWEEP_PATH_BYTES = GMF_PATH_BYTES + 64 };

typedef struct gmf_sweep_point {
  char id[GMF_SWEEP_ID_BYTES];
  int entry;   /* of the grid */
  double work; /* to train it, in some unit */
  bool is_done;
} gmf_sweep_point;

/* The best that a group knows. */
typedef struct gmf_sweep_best {
  double value; /* NaN: none */
  int point;    /* -1: none */
  bool is_mine; /* trained by this group in this run */
} gmf_sweep_best;

typedef struct gmf_sweep_state {
  const gmf_grid *world;    /* borrowed, like the next four */
  const gmf_config *config; /* */
  gmf_log *log;             /* */
  int argc;
  char *const *argv;
  gmf_sweep_grid grid; /* owned, like the rest */
  gmf_metrics *metrics;
  gmf_sweep_point *points; /* [n]: without doubles, in the order of the grid */
  int n;
  int *open; /* [n_open]: points to train, most work first */
  int n_open;
  const gmf_option *varied[GMF_SWEEP_MAX_VARIED];
  gmf_groups *groups;
  gmf_grid *group; /* the ranks of my group */
  gmf_dataset *dataset;
  int training;              /* the point that is */
  gmf_config *point_config;  /* its options */
  gmf_lock *lock;            /* rank 0 */
  gmf_sweep_results results; /* rank 0 */
  int n_done;                /* rank 0: in this run */
  double began, work_done;   /* rank 0: the first point, monotonic seconds; of the points that are done in this run */
  gmf_sweep_best best;
  gmf_stopping stopping;
  char stop_file[SWEEP_PATH_BYTES];
} gmf_sweep_state;

/* Local. A file of the folder, one of a point (DIR/points/ID.suffix), and its checkpoint. out: [SWEEP_PATH_BYTES] */
void gmf_sweep_path(const gmf_sweep_state *s, const char *name, char *out);
void gmf_sweep_point_path(const gmf_sweep_state *s, const gmf_sweep_point *p, const char *suffix, char *out);
void gmf_sweep_checkpoint_path(const gmf_sweep_state *s, const gmf_sweep_point *p, char *out);

/* Rank 0. Makes the folders, and takes the lock by which no other sweep writes there. */
gmf_status gmf_sweep_open_folder(gmf_sweep_state *s, gmf_error *err);

/* Local. The names of all metrics as --metrics takes them. */
void gmf_sweep_metrics_text(const gmf_metrics *metrics, char *out, size_t size);

/* Local. The points of the grid, each once, however often its options lead to it, and s->metrics. fingerprints: of the
 * ratings, of --test and of --fold-in. */
gmf_status gmf_sweep_list_points(gmf_sweep_state *s, const gmf_dataset *d, const char *const fingerprints[3],
                                 gmf_error *err);

/* Rank 0. Whether the model of a point is there: under its own name, or as best.h5. */
bool gmf_sweep_has_model(const gmf_sweep_state *s, const gmf_sweep_point *p);

/* Collective. Agrees on s->open, what earlier runs left to do, in the order in which groups take it. */
gmf_status gmf_sweep_plan_rest(gmf_sweep_state *s, gmf_error *err);

#endif
