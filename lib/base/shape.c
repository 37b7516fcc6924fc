/* See shape.h. */
#include "shape.h"

#include "fail.h"

sot_status soti_shape_check_usable(const soti_shape *shape)
{
    if (shape->n_layer == 0 || shape->n_head == 0 || shape->d_model == 0 || shape->d_ff == 0 ||
        shape->n_vocab == 0) {
        return soti_fail(
            SOT_ERR_UNSUPPORTED,
            "a model of %u layers, %u heads, d_model %u, d_ff %u and %u tokens is empty",
            shape->n_layer, shape->n_head, shape->d_model, shape->d_ff, shape->n_vocab);
    }
    if (shape->n_kv == 0 || shape->n_head % shape->n_kv != 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%u heads cannot share %u key/value heads evenly",
                         shape->n_head, shape->n_kv);
    }
    if (shape->d_head == 0 || shape->d_head % 2 != 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "heads of %u dimensions cannot be turned in pairs",
                         shape->d_head);
    }
    return SOT_OK;
}
