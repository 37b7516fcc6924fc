/* The stages for the prompts' rows, which are the first of a batch: products by cuBLASLt in chunks
 * of SOTI_CUDA_CHUNK_ROWS, with the small steps between them (prefill_steps.cu) and attention over
 * tiles of rows.
 *
 * The last chunk is as long as the others. Its rows behind the prompts' hold numbers of no meaning,
 * and the generated rows lie there: so where a product adds to the residual stream, the last chunk
 * is computed beside it, and only the prompts' rows are copied back. */
#include "cuda/cuda_context.h"

#include "base/fail.h"

/* Rows of the chunk that begins at first_row. */
static uint32_t rows_from(const soti_context *context, uint32_t first_row)
{
    uint32_t n = context->step.n_prompt_rows - first_row;
    return n < SOTI_CUDA_CHUNK_ROWS ? n : SOTI_CUDA_CHUNK_ROWS;
}

/* normed = norm(x) for a chunk; wide = normed W'. */
static sot_status normed_product(soti_context *context, uint32_t first_row, const float *norm,
                                 soti_cuda_product_kind kind, const uint16_t *weights,
                                 uint32_t i_layer)
{
    const soti_cuda_shape *dims = &context->weights->dims;
    RETURN_IF_ERROR(soti_cuda_check(
        &context->health,
        soti_launch_norm(&context->launch, first_row, rows_from(context, first_row), context->x,
                         norm, dims->norm_eps, dims->d_model, context->normed, dims->x_stride),
        "launching norm of layer %u", i_layer));
    return soti_cuda_multiply(&context->products, kind, weights, context->normed, context->wide,
                              context->wide, context->launch.stream);
}

sot_status soti_cuda_prompt_qkv(soti_context *context, uint32_t i_layer)
{
    const soti_cuda_layer *layer = &context->weights->layers[i_layer];
    uint32_t n_rows = context->step.n_prompt_rows;
    for (uint32_t row = 0; row < n_rows; row += SOTI_CUDA_CHUNK_ROWS) {
        RETURN_IF_ERROR(normed_product(context, row, layer->attention_norm, SOTI_CUDA_PRODUCT_QKV,
                                       layer->qkv, i_layer));
        RETURN_IF_ERROR(soti_cuda_check(
            &context->health,
            soti_launch_rotary_pages(&context->launch, &context->weights->dims, &context->rows, row,
                                     rows_from(context, row), context->wide, context->rope,
                                     context->q, soti_cuda_layer_pages(context, i_layer)),
            "launching rotary_pages of layer %u", i_layer));
    }
    return SOT_OK;
}

sot_status soti_cuda_prompt_attention(soti_context *context, uint32_t i_layer)
{
    return soti_cuda_check(
        &context->health,
        soti_launch_attention_prefill(&context->launch, &context->weights->dims, &context->rows,
                                      context->step.n_tiles, context->q,
                                      soti_cuda_layer_pages(context, i_layer), context->a),
        "launching attention_prefill of layer %u", i_layer);
}

/* x += input W' for the prompts' rows; input: (n_rows, stride). */
static sot_status add_product(soti_context *context, soti_cuda_product_kind kind,
                              const uint16_t *weights, const uint16_t *input, uint32_t stride,
                              uint32_t i_layer)
{
    size_t d_model = context->weights->dims.d_model;
    uint32_t n_rows = context->step.n_prompt_rows;
    for (uint32_t row = 0; row < n_rows; row += SOTI_CUDA_CHUNK_ROWS) {
        uint32_t n = rows_from(context, row);
        float *x = context->x + row * d_model;
        float *to = n == SOTI_CUDA_CHUNK_ROWS ? x : context->wide;
        RETURN_IF_ERROR(soti_cuda_multiply(&context->products, kind, weights,
                                           input + (size_t)row * stride, x, to,
                                           context->launch.stream));
        if (to != x) {
            RETURN_IF_ERROR(
                soti_cuda_check(&context->health,
                                cudaMemcpyAsync(x, to, n * d_model * sizeof *x,
                                                cudaMemcpyDeviceToDevice, context->launch.stream),
                                "cudaMemcpyAsync of %u rows of layer %u's sums", n, i_layer));
        }
    }
    return SOT_OK;
}

sot_status soti_cuda_prompt_attention_output(soti_context *context, uint32_t i_layer)
{
    return add_product(context, SOTI_CUDA_PRODUCT_WO, context->weights->layers[i_layer].wo,
                       context->a, context->weights->dims.a_stride, i_layer);
}

sot_status soti_cuda_prompt_gate_up(soti_context *context, uint32_t i_layer)
{
    const soti_cuda_shape *dims = &context->weights->dims;
    const soti_cuda_layer *layer = &context->weights->layers[i_layer];
    uint32_t n_rows = context->step.n_prompt_rows;
    for (uint32_t row = 0; row < n_rows; row += SOTI_CUDA_CHUNK_ROWS) {
        RETURN_IF_ERROR(normed_product(context, row, layer->ffn_norm, SOTI_CUDA_PRODUCT_GATE_UP,
                                       layer->gate_up, i_layer));
        RETURN_IF_ERROR(soti_cuda_check(
            &context->health,
            soti_launch_swiglu(&context->launch, rows_from(context, row), context->wide, dims->d_ff,
                               context->h + (size_t)row * dims->h_stride, dims->h_stride),
            "launching swiglu of layer %u", i_layer));
    }
    return SOT_OK;
}

sot_status soti_cuda_prompt_down(soti_context *context, uint32_t i_layer)
{
    return add_product(context, SOTI_CUDA_PRODUCT_DOWN, context->weights->layers[i_layer].down,
                       context->h, context->weights->dims.h_stride, i_layer);
}
