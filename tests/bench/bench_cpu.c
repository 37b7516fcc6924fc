/* Times the CPU backend's stages on weights of a given shape that lie in no cache, beside the rate
 * at which the same threads merely read those weights. Not a test. After a build of the library:
 *
 *   cc -O2 -D_GNU_SOURCE -Iinclude -Ilib tests/bench/bench_cpu.c build/libsot_internal.a \
 *      -o bench_cpu -lpcre2-8 -ljansson -lm -lpthread
 *   ./bench_cpu [isa [threads [cpu]]]
 *
 * With "cpu" and one thread the clock is the processor's time of this process, which leaves out
 * what other programs take of a busy machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/pool.h"

enum { N_LAYER = 8, N_ROWS_MAX = 256, N_TABLE = 16, N_TIMES = 5 };

static const soti_shape shape = {
    N_LAYER, 16, 16, 128, 2048, 5504, 32000, SOTI_ROPE_INTERLEAVED, 10000.0f, 1.0f, 1e-5f};

typedef sot_status (*stage_fn)(soti_context *context, uint32_t i_layer);

static uint16_t *take(uint16_t **next, size_t n_out, size_t n_in)
{
    uint16_t *taken = *next;
    *next += n_out * n_in;
    return taken;
}

static clockid_t clock_used = CLOCK_MONOTONIC;

static double now(void)
{
    struct timespec time;
    clock_gettime(clock_used, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

typedef struct reading {
    const uint64_t *words;
    size_t n;
    uint64_t sums[256];
} reading;

static void read_words(void *context, uint32_t i_thread, uint32_t n_threads)
{
    reading *all = context;
    size_t first;
    size_t end;
    uint64_t sum = 0;
    soti_pool_share(all->n, 512, i_thread, n_threads, &first, &end);
    for (size_t i = first; i < end; i++) {
        sum += all->words[i];
    }
    all->sums[i_thread] = sum;
}

/* Seconds of the fastest of N_TIMES passes over all layers. */
static double time_stage(soti_context *context, stage_fn fn)
{
    double best = 1e9;
    for (int i = 0; i < N_TIMES; i++) {
        double start = now();
        for (uint32_t l = 0; l < N_LAYER; l++) {
            fn(context, l);
        }
        double took = now() - start;
        best = took < best ? took : best;
    }
    return best;
}

static void report(const char *name, double seconds, double bytes, double flops)
{
    printf("    %-10s %8.3f ms %7.1f GB/s %8.1f GFLOP/s\n", name, seconds * 1e3,
           bytes / seconds * 1e-9, flops / seconds * 1e-9);
}

static void bench_rows(soti_context *context, uint32_t n_rows, int is_prefill)
{
    static int32_t tokens[N_ROWS_MAX];
    static uint32_t positions[N_ROWS_MAX];
    static uint32_t sequences[N_ROWS_MAX];
    static uint32_t tables[N_ROWS_MAX][N_TABLE];
    static uint32_t logit_rows[N_ROWS_MAX];
    for (uint32_t i = 0; i < n_rows; i++) {
        tokens[i] = (int32_t)(i * 37);
        positions[i] = is_prefill ? i : N_TABLE * SOTI_PAGE_TOKENS - 1;
        sequences[i] = is_prefill ? 0 : i;
        logit_rows[i] = i;
        for (uint32_t p = 0; p < N_TABLE; p++) {
            tables[i][p] = p < N_TABLE - 1 ? p : N_TABLE + i;
        }
    }
    soti_row_group group = {0, n_rows, is_prefill ? 0 : N_TABLE - 1};
    soti_rows rows = {.n_rows = n_rows,
                      .n_prompt_rows = is_prefill ? n_rows : 0,
                      .tokens = tokens,
                      .positions = positions,
                      .sequences = sequences,
                      .n_sequences = is_prefill ? 1 : n_rows,
                      .page_tables = tables[0],
                      .table_stride = N_TABLE,
                      .n_groups = 1,
                      .groups = &group,
                      .n_logits = n_rows <= 16 ? n_rows : 1,
                      .logit_rows = logit_rows};
    const soti_backend *cpu = soti_cpu_backend();
    cpu->batch_begin(context, &rows);
    cpu->embed(context);
    double d = shape.d_model;
    double n_q = (double)shape.n_head * shape.d_head;
    double n_k = (double)shape.n_kv * shape.d_head;
    double sizes[] = {N_LAYER * d * (n_q + 2 * n_k), N_LAYER * d * n_q,
                      N_LAYER * 2 * d * shape.d_ff, N_LAYER * d * shape.d_ff};
    const char *names[] = {"qkv", "output", "gate_up", "down"};
    stage_fn fns[] = {cpu->qkv, cpu->attention_output, cpu->gate_up, cpu->down};
    double total = 0;
    double total_size = 0;
    printf("  %u rows, %s:\n", n_rows, is_prefill ? "one prompt" : "15 of 16 pages shared");
    for (int i = 0; i < 4; i++) {
        double took = time_stage(context, fns[i]);
        report(names[i], took, 2 * sizes[i], 2 * sizes[i] * n_rows);
        total += took;
        total_size += sizes[i];
    }
    double took = time_stage(context, cpu->attention);
    report("attention", took, 0,
           N_LAYER * 4.0 * n_q * n_rows * (is_prefill ? n_rows / 2.0 : N_TABLE * 16.0));
    total += took;
    report("layers", total, 2 * total_size, 2 * total_size * n_rows);
    printf("    %.1f rows/s through %.0f M parameters\n", n_rows / total, total_size * 1e-6);
}

int main(int argc, char **argv)
{
    const soti_backend *cpu = soti_cpu_backend();
    soti_context_params params = {.n_rows_max = N_ROWS_MAX,
                                  .n_logits_max = 16,
                                  .n_sequences_max = N_ROWS_MAX,
                                  .n_pages = N_TABLE + N_ROWS_MAX,
                                  .n_table_max = N_TABLE,
                                  .n_threads = argc > 2 ? (uint32_t)atoi(argv[2]) : 0,
                                  .isa = argc > 1 ? argv[1] : NULL};
    if (argc > 3 && strcmp(argv[3], "cpu") == 0) {
        clock_used = CLOCK_PROCESS_CPUTIME_ID;
    }
    size_t d = shape.d_model;
    size_t n = N_LAYER * d * (4 * d + 3 * (size_t)shape.d_ff) + 2 * shape.n_vocab * d;
    uint16_t *halves = malloc(n * sizeof *halves);
    float *norms = malloc(d * sizeof *norms);
    for (size_t i = 0; i < n; i++) {
        halves[i] = (uint16_t)(0x2000u | (i * 2654435761u >> 7 & 0x83FFu)); /* +-0.01 */
    }
    for (size_t i = 0; i < d; i++) {
        norms[i] = 1;
    }
    soti_layer_weights layers[N_LAYER];
    uint16_t *next = halves;
    for (int l = 0; l < N_LAYER; l++) {
        layers[l] = (soti_layer_weights){norms,
                                         take(&next, d, d),
                                         take(&next, d, d),
                                         take(&next, d, d),
                                         take(&next, d, d),
                                         norms,
                                         take(&next, shape.d_ff, d),
                                         take(&next, shape.d_ff, d),
                                         take(&next, d, shape.d_ff)};
    }
    soti_weights view = {next, layers, norms, next + shape.n_vocab * d};

    soti_pool *pool = NULL;
    soti_device *device = NULL;
    soti_device_weights *weights = NULL;
    soti_context *context = NULL;
    if (soti_pool_create(params.n_threads, 0, &pool) != SOT_OK ||
        cpu->device_open(0, NULL, &device) != SOT_OK ||
        cpu->weights_create(device, &shape, &view, NULL, NULL, &weights) != SOT_OK ||
        cpu->context_create(weights, &params, &context) != SOT_OK) {
        fprintf(stderr, "%s\n", soti_fail_message());
        return 1;
    }
    static reading all;
    all.words = (const uint64_t *)(const void *)halves;
    all.n = n / 4;
    double best = 1e9;
    for (int i = 0; i < N_TIMES; i++) {
        double start = now();
        soti_pool_run(pool, read_words, &all);
        double took = now() - start;
        best = took < best ? took : best;
    }
    printf("%u threads, reading alone: %.1f GB/s\n", soti_pool_size(pool), (double)n * 2e-9 / best);
    bench_rows(context, 1, 0);
    bench_rows(context, 4, 0);
    bench_rows(context, 16, 0);
    bench_rows(context, 256, 1);
    cpu->context_free(context);
    cpu->weights_free(weights);
    cpu->device_close(device);
    soti_pool_free(pool);
    free(halves);
    free(norms);
    return 0;
}
