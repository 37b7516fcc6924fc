/* See forward.h. */
#include "forward.h"

#include "base/fail.h"

sot_status soti_forward(const soti_backend *backend, soti_context *context, uint32_t n_layer,
                        const soti_rows *rows, const atomic_int *cancel)
{
    RETURN_IF_ERROR(backend->batch_begin(context, rows));
    RETURN_IF_ERROR(backend->embed(context));
    for (uint32_t i_layer = 0; i_layer < n_layer; i_layer++) {
        if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed) != 0) {
            return soti_fail(SOT_ERR_CANCELLED, "cancelled before layer %u of %u", i_layer,
                             n_layer);
        }
        RETURN_IF_ERROR(backend->qkv(context, i_layer));
        RETURN_IF_ERROR(backend->attention(context, i_layer));
        RETURN_IF_ERROR(backend->attention_output(context, i_layer));
        RETURN_IF_ERROR(backend->gate_up(context, i_layer));
        RETURN_IF_ERROR(backend->down(context, i_layer));
    }
    return rows->n_logits > 0 ? backend->logits(context) : SOT_OK;
}
