/* cpu_kernels_amx.c's own source over emulated tiles, and random matrices to multiply with it: each
 * element against double precision, or by itself. Include behind cmocka.h, on x86-64 alone. */
#ifndef SOT_TESTS_AMX_MATRICES_H
#define SOT_TESTS_AMX_MATRICES_H

#include <immintrin.h>
#include <math.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/random.h"
#include "cpu/cpu_kernels.h"

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,f16c,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,f16c,fma")
#endif

#define soti_cpu_amx_pack    emulated_pack
#define soti_cpu_amx_product emulated_product
#include "amx_emulated.h"
#include "cpu/cpu_kernels_amx.c"

/* hi and lo of 32 halves, and whether one is 16 or more. */
static bool split_halves(const uint16_t halves[STEP], uint16_t hi[STEP], uint16_t lo[STEP])
{
    static alignas(64) uint16_t tiles[2 * TILE];
    bool is_large = convert_row(halves, halves, tiles, 1, ~(__mmask32)0);
    memcpy(hi, tiles, STEP * sizeof *hi);
    memcpy(lo, tiles + TILE, STEP * sizeof *lo);
    return is_large;
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static void need_avx512(void)
{
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
        print_message("skipped: this machine has no AVX-512, over which tiles are emulated\n");
        skip();
    }
}

static double noise(uint64_t stream, uint64_t i)
{
    return 2.0 * (double)soti_random_uniform(11, stream, i) - 1;
}

static size_t packed_bytes(size_t n_rows, size_t n_in)
{
    return (n_rows + 15) / 16 * 16 * soti_cpu_packed_stride(n_in) * sizeof(float);
}

static float *pack(const float *x, size_t x_stride, size_t n_rows, size_t n_in)
{
    float *packed = aligned_alloc(64, packed_bytes(n_rows, n_in));
    memset(packed, 0xFF, packed_bytes(n_rows, n_in));
    emulated_pack(x, x_stride, n_rows, n_in, packed);
    return packed;
}

/* Runs the product and checks that it leaves the tiles as a host expects them. */
static void multiply_emulated(const uint16_t *w, size_t n_out, size_t n_in, const float *packed,
                              size_t n_rows, float *out, size_t out_stride)
{
    unsigned n_begun = emulated.n_begun;
    emulated_product(w, n_out, n_in, packed, n_rows, out, out_stride);
    assert_int_equal(emulated.n_begun, n_begun + 1);
    assert_int_equal(emulated.is_begun, 0);
    assert_int_equal(emulated.n_faults, 0);
}

/* (n_out, n_in) weights, (n_rows, n_in) activations; out is (n_rows, n_out) without gaps. Every
 * block ends where it must not be read on, weights begin two bytes into theirs. */
typedef struct matrices {
    size_t n_out, n_in, n_rows;
    char *block;
    uint16_t *w;
    float *x;
    float *out;
} matrices;

static matrices random_matrices(size_t n_out, size_t n_in, size_t n_rows)
{
    matrices m = {.n_out = n_out, .n_in = n_in, .n_rows = n_rows};
    m.block = malloc(2 + n_out * n_in * sizeof *m.w);
    m.w = (uint16_t *)(void *)(m.block + 2);
    m.x = malloc(n_rows * n_in * sizeof *m.x);
    m.out = malloc(n_rows * n_out * sizeof *m.out);
    for (size_t i = 0; i < n_out * n_in; i++) {
        m.w[i] = soti_half_from_float((float)noise(n_in, i));
    }
    for (size_t i = 0; i < n_rows * n_in; i++) {
        m.x[i] = (float)(3 * noise(n_in + 1, i));
    }
    return m;
}

static void free_matrices(matrices *m)
{
    free(m->block);
    free(m->x);
    free(m->out);
}

static void multiply_matrices(matrices *m)
{
    float *packed = pack(m->x, m->n_in, m->n_rows, m->n_in);
    multiply_emulated(m->w, m->n_out, m->n_in, packed, m->n_rows, m->out, m->n_out);
    free(packed);
}

/* Element (r, i) by itself: one row, one weight row. */
static float multiply_alone(const matrices *m, size_t r, size_t i)
{
    float alone;
    float *packed = pack(m->x + r * m->n_in, m->n_in, 1, m->n_in);
    multiply_emulated(m->w + i * m->n_in, 1, m->n_in, packed, 1, &alone, 1);
    free(packed);
    return alone;
}

static double exact_sum(const matrices *m, size_t r, size_t i, double *magnitude, double *squares)
{
    double sum = 0;
    *magnitude = 0;
    *squares = 0;
    for (size_t k = 0; k < m->n_in; k++) {
        double term =
            (double)soti_half_to_float(m->w[i * m->n_in + k]) * (double)m->x[r * m->n_in + k];
        sum += term;
        *magnitude += fabs(term);
        *squares += term * term;
    }
    return sum;
}

/* Each term errs by 2^-17 (the activation) and 2^-16 (lo * lo left out); a sum's additions,
 * 17 in a tile product and three tile products a step, by 2^-24 each. */
static double error_bound(size_t n_in, double magnitude)
{
    double n_additions = 17 + 3 * ((double)n_in / 32 + 1);
    return (0x1p-17 + 0x1p-16 + n_additions * 0x1p-24) * magnitude;
}

static void check_element(const matrices *m, size_t r, size_t i)
{
    double magnitude;
    double squares;
    double sum = exact_sum(m, r, i, &magnitude, &squares);
    float found = m->out[r * m->n_out + i];
    if (!(fabs((double)found - sum) <= error_bound(m->n_in, magnitude))) {
        fail_msg("%zu rows, %zu outputs of %zu: row %zu, output %zu is %g, expected %g", m->n_rows,
                 m->n_out, m->n_in, r, i, (double)found, sum);
    }
}

#endif
