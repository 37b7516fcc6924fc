/* The stages for generated rows: gemm_rows over up to SOTI_CUDA_GROUP_ROWS rows a launch, and
 * attention over the step's items. What rows there are the kernels read from the device; a plan
 * says for how many launches are made, so that the same launches can be recorded in a graph. */
#include "cuda/cuda_context.h"

#include "base/fail.h"

enum {
    GROUP_COLUMNS = SOTI_CUDA_GROUP_ROWS / SOTI_CUDA_COLUMN_ROWS,
    /* What each multiprocessor asks for of a product's weights before it waits for any. */
    AHEAD_BYTES = 96 * 1024
};

static soti_gemm_rows product_of(const soti_context *context, const uint16_t *weights,
                                 uint32_t n_out, uint32_t n_in, uint32_t stride, soti_gemm_cut cut)
{
    return (soti_gemm_rows){.weights = weights,
                            .n_out = n_out,
                            .n_in = n_in,
                            .stride = stride,
                            .cut = cut,
                            .partials = context->partials,
                            .counters = context->counters};
}

/* The rows of a matrix that the first loads of a product are for, where it has n_matrices of them
 * side by side. The kernel in front brings them to L2. */
static soti_gemm_ahead beginning_of(const soti_context *context, const uint16_t *weights,
                                    uint32_t n_rows, uint32_t stride, uint32_t n_matrices)
{
    size_t n_bytes = sizeof *weights * n_rows * stride;
    size_t n_first = (size_t)context->launch.n_sm * AHEAD_BYTES / n_matrices;
    return (soti_gemm_ahead){weights, n_bytes < n_first ? n_bytes : n_first};
}

/* Points product at group i_group of n_columns column tiles behind first_row. False: no such. */
static int take_group(soti_gemm_rows *product, uint32_t i_group, uint32_t first_row,
                      uint32_t n_columns)
{
    uint32_t n_before = i_group * GROUP_COLUMNS;
    if (n_before >= n_columns) {
        return 0;
    }
    product->first_row = first_row + i_group * SOTI_CUDA_GROUP_ROWS;
    product->n_columns = n_columns - n_before < GROUP_COLUMNS ? 1 : GROUP_COLUMNS;
    return 1;
}

static soti_cuda_norm norm_of(const soti_context *context, const float *weight)
{
    return (soti_cuda_norm){.x = context->x,
                            .weight = weight,
                            .square_sums = context->square_sums,
                            .eps = context->weights->dims.norm_eps};
}

/* It stands behind a copy, which is no kernel to overlap with. */
sot_status soti_cuda_decode_embed(soti_context *context, const soti_cuda_rows_plan *plan)
{
    const soti_device_weights *weights = context->weights;
    soti_cuda_launch launch = context->launch;
    launch.overlap = 0;
    return soti_cuda_check(&context->health,
                           soti_launch_embed(&launch, &context->rows, plan->n_rows,
                                             weights->embedding, weights->dims.x_stride,
                                             weights->dims.d_model, context->x,
                                             context->square_sums),
                           "launching embed");
}

sot_status soti_cuda_decode_qkv(soti_context *context, const soti_cuda_rows_plan *plan,
                                uint32_t i_layer)
{
    const soti_cuda_shape *dims = &context->weights->dims;
    const soti_cuda_layer *layer = &context->weights->layers[i_layer];
    soti_cuda_norm input = norm_of(context, layer->attention_norm);
    soti_gemm_rows product = product_of(context, layer->qkv, dims->n_qkv, dims->d_model,
                                        dims->x_stride, context->cuts.qkv);
    product.ahead[0] = beginning_of(context, layer->wo, dims->d_model, dims->a_stride, 1);
    for (uint32_t g = 0; take_group(&product, g, plan->first_row, plan->n_columns); g++) {
        RETURN_IF_ERROR(soti_cuda_check(
            &context->health,
            soti_launch_gemm_rows_qkv(&context->launch, &product, dims, &context->rows, &input,
                                      context->rope, context->q,
                                      soti_cuda_layer_pages(context, i_layer)),
            "launching gemm_rows_qkv of layer %u", i_layer));
    }
    return SOT_OK;
}

sot_status soti_cuda_decode_attention(soti_context *context, uint32_t i_layer)
{
    return soti_cuda_check(&context->health,
                           soti_launch_attention_decode(&context->launch, &context->weights->dims,
                                                        &context->rows, context->q,
                                                        soti_cuda_layer_pages(context, i_layer),
                                                        &context->attention, context->a),
                           "launching attention_decode of layer %u", i_layer);
}

static sot_status residual(soti_context *context, const soti_cuda_rows_plan *plan,
                           soti_gemm_rows product, const uint16_t *input, const char *name,
                           uint32_t i_layer)
{
    for (uint32_t g = 0; take_group(&product, g, plan->first_row, plan->n_columns); g++) {
        RETURN_IF_ERROR(soti_cuda_check(
            &context->health,
            soti_launch_gemm_rows_residual(&context->launch, &product, &context->rows, input,
                                           context->x, context->square_sums),
            "launching gemm_rows_residual of layer %u's %s", i_layer, name));
    }
    return SOT_OK;
}

sot_status soti_cuda_decode_attention_output(soti_context *context, const soti_cuda_rows_plan *plan,
                                             uint32_t i_layer)
{
    const soti_cuda_shape *dims = &context->weights->dims;
    const soti_cuda_layer *layer = &context->weights->layers[i_layer];
    soti_gemm_rows product =
        product_of(context, layer->wo, dims->d_model, dims->n_head * dims->d_head, dims->a_stride,
                   context->cuts.wo);
    for (uint32_t i = 0; i < 2; i++) {
        product.ahead[i] =
            beginning_of(context, layer->gate_up + (size_t)i * dims->d_ff * dims->x_stride,
                         dims->d_ff, dims->x_stride, 2);
    }
    return residual(context, plan, product, context->a, "attention", i_layer);
}

sot_status soti_cuda_decode_gate_up(soti_context *context, const soti_cuda_rows_plan *plan,
                                    uint32_t i_layer)
{
    const soti_cuda_shape *dims = &context->weights->dims;
    const soti_cuda_layer *layer = &context->weights->layers[i_layer];
    soti_cuda_norm input = norm_of(context, layer->ffn_norm);
    soti_gemm_rows product = product_of(context, layer->gate_up, 2 * dims->d_ff, dims->d_model,
                                        dims->x_stride, context->cuts.gate_up);
    product.ahead[0] = beginning_of(context, layer->down, dims->d_model, dims->h_stride, 1);
    for (uint32_t g = 0; take_group(&product, g, plan->first_row, plan->n_columns); g++) {
        RETURN_IF_ERROR(soti_cuda_check(&context->health,
                                        soti_launch_gemm_rows_gate_up(&context->launch, &product,
                                                                      &context->rows, &input,
                                                                      context->h, dims->h_stride),
                                        "launching gemm_rows_gate_up of layer %u", i_layer));
    }
    return SOT_OK;
}

sot_status soti_cuda_decode_down(soti_context *context, const soti_cuda_rows_plan *plan,
                                 uint32_t i_layer)
{
    const soti_cuda_shape *dims = &context->weights->dims;
    soti_gemm_rows product =
        product_of(context, context->weights->layers[i_layer].down, dims->d_model, dims->d_ff,
                   dims->h_stride, context->cuts.down);
    product.ahead[0] =
        i_layer + 1 < context->weights->shape.n_layer
            ? beginning_of(context, context->weights->layers[i_layer + 1].qkv, dims->n_qkv,
                           dims->x_stride, 1)
            : beginning_of(context, context->weights->output, dims->n_vocab, dims->x_stride, 1);
    return residual(context, plan, product, context->h, "FFN", i_layer);
}

sot_status soti_cuda_decode_logits(soti_context *context, const soti_cuda_rows_plan *plan)
{
    const soti_cuda_shape *dims = &context->weights->dims;
    soti_cuda_norm input = norm_of(context, context->weights->output_norm);
    soti_gemm_rows product = product_of(context, context->weights->output, dims->n_vocab,
                                        dims->d_model, dims->x_stride, context->cuts.output);
    for (uint32_t g = 0; take_group(&product, g, 0, plan->n_logit_columns); g++) {
        RETURN_IF_ERROR(
            soti_cuda_check(&context->health,
                            soti_launch_gemm_rows_logits(&context->launch, &product, &context->rows,
                                                         &input, context->logits),
                            "launching gemm_rows_logits"));
    }
    return SOT_OK;
}

sot_status soti_cuda_decode_step(soti_context *context, const soti_cuda_rows_plan *plan)
{
    RETURN_IF_ERROR(soti_cuda_decode_embed(context, plan));
    for (uint32_t i = 0; i < context->weights->shape.n_layer; i++) {
        RETURN_IF_ERROR(soti_cuda_decode_qkv(context, plan, i));
        RETURN_IF_ERROR(soti_cuda_decode_attention(context, i));
        RETURN_IF_ERROR(soti_cuda_decode_attention_output(context, plan, i));
        RETURN_IF_ERROR(soti_cuda_decode_gate_up(context, plan, i));
        RETURN_IF_ERROR(soti_cuda_decode_down(context, plan, i));
    }
    return soti_cuda_decode_logits(context, plan);
}
