/* Which of the files of a split each rating goes to. */
#ifndef GMF_APP_SPLIT_CHOOSE_H
#define GMF_APP_SPLIT_CHOOSE_H

#include "app/config.h"
#include "io/dataset.h"

typedef enum gmf_part { GMF_PART_TRAIN, GMF_PART_TEST, GMF_N_PARTS } gmf_part;

typedef struct gmf_choice {
  unsigned char *part; /* owned [my ratings]: a gmf_part */
} gmf_choice;

void gmf_choice_free(gmf_choice *choice);

/* Collective. Decides by the method of the configuration; see app/split.h. rows: my ratings. */
gmf_status gmf_split_choose(const gmf_grid *grid, const gmf_config *config, const gmf_rating_rows *rows,
                            gmf_choice *choice, gmf_error *err);

#endif
