/* A loaded model: checkpoint, weights, tokenizer and device under one reference count. The public
 * sot_model is this. Immutable after loading. */
#ifndef SOTI_MODEL_LOADED_H
#define SOTI_MODEL_LOADED_H

#include <stdatomic.h>

#include "io/checkpoint.h"
#include "io/tokenizer.h"
#include "model/devices.h"
#include "model/weights.h"
#include "sot/sot.h"

struct sot_model {
    atomic_uint n_references; /* the host's and one per session */
    soti_log log;
    soti_checkpoint checkpoint;
    soti_weight_set weights;
    soti_tokenizer *tokenizer; /* NULL: the files have none */
    soti_placement placement;
};

/* params are the public ones, filled up with defaults. Statuses as sot_model_load. */
sot_status soti_model_open(const char *path, const sot_model_params *params, sot_model **out);
void soti_model_retain(sot_model *model);
void soti_model_release(sot_model *model); /* NULL: nothing */

#endif
