/* The dimensions of a LLaMA model, as the file states them and as a backend needs them. */
#ifndef SOTI_BASE_SHAPE_H
#define SOTI_BASE_SHAPE_H

#include <stdint.h>

#include "sot/status.h"

enum {
    SOTI_ROPE_INTERLEAVED = 0, /* pairs (2i, 2i+1): GGUF */
    SOTI_ROPE_HALF_SPLIT = 1   /* pairs (i, i + d_head/2): Hugging Face */
};

typedef struct soti_shape {
    uint32_t n_layer;
    uint32_t n_head;
    uint32_t n_kv;    /* key/value heads; n_head is a multiple of it */
    uint32_t d_head;  /* even */
    uint32_t d_model; /* of the residual stream; need not be n_head * d_head */
    uint32_t d_ff;
    uint32_t n_vocab; /* any number */
    uint32_t rope_layout;
    float rope_theta;
    float rope_scale; /* linear scaling: positions are divided by it; 1: none */
    float norm_eps;
} soti_shape;

/* Whether a backend can be asked to take it at all. Returns UNSUPPORTED: a dimension is 0, heads
 * cannot share the key/value heads evenly, or d_head is odd. */
sot_status soti_shape_check_usable(const soti_shape *shape);

#endif
