/* See tensor_names.h. */
#include "io/tensor_names.h"

#include <stdio.h>

enum { N_OUTSIDE_LAYERS = 3, N_PER_LAYER = 9 };

typedef enum dimension { NO_DIM, D_MODEL, D_FF, D_QUERY, D_KEY, N_VOCAB } dimension;

typedef struct tensor_pattern {
    const char *name;
    const char *gguf_name;
    uint32_t role;
    dimension rows;
    dimension columns;
} tensor_pattern;

static const tensor_pattern layer_patterns[N_PER_LAYER] = {
    {"input_layernorm", "attn_norm", SOTI_ROLE_NORM, D_MODEL, NO_DIM},
    {"self_attn.q_proj", "attn_q", SOTI_ROLE_INNER, D_QUERY, D_MODEL},
    {"self_attn.k_proj", "attn_k", SOTI_ROLE_INNER, D_KEY, D_MODEL},
    {"self_attn.v_proj", "attn_v", SOTI_ROLE_INNER, D_KEY, D_MODEL},
    {"self_attn.o_proj", "attn_output", SOTI_ROLE_RESIDUAL, D_MODEL, D_QUERY},
    {"post_attention_layernorm", "ffn_norm", SOTI_ROLE_NORM, D_MODEL, NO_DIM},
    {"mlp.gate_proj", "ffn_gate", SOTI_ROLE_INNER, D_FF, D_MODEL},
    {"mlp.up_proj", "ffn_up", SOTI_ROLE_INNER, D_FF, D_MODEL},
    {"mlp.down_proj", "ffn_down", SOTI_ROLE_RESIDUAL, D_MODEL, D_FF},
};

static const tensor_pattern embedding_pattern = {"model.embed_tokens.weight", "token_embd.weight",
                                                 SOTI_ROLE_EMBEDDING, N_VOCAB, D_MODEL};
static const tensor_pattern norm_pattern = {"model.norm.weight", "output_norm.weight",
                                            SOTI_ROLE_NORM, D_MODEL, NO_DIM};
static const tensor_pattern output_pattern = {"lm_head.weight", "output.weight", SOTI_ROLE_OUTPUT,
                                              N_VOCAB, D_MODEL};

static uint64_t length_of(const soti_shape *shape, dimension which)
{
    switch (which) {
    case D_MODEL:
        return shape->d_model;
    case D_FF:
        return shape->d_ff;
    case D_QUERY:
        return (uint64_t)shape->n_head * shape->d_head;
    case D_KEY:
        return (uint64_t)shape->n_kv * shape->d_head;
    case N_VOCAB:
        return shape->n_vocab;
    case NO_DIM:
        break;
    }
    return 0;
}

size_t soti_expected_tensor_count(const soti_shape *shape, uint32_t tied_output)
{
    return (size_t)shape->n_layer * N_PER_LAYER + N_OUTSIDE_LAYERS - (tied_output ? 1 : 0);
}

void soti_expected_tensor_get(const soti_shape *shape, size_t i, soti_expected_tensor *out)
{
    size_t n_in_layers = (size_t)shape->n_layer * N_PER_LAYER;
    const tensor_pattern *pattern;
    if (i == 0 || i > n_in_layers) {
        pattern = i == 0                 ? &embedding_pattern
                  : i == n_in_layers + 1 ? &norm_pattern
                                         : &output_pattern;
        snprintf(out->name, sizeof out->name, "%s", pattern->name);
        snprintf(out->gguf_name, sizeof out->gguf_name, "%s", pattern->gguf_name);
    } else {
        unsigned i_layer = (unsigned)((i - 1) / N_PER_LAYER);
        pattern = &layer_patterns[(i - 1) % N_PER_LAYER];
        snprintf(out->name, sizeof out->name, "model.layers.%u.%s.weight", i_layer, pattern->name);
        snprintf(out->gguf_name, sizeof out->gguf_name, "blk.%u.%s.weight", i_layer,
                 pattern->gguf_name);
    }
    out->role = pattern->role;
    out->n_dims = pattern->columns == NO_DIM ? 1 : 2;
    out->dims[0] = length_of(shape, pattern->rows);
    out->dims[1] = length_of(shape, pattern->columns);
}
