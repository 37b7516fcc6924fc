/* See cuda_weights.h. What a model needs is laid out here, how it gets there is in cuda_upload.c.
 */
#include "cuda_weights.h"

#include "base/alloc.h"
#include "base/fail.h"
#include "cuda/cuda_upload.h"

enum { D_HEAD_MAX = 128 };

static sot_status check_shape(const soti_shape *shape)
{
    RETURN_IF_ERROR(soti_shape_check_usable(shape));
    if (shape->d_head > D_HEAD_MAX) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "heads of %u dimensions: on CUDA a head has at most %d", shape->d_head,
                         D_HEAD_MAX);
    }
    return SOT_OK;
}

static uint64_t padded(uint64_t n)
{
    return (n + SOTI_CUDA_PAD - 1) / SOTI_CUDA_PAD * SOTI_CUDA_PAD;
}

/* Kernels count rows and columns in 32 bits, signed in places. */
static sot_status make_dims(const soti_shape *shape, soti_cuda_shape *out)
{
    uint64_t n_qkv = ((uint64_t)shape->n_head + 2 * (uint64_t)shape->n_kv) * shape->d_head;
    uint64_t most = 2 * (uint64_t)shape->d_ff;
    most = most > n_qkv ? most : n_qkv;
    most = most > shape->d_model ? most : shape->d_model;
    most = most > shape->n_vocab ? most : shape->n_vocab;
    if (padded(most) > INT32_MAX) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "a matrix of %llu rows is too large for CUDA",
                         (unsigned long long)most);
    }
    *out = (soti_cuda_shape){
        .n_head = shape->n_head,
        .n_kv = shape->n_kv,
        .d_head = shape->d_head,
        .d_model = shape->d_model,
        .d_ff = shape->d_ff,
        .n_vocab = shape->n_vocab,
        .half_split_rope = shape->rope_layout == SOTI_ROPE_HALF_SPLIT,
        .norm_eps = shape->norm_eps,
        .d_page = (uint32_t)padded(shape->d_head),
        .n_qkv = (uint32_t)n_qkv,
        .x_stride = (uint32_t)padded(shape->d_model),
        .a_stride = (uint32_t)padded((uint64_t)shape->n_head * shape->d_head),
        .h_stride = (uint32_t)padded(shape->d_ff),
    };
    return SOT_OK;
}

static void lay_out(soti_device_weights *weights, int is_tied)
{
    soti_cuda_memory *memory = &weights->memory;
    const soti_cuda_shape *dims = &weights->dims;
    size_t half = sizeof(uint16_t);
    weights->embedding =
        soti_cuda_take(memory, dims->n_vocab, dims->x_stride, half, "token embedding");
    for (uint32_t i = 0; i < weights->shape.n_layer; i++) {
        soti_cuda_layer *layer = &weights->layers[i];
        layer->attention_norm =
            soti_cuda_take(memory, 1, dims->d_model, sizeof(float), "attention norm");
        layer->ffn_norm = soti_cuda_take(memory, 1, dims->d_model, sizeof(float), "FFN norm");
        layer->qkv =
            soti_cuda_take(memory, dims->n_qkv, dims->x_stride, half, "queries, keys and values");
        layer->wo = soti_cuda_take(memory, dims->d_model, dims->a_stride, half, "attention output");
        layer->gate_up =
            soti_cuda_take(memory, 2 * (size_t)dims->d_ff, dims->x_stride, half, "FFN gate and up");
        layer->down = soti_cuda_take(memory, dims->d_model, dims->h_stride, half, "FFN down");
    }
    weights->output_norm = soti_cuda_take(memory, 1, dims->d_model, sizeof(float), "output norm");
    weights->output = weights->embedding;
    if (!is_tied) {
        weights->output = soti_cuda_take(memory, dims->n_vocab, dims->x_stride, half, "output");
    }
}

static sot_status reserve(soti_device_weights *weights, const soti_weights *from)
{
    int is_tied = from->output == from->embedding;
    weights->layers = soti_alloc(weights->shape.n_layer, sizeof *weights->layers);
    if (weights->layers == NULL) {
        return SOT_ERR_MEMORY;
    }
    lay_out(weights, is_tied);
    RETURN_IF_ERROR(soti_cuda_memory_begin(&weights->memory));
    lay_out(weights, is_tied);
    return weights->memory.status;
}

/* n_out rows from row i_out of a matrix on: (n_out, n_in) in the file, (?, stride) on the device.
 */
static sot_status put_matrix(soti_cuda_upload *upload, uint16_t *to, size_t i_out,
                             const uint16_t *from, size_t n_out, size_t n_in, size_t stride)
{
    return soti_cuda_upload_rows(upload, to + i_out * stride, stride * sizeof *to, from,
                                 n_in * sizeof *from, n_out);
}

static sot_status put_norm(soti_cuda_upload *upload, float *to, const float *from, size_t n)
{
    return soti_cuda_upload_rows(upload, to, n * sizeof *to, from, n * sizeof *from, 1);
}

static sot_status put_layer(soti_cuda_upload *upload, const soti_device_weights *weights,
                            const soti_cuda_layer *to, const soti_layer_weights *from)
{
    const soti_cuda_shape *dims = &weights->dims;
    size_t d_model = dims->d_model;
    size_t n_q = (size_t)dims->n_head * dims->d_head;
    size_t n_k = (size_t)dims->n_kv * dims->d_head;
    size_t stride = dims->x_stride;
    RETURN_IF_ERROR(put_norm(upload, to->attention_norm, from->attention_norm, d_model));
    RETURN_IF_ERROR(put_matrix(upload, to->qkv, 0, from->wq, n_q, d_model, stride));
    RETURN_IF_ERROR(put_matrix(upload, to->qkv, n_q, from->wk, n_k, d_model, stride));
    RETURN_IF_ERROR(put_matrix(upload, to->qkv, n_q + n_k, from->wv, n_k, d_model, stride));
    RETURN_IF_ERROR(put_matrix(upload, to->wo, 0, from->wo, d_model, n_q, dims->a_stride));
    RETURN_IF_ERROR(put_norm(upload, to->ffn_norm, from->ffn_norm, d_model));
    RETURN_IF_ERROR(put_matrix(upload, to->gate_up, 0, from->w_gate, dims->d_ff, d_model, stride));
    RETURN_IF_ERROR(
        put_matrix(upload, to->gate_up, dims->d_ff, from->w_up, dims->d_ff, d_model, stride));
    return put_matrix(upload, to->down, 0, from->w_down, d_model, dims->d_ff, dims->h_stride);
}

static sot_status put_all(soti_cuda_upload *upload, const soti_device_weights *weights,
                          const soti_weights *from)
{
    const soti_cuda_shape *dims = &weights->dims;
    RETURN_IF_ERROR(put_matrix(upload, weights->embedding, 0, from->embedding, dims->n_vocab,
                               dims->d_model, dims->x_stride));
    for (uint32_t i = 0; i < weights->shape.n_layer; i++) {
        RETURN_IF_ERROR(put_layer(upload, weights, &weights->layers[i], &from->layers[i]));
    }
    RETURN_IF_ERROR(put_norm(upload, weights->output_norm, from->output_norm, dims->d_model));
    if (weights->output != weights->embedding) {
        RETURN_IF_ERROR(put_matrix(upload, weights->output, 0, from->output, dims->n_vocab,
                                   dims->d_model, dims->x_stride));
    }
    return soti_cuda_upload_finish(upload);
}

static sot_status fill(soti_device_weights *weights, soti_cuda_health *health,
                       const soti_weights *from, sot_progress_fn progress, void *user)
{
    const soti_cuda_shape *dims = &weights->dims;
    size_t widest = dims->x_stride > dims->a_stride ? dims->x_stride : dims->a_stride;
    widest = (widest > dims->h_stride ? widest : dims->h_stride) * sizeof(float);
    RETURN_IF_ERROR(reserve(weights, from));
    soti_cuda_upload upload;
    sot_status status = soti_cuda_upload_begin(&upload, weights->device, health, widest,
                                               weights->memory.bytes, progress, user);
    if (status == SOT_OK) {
        status = put_all(&upload, weights, from);
    }
    soti_cuda_upload_end(&upload);
    return status;
}

sot_status soti_cuda_weights_create(soti_device *device, const soti_shape *shape,
                                    const soti_weights *weights, sot_progress_fn progress,
                                    void *user, soti_device_weights **out)
{
    *out = NULL;
    RETURN_IF_ERROR(check_shape(shape));
    soti_device_weights *created = soti_alloc(1, sizeof *created);
    if (created == NULL) {
        return SOT_ERR_MEMORY;
    }
    soti_cuda_health health = {0};
    created->device = device;
    created->shape = *shape;
    created->memory =
        (soti_cuda_memory){.device = device, .health = &health, .purpose = "the weights"};
    sot_status status = make_dims(shape, &created->dims);
    if (status == SOT_OK) {
        status = fill(created, &health, weights, progress, user);
    }
    created->memory.health = NULL; /* it ends with this call */
    if (status != SOT_OK) {
        soti_cuda_weights_free(created);
        return status;
    }
    *out = created;
    return SOT_OK;
}

void soti_cuda_weights_free(soti_device_weights *weights)
{
    if (weights == NULL) {
        return;
    }
    soti_cuda_memory_free(&weights->memory);
    soti_free(weights->layers);
    soti_free(weights);
}
