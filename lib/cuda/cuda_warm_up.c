/* CUDA loads a kernel, and cuBLAS one of its own, when it is first launched, and that takes memory
 * and time. So each is launched once while a context is created, where running out of memory is
 * expected (BE-2) and before a capture, which is no time to load anything: one row of a prompt
 * through the first layer, then steps of no rows through the decode kernels. */
#include "cuda/cuda_context.h"

#include "base/fail.h"

enum { WIDEST = SOTI_CUDA_GROUP_ROWS / SOTI_CUDA_COLUMN_ROWS };

/* Its position stays in page 0, which is written anew before anybody reads it. */
static sot_status run_prompt(soti_context *context)
{
    static const int32_t token = 0;
    static const uint32_t zero = 0;
    static const soti_row_group group = {.n_rows = 1};
    const soti_rows rows = {.n_rows = 1,
                            .n_prompt_rows = 1,
                            .tokens = &token,
                            .positions = &zero,
                            .sequences = &zero,
                            .n_sequences = 1,
                            .page_tables = &zero,
                            .table_stride = 1,
                            .n_groups = 1,
                            .groups = &group,
                            .n_logits = 1,
                            .logit_rows = &zero};
    RETURN_IF_ERROR(soti_cuda_batch_begin(context, &rows));
    RETURN_IF_ERROR(soti_cuda_embed(context));
    RETURN_IF_ERROR(soti_cuda_qkv(context, 0));
    RETURN_IF_ERROR(soti_cuda_attention(context, 0));
    RETURN_IF_ERROR(soti_cuda_attention_output(context, 0));
    RETURN_IF_ERROR(soti_cuda_gate_up(context, 0));
    RETURN_IF_ERROR(soti_cuda_down(context, 0));
    RETURN_IF_ERROR(soti_cuda_logits(context));
    RETURN_IF_ERROR(soti_cuda_page_copy(context, 0, 0, 0));
    return soti_cuda_picks_warm_up(context);
}

/* With one column tile and with two: those are kernels of their own. */
static sot_status run_decode(soti_context *context)
{
    const soti_rows no_rows = {.n_rows = 0};
    RETURN_IF_ERROR(soti_cuda_batch_begin(context, &no_rows));
    for (uint32_t n = 1; n <= WIDEST; n++) {
        soti_cuda_rows_plan plan = {.n_rows = 1, .n_columns = n, .n_logit_columns = n};
        RETURN_IF_ERROR(soti_cuda_decode_step(context, &plan));
    }
    return soti_cuda_check(&context->health, cudaStreamSynchronize(context->launch.stream),
                           "running the kernels on %s", context->device->title);
}

sot_status soti_cuda_warm_up(soti_context *context)
{
    const soti_cuda_limits *limits = &context->limits;
    if (limits->n_rows == 0 || limits->n_logits == 0 || limits->n_sequences == 0 ||
        limits->n_pages == 0 || limits->n_table == 0) {
        return SOT_OK; /* no step can run in it */
    }
    RETURN_IF_ERROR(run_prompt(context));
    return run_decode(context);
}
