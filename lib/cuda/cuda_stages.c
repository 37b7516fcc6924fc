/* The stages of a forward pass as the backend's table has them: the batch's beginning, and for each
 * stage its two halves, the prompts' (cuda_prompt.c) and the generated rows' (cuda_decode.c). */
#include "cuda/cuda_context.h"

#include "base/fail.h"

sot_status soti_cuda_copy_step(soti_context *context, uint32_t n_sequences)
{
    size_t bytes = soti_cuda_step_bytes(&context->limits, &context->layout, n_sequences);
    return soti_cuda_check(&context->health,
                           cudaMemcpyAsync(context->block, context->staging, bytes,
                                           cudaMemcpyHostToDevice, context->launch.stream),
                           "cudaMemcpyAsync of a step of %zu bytes", bytes);
}

/* The device may still have to fetch what an earlier step has put there. */
static sot_status wait_for_staging(soti_context *context)
{
    if (!context->is_copying) {
        return SOT_OK;
    }
    RETURN_IF_ERROR(soti_cuda_check(&context->health, cudaEventSynchronize(context->copied),
                                    "cudaEventSynchronize before a step"));
    context->is_copying = 0;
    return SOT_OK;
}

static uint32_t prompt_logits_of(const soti_rows *rows)
{
    uint32_t n = 0;
    while (n < rows->n_logits && rows->logit_rows[n] < rows->n_prompt_rows) {
        n++;
    }
    return n;
}

sot_status soti_cuda_batch_begin(soti_context *context, const soti_rows *rows)
{
    RETURN_IF_ERROR(wait_for_staging(context));
    context->step = (soti_cuda_counts){0}; /* there is no batch if this one is refused */
    context->n_prompt_logits = 0;
    context->is_replayed = 0;
    soti_cuda_counts step;
    RETURN_IF_ERROR(
        soti_cuda_step_fill(&context->limits, &context->layout, rows, context->staging, &step));
    context->step = step;
    context->n_prompt_logits = prompt_logits_of(rows);
    context->is_replayed = soti_cuda_graph_fits(context, rows->n_sequences);
    if (context->is_replayed) {
        return SOT_OK;
    }
    RETURN_IF_ERROR(soti_cuda_copy_step(context, rows->n_sequences));
    context->is_copying = 1;
    return soti_cuda_check(&context->health,
                           cudaEventRecord(context->copied, context->launch.stream),
                           "cudaEventRecord behind a step's copy");
}

static soti_cuda_rows_plan plan_of(const soti_context *context)
{
    const soti_cuda_counts *step = &context->step;
    return (soti_cuda_rows_plan){.first_row = step->n_prompt_rows,
                                 .n_rows = step->n_rows,
                                 .n_columns =
                                     soti_cuda_columns_of(step->n_rows - step->n_prompt_rows),
                                 .n_logit_columns = soti_cuda_columns_of(step->n_logits)};
}

static int has_prompt(const soti_context *context)
{
    return !context->is_replayed && context->step.n_prompt_rows > 0;
}

static int has_generated(const soti_context *context)
{
    return !context->is_replayed && context->step.n_rows > context->step.n_prompt_rows;
}

sot_status soti_cuda_embed(soti_context *context)
{
    soti_cuda_rows_plan plan = plan_of(context);
    return context->is_replayed ? SOT_OK : soti_cuda_decode_embed(context, &plan);
}

sot_status soti_cuda_qkv(soti_context *context, uint32_t i_layer)
{
    soti_cuda_rows_plan plan = plan_of(context);
    if (has_prompt(context)) {
        RETURN_IF_ERROR(soti_cuda_prompt_qkv(context, i_layer));
    }
    return has_generated(context) ? soti_cuda_decode_qkv(context, &plan, i_layer) : SOT_OK;
}

sot_status soti_cuda_attention(soti_context *context, uint32_t i_layer)
{
    if (has_prompt(context)) {
        RETURN_IF_ERROR(soti_cuda_prompt_attention(context, i_layer));
    }
    return has_generated(context) ? soti_cuda_decode_attention(context, i_layer) : SOT_OK;
}

sot_status soti_cuda_attention_output(soti_context *context, uint32_t i_layer)
{
    soti_cuda_rows_plan plan = plan_of(context);
    if (has_prompt(context)) {
        RETURN_IF_ERROR(soti_cuda_prompt_attention_output(context, i_layer));
    }
    return has_generated(context) ? soti_cuda_decode_attention_output(context, &plan, i_layer)
                                  : SOT_OK;
}

sot_status soti_cuda_gate_up(soti_context *context, uint32_t i_layer)
{
    soti_cuda_rows_plan plan = plan_of(context);
    if (has_prompt(context)) {
        RETURN_IF_ERROR(soti_cuda_prompt_gate_up(context, i_layer));
    }
    return has_generated(context) ? soti_cuda_decode_gate_up(context, &plan, i_layer) : SOT_OK;
}

sot_status soti_cuda_down(soti_context *context, uint32_t i_layer)
{
    soti_cuda_rows_plan plan = plan_of(context);
    if (has_prompt(context)) {
        RETURN_IF_ERROR(soti_cuda_prompt_down(context, i_layer));
    }
    return has_generated(context) ? soti_cuda_decode_down(context, &plan, i_layer) : SOT_OK;
}

sot_status soti_cuda_logits(soti_context *context)
{
    if (context->is_replayed) {
        return soti_cuda_graph_launch(context);
    }
    soti_cuda_rows_plan plan = plan_of(context);
    if (context->n_prompt_logits > 0) {
        /* cuBLAS has left their sums of squares as they were; gemm_rows keeps the others'. */
        RETURN_IF_ERROR(soti_cuda_check(&context->health,
                                        soti_launch_logit_sums(&context->launch, &context->rows,
                                                               context->n_prompt_logits, context->x,
                                                               context->weights->dims.d_model,
                                                               context->square_sums),
                                        "launching logit_sums"));
    }
    return soti_cuda_decode_logits(context, &plan);
}

sot_status soti_cuda_page_copy(soti_context *context, uint32_t to_page, uint32_t from_page,
                               uint32_t n_tokens)
{
    if (to_page >= context->limits.n_pages || from_page >= context->limits.n_pages ||
        n_tokens > SOTI_PAGE_TOKENS) {
        return soti_fail(SOT_ERR_DEVICE, "%u positions of page %u to page %u, of %u pages",
                         n_tokens, from_page, to_page, context->limits.n_pages);
    }
    return soti_cuda_check(&context->health,
                           soti_launch_page_copy(&context->launch, &context->weights->dims,
                                                 context->pages, context->weights->shape.n_layer,
                                                 context->layer_halves, to_page, from_page,
                                                 n_tokens),
                           "launching page_copy");
}
