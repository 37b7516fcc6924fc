/* A loaded model back into a file. */
#ifndef SOTI_MODEL_SAVE_H
#define SOTI_MODEL_SAVE_H

#include "model/loaded.h"

/* Writes the weights as they are computed with, FP16, and all else that loading needs. Statuses and
 * promises as sot_model_save. */
sot_status soti_model_save(const sot_model *model, const char *path, sot_progress_fn progress,
                           void *user);

#endif
