/* Times what surrounds the weight products of a step on the CPU: attention of decode and prefill,
 * an empty run of the thread pool, picking tokens. Not a test. After a build of the library:
 *
 *   cc -O2 -D_GNU_SOURCE -Iinclude -Ilib tests/bench/bench_attention.c build/libsot_internal.a \
 *      -o bench_attention -lpcre2-8 -ljansson -lm -lpthread
 *   ./bench_attention [isa [threads]]
 *
 * Attention is that of random:2048x24x16x5504x32000: 24 layers of 16 heads of 128, whose pages fit
 * in no cache. Medians of N_TIMES passes over all layers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fail.h"
#include "base/half.h"
#include "base/pool.h"
#include "cpu/cpu_context.h"

enum {
    N_LAYER = 24,
    N_ROWS_MAX = 128,
    N_TABLE = 66,
    N_SEQUENCES = 16,
    N_TIMES = 15,
    N_VOCAB = 32000,
    D_MODEL = 2048,
    SMALL_FF = 32 /* the other stages are not run */
};

static const soti_shape shape = {
    N_LAYER, 16, 16, 128, D_MODEL, SMALL_FF, N_VOCAB, SOTI_ROPE_INTERLEAVED, 10000.0f, 1.0f, 1e-5f};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times)
{
    qsort(times, N_TIMES, sizeof *times, compare_doubles);
    return times[N_TIMES / 2];
}

/* n_sequences sequences of n_each rows that end at position n_context - 1 and share as many full
 * pages before those rows as n_shared tokens fill. */
static void bench_rows(soti_context *context, uint32_t n_sequences, uint32_t n_each,
                       uint32_t n_context, uint32_t n_shared)
{
    static int32_t tokens[N_ROWS_MAX];
    static uint32_t positions[N_ROWS_MAX];
    static uint32_t sequences[N_ROWS_MAX];
    static uint32_t tables[N_SEQUENCES][N_TABLE];
    static soti_row_group groups[N_ROWS_MAX];
    uint32_t n_shared_pages = n_shared / SOTI_PAGE_TOKENS;
    uint32_t n_own = N_TABLE - n_shared_pages;
    double n_seen = 0;
    double n_read = n_shared_pages * SOTI_PAGE_TOKENS;
    for (uint32_t s = 0; s < n_sequences; s++) {
        for (uint32_t p = 0; p < N_TABLE; p++) {
            tables[s][p] = p < n_shared_pages ? p : n_shared_pages + s * n_own + p - n_shared_pages;
        }
        for (uint32_t i = 0; i < n_each; i++) {
            positions[s * n_each + i] = n_context - n_each + i;
            sequences[s * n_each + i] = s;
            n_seen += n_context - n_each + i + 1;
        }
        n_read += n_context - n_shared_pages * SOTI_PAGE_TOKENS;
    }
    groups[0] = (soti_row_group){0, n_sequences * n_each, n_shared_pages};
    soti_rows rows = {.n_rows = n_sequences * n_each,
                      .tokens = tokens,
                      .positions = positions,
                      .sequences = sequences,
                      .n_sequences = n_sequences,
                      .page_tables = tables[0],
                      .table_stride = N_TABLE,
                      .n_groups = 1,
                      .groups = groups};
    if (n_shared_pages == 0) {
        rows.n_groups = n_sequences;
        for (uint32_t s = 0; s < n_sequences; s++) {
            groups[s] = (soti_row_group){s * n_each, n_each, 0};
        }
    }
    const soti_backend *cpu = soti_cpu_backend();
    cpu->batch_begin(context, &rows);
    for (size_t i = 0; i < rows.n_rows * context->head_stride; i++) {
        context->q[i] = (float)(i * 2654435761u % 4096) / 2048 - 1;
    }
    double times[N_TIMES];
    for (int i = 0; i < N_TIMES; i++) {
        double start = now();
        for (uint32_t l = 0; l < N_LAYER; l++) {
            cpu->attention(context, l);
        }
        times[i] = now() - start;
    }
    double fastest = times[0];
    for (int i = 1; i < N_TIMES; i++) {
        fastest = times[i] < fastest ? times[i] : fastest;
    }
    double took = median(times);
    double width = (double)shape.n_head * shape.d_head;
    printf("  %3u rows of %2u, context %4u, shared %4u: %8.3f ms (best %8.3f) %6.1f GB/s %7.1f "
           "GFLOP/s\n",
           n_each, n_sequences, n_context, n_shared, took * 1e3, fastest * 1e3,
           N_LAYER * 4 * width * n_read / took * 1e-9, N_LAYER * 4 * width * n_seen / took * 1e-9);
}

static void nothing(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    (void)argument;
    (void)i_thread;
    (void)n_threads;
}

static void bench_pool(soti_pool *pool)
{
    enum { N_RUNS = 20000 };
    double times[N_TIMES];
    for (int i = 0; i < N_TIMES; i++) {
        double start = now();
        for (int r = 0; r < N_RUNS; r++) {
            soti_pool_run(pool, nothing, NULL);
        }
        times[i] = (now() - start) / N_RUNS;
    }
    printf("  %u threads, empty run behind another: %.3f us\n", soti_pool_size(pool),
           median(times) * 1e6);
    static const long rests_us[] = {10, 50, 100, 500, 5000};
    for (size_t k = 0; k < sizeof rests_us / sizeof rests_us[0]; k++) {
        for (int i = 0; i < N_TIMES; i++) {
            double until = now() + (double)rests_us[k] * 1e-6;
            while (now() < until) {
            }
            double start = now();
            soti_pool_run(pool, nothing, NULL);
            times[i] = now() - start;
        }
        printf("  %u threads, empty run after %4ld us: %.3f us\n", soti_pool_size(pool),
               rests_us[k], median(times) * 1e6);
    }
}

static void bench_picks(soti_context *context, const char *name, soti_pick pick)
{
    enum { N_PICKS = 16 };
    static soti_pick picks[N_PICKS];
    static int32_t chosen[N_PICKS];
    double times[N_TIMES];
    context->rows.n_logits = N_PICKS;
    for (uint32_t r = 0; r < N_PICKS; r++) {
        picks[r] = pick;
        picks[r].i_logit = r;
        picks[r].stream = r;
        for (uint32_t i = 0; i < N_VOCAB; i++) {
            context->logits[r * context->vocab_stride + i] =
                (float)((i + r * 977) * 2654435761u % 65536) / 6554 - 5;
        }
    }
    for (int i = 0; i < N_TIMES; i++) {
        double start = now();
        soti_cpu_backend()->pick(context, picks, N_PICKS, chosen);
        times[i] = now() - start;
    }
    printf("  16 picks of 32000, %-28s %8.3f ms\n", name, median(times) * 1e3);
}

int main(int argc, char **argv)
{
    const soti_backend *cpu = soti_cpu_backend();
    soti_context_params params = {.n_rows_max = N_ROWS_MAX,
                                  .n_logits_max = 16,
                                  .n_sequences_max = N_SEQUENCES,
                                  .n_pages = N_SEQUENCES * N_TABLE,
                                  .n_table_max = N_TABLE,
                                  .n_threads = argc > 2 ? (uint32_t)atoi(argv[2]) : 0,
                                  .isa = argc > 1 ? argv[1] : NULL};
    soti_layer_weights layers[N_LAYER] = {{0}};
    soti_weights view = {.layers = layers};
    soti_device *device = NULL;
    soti_device_weights *weights = NULL;
    soti_context *context = NULL;
    if (cpu->device_open(0, NULL, &device) != SOT_OK ||
        cpu->weights_create(device, &shape, &view, NULL, NULL, &weights) != SOT_OK ||
        cpu->context_create(weights, &params, &context) != SOT_OK) {
        fprintf(stderr, "%s\n", soti_fail_message());
        return 1;
    }
    for (size_t i = 0; i < context->pages_bytes / sizeof(uint16_t); i++) {
        context->pages[i] = (uint16_t)(0x3000u | (i * 2654435761u >> 7 & 0x83FFu));
    }
    printf("%s, %u threads\n", context->kernels->isa, soti_pool_size(context->pool));
    bench_rows(context, 1, 1, 128, 0);
    bench_rows(context, 1, 1, 1024, 0);
    bench_rows(context, 4, 1, 1024, 1008);
    bench_rows(context, 16, 1, 1024, 1008);
    bench_rows(context, 16, 1, 1024, 512);
    bench_rows(context, 16, 1, 256, 128);
    bench_rows(context, 16, 1, 256, 0);
    for (uint32_t n = 128; n <= 1024; n += n < 512 ? 128 : 512) {
        bench_rows(context, 1, 128, n, 0);
    }
    bench_pool(context->pool);
    soti_pick pick = {.top_p = 1, .repetition_penalty = 1};
    bench_picks(context, "greedy", pick);
    pick.temperature = 0.7f;
    bench_picks(context, "temperature 0.7", pick);
    pick.top_p = 0.95f;
    bench_picks(context, "temperature 0.7, top-p 0.95", pick);
    pick.top_k = 40;
    bench_picks(context, "temperature 0.7, top-k 40", pick);
    cpu->context_free(context);
    cpu->weights_free(weights);
    cpu->device_close(device);
    return 0;
}
