#include "app/attach.h"

#include "cli/verbs.h"

gmf_status gmf_verb_attach(gmf_run *run, gmf_error *err)
{
  gmf_status status = gmf_need_arguments(run, 1, "one dataset", err);
  return status != GMF_OK ? status : gmf_attach_run(run->grid, run->arguments.values[0], &run->config, &run->log, err);
}
