/* Every instruction set's kernels against double precision, with arrays that end where memory
 * does and weights at addresses that are even and no more; and CK-1, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/half.h"
#include "base/random.h"
#include "cpu/cpu_isa.h"
#include "guarded_memory.h"

/* Around the register (8, 16), the portable chunk (256), and a long sum. */
static const size_t lengths[] = {1,  2,  7,  8,   9,   15,  16,  17,   31,
                                 32, 33, 63, 127, 255, 256, 257, 1031, 4097};
static const size_t row_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33};
static const size_t out_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 16};

enum {
    N_LENGTHS = sizeof lengths / sizeof lengths[0],
    N_ROW_COUNTS = sizeof row_counts / sizeof row_counts[0],
    N_OUT_COUNTS = sizeof out_counts / sizeof out_counts[0]
};

typedef void (*check_fn)(const soti_cpu_kernels *kernels);

static void on_every_isa(check_fn check)
{
    for (uint32_t i = 0; soti_cpu_isa_name(i) != NULL; i++) {
        const soti_cpu_kernels *kernels;
        if (soti_cpu_isa_select(soti_cpu_isa_name(i), &kernels) != SOT_OK) {
            print_message("skipped for %s: %s\n", soti_cpu_isa_name(i), soti_fail_message());
            continue;
        }
        check(kernels);
    }
}

static double noise(uint64_t stream, uint64_t i)
{
    return 2.0 * (double)soti_random_uniform(5, stream, i) - 1;
}

static float *random_floats(size_t n, uint64_t stream, double scale)
{
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)(noise(stream, i) * scale);
    }
    return values;
}

/* n halves that end with their block and begin two bytes into it. */
static uint16_t *random_halves(size_t n, uint64_t stream, char **block)
{
    *block = malloc(2 + n * sizeof(uint16_t));
    uint16_t *halves = (uint16_t *)(void *)(*block + 2);
    for (size_t i = 0; i < n; i++) {
        halves[i] = soti_half_from_float((float)noise(stream, i));
    }
    return halves;
}

/* The caller's own; a cache line aligned. Unused rows of a group are garbage. */
static float *pack(const soti_cpu_kernels *kernels, const float *x, size_t x_stride, size_t n_rows,
                   size_t n_in)
{
    size_t group = SOTI_CPU_GROUP_ROWS * soti_cpu_packed_stride(n_in);
    size_t n_groups = (n_rows + SOTI_CPU_GROUP_ROWS - 1) / SOTI_CPU_GROUP_ROWS;
    float *packed = aligned_alloc(64, n_groups * group * sizeof *packed);
    memset(packed, 0xFF, n_groups * group * sizeof *packed);
    for (size_t g = 0; g < n_groups; g++) {
        size_t first = g * SOTI_CPU_GROUP_ROWS;
        size_t n = n_rows - first;
        kernels->pack(x + first * x_stride, x_stride,
                      n < SOTI_CPU_GROUP_ROWS ? n : SOTI_CPU_GROUP_ROWS, n_in, packed + g * group);
    }
    return packed;
}

/* A sum of n products in any order errs by at most about n roundings of the sum of magnitudes. AMX
 * takes operands in halves, see cpu_kernels_amx.c: each term is 2^-16 + 2^-17 off at most. */
static double error_bound(const soti_cpu_kernels *kernels, size_t n_in, double magnitude)
{
    double of_terms = strcmp(kernels->isa, "amx") == 0 ? 0x1.8p-16 : 0;
    return (of_terms + ((double)n_in + 8) * 0x1p-24) * magnitude;
}

static void check_product(const soti_cpu_kernels *kernels, size_t n_in, size_t n_rows, size_t n_out)
{
    enum { GAP = 3 };
    char *block;
    uint16_t *w = random_halves(n_out * n_in, n_in, &block);
    size_t x_stride = n_in + GAP;
    size_t out_stride = n_out + GAP;
    float *x = random_floats((n_rows - 1) * x_stride + n_in, n_rows, 3);
    float *out = random_floats((n_rows - 1) * out_stride + n_out, 3, 1);
    float *before = random_floats((n_rows - 1) * out_stride + n_out, 3, 1);
    float *packed = pack(kernels, x, x_stride, n_rows, n_in);
    kernels->product(w, n_out, n_in, packed, n_rows, out, out_stride);
    free(packed);
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t i = 0; i < n_out; i++) {
            double sum = 0;
            double magnitude = 0;
            for (size_t k = 0; k < n_in; k++) {
                double term =
                    (double)soti_half_to_float(w[i * n_in + k]) * (double)x[r * x_stride + k];
                sum += term;
                magnitude += fabs(term);
            }
            float found = out[r * out_stride + i];
            if (!(fabs((double)found - sum) <= error_bound(kernels, n_in, magnitude))) {
                fail_msg("%s: %zu rows, %zu outputs of %zu: row %zu, output %zu is %g, expected %g",
                         kernels->isa, n_rows, n_out, n_in, r, i, (double)found, sum);
            }
            float alone;
            packed = pack(kernels, x + r * x_stride, x_stride, 1, n_in);
            kernels->product(w + i * n_in, 1, n_in, packed, 1, &alone, 1);
            free(packed);
            if (memcmp(&alone, &found, sizeof found) != 0) {
                fail_msg("%s: %zu rows, %zu outputs of %zu: row %zu, output %zu differs alone",
                         kernels->isa, n_rows, n_out, n_in, r, i);
            }
        }
        for (size_t i = 0; i < GAP && r + 1 < n_rows; i++) {
            assert_memory_equal(&out[r * out_stride + n_out + i],
                                &before[r * out_stride + n_out + i], sizeof *out);
        }
    }
    free(block);
    free(x);
    free(out);
    free(before);
}

static void check_products(const soti_cpu_kernels *kernels)
{
    for (size_t l = 0; l < N_LENGTHS; l++) {
        for (size_t r = 0; r < N_ROW_COUNTS; r++) {
            for (size_t o = 0; o < N_OUT_COUNTS; o++) {
                /* The longest sums with a few shapes only: time. */
                if (lengths[l] < 300 || (r + o) % 5 == 0) {
                    check_product(kernels, lengths[l], row_counts[r], out_counts[o]);
                }
            }
        }
    }
}

static void kernels_product_every_shape_matches_and_rows_stand_alone(void **state)
{
    (void)state;
    on_every_isa(check_products);
}

static void check_widen(const soti_cpu_kernels *kernels)
{
    static uint16_t in[65536];
    static float out[65536];
    for (uint32_t i = 0; i < 65536; i++) {
        in[i] = (uint16_t)i;
    }
    kernels->widen(in, 65536, out);
    for (uint32_t i = 0; i < 65536; i++) {
        uint32_t exponent = i >> 10 & 31;
        double fraction = i & 1023;
        double expected =
            exponent ? ldexp(1024 + fraction, (int)exponent - 25) : ldexp(fraction, -24);
        if (exponent == 31) {
            assert_true(fraction > 0 ? isnan(out[i]) : isinf(out[i]));
        } else {
            assert_true((double)fabsf(out[i]) == expected);
        }
        assert_int_equal(signbit(out[i]) != 0, i >> 15);
    }
    for (size_t l = 0; l < N_LENGTHS; l++) {
        uint16_t *some = malloc(lengths[l] * sizeof *some);
        float *wide = malloc(lengths[l] * sizeof *wide);
        memcpy(some, in + 0x3000, lengths[l] * sizeof *some);
        kernels->widen(some, lengths[l], wide);
        assert_memory_equal(wide, out + 0x3000, lengths[l] * sizeof *wide);
        free(some);
        free(wide);
    }
}

static void kernels_widen_every_half_is_exact(void **state)
{
    (void)state;
    on_every_isa(check_widen);
}

/* Nearest by distance, the even one of two, among the neighbours that truncation gives. */
static void check_one_narrow(const char *isa, float value, uint16_t found)
{
    double magnitude = fabs((double)value);
    double rounded = fabs((double)soti_half_to_float(found));
    assert_int_equal(found >> 15, signbit(value) != 0);
    if (magnitude >= 65520) {
        assert_true(isinf(rounded));
        return;
    }
    uint16_t bits = found & 0x7FFF;
    double below = bits > 0 ? (double)soti_half_to_float((uint16_t)(bits - 1)) : -1;
    double above = bits < 0x7BFF ? (double)soti_half_to_float((uint16_t)(bits + 1)) : 65536;
    double error = fabs(magnitude - rounded);
    double error_below = fabs(magnitude - below);
    double error_above = fabs(magnitude - above);
    int is_even = bits % 2 == 0;
    if (error > error_below || error > error_above ||
        (!is_even && (error == error_below || error == error_above))) {
        fail_msg("%s: %.9g rounded to %.9g", isa, (double)value, rounded);
    }
}

static void check_narrow(const soti_cpu_kernels *kernels)
{
    enum { N = 200000 };
    float *in = malloc(N * sizeof *in);
    uint16_t *out = malloc(N * sizeof *out);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t words[4];
        soti_random_block(1, 1, i, words);
        uint32_t exponent = 95 + words[1] % 52; /* from far below the smallest half to above 2^16 */
        uint32_t bits = (words[0] & 0x807FFFFFu) | exponent << 23;
        bits = words[2] % 4 == 0 ? bits & ~0xFFFu : bits; /* ties among them */
        memcpy(&in[i], &bits, sizeof bits);
    }
    in[0] = 65519.996f;
    in[1] = 65520.0f;
    in[2] = -0.0f;
    in[3] = 0x1p-25f;
    in[4] = 0x1.8p-24f;
    kernels->narrow(in, N, out);
    for (uint32_t i = 0; i < N; i++) {
        check_one_narrow(kernels->isa, in[i], out[i]);
    }
    for (size_t l = 0; l < N_LENGTHS; l++) {
        float *some = malloc(lengths[l] * sizeof *some);
        uint16_t *halves = malloc(lengths[l] * sizeof *halves);
        memcpy(some, in, lengths[l] * sizeof *some);
        kernels->narrow(some, lengths[l], halves);
        assert_memory_equal(halves, out, lengths[l] * sizeof *halves);
        free(some);
        free(halves);
    }
    float special[2] = {NAN, -INFINITY};
    uint16_t halves[2];
    kernels->narrow(special, 2, halves);
    assert_true(isnan(soti_half_to_float(halves[0])));
    assert_int_equal(halves[1], 0xFC00);
    free(in);
    free(out);
}

static void kernels_narrow_rounds_to_nearest_even(void **state)
{
    (void)state;
    on_every_isa(check_narrow);
}

/* The mean errs by n / 2^24 relative at most, its root by half that; three roundings more. */
static void check_norm(const soti_cpu_kernels *kernels)
{
    for (size_t l = 0; l < N_LENGTHS; l++) {
        size_t n = lengths[l];
        float *x = random_floats(n, 1, 2);
        float *gain = random_floats(n, 2, 1);
        float *out = malloc(n * sizeof *out);
        double sum = 0;
        kernels->norm(x, gain, n, 1e-3f, out);
        for (size_t i = 0; i < n; i++) {
            sum += (double)x[i] * (double)x[i];
        }
        for (size_t i = 0; i < n; i++) {
            double expected =
                (double)x[i] / sqrt(sum / (double)n + (double)1e-3f) * (double)gain[i];
            double bound = ((double)n / 2 + 6) * 0x1p-24 * fabs(expected);
            assert_true(fabs((double)out[i] - expected) <= bound);
        }
        free(x);
        free(gain);
        free(out);
    }
}

static void kernels_norm_matches_double_precision(void **state)
{
    (void)state;
    on_every_isa(check_norm);
}

/* The exponential errs by 2 units in the last place, sum, quotient and product by half each; below
 * -87 the result is nothing beside any other number. */
static void check_swiglu(const soti_cpu_kernels *kernels)
{
    for (size_t l = 0; l < N_LENGTHS; l++) {
        size_t n = lengths[l];
        float *gate = random_floats(n, 3, l % 3 == 0 ? 120 : 10);
        float *up = random_floats(n, 4, 2);
        float *out = malloc(n * sizeof *out);
        gate[0] = 0;
        kernels->swiglu(gate, up, n, out);
        for (size_t i = 0; i < n; i++) {
            double g = (double)gate[i];
            double expected = g / (1 + exp(-g)) * (double)up[i];
            double bound = 8 * 0x1p-24 * fabs(expected) + 1e-34;
            if (!(fabs((double)out[i] - expected) <= bound)) {
                fail_msg("%s: swiglu(%g, %g) is %g, expected %g", kernels->isa, g, (double)up[i],
                         (double)out[i], expected);
            }
            float alone;
            kernels->swiglu(gate + i, up + i, 1, &alone);
            assert_memory_equal(&alone, &out[i], sizeof alone);
        }
        free(gate);
        free(up);
        free(out);
    }
    float not_a_number = NAN;
    float one = 1;
    kernels->swiglu(&not_a_number, &one, 1, &one);
    assert_true(isnan(one));
}

static void kernels_swiglu_matches_and_stands_alone(void **state)
{
    (void)state;
    on_every_isa(check_swiglu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_product_every_shape_matches_and_rows_stand_alone),
        cmocka_unit_test(kernels_widen_every_half_is_exact),
        cmocka_unit_test(kernels_narrow_rounds_to_nearest_even),
        cmocka_unit_test(kernels_norm_matches_double_precision),
        cmocka_unit_test(kernels_swiglu_matches_and_stands_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
