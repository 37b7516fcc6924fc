/* Attention over pages. The positions 0 .. own that a row sees are cut into segments of
 * SOTI_CPU_SEGMENT_TOKENS, always at the same places. A segment is a softmax of its own (all
 * scores, their largest, exponentials, weighted sum of values in order of position), and a row's
 * segments are merged in order, by log-sum-exp. Neither depends on which other rows visit a page,
 * on how rows are cut into spans, or on who computes a segment: that is why neither grouping nor
 * the number of threads can change a bit of the result.
 *
 * Units of work, which threads take one by one: a span of rows and one key/value head with all its
 * query heads; where those are too few for the threads, each of their segments on its own, to be
 * merged when all are done. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "cpu/cpu_context.h"

enum {
    SEGMENT_PAGES = SOTI_CPU_SEGMENT_TOKENS / SOTI_PAGE_TOKENS,
    UNITS_PER_THREAD = 3, /* fewer would leave threads idle behind the last unit */
    LINE_HALVES = 32,     /* halves of a cache line */
    BLOCK_QUERIES = 6,    /* of one call: the kernels' largest block, or twice that */
    PAGES_AHEAD = 2       /* how far ahead of their use pages are asked for */
};

typedef struct attention {
    soti_context *context;
    uint32_t i_layer;
} attention;

/* A span at work on one key/value head. Query i of row r lies at (r - first_row) * n_per_row + i.
 */
typedef struct span_work {
    soti_context *context;
    const soti_cpu_scratch *scratch;
    const soti_cpu_span *span;
    uint32_t i_layer;
    uint32_t i_kv;
    uint32_t n_per_row;   /* query heads of this key/value head */
    float *sums;          /* (n_queries, d_head) of one segment */
    soti_softmax *states; /* (n_queries) of one segment */
} span_work;

/* Rows first .. end of the span at page i_page of their tables, which is one and the same page. */
typedef void (*visit_fn)(const span_work *work, uint32_t first, uint32_t end, uint32_t i_page);

static uint32_t segment_count(uint32_t n_positions)
{
    return (n_positions + SOTI_CPU_SEGMENT_TOKENS - 1) / SOTI_CPU_SEGMENT_TOKENS;
}

uint32_t soti_cpu_attention_parts(const soti_context *context, size_t *n_queries)
{
    const soti_context_params *params = &context->params;
    uint32_t n_rows =
        params->n_rows_max < SOTI_CPU_SPAN_ROWS ? params->n_rows_max : SOTI_CPU_SPAN_ROWS;
    *n_queries = (size_t)n_rows * context->shape.n_head;
    if (context->shape.n_kv >= UNITS_PER_THREAD * soti_pool_size(context->pool)) {
        return 0;
    }
    return segment_count(params->n_table_max * SOTI_PAGE_TOKENS);
}

static void cut_into_spans(soti_context *context, uint32_t n_most)
{
    const soti_rows *rows = &context->rows;
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

/* A few rows with too few units for the threads are cut into segments, which read no page twice;
 * more rows into smaller spans, which do. */
void soti_cpu_attention_plan(soti_context *context)
{
    const soti_rows *rows = &context->rows;
    uint32_t n_threads = soti_pool_size(context->pool);
    uint32_t n_wanted = n_threads == 1 ? 1 : UNITS_PER_THREAD * n_threads;
    uint32_t n_longest = 0;
    for (uint32_t i = 0; i < rows->n_rows; i++) {
        n_longest = rows->positions[i] >= n_longest ? rows->positions[i] + 1 : n_longest;
    }
    cut_into_spans(context, SOTI_CPU_SPAN_ROWS);
    context->n_parts = 0;
    if (context->n_spans * context->shape.n_kv >= n_wanted) {
        return;
    }
    if (rows->n_rows <= SOTI_CPU_SPAN_ROWS && segment_count(n_longest) > 1) {
        context->n_parts = segment_count(n_longest);
        return;
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): no shape without heads is ever read */
    n_wanted = (n_wanted + context->shape.n_kv - 1) / context->shape.n_kv;
    uint32_t n_most = rows->n_rows / n_wanted;
    cut_into_spans(context, n_most < 1                    ? 1
                            : n_most > SOTI_CPU_SPAN_ROWS ? SOTI_CPU_SPAN_ROWS
                                                          : n_most);
}

static float *attended_of(const span_work *work, uint32_t i_row)
{
    soti_context *context = work->context;
    size_t i_head = (size_t)work->i_kv * work->n_per_row;
    return context->attended + i_row * context->head_stride + i_head * context->shape.d_head;
}

static uint32_t first_query(const span_work *work, uint32_t i_row)
{
    return (i_row - work->span->first_row) * work->n_per_row;
}

static void scale_queries(const span_work *work)
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
    }
}

/* Positions of page i_page, of the row's table, that the row sees. */
static uint32_t visible(const span_work *work, uint32_t i_row, uint32_t i_page)
{
    uint32_t n = work->context->rows.positions[i_row] + 1 - i_page * SOTI_PAGE_TOKENS;
    return n < SOTI_PAGE_TOKENS ? n : SOTI_PAGE_TOKENS;
}

static const uint16_t *page_of(const span_work *work, uint32_t i_row, uint32_t i_page,
                               uint32_t i_value)
{
    const soti_context *context = work->context;
    return soti_cpu_page(context, work->i_layer, soti_cpu_table(context, i_row)[i_page], i_value,
                         work->i_kv);
}

/* What a row will read PAGES_AHEAD visits on. It is asked for piece by piece between calls of the
 * kernels: all at once would wait for memory as long as it takes anyway, and nothing at all would
 * leave the processor to find out at each page's beginning, for its own prefetching ends where
 * 4 KiB end. */
typedef struct lookahead {
    const uint16_t *page; /* NULL: nothing */
    size_t n_lines;
    size_t n_asked;
} lookahead;

static lookahead look_ahead(const span_work *work, uint32_t i_row, uint32_t i_page,
                            uint32_t i_value)
{
    uint32_t last_page = work->context->rows.positions[i_row] / SOTI_PAGE_TOKENS;
    for (int n = 0; n < PAGES_AHEAD; n++) {
        bool is_last = i_page == last_page || i_page % SEGMENT_PAGES == SEGMENT_PAGES - 1;
        if (is_last && i_value == 0) { /* behind a segment's keys, its values */
            i_page = i_page / SEGMENT_PAGES * SEGMENT_PAGES;
        } else if (++i_page > last_page) {
            return (lookahead){0};
        }
        i_value ^= is_last;
    }
    size_t n = (size_t)SOTI_PAGE_TOKENS * work->context->shape.d_head;
    return (lookahead){.page = page_of(work, i_row, i_page, i_value), .n_lines = n / LINE_HALVES};
}

/* Before call i of n. */
static void ask(lookahead *ahead, uint32_t i, uint32_t n)
{
    for (; ahead->n_asked < ahead->n_lines * (i + 1) / n; ahead->n_asked++) {
        __builtin_prefetch(ahead->page + ahead->n_asked * LINE_HALVES, 0, 2);
    }
}

static float *scores_of(const span_work *work, uint32_t i_query, uint32_t i_page)
{
    return work->scratch->scores + (size_t)i_query * SOTI_CPU_SEGMENT_TOKENS +
           i_page % SEGMENT_PAGES * SOTI_PAGE_TOKENS;
}

/* Into how many calls the positions of a page are cut: the fewer queries, the sooner a call ends,
 * and the more lines would be asked for at once. */
static uint32_t cuts_for(uint32_t n_queries)
{
    return n_queries > BLOCK_QUERIES ? 1 : n_queries > BLOCK_QUERIES / 2 ? 2 : 4;
}

static void score_page(const span_work *work, uint32_t first, uint32_t end, uint32_t i_page)
{
    const soti_cpu_attention_kernels *kernels = work->context->kernels->attention;
    const uint16_t *keys = page_of(work, first, i_page, 0);
    size_t d_head = work->context->shape.d_head;
    uint32_t n_queries = (end - first) * work->n_per_row;
    uint32_t end_query = first_query(work, first) + n_queries;
    uint32_t n = visible(work, end - 1, i_page);
    uint32_t n_cuts = cuts_for(n_queries);
    uint32_t n_calls = (n_queries + BLOCK_QUERIES - 1) / BLOCK_QUERIES * n_cuts;
    uint32_t i_call = 0;
    lookahead ahead = look_ahead(work, end - 1, i_page, 0);
    for (uint32_t i = first_query(work, first); i < end_query; i += BLOCK_QUERIES) {
        uint32_t n_here = end_query - i < BLOCK_QUERIES ? end_query - i : BLOCK_QUERIES;
        for (uint32_t cut = 0; cut < n_cuts; cut++) {
            uint32_t from = n * cut / n_cuts;
            uint32_t to = n * (cut + 1) / n_cuts;
            ask(&ahead, i_call++, n_calls);
            if (from < to) {
                kernels->scores(keys + from * d_head, to - from, d_head,
                                work->scratch->queries + i * d_head, n_here,
                                scores_of(work, i, i_page) + from, SOTI_CPU_SEGMENT_TOKENS);
            }
        }
    }
}

/* The values of n positions, for n_queries queries that see all of them. */
static void add_values(const span_work *work, const uint16_t *values, uint32_t n, uint32_t i_query,
                       uint32_t n_queries, uint32_t i_page, lookahead *ahead)
{
    size_t d_head = work->context->shape.d_head;
    uint32_t n_cuts = cuts_for(n_queries);
    uint32_t n_calls = (n_queries + BLOCK_QUERIES - 1) / BLOCK_QUERIES * n_cuts;
    uint32_t i_call = 0;
    for (uint32_t i = 0; i < n_queries; i += BLOCK_QUERIES) {
        uint32_t n_here = n_queries - i < BLOCK_QUERIES ? n_queries - i : BLOCK_QUERIES;
        for (uint32_t cut = 0; cut < n_cuts; cut++) {
            uint32_t from = n * cut / n_cuts;
            uint32_t to = n * (cut + 1) / n_cuts;
            ask(ahead, i_call++, n_calls);
            if (from < to) {
                work->context->kernels->attention->values(
                    values + from * d_head, to - from, d_head,
                    scores_of(work, i_query + i, i_page) + from, SOTI_CPU_SEGMENT_TOKENS, n_here,
                    work->sums + (i_query + i) * d_head);
            }
        }
    }
}

/* Rows that see a part of the page come first, and one by one. */
static void value_page(const span_work *work, uint32_t first, uint32_t end, uint32_t i_page)
{
    const uint16_t *values = page_of(work, first, i_page, 1);
    lookahead ahead = look_ahead(work, end - 1, i_page, 1);
    for (; first < end && visible(work, first, i_page) < SOTI_PAGE_TOKENS; first++) {
        add_values(work, values, visible(work, first, i_page), first_query(work, first),
                   work->n_per_row, i_page, &ahead);
    }
    if (first < end) {
        add_values(work, values, SOTI_PAGE_TOKENS, first_query(work, first),
                   (end - first) * work->n_per_row, i_page, &ahead);
    }
}

/* Rows first .. end of one sequence, pages i_page .. end_page: later rows see more of them. */
static void visit_own_pages(const span_work *work, uint32_t first, uint32_t end, uint32_t i_page,
                            uint32_t end_page, visit_fn fn)
{
    const uint32_t *positions = work->context->rows.positions;
    uint32_t n_pages = positions[end - 1] / SOTI_PAGE_TOKENS + 1;
    end_page = n_pages < end_page ? n_pages : end_page;
    for (; i_page < end_page; i_page++) {
        while (positions[first] / SOTI_PAGE_TOKENS < i_page) {
            first++;
        }
        fn(work, first, end, i_page);
    }
}

/* A segment's pages: those that all rows of the span share once for all of them, the others once
 * for each sequence. */
static void visit_segment(const span_work *work, uint32_t i_segment, visit_fn fn)
{
    const uint32_t *sequences = work->context->rows.sequences;
    uint32_t first = work->span->first_row;
    uint32_t end = first + work->span->n_rows;
    uint32_t i_page = i_segment * SEGMENT_PAGES;
    uint32_t end_page = i_page + SEGMENT_PAGES;
    for (; i_page < end_page && i_page < work->span->n_shared_pages; i_page++) {
        fn(work, first, end, i_page);
    }
    while (first < end) {
        uint32_t next = first + 1;
        while (next < end && sequences[next] == sequences[first]) {
            next++;
        }
        visit_own_pages(work, first, next, i_page, end_page, fn);
        first = next;
    }
}

/* Positions of a segment that a row sees. */
static uint32_t segment_size(const span_work *work, uint32_t i_row, uint32_t i_segment)
{
    uint32_t n_positions = work->context->rows.positions[i_row] + 1;
    uint32_t n_before = i_segment * SOTI_CPU_SEGMENT_TOKENS;
    uint32_t n = n_positions > n_before ? n_positions - n_before : 0;
    return n < SOTI_CPU_SEGMENT_TOKENS ? n : SOTI_CPU_SEGMENT_TOKENS;
}

/* sums and states of every row that sees a part of the segment. */
static void attend_segment(const span_work *work, uint32_t i_segment)
{
    const soti_cpu_attention_kernels *kernels = work->context->kernels->attention;
    const soti_cpu_span *span = work->span;
    size_t n_sums = (size_t)span->n_rows * work->n_per_row * work->context->shape.d_head;
    visit_segment(work, i_segment, score_page);
    for (uint32_t r = span->first_row; r < span->first_row + span->n_rows; r++) {
        uint32_t n = segment_size(work, r, i_segment);
        uint32_t i_query = first_query(work, r);
        for (uint32_t i = i_query; n > 0 && i < i_query + work->n_per_row; i++) {
            work->states[i] =
                kernels->softmax(work->scratch->scores + (size_t)i * SOTI_CPU_SEGMENT_TOKENS, n);
        }
    }
    memset(work->sums, 0, n_sums * sizeof(float));
    visit_segment(work, i_segment, value_page);
}

/* One query's running softmax takes in its next segment. One of the two factors is 1. */
static void merge_query(const soti_cpu_attention_kernels *kernels, soti_softmax *total,
                        const soti_softmax *part, float *sum, const float *part_sum, size_t d_head)
{
    float largest = part->largest > total->largest ? part->largest : total->largest;
    float factor = total->largest == largest ? 1.0f : expf(total->largest - largest);
    float part_factor = part->largest == largest ? 1.0f : expf(part->largest - largest);
    total->largest = largest;
    total->sum = total->sum * factor + part->sum * part_factor;
    kernels->merge(sum, factor, part_sum, part_factor, d_head);
}

static void begin_row(const span_work *work, uint32_t i_row, soti_softmax *totals)
{
    memset(attended_of(work, i_row), 0,
           (size_t)work->n_per_row * work->context->shape.d_head * sizeof(float));
    for (uint32_t i = 0; i < work->n_per_row; i++) {
        totals[i] = (soti_softmax){-INFINITY, 0};
    }
}

static void merge_row(const span_work *work, uint32_t i_row, soti_softmax *totals)
{
    size_t d_head = work->context->shape.d_head;
    float *sum = attended_of(work, i_row);
    uint32_t i_query = first_query(work, i_row);
    for (uint32_t i = 0; i < work->n_per_row; i++) {
        merge_query(work->context->kernels->attention, &totals[i], &work->states[i_query + i],
                    sum + i * d_head, work->sums + (i_query + i) * d_head, d_head);
    }
}

static void finish_row(const span_work *work, uint32_t i_row, const soti_softmax *totals)
{
    size_t d_head = work->context->shape.d_head;
    float *sum = attended_of(work, i_row);
    for (uint32_t i = 0; i < work->n_per_row; i++, sum += d_head) {
        float factor = 1.0f / totals[i].sum;
        for (size_t d = 0; d < d_head; d++) {
            sum[d] *= factor;
        }
    }
}

/* All segments of a span, one after the other. */
static void attend(span_work *work)
{
    const soti_cpu_span *span = work->span;
    uint32_t end = span->first_row + span->n_rows;
    soti_softmax *totals = work->scratch->totals;
    uint32_t n_segments = 0;
    work->sums = work->scratch->sums;
    work->states = work->scratch->states;
    scale_queries(work);
    for (uint32_t r = span->first_row; r < end; r++) {
        uint32_t n = segment_count(work->context->rows.positions[r] + 1);
        n_segments = n > n_segments ? n : n_segments;
        begin_row(work, r, totals + first_query(work, r));
    }
    for (uint32_t s = 0; s < n_segments; s++) {
        attend_segment(work, s);
        for (uint32_t r = span->first_row; r < end; r++) {
            if (segment_size(work, r, s) > 0) {
                merge_row(work, r, totals + first_query(work, r));
            }
        }
    }
    for (uint32_t r = span->first_row; r < end; r++) {
        finish_row(work, r, totals + first_query(work, r));
    }
}

/* Where a span's results of one segment wait for their merging. */
static void use_part(span_work *work, uint32_t i_segment)
{
    soti_context *context = work->context;
    size_t i_part = (size_t)i_segment * context->shape.n_kv + work->i_kv;
    size_t i_query = (i_part * context->rows.n_rows + work->span->first_row) * work->n_per_row;
    work->sums = context->part_sums + i_query * context->shape.d_head;
    work->states = context->part_states + i_query;
}

static span_work work_of_unit(const attention *all, uint32_t i_span, uint32_t i_kv,
                              uint32_t i_thread)
{
    soti_context *context = all->context;
    return (span_work){.context = context,
                       .scratch = &context->scratch[i_thread],
                       .span = &context->spans[i_span],
                       .i_layer = all->i_layer,
                       .i_kv = i_kv,
                       .n_per_row = context->shape.n_head / context->shape.n_kv};
}

static uint32_t take_unit(soti_context *context)
{
    return atomic_fetch_add_explicit(&context->next_unit, 1, memory_order_relaxed);
}

/* Head by head, so that its pages are in the cache for the next span; the last spans of a prompt
 * see the most and come first. */
static void run_spans(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    (void)n_threads;
    const attention *all = argument;
    uint32_t n_units = all->context->n_spans * all->context->shape.n_kv;
    for (uint32_t i = take_unit(all->context); i < n_units; i = take_unit(all->context)) {
        uint32_t i_span = all->context->n_spans - 1 - i % all->context->n_spans;
        span_work work = work_of_unit(all, i_span, i / all->context->n_spans, i_thread);
        attend(&work);
    }
}

static void run_parts(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    (void)n_threads;
    const attention *all = argument;
    uint32_t n_kv = all->context->shape.n_kv;
    uint32_t n_parts = all->context->n_parts;
    uint32_t n_units = all->context->n_spans * n_kv * n_parts;
    for (uint32_t i = take_unit(all->context); i < n_units; i = take_unit(all->context)) {
        span_work work = work_of_unit(all, i / n_parts / n_kv, i / n_parts % n_kv, i_thread);
        use_part(&work, i % n_parts);
        scale_queries(&work);
        attend_segment(&work, i % n_parts);
    }
}

static void run_merge(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    const attention *all = argument;
    soti_context *context = all->context;
    size_t i;
    size_t end;
    uint32_t n_kv = context->shape.n_kv;
    soti_pool_share((size_t)context->n_spans * n_kv, 1, i_thread, n_threads, &i, &end);
    for (; i < end; i++) {
        span_work work = work_of_unit(all, (uint32_t)i / n_kv, (uint32_t)i % n_kv, i_thread);
        uint32_t first = work.span->first_row;
        for (uint32_t r = first; r < first + work.span->n_rows; r++) {
            soti_softmax *totals = work.scratch->totals;
            begin_row(&work, r, totals);
            for (uint32_t s = 0; segment_size(&work, r, s) > 0; s++) {
                use_part(&work, s);
                merge_row(&work, r, totals);
            }
            finish_row(&work, r, totals);
        }
    }
}

sot_status soti_cpu_attention(soti_context *context, uint32_t i_layer)
{
    attention all = {context, i_layer};
    atomic_store_explicit(&context->next_unit, 0, memory_order_relaxed);
    if (context->n_parts == 0) {
        soti_pool_run(context->pool, run_spans, &all);
    } else {
        soti_pool_run(context->pool, run_parts, &all);
        soti_pool_run(context->pool, run_merge, &all);
    }
    return SOT_OK;
}
