/* See gemm_bench_data.h. */
#include "gemm_bench_data.h"

#include <stdlib.h>
#include <string.h>

#include "../../examples/shared/text.h"

enum {
    CACHE_TIMES = 4,
    COPIES_MOST = 64,
    PATTERN_HALVES = 1 << 20,
    N_ROWS = SOTI_CUDA_GROUP_ROWS,
    OVERLAP_SINCE = 9 /* compute capability with programmatic launches */
};

/* What lies in data->step. */
struct step {
    soti_cuda_counts counts;
    int32_t tokens[N_ROWS];
    uint32_t positions[N_ROWS], sequences[N_ROWS], tables[N_ROWS], logit_rows[N_ROWS];
};

void bench_check(cudaError_t status, const char *call)
{
    if (status != cudaSuccess) {
        complain("%s: %s", call, cudaGetErrorString(status));
        exit(1);
    }
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void *take(size_t n_bytes)
{
    void *memory = NULL;
    BENCH_CHECK(cudaMalloc(&memory, n_bytes));
    BENCH_CHECK(cudaMemset(memory, 0, n_bytes));
    return memory;
}

/* Small random numbers: zeros would need less power, and so let clocks rise. */
static uint16_t *take_random_halves(size_t n)
{
    uint16_t *pattern = grow(NULL, PATTERN_HALVES * sizeof *pattern);
    uint16_t *memory = take(n * sizeof *memory);
    uint64_t state = 1;
    for (size_t i = 0; i < PATTERN_HALVES; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t bits = (uint32_t)(state >> 40);
        pattern[i] = (uint16_t)((bits & 0x83FF) | (9 + (bits >> 16) % 4) << 10);
    }
    for (size_t done = 0; done < n; done += PATTERN_HALVES) {
        size_t some = n - done < PATTERN_HALVES ? n - done : PATTERN_HALVES;
        BENCH_CHECK(
            cudaMemcpy(memory + done, pattern, some * sizeof *pattern, cudaMemcpyHostToDevice));
    }
    free(pattern);
    return memory;
}

static float *take_ones(size_t n)
{
    float *ones = grow(NULL, n * sizeof *ones);
    float *memory = take(n * sizeof *memory);
    for (size_t i = 0; i < n; i++) {
        ones[i] = 1;
    }
    BENCH_CHECK(cudaMemcpy(memory, ones, n * sizeof *ones, cudaMemcpyHostToDevice));
    free(ones);
    return memory;
}

static uint32_t padded(uint32_t n)
{
    return (n + SOTI_CUDA_PAD - 1) / SOTI_CUDA_PAD * SOTI_CUDA_PAD;
}

static soti_cuda_shape fill_shape(const struct bench_shape *from)
{
    soti_cuda_shape shape = {.n_head = from->n_head,
                             .n_kv = from->n_kv,
                             .d_head = from->d_head,
                             .d_model = from->d_model,
                             .d_ff = from->d_ff,
                             .n_vocab = from->n_vocab,
                             .norm_eps = 1e-5f};
    shape.d_page = padded(shape.d_head);
    shape.n_qkv = (shape.n_head + 2 * shape.n_kv) * shape.d_head;
    shape.x_stride = padded(shape.d_model);
    shape.a_stride = padded(shape.n_head * shape.d_head);
    shape.h_stride = padded(shape.d_ff);
    return shape;
}

static void plan(struct bench_product *product, const struct bench_data *data, int kind,
                 const struct cudaDeviceProp *device)
{
    const soti_cuda_shape *shape = &data->shape;
    const struct bench_product products[BENCH_PRODUCTS] = {
        {BENCH_QKV, "qkv", shape->n_qkv, shape->d_model, shape->x_stride, 0, {0}, {0}},
        {BENCH_O, "o", shape->d_model, shape->n_head * shape->d_head, shape->a_stride, 0, {0}, {0}},
        {BENCH_GATE_UP, "gate_up", 2 * shape->d_ff, shape->d_model, shape->x_stride, 0, {0}, {0}},
        {BENCH_DOWN, "down", shape->d_model, shape->d_ff, shape->h_stride, 0, {0}, {0}},
        {BENCH_OUTPUT, "output", shape->n_vocab, shape->d_model, shape->x_stride, 0, {0}, {0}}};
    *product = products[kind];
    size_t bytes = (size_t)product->n_out * product->stride * sizeof(uint16_t);
    size_t n_copies = CACHE_TIMES * (size_t)device->l2CacheSize / bytes + 1;
    product->n_copies = (uint32_t)(n_copies < COPIES_MOST ? n_copies : COPIES_MOST);
    product->cut =
        soti_gemm_rows_cut(product->n_out, product->stride, kind == BENCH_QKV ? shape->d_head : 1,
                           data->launch.n_sm, device->sharedMemPerBlockOptin);
    if (product->cut.n_blocks == 0) {
        complain("gemm_rows cannot multiply %u rows of %u columns on this device", product->n_out,
                 product->stride);
        exit(1);
    }
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void take_step(struct bench_data *data)
{
    struct step *step = take(sizeof *step);
    data->step = step;
    data->rows = (soti_cuda_rows){.counts = &step->counts,
                                  .tokens = step->tokens,
                                  .positions = step->positions,
                                  .sequences = step->sequences,
                                  .page_tables = step->tables,
                                  .table_stride = 1,
                                  .logit_rows = step->logit_rows};
}

void bench_open(struct bench_data *data, const struct bench_shape *shape,
                struct bench_product products[BENCH_PRODUCTS], const struct cudaDeviceProp *device,
                uint32_t n_rows_max)
{
    size_t weights = 0, stride = 0, n_out = 0, partials = 0, counters = 0;
    *data = (struct bench_data){.shape = fill_shape(shape)};
    data->launch.n_sm = (uint32_t)device->multiProcessorCount;
    data->launch.overlap = device->major >= OVERLAP_SINCE;
    BENCH_CHECK(cudaStreamCreate(&data->launch.stream));
    for (int i = 0; i < BENCH_PRODUCTS; i++) {
        struct bench_product *product = &products[i];
        plan(product, data, i, device);
        weights = most(weights, (size_t)product->n_copies * product->n_out * product->stride);
        stride = most(stride, product->stride);
        n_out = most(n_out, product->n_out);
        partials = most(partials, product->cut.partial_floats);
        counters = most(counters, product->cut.n_counters);
    }
    const soti_cuda_shape *dims = &data->shape;
    size_t page = (size_t)N_ROWS * dims->n_kv * SOTI_CUDA_PAGE_TOKENS * dims->d_page;
    size_t n_sums = (dims->d_model + SOTI_CUDA_SUM_COLUMNS - 1) / SOTI_CUDA_SUM_COLUMNS;
    data->weights = take_random_halves(weights);
    data->halves = take_random_halves((size_t)n_rows_max * stride);
    data->wide = take((size_t)n_rows_max * n_out * sizeof(float));
    data->x = take_ones((size_t)N_ROWS * dims->d_model);
    data->sums = take_ones(N_ROWS * n_sums);
    data->norm_weight = take_ones(dims->d_model);
    data->rope = take_ones((size_t)N_ROWS * dims->d_head);
    data->partials = take(most(partials, 1) * sizeof(float));
    data->counters = take(most(counters, 1) * sizeof(uint32_t));
    data->pages.keys = take(page * sizeof(uint16_t));
    data->pages.values = take(page * sizeof(uint16_t));
    data->norm = (soti_cuda_norm){data->x, data->norm_weight, data->sums, dims->norm_eps};
    take_step(data);
}

void bench_close(struct bench_data *data)
{
    void *all[] = {data->weights,  data->halves,      data->wide,         data->x,
                   data->sums,     data->norm_weight, data->rope,         data->partials,
                   data->counters, data->pages.keys,  data->pages.values, data->step};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        BENCH_CHECK(cudaFree(all[i]));
    }
    BENCH_CHECK(cudaStreamDestroy(data->launch.stream));
}

void bench_set_rows(struct bench_data *data, struct bench_product *product, uint32_t n_rows)
{
    struct step step = {.counts = {.n_rows = n_rows, .n_logits = n_rows}};
    for (uint32_t i = 0; i < N_ROWS; i++) {
        step.positions[i] = i;
        step.sequences[i] = i;
        step.tables[i] = i;
        step.logit_rows[i] = i;
    }
    BENCH_CHECK(cudaMemcpy(data->step, &step, sizeof step, cudaMemcpyHostToDevice));
    product->rows = (soti_gemm_rows){.n_out = product->n_out,
                                     .n_in = product->n_in,
                                     .stride = product->stride,
                                     .cut = product->cut,
                                     .partials = data->partials,
                                     .counters = data->counters,
                                     .n_columns = n_rows <= SOTI_CUDA_COLUMN_ROWS ? 1 : 2};
}

const uint16_t *bench_weights(const struct bench_data *data, const struct bench_product *product,
                              uint32_t i_copy)
{
    return data->weights + (size_t)i_copy * product->n_out * product->stride;
}

cudaError_t bench_launch(const struct bench_data *data, const struct bench_product *product,
                         uint32_t i_copy)
{
    soti_gemm_rows rows = product->rows;
    rows.weights = bench_weights(data, product, i_copy);
    switch (product->kind) {
    case BENCH_QKV:
        return soti_launch_gemm_rows_qkv(&data->launch, &rows, &data->shape, &data->rows,
                                         &data->norm, data->rope, data->wide, data->pages);
    case BENCH_GATE_UP:
        return soti_launch_gemm_rows_gate_up(&data->launch, &rows, &data->rows, &data->norm,
                                             data->wide, data->shape.h_stride);
    case BENCH_OUTPUT:
        return soti_launch_gemm_rows_logits(&data->launch, &rows, &data->rows, &data->norm,
                                            data->wide);
    default:
        return soti_launch_gemm_rows_residual(&data->launch, &rows, &data->rows, data->halves,
                                              data->x, data->sums);
    }
}
