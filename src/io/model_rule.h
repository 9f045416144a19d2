/* How a model was trained, as far as folding users in depends on it; from the file's attributes. Local. */
#ifndef GMF_IO_MODEL_RULE_H
#define GMF_IO_MODEL_RULE_H

#include "io/model_read.h"
#include "kernel/user_solver.h"

typedef struct gmf_model_rule {
  gmf_fold_in_rule row; /* of all but svd models the whole of it */
  bool is_projection;   /* svd */
  gmf_projection_rule projection;
} gmf_model_rule;

/* GMF_ERR_DATA where the file does not tell, or tells of what this version does not know. */
gmf_status gmf_model_file_rule(const gmf_model_file *file, gmf_model_rule *out, gmf_error *err);

/* The projection with items [begin, end) added; gmf_projection_destroy. */
gmf_status gmf_model_file_projection(gmf_model_file *file, const gmf_projection_rule *rule, int64_t begin, int64_t end,
                                     gmf_projection **out, gmf_error *err);

#endif
