/* From a checkpoint's named tensors to the pointers a backend wants: FP16 in place, BF16 and F32
 * matrices converted once to FP16, norms to F32. */
#ifndef SOTI_MODEL_WEIGHTS_H
#define SOTI_MODEL_WEIGHTS_H

#include <stdbool.h>

#include "backend/backend.h"
#include "io/checkpoint.h"

typedef struct soti_weight_set {
    soti_weights view;          /* what the backend gets */
    soti_layer_weights *layers; /* (n_layer), view.layers */
    float *norms;               /* (2 * n_layer + 1, d_model) */
    uint16_t *converted;        /* converted matrices, mapped memory, or NULL */
    size_t converted_bytes;
    uint64_t weight_bytes; /* a decode step reads them: all matrices but an untied embedding */
    uint64_t n_parameters;
    bool is_in_place; /* a matrix is used where it lies in the checkpoint's files or memory */
} soti_weight_set;

/* Refuses values that FP16 cannot hold, by name of tensor and index. flags are sot_model_params':
 * SOT_MODEL_LOCK brings every matrix in and locks it, one by one. *out is zeroed on failure.
 * Returns RANGE, MEMORY, CANCELLED (progress returned non-zero), FORMAT. */
sot_status soti_weight_set_build(const soti_checkpoint *checkpoint, uint32_t flags,
                                 sot_progress_fn progress, void *user, soti_weight_set *out);
void soti_weight_set_free(soti_weight_set *set);

#endif
