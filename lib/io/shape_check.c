/* What dimensions we take, declared in tensor_list.h. The limits are far above any model's and keep
 * every product of two of them, times the size of an element, inside 64 bits. */
#include "io/tensor_list.h"

#include <math.h>

#include "base/fail.h"

typedef struct limit {
    const char *name;
    uint32_t value;
    uint32_t largest;
} limit;

sot_status soti_shape_check(const soti_shape *shape)
{
    const limit limits[] = {
        {"the number of layers", shape->n_layer, 4096},
        {"the number of attention heads", shape->n_head, 4096},
        {"the number of key/value heads", shape->n_kv, 4096},
        {"the size of a head", shape->d_head, 512},
        {"the size of the embedding", shape->d_model, 1u << 20},
        {"the size of the feed-forward layer", shape->d_ff, 1u << 22},
        {"the size of the vocabulary", shape->n_vocab, 1u << 24},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i].value == 0 || limits[i].value > limits[i].largest) {
            return soti_fail(SOT_ERR_FORMAT, "%s is %u, expected 1 to %u", limits[i].name,
                             limits[i].value, limits[i].largest);
        }
    }
    if (shape->n_head % shape->n_kv != 0) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%u attention heads cannot be shared out to %u key/value heads",
                         shape->n_head, shape->n_kv);
    }
    if (shape->d_head % 2 != 0) {
        return soti_fail(SOT_ERR_FORMAT, "the size of a head is %u, expected an even number",
                         shape->d_head);
    }
    if (!isfinite(shape->rope_theta) || shape->rope_theta <= 0.0f) {
        return soti_fail(SOT_ERR_FORMAT, "the rotary base (rope theta) is %g, expected more than 0",
                         (double)shape->rope_theta);
    }
    if (!isfinite(shape->rope_scale) || shape->rope_scale <= 0.0f) {
        return soti_fail(SOT_ERR_FORMAT, "the rotary scaling factor is %g, expected more than 0",
                         (double)shape->rope_scale);
    }
    if (!isfinite(shape->norm_eps) || shape->norm_eps < 0.0f || shape->norm_eps > 1.0f) {
        return soti_fail(SOT_ERR_FORMAT, "the epsilon of the norms is %g, expected 0 to 1",
                         (double)shape->norm_eps);
    }
    return SOT_OK;
}
