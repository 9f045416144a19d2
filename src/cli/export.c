/* `gridmf export FILE --to FORMAT -o OUT`. */
#include "app/export.h"

#include "cli/verbs.h"

gmf_status gmf_verb_export(gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_need_arguments(run, 1, "one file", err));
  GMF_TRY(gmf_export(run->grid, run->arguments.values[0], &run->config, &run->log, err));
cleanup:
  return status;
}
