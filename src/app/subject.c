#include "app/subject.h"

gmf_fold_in_rule gmf_subject_rule(const gmf_config *training, int64_t n_items)
{
  return (gmf_fold_in_rule){.is_constant = training->algorithm == GMF_ALGORITHM_POPULARITY,
                            .row = gmf_config_row(training),
                            .regularisation = gmf_config_regularisation(training),
                            .n_items = n_items};
}
