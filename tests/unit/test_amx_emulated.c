/* The stand-ins of amx_emulated.h against double precision, the machine's own BF16 and integers.
 * What runs over them is tested in test_cpu_kernels_amx.c. Needs AVX-512. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/half.h"
#include "base/random.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,f16c,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,f16c,fma")
#endif

#include "amx_emulated.h"

enum { SIDE = 16, STEP = 32 };

static void multiply_halves(const uint16_t a[STEP], const uint16_t b[STEP], uint16_t products[STEP],
                            uint16_t differences[STEP])
{
    __m512i left = _mm512_loadu_si512(a);
    __m512i right = _mm512_loadu_si512(b);
    _mm512_storeu_si512(products, half_products(left, right));
    _mm512_storeu_si512(differences, half_differences(left, right));
}

static void round_emulated(const float values[STEP], uint16_t bfloats[STEP])
{
    _mm512_storeu_si512(bfloats,
                        round_to_bfloats(_mm512_loadu_ps(values), _mm512_loadu_ps(values + SIDE)));
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

__attribute__((target("avx512f,avx512bw,avx512bf16"))) static void
round_natively(const float values[STEP], uint16_t bfloats[STEP])
{
    _mm512_storeu_si512(bfloats, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(values + SIDE),
                                                              _mm512_loadu_ps(values)));
}

static void need_avx512(void)
{
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
        print_message("skipped: this machine has no AVX-512, over which tiles are emulated\n");
        skip();
    }
}

static uint16_t finite_half(uint32_t word)
{
    return (uint16_t)((word & 0x7C00) == 0x7C00 ? word & 0xFBFF : word);
}

static void emulated_halves_are_rounded_once(void **state)
{
    (void)state;
    need_avx512();
    for (uint64_t i = 0; i < 20000; i++) {
        uint16_t a[STEP], b[STEP], products[STEP], differences[STEP];
        for (uint64_t j = 0; j < STEP; j++) {
            uint32_t words[4];
            soti_random_block(3, j, i, words);
            a[j] = finite_half(words[0]);
            b[j] = finite_half(words[1]);
        }
        multiply_halves(a, b, products, differences);
        for (size_t j = 0; j < STEP; j++) {
            /* Both are exact in double precision; double to half in one rounding, by hand. */
            double left = (double)soti_half_to_float(a[j]);
            double right = (double)soti_half_to_float(b[j]);
            const double exact[2] = {left * right, left - right};
            const uint16_t found[2] = {products[j], differences[j]};
            for (size_t e = 0; e < 2; e++) {
                int exponent;
                frexp(exact[e], &exponent);
                double unit = ldexp(1, exponent - 11 > -24 ? exponent - 11 : -24);
                double rounded = nearbyint(exact[e] / unit) * unit;
                double value = (double)soti_half_to_float(found[e]);
                assert_true(fabs(rounded) >= 65536 ? isinf(value) : value == rounded);
            }
        }
    }
}

static void emulated_bfloats_are_the_machines_own(void **state)
{
    (void)state;
    need_avx512();
    if (!__builtin_cpu_supports("avx512bf16")) {
        print_message("skipped: this machine has no AVX512_BF16 to compare with\n");
        skip();
    }
    for (uint64_t i = 0; i < 10000; i++) {
        float values[STEP];
        uint16_t found[STEP];
        uint16_t native[STEP];
        for (uint64_t j = 0; j < STEP; j++) {
            uint32_t words[4];
            soti_random_block(4, j, i, words);
            uint32_t bits = words[1] % 3 == 0 ? words[0] << 15 : words[0]; /* ties among them */
            bits = words[2] % 16 == 0 ? bits | 0x7F800000u : bits;         /* not finite */
            memcpy(&values[j], &bits, sizeof bits);
        }
        round_emulated(values, found);
        round_natively(values, native);
        assert_memory_equal(found, native, sizeof native);
    }
}

/* Small integers, where every order of additions is exact: which element meets which. */
static void emulated_product_multiplies_matrices(void **state)
{
    (void)state;
    need_avx512();
    static uint16_t a[16][32], b[16][16][2];
    static float sums[16][16];
    for (int m = 0; m < 16; m++) {
        for (int k = 0; k < 32; k++) {
            a[m][k] = round_to_bfloat((float)(m * 3 + k % 7 - 9));
            b[k / 2][m][k % 2] = round_to_bfloat((float)(m * 2 - k % 5));
        }
        for (int n = 0; n < 16; n++) {
            sums[m][n] = (float)(m * 100 + n);
        }
    }
    tiles_begin();
    TILE_LOAD(0, sums);
    TILE_LOAD(1, a);
    TILE_LOAD(2, b);
    TILE_PRODUCT(0, 1, 2);
    TILE_STORE(0, sums);
    tiles_end();
    for (int m = 0; m < 16; m++) {
        for (int n = 0; n < 16; n++) {
            int expected = m * 100 + n;
            for (int k = 0; k < 32; k++) {
                expected += (m * 3 + k % 7 - 9) * (n * 2 - k % 5);
            }
            assert_true(sums[m][n] == (float)expected);
        }
    }
    tile_zero(0);
    assert_int_equal(emulated.n_faults, 1); /* without configuration */
    emulated.n_faults = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emulated_halves_are_rounded_once),
        cmocka_unit_test(emulated_bfloats_are_the_machines_own),
        cmocka_unit_test(emulated_product_multiplies_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    print_message("skipped: AMX is x86-64's\n");
    return 0;
}

#endif
