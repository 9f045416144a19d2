/*
 * Which rows are heavy, and on which grid their ratings lie, where --heavy-users and --heavy-items leave it to the
 * program: the layout whose half-sweep takes least time on a usual machine, by the exact counts of the data.
 */
#ifndef GMF_APP_LAYOUT_CHOICE_H
#define GMF_APP_LAYOUT_CHOICE_H

#include "app/cost_model.h"
#include "app/log.h"
#include "dist/fetch_table.h"

/* A layout, and what it costs a rank beside what rows on one column cost. */
typedef struct gmf_layout_choice {
  gmf_layout layout;
  bool considered;           /* it was left to the program, and there was a choice */
  double received, of_light; /* bytes that a rank receives in the half-sweep, with this layout and without heavy rows */
  double balance, light_balance; /* likewise the work of the rank that has most over the mean, rows being whole */
  double n_heavy, heavy_share;   /* rows, and their share of the ratings */
  int64_t sampled;               /* one in so many fixed rows was counted */
} gmf_layout_choice;

/* Local. A side's layout where ranks have copies of its heavy rows, and one without heavy rows where they do not. */
gmf_layout gmf_layout_copied(const gmf_row_options *row, const gmf_layout *layout);

/* Local. The best of a table's candidates. table: of gmf_fetch_table_count, or expected. row: how rows are solved. */
void gmf_layout_best(const gmf_fetch_table *table, const gmf_row_options *row, gmf_wire wire, gmf_layout_choice *out);

/*
 * Collective. The layouts of both sides for n_ranks ranks on a grid of n_cols columns: those that are given, and the
 * best of those that are not. counts: of gmf_place_count. Where items have no table, heavy ones are not looked for.
 */
gmf_status gmf_choose_layouts(const gmf_grid *grid, const gmf_config *config, const gmf_rating_source *source,
                              int n_ranks, int n_cols, int64_t *const counts[GMF_N_SIDES],
                              gmf_layout_choice out[GMF_N_SIDES], gmf_error *err);

/* Local. Whether a side's layout is for the program to choose. */
bool gmf_layout_is_free(const gmf_config *config, gmf_side side, int n_ranks, int n_cols);

/* Local. Whether a side's layout is for the program to choose, and, where it is not, what it is. */
gmf_status gmf_layout_given(const gmf_config *config, gmf_side side, int n_ranks, int n_cols, gmf_layout *layout,
                            bool *is_free, gmf_error *err);

/* Local. What was chosen for a side that was considered, and why. */
void gmf_layout_reason(const gmf_layout_choice *choice, gmf_side side, char *out, size_t size);

/* Local. Says it, a line for each side that was considered. */
void gmf_layout_log(const gmf_log *log, const gmf_layout_choice choices[GMF_N_SIDES]);

#endif
