/* `gridmf train --algorithm item-knn|ease`: from the ratings of a dataset to weights of items and their model. */
#ifndef GMF_APP_TRAIN_ITEMS_H
#define GMF_APP_TRAIN_ITEMS_H

#include "app/config.h"
#include "app/log.h"
#include "io/dataset.h"
#include "io/writer.h"

/* What a training run has made before the algorithm begins. All borrowed. */
typedef struct gmf_items_run {
  const gmf_grid *grid;
  const gmf_config *config;
  gmf_log *log;
  const gmf_dataset *dataset;
  gmf_writer *writer; /* opened, with the attributes of the run */
} gmf_items_run;

/* Collective. Plans, computes, prints and writes. GMF_ERR_PLAN, GMF_ERR_NUMERIC. */
gmf_status gmf_train_items(const gmf_items_run *run, gmf_error *err);

#endif
