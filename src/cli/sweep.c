#include "app/sweep.h"

#include "cli/verbs.h"

static void print(const gmf_sweep_results *results) { gmf_sweep_print(results, stdout); }

gmf_status gmf_verb_sweep(gmf_run *run, gmf_error *err)
{
  gmf_status status = gmf_need_arguments(run, 1, "one dataset", err);
  if (status != GMF_OK) return status;
  return gmf_sweep(run->grid, run->arguments.values[0], &run->config, run->argc, run->argv, &run->log, print, err);
}
