/* The verbs of gridmf: one short file each. */
#ifndef GMF_CLI_VERBS_H
#define GMF_CLI_VERBS_H

#include "app/config.h"
#include "app/log.h"
#include "runtime/watchdog.h"

/* What main hands to a verb. */
typedef struct gmf_run {
  MPI_Comm comm;
  gmf_grid *grid; /* all ranks in one column */
  gmf_config config;
  gmf_text_list arguments;
  int argc;
  char **argv;
  gmf_log log;
  gmf_watchdog *watchdog;
} gmf_run;

/* Collective, all of them. Results go to standard output of rank 0. */
gmf_status gmf_verb_import(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_attach(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_split(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_train(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_evaluate(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_recommend(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_export(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_synth(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_info(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_verify(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_sweep(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_plan(gmf_run *run, gmf_error *err);
gmf_status gmf_verb_bench(gmf_run *run, gmf_error *err);

/* Local. Fails unless exactly n arguments were given; `what` names them. */
gmf_status gmf_need_arguments(const gmf_run *run, int n, const char *what, gmf_error *err);

#endif
