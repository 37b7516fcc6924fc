/* See save.h. Names the weights as GGUF does; the file is io/gguf_write.c's. */
#include "model/save.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/gguf_write.h"

enum { N_PER_LAYER = 9, N_OUTSIDE_LAYERS = 3 };

/* The next entry of a list that has room. */
static soti_gguf_tensor *next_tensor(soti_gguf_model *out, soti_gguf_tensor *tensors,
                                     const char *format, ...) __attribute__((format(printf, 3, 4)));

static soti_gguf_tensor *next_tensor(soti_gguf_model *out, soti_gguf_tensor *tensors,
                                     const char *format, ...)
{
    soti_gguf_tensor *tensor = &tensors[out->n_tensors++];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(tensor->name, sizeof tensor->name, format, arguments);
    va_end(arguments);
    return tensor;
}

static void list_layer(const soti_shape *shape, const soti_layer_weights *layer, uint32_t i_layer,
                       soti_gguf_model *out, soti_gguf_tensor *tensors)
{
    uint64_t d_query = (uint64_t)shape->n_head * shape->d_head;
    uint64_t d_key = (uint64_t)shape->n_kv * shape->d_head;
    bool is_split = shape->rope_layout == SOTI_ROPE_HALF_SPLIT;
    const struct {
        const char *name;
        const float *floats;
        const uint16_t *halves;
        uint64_t n_rows, n_columns;
        uint32_t n_split_heads;
    } parts[N_PER_LAYER] = {
        {"attn_norm", layer->attention_norm, NULL, 0, shape->d_model, 0},
        {"attn_q", NULL, layer->wq, d_query, shape->d_model, is_split ? shape->n_head : 0},
        {"attn_k", NULL, layer->wk, d_key, shape->d_model, is_split ? shape->n_kv : 0},
        {"attn_v", NULL, layer->wv, d_key, shape->d_model, 0},
        {"attn_output", NULL, layer->wo, shape->d_model, d_query, 0},
        {"ffn_norm", layer->ffn_norm, NULL, 0, shape->d_model, 0},
        {"ffn_gate", NULL, layer->w_gate, shape->d_ff, shape->d_model, 0},
        {"ffn_up", NULL, layer->w_up, shape->d_ff, shape->d_model, 0},
        {"ffn_down", NULL, layer->w_down, shape->d_model, shape->d_ff, 0},
    };
    for (size_t i = 0; i < N_PER_LAYER; i++) {
        soti_gguf_tensor *tensor =
            next_tensor(out, tensors, "blk.%u.%s.weight", i_layer, parts[i].name);
        tensor->floats = parts[i].floats;
        tensor->halves = parts[i].halves;
        tensor->n_rows = parts[i].n_rows;
        tensor->n_columns = parts[i].n_columns;
        tensor->n_split_heads = parts[i].n_split_heads;
    }
}

static void list_matrix(const soti_shape *shape, const uint16_t *halves, const char *name,
                        soti_gguf_model *out, soti_gguf_tensor *tensors)
{
    soti_gguf_tensor *tensor = next_tensor(out, tensors, "%s", name);
    tensor->halves = halves;
    tensor->n_rows = shape->n_vocab;
    tensor->n_columns = shape->d_model;
}

static void list_tensors(const sot_model *model, soti_gguf_model *out, soti_gguf_tensor *tensors)
{
    const soti_shape *shape = &model->checkpoint.shape;
    const soti_weights *view = &model->weights.view;
    list_matrix(shape, view->embedding, "token_embd.weight", out, tensors);
    for (uint32_t i = 0; i < shape->n_layer; i++) {
        list_layer(shape, &view->layers[i], i, out, tensors);
    }
    soti_gguf_tensor *norm = next_tensor(out, tensors, "output_norm.weight");
    norm->floats = view->output_norm;
    norm->n_columns = shape->d_model;
    if (!model->checkpoint.tied_output) {
        list_matrix(shape, view->output, "output.weight", out, tensors);
    }
}

sot_status soti_model_save(const sot_model *model, const char *path, sot_progress_fn progress,
                           void *user)
{
    const soti_checkpoint *checkpoint = &model->checkpoint;
    size_t n_most = (size_t)checkpoint->shape.n_layer * N_PER_LAYER + N_OUTSIDE_LAYERS;
    soti_gguf_tensor *tensors = soti_alloc(n_most, sizeof *tensors);
    if (tensors == NULL) {
        return SOT_ERR_MEMORY;
    }
    soti_gguf_model content = {
        .shape = &checkpoint->shape,
        .n_ctx_train = checkpoint->n_ctx_train,
        .bos_id = checkpoint->bos_id,
        .eos_id = checkpoint->eos_id,
        .name = checkpoint->name,
        .conversation = checkpoint->conversation,
        .vocabulary = model->tokenizer != NULL ? soti_tokenizer_vocabulary(model->tokenizer) : NULL,
        .tensors = tensors,
    };
    list_tensors(model, &content, tensors);
    sot_status status = soti_gguf_write(path, &content, progress, user);
    soti_free(tensors);
    return status;
}
