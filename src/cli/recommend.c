/* `gridmf recommend MODEL -o RECS`. */
#include "app/recommend.h"

#include "cli/verbs.h"

gmf_status gmf_verb_recommend(gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  GMF_TRY(gmf_need_arguments(run, 1, "one model", err));
  GMF_TRY(gmf_recommend_users(run->grid, run->arguments.values[0], &run->config, run->argc, run->argv, &run->log, err));
cleanup:
  return status;
}
