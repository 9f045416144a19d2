#include "app/synth.h"

#include "cli/verbs.h"

gmf_status gmf_verb_synth(gmf_run *run, gmf_error *err)
{
  gmf_status status = gmf_need_arguments(run, 0, "no file but -o DATA.h5", err);
  return status != GMF_OK ? status : gmf_synth(run->grid, &run->config, &run->log, err);
}
