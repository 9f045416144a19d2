/* Help texts and the man page: the words stand in manual.c, the options come from the table. Local. */
#ifndef GMF_CLI_MANUAL_H
#define GMF_CLI_MANUAL_H

#include <stdio.h>

#include "app/config.h"

void gmf_manual_help(FILE *out);
void gmf_manual_verb_help(gmf_verb verb, FILE *out);
/* gridmf(1) in mdoc(7), and the page of one verb, such as gridmf-train(1). */
void gmf_manual_page(FILE *out);
void gmf_manual_verb_page(gmf_verb verb, FILE *out);
/* All verbs and their options, for the shell's completion; see gmf_options_words. */
void gmf_manual_words(FILE *out);

#endif
