/* Steps of generated rows alone, recorded at the context's creation so that a step allocates
 * nothing and one call starts all of it. There is one graph for each number of column tiles; its
 * first node copies the step's block, and what changes from step to step is in there.
 *
 * Capture is thread-local: calls that other threads make meanwhile are none of its business. It
 * begins and ends within one function, so that no failure leaves a stream in capture. */
#include "cuda/cuda_context.h"

#include "base/fail.h"

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static soti_cuda_rows_plan plan_of(const soti_context *context, uint32_t n_columns)
{
    uint32_t n_rows = n_columns * SOTI_CUDA_COLUMN_ROWS;
    return (soti_cuda_rows_plan){
        .n_rows = least(n_rows, context->limits.n_generated),
        .n_columns = n_columns,
        .n_logit_columns = least(n_columns, soti_cuda_columns_of(context->limits.n_logits))};
}

static sot_status record(soti_context *context, uint32_t n_columns)
{
    soti_cuda_rows_plan plan = plan_of(context, n_columns);
    uint32_t n_sequences = least(n_columns * SOTI_CUDA_COLUMN_ROWS, context->limits.n_sequences);
    RETURN_IF_ERROR(soti_cuda_copy_step(context, n_sequences));
    return soti_cuda_decode_step(context, &plan);
}

static sot_status capture(soti_context *context, uint32_t n_columns, cudaGraph_t *graph)
{
    RETURN_IF_ERROR(soti_cuda_check(
        &context->health,
        cudaStreamBeginCapture(context->launch.stream, cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture of a step of %u column tiles", n_columns));
    sot_status status = record(context, n_columns);
    cudaError_t ended = cudaStreamEndCapture(context->launch.stream, graph);
    if (status != SOT_OK) {
        (void)cudaGetLastError(); /* what failed first has been said */
        return status;
    }
    return soti_cuda_check(&context->health, ended,
                           "cudaStreamEndCapture of a step of %u column tiles", n_columns);
}

static sot_status create_graph(soti_context *context, uint32_t n_columns)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t *made = &context->graphs[n_columns - 1];
    sot_status status = capture(context, n_columns, &graph);
    if (status == SOT_OK) {
        status = soti_cuda_check(&context->health, cudaGraphInstantiate(made, graph, 0),
                                 "cudaGraphInstantiate of a step of %u column tiles", n_columns);
    }
    if (graph != NULL) {
        (void)cudaGraphDestroy(graph);
    }
    RETURN_IF_ERROR(status);
    return soti_cuda_check(&context->health, cudaGraphUpload(*made, context->launch.stream),
                           "cudaGraphUpload of a step of %u column tiles", n_columns);
}

sot_status soti_cuda_graphs_create(soti_context *context)
{
    uint32_t n_rows = least(context->limits.n_generated, SOTI_CUDA_GRAPH_ROWS);
    if (n_rows == 0 || context->limits.n_logits == 0) {
        return SOT_OK;
    }
    context->n_graphs = soti_cuda_columns_of(n_rows);
    for (uint32_t n = 1; n <= context->n_graphs; n++) {
        RETURN_IF_ERROR(create_graph(context, n));
    }
    context->use_graphs = 1;
    return SOT_OK;
}

void soti_cuda_graphs_free(soti_context *context)
{
    for (uint32_t i = 0; i < context->n_graphs; i++) {
        if (context->graphs[i] != NULL) {
            (void)cudaGraphExecDestroy(context->graphs[i]);
            context->graphs[i] = NULL;
        }
    }
}

/* The tiles that the current batch needs, of rows or of rows of logits. */
static uint32_t columns_needed(const soti_context *context)
{
    uint32_t n_rows = soti_cuda_columns_of(context->step.n_rows);
    uint32_t n_logits = soti_cuda_columns_of(context->step.n_logits);
    return n_rows > n_logits ? n_rows : n_logits;
}

uint32_t soti_cuda_graph_fits(const soti_context *context, uint32_t n_sequences)
{
    const soti_cuda_counts *step = &context->step;
    uint32_t n_columns = columns_needed(context);
    return context->use_graphs && step->n_prompt_rows == 0 && step->n_rows > 0 &&
           step->n_logits > 0 && n_columns <= context->n_graphs &&
           n_sequences <= n_columns * SOTI_CUDA_COLUMN_ROWS;
}

sot_status soti_cuda_graph_launch(soti_context *context)
{
    cudaGraphExec_t graph = context->graphs[columns_needed(context) - 1];
    RETURN_IF_ERROR(soti_cuda_check(&context->health,
                                    cudaGraphLaunch(graph, context->launch.stream),
                                    "cudaGraphLaunch of a step of %u rows", context->step.n_rows));
    context->is_copying = 1;
    return soti_cuda_check(&context->health,
                           cudaEventRecord(context->copied, context->launch.stream),
                           "cudaEventRecord behind a step");
}
