/* The small steps between the prompts' products against float64: lengths odd and even, around what
 * a block takes at once; and that nothing else is written, not even beside it. CUDA's runtime and
 * kernels.h only, so that the same tests run on a device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../random_source.h"
#include "kernels.h"

enum {
    UNTOUCHED = 0x5A5A, /* a half that nobody wrote */
    FIRST_ROW = 3,      /* rows of a batch in front of those that a launch is for */
    N_ROWS = 5,
    N_DEVICE_MAX = 16
};

/* Where kernels run on the host: the order of blocks and threads from the next launch on. */
void on_host_set_seed(uint64_t seed) __attribute__((weak));

typedef struct bench {
    random_source source;
    void *device[N_DEVICE_MAX];
    size_t n_device;
    soti_cuda_launch launch;
} bench;

static void check_cuda(cudaError_t error)
{
    if (error != cudaSuccess) {
        fail_msg("CUDA: %s", cudaGetErrorString(error));
    }
}

static void bench_open(bench *all, uint64_t seed)
{
    memset(all, 0, sizeof *all);
    all->source.state = seed;
    all->launch.n_sm = 4;
    if (on_host_set_seed) {
        on_host_set_seed(seed);
    }
    check_cuda(cudaStreamCreate(&all->launch.stream));
}

static void bench_close(bench *all)
{
    for (size_t i = 0; i < all->n_device; i++) {
        check_cuda(cudaFree(all->device[i]));
    }
    check_cuda(cudaStreamDestroy(all->launch.stream));
}

/* On the device, exactly as large as it must be. */
static void *put(bench *all, const void *from, size_t bytes)
{
    void *memory = NULL;
    assert_true(all->n_device < N_DEVICE_MAX);
    check_cuda(cudaMalloc(&memory, bytes));
    all->device[all->n_device++] = memory;
    check_cuda(cudaMemcpy(memory, from, bytes, cudaMemcpyHostToDevice));
    return memory;
}

static void fetch(bench *all, void *to, const void *device, size_t bytes)
{
    check_cuda(cudaStreamSynchronize(all->launch.stream));
    check_cuda(cudaMemcpy(to, device, bytes, cudaMemcpyDeviceToHost));
}

static float *random_floats(bench *all, size_t n, double scale)
{
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)(scale * (random_between(&all->source, 0, 2000000) / 1e6 - 1));
    }
    return values;
}

static uint16_t *untouched_halves(size_t n)
{
    uint16_t *halves = malloc(n * sizeof *halves);
    assert_non_null(halves);
    for (size_t i = 0; i < n; i++) {
        halves[i] = UNTOUCHED;
    }
    return halves;
}

static double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    int mantissa = bits & 1023;
    double value = exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);
    if (exponent == 31) {
        value = mantissa == 0 ? (double)INFINITY : (double)NAN;
    }
    return (bits & 0x8000) ? -value : value;
}

/* slack: what FP32 arithmetic may have moved the value by before it was rounded to FP16. */
static void check_half(uint16_t found, double expected, double slack)
{
    double most = slack + fmax(fabs(expected) * ldexp(1, -11), ldexp(1, -25));
    if (!(fabs(half_value(found) - expected) <= most)) {
        fail_msg("%.9g instead of %.9g, %g allowed", half_value(found), expected, most);
    }
}

static uint32_t padded(uint32_t n)
{
    return (n + SOTI_CUDA_PAD - 1) / SOTI_CUDA_PAD * SOTI_CUDA_PAD;
}

/* Columns that are left alone begin behind the even number of columns that are written. */
static void check_columns(const uint16_t *row, uint32_t n, uint32_t stride)
{
    for (uint32_t i = n; i < stride; i++) {
        assert_int_equal(row[i], i < n + n % 2 ? 0 : UNTOUCHED);
    }
}

static void check_norm(uint32_t d_model, uint64_t seed)
{
    bench all;
    bench_open(&all, seed);
    uint32_t stride = padded(d_model);
    size_t n_x = (FIRST_ROW + N_ROWS) * (size_t)d_model;
    size_t n_out = N_ROWS * (size_t)stride;
    float *x = random_floats(&all, n_x, 3);
    float *weight = random_floats(&all, d_model, 2);
    uint16_t *out = untouched_halves(n_out);
    float *device_x = put(&all, x, n_x * sizeof *x);
    float *device_weight = put(&all, weight, d_model * sizeof *weight);
    uint16_t *device_out = put(&all, out, n_out * sizeof *out);
    check_cuda(soti_launch_norm(&all.launch, FIRST_ROW, N_ROWS, device_x, device_weight, 1e-5f,
                                d_model, device_out, stride));
    fetch(&all, out, device_out, n_out * sizeof *out);
    for (uint32_t r = 0; r < N_ROWS; r++) {
        const float *row = x + (size_t)(FIRST_ROW + r) * d_model;
        double sum = 0;
        for (uint32_t i = 0; i < d_model; i++) {
            sum += (double)row[i] * (double)row[i];
        }
        double factor = 1 / sqrt(sum / d_model + (double)1e-5f);
        for (uint32_t i = 0; i < d_model; i++) {
            double expected = (double)row[i] * factor * (double)weight[i];
            check_half(out[r * (size_t)stride + i], expected, fabs(expected) * ldexp(1, -20));
        }
        check_columns(out + r * (size_t)stride, d_model, stride);
    }
    bench_close(&all);
    free(x);
    free(weight);
    free(out);
}

static void norm_of_any_length_matches_float64(void **state)
{
    static const uint32_t lengths[] = {1, 2, 33, 64, 511, 512, 513, 1024, 1100};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        check_norm(lengths[i], i);
    }
}

static void check_swiglu(uint32_t d_ff, uint64_t seed)
{
    bench all;
    bench_open(&all, seed);
    uint32_t stride = padded(d_ff);
    size_t n_in = N_ROWS * (size_t)2 * d_ff;
    size_t n_out = N_ROWS * (size_t)stride;
    float *gate_up = random_floats(&all, n_in, 20);
    uint16_t *h = untouched_halves(n_out);
    float *device_in = put(&all, gate_up, n_in * sizeof *gate_up);
    uint16_t *device_h = put(&all, h, n_out * sizeof *h);
    check_cuda(soti_launch_swiglu(&all.launch, N_ROWS, device_in, d_ff, device_h, stride));
    fetch(&all, h, device_h, n_out * sizeof *h);
    for (uint32_t r = 0; r < N_ROWS; r++) {
        const float *gate = gate_up + r * (size_t)2 * d_ff;
        for (uint32_t i = 0; i < d_ff; i++) {
            double g = (double)gate[i];
            double expected = g / (1 + exp(-g)) * (double)gate[d_ff + i];
            check_half(h[r * (size_t)stride + i], expected, fabs(expected) * ldexp(1, -20));
        }
        check_columns(h + r * (size_t)stride, d_ff, stride);
    }
    bench_close(&all);
    free(gate_up);
    free(h);
}

static void swiglu_of_any_length_matches_float64(void **state)
{
    static const uint32_t lengths[] = {1, 2, 77, 128, 511, 512, 513, 1025};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        check_swiglu(lengths[i], 100 + i);
    }
}

static void swiglu_of_large_gates_stays_finite_or_zero(void **state)
{
    static const float gate_up[] = {-200, 200, -90, 3, 100, 2, -100, 4};
    uint16_t h[SOTI_CUDA_PAD];
    bench all;
    (void)state;
    bench_open(&all, 7);
    memset(h, 0, sizeof h);
    float *device_in = put(&all, gate_up, sizeof gate_up);
    uint16_t *device_h = put(&all, h, sizeof h);
    check_cuda(soti_launch_swiglu(&all.launch, 1, device_in, 4, device_h, SOTI_CUDA_PAD));
    fetch(&all, h, device_h, sizeof h);
    check_half(h[0], 0, 0);     /* silu(-200) 100 */
    check_half(h[1], 400, 0.1); /* silu(200) 2 */
    check_half(h[2], 0, 0);
    check_half(h[3], 3 / (1 + exp(-3)) * 4, 1e-5);
    bench_close(&all);
}

enum { N_POSITIONS = 64, N_PAGES = 9, N_SEQUENCES = 2, TABLE_STRIDE = 4 };

/* Rows of two sequences whose pages lie anywhere; the first FIRST_ROW are not the launch's. */
typedef struct rotary_case {
    soti_cuda_shape shape;
    uint32_t positions[FIRST_ROW + N_ROWS];
    uint32_t sequences[FIRST_ROW + N_ROWS];
    uint32_t tables[N_SEQUENCES * TABLE_STRIDE];
    float *qkv;
    float *rope;
    uint16_t *q;
    uint16_t *keys;
    uint16_t *values;
    size_t n_qkv, n_rope, n_q, n_pages;
} rotary_case;

static void rotary_make(bench *all, rotary_case *made, const soti_cuda_shape *shape)
{
    static const uint32_t tables[] = {8, 0, 5, 2, 1, 7, 3, 6};
    static const uint32_t positions[] = {0, 1, 2, 14, 15, 16, 63, 7};
    memset(made, 0, sizeof *made);
    made->shape = *shape;
    made->shape.d_page = padded(shape->d_head);
    made->shape.n_qkv = (shape->n_head + 2 * shape->n_kv) * shape->d_head;
    memcpy(made->tables, tables, sizeof tables);
    memcpy(made->positions, positions, sizeof positions);
    made->sequences[FIRST_ROW + N_ROWS - 1] = 1;
    made->n_qkv = (size_t)N_ROWS * made->shape.n_qkv;
    made->n_rope = (size_t)N_POSITIONS * shape->d_head;
    made->n_q = (size_t)(FIRST_ROW + N_ROWS) * shape->n_head * made->shape.d_page;
    made->n_pages = (size_t)N_PAGES * shape->n_kv * SOTI_CUDA_PAGE_TOKENS * made->shape.d_page;
    made->qkv = random_floats(all, made->n_qkv, 4);
    made->rope = random_floats(all, made->n_rope, 1);
    made->q = untouched_halves(made->n_q);
    made->keys = untouched_halves(made->n_pages);
    made->values = untouched_halves(made->n_pages);
}

static void rotary_run(bench *all, rotary_case *made)
{
    soti_cuda_rows rows = {
        .positions = put(all, made->positions, sizeof made->positions),
        .sequences = put(all, made->sequences, sizeof made->sequences),
        .page_tables = put(all, made->tables, sizeof made->tables),
        .table_stride = TABLE_STRIDE,
    };
    float *qkv = put(all, made->qkv, made->n_qkv * sizeof(float));
    float *rope = put(all, made->rope, made->n_rope * sizeof(float));
    uint16_t *q = put(all, made->q, made->n_q * 2);
    soti_cuda_pages pages = {.keys = put(all, made->keys, made->n_pages * 2),
                             .values = put(all, made->values, made->n_pages * 2)};
    check_cuda(soti_launch_rotary_pages(&all->launch, &made->shape, &rows, FIRST_ROW, N_ROWS, qkv,
                                        rope, q, pages));
    fetch(all, made->q, q, made->n_q * 2);
    fetch(all, made->keys, pages.keys, made->n_pages * 2);
    fetch(all, made->values, pages.values, made->n_pages * 2);
}

/* Compares one head, and takes it away, so that only what nobody should have written is left. */
static void take_head(const rotary_case *made, uint32_t r, uint32_t head, uint16_t *found)
{
    const soti_cuda_shape *shape = &made->shape;
    const float *from = made->qkv + (size_t)r * shape->n_qkv + (size_t)head * shape->d_head;
    const float *angles = made->rope + (size_t)made->positions[FIRST_ROW + r] * shape->d_head;
    uint32_t half = shape->d_head / 2;
    for (uint32_t i = 0; i < half; i++) {
        int is_split = shape->half_split_rope != 0;
        uint32_t first = is_split ? i : 2 * i;
        uint32_t second = is_split ? i + half : 2 * i + 1;
        double a = (double)from[first];
        double b = (double)from[second];
        double slack = fmax(fabs(a), fabs(b)) * ldexp(1, -22);
        double cosine = (double)angles[2 * i];
        double sine = (double)angles[2 * i + 1];
        if (head >= shape->n_head + shape->n_kv) {
            check_half(found[first], a, 0);
            check_half(found[second], b, 0);
        } else {
            check_half(found[first], a * cosine - b * sine, slack);
            check_half(found[second], a * sine + b * cosine, slack);
        }
    }
    for (uint32_t i = 0; i < shape->d_page; i++) {
        if (i >= shape->d_head) {
            assert_int_equal(found[i], UNTOUCHED);
        }
        found[i] = UNTOUCHED;
    }
}

static void check_all_untouched(const uint16_t *halves, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(halves[i], UNTOUCHED);
    }
}

static uint16_t *page_place(const rotary_case *made, uint16_t *pages, uint32_t r, uint32_t i_kv)
{
    uint32_t row = FIRST_ROW + r;
    uint32_t position = made->positions[row];
    size_t page = made->tables[made->sequences[row] * TABLE_STRIDE + position / 16];
    size_t line = (page * made->shape.n_kv + i_kv) * SOTI_CUDA_PAGE_TOKENS + position % 16;
    return pages + line * made->shape.d_page;
}

static void check_rotary(const soti_cuda_shape *shape, uint64_t seed)
{
    bench all;
    rotary_case made;
    bench_open(&all, seed);
    rotary_make(&all, &made, shape);
    rotary_run(&all, &made);
    for (uint32_t r = 0; r < N_ROWS; r++) {
        for (uint32_t h = 0; h < shape->n_head; h++) {
            size_t line = (size_t)(FIRST_ROW + r) * shape->n_head + h;
            take_head(&made, r, h, made.q + line * made.shape.d_page);
        }
        for (uint32_t i = 0; i < shape->n_kv; i++) {
            uint32_t key = shape->n_head + i;
            take_head(&made, r, key, page_place(&made, made.keys, r, i));
            take_head(&made, r, key + shape->n_kv, page_place(&made, made.values, r, i));
        }
    }
    check_all_untouched(made.q, made.n_q);
    check_all_untouched(made.keys, made.n_pages);
    check_all_untouched(made.values, made.n_pages);
    bench_close(&all);
    free(made.qkv);
    free(made.rope);
    free(made.q);
    free(made.keys);
    free(made.values);
}

static void rotary_pages_of_any_head_matches_float64(void **state)
{
    static const soti_cuda_shape shapes[] = {
        {.n_head = 1, .n_kv = 1, .d_head = 2},   {.n_head = 3, .n_kv = 1, .d_head = 16},
        {.n_head = 4, .n_kv = 2, .d_head = 48},  {.n_head = 2, .n_kv = 2, .d_head = 64},
        {.n_head = 8, .n_kv = 1, .d_head = 128},
    };
    (void)state;
    for (uint32_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (uint32_t half_split = 0; half_split < 2; half_split++) {
            soti_cuda_shape shape = shapes[i];
            shape.half_split_rope = half_split;
            check_rotary(&shape, 200 + 2 * i + half_split);
        }
    }
}

static void page_copy_copies_its_positions_and_no_more(void **state)
{
    enum { LAYERS = 3, HEADS = 2, PAGES = 4, FROM = 1, TO = 3 };
    static const uint32_t counts[] = {0, 1, 7, 15, 16};
    soti_cuda_shape shape = {.n_head = HEADS, .n_kv = HEADS, .d_head = 48, .d_page = 64};
    size_t head = (size_t)SOTI_CUDA_PAGE_TOKENS * shape.d_page;
    size_t layer = PAGES * HEADS * head;
    size_t n = LAYERS * layer;
    uint16_t *before = malloc(2 * n * sizeof *before);
    uint16_t *after = malloc(2 * n * sizeof *after);
    (void)state;
    assert_true(before != NULL && after != NULL);
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        bench all;
        bench_open(&all, 300 + c);
        for (size_t i = 0; i < 2 * n; i++) {
            before[i] = (uint16_t)random_next(&all.source);
        }
        soti_cuda_pages pages = {.keys = put(&all, before, n * 2),
                                 .values = put(&all, before + n, n * 2)};
        check_cuda(
            soti_launch_page_copy(&all.launch, &shape, pages, LAYERS, layer, TO, FROM, counts[c]));
        fetch(&all, after, pages.keys, n * 2);
        fetch(&all, after + n, pages.values, n * 2);
        for (size_t i = 0; i < 2 * n; i++) {
            size_t page = i % layer / (HEADS * head);
            size_t from = i - (TO - FROM) * HEADS * head;
            int is_copied = page == TO && i % head < counts[c] * (size_t)shape.d_page;
            assert_int_equal(after[i], is_copied ? before[from] : before[i]);
        }
        bench_close(&all);
    }
    free(before);
    free(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_of_any_length_matches_float64),
        cmocka_unit_test(swiglu_of_any_length_matches_float64),
        cmocka_unit_test(swiglu_of_large_gates_stays_finite_or_zero),
        cmocka_unit_test(rotary_pages_of_any_head_matches_float64),
        cmocka_unit_test(page_copy_copies_its_positions_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
