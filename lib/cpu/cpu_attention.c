/* Attention over pages. A row takes its pages in order of position, each with the same few
 * operations on the row's running softmax (largest score, sum, weighted sum of values), whether the
 * page is visited for one row or for a whole group: that is why grouping cannot change a bit of the
 * result. Spans, the units that threads take one by one, are rows of one group and one key/value
 * head with all its query heads. */
#include <math.h>
#include <string.h>

#include "cpu/cpu_context.h"

typedef struct attention {
    soti_context *context;
    uint32_t i_layer;
} attention;

/* Small spans when there are few rows, so that every thread finds something to do. */
void soti_cpu_attention_plan(soti_context *context)
{
    const soti_rows *rows = &context->rows;
    uint32_t n_threads = soti_pool_size(context->pool);
    uint32_t n_wanted = (2 * n_threads + context->shape.n_kv - 1) / context->shape.n_kv;
    uint32_t n_most = rows->n_rows / n_wanted;
    n_most = n_most < 1 ? 1 : n_most > SOTI_CPU_SPAN_ROWS ? SOTI_CPU_SPAN_ROWS : n_most;
    context->n_spans = 0;
    for (uint32_t g = 0; g < rows->n_groups; g++) {
        const soti_row_group *group = &rows->groups[g];
        for (uint32_t r = 0; r < group->n_rows; r += n_most) {
            soti_cpu_span *span = &context->spans[context->n_spans++];
            span->first_row = group->first_row + r;
            span->n_rows = group->n_rows - r < n_most ? group->n_rows - r : n_most;
            span->n_shared_pages = group->n_shared_pages;
        }
    }
}

/* A span at work on one key/value head. Query i of row r lies at (r - first_row) * n_per_row + i.
 */
typedef struct span_work {
    soti_context *context;
    const soti_cpu_scratch *scratch;
    const soti_cpu_span *span;
    uint32_t i_layer;
    uint32_t i_kv;
    uint32_t n_per_row; /* query heads of this key/value head */
} span_work;

static float *attended_of(const span_work *work, uint32_t i_row)
{
    soti_context *context = work->context;
    size_t i_head = (size_t)work->i_kv * work->n_per_row;
    return context->attended + i_row * context->head_stride + i_head * context->shape.d_head;
}

static void begin_span(const span_work *work)
{
    const soti_context *context = work->context;
    size_t n = (size_t)work->n_per_row * context->shape.d_head;
    float scale = 1.0f / sqrtf((float)context->shape.d_head);
    for (uint32_t r = 0; r < work->span->n_rows; r++) {
        uint32_t i_row = work->span->first_row + r;
        const float *from = context->q + i_row * context->head_stride + work->i_kv * n;
        float *to = work->scratch->queries + r * n;
        for (size_t i = 0; i < n; i++) {
            to[i] = from[i] * scale;
        }
        memset(attended_of(work, i_row), 0, n * sizeof(float));
    }
    for (uint32_t i = 0; i < work->span->n_rows * work->n_per_row; i++) {
        work->scratch->states[i] = (soti_softmax){-INFINITY, 0};
    }
}

/* Positions of page i_page, of the row's table, that the row sees. */
static uint32_t visible(const span_work *work, uint32_t i_row, uint32_t i_page)
{
    uint32_t n = work->context->rows.positions[i_row] + 1 - i_page * SOTI_PAGE_TOKENS;
    return n < SOTI_PAGE_TOKENS ? n : SOTI_PAGE_TOKENS;
}

/* Rows first .. end, all of which have this page as their i_page-th; the last sees the most. */
static void visit_page(const span_work *work, uint32_t first, uint32_t end, uint32_t i_page,
                       uint32_t n_most)
{
    const soti_context *context = work->context;
    const soti_cpu_kernels *kernels = context->kernels;
    const soti_cpu_scratch *scratch = work->scratch;
    size_t d_head = context->shape.d_head;
    uint32_t page = soti_cpu_table(context, first)[i_page];
    uint32_t i_query = (first - work->span->first_row) * work->n_per_row;
    uint32_t n_queries = (end - first) * work->n_per_row;
    float *scores = scratch->scores;
    kernels->scores(soti_cpu_page(context, work->i_layer, page, 0, work->i_kv), n_most, d_head,
                    scratch->queries + i_query * d_head, n_queries, scores);
    kernels->widen(soti_cpu_page(context, work->i_layer, page, 1, work->i_kv), n_most * d_head,
                   scratch->values);
    for (uint32_t row = first; row < end; row++) {
        uint32_t n = visible(work, row, i_page);
        float *sum = attended_of(work, row);
        for (uint32_t i = 0; i < work->n_per_row; i++) {
            float factor = kernels->page_softmax(scores, n, &scratch->states[i_query]);
            kernels->page_values(scores, n, scratch->values, d_head, factor, sum);
            scores += SOTI_PAGE_TOKENS;
            sum += d_head;
            i_query++;
        }
    }
}

/* Rows first .. end of one sequence, from page i_page on: later rows see more pages. */
static void visit_own_pages(const span_work *work, uint32_t first, uint32_t end, uint32_t i_page)
{
    const uint32_t *positions = work->context->rows.positions;
    uint32_t n_pages = positions[end - 1] / SOTI_PAGE_TOKENS + 1;
    for (; i_page < n_pages; i_page++) {
        while (positions[first] / SOTI_PAGE_TOKENS < i_page) {
            first++;
        }
        visit_page(work, first, end, i_page, visible(work, end - 1, i_page));
    }
}

static void finish_span(const span_work *work)
{
    size_t d_head = work->context->shape.d_head;
    const soti_softmax *state = work->scratch->states;
    for (uint32_t r = 0; r < work->span->n_rows; r++) {
        float *sum = attended_of(work, work->span->first_row + r);
        for (uint32_t i = 0; i < work->n_per_row; i++) {
            float factor = 1.0f / state->sum;
            for (size_t d = 0; d < d_head; d++) {
                sum[d] *= factor;
            }
            sum += d_head;
            state++;
        }
    }
}

static void attend(const span_work *work)
{
    const uint32_t *sequences = work->context->rows.sequences;
    uint32_t first = work->span->first_row;
    uint32_t end = first + work->span->n_rows;
    uint32_t n_shared = work->span->n_shared_pages;
    begin_span(work);
    for (uint32_t i_page = 0; i_page < n_shared; i_page++) {
        visit_page(work, first, end, i_page, SOTI_PAGE_TOKENS);
    }
    while (first < end) {
        uint32_t next = first + 1;
        while (next < end && sequences[next] == sequences[first]) {
            next++;
        }
        visit_own_pages(work, first, next, n_shared);
        first = next;
    }
    finish_span(work);
}

static void run_attention(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    (void)n_threads;
    const attention *all = argument;
    soti_context *context = all->context;
    uint32_t n_kv = context->shape.n_kv;
    uint32_t n_units = context->n_spans * n_kv;
    for (;;) {
        uint32_t i = atomic_fetch_add_explicit(&context->next_unit, 1, memory_order_relaxed);
        if (i >= n_units) {
            return;
        }
        span_work work = {.context = context,
                          .scratch = &context->scratch[i_thread],
                          .span = &context->spans[i / n_kv],
                          .i_layer = all->i_layer,
                          .i_kv = i % n_kv,
                          .n_per_row = context->shape.n_head / n_kv};
        attend(&work);
    }
}

sot_status soti_cpu_attention(soti_context *context, uint32_t i_layer)
{
    attention all = {context, i_layer};
    atomic_store_explicit(&context->next_unit, 0, memory_order_relaxed);
    soti_pool_run(context->pool, run_attention, &all);
    return SOT_OK;
}
