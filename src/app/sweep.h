/*
 * `gridmf sweep`: trains the points of a grid of options on groups of the ranks, and keeps the best model.
 *
 *   DIR/best.h5          the model of the best point, DIR/best.json which that is
 *   DIR/results.jsonl, DIR/results.csv    all points, the best first
 *   DIR/points/ID.json   what one point came to: there when it is done, and then not trained again
 *   DIR/points/ID.jsonl  its log          DIR/points/ID.ckpt  its checkpoints while it is not done
 *
 * ID is a hash of what makes the numbers: the point's options, the validation and the two datasets. So a sweep goes on
 * where it was stopped or killed, and points may be added to its grid or taken away.
 */
#ifndef GMF_APP_SWEEP_H
#define GMF_APP_SWEEP_H

#include "app/log.h"
#include "app/sweep_results.h"

/*
 * Collective. world: all ranks in one column. print: called on rank 0 with the ranked results, also when the sweep was
 * stopped (GMF_STOPPED). A point that fails by its numbers, or does not fit, is recorded and the others go on; when
 * none is left that did not fail, its status is the sweep's.
 */
gmf_status gmf_sweep(const gmf_grid *world, const char *dataset, const gmf_config *config, int argc, char *const *argv,
                     gmf_log *log, void (*print)(const gmf_sweep_results *results), gmf_error *err);

#endif
