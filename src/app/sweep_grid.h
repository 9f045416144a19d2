/*
 * The points of a sweep, as an INI file names them.
 *
 *   [sweep]              options of all points; a model option with several values, separated by commas, stands for
 *   factors = 32, 64     each of them, and several such options for all combinations
 *   lambda = 0.01, 0.1
 *   [sweep wide]         where there are sections with names, each is a list of points of its own: what it says goes
 *   factors = 256        before [sweep], and may have several values too
 *
 * What [train] says holds for all points, and the command line goes before everything.
 */
#ifndef GMF_APP_SWEEP_GRID_H
#define GMF_APP_SWEEP_GRID_H

#include "app/config.h"

enum { GMF_SWEEP_NAME_BYTES = 64, GMF_SWEEP_MAX_POINTS = 10000 };

/* One point as it is written: the options of [sweep] and its own section. */
typedef struct gmf_sweep_entry {
  const char *name;     /* of its section, "" in [sweep] */
  const char *settings; /* "factors=32\nlambda=0.1\n" */
} gmf_sweep_entry;

typedef struct gmf_sweep_grid {
  char *text;               /* owned: what the entries point into */
  gmf_sweep_entry *entries; /* owned [n] */
  int n;
} gmf_sweep_grid;

/* Collective. Rank 0 reads the file. GMF_ERR_CONFIG with file and line, GMF_ERR_NO_INPUT. */
gmf_status gmf_sweep_grid_load(const gmf_grid *grid, const char *path, gmf_sweep_grid *out, gmf_error *err);
void gmf_sweep_grid_free(gmf_sweep_grid *grid);

/*
 * Local. The resolved configuration of point i; base: of the whole run. Output, logs, checkpoints and time are left out
 * of it, and what an algorithm without validation cannot have. GMF_ERR_USAGE names the point.
 */
gmf_status gmf_sweep_grid_config(const gmf_sweep_grid *grid, int i, const gmf_config *base, int argc, char *const *argv,
                                 gmf_config *out, gmf_error *err);

#endif
