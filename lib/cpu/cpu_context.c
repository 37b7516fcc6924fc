/* A CPU context: everything a forward pass needs, reserved at once (BE-2); the batch's beginning
 * and the copying of pages. */
#include "cpu/cpu_context.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "cpu/cpu_isa.h"

enum { CACHE_LINE = 64 };

/* Room for n floats in whole cache lines, plus one line: rows whose distance is a power of two
 * would all compete for the same few places of the cache. */
static size_t padded(size_t n)
{
    size_t line = CACHE_LINE / sizeof(float);
    return (n + line - 1) / line * line + line;
}

/* Zeroed memory at a cache line; the context owns it. After a first failure every call fails, so
 * that callers look at is_short once behind several of them. */
static void *reserve(soti_context *context, size_t n_rows, size_t stride, size_t size)
{
    size_t count;
    size_t bytes;
    if (context->is_short) {
        return NULL;
    }
    context->is_short = 1;
    if (!soti_mul(n_rows, stride, &count) || !soti_mul(count, size, &bytes) ||
        !soti_add(bytes, CACHE_LINE, &bytes)) {
        soti_fail(SOT_ERR_MEMORY, "out of memory: %zu rows of %zu items of %zu bytes", n_rows,
                  stride, size);
        return NULL;
    }
    char *block = soti_alloc(bytes, 1);
    if (block == NULL) {
        return NULL;
    }
    context->is_short = 0;
    context->blocks[context->n_blocks++] = block;
    context->bytes += bytes;
    return block + (CACHE_LINE - (uintptr_t)block % CACHE_LINE) % CACHE_LINE;
}

static sot_status reserve_activations(soti_context *context)
{
    const soti_shape *shape = &context->shape;
    const soti_context_params *params = &context->params;
    size_t n_rows = params->n_rows_max;
    context->model_stride = padded(shape->d_model);
    context->head_stride = padded((size_t)shape->n_head * shape->d_head);
    context->ff_stride = padded(shape->d_ff);
    context->vocab_stride = padded(shape->n_vocab);
    context->x = reserve(context, n_rows, context->model_stride, sizeof(float));
    context->normed = reserve(context, n_rows, context->model_stride, sizeof(float));
    context->q = reserve(context, n_rows, context->head_stride, sizeof(float));
    context->attended = reserve(context, n_rows, context->head_stride, sizeof(float));
    context->hidden = reserve(context, n_rows, context->ff_stride, sizeof(float));
    size_t n_in = shape->d_ff > shape->d_model ? shape->d_ff : shape->d_model;
    size_t n_heads = (size_t)shape->n_head * shape->d_head;
    n_in = n_in > n_heads ? n_in : n_heads;
    size_t n_packed =
        (n_rows + SOTI_CPU_GROUP_ROWS - 1) / SOTI_CPU_GROUP_ROWS * SOTI_CPU_GROUP_ROWS;
    context->packed = reserve(context, n_packed, soti_cpu_packed_stride(n_in), sizeof(float));
    context->logits = reserve(context, params->n_logits_max, context->vocab_stride, sizeof(float));
    context->spans = reserve(context, n_rows, 1, sizeof *context->spans);
    return context->is_short ? SOT_ERR_MEMORY : SOT_OK;
}

static void prepare_angles(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    (void)i_thread;
    (void)n_threads;
    soti_context *context = argument;
    soti_cpu_rope_frequencies(&context->shape, context->frequencies);
}

static sot_status reserve_angles(soti_context *context)
{
    size_t n_pairs = context->shape.d_head / 2;
    size_t n_positions = (size_t)context->params.n_table_max * SOTI_PAGE_TOKENS;
    context->frequencies = reserve(context, 1, n_pairs, sizeof(double));
    context->cosines = reserve(context, n_positions, n_pairs, sizeof(float));
    context->sines = reserve(context, n_positions, n_pairs, sizeof(float));
    if (context->is_short) {
        return SOT_ERR_MEMORY;
    }
    soti_pool_run_here(prepare_angles, context); /* whatever way the host rounds */
    return SOT_OK;
}

static sot_status reserve_pages(soti_context *context)
{
    const soti_shape *shape = &context->shape;
    size_t count;
    size_t bytes;
    if (!soti_mul((size_t)shape->n_kv * shape->d_head, 2 * SOTI_PAGE_TOKENS, &count) ||
        !soti_mul(count, soti_cpu_page_blocks(&context->params) * SOTI_CPU_BLOCK_PAGES, &count) ||
        !soti_mul(count, shape->n_layer, &count) || !soti_mul(count, sizeof(uint16_t), &bytes)) {
        return soti_fail(SOT_ERR_MEMORY, "out of memory: %u pages in %u layers",
                         context->params.n_pages, shape->n_layer);
    }
    bytes = bytes > 0 ? bytes : 1;
    context->pages = soti_map_alloc(bytes);
    if (context->pages == NULL) {
        return SOT_ERR_MEMORY;
    }
    context->pages_bytes = bytes;
    context->bytes += bytes;
    return SOT_OK;
}

/* One block for all threads: each gets floats, then states, then candidates and their weights, in
 * whole lines. */
static sot_status reserve_scratch(soti_context *context)
{
    const soti_shape *shape = &context->shape;
    size_t n_threads = soti_pool_size(context->pool);
    size_t n_queries = (size_t)SOTI_CPU_SPAN_ROWS * (shape->n_head / shape->n_kv);
    size_t n_tiles = padded(2 * SOTI_CPU_TILE_ROWS * SOTI_CPU_UNIT_OUT);
    size_t n_scores = padded(n_queries * SOTI_CPU_SEGMENT_TOKENS);
    size_t n_states = padded(n_queries * (sizeof(soti_softmax) / sizeof(float)));
    size_t n_candidates =
        padded((size_t)shape->n_vocab * (sizeof(soti_cpu_candidate) / sizeof(float)));
    size_t n_floats;
    if (!soti_mul(n_queries, shape->d_head, &n_floats)) {
        return soti_fail(SOT_ERR_MEMORY, "out of memory: %zu heads of %u floats", n_queries,
                         shape->d_head);
    }
    size_t n_query_floats = padded(n_floats);
    size_t n_weights = padded((size_t)shape->n_vocab * (sizeof(double) / sizeof(float)));
    n_floats = 2 * n_query_floats + n_tiles + n_scores + 2 * n_states + n_candidates + n_weights;
    context->scratch = reserve(context, n_threads, 1, sizeof *context->scratch);
    float *next = reserve(context, n_threads, n_floats, sizeof(float));
    if (context->is_short) {
        return SOT_ERR_MEMORY;
    }
    for (size_t i = 0; i < n_threads; i++) {
        soti_cpu_scratch *scratch = &context->scratch[i];
        scratch->tiles = next;
        scratch->queries = scratch->tiles + n_tiles;
        scratch->scores = scratch->queries + n_query_floats;
        scratch->sums = scratch->scores + n_scores;
        float *states = scratch->sums + n_query_floats;
        scratch->states = (void *)states;
        scratch->totals = (void *)(states + n_states);
        scratch->candidates = (void *)(states + 2 * n_states);
        scratch->weights = (void *)(states + 2 * n_states + n_candidates);
        next += n_floats;
    }
    return SOT_OK;
}

static sot_status reserve_parts(soti_context *context)
{
    size_t n_queries;
    size_t n_segments = soti_cpu_attention_parts(context, &n_queries);
    if (n_segments > 0) {
        size_t n;
        if (!soti_mul(n_segments, n_queries, &n)) {
            return soti_fail(SOT_ERR_MEMORY, "out of memory: %zu segments of %zu queries",
                             n_segments, n_queries);
        }
        context->part_sums = reserve(context, n, context->shape.d_head, sizeof(float));
        context->part_states = reserve(context, n, 1, sizeof *context->part_states);
    }
    return context->is_short ? SOT_ERR_MEMORY : SOT_OK;
}

static sot_status fill_context(soti_context *context)
{
    RETURN_IF_ERROR(soti_cpu_isa_select(context->params.isa, &context->kernels));
    RETURN_IF_ERROR(reserve_activations(context));
    RETURN_IF_ERROR(reserve_angles(context));
    RETURN_IF_ERROR(reserve_pages(context));
    RETURN_IF_ERROR(
        soti_pool_create(context->params.n_threads, context->params.pin_threads, &context->pool));
    RETURN_IF_ERROR(reserve_parts(context));
    return reserve_scratch(context);
}

sot_status soti_cpu_context_create(soti_device_weights *weights, const soti_context_params *params,
                                   soti_context **out)
{
    *out = NULL;
    soti_context *context = soti_alloc(1, sizeof *context);
    if (context == NULL) {
        return SOT_ERR_MEMORY;
    }
    context->bytes = sizeof *context;
    context->shape = weights->shape;
    context->view = weights->view;
    context->params = *params;
    sot_status status = fill_context(context);
    context->params.isa = NULL; /* the caller's string, not needed any more */
    if (status != SOT_OK) {
        soti_cpu_context_free(context);
        return status;
    }
    *out = context;
    return SOT_OK;
}

void soti_cpu_context_free(soti_context *context)
{
    if (context == NULL) {
        return;
    }
    soti_pool_free(context->pool);
    soti_map_free(context->pages, context->pages_bytes);
    for (uint32_t i = 0; i < context->n_blocks; i++) {
        soti_free(context->blocks[i]);
    }
    soti_free(context);
}

static sot_status check_rows(const soti_context *context, const soti_rows *rows)
{
    const soti_context_params *params = &context->params;
    if (rows->n_rows > params->n_rows_max || rows->n_logits > params->n_logits_max ||
        rows->n_sequences > params->n_sequences_max) {
        return soti_fail(SOT_ERR_DEVICE,
                         "a batch of %u rows, %u sequences and %u rows of logits is over the "
                         "context's %u, %u and %u",
                         rows->n_rows, rows->n_sequences, rows->n_logits, params->n_rows_max,
                         params->n_sequences_max, params->n_logits_max);
    }
    for (uint32_t i = 0; i < rows->n_rows; i++) {
        if (rows->tokens[i] < 0 || (uint32_t)rows->tokens[i] >= context->shape.n_vocab) {
            return soti_fail(SOT_ERR_DEVICE, "row %u: token %d is not one of %u", i,
                             rows->tokens[i], context->shape.n_vocab);
        }
        if (rows->positions[i] / SOTI_PAGE_TOKENS >= params->n_table_max) {
            return soti_fail(SOT_ERR_DEVICE, "row %u: position %u is behind the last of %u pages",
                             i, rows->positions[i], params->n_table_max);
        }
    }
    return SOT_OK;
}

static void prepare_batch(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    (void)i_thread;
    (void)n_threads;
    soti_context *context = argument;
    uint32_t n_positions = 0;
    for (uint32_t i = 0; i < context->rows.n_rows; i++) {
        if (context->rows.positions[i] >= n_positions) {
            n_positions = context->rows.positions[i] + 1;
        }
    }
    soti_cpu_rope_prepare(context, n_positions);
    soti_cpu_attention_plan(context);
}

sot_status soti_cpu_batch_begin(soti_context *context, const soti_rows *rows)
{
    RETURN_IF_ERROR(check_rows(context, rows));
    context->rows = *rows;
    soti_pool_run_here(prepare_batch, context);
    return SOT_OK;
}

sot_status soti_cpu_page_copy(soti_context *context, uint32_t to_page, uint32_t from_page,
                              uint32_t n_tokens)
{
    size_t bytes = (size_t)n_tokens * context->shape.d_head * sizeof(uint16_t);
    for (uint32_t i_layer = 0; i_layer < context->shape.n_layer; i_layer++) {
        for (uint32_t i_kv = 0; i_kv < context->shape.n_kv; i_kv++) {
            for (uint32_t i_value = 0; i_value < 2; i_value++) {
                memcpy(soti_cpu_page(context, i_layer, to_page, i_value, i_kv),
                       soti_cpu_page(context, i_layer, from_page, i_value, i_kv), bytes);
            }
        }
    }
    return SOT_OK;
}
