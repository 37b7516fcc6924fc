/* The forward pass: the equations of a LLaMA over one ragged batch, prefill and decode alike. */
#ifndef SOTI_MODEL_FORWARD_H
#define SOTI_MODEL_FORWARD_H

#include <stdatomic.h>

#include "backend/backend.h"

/* Runs all layers and the logits of rows->logit_rows. Returns CANCELLED (looked at before each
 * layer; cancel may be NULL), DEVICE. */
sot_status soti_forward(const soti_backend *backend, soti_context *context, uint32_t n_layer,
                        const soti_rows *rows, const atomic_int *cancel);

#endif
