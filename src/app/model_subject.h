/* A model file as what is evaluated. */
#ifndef GMF_APP_MODEL_SUBJECT_H
#define GMF_APP_MODEL_SUBJECT_H

#include "app/subject.h"
#include "io/model_read.h"

typedef struct gmf_model_subject gmf_model_subject;

/* Collective. Every rank opens the file and reads from it by itself. */
gmf_status gmf_model_subject_open(const gmf_grid *grid, const char *path, gmf_model_subject **out, gmf_error *err);
void gmf_model_subject_close(gmf_model_subject **subject);

/* Collective. Whether all ranks have opened the same model, and what tells it from others; else GMF_ERR_DATA. */
gmf_status gmf_check_same_model(const gmf_grid *grid, const gmf_model_file *file, int64_t fingerprint[GMF_FINGERPRINT],
                                gmf_error *err);

/* Local. They belong to the subject. */
const gmf_subject *gmf_model_subject_view(const gmf_model_subject *subject);
const gmf_model_info *gmf_model_subject_info(const gmf_model_subject *subject);

/* Local. The options of the training, as the attributes of the file have them: those that make the algorithm, its loss
 * and its regularisation. Others have their defaults. */
const gmf_config *gmf_model_subject_training(const gmf_model_subject *subject);

/* Local. GMF_ERR_DATA when the file does not tell how to fold users in. */
gmf_status gmf_model_subject_can_fold_in(const gmf_model_subject *subject, gmf_error *err);

#endif
