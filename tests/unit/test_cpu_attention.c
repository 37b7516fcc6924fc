/* Attention on pages that the test fills itself: against double precision over positions in order,
 * and grouped against flat, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fail.h"
#include "cpu/cpu_context.h"
#include "cpu/cpu_isa.h"
#include "unit/cpu_model.h"

enum {
    N_ROWS_MAX = 70,
    N_TABLE = 25, /* pages: three segments and one page */
    N_SEQUENCES = 7,
    N_POSITIONS = N_TABLE * SOTI_PAGE_TOKENS
};

typedef struct heads {
    uint32_t n_head, n_kv, d_head;
} heads;

static const heads kinds[] = {{1, 1, 2},   {4, 4, 16},  {6, 2, 10}, {8, 1, 64},
                              {4, 2, 128}, {2, 2, 200}, {1, 1, 256}};

/* A context of one layer whose batch can be set without any other stage. */
typedef struct bench {
    cpu_model model;
    soti_context *context;
    uint32_t tables[N_SEQUENCES][N_TABLE];
    int32_t tokens[N_ROWS_MAX];
    uint32_t positions[N_ROWS_MAX];
    uint32_t sequences[N_ROWS_MAX];
    soti_row_group groups[N_ROWS_MAX];
    soti_rows rows;
} bench;

/* Pages hold random keys and values everywhere: what a row must not see is there to be seen. */
static void bench_open_for(bench *all, const heads *kind, const char *isa, uint32_t n_threads,
                           uint32_t n_shared, uint32_t n_rows_max)
{
    soti_shape shape = {1, kind->n_head,          kind->n_kv, kind->d_head, 2,    2,
                        2, SOTI_ROPE_INTERLEAVED, 10000.0f,   1.0f,         1e-5f};
    soti_context_params params = {.n_rows_max = n_rows_max,
                                  .n_logits_max = 1,
                                  .n_sequences_max = N_SEQUENCES,
                                  .n_pages = N_SEQUENCES * N_TABLE,
                                  .n_table_max = N_TABLE,
                                  .n_threads = n_threads,
                                  .isa = isa};
    memset(all, 0, sizeof *all);
    cpu_model_make(&all->model, &shape, 0);
    assert_int_equal(cpu_model_open(&all->model), SOT_OK);
    assert_int_equal(soti_cpu_backend()->context_create(all->model.weights, &params, &all->context),
                     SOT_OK);
    size_t n = all->context->pages_bytes / sizeof(uint16_t);
    for (size_t i = 0; i < n; i++) {
        all->context->pages[i] = soti_half_from_float((float)(2 * cpu_noise(50, i)));
    }
    for (uint32_t s = 0; s < N_SEQUENCES; s++) {
        for (uint32_t p = 0; p < N_TABLE; p++) {
            all->tables[s][p] =
                (p * 5 + (p < n_shared ? 0 : s) * N_TABLE) % (N_SEQUENCES * N_TABLE);
        }
    }
    all->rows.tokens = all->tokens;
    all->rows.positions = all->positions;
    all->rows.sequences = all->sequences;
    all->rows.n_sequences = N_SEQUENCES;
    all->rows.page_tables = all->tables[0];
    all->rows.table_stride = N_TABLE;
    all->rows.groups = all->groups;
}

static void bench_open(bench *all, const heads *kind, const char *isa, uint32_t n_threads,
                       uint32_t n_shared)
{
    bench_open_for(all, kind, isa, n_threads, n_shared, N_ROWS_MAX);
}

static void bench_close(bench *all)
{
    soti_cpu_backend()->context_free(all->context);
    cpu_model_close(&all->model);
    cpu_model_free(&all->model);
}

static void add_row(bench *all, uint32_t sequence, uint32_t position)
{
    all->sequences[all->rows.n_rows] = sequence;
    all->positions[all->rows.n_rows++] = position;
}

static void add_group(bench *all, uint32_t n_rows, uint32_t n_shared_pages)
{
    uint32_t n = all->rows.n_groups++;
    uint32_t first = n == 0 ? 0 : all->groups[n - 1].first_row + all->groups[n - 1].n_rows;
    all->groups[n] = (soti_row_group){first, n_rows, n_shared_pages};
}

static void run(bench *all)
{
    soti_context *context = all->context;
    size_t n = (size_t)all->model.shape.n_head * all->model.shape.d_head;
    assert_int_equal(soti_cpu_backend()->batch_begin(context, &all->rows), SOT_OK);
    for (uint32_t r = 0; r < all->rows.n_rows; r++) {
        for (size_t i = 0; i < n; i++) {
            uint64_t place = (uint64_t)(all->sequences[r] * N_POSITIONS + all->positions[r]);
            context->q[r * context->head_stride + i] = (float)(3 * cpu_noise(60, place * n + i));
        }
    }
    assert_int_equal(soti_cpu_backend()->attention(context, 0), SOT_OK);
}

/* Each row against all its positions at once. Scores are below 6 * sqrt(d_head) * 2, the exponents'
 * relative error that times 2^-24; values are below 2. */
static void check_rows(bench *all, const char *isa)
{
    const soti_shape *shape = &all->model.shape;
    soti_context *context = all->context;
    size_t d = shape->d_head;
    size_t n_k = shape->n_kv * d;
    size_t n_q = shape->n_head * d;
    double *q = calloc(n_q, sizeof *q);
    double *out = calloc(n_q, sizeof *out);
    double *keys = calloc(N_POSITIONS * n_k, sizeof *keys);
    double *values = calloc(N_POSITIONS * n_k, sizeof *values);
    double bound = 4 * (24 * sqrt((double)d) + N_POSITIONS + (double)d) * 0x1p-24;
    for (uint32_t r = 0; r < all->rows.n_rows; r++) {
        for (uint32_t p = 0; p <= all->positions[r]; p++) {
            uint32_t page = all->tables[all->sequences[r]][p / SOTI_PAGE_TOKENS];
            for (size_t i = 0; i < n_k; i++) {
                size_t n_pages = context->params.n_pages;
                size_t key = cpu_page_place(shape, n_pages, 0, page, 0, i / d, p) + i % d;
                size_t value = cpu_page_place(shape, n_pages, 0, page, 1, i / d, p) + i % d;
                keys[p * n_k + i] = (double)soti_half_to_float(context->pages[key]);
                values[p * n_k + i] = (double)soti_half_to_float(context->pages[value]);
            }
        }
        for (size_t i = 0; i < n_q; i++) {
            q[i] = (double)context->q[r * context->head_stride + i];
        }
        cpu_reference_attention(shape, q, keys, values, all->positions[r] + 1, out);
        for (size_t i = 0; i < n_q; i++) {
            double found = (double)context->attended[r * context->head_stride + i];
            if (!(fabs(found - out[i]) <= bound)) {
                fail_msg("%s: %u heads of %u, position %u: element %zu is %g, expected %g", isa,
                         shape->n_head, shape->d_head, all->positions[r], i, found, out[i]);
            }
        }
    }
    free(q);
    free(out);
    free(keys);
    free(values);
}

static void check_borders(const heads *kind, const char *isa)
{
    static const uint32_t borders[] = {0,   1,   14,  15,  16,  17,  31,
                                       32,  33,  47,  126, 127, 128, 129,
                                       254, 255, 256, 257, 383, 384, N_POSITIONS - 1};
    bench all;
    bench_open(&all, kind, isa, 2, 0);
    for (uint32_t s = 0; s < 3; s++) {
        for (size_t i = s; i < sizeof borders / sizeof borders[0]; i++) {
            add_row(&all, s, borders[i]);
        }
        add_group(&all, sizeof borders / sizeof borders[0] - s, 0);
    }
    run(&all);
    check_rows(&all, isa);
    bench_close(&all);
}

static void attention_positions_around_page_and_segment_borders_match(void **state)
{
    (void)state;
    for (uint32_t i = 0; soti_cpu_isa_name(i) != NULL; i++) {
        const soti_cpu_kernels *kernels;
        if (soti_cpu_isa_select(soti_cpu_isa_name(i), &kernels) != SOT_OK) {
            print_message("skipped for %s: %s\n", soti_cpu_isa_name(i), soti_fail_message());
            continue;
        }
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            check_borders(&kinds[k], soti_cpu_isa_name(i));
        }
    }
}

/* All sequences share n_shared pages; ten rows each, more than one span. */
static void add_branches(bench *all, uint32_t n_shared)
{
    for (uint32_t s = 0; s < N_SEQUENCES; s++) {
        for (uint32_t i = 0; i < 10; i++) {
            add_row(all, s, n_shared * SOTI_PAGE_TOKENS + s + 3 * i);
        }
    }
}

static void check_grouped(const heads *kind, const char *isa, uint32_t n_shared, uint32_t n_threads)
{
    bench all;
    bench_open(&all, kind, isa, n_threads, n_shared);
    size_t n = N_ROWS_MAX * all.context->head_stride;
    float *flat = calloc(n, sizeof *flat);
    add_branches(&all, n_shared);
    for (uint32_t r = 0; r < all.rows.n_rows; r++) {
        add_group(&all, 1, 0);
    }
    run(&all);
    check_rows(&all, isa);
    memcpy(flat, all.context->attended, n * sizeof *flat);
    for (uint32_t n_used = 0; n_used <= n_shared; n_used++) {
        all.rows.n_groups = 0;
        add_group(&all, 33, n_used);
        add_group(&all, 1, n_shared);
        add_group(&all, all.rows.n_rows - 34, n_used);
        run(&all);
        assert_memory_equal(flat, all.context->attended, n * sizeof *flat);
    }
    free(flat);
    bench_close(&all);
}

static void attention_shared_pages_equal_flat_bit_for_bit(void **state)
{
    (void)state;
    for (uint32_t i = 0; soti_cpu_isa_name(i) != NULL; i++) {
        const soti_cpu_kernels *kernels;
        if (soti_cpu_isa_select(soti_cpu_isa_name(i), &kernels) != SOT_OK) {
            print_message("skipped for %s: %s\n", soti_cpu_isa_name(i), soti_fail_message());
            continue;
        }
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            check_grouped(&kinds[k], soti_cpu_isa_name(i), (uint32_t)(k * 5) % 16,
                          1 + (uint32_t)k % 3);
        }
    }
}

/* Rows of one sequence that end at the last position, on a pool of n_threads: what each row gets.
 */
static float *attend_last(const heads *kind, const char *isa, uint32_t n_threads, uint32_t n_rows)
{
    bench all;
    bench_open(&all, kind, isa, n_threads, 0);
    for (uint32_t r = 0; r < n_rows; r++) {
        add_row(&all, 2, N_POSITIONS - n_rows + r);
    }
    add_group(&all, n_rows, 0);
    run(&all);
    check_rows(&all, isa);
    size_t n = (size_t)kind->n_head * kind->d_head;
    float *rows = calloc(n_rows * n, sizeof *rows);
    for (uint32_t r = 0; r < n_rows; r++) {
        memcpy(rows + r * n, all.context->attended + r * all.context->head_stride,
               n * sizeof *rows);
    }
    bench_close(&all);
    return rows;
}

/* One thread goes through whole spans; many share a row by segments, or get spans of one row. A
 * prompt's last row is the same whether it came alone or as one of 40. */
static void attention_threads_and_chunks_change_no_bit(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 3, 8, 40};
    static const uint32_t counts[] = {1, 2, 16, 17, 40};
    for (uint32_t i = 0; soti_cpu_isa_name(i) != NULL; i++) {
        const soti_cpu_kernels *kernels;
        if (soti_cpu_isa_select(soti_cpu_isa_name(i), &kernels) != SOT_OK) {
            print_message("skipped for %s: %s\n", soti_cpu_isa_name(i), soti_fail_message());
            continue;
        }
        for (size_t k = 1; k < 5; k++) {
            size_t n = (size_t)kinds[k].n_head * kinds[k].d_head;
            float *expected = attend_last(&kinds[k], kernels->isa, 1, 40);
            for (size_t t = 0; t < 5; t++) {
                uint32_t n_rows = counts[(t + k) % 5];
                float *found = attend_last(&kinds[k], kernels->isa, threads[t], n_rows);
                assert_memory_equal(found, expected + (40 - n_rows) * n,
                                    n_rows * n * sizeof *found);
                free(found);
            }
            free(expected);
        }
    }
}

/* A context that was made for fewer rows than a span has: what segments leave to be merged must
 * stay within what such a context reserved, which the address sanitizer watches. */
static void attention_context_of_few_rows_keeps_to_its_memory(void **state)
{
    (void)state;
    for (uint32_t n_rows = 1; n_rows <= 3; n_rows++) {
        bench all;
        bench_open_for(&all, &kinds[2], "portable", 8, 0, n_rows);
        for (uint32_t s = 0; s < n_rows; s++) {
            add_row(&all, s, N_POSITIONS - 1 - s);
            add_group(&all, 1, 0);
        }
        run(&all);
        assert_true(all.context->n_parts > 1);
        check_rows(&all, "portable");
        bench_close(&all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_positions_around_page_and_segment_borders_match),
        cmocka_unit_test(attention_shared_pages_equal_flat_bit_for_bit),
        cmocka_unit_test(attention_threads_and_chunks_change_no_bit),
        cmocka_unit_test(attention_context_of_few_rows_keeps_to_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
