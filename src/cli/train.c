#include "app/train.h"

#include "cli/verbs.h"

gmf_status gmf_verb_train(gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_grid *grid = NULL;
  int n_rows = 0, n_cols = 0;
  char idle[400];

  GMF_TRY(gmf_need_arguments(run, 1, "one dataset", err));
  gmf_config_idle(&run->config, idle, sizeof idle);
  GMF_TRY(gmf_config_resolve_train(&run->config, err));
  if (idle[0] != '\0')
    gmf_log_line(&run->log, "warning: nothing in this run makes use of %s; see gridmf train --help", idle);
  GMF_TRY(gmf_config_grid(&run->config, run->grid->size, &n_rows, &n_cols, err));
  GMF_TRY(gmf_grid_create(run->comm, n_rows, n_cols, run->grid->trace, &grid, err));
  GMF_TRY(gmf_train(grid, run->arguments.values[0], &run->config, run->argc, run->argv, &run->log, err));
cleanup:
  gmf_grid_destroy(&grid);
  return status;
}
