/* A CUDA context: everything that steps need is reserved here, at once (BE-2): first counted and
 * compared with the memory that is free, then taken. */
#include "cuda/cuda_context.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/pool.h"

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static sot_status make_cut(const soti_context *context, uint32_t n_out, uint32_t stride,
                           uint32_t n_unit_rows, soti_gemm_cut *out)
{
    const soti_device *device = context->device;
    *out = soti_gemm_rows_cut(n_out, stride, n_unit_rows, device->n_sm, device->max_shared_bytes);
    if (out->n_blocks == 0 || out->shared_bytes > device->max_shared_bytes) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: a matrix of %u rows and %u columns needs %zu bytes of shared memory; "
                         "a block may have %zu",
                         device->title, n_out, stride, out->shared_bytes, device->max_shared_bytes);
    }
    return SOT_OK;
}

static sot_status make_cuts(soti_context *context)
{
    const soti_cuda_shape *dims = &context->weights->dims;
    soti_cuda_cuts *cuts = &context->cuts;
    RETURN_IF_ERROR(make_cut(context, dims->n_qkv, dims->x_stride, dims->d_head, &cuts->qkv));
    RETURN_IF_ERROR(make_cut(context, dims->d_model, dims->a_stride, 1, &cuts->wo));
    RETURN_IF_ERROR(make_cut(context, 2 * dims->d_ff, dims->x_stride, 1, &cuts->gate_up));
    RETURN_IF_ERROR(make_cut(context, dims->d_model, dims->h_stride, 1, &cuts->down));
    return make_cut(context, dims->n_vocab, dims->x_stride, 1, &cuts->output);
}

static void lay_out_products(soti_context *context)
{
    soti_cuda_memory *memory = &context->memory;
    const soti_cuda_shape *dims = &context->weights->dims;
    const soti_cuda_cuts *cuts = &context->cuts;
    const soti_gemm_cut *all[] = {&cuts->qkv, &cuts->wo, &cuts->gate_up, &cuts->down,
                                  &cuts->output};
    size_t n_partials = 0;
    size_t n_counters = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        n_partials = most(n_partials, all[i]->partial_floats);
        n_counters = most(n_counters, all[i]->n_counters);
    }
    context->partials = soti_cuda_take(memory, 1, n_partials, sizeof(float), "partial products");
    context->counters =
        soti_cuda_take(memory, 1, n_counters, sizeof(uint32_t), "counters of products");
    context->normed = soti_cuda_take(memory, SOTI_CUDA_CHUNK_ROWS, dims->x_stride, sizeof(uint16_t),
                                     "a chunk's input");
    context->wide = soti_cuda_take(memory, SOTI_CUDA_CHUNK_ROWS,
                                   most(dims->d_model, most(dims->n_qkv, 2 * (size_t)dims->d_ff)),
                                   sizeof(float), "a chunk's output");
    context->products.workspace =
        soti_cuda_take(memory, 1, context->products.workspace_bytes, 1, "cuBLAS's workspace");
}

static void lay_out_rows(soti_context *context)
{
    soti_cuda_memory *memory = &context->memory;
    const soti_cuda_shape *dims = &context->weights->dims;
    size_t n_chunks =
        (context->limits.n_rows + (size_t)SOTI_CUDA_CHUNK_ROWS - 1) / SOTI_CUDA_CHUNK_ROWS;
    size_t n_rows = n_chunks * SOTI_CUDA_CHUNK_ROWS;
    size_t n_sums = (dims->d_model + SOTI_CUDA_SUM_COLUMNS - 1) / SOTI_CUDA_SUM_COLUMNS;
    size_t half = sizeof(uint16_t);
    context->x = soti_cuda_take(memory, n_rows, dims->d_model, sizeof(float), "residual stream");
    context->square_sums = soti_cuda_take(memory, n_rows, n_sums, sizeof(float), "sums of squares");
    context->q =
        soti_cuda_take(memory, n_rows, (size_t)dims->n_head * dims->d_page, half, "queries");
    context->a = soti_cuda_take(memory, n_rows, dims->a_stride, half, "attention's results");
    context->h = soti_cuda_take(memory, n_rows, dims->h_stride, half, "hidden activations");
    context->logits =
        soti_cuda_take(memory, context->limits.n_logits, dims->n_vocab, sizeof(float), "logits");
}

static void lay_out_attention(soti_context *context)
{
    soti_cuda_memory *memory = &context->memory;
    const soti_cuda_shape *dims = &context->weights->dims;
    const soti_cuda_limits *limits = &context->limits;
    size_t page_halves = (size_t)dims->n_kv * SOTI_CUDA_PAGE_TOKENS * dims->d_page;
    context->layer_halves = limits->n_pages * page_halves;
    size_t n_pages = (size_t)context->weights->shape.n_layer * limits->n_pages;
    context->pages.keys =
        soti_cuda_take(memory, n_pages, page_halves, sizeof(uint16_t), "pages of keys");
    context->pages.values =
        soti_cuda_take(memory, n_pages, page_halves, sizeof(uint16_t), "pages of values");
    context->rope = soti_cuda_take(memory, (size_t)limits->n_table * SOTI_PAGE_TOKENS,
                                   dims->d_head / 2 * (size_t)2, sizeof(float), "rotary angles");
    context->attention.n_rows_max = limits->n_generated;
    context->attention.n_segments_max = limits->n_segments;
    context->attention.states = soti_cuda_take(
        memory, 1, soti_attention_state_floats(dims, limits->n_generated, limits->n_segments),
        sizeof(float), "parts of attention");
    context->attention.counters = soti_cuda_take(memory, limits->n_generated, dims->n_head,
                                                 sizeof(uint32_t), "counters of attention");
}

static void lay_out(soti_context *context)
{
    soti_cuda_memory *memory = &context->memory;
    soti_cuda_picks *picks = &context->picks;
    lay_out_products(context);
    lay_out_rows(context);
    lay_out_attention(context);
    context->block = soti_cuda_take(memory, 1, context->layout.bytes, 1, "a step");
    picks->block = soti_cuda_take(memory, 1, picks->bytes, 1, "picks");
    picks->tokens = soti_cuda_take(memory, picks->n_picks_max, 1, sizeof(int32_t), "tokens");
    picks->workspace = soti_cuda_take(
        memory, 1, soti_pick_workspace_bytes(context->limits.n_vocab, (uint32_t)picks->n_picks_max),
        1, "picks' workspace");
}

/* Zeroed: a step of no rows is what stands there at first. */
static sot_status reserve_pinned(soti_context *context, size_t bytes, void **out)
{
    RETURN_IF_ERROR(soti_cuda_check(&context->health,
                                    cudaHostAlloc(out, bytes, cudaHostAllocDefault),
                                    "cudaHostAlloc of %zu bytes for a session", bytes));
    memset(*out, 0, bytes);
    context->pinned_bytes += bytes;
    return SOT_OK;
}

static sot_status reserve(soti_context *context)
{
    void *staging = NULL;
    void *chosen = NULL;
    lay_out(context);
    RETURN_IF_ERROR(soti_cuda_memory_begin(&context->memory));
    lay_out(context);
    RETURN_IF_ERROR(context->memory.status);
    context->rows = soti_cuda_step_view(&context->limits, &context->layout, context->block);
    RETURN_IF_ERROR(reserve_pinned(context, context->layout.bytes, &context->staging));
    RETURN_IF_ERROR(reserve_pinned(context, context->picks.bytes, &staging));
    context->picks.staging = staging;
    RETURN_IF_ERROR(reserve_pinned(context, context->picks.n_picks_max * sizeof(int32_t), &chosen));
    context->picks.chosen = chosen;
    context->picks.is_seen =
        soti_alloc((context->limits.n_vocab + (size_t)31) / 32, sizeof(uint32_t));
    return context->picks.is_seen != NULL ? SOT_OK : SOT_ERR_MEMORY;
}

typedef struct rope_work {
    const soti_shape *shape;
    size_t n_positions;
    float *table;
} rope_work;

static void fill_rope(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    (void)i_thread;
    (void)n_threads;
    const rope_work *work = argument;
    soti_cuda_rope_fill(work->shape, work->n_positions, work->table);
}

static sot_status upload_rope(soti_context *context)
{
    rope_work work = {.shape = &context->weights->shape,
                      .n_positions = (size_t)context->limits.n_table * SOTI_PAGE_TOKENS};
    size_t bytes = work.n_positions * (work.shape->d_head / 2) * 2 * sizeof(float);
    if (bytes == 0) {
        return SOT_OK;
    }
    work.table = soti_map_alloc(bytes);
    if (work.table == NULL) {
        return SOT_ERR_MEMORY;
    }
    soti_pool_run_here(fill_rope, &work); /* whatever way the host rounds */
    sot_status status =
        soti_cuda_check(&context->health,
                        cudaMemcpyAsync(context->rope, work.table, bytes, cudaMemcpyHostToDevice,
                                        context->launch.stream),
                        "cudaMemcpyAsync of %zu bytes of rotary angles", bytes);
    cudaError_t waited = cudaStreamSynchronize(context->launch.stream);
    if (status == SOT_OK) {
        status = soti_cuda_check(&context->health, waited,
                                 "cudaStreamSynchronize behind zeroing a session's memory");
    }
    soti_map_free(work.table, bytes);
    return status;
}

static sot_status fill_context(soti_context *context)
{
    const soti_device *device = context->device;
    RETURN_IF_ERROR(
        soti_cuda_limits_make(&context->params, context->weights->dims.n_vocab, &context->limits));
    RETURN_IF_ERROR(soti_cuda_step_layout_make(&context->limits, &context->layout));
    soti_cuda_picks_limits(context);
    RETURN_IF_ERROR(make_cuts(context));
    RETURN_IF_ERROR(
        soti_cuda_products_create(&context->weights->dims, &context->health, &context->products));
    RETURN_IF_ERROR(soti_cuda_check(
        &context->health, cudaStreamCreateWithFlags(&context->launch.stream, cudaStreamNonBlocking),
        "cudaStreamCreateWithFlags for a session on %s", device->title));
    RETURN_IF_ERROR(soti_cuda_check(
        &context->health, cudaEventCreateWithFlags(&context->copied, cudaEventDisableTiming),
        "cudaEventCreateWithFlags for a session on %s", device->title));
    context->memory.zero_on = context->launch.stream;
    RETURN_IF_ERROR(reserve(context));
    RETURN_IF_ERROR(upload_rope(context));
    RETURN_IF_ERROR(soti_cuda_warm_up(context));
    RETURN_IF_ERROR(soti_cuda_graphs_create(context));
    return soti_cuda_check(&context->health, cudaStreamSynchronize(context->launch.stream),
                           "cudaStreamSynchronize behind creating a session");
}

sot_status soti_cuda_context_create(const soti_device_weights *weights,
                                    const soti_context_params *params, soti_context **out)
{
    *out = NULL;
    soti_context *context = soti_alloc(1, sizeof *context);
    if (context == NULL) {
        return SOT_ERR_MEMORY;
    }
    context->device = weights->device;
    context->weights = weights;
    context->params = *params;
    context->params.isa = NULL; /* the CPU's */
    context->launch.n_sm = weights->device->n_sm;
    context->launch.overlap = weights->device->overlap;
    context->memory = (soti_cuda_memory){.device = weights->device,
                                         .health = &context->health,
                                         .purpose = "a session's pages and activations"};
    sot_status status = fill_context(context);
    if (status != SOT_OK) {
        soti_cuda_context_free(context);
        return status;
    }
    *out = context;
    return SOT_OK;
}

static void free_pinned(void *block)
{
    if (block != NULL) {
        (void)cudaFreeHost(block);
    }
}

/* What CUDA says here is nobody's to hear: on a device that has failed all of these do. */
void soti_cuda_context_free(soti_context *context)
{
    if (context == NULL) {
        return;
    }
    if (context->launch.stream != NULL) {
        (void)cudaStreamSynchronize(context->launch.stream);
    }
    soti_cuda_graphs_free(context);
    soti_cuda_products_free(&context->products);
    if (context->copied != NULL) {
        (void)cudaEventDestroy(context->copied);
    }
    soti_cuda_memory_free(&context->memory);
    free_pinned(context->staging);
    free_pinned(context->picks.staging);
    free_pinned(context->picks.chosen);
    soti_free(context->picks.is_seen);
    if (context->launch.stream != NULL) {
        (void)cudaStreamDestroy(context->launch.stream);
    }
    soti_free(context);
}

uint64_t soti_cuda_context_bytes(const soti_context *context)
{
    size_t seen = (context->limits.n_vocab + (size_t)31) / 32 * sizeof(uint32_t);
    return sizeof *context + context->memory.bytes + context->pinned_bytes + seen;
}
