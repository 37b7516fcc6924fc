/* A case of gemm_rows for its tests: random weights and rows, on the host and on the device, a cut,
 * and what float64 makes of the same FP16 operands. What a kernel must not read is there to be
 * noticed: NaN in rows behind the batch's last, in the workspace, in square sums. CUDA's runtime
 * and kernels.h only, so that the same tests run on a device. */
#ifndef SOT_TESTS_GEMM_CASE_H
#define SOT_TESTS_GEMM_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "../random_source.h"

enum {
    CASE_NAN = 0x7FFF,
    CASE_DEVICE_MAX = 24,
    CASE_SHARED_H200 = 232448, /* bytes a block may have: 227 KiB, */
    CASE_SHARED_A100 = 166912  /* 163 KiB */
};

typedef struct gemm_case {
    random_source source;
    uint32_t n_out, n_in, stride;
    uint32_t n_rows;    /* of the batch */
    uint32_t n_space;   /* that arrays have: NaN from n_rows on */
    uint16_t *weights;  /* (n_out, stride) */
    uint16_t *halves;   /* (n_space, stride): rows as FP16 */
    float *x;           /* (n_space, n_in): rows before a norm */
    float *square_sums; /* (n_space, n_sums) */
    float *norm_weight; /* (n_in) */
    float eps;
    uint32_t n_sums;
    double *a;       /* (n_rows, n_in): what weights are multiplied with */
    double *a_slack; /* how far FP32 arithmetic before its rounding to FP16 may move it */
    soti_cuda_launch launch;
    soti_cuda_rows rows; /* on the device */
    soti_gemm_rows product;
    soti_cuda_norm norm;
    uint16_t *device_halves;
    void *device[CASE_DEVICE_MAX];
    size_t n_device;
} gemm_case;

/* Where kernels run on the host: the order of blocks and threads from the next launch on. */
void on_host_set_seed(uint64_t seed) __attribute__((weak));

static inline void set_thread_order(uint64_t seed)
{
    if (on_host_set_seed) {
        on_host_set_seed(seed);
    }
}

static inline void check_cuda(cudaError_t error)
{
    if (error != cudaSuccess) {
        fail_msg("CUDA: %s", cudaGetErrorString(error));
    }
}

static inline void *case_memory(size_t n_bytes)
{
    void *memory = calloc(1, n_bytes);
    assert_non_null(memory);
    return memory;
}

/* On the device, exactly as large as it must be; every byte 0xFF where from is NULL. */
static inline void *case_device(gemm_case *all, const void *from, size_t n_bytes)
{
    void *memory = NULL;
    assert_true(all->n_device < CASE_DEVICE_MAX);
    check_cuda(cudaMalloc(&memory, n_bytes));
    check_cuda(from == NULL ? cudaMemset(memory, 0xFF, n_bytes)
                            : cudaMemcpy(memory, from, n_bytes, cudaMemcpyHostToDevice));
    all->device[all->n_device++] = memory;
    return memory;
}

static inline void *case_fetch(const void *device, size_t n_bytes)
{
    void *memory = case_memory(n_bytes);
    check_cuda(cudaMemcpy(memory, device, n_bytes, cudaMemcpyDeviceToHost));
    return memory;
}

static inline double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double value = exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);
    if (exponent == 31) {
        value = mantissa == 0 ? (double)INFINITY : (double)NAN;
    }
    return (bits & 0x8000) ? -value : value;
}

/* The nearest FP16 value, ties to even. */
static inline double half_rounded(double value)
{
    int exponent = 0;
    frexp(value, &exponent);
    int unit = exponent - 11 < -24 ? -24 : exponent - 11;
    return ldexp(nearbyint(ldexp(value, -unit)), unit);
}

/* Either sign, magnitudes from 2^-4 to 2. */
static inline uint16_t random_half(random_source *source)
{
    uint32_t bits = random_between(source, 0, 0xFFFF);
    return (uint16_t)((bits & 0x83FF) | (15 - random_between(source, 0, 4)) << 10);
}

static inline float random_float(random_source *source)
{
    uint32_t scale = random_between(source, 0, 3);
    return (float)((double)random_between(source, 0, 1u << 24) / (1 << 23) - 1.0) /
           (float)(1u << scale);
}

/* x, its square sums, and what norm(x) comes to in float64. An FP32 norm has a relative error below
 * 2^-19: 12 roundings in the longest sum of square sums, halved by the root, 2 ulp of the root
 * itself, three products. Its rounding to FP16 can then fall on either side. */
static inline void case_make_norm(gemm_case *all)
{
    all->eps = 1e-5f;
    for (uint32_t k = 0; k < all->n_in; k++) {
        all->norm_weight[k] = 1.0f + 0.5f * random_float(&all->source);
    }
    for (uint32_t row = 0; row < all->n_space; row++) {
        float *x = all->x + (size_t)row * all->n_in;
        float *sums = all->square_sums + (size_t)row * all->n_sums;
        double sum = 0.0;
        for (uint32_t i = 0; i < all->n_sums; i++) {
            double square_sum = 0.0;
            for (uint32_t k = i * SOTI_CUDA_SUM_COLUMNS;
                 k < all->n_in && k < (i + 1) * SOTI_CUDA_SUM_COLUMNS; k++) {
                x[k] = row < all->n_rows ? 3.0f * random_float(&all->source) : NAN;
                square_sum += (double)x[k] * (double)x[k];
            }
            sums[i] = (float)square_sum;
            sum += (double)sums[i];
        }
        for (uint32_t k = 0; row < all->n_rows && k < all->n_in; k++) {
            double value = (double)x[k] * (double)all->norm_weight[k] /
                           sqrt(sum / all->n_in + (double)all->eps);
            size_t at = (size_t)row * all->n_in + k;
            all->a[at] = half_rounded(value);
            double low = half_rounded(value * (1.0 - ldexp(1.0, -19)));
            double high = half_rounded(value * (1.0 + ldexp(1.0, -19)));
            all->a_slack[at] = fabs(high - low);
        }
    }
}

/* FP16 rows instead of normed ones. */
static inline void case_use_halves(gemm_case *all)
{
    for (uint32_t row = 0; row < all->n_rows; row++) {
        for (uint32_t k = 0; k < all->n_in; k++) {
            size_t at = (size_t)row * all->n_in + k;
            all->a[at] = half_value(all->halves[(size_t)row * all->stride + k]);
            all->a_slack[at] = 0.0;
        }
    }
}

/* The step's counts, with n_logits rows wanted, in descending order to be told from rows. */
static inline void case_set_counts(gemm_case *all, uint32_t n_rows, uint32_t n_logits)
{
    soti_cuda_counts counts = {.n_rows = n_rows, .n_logits = n_logits};
    all->rows.counts = case_device(all, &counts, sizeof counts);
}

/* n_slices 0: the cut that the library makes for n_sm multiprocessors; otherwise that many slices,
 * with 3 blocks each. */
static inline void case_set_cut(gemm_case *all, uint32_t n_unit_rows, uint32_t n_sm,
                                uint32_t n_slices)
{
    soti_gemm_cut *cut = &all->product.cut;
    *cut = soti_gemm_rows_cut(all->n_out, all->stride, n_unit_rows, n_sm, CASE_SHARED_H200);
    uint32_t n_units = n_unit_rows <= 1 ? 1 : all->n_out / n_unit_rows;
    uint32_t n_tiles = n_units * ((all->n_out / n_units + 31) / 32);
    if (n_slices > 0) {
        cut->n_slices = n_slices;
        cut->n_blocks = n_slices * (n_tiles < 3 ? n_tiles : 3);
        cut->partial_floats = n_slices == 1 ? 0 : (size_t)n_tiles * n_slices * 16 * 32;
        cut->n_counters = n_slices == 1 ? 0 : n_tiles;
    }
    all->product.partials = NULL;
    all->product.counters = NULL;
    if (cut->n_counters > 0) {
        uint32_t *zeros = case_memory(cut->n_counters * sizeof *zeros);
        all->product.partials = case_device(all, NULL, cut->partial_floats * sizeof(float));
        all->product.counters = case_device(all, zeros, cut->n_counters * sizeof *zeros);
        free(zeros);
    }
}

static inline void case_make(gemm_case *all, uint64_t seed, uint32_t n_out, uint32_t n_in,
                             uint32_t n_rows)
{
    memset(all, 0, sizeof *all);
    all->source.state = seed;
    all->n_out = n_out;
    all->n_in = n_in;
    all->stride = (n_in + SOTI_CUDA_PAD - 1) / SOTI_CUDA_PAD * SOTI_CUDA_PAD;
    all->n_rows = n_rows;
    all->n_space = n_rows + 2;
    all->n_sums = (n_in + SOTI_CUDA_SUM_COLUMNS - 1) / SOTI_CUDA_SUM_COLUMNS;
    size_t weight_bytes = sizeof(uint16_t) * n_out * all->stride;
    size_t half_bytes = sizeof(uint16_t) * all->n_space * all->stride;
    size_t x_bytes = sizeof(float) * all->n_space * n_in;
    size_t sum_bytes = sizeof(float) * all->n_space * all->n_sums;
    all->weights = case_memory(weight_bytes);
    all->halves = case_memory(half_bytes);
    all->x = case_memory(x_bytes);
    all->square_sums = case_memory(sum_bytes);
    all->norm_weight = case_memory(sizeof(float) * n_in);
    all->a = case_memory(sizeof(double) * n_rows * n_in);
    all->a_slack = case_memory(sizeof(double) * n_rows * n_in);
    for (uint32_t row = 0; row < n_out; row++) {
        for (uint32_t k = 0; k < n_in; k++) {
            all->weights[(size_t)row * all->stride + k] = random_half(&all->source);
        }
    }
    for (uint32_t row = 0; row < all->n_space; row++) {
        for (uint32_t k = 0; k < n_in; k++) {
            all->halves[(size_t)row * all->stride + k] =
                row < n_rows ? random_half(&all->source) : (uint16_t)CASE_NAN;
        }
    }
    case_make_norm(all);
    check_cuda(cudaStreamCreate(&all->launch.stream));
    all->launch.n_sm = 132;
    all->product.weights = case_device(all, all->weights, weight_bytes);
    all->product.n_out = n_out;
    all->product.n_in = n_in;
    all->product.stride = all->stride;
    /* Half of a line at the second place. */
    all->product.ahead[0] = (soti_gemm_ahead){all->product.weights, weight_bytes};
    all->product.ahead[1] = (soti_gemm_ahead){all->product.weights, 64};
    all->device_halves = case_device(all, all->halves, half_bytes);
    all->norm.x = case_device(all, all->x, x_bytes);
    all->norm.square_sums = case_device(all, all->square_sums, sum_bytes);
    all->norm.weight = case_device(all, all->norm_weight, sizeof(float) * n_in);
    all->norm.eps = all->eps;
    case_set_counts(all, n_rows, 0);
}

static inline void case_free(gemm_case *all)
{
    for (size_t i = 0; i < all->n_device; i++) {
        check_cuda(cudaFree(all->device[i]));
    }
    check_cuda(cudaStreamDestroy(all->launch.stream));
    void *memory[] = {all->weights,     all->halves, all->x,      all->square_sums,
                      all->norm_weight, all->a,      all->a_slack};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        free(memory[i]);
    }
}

/* Weight row times row of the batch. An FP32 sum of n products, in any order, that rounds or cuts
 * off at each addition errs by 2^-23 of the sum of magnitudes for each addition in a row: n / 8 in
 * a part, those of 8 parts, and of slices. */
static inline double case_product(const gemm_case *all, uint32_t weight_row, uint32_t row,
                                  double *slack)
{
    const uint16_t *w = all->weights + (size_t)weight_row * all->stride;
    const double *a = all->a + (size_t)row * all->n_in;
    const double *a_slack = all->a_slack + (size_t)row * all->n_in;
    double sum = 0.0, magnitudes = 0.0, moved = 0.0;
    for (uint32_t k = 0; k < all->n_in; k++) {
        double value = half_value(w[k]);
        sum += value * a[k];
        magnitudes += fabs(value * a[k]);
        moved += fabs(value) * a_slack[k];
    }
    uint32_t n_additions = all->n_in / 8 + 24 + all->product.cut.n_slices;
    *slack = moved + magnitudes * ldexp(n_additions, -23);
    return sum;
}

static inline void assert_near(double is, double expected, double slack, const char *what,
                               uint32_t row, uint32_t column)
{
    if (!(fabs(is - expected) <= slack)) {
        fail_msg("%s of row %u, column %u: %.9g instead of %.9g, %.3g allowed", what, row, column,
                 is, expected, slack);
    }
}

/* Ends what was launched. The counters must be zero again. */
static inline void case_finish(gemm_case *all, cudaError_t launched)
{
    check_cuda(launched);
    check_cuda(cudaStreamSynchronize(all->launch.stream));
    size_t n = all->product.cut.n_counters;
    uint32_t *counters = n == 0 ? NULL : case_fetch(all->product.counters, n * 4);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(counters[i], 0);
    }
    free(counters);
}

#endif
